// Sinusoidal positions of steps, which a Transformer adds to its rows.
#pragma once

#include <cmath>

#include "tsdl/core/buffer.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// w of column i of d: 10000^(-2 floor(i / 2) / d). Source: Vaswani et al. 2017, section 3.5.
inline double position_frequency(Index i, Index d) noexcept {
  const double exponent = static_cast<double>(i / 2 * 2) / static_cast<double>(d);
  return std::exp(-std::log(10000.0) * exponent);
}

/// Position t: sin(t w_i) in column 2 i and cos(t w_i) in column 2 i + 1, as far as there are
/// columns. Shapes: positions [T][dp], 0 beyond d. Does nothing where it holds T positions of d
/// columns already. Allocates: when it must grow.
template <class Scalar>
void fill_positions(Buffer<Scalar>& positions, Index T, Index d) {
  const Index dp = round_up(d, kernels::lanes<Scalar>);
  if (positions.size() >= T * dp) return;
  positions.assign(T * dp, Scalar{0});
  for (Index i = 0; i < d; ++i) {
    const double frequency = position_frequency(i, d);
    for (Index t = 0; t < T; ++t) {
      const double angle = static_cast<double>(t) * frequency;
      positions[t * dp + i] = static_cast<Scalar>(i % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  }
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
