// Reads panels from CSV: one file with a column that names the series, one file per series, or a
// wide table with one series per line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/panel.hpp"
#include "tsdl/data/table.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What read_panel reads, by the names of columns, in any case.
struct PanelOptions {
  /// Numbers over time. Empty: every column that has no other part, and is no time column.
  std::vector<std::string> columns{};
  std::string series_column{};  ///< names the series of a row; empty: a file is a series
  std::string series{};         ///< of the series_column, only this one; empty: all
  /// Numbers and texts that do not change within a series. A category column may be the series
  /// column.
  std::vector<std::string> static_columns{}, category_columns{};
};

namespace internal {

/// The rows of one series as they are read.
struct SeriesRows {
  std::string name;
  TimeColumn column{};  ///< checks the order of its times
  std::vector<std::int64_t> times{};
  std::vector<double> values{};
  std::vector<double> statics{};
  std::vector<std::string> categories{};
  Index line = 0;  ///< of its first row
};

/// Where the columns of a panel stand in a file.
struct PanelPlaces {
  Index time = -1, series = -1;
  std::vector<Index> columns, statics, categories;
};

/// Reads files one after the other into one panel.
template <class = void>
class PanelBuilder {
 public:
  explicit PanelBuilder(const PanelOptions& options) : options_(options) {
    refuse_twice(options.columns);
    refuse_twice(options.static_columns);
    refuse_twice(options.category_columns);
    if (!options.series.empty() && options.series_column.empty())
      throw DataError("read_panel: --series ", options.series, " needs a series column");
  }

  /// Adds a file. `name` starts its messages; `stem` is its series' name where no column has it.
  void add(std::string_view text, std::string_view name, const std::string& stem) {
    CsvReader csv(text, name);
    const PanelPlaces places = find_places(csv);
    if (options_.series_column.empty()) begin_series(stem, csv);
    Index rows = 0;
    while (csv.next()) {
      ++rows;
      std::string key = places.series < 0 ? stem : csv.field(places.series).text;
      if (key.empty()) csv.fail_field<DataError>(places.series, "expected the name of a series");
      names_seen_.insert(key);
      if (!options_.series.empty() && key != options_.series) continue;
      add_row(csv, places, key);
    }
    if (rows == 0) throw FormatError(name, ": a header but no rows below it");
  }

  Panel finish() {
    if (rows_.empty()) {
      std::vector<std::string> names;
      names.assign(names_seen_.begin(), names_seen_.end());
      throw DataError("read_panel: no series is named ", options_.series, "; there are ",
                      joined(names));
    }
    Panel panel{.columns = columns_,
                .static_columns = options_.static_columns,
                .category_columns = options_.category_columns};
    for (SeriesRows& rows : rows_) {
      PanelSeries one{.name = std::move(rows.name)};
      const bool reverse = rows.column.descending();
      if (reverse) std::reverse(rows.times.begin(), rows.times.end());
      one.times = TimeAxis(std::move(rows.times));
      const Index width = std::ssize(columns_), count = std::ssize(rows.values) / width;
      one.values = Series<double>::sized(columns_, count);
      for (Index row = 0; row < count; ++row)
        std::copy_n(rows.values.data() + (reverse ? count - 1 - row : row) * width, width,
                    one.values.column(row));
      std::vector<double>().swap(rows.values);
      one.statics = std::move(rows.statics);
      one.categories = std::move(rows.categories);
      panel.series.push_back(std::move(one));
    }
    return panel;
  }

 private:
  static void refuse_twice(const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < names.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (ascii_lower(trimmed(names[i])) == ascii_lower(trimmed(names[j])))
          throw DataError("read_panel: the column ", names[i], " is named twice");
  }

  PanelPlaces find_places(CsvReader& csv) {
    std::vector<CsvColumn> wanted;
    const auto want = [&](const std::string& name) {
      wanted.push_back({std::string(trimmed(name)), {ascii_lower(trimmed(name))}});
    };
    if (!options_.series_column.empty()) want(options_.series_column);
    const std::vector<std::string>& columns = columns_.empty() ? options_.columns : columns_;
    for (const std::string& name : columns) want(name);
    for (const std::string& name : options_.static_columns) want(name);
    for (const std::string& name : options_.category_columns) want(name);
    if (wanted.empty()) wanted.push_back(time_column());
    csv.read_header(wanted);
    const auto places_of = [&](const std::vector<std::string>& names) {
      std::vector<Index> places;
      for (const std::string& name : names) places.push_back(csv.find(name));
      return places;
    };
    PanelPlaces places;
    if (!options_.series_column.empty()) places.series = csv.find(options_.series_column);
    places.statics = places_of(options_.static_columns);
    places.categories = places_of(options_.category_columns);
    places.columns = places_of(columns);
    std::vector<Index> taken = places.columns;
    taken.insert(taken.end(), places.statics.begin(), places.statics.end());
    taken.insert(taken.end(), places.categories.begin(), places.categories.end());
    taken.push_back(places.series);
    places.time = find_time(csv, taken);
    if (columns_.empty()) take_columns(csv, taken, places);
    if (!rows_.empty() && (places.time >= 0) != has_times_)
      throw FormatError(csv.name(), ": ", has_times_ ? "no column of times" : "a column of times",
                        ", unlike the file before");
    has_times_ = places.time >= 0;
    return places;
  }

  /// The columns of the first file, which later files must have too.
  void take_columns(const CsvReader& csv, std::vector<Index> taken, PanelPlaces& places) {
    if (options_.columns.empty()) {
      taken.push_back(places.time);
      for (Index i = 0; i < std::ssize(csv.header()); ++i)
        if (std::find(taken.begin(), taken.end(), i) == taken.end()) places.columns.push_back(i);
    }
    for (const Index place : places.columns)
      columns_.push_back(options_.columns.empty()
                             ? csv.header()[static_cast<std::size_t>(place)]
                             : std::string(trimmed(options_.columns[columns_.size()])));
    if (columns_.empty()) throw FormatError(csv.name(), ": no columns of numbers");
  }

  SeriesRows& begin_series(const std::string& key, const CsvReader& csv) {
    const auto [place, is_first] = by_name_.insert({key, rows_.size()});
    if (!is_first && options_.series_column.empty())
      throw DataError(csv.name(), ": a second file for the series ", key);
    if (is_first) rows_.push_back({.name = key});
    return rows_[place->second];
  }

  void add_row(const CsvReader& csv, const PanelPlaces& places, const std::string& key) {
    SeriesRows& rows =
        options_.series_column.empty() ? rows_[by_name_.at(key)] : begin_series(key, csv);
    if (places.time >= 0) rows.times.push_back(rows.column.read(csv, places.time));
    for (const Index place : places.columns) rows.values.push_back(number_or_undefined(csv, place));
    const bool is_first = rows.line == 0;
    if (is_first) rows.line = csv.field(0).line;
    for (std::size_t i = 0; i < places.statics.size(); ++i) {
      const double value = csv.number(places.statics[i]);
      if (is_first) rows.statics.push_back(value);
      if (!same_value(value, rows.statics[i])) refuse_change(csv, places.statics[i], rows);
    }
    for (std::size_t i = 0; i < places.categories.size(); ++i) {
      const std::string& value = csv.field(places.categories[i]).text;
      if (is_first) rows.categories.push_back(value);
      if (value != rows.categories[i]) refuse_change(csv, places.categories[i], rows);
    }
  }

  [[noreturn]] static void refuse_change(const CsvReader& csv, Index place,
                                         const SeriesRows& rows) {
    csv.fail_field<DataError>(place, "a static value that changes within the series ", rows.name,
                              ", whose first row is line ", rows.line);
  }

  PanelOptions options_;
  std::vector<std::string> columns_;
  std::vector<SeriesRows> rows_;
  std::map<std::string, std::size_t> by_name_;
  std::set<std::string> names_seen_;
  bool has_times_ = false;
};

}  // namespace internal

/// Reads a panel from CSV files of the same columns; see PanelOptions. Times and numbers are read
/// as in read_table; rows of several series may stand in any order, each series' own in that of
/// time. An empty cell is NaN.
/// Throws: Error when a file cannot be read; FormatError when a column is missing from one of them,
/// or a cell holds text; DataError when times of a series repeat or are not in order, a static
/// value changes, a column is named twice, or there is no such series: with file, line and column.
template <class = void>
Panel read_panel(std::span<const std::filesystem::path> paths, const PanelOptions& options) {
  const FloatModeGuard guard;
  if (paths.empty()) throw DataError("read_panel: no file is given");
  internal::PanelBuilder<> builder(options);
  for (const std::filesystem::path& path : paths)
    builder.add(internal::read_text(path), internal::path_text(path),
                internal::path_text(path.stem()));
  return builder.finish();
}

/// The same from text, whose series is named `series` where no column names it.
template <class = void>
Panel parse_panel(std::string_view text, std::string_view name, const PanelOptions& options,
                  const std::string& series = "series") {
  const FloatModeGuard guard;
  internal::PanelBuilder<> builder(options);
  builder.add(text, name, series);
  return builder.finish();
}

/// A wide table: a header line, then one series per line, its name and its values from the first
/// row on. Empty cells at a line's end are not there; one between values is NaN. The panel has one
/// column, "value", and no times.
/// Throws: FormatError when a line has no name or no values, or a cell is not a number; DataError
/// when a name appears twice, or a number is not finite: with line and column.
template <class = void>
Panel parse_wide_panel(std::string_view text, std::string_view name) {
  const FloatModeGuard guard;
  CsvReader csv(text, name);
  csv.read_header({});
  Panel panel{.columns = {"value"}};
  std::map<std::string, Index> lines;
  std::vector<double> values;
  while (csv.next()) {
    const Index width = std::ssize(csv.fields());
    PanelSeries one{.name = csv.field(0).text};
    if (one.name.empty()) csv.fail<FormatError>(0, "expected the name of a series");
    const auto [place, is_first] = lines.insert({one.name, csv.field(0).line});
    if (!is_first)
      csv.fail<DataError>(0, "the series ", one.name, " appears twice, first in line ",
                          place->second);
    values.clear();
    for (Index i = 1; i < width; ++i) values.push_back(internal::number_or_undefined(csv, i));
    while (!values.empty() && is_nan(values.back())) values.pop_back();
    if (values.empty()) csv.fail<FormatError>(0, "the series ", one.name, " has no values");
    one.values = Series<double>::sized(panel.columns, std::ssize(values));
    std::copy(values.begin(), values.end(), one.values.values.begin());
    panel.series.push_back(std::move(one));
  }
  if (panel.series.empty()) throw FormatError(name, ": a header but no rows below it");
  return panel;
}

/// Reads a wide table from a file; see parse_wide_panel. Throws: also Error when it cannot be read.
template <class = void>
Panel read_wide_panel(const std::filesystem::path& path) {
  return parse_wide_panel(internal::read_text(path), internal::path_text(path));
}

/// Appends to each series of `panel` the rows of the series of that name in `more`. Throws:
/// DataError naming the series when columns differ, a series is in one of the two only, its static
/// values differ, or its times do not follow.
template <class = void>
void append_rows(Panel& panel, const Panel& more) {
  if (panel.columns != more.columns)
    throw DataError("panel: expected the columns ", internal::joined(panel.columns), ", found ",
                    internal::joined(more.columns));
  std::map<std::string_view, const PanelSeries*> by_name;
  for (const PanelSeries& rows : more.series) by_name[rows.name] = &rows;
  for (PanelSeries& one : panel.series) {
    const auto place = by_name.find(one.name);
    const auto refuse = [&](const auto&... why) {
      throw DataError("panel: the series ", one.name, why...);
    };
    if (place == by_name.end()) refuse(" has no rows to append");
    const PanelSeries& rows = *place->second;
    by_name.erase(place);
    if (one.times.empty() != rows.times.empty()) refuse(" has times in one part only");
    if (one.statics != rows.statics || one.categories != rows.categories)
      refuse(" has other static values or categories in the rows to append");
    if (!one.times.empty() && rows.times.at(0) <= one.times.at(one.times.rows() - 1))
      refuse(": its rows to append begin at ", format_time(rows.times.at(0)), ", not after ",
             format_time(one.times.at(one.times.rows() - 1)));
    std::vector<std::int64_t> times;
    for (const TimeAxis* axis : {&std::as_const(one).times, &rows.times})
      for (Index r = 0; r < axis->rows(); ++r) times.push_back(axis->at(r));
    auto longer = Series<double>::sized(panel.columns, one.values.rows + rows.values.rows);
    std::copy(one.values.values.begin(), one.values.values.end(), longer.values.begin());
    std::copy(rows.values.values.begin(), rows.values.values.end(),
              longer.values.begin() + one.values.values.size());
    one.times = TimeAxis(std::move(times));
    one.values = std::move(longer);
  }
  if (!by_name.empty())
    throw DataError("panel: the series ", by_name.begin()->first,
                    " has rows to append, but is not there");
}

}  // namespace TSDL_ABI
}  // namespace tsdl
