// Computes the labels of every row from the rows after it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/label_kinds.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/table.hpp"
#include "tsdl/data/targets.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Throws unless there are enough rows: a label reads `before` rows, its own and `ahead` more.
inline void require_rows(std::string_view label, Index rows, Index before, Index ahead) {
  if (before >= rows || ahead >= rows - before)
    throw DataError(label, ": its horizon is beyond the end: of ", rows,
                    " rows the first label needs ", before, " before its own and ", ahead,
                    " after it");
}
inline void require_rows(const RangeLabel& label, Index rows) {
  require_rows("RangeLabel", rows, label.lookback, 1);
}
inline void require_rows(const DirectionLabel& label, Index rows) {
  require_rows("DirectionLabel", rows, 0, label.horizon);
}
inline void require_rows(const ThresholdLabel& label, Index rows) {
  require_rows("ThresholdLabel", rows, label.lookback, label.horizon);
}
inline void require_rows(const TripleBarrierLabel& label, Index rows) {
  require_rows("TripleBarrierLabel", rows, label.lookback, label.horizon);
}
inline void require_rows(const ColumnLabel& label, Index rows) {
  require_rows("ColumnLabel", rows, 0, label.offset);
}
inline void require_rows(const ColumnTargets& label, Index rows) {
  require_rows("ColumnTargets", rows, 0, label.ahead);
}

/// The median of `values`, the mean of the middle two when their number is even. Reorders them.
inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return *std::max_element(values.begin(), middle) / 2 + *middle / 2;
}

/// ln(close[to] / close[from])
inline double log_return(const Candles& candles, Index from, Index to) noexcept {
  return log_ratio(candles[to].close, candles[from].close);
}

/// sigma of every row: the standard deviation (ddof 0) of the `lookback` log returns that end at
/// it; NaN before row `lookback`.
inline std::vector<double> trailing_deviation(const Candles& candles, Index lookback) {
  std::vector<double> returns(candles.rows.size(), undefined);
  for (Index row = 1; row < candles.size(); ++row)
    returns[static_cast<std::size_t>(row)] = log_return(candles, row - 1, row);
  std::vector<double> deviations(candles.rows.size(), undefined);
  const auto n = static_cast<double>(lookback);
  for (Index row = lookback; row < candles.size(); ++row) {
    const auto last = returns.begin() + row + 1;
    const double mean = std::accumulate(last - lookback, last, 0.0) / n;
    const double squares = std::accumulate(
        last - lookback, last, 0.0,
        [mean](double sum, double value) { return sum + (value - mean) * (value - mean); });
    deviations[static_cast<std::size_t>(row)] = std::sqrt(squares / n);
  }
  return deviations;
}

inline Labels labels_of(const Candles& candles, const RangeLabel& label) {
  const Index rows = candles.size();
  Labels labels = unlabelled(rows);
  std::vector<double> ranges(candles.rows.size(), undefined);
  for (Index row = 1; row < rows; ++row)
    ranges[static_cast<std::size_t>(row)] = true_range(candles[row], candles[row - 1].close);
  std::vector<double> trailing;
  for (Index row = label.lookback; row < rows - 1; ++row) {
    const auto end = ranges.begin() + row + 1;
    trailing.assign(end - label.lookback, end);
    set_label(labels, row, *end > median(trailing) ? 1 : 0, row + 1);
  }
  return labels;
}

inline Labels labels_of(const Candles& candles, const DirectionLabel& label) {
  Labels labels = unlabelled(candles.size());
  for (Index row = 0; row < candles.size() - label.horizon; ++row) {
    const Index end = row + label.horizon;
    set_label(labels, row, candles[end].close > candles[row].close ? 1 : 0, end);
  }
  return labels;
}

inline Labels labels_of(const Candles& candles, const ThresholdLabel& label) {
  Labels labels = unlabelled(candles.size());
  const std::vector<double> sigma = trailing_deviation(candles, label.lookback);
  const double width = label.width * std::sqrt(static_cast<double>(label.horizon));
  for (Index row = label.lookback; row < candles.size() - label.horizon; ++row) {
    const Index end = row + label.horizon;
    const double r = log_return(candles, row, end);
    const double band = width * sigma[static_cast<std::size_t>(row)];
    set_label(labels, row, r > band ? 1 : r < -band ? -1 : 0, end);
  }
  return labels;
}

inline Labels labels_of(const Candles& candles, const TripleBarrierLabel& label) {
  Labels labels = unlabelled(candles.size());
  const std::vector<double> sigma = trailing_deviation(candles, label.lookback);
  for (Index row = label.lookback; row < candles.size() - label.horizon; ++row) {
    const double above = label.take_profit * sigma[static_cast<std::size_t>(row)];
    const double below = -label.stop_loss * sigma[static_cast<std::size_t>(row)];
    int touched = 0;
    Index end = row;
    while (touched == 0 && end < row + label.horizon) {
      const double r = log_return(candles, row, ++end);
      touched = r > 0 && r >= above ? 1 : r < 0 && r <= below ? -1 : 0;
    }
    set_label(labels, row, touched, end);
  }
  return labels;
}

inline Labels labels_of(const Candles&, const ColumnLabel& label) {
  throw DataError("ColumnLabel: candles have no label column ", label.column, "; read a Table");
}

inline Labels labels_of(const Table& table, const ColumnLabel& label) {
  Labels labels = unlabelled(table.size());
  for (Index row = 0; row < static_cast<Index>(table.label.size()) - label.offset; ++row) {
    const Index end = row + label.offset;
    const double value = table.label[static_cast<std::size_t>(end)];
    if (!is_nan(value)) set_label(labels, row, value, end);
  }
  return labels;
}

}  // namespace internal

/// The label of every row. Undefined in the first `lookback` rows of labels that have a lookback,
/// and in the last horizon rows of all labels. The label of row r reads rows up to ends[r] only.
/// Throws: DataError when the label's options are out of range, when no row can have a label, for a
/// ColumnLabel, and when the candles are not valid (see validate).
template <class Any = Label>
Labels make_labels(const Candles& candles, const std::type_identity_t<Any>& label) {
  const FloatModeGuard guard;
  validate(candles, "make_labels");
  internal::check(label);
  return std::visit(
      [&](const auto& one) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(one)>, ColumnLabel>)
          internal::require_rows(one, candles.size());
        return internal::labels_of(candles, one);
      },
      label);
}

/// The columns of a table that are forecast, for every row; undefined where a cell is empty or
/// beyond the end. Throws: DataError when the rows ahead are negative or beyond the end, when the
/// table was read with other target columns, and as validate.
template <std::same_as<ColumnTargets> Any>
Labels make_labels(const Table& table, const Any& label) {
  const FloatModeGuard guard;
  validate(table, "make_labels");
  internal::check(label);
  internal::require_targets(table, label);
  internal::require_rows(label, table.size());
  return internal::labels_of(table, label);
}

/// The label of every row of a table; undefined where its cell is empty or beyond the end. Throws:
/// DataError when the offset is negative or beyond the end, when the table has no label column or
/// another one, and as validate.
inline Labels make_labels(const Table& table, const ColumnLabel& label) {
  const FloatModeGuard guard;
  validate(table, "make_labels");
  internal::check(label);
  if (table.label.empty())
    throw DataError("ColumnLabel: the table was read without a label column");
  if (!label.column.empty() && !table.label_name.empty() &&
      internal::ascii_lower(internal::trimmed(label.column)) !=
          internal::ascii_lower(internal::trimmed(table.label_name)))
    throw DataError("ColumnLabel: expected the label column ", label.column,
                    ", the table was read with ", table.label_name);
  internal::require_rows(label, table.size());
  return internal::labels_of(table, label);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
