// From an encoder's columns to the rows that a head reads, forward and backward.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/nn/module.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What a network's head reads of its encoder: one row a sample, or one a step and sample. A row
/// has the encoder's output_size() values, forward before reverse.
enum class Pooling {
  last,          ///< out[:, -1, :]: of the reverse direction, its first step
  final_states,  ///< each direction's last step: forward's at T - 1, reverse's at 0
  mean,          ///< the mean over t
  each           ///< every step, of a causal encoder: rows are [T][B]
};

inline std::string_view to_string(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::last:
      return "last";
    case Pooling::final_states:
      return "final";
    case Pooling::mean:
      return "mean";
    case Pooling::each:
      return "each";
  }
  return "";
}

inline constexpr Pooling poolings[] = {Pooling::last, Pooling::final_states, Pooling::mean,
                                       Pooling::each};

/// Throws: OptionError when the name is none of these.
inline Pooling pooling_from(std::string_view name) {
  std::string known;
  for (const Pooling pooling : poolings) {
    if (name == to_string(pooling)) return pooling;
    known.append(known.empty() ? "" : ", ").append(to_string(pooling));
  }
  throw OptionError("pooling: expected one of ", known, ", got '", name, "'");
}

namespace internal {

inline Steps steps_read_by(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::last:
      return Steps::last;
    case Pooling::final_states:
      return Steps::final;
    case Pooling::mean:
    case Pooling::each:
      return Steps::all;
  }
  return Steps::all;
}

/// Rows a sample.
inline Index rows_of(Pooling pooling, Index T) noexcept { return pooling == Pooling::each ? T : 1; }

/// What `pooling` makes of an encoder's columns. Sums run by ascending t. Shapes: pooled
/// [B][width], or [T][B][width] for each.
template <class Scalar>
void pool(Scalar* pooled, const Encoded<Scalar>& y, Pooling pooling) {
  const Index width = y.width, T = y.columns.steps, B = y.columns.batch;
  const Index rows = rows_of(pooling, T);
  for (Index r = 0; r < rows * B; ++r)
    for (Index s = 0; s < y.segments; ++s) {
      // Plain loops: Eigen's would be functions whose names do not tell the instruction set.
      const Index b = r % B;
      Scalar* row = pooled + (r * y.segments + s) * width;
      const bool mean = pooling == Pooling::mean;
      const bool from_start = mean || (pooling == Pooling::final_states && s >= y.reverse);
      std::copy_n(y.segment(pooling == Pooling::each ? r / B
                            : from_start             ? 0
                                                     : T - 1,
                            b, s),
                  width, row);
      if (!mean) continue;
      for (Index t = 1; t < T; ++t) {
        const Scalar* column = y.segment(t, b, s);
        for (Index i = 0; i < width; ++i) row[i] += column[i];
      }
      for (Index i = 0; i < width; ++i) row[i] /= static_cast<Scalar>(T);
    }
}

/// How the gradient of the rows enters the columns: one a sample into every step the pooling read
/// (a step stride of 0), or for each one a step.
template <class Scalar>
Upstream<Scalar> upstream_of(const Scalar* drows, Index width, Index T, Index B,
                             Pooling pooling) noexcept {
  const Index step = pooling == Pooling::each ? B * width : 0;
  return {{drows, width, T, B, step, width}, steps_read_by(pooling)};
}

/// d(mean)/dy is 1 / T at each step.
template <class Scalar>
void unpool(Scalar* drows, Index count, Index T, Pooling pooling) noexcept {
  if (pooling == Pooling::mean)
    for (Index i = 0; i < count; ++i) drows[i] /= static_cast<Scalar>(T);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
