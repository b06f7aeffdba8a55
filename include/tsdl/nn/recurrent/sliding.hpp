// A window that slides over a live series and runs again after each new column. It serves
// bidirectional networks, and streams in which each window must start from a zero state.
#pragma once

#include <algorithm>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/recurrent/stack.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Runs a stack on the last T columns of a series. Every call must be given the same stack,
/// unchanged. The results of run() have the bits of RecurrentStack::forward on those columns. The
/// first layer's product with a column is computed once, when the column arrives, and kept while
/// the column is in the window.
///
/// Columns and products are in ring buffers of T slots that are stored twice, one copy after the
/// other, so that any T successive slots are contiguous.
template <class Cell>
class SlidingStack {
 public:
  using Scalar = typename Cell::Scalar;
  using Stack = RecurrentStack<Cell>;

  /// `steps`: the columns that run() must give. Throws: ShapeError when T is below 1; Error when
  /// parameters were visited and not repacked.
  SlidingStack(const Stack& stack, Index T, Steps steps) : length_(T) {
    stack.check_packed();
    if (T < 1 || internal::saturated_product(2 * stack.shape().widest(Cell::slots * Cell::W), T) >
                     internal::most_values)
      throw ShapeError(Cell::name, " window: expected one step or more, as memory holds, got ", T);
    columns_.assign(2 * T * stack.options().input_size, Scalar{0});
    ForwardOptions<Scalar> options;
    options.steps = steps;
    stack.prepare(cache_, window(stack), options);
    for (Index d = 0; d < stack.directions(); ++d)
      first_layer(d).projection.assign(2 * T * product_size(stack), Scalar{0});
  }

  /// Takes the next column; the oldest column leaves the window. Shapes: x I. Allocates nothing.
  void push(const Stack& stack, const Scalar* x) noexcept {
    TSDL_ASSERT(stack.shape() == cache_.shape);
    const FloatModeGuard guard;
    const Index I = stack.options().input_size, slot = next_;
    std::copy_n(x, I, columns_.data() + slot * I);
    std::copy_n(x, I, columns_.data() + (slot + length_) * I);
    multiply(stack, slot);
    next_ = next_ + 1 == length_ ? 0 : next_ + 1;
  }

  /// Runs the window in this thread and returns the top layer's columns, valid until the next call.
  /// At least T columns must have been pushed. Allocates nothing.
  Encoded<Scalar> run(const Stack& stack) noexcept {
    TSDL_ASSERT(stack.shape() == cache_.shape);
    const FloatModeGuard guard;
    for (Index d = 0; d < stack.directions(); ++d) first_layer(d).first_column = next_;
    stack.run(cache_, window(stack), {}, {.threads = false, .project_first = false});
    return stack.encoded(cache_);
  }

  /// Reads or writes the columns. After reading, call restore() to compute their products.
  void state(StateBytes& bytes) {
    bytes.finite(columns_);
    bytes.within(next_, 0, length_ - 1);
  }
  void restore(const Stack& stack) noexcept {
    const FloatModeGuard guard;
    for (Index slot = 0; slot < length_; ++slot) multiply(stack, slot);
  }

 private:
  /// The number of values in one direction's product with one column.
  static Index product_size(const Stack& stack) noexcept {
    const auto& layer = stack.at(0, 0);
    return layer.panels() * layer.gate_width;
  }
  DirectionCache<Scalar>& first_layer(Index d) noexcept { return cache_.layers[0].direction[d]; }

  /// The columns in the window, as one sample.
  Sequence<const Scalar> window(const Stack& stack) const noexcept {
    const Index I = stack.options().input_size;
    return {columns_.data() + next_ * I, I, length_, 1, I, I};
  }

  /// Computes the first layer's products with the column in `slot`, for the directions that read
  /// them.
  void multiply(const Stack& stack, Index slot) noexcept {
    const Index I = stack.options().input_size, size = product_size(stack);
    for (Index d = 0; d < stack.directions(); ++d) {
      DirectionCache<Scalar>& direction = first_layer(d);
      if (direction.columns.count == 0) continue;
      stack.at(0, d).project(direction, slot, columns_.data() + slot * I, I, Index{1});
      Scalar* products = direction.projection.data();
      std::copy_n(products + slot * size, size, products + (slot + length_) * size);
    }
  }

  Index length_;
  Index next_ = 0;          ///< the slot of the next column, which holds the oldest
  Buffer<Scalar> columns_;  ///< [2 T][I]
  StackCache<Scalar> cache_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
