// A multivariate series: features x time, column-major, one column per candle.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The value of a feature that is not warm yet, and of an unknown label.
inline constexpr const double& undefined = nan_of<double>;

/// The most rows that a window, a stride or a label may span: far above any in use, and low enough
/// that no sum or product of such numbers overflows.
inline constexpr Index most_rows = 1'000'000;

}  // namespace internal

/// Rows first, first + 1, ..., last - 1.
struct RowRange {
  Index first = 0;
  Index last = 0;  ///< one past the end
};

/// Features over time. The values of one row (one candle) are adjacent; NaN marks a value that is
/// not warm yet or undefined.
/// Shapes: values is features x rows, column-major; names has one entry per feature.
template <class Scalar>
struct Series {
  std::vector<std::string> names;
  Index features = 0;
  Index rows = 0;
  Buffer<Scalar> values;

  /// A series of unspecified values. Allocates. Throws: ShapeError when `rows` is negative, or
  /// there are more values than memory can hold.
  static Series sized(std::vector<std::string> names, Index rows) {
    Series series;
    series.features = static_cast<Index>(names.size());
    if (rows < 0 || internal::saturated_product(series.features, rows) > internal::most_values)
      throw ShapeError("Series: ", rows, " rows of ", series.features, " features");
    series.rows = rows;
    series.names = std::move(names);
    series.values.resize(series.features * rows);
    return series;
  }

  Scalar* column(Index t) noexcept { return values.data() + t * features; }
  const Scalar* column(Index t) const noexcept { return values.data() + t * features; }

  /// Whether every feature of row `t` is finite.
  bool is_complete(Index t) const noexcept {
    const Scalar* value = column(t);
    for (Index i = 0; i < features; ++i)
      if (!is_finite(value[i])) return false;
    return true;
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
