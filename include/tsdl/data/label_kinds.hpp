// The kinds of label: the question about later rows that a window's last row is labelled with.
#pragma once

#include <algorithm>
#include <concepts>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

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

/// Whether the close `horizon` candles ahead leaves a dead band around the row's close: 1 above it,
/// -1 below it, 0 inside it and on its edge.
/// Equations: r = ln(close[t + horizon] / close[t]); 1 where r > band, -1 where r < -band, with
/// band = width * sigma[t] * sqrt(horizon) and sigma[t] the standard deviation (about the mean,
/// ddof 0) of the `lookback` log returns that end at row t; undefined before row `lookback`. Where
/// sigma is 0, any change of the close is outside the band.
struct ThresholdLabel {
  Index horizon = 1;
  double width = 0.5;
  Index lookback = 20;
};

/// The barrier that the closes after the row touch first, within `horizon` candles: 1 take-profit
/// (above), -1 stop-loss (below), 0 neither.
/// Equations: with r[s] = ln(close[s] / close[t]) and sigma[t] as in ThresholdLabel, close s
/// touches the upper barrier where r[s] >= take_profit * sigma[t] and r[s] > 0, the lower one where
/// r[s] <= -stop_loss * sigma[t] and r[s] < 0. So where sigma is 0 (a flat stretch) the first
/// change of the close decides, and without a change no barrier is touched. Undefined before row
/// `lookback`, and for the last `horizon` rows even where a barrier was touched: keeping only rows
/// whose barrier was touched in time would favour fast touches.
/// Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 3.
struct TripleBarrierLabel {
  Index horizon = 10;
  double take_profit = 2;
  double stop_loss = 2;
  Index lookback = 20;
};

/// The value of a table's column `offset` rows below the row: 0 when the label is in the window's
/// last row, 1 when it is in the row after.
struct ColumnLabel {
  std::string column = {};
  Index offset = 0;
};

/// Numbers: the values of columns `ahead` rows after the row. A table has its own columns; candles
/// have open, high, low, close, volume, and close_return, the return of the close over `ahead`
/// candles, close[t] / close[t - ahead] - 1: read `ahead` candles later, it is the return until
/// then.
struct ColumnTargets {
  std::vector<std::string> columns = {};
  Index ahead = 1;
};

using Label = std::variant<RangeLabel, DirectionLabel, ThresholdLabel, TripleBarrierLabel,
                           ColumnLabel, ColumnTargets>;

/// A label for every row, and the last row that each label reads. Shapes: one entry per row; for
/// ColumnTargets `count` values per row and one end.
struct Labels {
  std::vector<double> values;  ///< NaN where the label is undefined
  std::vector<Index> ends;     ///< row + horizon, or the touch of a TripleBarrierLabel; the row
                               ///< itself where the label is undefined
  Index count = 1;             ///< values per row
  std::vector<double> last;    ///< for numbers, the row's own values; else empty
};

/// The largest number of rows that a label looks ahead.
inline Index horizon(const RangeLabel&) noexcept { return 1; }
inline Index horizon(const DirectionLabel& label) noexcept { return label.horizon; }
inline Index horizon(const ThresholdLabel& label) noexcept { return label.horizon; }
inline Index horizon(const TripleBarrierLabel& label) noexcept { return label.horizon; }
inline Index horizon(const ColumnLabel& label) noexcept { return label.offset; }
inline Index horizon(const ColumnTargets& label) noexcept { return label.ahead; }
template <std::same_as<Label> Any>
Index horizon(const Any& label) noexcept {
  return std::visit([](const auto& one) { return horizon(one); }, label);
}

/// Whether a label is always numbers, whatever the recipe says.
inline bool is_numbers(const Label& label) noexcept {
  return std::holds_alternative<ColumnTargets>(label);
}

/// The values that a label takes, ascending. None for numbers, and for a ColumnLabel, whose values
/// are in the table.
inline std::vector<double> class_values(const Label& label) {
  if (std::holds_alternative<ColumnLabel>(label) || is_numbers(label)) return {};
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
template <std::same_as<ColumnTargets> Any>
void check(const Any& label) {
  if (label.columns.empty()) throw DataError("ColumnTargets: expected one or more columns");
  require_at_least(0, "ColumnTargets", "rows ahead", label.ahead);
  std::vector<std::string> seen;
  for (const std::string& name : label.columns) {
    const std::string lower = ascii_lower(trimmed(name));
    if (lower.empty()) throw DataError("ColumnTargets: a column has an empty name");
    if (std::find(seen.begin(), seen.end(), lower) != seen.end())
      throw DataError("ColumnTargets: the column ", name, " is named twice");
    seen.push_back(lower);
  }
}
template <std::same_as<Label> Any>
void check(const Any& label) {
  std::visit([](const auto& one) { check(one); }, label);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
