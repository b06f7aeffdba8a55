// How a model runs on a live series: the last T rows again after each, or a state that is carried.
// A model that can do better than to run its window again brings a Window of its own, as recurrent
// networks do; one that carries a state brings Carried.
#pragma once

#include <algorithm>
#include <concepts>
#include <span>
#include <utility>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/nn/model.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The last T rows of a series, through any model. Rows stand in a ring that is kept twice over,
/// one copy after the other: any T in a row are then adjacent.
template <Model M>
class RerunWindow {
 public:
  using Scalar = typename M::Scalar;

  /// Runs the model once, on zeros, so that its cache has its size and what it refuses is thrown
  /// here. Throws: ShapeError when T is below 1; what forward throws.
  RerunWindow(const M& model, Index T) : length_(T), inputs_(model.inputs()) {
    if (T < 1) throw ShapeError("window: expected at least one row, got ", T);
    rows_.assign(2 * T * inputs_, Scalar{0});
    check_outputs(model, model.forward(view(), cache_, Pass{}), T, 1);
  }
  RerunWindow(const RerunWindow& other)
      : length_(other.length_), inputs_(other.inputs_), next_(other.next_), rows_(other.rows_) {}
  RerunWindow(RerunWindow&&) noexcept = default;
  RerunWindow& operator=(RerunWindow other) noexcept {
    std::swap(length_, other.length_);
    std::swap(inputs_, other.inputs_);
    std::swap(next_, other.next_);
    rows_.swap(other.rows_);
    cache_ = typename M::Cache();
    return *this;
  }
  ~RerunWindow() = default;

  void push(const M&, const Scalar* x) noexcept {
    std::copy_n(x, inputs_, rows_.data() + next_ * inputs_);
    std::copy_n(x, inputs_, rows_.data() + (next_ + length_) * inputs_);
    next_ = next_ + 1 == length_ ? 0 : next_ + 1;
  }

  /// The outputs of the last step. Allocates: in the first call after a copy, and what forward
  /// does.
  std::span<const Scalar> run(const M& model) noexcept {
    const Outputs<Scalar> outputs = model.forward(view(), cache_, Pass{});
    return {outputs.data() + outputs.size() - outputs.rows(),
            static_cast<std::size_t>(outputs.rows())};
  }

  void reset() noexcept {}
  void state(StateBytes& bytes) { bytes(rows_, next_); }
  void restore(const M&) noexcept {}

 private:
  Sequence<const Scalar> view() const noexcept {
    return Sequence<const Scalar>::dense(rows_.data() + next_ * inputs_, inputs_, length_, 1);
  }

  Index length_, inputs_;
  Index next_ = 0;  ///< the slot of the next row: the oldest is there
  Buffer<Scalar> rows_;
  typename M::Cache cache_{};
};

namespace internal {

template <class M>
struct WindowType {
  using type = RerunWindow<M>;
};
template <class M>
requires requires { typename M::Window; }
struct WindowType<M> {
  using type = typename M::Window;
};

/// In place of what carries a state, for a model that has no such.
template <class M>
struct NoCarried {
  using Scalar = typename M::Scalar;
  explicit NoCarried(const M& model) {
    throw ShapeError("a model of kind ", model.describe().kind, " cannot carry its state");
  }
  std::span<const Scalar> push(const M&, const Scalar*) noexcept { return {}; }
  void reset() noexcept {}
  void state(StateBytes&) {}
  void restore(const M&) noexcept {}
};

template <class M, class Weight, Index Input, Index Hidden>
struct CarriedType {
  using type = NoCarried<M>;
};
template <class M, class Weight, Index Input, Index Hidden>
requires requires { typename M::template Carried<Weight, Input, Hidden>; }
struct CarriedType<M, Weight, Input, Hidden> {
  using type = typename M::template Carried<Weight, Input, Hidden>;
};

}  // namespace internal

/// A model's Window.
template <class M>
using WindowOf = typename internal::WindowType<M>::type;

/// What carries a model's state. Its constructor throws where the model cannot.
template <class M, class Weight = typename M::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
using CarriedOf = typename internal::CarriedType<M, Weight, Input, Hidden>::type;

}  // namespace TSDL_ABI
}  // namespace tsdl
