// Targets that are numbers: columns of candles or of a table, some rows ahead.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/label_kinds.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/table.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The columns of candles that can be forecast.
inline const std::vector<std::string>& candle_targets() {
  static const std::vector<std::string> names = {"open",  "high",   "low",
                                                 "close", "volume", "close_return"};
  return names;
}

namespace internal {

/// `rows` undefined labels.
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

/// The labels from columns; `column(row, k)` gives the value of column k.
template <class Column>
Labels labels_of_columns(Index rows, const ColumnTargets& label, const Column& column) {
  const Index K = std::ssize(label.columns);
  Labels labels = unlabelled(rows);
  labels.count = K;
  labels.values.assign(static_cast<std::size_t>(rows * K), undefined);
  labels.last = labels.values;
  for (Index row = 0; row < rows; ++row)
    for (Index k = 0; k < K; ++k)
      labels.last[static_cast<std::size_t>(row * K + k)] = column(row, k);
  for (Index row = 0; row < rows - label.ahead; ++row) {
    std::copy_n(labels.last.data() + (row + label.ahead) * K, K, labels.values.data() + row * K);
    labels.ends[static_cast<std::size_t>(row)] = row + label.ahead;
  }
  return labels;
}

/// Throws: DataError when candles do not have one of the columns.
template <std::same_as<ColumnTargets> Any>
Labels labels_of(const Candles& candles, const Any& label) {
  enum Source { open, high, low, close, volume, close_return };
  std::vector<Source> sources;
  for (const std::string& name : label.columns) {
    const auto& known = candle_targets();
    const auto place = std::find(known.begin(), known.end(), ascii_lower(trimmed(name)));
    if (place == known.end())
      throw DataError("ColumnTargets: candles have no column ", name, " to forecast; they have ",
                      joined(known));
    sources.push_back(static_cast<Source>(place - known.begin()));
    if (sources.back() == volume && !candles.has_volume)
      throw DataError("ColumnTargets: these candles have no volume");
    if (sources.back() == close_return && label.ahead < 1)
      throw DataError("ColumnTargets: close_return looks 1 or more candles ahead, not ",
                      label.ahead);
  }
  return labels_of_columns(candles.size(), label, [&](Index row, Index k) {
    const Candle& candle = candles[row];
    switch (sources[static_cast<std::size_t>(k)]) {
      case open:
        return candle.open;
      case high:
        return candle.high;
      case low:
        return candle.low;
      case close:
        return candle.close;
      case volume:
        return candle.volume;
      case close_return:
        break;
    }
    return row < label.ahead ? undefined : candle.close / candles[row - label.ahead].close - 1;
  });
}

/// Throws: DataError when the table was read with other target columns.
template <std::same_as<ColumnTargets> Any>
void require_targets(const Table& table, const Any& label) {
  std::vector<std::string> wanted, found;
  for (const std::string& name : label.columns) wanted.push_back(ascii_lower(trimmed(name)));
  for (const std::string& name : table.targets.names) found.push_back(ascii_lower(trimmed(name)));
  if (wanted != found)
    throw DataError("ColumnTargets: expected the target columns ", joined(label.columns),
                    ", the table was read with ",
                    found.empty() ? std::string("none") : joined(table.targets.names));
}

/// A table that was read without target columns has no labels.
template <std::same_as<ColumnTargets> Any>
Labels labels_of(const Table& table, const Any& label) {
  const bool known = !table.targets.names.empty();
  if (known) require_targets(table, label);
  return labels_of_columns(table.size(), label, [&](Index row, Index k) {
    return known ? table.targets.column(row)[k] : undefined;
  });
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
