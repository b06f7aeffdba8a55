// A window that slides over a series, run again after each column: what a live process runs where a
// network reads its window in both directions, or where the window's start must count as one.
#pragma once

#include <algorithm>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/recurrent/stack.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The last T columns through a stack, which is given to each call and stays the same. What run()
/// computes has the bits that RecurrentStack::forward gives for those columns. The first layer's
/// product with a column is made once, when the column comes, and kept while it is in the window.
///
/// Columns and products stand in rings of T that are kept twice over, one copy after the other: any
/// T in a row are then adjacent.
template <class Cell>
class SlidingStack {
 public:
  using Scalar = typename Cell::Scalar;
  using Stack = RecurrentStack<Cell>;

  /// `steps`: what run() will be asked for. Throws: ShapeError when T is below 1; Error when
  /// parameters were visited and not repacked.
  SlidingStack(const Stack& stack, Index T, Steps steps) : length_(T) {
    if (T < 1) throw ShapeError(Cell::name, " window: expected at least one step, got ", T);
    stack.check_packed();
    columns_.assign(2 * T * stack.options().input_size, Scalar{0});
    ForwardOptions<Scalar> how;
    how.steps = steps;
    stack.prepare(cache_, window(stack), how);
    for (Index d = 0; d < stack.directions(); ++d)
      first_layer(d).projection.assign(2 * T * product_size(stack), Scalar{0});
  }

  /// Takes the next column; the oldest leaves the window. Shapes: x I. Allocates nothing.
  void push(const Stack& stack, const Scalar* x) noexcept {
    const kernels::DenormalGuard guard;
    const Index I = stack.options().input_size, slot = next_;
    std::copy_n(x, I, columns_.data() + slot * I);
    std::copy_n(x, I, columns_.data() + (slot + length_) * I);
    multiply(stack, slot);
    next_ = next_ + 1 == length_ ? 0 : next_ + 1;
  }

  /// Runs the window, in this thread, and gives the top layer's columns, valid until the next call.
  /// At least T columns were pushed. Allocates nothing.
  Encoded<Scalar> run(const Stack& stack) noexcept {
    const kernels::DenormalGuard guard;
    for (Index d = 0; d < stack.directions(); ++d) first_layer(d).first_column = next_;
    stack.run(cache_, window(stack), {}, {.threads = false, .project_first = false});
    return stack.encoded(cache_);
  }

  /// What it remembers are its columns; after reading them call restore().
  void state(StateBytes& bytes) { bytes(columns_, next_); }
  void restore(const Stack& stack) noexcept {
    const kernels::DenormalGuard guard;
    for (Index slot = 0; slot < length_; ++slot) multiply(stack, slot);
  }

 private:
  /// Of one direction's product with one column.
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

  /// The first layer's products with the column in `slot`, for the directions that use them ahead.
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
  Index next_ = 0;          ///< the slot of the next column: the oldest is there
  Buffer<Scalar> columns_;  ///< [2 T][I]
  StackCache<Scalar> cache_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
