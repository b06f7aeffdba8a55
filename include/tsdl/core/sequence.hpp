// The strided view through which every layer sees a batch of sequences.
#pragma once

#include <type_traits>

#include "tsdl/core/types.hpp"

namespace tsdl::inline TSDL_ABI {

/// A batch of B sequences of T steps with I values each, as a view: it owns nothing and copies
/// nothing. The column of step t of sample b is `data + t * step_stride + b * sample_stride`, and
/// its I values are adjacent.
///
/// A dense batch has step_stride = I * B and sample_stride = I (as a contiguous T x B x I tensor of
/// PyTorch's). A batch of consecutive sliding windows is the same view over the series itself, with
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

}  // namespace tsdl::inline TSDL_ABI
