// One sequence through a stack, a column at a time: what a live process runs.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/stack.hpp"

namespace tsdl::inline TSDL_ABI {

/// Carries h, and an LSTM's c, from one column to the next. After n columns its state has the bits
/// that RecurrentStack::forward gives for a sequence of those n.
template <class Cell>
class RecurrentStream {
 public:
  using Scalar = typename Cell::Scalar;

  /// Starts from zero states. The stack must outlive the stream, and be repacked when it changes.
  /// Throws: ShapeError for a bidirectional stack: its reverse direction begins at the end.
  explicit RecurrentStream(const RecurrentStack<Cell>& stack) : stack_(stack) {
    if (stack.directions() != 1)
      throw ShapeError(Cell::name, " stream: a bidirectional network cannot be streamed");
    levels_.resize(static_cast<std::size_t>(stack.options().num_layers));
    for (Level& level : levels_) {
      const Index Hp = stack.layer(0).padded_hidden();
      for (Buffer<Scalar>* buffer : {&level.h, &level.next}) buffer->assign(Hp, Scalar{0});
      level.cells.assign(Hp * Cell::cell_vectors, Scalar{0});
    }
  }

  /// One step. Returns the top layer's h, valid until the next push or reset. Shapes: x I; H.
  /// Allocates nothing.
  std::span<const Scalar> push(const Scalar* x) noexcept {
    const kernels::DenormalGuard guard;
    for (Index l = 0; l < std::ssize(levels_); ++l) {
      Level& level = levels_[static_cast<std::size_t>(l)];
      stack_.layer(l).step(x, level.h.data(), level.next.data(), level.cells.data(), descending_);
      level.h.swap(level.next);
      x = level.h.data();
    }
    descending_ = !descending_;
    return {x, static_cast<std::size_t>(stack_.options().hidden_size)};
  }

  /// Back to zero states.
  void reset() noexcept {
    for (Level& level : levels_) {
      std::fill(level.h.begin(), level.h.end(), Scalar{0});
      std::fill(level.cells.begin(), level.cells.end(), Scalar{0});
    }
  }

 private:
  struct Level {
    Buffer<Scalar> h, next, cells;
  };

  const RecurrentStack<Cell>& stack_;
  std::vector<Level> levels_;
  bool descending_ = false;
};

}  // namespace tsdl::inline TSDL_ABI
