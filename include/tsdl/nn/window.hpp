// How a model runs on a live series: it runs its last T rows again after each new row, or it
// carries a state. A model that can run its window faster than by forward defines its own Window,
// as recurrent networks do; a model that can carry a state defines Carried.
#pragma once

#include <algorithm>
#include <concepts>
#include <span>
#include <utility>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/nn/model.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Runs any model on the last T rows of a series. The rows are in a ring buffer that is stored
/// twice, one copy after the other, so that any T successive rows are contiguous.
template <Model M>
class RerunWindow {
 public:
  using Scalar = typename M::Scalar;

  /// Runs the model once on zeros, to size its cache and to throw here what forward would throw
  /// later.
  /// Throws: ShapeError when T is below 1; what forward throws.
  RerunWindow(const M& model, Index T) : length_(T), inputs_(model.inputs()) {
    if (T < 1 || internal::saturated_product(2 * inputs_, T) > internal::most_values)
      throw ShapeError("window: expected one row or more, as memory holds, got ", T);
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

  /// Returns the outputs of the last step. Allocates: in the first call after a copy, and whatever
  /// forward allocates.
  std::span<const Scalar> run(const M& model) noexcept {
    const FloatModeGuard guard;
    const Outputs<Scalar> outputs = model.forward(view(), cache_, Pass{});
    return {outputs.data() + outputs.size() - outputs.rows(),
            static_cast<std::size_t>(outputs.rows())};
  }

  void reset() noexcept {}
  void state(StateBytes& bytes) {
    bytes.finite(rows_);
    bytes.within(next_, 0, length_ - 1);
  }
  void restore(const M&) noexcept {}

 private:
  Sequence<const Scalar> view() const noexcept {
    return Sequence<const Scalar>::dense(rows_.data() + next_ * inputs_, inputs_, length_, 1);
  }

  Index length_, inputs_;
  Index next_ = 0;  ///< the slot of the next row, which holds the oldest row
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

/// Takes the place of Carried for a model that has none.
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

/// Makes C from a model; `max_steps` is for one that keeps something of every row.
template <class C, class M>
C make_carried(const M& model, Index max_steps) {
  if constexpr (std::constructible_from<C, const M&, Index>)
    return C(model, max_steps);
  else
    return C(model);
}

/// Whether the next push of a stream will be refused, because it is full.
template <class C>
bool is_full(const C& stream) noexcept {
  if constexpr (requires { stream.is_full(); })
    return stream.is_full();
  else
    return false;
}

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

/// A model's own Window, or RerunWindow.
template <class M>
using WindowOf = typename internal::WindowType<M>::type;

/// A model's own Carried, or a class whose constructor throws ShapeError.
template <class M, class Weight = typename M::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
using CarriedOf = typename internal::CarriedType<M, Weight, Input, Hidden>::type;

}  // namespace TSDL_ABI
}  // namespace tsdl
