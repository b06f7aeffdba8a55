// The windows of new rows, by the recipe of a forecaster that prepare_panel has fitted.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/data/panel_prepare.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How new rows are read.
struct ApplyOptions {
  bool all = false;  ///< every complete window; otherwise each series' last one
  /// Whether a category that no training series had is read as the unknown entry, which training
  /// has learnt where ForecastOptions::unknown_share is above 0. Otherwise it is refused.
  bool allow_unknown = true;
};

namespace internal {

/// Adds rows that are not known yet behind every series whose times tell those of the rows to come.
template <class = void>
void add_rows_ahead(Panel& panel, Index rows) {
  for (PanelSeries& one : panel.series) {
    if (!one.times.is_even()) continue;
    auto longer = Series<double>::sized(panel.columns, one.values.rows + rows);
    std::copy(one.values.values.begin(), one.values.values.end(), longer.values.begin());
    std::fill(longer.values.begin() + one.values.values.size(), longer.values.end(), undefined);
    one.times = one.times.extended(rows);
    one.values = std::move(longer);
  }
}

/// Throws: DataError naming series and category.
template <class = void>
void refuse_unknown_categories(const Panel& panel, const PanelRecipe& recipe) {
  for (const PanelSeries& one : panel.series) {
    std::vector<std::string> categories = one.categories;
    if (recipe.embed_series) categories.insert(categories.begin(), one.name);
    for (std::size_t c = 0; c < recipe.vocabularies.size(); ++c)
      if (!std::binary_search(recipe.vocabularies[c].begin(), recipe.vocabularies[c].end(),
                              categories[c]))
        refuse_unknown(one.name, categories[c]);
  }
}

}  // namespace internal

/// The windows of a panel by a fitted recipe: each series' last, or all that are complete. What
/// follows a window may be unknown: its targets are then NaN. Columns known beforehand must be
/// there for the rows to forecast, unless all of them are of the calendar and times are evenly
/// spaced: the calendar is then made for rows beyond the end. Series without a window are named in
/// `too_short`, if given. Throws: DataError when the recipe is not fitted, the panel lacks a
/// column, a category or a calendar's times, no series has a window, or one lacks the rows known
/// beforehand.
template <class Scalar>
PanelWindows<Scalar> panel_windows(Panel panel, const PanelRecipe& recipe,
                                   const ApplyOptions& options = {},
                                   std::vector<std::string>* too_short = nullptr) {
  using namespace internal;
  const FloatModeGuard guard;
  validate(panel);
  if (!recipe.scaler.is_fitted()) throw DataError("panel recipe: it is not fitted");
  if (panel.static_columns != recipe.static_columns ||
      panel.category_columns != recipe.category_columns)
    throw DataError("panel recipe: expected the static columns (", joined(recipe.static_columns),
                    ") and the categories (", joined(recipe.category_columns), "), found (",
                    joined(panel.static_columns), ") and (", joined(panel.category_columns), ")");
  if (!options.allow_unknown) refuse_unknown_categories(panel, recipe);
  if (recipe.future.empty() && !recipe.calendar.empty()) add_rows_ahead(panel, recipe.horizon);
  add_calendar(panel, recipe.calendar);
  order_columns(panel, recipe.columns);
  const std::vector<Index> targets = recipe.target_places();
  const std::span known_columns(recipe.columns.data() + recipe.first_future(),
                                static_cast<std::size_t>(recipe.future_count()));
  std::vector<Index> ends;
  Index begin = 0;
  for (const PanelSeries& one : panel.series) {
    const UsableRows usable = usable_rows(one.values, recipe, targets);
    Index run = 0, last_read = -1, last = -1;
    for (Index row = 0; row < one.values.rows; ++row) {
      run = usable.read[static_cast<std::size_t>(row)] ? run + 1 : 0;
      if (run < recipe.length) continue;
      last_read = row;
      Index known = 0;
      if (recipe.future_count() > 0)
        while (known < recipe.horizon && row + 1 + known < one.values.rows &&
               usable.known[static_cast<std::size_t>(row + 1 + known)])
          ++known;
      if (recipe.future_count() > 0 && known < recipe.horizon) continue;
      if (options.all) ends.push_back(begin + row);
      last = row;
    }
    if (last_read >= 0 && last < last_read && !options.all)
      throw DataError("panel: series ", one.name, ": the horizon of ", recipe.horizon,
                      " rows goes beyond the end: columns known beforehand (",
                      joined(known_columns), ") must be there for the rows after row ", last_read);
    if (last >= 0 && !options.all) ends.push_back(begin + last);
    if (last < 0 && too_short) too_short->push_back(one.name);
    begin += one.values.rows;
  }
  if (ends.empty())
    throw DataError("panel: no series has ", recipe.length, " complete rows, as a window needs");
  const std::shared_ptr<PanelData<Scalar>> data = panel_data<Scalar>(panel, recipe);
  data->naive.assign(data->scales.size(), undefined);
  return PanelWindows<Scalar>(data, recipe.length, std::move(ends));
}

}  // namespace TSDL_ABI
}  // namespace tsdl
