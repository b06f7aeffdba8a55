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

  /// `steps`: what run() will be asked for. Throws: ShapeError when T is below 1.
  SlidingStack(const Stack& stack, Index T, Steps steps) : length_(T) {
    if (T < 1) throw ShapeError(Cell::name, " window: expected at least one step, got ", T);
    const Index I = stack.options().input_size, L = stack.options().num_layers;
    columns_.assign(2 * T * I, Scalar{0});
    cache_.layers.resize(static_cast<std::size_t>(L));
    cache_.T = T;
    cache_.B = 1;
    cache_.steps = steps;
    for (Index l = 0; l < L; ++l) {
      auto& layer = layer_of(l);
      layer.output.assign(T * width(stack), Scalar{0});
      for (Index d = 0; d < stack.directions(); ++d) {
        const Extent extent{T, 1, stack.live_steps(cache_, l, d)};
        stack.at(l, d).prepare(layer.direction[d], input(stack, l), extent, false);
      }
    }
    for (Index d = 0; d < stack.directions(); ++d) {
      Buffer<Scalar>& products = layer_of(0).direction[d].projection;
      products.assign(2 * T * product_size(stack), Scalar{0});
    }
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
    const Index L = stack.options().num_layers, D = stack.directions();
    for (Index l = 0; l < L; ++l) {
      auto& layer = layer_of(l);
      const Sequence<const Scalar> x = input(stack, l);
      for (Index d = 0; d < D; ++d) {
        const auto& at = stack.at(l, d);
        auto& direction = layer.direction[d];
        if (l == 0)
          direction.first_column = next_;
        else
          for (Index task = 0; task < at.projection_tasks(direction); ++task)
            at.project(direction, x, task);
        at.forward_tile(direction, x, stack.columns(layer.output, length_, Index{1}, d), Index{0});
      }
    }
    return stack.encoded(cache_);
  }

  /// What it remembers are its columns; after reading them call restore().
  void state(StateBytes& bytes) { bytes(columns_, next_); }
  void restore(const Stack& stack) noexcept {
    const kernels::DenormalGuard guard;
    for (Index slot = 0; slot < length_; ++slot) multiply(stack, slot);
  }

 private:
  static Index width(const Stack& stack) noexcept {
    return stack.directions() * stack.at(0, 0).padded_hidden();
  }
  /// Of one direction's product with one column.
  static Index product_size(const Stack& stack) noexcept {
    const auto& layer = stack.at(0, 0);
    return layer.panels() * layer.gate_width;
  }
  auto& layer_of(Index l) noexcept { return cache_.layers[static_cast<std::size_t>(l)]; }

  /// What layer l reads, of one sample.
  Sequence<const Scalar> input(const Stack& stack, Index l) noexcept {
    const Index I = stack.options().input_size;
    if (l == 0) return {columns_.data() + next_ * I, I, length_, 1, I, I};
    return Sequence<const Scalar>::dense(layer_of(l - 1).output.data(), width(stack), length_, 1);
  }

  /// The first layer's products with the column in `slot`, for the directions that use them ahead.
  void multiply(const Stack& stack, Index slot) noexcept {
    const Index I = stack.options().input_size, size = product_size(stack);
    for (Index d = 0; d < stack.directions(); ++d) {
      auto& direction = layer_of(0).direction[d];
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
