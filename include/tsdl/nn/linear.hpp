// A fully connected layer: y = W x + b, forward and backward.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/kernels/outer.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A fully connected layer: torch.nn.Linear.
///
///   y = W x + b        dx = W^T dy        dW += dy x^T        db += dy
///
///   symbol   shape        meaning
///   x, dx    [B][in]      one row per sample, dense
///   y, dy    [B][out]
///   weight   out x in
template <class ScalarType>
class Linear {
 public:
  using Scalar = ScalarType;

  /// Scratch buffers of the backward pass.
  struct Cache {
    Buffer<Scalar> dy, dweights;
  };

  /// Draws the weight from random stream `stream` of the seed, and the bias from stream + 1. Tensor
  /// names are PyTorch's, after `prefix`.
  /// Throws: ShapeError when a size is below 1.
  Linear(Index in, Index out, std::uint64_t seed = 0, const std::string& prefix = "",
         Init init = Init::pytorch, std::uint64_t stream = 0)
      : in_(in), out_(out) {
    const FloatModeGuard guard;
    constexpr Index most = 10'000'000;  // so that their product does not overflow
    if (in < 1 || out < 1 || in > most || out > most)
      throw ShapeError("Linear: sizes must be 1 to ", most, ", not ", in, " and ", out);
    weight_ = Parameter<Scalar>::matrix(internal::concatenate(prefix, "weight"), out, in);
    bias_ = Parameter<Scalar>::vector(internal::concatenate(prefix, "bias"), out);
    if (init == Init::pytorch) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(in));
      internal::fill_uniform(weight_, bound, RandomStream(seed, stream));
      internal::fill_uniform(bias_, bound, RandomStream(seed, stream + 1));
    } else {
      internal::fill_xavier(weight_, RandomStream(seed, stream));
    }
    pack_.assign(kernels::packed_size<Scalar>(in, out), Scalar{0});
    bias_pack_.assign(round_up(out, W), Scalar{0});
    repack();
  }

  Index in() const noexcept { return in_; }
  Index out() const noexcept { return out_; }
  const Parameter<Scalar>& weight() const noexcept { return weight_; }
  const Parameter<Scalar>& bias() const noexcept { return bias_; }

  // For a model that goes back through the layer itself, after need_gradients().

  Scalar* weight_gradient() noexcept { return weight_.gradient.data(); }  ///< [out][in]
  Scalar* bias_gradient() noexcept { return bias_.gradient.data(); }
  const Scalar* transposed_pack() const noexcept { return transposed_pack_.data(); }  ///< out x in

  /// Calls f(Parameter&) for weight and bias. Call repack() afterwards, or use update()
  /// (nn/module.hpp) instead.
  template <class F>
  void visit(F&& f) {
    packed_ = false;
    f(weight_);
    f(bias_);
  }

  template <class F>
  void visit(F&& f) const {
    f(weight_);
    f(bias_);
  }

  void zero_gradients() noexcept {
    weight_.zero_gradient();
    bias_.zero_gradient();
  }

  void repack() noexcept {
    if (pack_.empty()) return;  // moved from
    for (Index n = 0; n < out_; ++n) {
      const Scalar* row = weight_.value.data() + n * in_;
      kernels::pack_column<out_vectors>(pack_.data(), in_, out_, Index{0}, n, row, in_);
      bias_pack_[n] = bias_.value[n];
    }
    if (!transposed_pack_.empty()) pack_transposed();
    packed_ = true;
  }
  /// Throws: Error when parameters were visited and repack() was not called, or the layer was moved
  /// from.
  void check_packed() const {
    if (pack_.empty()) throw Error("Linear: it was moved from, and has no weights");
    internal::check_packed(packed_, "Linear");
  }

  /// Creates the gradients and the transposed pack if they are missing. Allocates: the first time.
  void need_gradients() {
    weight_.need_gradient();
    bias_.need_gradient();
    if (!transposed_pack_.empty()) return;
    transposed_pack_.assign(kernels::packed_size<Scalar>(out_, in_), Scalar{0});
    pack_transposed();
  }

  /// Computes y = W x + b. Shapes: y [B][out], x [B][in]. Throws: as check_packed.
  void forward(Scalar* y, const Scalar* x, Index B) const {
    check_packed();
    apply(y, x, B);
  }
  /// forward() without the check, for a caller that has called check_packed().
  void apply(Scalar* y, const Scalar* x, Index B) const noexcept { apply(y, x, in_, B); }
  /// The same for rows of x that are `stride` values apart.
  void apply(Scalar* y, const Scalar* x, Index stride, Index B) const noexcept {
    const FloatModeGuard guard;
    kernels::multiply<out_vectors>(kernels::Start::bias, y, out_, {x, stride, 1, in_, 0},
                                   pack_.data(), bias_pack_.data(), B, out_);
  }

  /// The backward pass. Accumulates: the gradients of weight and bias. Assigns: dx, which may be
  /// null. Allocates: when the cache must grow. Throws: as check_packed.
  void backward(Scalar* dx, const Scalar* dy, const Scalar* x, Index B, Cache& cache) {
    const FloatModeGuard guard;
    check_packed();
    need_gradients();
    constexpr Index width = kernels::panel_width<Scalar>;
    cache.dy.resize(B * width);
    for (Index first = 0; first < out_; first += width) {
      const Index count = std::min(width, out_ - first);
      std::fill(cache.dy.begin(), cache.dy.end(), Scalar{0});
      for (Index b = 0; b < B; ++b)
        std::copy_n(dy + b * out_ + first, count, cache.dy.data() + b * width);
      cache.dweights.assign((in_ + 1) * width, Scalar{0});
      const kernels::Columns<Scalar> right{cache.dy.data(), 0, width};
      kernels::add_outer<kernels::panel_vectors, Scalar>({1, cache.dweights.data(), 0, right, 0},
                                                         {x, 0, in_}, Index{1}, B, in_);
      kernels::add_rows<kernels::panel_vectors>(cache.dweights.data() + in_ * width,
                                                cache.dy.data(), width, B);
      for (Index n = 0; n < count; ++n) {
        for (Index k = 0; k < in_; ++k)
          weight_.gradient[(first + n) * in_ + k] += cache.dweights[k * width + n];
        bias_.gradient[first + n] += cache.dweights[in_ * width + n];
      }
    }
    if (!dx) return;
    kernels::multiply(kernels::Start::zero, dx, in_, {dy, out_, 1, out_, 0},
                      transposed_pack_.data(), static_cast<const Scalar*>(nullptr), B, in_);
  }

 private:
  static constexpr Index W = kernels::lanes<Scalar>;
  static constexpr Index out_vectors = 1;  ///< vectors per panel: a head has few outputs

  void pack_transposed() noexcept {
    for (Index n = 0; n < out_; ++n)
      kernels::pack_row(transposed_pack_.data(), out_, in_, n, Index{0},
                        weight_.value.data() + n * in_, in_);
  }

  Index in_, out_;
  Parameter<Scalar> weight_, bias_;
  Buffer<Scalar> pack_, bias_pack_;
  Buffer<Scalar> transposed_pack_;  ///< empty until the first backward pass
  bool packed_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
