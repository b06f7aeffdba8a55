// A table of the user's own numeric columns, with a label column, read from CSV.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The columns to read, by name, in any case. An empty label_column or no target_columns reads
/// none: for predictions. A target may be a feature too.
struct TableOptions {
  std::vector<std::string> feature_columns = {};
  std::string label_column = {};
  std::vector<std::string> target_columns = {};  ///< numbers to forecast
};

/// Rows in ascending order of time, or in the order given where there is no time.
/// Shapes: time and label are empty or have one entry per row of features.
struct Table {
  std::vector<std::int64_t> time;  ///< milliseconds since the epoch, UTC
  Series<double> features;         ///< NaN where a cell was empty
  std::vector<double> label;       ///< NaN where a cell was empty
  std::string label_name;
  Series<double> targets;  ///< the columns to forecast; none without target_columns

  Index size() const noexcept { return features.rows; }
};

namespace internal {

/// The columns that read_table wants. Throws: DataError when there are none or one is named twice.
inline std::vector<CsvColumn> table_columns(const TableOptions& options) {
  if (options.feature_columns.empty()) throw DataError("read_table: no feature columns are named");
  std::vector<CsvColumn> wanted;
  const auto add = [&](const std::vector<std::string>& names, const char* what) {
    const std::size_t first = wanted.size();
    for (const std::string& name : names) {
      const std::string lower = ascii_lower(trimmed(name));
      if (lower.empty()) throw DataError("read_table: a ", what, " column has an empty name");
      for (std::size_t i = first; i < wanted.size(); ++i)
        if (wanted[i].spellings.front() == lower)
          throw DataError("read_table: the ", what, " column ", name, " is named twice");
      wanted.push_back({std::string(trimmed(name)), {lower}});
    }
  };
  add(options.feature_columns, "feature");
  add(options.target_columns, "target");
  if (!trimmed(options.label_column).empty())
    wanted.push_back(
        {std::string(trimmed(options.label_column)), {ascii_lower(trimmed(options.label_column))}});
  return wanted;
}

/// The position of a time column that is not itself asked for as a number, or -1.
inline Index find_time(const CsvReader& csv, const std::vector<Index>& taken) {
  for (const std::string& spelling : time_column().spellings)
    if (const Index place = csv.find(spelling);
        place >= 0 && std::find(taken.begin(), taken.end(), place) == taken.end())
      return place;
  return -1;
}

inline double number_or_undefined(const CsvReader& csv, Index place) {
  return trimmed(csv.field(place).text).empty() ? undefined : csv.number(place);
}

}  // namespace internal

/// Checks a table that did not come from read_table.
/// Throws: ShapeError when sizes do not agree, DataError when times do not ascend.
inline void validate(const Table& table, std::string_view name = "table") {
  const Series<double>& series = table.features;
  const auto rows = static_cast<std::size_t>(series.rows);
  if (series.features < 1 || static_cast<Index>(series.names.size()) != series.features)
    throw ShapeError(name, ": ", series.features, " features with ", series.names.size(), " names");
  if (series.values.size() != series.features * series.rows)
    throw ShapeError(name, ": expected ", series.features, " x ", series.rows,
                     " feature values, found ", series.values.size());
  if (!table.label.empty() && table.label.size() != rows)
    throw ShapeError(name, ": expected ", rows, " labels, found ", table.label.size());
  if (series.rows > 0 && !table.targets.names.empty() && table.targets.rows != series.rows)
    throw ShapeError(name, ": expected targets of ", rows, " rows, found ", table.targets.rows);
  if (!table.time.empty() && table.time.size() != rows)
    throw ShapeError(name, ": expected ", rows, " times, found ", table.time.size());
  for (std::size_t row = 1; row < table.time.size(); ++row)
    if (table.time[row] <= table.time[row - 1])
      throw DataError(name, ": ", internal::row_text(static_cast<Index>(row), table.time),
                      ": its time is not after that of the row before");
}

/// Reads the named columns from CSV text; messages start with `name`. The header and times are read
/// as in parse_candles, but a time column is optional. An empty cell is NaN. The features are named
/// as in the options, in that order.
/// Throws: DataError when the options name no feature, or one twice; FormatError when a column is
/// missing (the message lists those found) or a cell holds text; DataError when a number is not
/// finite, or times repeat or are not in order. The last two name line and column.
inline Table parse_table(std::string_view text, std::string_view name,
                         const TableOptions& options) {
  const FloatModeGuard guard;
  const std::vector<CsvColumn> wanted = internal::table_columns(options);
  CsvReader csv(text, name);
  const std::vector<Index> place = csv.read_header(wanted);
  const std::size_t features = options.feature_columns.size();
  const std::size_t columns = features + options.target_columns.size();
  const bool has_label = wanted.size() > columns;
  const Index time_place = internal::find_time(csv, place);
  internal::TimeColumn times;
  std::vector<double> values, targets;
  Table table;
  Index rows = 0;
  while (csv.next()) {
    if (time_place >= 0) table.time.push_back(times.read(csv, time_place));
    for (std::size_t i = 0; i < columns; ++i)
      (i < features ? values : targets).push_back(internal::number_or_undefined(csv, place[i]));
    if (has_label) table.label.push_back(internal::number_or_undefined(csv, place.back()));
    ++rows;
  }
  if (rows == 0) throw FormatError(name, ": a header but no rows below it");

  if (has_label) table.label_name = wanted.back().title;
  const bool reverse = times.descending();
  const auto series = [&](std::size_t first, std::size_t last, const std::vector<double>& from) {
    std::vector<std::string> names;
    for (std::size_t i = first; i < last; ++i) names.push_back(wanted[i].title);
    auto made = Series<double>::sized(std::move(names), rows);
    for (Index row = 0; row < rows; ++row)
      std::copy_n(from.data() + (reverse ? rows - 1 - row : row) * made.features, made.features,
                  made.column(row));
    return made;
  };
  table.features = series(0, features, values);
  if (columns > features) table.targets = series(features, columns, targets);
  if (reverse) {
    std::reverse(table.time.begin(), table.time.end());
    std::reverse(table.label.begin(), table.label.end());
  }
  return table;
}

/// Reads the named columns of a CSV file; see parse_table.
/// Throws: Error when the file cannot be read, and what parse_table throws.
inline Table read_table(const std::filesystem::path& path, const TableOptions& options) {
  return parse_table(internal::read_text(path), internal::path_text(path), options);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
