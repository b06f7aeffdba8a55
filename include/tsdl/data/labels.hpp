// Labels: what a window's last row is asked about the rows after it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/table.hpp"

namespace tsdl::inline TSDL_ABI {

/// 1 when the next candle's true range is above the median of the `lookback` true ranges that end
/// at the row's candle, else 0.
/// Equations: true range = max(high - low, |high - previous close|, |low - previous close|);
/// undefined for the first candle.
struct RangeLabel {
  Index lookback = 20;
};

/// 1 when the close `horizon` candles ahead is above the row's close, else 0.
struct DirectionLabel {
  Index horizon = 1;
};

/// The value of a table's column `offset` rows below the row: 0 when the label stands on the
/// window's last row, 1 when on the row after it.
struct ColumnLabel {
  std::string column = {};
  Index offset = 0;
};

using Label = std::variant<RangeLabel, DirectionLabel, ColumnLabel>;

/// How many rows ahead of its own row a label looks.
inline Index horizon(const RangeLabel&) noexcept { return 1; }
inline Index horizon(const DirectionLabel& label) noexcept { return label.horizon; }
inline Index horizon(const ColumnLabel& label) noexcept { return label.offset; }
inline Index horizon(const Label& label) noexcept {
  return std::visit([](const auto& one) { return horizon(one); }, label);
}

namespace internal {

inline void check(const RangeLabel& label) {
  if (label.lookback < 1)
    throw DataError("RangeLabel: expected a lookback of 1 or more, found ", label.lookback);
}
inline void check(const DirectionLabel& label) {
  if (label.horizon < 1)
    throw DataError("DirectionLabel: expected a horizon of 1 or more, found ", label.horizon);
}
inline void check(const ColumnLabel& label) {
  if (label.offset < 0)
    throw DataError("ColumnLabel: expected an offset of 0 or more, found ", label.offset);
}

/// max(high - low, |high - previous close|, |low - previous close|)
inline double true_range(const Candle& candle, double previous_close) noexcept {
  return std::max(candle.high, previous_close) - std::min(candle.low, previous_close);
}

/// The median of `values`, the mean of the middle two when their number is even. Reorders them.
inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

inline std::vector<double> label_values(const Candles& candles, const RangeLabel& label) {
  const Index rows = candles.size();
  std::vector<double> labels(candles.rows.size(), undefined);
  std::vector<double> ranges(candles.rows.size(), undefined);
  for (Index row = 1; row < rows; ++row)
    ranges[static_cast<std::size_t>(row)] = true_range(candles[row], candles[row - 1].close);
  std::vector<double> trailing;
  for (Index row = label.lookback; row < rows - 1; ++row) {
    const auto end = ranges.begin() + row + 1;
    trailing.assign(end - label.lookback, end);
    labels[static_cast<std::size_t>(row)] = *end > median(trailing) ? 1 : 0;
  }
  return labels;
}

inline std::vector<double> label_values(const Candles& candles, const DirectionLabel& label) {
  std::vector<double> labels(candles.rows.size(), undefined);
  for (Index row = 0; row < candles.size() - label.horizon; ++row)
    labels[static_cast<std::size_t>(row)] =
        candles[row + label.horizon].close > candles[row].close ? 1 : 0;
  return labels;
}

inline std::vector<double> label_values(const Candles&, const ColumnLabel& label) {
  throw DataError("ColumnLabel: candles have no label column ", label.column, "; read a Table");
}

inline std::vector<double> label_values(const Table& table, const ColumnLabel& label) {
  std::vector<double> labels(static_cast<std::size_t>(table.size()), undefined);
  for (Index row = 0; row < static_cast<Index>(table.label.size()) - label.offset; ++row)
    labels[static_cast<std::size_t>(row)] =
        table.label[static_cast<std::size_t>(row + label.offset)];
  return labels;
}

/// The first label of candles reads `before` rows, its own and `ahead` more.
inline void require_rows(std::string_view label, Index rows, Index before, Index ahead) {
  if (before >= rows || ahead >= rows - before)
    throw DataError(label, ": its horizon is beyond the end: of ", rows,
                    " rows the first label needs ", before, " before its own and ", ahead,
                    " after it");
}

}  // namespace internal

/// The label of every row, NaN where it is undefined: in the first rows of a RangeLabel and the
/// last horizon rows of all. The label of row r reads rows up to r + horizon only.
/// Throws: DataError when the label's options are out of range, when no row can have a label, for a
/// ColumnLabel, and when the candles are not valid (see validate).
inline std::vector<double> make_labels(const Candles& candles, const Label& label) {
  validate(candles, "make_labels");
  return std::visit(
      [&](const auto& one) {
        using Kind = std::decay_t<decltype(one)>;
        internal::check(one);
        if constexpr (std::is_same_v<Kind, RangeLabel>)
          internal::require_rows("RangeLabel", candles.size(), one.lookback, 1);
        if constexpr (std::is_same_v<Kind, DirectionLabel>)
          internal::require_rows("DirectionLabel", candles.size(), 0, one.horizon);
        return internal::label_values(candles, one);
      },
      label);
}

/// The label of every row of a table, NaN where its cell is empty or beyond the end.
/// Throws: DataError when the offset is negative or beyond the end, when the table has no label
/// column or one of another name, and what validate throws.
inline std::vector<double> make_labels(const Table& table, const ColumnLabel& label) {
  validate(table, "make_labels");
  internal::check(label);
  if (table.label.empty())
    throw DataError("ColumnLabel: the table was read without a label column");
  if (!label.column.empty() && !table.label_name.empty() &&
      internal::ascii_lower(internal::trimmed(label.column)) !=
          internal::ascii_lower(internal::trimmed(table.label_name)))
    throw DataError("ColumnLabel: expected the label column ", label.column,
                    ", the table was read with ", table.label_name);
  internal::require_rows("ColumnLabel", table.size(), 0, label.offset);
  return internal::label_values(table, label);
}

}  // namespace tsdl::inline TSDL_ABI
