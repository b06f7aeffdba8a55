// Window normalisation: where a window's numbers stand, and how to move them there and back.
//
//   none       x' = x
//   last       x' = x - x[T - 1]
//   instance   x' = (x - mean(x)) / sqrt(var(x) + 1e-5)     over the T steps of one column
//
// Source: Kim et al. 2022 (RevIN, without its affine weights) for instance; Zeng et al. 2023
// (NLinear) for last.
#pragma once

#include <cmath>
#include <string_view>

#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How each column of a window is normalised before a model reads it.
enum class WindowNorm { none, last, instance };

inline std::string_view to_string(WindowNorm norm) noexcept {
  switch (norm) {
    case WindowNorm::none:
      return "none";
    case WindowNorm::last:
      return "last";
    case WindowNorm::instance:
      return "instance";
  }
  return "";
}

/// Throws: OptionError when the name is not none, last or instance.
inline WindowNorm window_norm_from(std::string_view name) {
  for (const WindowNorm norm : {WindowNorm::none, WindowNorm::last, WindowNorm::instance})
    if (name == to_string(norm)) return norm;
  throw OptionError("normalise: expected none, last or instance, got '", name, "'");
}

/// A normalised number x' stands for centre + spread x'.
struct WindowScale {
  double centre = 0.0;
  double spread = 1.0;

  double normalised(double x) const noexcept { return (x - centre) / spread; }
  double restored(double x) const noexcept { return centre + spread * x; }
};

/// The scale of column i of sample b. Sums run over ascending t, in double.
template <class Scalar>
WindowScale window_scale(WindowNorm norm, const Sequence<const Scalar>& x, Index b,
                         Index i) noexcept {
  if (norm == WindowNorm::none) return {};
  if (norm == WindowNorm::last) return {static_cast<double>(x.column(x.steps - 1, b)[i]), 1.0};
  const auto T = static_cast<double>(x.steps);
  double mean = 0, variance = 0;
  for (Index t = 0; t < x.steps; ++t) mean += static_cast<double>(x.column(t, b)[i]);
  mean /= T;
  for (Index t = 0; t < x.steps; ++t) {
    const double off = static_cast<double>(x.column(t, b)[i]) - mean;
    variance += off * off;
  }
  return {mean, std::sqrt(variance / T + 1e-5)};
}

}  // namespace TSDL_ABI
}  // namespace tsdl
