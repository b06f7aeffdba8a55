// The normal distribution and Student's: what intervals and tests of select/ are made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The share Phi(x) of the standard normal distribution that is below x. Largest error: relative to
/// the result, 1e-14 for x > -8 and 2e-13 for x > -30.
inline double normal_cdf(double x) noexcept {
  const FloatModeGuard guard;
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

/// The x with Phi(x) = p. Largest error: 1e-14 max(1, |x|), as far as p itself is known.
/// Throws: OptionError when p is not between 0 and 1.
/// Source: Abramowitz and Stegun, Handbook of mathematical functions (1964), 26.2.23, to 4.5e-4;
/// then two of Halley's steps, each of which cubes the error.
inline double normal_quantile(double p) {
  const FloatModeGuard guard;
  if (!(is_finite(p) && p > 0 && p < 1))
    throw OptionError("normal_quantile: expected a probability between 0 and 1, not ", p);
  const double tail = std::min(p, 1 - p);
  const double t = std::sqrt(-2 * std::log(tail));
  double x = (2.515517 + t * (0.802853 + t * 0.010328)) /
                 (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
             t;
  for (int step = 0; step < 2; ++step) {
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    const double newton = (normal_cdf(x) - tail) / density;
    x -= newton / (1 + 0.5 * x * newton);
  }
  return p < 0.5 ? x : -x;
}

namespace internal {

/// The quantile of Student's distribution that belongs to the normal quantile x, within 1% for 2
/// degrees of freedom or more and |x| <= 2.
/// Source: Abramowitz and Stegun, Handbook of mathematical functions (1964), 26.7.5.
inline double student_quantile(double x, double degrees) noexcept {
  const double s = x * x;
  const double g1 = x * (1 + s) / 4;
  const double g2 = x * (3 + s * (16 + s * 5)) / 96;
  const double g3 = x * (-15 + s * (17 + s * (19 + s * 3))) / 384;
  const double g4 = x * (-945 + s * (-1920 + s * (1482 + s * (776 + s * 79)))) / 92160;
  return x + (g1 + (g2 + (g3 + g4 / degrees) / degrees) / degrees) / degrees;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
