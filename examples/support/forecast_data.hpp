// The data of the program forecast: what its options read, and what is said about it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "forecast_options.hpp"
#include "names.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/data/panel_prepare.hpp"
#include "tsdl/data/panel_reader.hpp"
#include "tsdl/report/summary.hpp"

namespace examples {

using PanelData = tsdl::PreparedPanel<float>;

inline std::vector<std::filesystem::path> paths_of(const std::vector<std::string>& files) {
  return {files.begin(), files.end()};
}

/// Reads files as the options say. Empty `columns`: all that are there.
inline tsdl::Panel read_files(const ForecastRun& o, const std::vector<std::string>& files,
                              std::vector<std::string> columns) {
  if (o.wide) {
    tsdl::Panel panel = tsdl::read_wide_panel(files.front());
    for (std::size_t i = 1; i < files.size(); ++i) {
      tsdl::Panel more = tsdl::read_wide_panel(files[i]);
      for (tsdl::PanelSeries& one : more.series) panel.series.push_back(std::move(one));
    }
    tsdl::validate(panel);
    if (!o.series.empty())
      std::erase_if(panel.series, [&](const auto& one) { return one.name != o.series; });
    if (panel.series.empty())
      throw tsdl::DataError(files.front(), ": no series is named ", o.series);
    return panel;
  }
  const std::vector<std::filesystem::path> paths = paths_of(files);
  return tsdl::read_panel<>(paths, {.columns = std::move(columns),
                                    .series_column = o.series_column,
                                    .series = o.series,
                                    .static_columns = o.statics,
                                    .category_columns = o.categories});
}

/// The columns to read where the options name all of them, else none: all that are there.
inline std::vector<std::string> columns_to_read(const ForecastRun& o) {
  if (o.past.empty() || o.targets.empty()) return {};
  std::vector<std::string> columns;
  for (const auto* names : {&o.past, &o.future, &o.targets})
    for (const std::string& name : *names)
      if (!tsdl::internal::contains(columns, name)) columns.push_back(name);
  return columns;
}

inline tsdl::Panel read_panel_of(const ForecastRun& o) {
  tsdl::Panel panel = read_files(o, o.files, columns_to_read(o));
  if (!o.more_files.empty())
    tsdl::append_rows(
        panel, read_files(o, o.more_files, o.wide ? std::vector<std::string>() : panel.columns));
  return panel;
}

inline tsdl::PanelRecipe panel_recipe_of(const ForecastRun& o) {
  return {.length = o.length,
          .horizon = o.horizon,
          .targets = o.targets,
          .past = o.past,
          .future = o.future,
          .calendar = o.calendar,
          .stride = o.stride,
          .normalise = tsdl::window_norm_from(o.normalise),
          .scale_by = tsdl::scale_by_from(o.scale),
          .season = o.season,
          .embed_series = o.embed_series};
}

inline tsdl::PanelSplit panel_split_of(const ForecastRun& o) {
  using By = tsdl::PanelSplit::By;
  return {.by = o.split == "tail"   ? By::tail
                : o.split == "rows" ? By::rows
                                    : By::time,
          .validation = o.validation,
          .calibration = o.calibration,
          .test = o.test,
          .train = o.train_rows};
}

/// Throws: tsdl::DataError when a window after the training has a category that training has not
/// seen, and the model learns no entry for such.
inline void refuse_unknown_categories(const ForecastRun& o, const PanelData& data) {
  const auto& panel = data.train.data();
  if (panel.category_count == 0 || o.unknown_share > 0) return;
  for (const auto* part : {&data.validation, &data.calibration, &data.test})
    for (tsdl::Index i = 0; i < part->size(); ++i) {
      const tsdl::Index series = part->series(i);
      for (tsdl::Index c = 0; c < panel.category_count; ++c)
        if (panel.categories[static_cast<std::size_t>(series * panel.category_count + c)] == 0)
          throw tsdl::DataError("--unknown-share 0: the series ",
                                panel.names[static_cast<std::size_t>(series)],
                                " has a category that no training window has");
    }
}

/// Names of a list, the first few of them.
inline std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 5; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > 5) text += ", and " + std::to_string(names.size() - 5) + " more";
  return text;
}

/// What is said of the data before training. `series` and `rows` are those that were read.
inline TextLines panel_lines(const ForecastRun& o, const PanelData& data, tsdl::Index series,
                             tsdl::Index rows) {
  const tsdl::PanelRecipe& r = data.recipe;
  std::string files = std::filesystem::path(o.files.front()).filename().string();
  if (o.files.size() > 1) files += " and " + std::to_string(o.files.size() - 1) + " more";
  std::string left = format_count(series) + (series == 1 ? " series of " : " series, ") +
                     format_count(rows) + " rows";
  if (!data.too_short.empty())
    left += "; " + format_count(std::ssize(data.too_short)) +
            " too short for a window: " + some_of(data.too_short);
  if (data.incomplete > 0)
    left += "; " + format_count(data.incomplete) + " windows left out for empty cells";
  TextLines lines = {{"data", files + ", " + left}};
  lines.emplace_back("forecast", some_of(r.targets) + ", " + std::to_string(r.horizon) +
                                     " rows ahead from " + std::to_string(r.length));
  std::string read = std::to_string(r.inputs) + " columns";
  if (r.future_count() > 0) read += ", " + std::to_string(r.future_count()) + " known beforehand";
  if (!r.static_columns.empty()) read += ", " + std::to_string(r.static_columns.size()) + " static";
  for (const tsdl::Index size : r.category_sizes())
    read += ", a category of " + format_count(size - 1);
  lines.emplace_back("reads", read + "; scaled by " +
                                  (r.scale_by == tsdl::ScaleBy::all ? "all series" : "series") +
                                  ", windows normalised: " + o.normalise);
  std::string parts = format_count(data.train.size()) + " to train on, " +
                      format_count(data.validation.size()) + " to validate on";
  if (!data.calibration.empty())
    parts += ", " + format_count(data.calibration.size()) + " to calibrate on";
  lines.emplace_back("windows", parts + ", " + format_count(data.test.size()) + " to test on");
  return lines;
}

}  // namespace examples
