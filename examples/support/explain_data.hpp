// The windows that are explained: those of a split, or the one that ends at a time.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "names.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/data/split.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/data/whole_series.hpp"
#include "tsdl/data/windows.hpp"

namespace examples {

/// Every complete window of a file, and the name of each row.
struct ExplainData {
  std::string path;
  tsdl::Recipe recipe;
  tsdl::Windows<float> windows;
  std::vector<std::int64_t> times{};  ///< empty: rows are numbered, or whole series from 1
  /// Of candles or a table with the labels; none where the file was read without them.
  std::optional<tsdl::Dataset> dataset{};

  bool cases() const { return recipe.whole_series; }
  tsdl::Index rows() const { return windows.series().rows; }
  std::string row_name(tsdl::Index row) const {
    return times.empty() ? std::to_string(row)
                         : tsdl::format_time(times[static_cast<std::size_t>(row)]);
  }
  std::string window_name(tsdl::Index i) const {
    return cases() ? std::to_string(i + 1) : row_name(windows.end_row(i));
  }
};

/// Reads a file by the recipe of a model. `labels`: a table's label or target columns must be there
/// too. Throws: as read_candles, read_table, read_ts and apply.
inline ExplainData read_explain_data(const tsdl::Recipe& recipe, const std::string& path,
                                     bool labels) {
  ExplainData data{path, recipe, {}};
  if (recipe.whole_series) {
    data.windows = tsdl::apply_cases<float>(recipe, tsdl::read_ts(path));
    return data;
  }
  if (recipe.features.empty()) {
    tsdl::TableOptions options{.feature_columns = recipe.columns};
    if (const auto* label = std::get_if<tsdl::ColumnLabel>(&recipe.label); label && labels)
      options.label_column = label->column;
    if (const auto* numbers = std::get_if<tsdl::ColumnTargets>(&recipe.label); numbers && labels)
      options.target_columns = numbers->columns;
    const tsdl::Table table = tsdl::read_table(path, options);
    data.windows = tsdl::apply<float>(recipe, table);
    data.times = table.time;
    if (labels) data.dataset = tsdl::make_dataset(table, recipe);
    return data;
  }
  const tsdl::Candles candles = tsdl::read_candles(path);
  data.windows = tsdl::apply<float>(recipe, candles);
  for (const tsdl::Candle& candle : candles.rows) data.times.push_back(candle.time);
  if (labels) data.dataset = tsdl::make_dataset(candles, recipe);
  return data;
}

/// The targets of one window: of its last row, or of all of its rows, [T][K].
inline tsdl::Sequence<const double> targets_of(const ExplainData& data, tsdl::Index window,
                                               tsdl::Buffer<double>& scratch) {
  const tsdl::Index steps = data.recipe.every_step ? data.windows.length() : 1;
  return data.windows.batch_targets(window, 1, steps, scratch);
}

/// The windows with these numbers, ascending, as a set of their own. Copies the series.
inline tsdl::Windows<float> chosen_windows(const ExplainData& data,
                                           const std::vector<tsdl::Index>& chosen) {
  if (std::ssize(chosen) == data.windows.size()) return data.windows;
  const auto& from = data.windows.series();
  auto series = tsdl::Series<float>::sized(from.names, from.rows);
  std::copy(from.values.begin(), from.values.end(), series.values.begin());
  auto targets = std::make_shared<tsdl::Targets>();
  targets->count = data.windows.target_count();
  targets->values.assign(static_cast<std::size_t>(from.rows * targets->count),
                         tsdl::internal::nan_of<double>);
  std::vector<tsdl::Index> ends;
  tsdl::Buffer<double> scratch;
  for (const tsdl::Index i : chosen) {
    ends.push_back(data.windows.end_row(i));
    const auto rows = targets_of(data, i, scratch);
    for (tsdl::Index t = 0; t < rows.steps; ++t)
      std::copy_n(rows.column(t, 0), targets->count,
                  targets->values.begin() + (ends.back() - rows.steps + 1 + t) * targets->count);
  }
  return {std::make_shared<const tsdl::Series<float>>(std::move(series)), data.windows.length(), 1,
          std::move(ends), std::shared_ptr<const tsdl::Targets>(std::move(targets))};
}

/// Which windows belong to a split, and how the split was made.
struct SplitChoice {
  std::string name = "validation";  ///< train, validation, test or all
  tsdl::SplitFractions fractions{};
};

/// The numbers of the windows of a split, ascending. `labelled`: only those whose target is known.
/// Throws: OptionError when whole series are to be split; DataError when the part is empty.
inline std::vector<tsdl::Index> windows_of_split(const ExplainData& data, const SplitChoice& split,
                                                 bool labelled) {
  std::vector<tsdl::Index> chosen;
  tsdl::Buffer<double> scratch;
  const auto known = [&](tsdl::Index i) {
    const auto rows = targets_of(data, i, scratch);
    bool all = true;
    for (tsdl::Index t = 0; t < rows.steps; ++t)
      for (tsdl::Index k = 0; k < rows.inputs; ++k) all = all && is_finite(rows.column(t, 0)[k]);
    return all;
  };
  if (split.name == "all") {
    for (tsdl::Index i = 0; i < data.windows.size(); ++i)
      if (!labelled || known(i)) chosen.push_back(i);
  } else {
    if (data.cases())
      throw tsdl::OptionError("--split ", split.name, ": ", data.path,
                              " holds whole series, which training splits at random: give --split ",
                              "all, and the file of the part that is meant");
    const tsdl::Split parts = tsdl::chronological_split(*data.dataset, split.fractions);
    const auto& ends = split.name == "train"  ? parts.train
                       : split.name == "test" ? parts.test
                                              : parts.validation;
    for (tsdl::Index i = 0; i < data.windows.size(); ++i)
      if (std::binary_search(ends.begin(), ends.end(), data.windows.end_row(i)))
        chosen.push_back(i);
  }
  if (chosen.empty())
    throw tsdl::DataError(data.path, ": no window ", labelled ? "with a known label " : "",
                          "is in the split ", split.name);
  return chosen;
}

/// At most `most` of these, evenly spaced; 0: all.
inline std::vector<tsdl::Index> thinned(std::vector<tsdl::Index> all, tsdl::Index most) {
  const tsdl::Index count = std::ssize(all);
  if (most == 0 || count <= most) return all;
  std::vector<tsdl::Index> some;
  for (tsdl::Index i = 0; i < most; ++i)
    some.push_back(all[static_cast<std::size_t>(i * count / most)]);
  return some;
}

namespace internal {

/// The row of a time as it stands in the data, or the row's or case's number. Throws: DataError
/// when there is none.
inline tsdl::Index row_of(const ExplainData& data, const std::string& text) {
  if (data.times.empty()) {
    tsdl::Index row = -1;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, row);
    const tsdl::Index first = data.cases() ? 1 : 0;
    const tsdl::Index last = data.cases() ? data.windows.size() : data.rows() - 1;
    if (parsed.ec != std::errc() || parsed.ptr != end || row < first || row > last)
      throw tsdl::DataError("--window ", text, ": ", data.path, " has no times: expected a ",
                            data.cases() ? "case" : "row", " from ", first, " to ", last);
    return row - first;
  }
  auto kind = tsdl::internal::TimeKind::unknown;
  const std::optional<std::int64_t> time = tsdl::internal::parse_time(text, kind);
  if (!time)
    throw tsdl::OptionError("--window: expected a date, a date and time, or epoch seconds or ",
                            "milliseconds, as in ", data.row_name(data.rows() - 1), ", got '", text,
                            "'");
  const auto place = std::lower_bound(data.times.begin(), data.times.end(), *time);
  if (place != data.times.end() && *place == *time) return place - data.times.begin();
  std::string there = place == data.times.begin()
                          ? "its first row is "
                          : "the row before is " + tsdl::format_time(*(place - 1));
  if (place == data.times.begin())
    there += tsdl::format_time(*place);
  else if (place != data.times.end())
    there += ", the next one " + tsdl::format_time(*place);
  else
    there += ", its last one";
  throw tsdl::DataError("--window ", text, ": ", data.path, " has no row of that time; ", there);
}

}  // namespace internal

/// The number of the window that ends at this time, row or case. Throws: OptionError, DataError
/// when it is not there or not complete, with what is there.
inline tsdl::Index window_at(const ExplainData& data, const std::string& text) {
  const tsdl::Index row = internal::row_of(data, text);
  if (data.cases()) return row;
  const auto& ends = data.windows.ends();
  const auto place = std::lower_bound(ends.begin(), ends.end(), row);
  if (place != ends.end() && *place == row) return place - ends.begin();
  const std::string start = "--window " + text + ": the " + std::to_string(data.recipe.length) +
                            " rows that end there are not complete: ";
  if (ends.empty()) throw tsdl::DataError(start, data.path, " has no complete window at all");
  if (place == ends.begin())
    throw tsdl::DataError(start, "it is too early, and the first complete window of ", data.path,
                          " ends at ", data.row_name(ends.front()));
  std::string there = "the last one before ends at " + data.row_name(*(place - 1));
  if (place != ends.end()) there += ", the next one at " + data.row_name(*place);
  throw tsdl::DataError(start, "a value is missing in them; ", there);
}

}  // namespace examples
