// From a panel to training, validation, calibration and test windows; and, by a recipe that was
// fitted so, to the windows of new rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/calendar.hpp"
#include "tsdl/data/panel.hpp"
#include "tsdl/data/panel_recipe.hpp"
#include "tsdl/data/panel_split.hpp"
#include "tsdl/data/panel_windows.hpp"
#include "tsdl/task/forecast_figures.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The result of prepare_panel: the windows of each part, over one shared matrix.
template <class Scalar>
struct PreparedPanel {
  PanelRecipe recipe;  ///< as given, with columns, vocabularies and fitted scalers
  PanelWindows<Scalar> train, validation, calibration, test;
  std::vector<std::string> too_short;  ///< series with no window in any part
  Index incomplete = 0;                ///< windows left out for an empty cell
};

namespace internal {

inline bool contains(const std::vector<std::string>& names, const std::string& name) {
  for (const std::string& one : names)
    if (ascii_lower(one) == ascii_lower(trimmed(name))) return true;
  return false;
}

/// Puts the panel's columns into the order of `names`. Throws: DataError when one is missing.
template <class = void>
void order_columns(Panel& panel, const std::vector<std::string>& names) {
  if (panel.columns == names) return;
  std::vector<Index> from;
  for (const std::string& name : names) from.push_back(panel.column(name));
  panel.columns = names;
  for (PanelSeries& one : panel.series) {
    auto ordered = Series<double>::sized(names, one.values.rows);
    for (Index row = 0; row < ordered.rows; ++row)
      for (std::size_t i = 0; i < from.size(); ++i)
        ordered.column(row)[i] = one.values.column(row)[from[i]];
    one.values = std::move(ordered);
  }
}

/// Decides on the matrix's columns and makes them.
template <class = void>
void choose_columns(Panel& panel, PanelRecipe& recipe) {
  add_calendar(panel, recipe.calendar);
  const std::vector<std::string> made = calendar_columns(recipe.calendar);
  std::vector<std::string> known = recipe.future;
  known.insert(known.end(), made.begin(), made.end());
  std::vector<std::string> past = recipe.past;
  if (past.empty())
    for (const std::string& column : panel.columns)
      if (!contains(known, column)) past.push_back(column);
  if (past.empty()) throw DataError("panel recipe: no column is read of the past");
  std::vector<std::string> columns;
  for (const std::vector<std::string>* names : {&past, &known})
    for (const std::string& name : *names) {
      if (contains(columns, name))
        throw DataError("panel recipe: the column ", name, " is named twice among those read");
      columns.push_back(panel.columns[static_cast<std::size_t>(panel.column(name))]);
    }
  recipe.inputs = std::ssize(columns);
  if (recipe.targets.empty()) recipe.targets = past;
  for (std::string& name : recipe.targets) {
    name = panel.columns[static_cast<std::size_t>(panel.column(name))];
    if (contains(known, name))
      throw DataError("panel recipe: the target ", name, " is a column known beforehand");
    if (!contains(columns, name)) {
      if (recipe.normalise != WindowNorm::none)
        throw DataError("panel recipe: the target ", name,
                        " is not read, so that its window "
                        "cannot be normalised");
      columns.push_back(name);
    }
  }
  for (std::size_t i = 0; i < recipe.targets.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (recipe.targets[i] == recipe.targets[j])
        throw DataError("panel recipe: the target ", recipe.targets[i], " is named twice");
  recipe.columns = columns;
}

/// Which rows of a series a window may use.
struct UsableRows {
  std::vector<bool> read, known, target;
};

inline UsableRows usable_rows(const Series<double>& values, const PanelRecipe& recipe,
                              const std::vector<Index>& targets) {
  UsableRows usable;
  const auto all_finite = [&](Index row, Index first, Index count) {
    const double* value = values.column(row) + first;
    return std::all_of(value, value + count, [](double v) { return is_finite(v); });
  };
  for (Index row = 0; row < values.rows; ++row) {
    usable.read.push_back(all_finite(row, 0, recipe.inputs));
    usable.known.push_back(all_finite(row, recipe.first_future(), recipe.future_count()));
    usable.target.push_back(std::all_of(targets.begin(), targets.end(), [&](Index column) {
      return is_finite(values.column(row)[column]);
    }));
  }
  return usable;
}

/// Calls use(row, complete) for each row of a series whose T rows fit before it and whose H rows
/// after it lie in `part`: whether nothing that the window needs is missing.
template <class Use>
void for_each_window(const UsableRows& usable, const PanelRecipe& recipe, RowRange part,
                     const Use& use) {
  const Index T = recipe.length, H = recipe.horizon;
  const Index first = std::max(T, part.first), last = part.last - H;
  // Runs of usable rows that end with a row, and that begin with it.
  const auto rows = std::ssize(usable.read);
  std::vector<Index> read(static_cast<std::size_t>(rows) + 1), ahead(read.size());
  for (Index row = 0; row < rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    read[at + 1] = usable.read[at] ? read[at] + 1 : 0;
  }
  for (Index row = rows; row-- > 0;) {
    const auto at = static_cast<std::size_t>(row);
    ahead[at] = usable.known[at] && usable.target[at] ? ahead[at + 1] + 1 : 0;
  }
  for (Index row = first; row <= last; ++row) {
    const auto at = static_cast<std::size_t>(row);
    use(row - 1, read[at] >= T && ahead[at] >= H);
  }
}

/// The seasonal_naive_error of a column over a series' first rows.
inline double seasonal_error(const Series<double>& values, Index column, Index rows, Index season) {
  std::vector<double> history;
  for (Index row = 0; row < rows; ++row) history.push_back(values.column(row)[column]);
  return seasonal_naive_error(history, season);
}

/// The rows from which the denominator of MASE is made: those before the test, as the M4
/// competition has it; without a test those of training.
inline Index before_test(const PanelParts& parts) noexcept {
  const bool tested = parts.test.last > parts.test.first;
  return tested ? parts.test.first : parts.train.last;
}

/// The scaler of a series: its own, or the one for all.
struct ColumnScale {
  const std::vector<double>&mean, &scale;
};
inline ColumnScale scale_of(const PanelRecipe& recipe, const std::string& series) {
  if (recipe.scale_by == ScaleBy::series) {
    const auto place = std::lower_bound(
        recipe.series_scales.begin(), recipe.series_scales.end(), series,
        [](const SeriesScale& one, const std::string& name) { return one.series < name; });
    if (place != recipe.series_scales.end() && place->series == series)
      return {place->mean, place->scale};
  }
  return {recipe.scaler.mean(), recipe.scaler.scale()};
}

[[noreturn]] inline void refuse_unknown(const std::string& series, const std::string& category) {
  throw DataError("panel: series ", series, ": the category ", category,
                  " is unknown to the model, which has learnt no entry for such");
}

/// The number of a category's entry; 0 where it is not known.
inline Index entry_of(const std::vector<std::string>& vocabulary, const std::string& entry) {
  const auto place = std::lower_bound(vocabulary.begin(), vocabulary.end(), entry);
  return place != vocabulary.end() && *place == entry ? place - vocabulary.begin() + 1 : 0;
}

/// Moves a panel's rows, scaled, into one matrix. Each series is let go once it is copied.
template <class Scalar>
std::shared_ptr<PanelData<Scalar>> panel_data(Panel& panel, const PanelRecipe& recipe) {
  auto data = std::make_shared<PanelData<Scalar>>();
  PanelData<Scalar>& d = *data;
  d.inputs = recipe.inputs;
  d.first_future = recipe.first_future();
  d.future = recipe.future_count();
  d.targets = recipe.target_places();
  d.horizon = recipe.horizon;
  d.normalise = recipe.normalise;
  d.values = Series<Scalar>::sized(recipe.columns, panel.rows());
  d.static_count = std::ssize(recipe.static_columns);
  d.category_count = std::ssize(recipe.vocabularies);
  Index row = 0;
  for (PanelSeries& one : panel.series) {
    const ColumnScale scale = scale_of(recipe, one.name);
    d.starts.push_back(row);
    d.names.push_back(one.name);
    d.times.push_back(one.times);
    for (Index r = 0; r < one.values.rows; ++r, ++row)
      for (Index i = 0; i < d.values.features; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const double value = one.values.column(r)[i];
        const double scaled = (value - scale.mean[at]) / scale.scale[at];
        if (!is_nan(value) && !is_finite(static_cast<Scalar>(scaled)))
          throw DataError("panel: series ", one.name, ", row ", r, ", column ", recipe.columns[at],
                          ": too large once scaled");
        d.values.column(row)[i] = is_nan(value) ? nan_of<Scalar> : static_cast<Scalar>(scaled);
      }
    one.values = Series<double>();
    for (const Index column : d.targets) {
      const auto at = static_cast<std::size_t>(column);
      d.scales.push_back({scale.mean[at], scale.scale[at]});
    }
    if (d.static_count > 0) {
      std::vector<Scalar> scaled(one.statics.size());
      if (recipe.statics_scaler.transform_row(one.statics.data(), scaled.data()) >= 0)
        throw DataError("panel: series ", one.name, ": a static value too large once scaled");
      d.statics.insert(d.statics.end(), scaled.begin(), scaled.end());
    }
    std::vector<std::string> categories = one.categories;
    if (recipe.embed_series) categories.insert(categories.begin(), one.name);
    for (std::size_t c = 0; c < recipe.vocabularies.size(); ++c)
      d.categories.push_back(entry_of(recipe.vocabularies[c], categories[c]));
  }
  d.starts.push_back(row);
  return data;
}

/// The categories and statics of the series that have training windows.
template <class = void>
void fit_series_facts(const Panel& panel, const std::vector<bool>& trained, PanelRecipe& recipe) {
  recipe.static_columns = panel.static_columns;
  recipe.category_columns = panel.category_columns;
  recipe.vocabularies.assign(panel.category_columns.size() + recipe.embed_series, {});
  auto statics = Series<double>::sized(panel.static_columns, std::ssize(panel.series));
  Index rows = 0;
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    if (!trained[s]) continue;
    const PanelSeries& one = panel.series[s];
    std::copy(one.statics.begin(), one.statics.end(), statics.column(rows++));
    std::size_t c = 0;
    if (recipe.embed_series) recipe.vocabularies[c++].push_back(one.name);
    for (const std::string& category : one.categories) recipe.vocabularies[c++].push_back(category);
  }
  for (auto& entries : recipe.vocabularies) {
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  }
  const RowRange all{0, rows};
  if (!panel.static_columns.empty()) recipe.statics_scaler.fit(statics, std::span(&all, 1));
}

}  // namespace internal

/// Cuts a panel into parts and makes their windows. Scalers and vocabularies are fitted on the rows
/// that training windows read or forecast, and on nothing else; the denominators of MASE, which
/// judge and train nothing, are of all rows before the test. A
/// series that is too short for a window is left out and named. The panel's rows are moved out of
/// it, series by series, so that few of them are in memory twice.
/// Throws: OptionError as PanelRecipe::check; DataError when a column is missing or named twice,
/// no series has a training window, or as split_panel and StandardScaler.
template <class Scalar>
PreparedPanel<Scalar> prepare_panel(Panel panel, PanelRecipe recipe, const PanelSplit& split) {
  using namespace internal;
  const FloatModeGuard guard;
  recipe.check();
  validate(panel);
  choose_columns(panel, recipe);
  order_columns(panel, recipe.columns);
  const std::vector<PanelParts> parts = split_panel(panel, split);
  const std::vector<Index> targets = recipe.target_places();
  PreparedPanel<Scalar> prepared;
  std::vector<Index> ends[4];
  std::vector<bool> trained;
  std::vector<double> naive;
  recipe.series_scales.clear();
  StandardScaler scaler(recipe.scaler.options());
  Index begin = 0;
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    const PanelSeries& one = panel.series[s];
    const UsableRows usable = usable_rows(one.values, recipe, targets);
    const RowRange ranges[4] = {parts[s].train, parts[s].validation, parts[s].calibration,
                                parts[s].test};
    std::vector<RowRange> covered;
    Index made = 0;
    for (int part = 0; part < 4; ++part) {
      Index last = -recipe.stride;
      for_each_window(usable, recipe, ranges[part], [&](Index row, bool complete) {
        prepared.incomplete += !complete;
        if (!complete || (part == 0 && row - last < recipe.stride)) return;
        last = row;
        ++made;
        ends[part].push_back(begin + row);
        if (part > 0) return;
        const RowRange window{row - recipe.length + 1, row + recipe.horizon + 1};
        if (!covered.empty() && window.first <= covered.back().last)
          covered.back().last = window.last;
        else
          covered.push_back(window);
      });
    }
    begin += one.values.rows;
    if (made == 0) prepared.too_short.push_back(one.name);
    trained.push_back(!covered.empty());
    for (const Index column : targets)
      naive.push_back(seasonal_error(one.values, column, before_test(parts[s]), recipe.season));
    if (covered.empty()) continue;
    scaler.partial_fit(one.values, covered);
    if (recipe.scale_by == ScaleBy::all) continue;
    StandardScaler own;
    own.fit(one.values, covered);
    recipe.series_scales.push_back({one.name, own.mean(), own.scale()});
  }
  if (ends[0].empty())
    throw DataError("panel: no series has a training window: ", recipe.length, " rows to read and ",
                    recipe.horizon, " to forecast, of ", panel.series.size(), " series of at most ",
                    std::max_element(panel.series.begin(), panel.series.end(),
                                     [](const PanelSeries& a, const PanelSeries& b) {
                                       return a.values.rows < b.values.rows;
                                     })
                        ->values.rows,
                    " rows");
  std::sort(recipe.series_scales.begin(), recipe.series_scales.end(),
            [](const SeriesScale& a, const SeriesScale& b) { return a.series < b.series; });
  recipe.scaler = std::move(scaler);
  fit_series_facts(panel, trained, recipe);
  const std::shared_ptr<PanelData<Scalar>> data = panel_data<Scalar>(panel, recipe);
  data->naive = std::move(naive);
  const auto windows = [&](int part) {
    ends[part].shrink_to_fit();
    return PanelWindows<Scalar>(data, recipe.length, std::move(ends[part]));
  };
  prepared.train = windows(0);
  prepared.validation = windows(1);
  prepared.calibration = windows(2);
  prepared.test = windows(3);
  prepared.recipe = std::move(recipe);
  return prepared;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
