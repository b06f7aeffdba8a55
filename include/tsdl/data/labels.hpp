// Labels: what a window's last row is asked about the rows after it.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <numeric>
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

/// Whether the close `horizon` candles ahead leaves a dead band about the row's close: 1 above it,
/// -1 below it, 0 inside it and on its edge. Equations: r = ln(close[t + horizon] / close[t]); 1
/// where r > band, -1 where r < -band, with band = width * sigma[t] * sqrt(horizon) and sigma[t]
/// the standard deviation (about the mean, ddof 0) of the `lookback` log returns that end at row t;
/// undefined before row `lookback`. Where sigma is 0 any change of the close is outside the band.
struct ThresholdLabel {
  Index horizon = 1;
  double width = 0.5;
  Index lookback = 20;
};

/// Which barrier the closes after the row touch first, within `horizon` candles: 1 take-profit
/// (above), -1 stop-loss (below), 0 neither.
/// Equations: with r[s] = ln(close[s] / close[t]) and sigma[t] as in ThresholdLabel, close s
/// touches the upper barrier where r[s] >= take_profit * sigma[t] and r[s] > 0, the lower one where
/// r[s] <= -stop_loss * sigma[t] and r[s] < 0. So where sigma is 0 (a flat stretch) the first
/// change of the close decides, and no change touches nothing.
/// Undefined before row `lookback` and for the last `horizon` rows, whatever these touched: to keep
/// those that touched and lose those that did not yet would favour fast touches.
/// Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 3.
struct TripleBarrierLabel {
  Index horizon = 10;
  double take_profit = 2;
  double stop_loss = 2;
  Index lookback = 20;
};

/// The value of a table's column `offset` rows below the row: 0 when the label stands on the
/// window's last row, 1 when on the row after it.
struct ColumnLabel {
  std::string column = {};
  Index offset = 0;
};

using Label =
    std::variant<RangeLabel, DirectionLabel, ThresholdLabel, TripleBarrierLabel, ColumnLabel>;

/// A label for every row, and the last row that each of them reads.
/// Shapes: one entry per row.
struct Labels {
  std::vector<double> values;  ///< NaN where the label is undefined
  std::vector<Index> ends;     ///< row + horizon, or the touch of a TripleBarrierLabel; the row
                               ///< itself where the label is undefined
};

/// How many rows ahead of its own row a label looks at most.
inline Index horizon(const RangeLabel&) noexcept { return 1; }
inline Index horizon(const DirectionLabel& label) noexcept { return label.horizon; }
inline Index horizon(const ThresholdLabel& label) noexcept { return label.horizon; }
inline Index horizon(const TripleBarrierLabel& label) noexcept { return label.horizon; }
inline Index horizon(const ColumnLabel& label) noexcept { return label.offset; }
template <std::same_as<Label> Any>
Index horizon(const Any& label) noexcept {
  return std::visit([](const auto& one) { return horizon(one); }, label);
}

/// The values that a label takes, ascending; none for a ColumnLabel, whose table decides.
inline std::vector<double> class_values(const Label& label) {
  if (std::holds_alternative<ColumnLabel>(label)) return {};
  if (std::holds_alternative<ThresholdLabel>(label) ||
      std::holds_alternative<TripleBarrierLabel>(label))
    return {-1, 0, 1};
  return {0, 1};
}

namespace internal {

inline void require_at_least(Index least, std::string_view label, std::string_view option,
                             Index value) {
  if (value < least)
    throw DataError(label, ": expected ", option, " of ", least, " or more, found ", value);
}
inline void require_positive(std::string_view label, std::string_view option, double value) {
  if (!is_finite(value) || value <= 0)
    throw DataError(label, ": expected ", option, " to be finite and above 0, found ", value);
}

inline void check(const RangeLabel& label) {
  require_at_least(1, "RangeLabel", "a lookback", label.lookback);
}
inline void check(const DirectionLabel& label) {
  require_at_least(1, "DirectionLabel", "a horizon", label.horizon);
}
inline void check(const ThresholdLabel& label) {
  require_at_least(1, "ThresholdLabel", "a horizon", label.horizon);
  require_at_least(2, "ThresholdLabel", "a lookback", label.lookback);
  require_positive("ThresholdLabel", "width", label.width);
}
inline void check(const TripleBarrierLabel& label) {
  require_at_least(1, "TripleBarrierLabel", "a horizon", label.horizon);
  require_at_least(2, "TripleBarrierLabel", "a lookback", label.lookback);
  require_positive("TripleBarrierLabel", "take_profit", label.take_profit);
  require_positive("TripleBarrierLabel", "stop_loss", label.stop_loss);
}
inline void check(const ColumnLabel& label) {
  require_at_least(0, "ColumnLabel", "an offset", label.offset);
}
template <std::same_as<Label> Any>
void check(const Any& label) {
  std::visit([](const auto& one) { check(one); }, label);
}

/// The first label of candles reads `before` rows, its own and `ahead` more.
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

/// Labels of `rows` rows, all undefined.
inline Labels unlabelled(Index rows) {
  Labels labels;
  labels.values.assign(static_cast<std::size_t>(rows), undefined);
  labels.ends.resize(static_cast<std::size_t>(rows));
  std::iota(labels.ends.begin(), labels.ends.end(), Index{0});
  return labels;
}

inline void set_label(Labels& labels, Index row, double value, Index end) {
  labels.values[static_cast<std::size_t>(row)] = value;
  labels.ends[static_cast<std::size_t>(row)] = end;
}

/// The median of `values`, the mean of the middle two when their number is even. Reorders them.
inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

/// ln(close[to] / close[from])
inline double log_return(const Candles& candles, Index from, Index to) noexcept {
  return std::log(candles[to].close / candles[from].close);
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
    double touched = 0;
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

/// The label of every row; undefined in the first `lookback` rows of the labels that have one, and
/// in the last horizon rows of all. The label of row r reads rows up to ends[r] only.
/// Throws: DataError when the label's options are out of range, when no row can have a label, for a
/// ColumnLabel, and when the candles are not valid (see validate).
template <class Any = Label>
Labels make_labels(const Candles& candles, const std::type_identity_t<Any>& label) {
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

/// The label of every row of a table, undefined where its cell is empty or beyond the end.
/// Throws: DataError when the offset is negative or beyond the end, when the table has no label
/// column or one of another name, and what validate throws.
inline Labels make_labels(const Table& table, const ColumnLabel& label) {
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

}  // namespace tsdl::inline TSDL_ABI
