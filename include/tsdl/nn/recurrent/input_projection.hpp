// The linear layer and tanh that an encoder may have before its recurrent layers, as ALSTM has.
//
//   x'_t = tanh(W x_t + b)             forward
//   dz_t = dx'_t (1 - x'_t^2)          backward
//   dW += sum_t dz_t x_t'      db += sum_t dz_t      dx_t = W' dz_t
//
// Source: Qlib's ALSTM (qlib/contrib/model/pytorch_alstm.py, net_in).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/kernels/online_softmax.hpp"
#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/recurrent/checks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// tanh of a torch.nn.Linear(I, H) named `input`, on every column of a Sequence. Columns that
/// overlapping windows share are computed once in forward, and stay shared; backward works on a
/// dense copy.
///
///   symbol     shape       meaning
///   x          I x T x B   columns, at any strides
///   projected  H x count   one column for each distinct column of x
template <class ScalarType>
class InputProjection {
 public:
  using Scalar = ScalarType;

  /// What a pass keeps.
  struct Cache {
    Buffer<Scalar> projected;
    Buffer<Scalar> input;  ///< x, dense, with zeros for padded steps
    Buffer<Scalar> gradient;
    Sequence<const Scalar> columns{};  ///< of `projected`, over (t, b)
    typename Linear<Scalar>::Cache linear;
    bool masked = false;  ///< the forward pass read `input`
  };

  /// Draws weights from random streams of the seed far above those of the layers. Throws:
  /// ShapeError when a size is out of range.
  InputProjection(Index I, Index H, std::uint64_t seed, Init init)
      : linear_(I, H, seed, "input.", init, first_stream) {}

  Index in() const noexcept { return linear_.in(); }
  Index out() const noexcept { return linear_.out(); }
  static std::vector<TensorShape> tensors(Index I, Index H) {
    return {{"input.weight", {H, I}}, {"input.bias", {H}}};
  }

  template <class F>
  void visit(F&& f) {
    linear_.visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    linear_.visit(f);
  }
  void repack() noexcept { linear_.repack(); }
  void zero_gradients() noexcept { linear_.zero_gradients(); }
  void check_packed() const { linear_.check_packed(); }

  /// Projects one column. Shapes: projected H, x I. Allocates nothing.
  void apply(Scalar* projected, const Scalar* x) const noexcept {
    linear_.apply(projected, x, Index{1});
    kernels::tanh_of(projected, out());
  }

  /// Projects all columns, and returns a view of the cache over (t, b). `name` is the cell's.
  /// Allocates: when the cache must grow. Throws: ShapeError when x has no steps, no samples or
  /// another number of inputs, or lengths do not fit.
  Sequence<const Scalar> forward(const char* name, const Sequence<const Scalar>& x, Cache& cache,
                                 std::span<const Index> lengths, bool training) const {
    check(name, "forward", x);
    internal::check_lengths(name, lengths, x.steps, x.batch);
    cache.masked = training && std::any_of(lengths.begin(), lengths.end(),
                                           [&](Index length) { return length < x.steps; });
    Sequence<const Scalar> source = x;
    if (cache.masked) source = copy(x, cache, lengths);
    const SharedColumns columns = columns_of(source);
    const Index H = out();
    cache.projected.resize(columns.count * H);
    const Index parts = (columns.count + part - 1) / part;
    internal::parallel_for(parts, operations(columns.count), [&](Index p) noexcept {
      const FloatModeGuard task_guard;
      const Index first = p * part, end = std::min(first + part, columns.count);
      for (Index i = first; i < end;) {
        const Index count = std::min(end - i, columns.run - i % columns.run);
        linear_.apply(cache.projected.data() + i * H, source.data + columns.offset(i), columns.unit,
                      count);
        i += count;
      }
      kernels::tanh_of(cache.projected.data() + first * H, (end - first) * H);
    });
    cache.columns = {cache.projected.data(), H, x.steps, x.batch, columns.step * H,
                     columns.sample * H};
    return cache.columns;
  }

  /// Throws: ShapeError when x or the cache has other sizes than in forward, or dx is given and is
  /// not dense.
  void check_backward(const char* name, const Sequence<const Scalar>& x, const Cache& cache,
                      const Sequence<Scalar>& dx) const {
    check(name, "backward", x);
    const Sequence<const Scalar>& y = cache.columns;
    if (y.inputs != out() || y.steps != x.steps || y.batch != x.batch)
      throw ShapeError(name, "::backward: the cache is of another input projection or batch");
    if (dx.data &&
        (!dx.is_dense() || dx.inputs != in() || dx.steps != x.steps || dx.batch != x.batch))
      throw ShapeError(name, "::backward: dx must be a dense ", x.steps, " x ", x.batch, " x ",
                       in(), " sequence");
  }

  /// The gradient of the projected columns, T x B x H, which the layers fill and backward reads.
  Sequence<Scalar> gradient(Cache& cache) const {
    const Sequence<const Scalar>& y = cache.columns;
    cache.gradient.resize(y.steps * y.batch * out());
    return Sequence<Scalar>::dense(cache.gradient.data(), out(), y.steps, y.batch);
  }

  /// Goes back from gradient(cache). Accumulates: gradients of weight and bias. Assigns: dx, if
  /// given.
  void backward(const Sequence<const Scalar>& x, Cache& cache, const Sequence<Scalar>& dx) {
    const Sequence<const Scalar>& y = cache.columns;
    const Index H = out(), T = y.steps, B = y.batch;
    internal::parallel_for(T, 4.0 * static_cast<double>(T * B * H), [&](Index t) noexcept {
      const FloatModeGuard task_guard;
      for (Index b = 0; b < B; ++b) {
        const Scalar* column = y.column(t, b);
        Scalar* dz = cache.gradient.data() + (t * B + b) * H;
        for (Index i = 0; i < H; ++i) dz[i] *= Scalar{1} - column[i] * column[i];
      }
    });
    const Scalar* input = x.data;
    if (cache.masked)
      input = cache.input.data();
    else if (!x.is_dense())
      input = copy(x, cache, {}).data;
    linear_.backward(dx.data, cache.gradient.data(), input, T * B, cache.linear);
  }

 private:
  static constexpr std::uint64_t first_stream = (1u << 20) + 8;
  static constexpr Index part = 64;  ///< columns that are one task

  double operations(Index columns) const noexcept {
    return static_cast<double>(columns) * static_cast<double>(out()) *
           (2.0 * static_cast<double>(in()) + 20.0);
  }

  void check(const char* name, const char* function, const Sequence<const Scalar>& x) const {
    if (x.inputs != in())
      throw ShapeError(name, "::", function, ": inputs per step: expected ", in(), ", got ",
                       x.inputs);
    if (x.steps < 1 || x.batch < 1)
      throw ShapeError(name, "::", function,
                       ": a sequence needs at least one step and one sample, got T = ", x.steps,
                       ", B = ", x.batch);
    if (internal::saturated_product(x.steps, x.batch, out()) > internal::most_values)
      throw ShapeError(name, "::", function, ": T = ", x.steps, ", B = ", x.batch,
                       ": no memory holds that");
  }

  /// The distinct columns of a view; all T * B where they are not evenly spaced, or more stand
  /// between them.
  static SharedColumns columns_of(const Sequence<const Scalar>& x) noexcept {
    const Index all = x.steps * x.batch;
    const SharedColumns shared = shared_columns(x);
    if (shared.count > 0 && shared.count <= all) return shared;
    return {x.sample_stride, x.batch, 1, all, x.batch, x.step_stride};
  }

  /// A dense copy of x, with zeros in padded steps.
  static Sequence<const Scalar> copy(const Sequence<const Scalar>& x, Cache& cache,
                                     std::span<const Index> lengths) {
    cache.input.resize(x.steps * x.batch * x.inputs);
    Scalar* to = cache.input.data();
    for (Index t = 0; t < x.steps; ++t)
      for (Index b = 0; b < x.batch; ++b, to += x.inputs)
        if (t < sample_length(lengths, b, x.steps))
          std::copy_n(x.column(t, b), x.inputs, to);
        else
          std::fill_n(to, x.inputs, Scalar{0});
    return Sequence<const Scalar>::dense(cache.input.data(), x.inputs, x.steps, x.batch);
  }

  Linear<Scalar> linear_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
