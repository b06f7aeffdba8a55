// The weight gradients of a Transformer: dW += dy^T x and db += dy of every linear map.
//
// They are added up while a sample's rows are still in a cache: samples are taken in groups of
// constant size, each with sums of its own, and the sums of all groups are added in order. So they
// do not depend on the number of threads. Memory holds the sums of a constant number of groups,
// which run together; later groups run when these are added.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/kernels/attention.hpp"
#include "tsdl/kernels/outer.hpp"
#include "tsdl/nn/parameter.hpp"
#include "tsdl/nn/transformer/layer.hpp"
#include "tsdl/nn/transformer/rows.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// Samples whose weight gradients share sums.
inline constexpr Index gradient_group = 4;
/// Groups that run together.
inline constexpr Index gradient_groups = 16;

/// The sums of one linear map: for each panel of columns of x, [out][V][W]; then the bias.
struct MapSums {
  Index out, in;

  template <class Scalar>
  Index size() const noexcept {
    return out * round_up(in, kernels::lanes<Scalar>) + round_up(out, kernels::lanes<Scalar>);
  }

  /// Adds one sample's rows. Shapes: dy [rows] of out values, x [rows] of in values, both aligned
  /// and padded to whole vectors.
  template <class Scalar>
  void add(Scalar* sums, const Scalar* dy, Index dy_stride, const Scalar* x, Index x_stride,
           Index rows) const noexcept {
    constexpr Index W = kernels::lanes<Scalar>;
    kernels::for_each_panel<Scalar>(in, [&](auto V, Index vector) noexcept {
      kernels::add_outer<V(), Scalar>({1, sums, 0, {x + vector * W, x_stride, 0}, 0},
                                      {dy, dy_stride, 0}, rows, Index{1}, out);
      sums += out * V() * W;
    });
    for (Index r = 0; r < rows; r += kernels::outer_block)
      kernels::for_each_panel<Scalar>(out, [&](auto V, Index vector) noexcept {
        kernels::add_rows<V()>(sums + vector * W, dy + r * dy_stride + vector * W, dy_stride,
                               std::min(kernels::outer_block, rows - r));
      });
  }

  /// Adds the sums to gradients, [out][in] and [out].
  template <class Scalar>
  void add_to(Scalar* weight, Scalar* bias, const Scalar* sums) const noexcept {
    constexpr Index W = kernels::lanes<Scalar>;
    kernels::for_each_panel<Scalar>(in, [&](auto V, Index vector) noexcept {
      const Index from = vector * W, count = std::min(V() * W, in - from);
      for (Index n = 0; n < out; ++n, sums += V() * W)
        for (Index c = 0; c < count; ++c) weight[n * in + from + c] += sums[c];
    });
    for (Index n = 0; n < out; ++n) bias[n] += sums[n];
  }
};

/// The sums of one layer: its norms' gradients [4][dp], then those of its six linear maps.
template <class Scalar>
struct LayerSums {
  Index d, F;

  static constexpr Index W = kernels::lanes<Scalar>;
  Index norms() const noexcept { return 4 * round_up(d, W); }
  /// q, k, v, out_proj, linear1, linear2.
  std::array<MapSums, 6> maps() const noexcept {
    return {{{d, d}, {d, d}, {d, d}, {d, d}, {F, d}, {d, F}}};
  }
  Index size() const noexcept {
    Index total = norms();
    for (const MapSums& map : maps()) total += map.size<Scalar>();
    return total;
  }

  /// Adds one sample, after its backward pass through the layer.
  void add(Scalar* sums, const LayerRows<Scalar>& rows, const LayerShape& s,
           const LayerScratch<Scalar>& scratch) const noexcept {
    const Scalar *u = rows.attended(), *last = u + (s.n - s.m) * s.dp;
    const auto all = maps();
    sums += norms();
    const auto next = [&](std::size_t i, const Scalar* dy, Index dy_stride, const Scalar* x,
                          Index x_stride, Index count) noexcept {
      all[i].add(sums, dy, dy_stride, x, x_stride, count);
      sums += all[i].template size<Scalar>();
    };
    next(0, rows.q, s.dp, last, s.dp, s.m);
    next(1, rows.kv, 2 * s.dp, u, s.dp, s.n);
    next(2, rows.kv + s.dp, 2 * s.dp, u, s.dp, s.n);
    next(3, scratch.da, s.dp, rows.a, s.dp, s.m);
    next(4, scratch.dg, s.Fp, rows.input2, s.dp, s.m);
    next(5, scratch.dm, s.dp, rows.g, s.Fp, s.m);
  }

  /// Adds the sums of all groups, `stride` apart, to the layer's gradients.
  void add_to(TransformerLayer<Scalar>& layer, const Scalar* sums, Index groups,
              Index stride) const noexcept {
    const Index dp = round_up(d, W);
    Scalar *in = layer.in_weight.gradient.data(), *in_bias = layer.in_bias.gradient.data();
    const std::array<std::array<Scalar*, 2>, 6> to = {
        {{in, in_bias},
         {in + d * d, in_bias + d},
         {in + 2 * d * d, in_bias + 2 * d},
         {layer.out_weight.gradient.data(), layer.out_bias.gradient.data()},
         {layer.weight1.gradient.data(), layer.bias1.gradient.data()},
         {layer.weight2.gradient.data(), layer.bias2.gradient.data()}}};
    for (Index g = 0; g < groups; ++g) {
      const Scalar* of = sums + g * stride;
      layer.norm1.add_gradients(of, of + dp);
      layer.norm2.add_gradients(of + 2 * dp, of + 3 * dp);
    }
    const auto all = maps();
    const double work = 8.0 * static_cast<double>(groups * size());
    parallel_for(std::ssize(all), work, [&](Index task) noexcept {
      const FloatModeGuard guard;
      const auto i = static_cast<std::size_t>(task);
      Index offset = norms();
      for (std::size_t j = 0; j < i; ++j) offset += all[j].template size<Scalar>();
      for (Index g = 0; g < groups; ++g)
        all[i].add_to(to[i][0], to[i][1], sums + g * stride + offset);
    });
  }
};

/// The sums of the input's linear map: for each panel of columns of dh, [I + 1][V][W]; the last row
/// is the bias's.
template <class Scalar>
struct InputSums {
  Index d, I;

  static constexpr Index W = kernels::lanes<Scalar>;
  Index size() const noexcept { return (I + 1) * round_up(d, W); }

  /// Adds one sample: dh [n][dp], aligned; x n columns, `x_stride` apart.
  void add(Scalar* sums, const Scalar* dh, const Scalar* x, Index x_stride,
           Index n) const noexcept {
    const Index dp = round_up(d, W);
    kernels::for_each_panel<Scalar>(d, [&](auto V, Index vector) noexcept {
      const Scalar* panel = dh + vector * W;
      kernels::add_outer<V(), Scalar>({1, sums, 0, {panel, dp, 0}, 0}, {x, x_stride, 0}, n,
                                      Index{1}, I);
      sums += I * V() * W;
      for (Index t = 0; t < n; t += kernels::outer_block)
        kernels::add_rows<V()>(sums, panel + t * dp, dp, std::min(kernels::outer_block, n - t));
      sums += V() * W;
    });
  }

  void add_to(Parameter<Scalar>& weight, Parameter<Scalar>& bias,
              const Scalar* sums) const noexcept {
    kernels::for_each_panel<Scalar>(d, [&](auto V, Index vector) noexcept {
      const Index from = vector * W, count = std::min(V() * W, d - from);
      for (Index c = 0; c < count; ++c) {
        for (Index k = 0; k < I; ++k) weight.gradient[(from + c) * I + k] += sums[k * V() * W + c];
        bias.gradient[from + c] += sums[I * V() * W + c];
      }
      sums += (I + 1) * V() * W;
    });
  }
};

/// Where the sums of one group stand: the layers', the final norm's [2][dp], the input's.
template <class Scalar>
struct GroupSums {
  LayerSums<Scalar> layer;
  InputSums<Scalar> input;
  Index layers;

  static GroupSums of(const TransformerOptions& o) noexcept {
    return {{o.hidden_size, o.feed_forward}, {o.hidden_size, o.input_size}, o.num_layers};
  }
  Index of_layer(Index l) const noexcept { return l * layer.size(); }
  Index of_norm() const noexcept { return layers * layer.size(); }
  Index of_input() const noexcept { return of_norm() + layer.norms(); }
  Index size() const noexcept { return round_up(of_input() + input.size(), Index{16}); }
};

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
