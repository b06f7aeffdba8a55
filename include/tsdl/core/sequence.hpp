// The strided view through which every layer sees a batch of sequences.
#pragma once

#include <algorithm>
#include <type_traits>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A batch of B sequences of T steps with I values each, as a view: it owns nothing and copies
/// nothing. The column of step t of sample b is `data + t * step_stride + b * sample_stride`, and
/// its I values are adjacent.
///
/// A dense batch has step_stride = I * B and sample_stride = I, like a contiguous T x B x I tensor
/// in PyTorch. A batch of consecutive sliding windows is the same view over the series itself, with
/// step_stride = I and sample_stride = I * stride: windows cost no memory. Such views overlap, so
/// gradients with respect to inputs are written to a dense Sequence only.
template <class Scalar>
struct Sequence {
  Scalar* data = nullptr;
  Index inputs = 0;         ///< I
  Index steps = 0;          ///< T
  Index batch = 0;          ///< B
  Index step_stride = 0;    ///< from (t, b) to (t + 1, b), in values
  Index sample_stride = 0;  ///< from (t, b) to (t, b + 1), in values

  static Sequence dense(Scalar* data, Index inputs, Index steps, Index batch) {
    return {data, inputs, steps, batch, inputs * batch, inputs};
  }

  Scalar* column(Index t, Index b) const noexcept {
    return data + t * step_stride + b * sample_stride;
  }

  bool is_dense() const noexcept {
    return sample_stride == inputs && step_stride == inputs * batch;
  }

  operator Sequence<const Scalar>() const noexcept requires(!std::is_const_v<Scalar>) {
    return {data, inputs, steps, batch, step_stride, sample_stride};
  }
};

/// Copies the columns of a view to dense memory, [T][B][I].
template <class Scalar>
void copy_dense(const Sequence<const Scalar>& from, Scalar* to) noexcept {
  for (Index t = 0; t < from.steps; ++t)
    for (Index b = 0; b < from.batch; ++b, to += from.inputs)
      std::copy_n(from.column(t, b), from.inputs, to);
}

/// The distinct columns behind a view, evenly spaced in memory: column (t, b) of the view is
/// distinct column t * step + b * sample. Where windows overlap they share columns, and there are
/// fewer than T * B.
struct SharedColumns {
  Index unit = 0;  ///< from one distinct column to the next, in values
  Index step = 0, sample = 0;
  Index count = 0;  ///< distinct columns, counted from 0; 0: the view is not evenly spaced

  Index at(Index t, Index b) const noexcept { return t * step + b * sample; }
};

/// The distinct columns of a view; none where its strides are negative or no multiples of each
/// other.
template <class Scalar>
SharedColumns shared_columns(const Sequence<Scalar>& x) noexcept {
  const Index t = x.steps > 1 ? x.step_stride : 0, b = x.batch > 1 ? x.sample_stride : 0;
  const Index unit = t == 0 || b == 0 ? std::max(t, b) : std::min(t, b);
  if (t < 0 || b < 0 || unit == 0 || t % unit != 0 || b % unit != 0) return {};
  SharedColumns shared{unit, t / unit, b / unit, 0};
  shared.count = shared.at(x.steps - 1, x.batch - 1) + 1;
  return shared;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
