// Recipes of panels as JSON, for the metadata of model files.
#pragma once

#include <string>
#include <vector>

#include "tsdl/data/panel_recipe.hpp"
#include "tsdl/io/json.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

inline Json panel_recipe_to_json(const PanelRecipe& recipe) {
  Json scales = Json::array();
  for (const SeriesScale& one : recipe.series_scales)
    scales.push_back({{"series", one.series}, {"mean", one.mean}, {"scale", one.scale}});
  Json json = {{"length", recipe.length},
               {"horizon", recipe.horizon},
               {"stride", recipe.stride},
               {"season", recipe.season},
               {"columns", recipe.columns},
               {"inputs", recipe.inputs},
               {"future", recipe.future},
               {"calendar", recipe.calendar},
               {"targets", recipe.targets},
               {"normalise", std::string(to_string(recipe.normalise))},
               {"scale_by", std::string(to_string(recipe.scale_by))},
               {"scaler", scaler_to_json(recipe.scaler)},
               {"series_scales", std::move(scales)},
               {"static_columns", recipe.static_columns},
               {"category_columns", recipe.category_columns},
               {"embed_series", recipe.embed_series},
               {"vocabularies", recipe.vocabularies}};
  if (!recipe.static_columns.empty())
    json["statics_scaler"] = scaler_to_json(recipe.statics_scaler);
  return json;
}

inline std::vector<std::string> texts_at(const Json& json, const char* key) {
  return json.at(key).get<std::vector<std::string>>();
}

/// Throws: Error, OptionError, DataError when a value is missing, out of range or contradicts
/// another; nlohmann's exceptions where one is of another type.
inline PanelRecipe panel_recipe_from_json(const Json& json) {
  PanelRecipe recipe;
  recipe.length = index_at(json, "length", 1, most_rows);
  recipe.horizon = index_at(json, "horizon", 1, most_rows);
  recipe.stride = index_at(json, "stride", 1, most_rows);
  recipe.season = index_at(json, "season", 1, most_rows);
  recipe.columns = texts_at(json, "columns");
  recipe.inputs = index_at(json, "inputs", 1, std::ssize(recipe.columns));
  recipe.future = texts_at(json, "future");
  recipe.calendar = texts_at(json, "calendar");
  recipe.targets = texts_at(json, "targets");
  recipe.normalise = window_norm_from(json.at("normalise").get<std::string>());
  recipe.scale_by = scale_by_from(json.at("scale_by").get<std::string>());
  recipe.scaler = scaler_from_json(json.at("scaler"), recipe.columns);
  const std::size_t columns = recipe.columns.size();
  for (const Json& one : json.at("series_scales")) {
    SeriesScale scale{one.at("series").get<std::string>(), numbers_at(one, "mean"),
                      numbers_at(one, "scale")};
    if (scale.mean.size() != columns || scale.scale.size() != columns)
      throw Error("'series_scales': series ", scale.series, ": expected ", columns, " numbers");
    for (std::size_t i = 0; i < columns; ++i)
      if (!is_finite(scale.mean[i]) || !(is_finite(scale.scale[i]) && scale.scale[i] > 0))
        throw Error("'series_scales': series ", scale.series, ": mean ", scale.mean[i], ", scale ",
                    scale.scale[i]);
    if (!recipe.series_scales.empty() && !(recipe.series_scales.back().series < scale.series))
      throw Error("'series_scales': the series do not ascend at ", scale.series);
    recipe.series_scales.push_back(std::move(scale));
  }
  recipe.static_columns = texts_at(json, "static_columns");
  recipe.category_columns = texts_at(json, "category_columns");
  recipe.embed_series = flag_at(json, "embed_series");
  recipe.vocabularies = json.at("vocabularies").get<std::vector<std::vector<std::string>>>();
  if (!recipe.static_columns.empty())
    recipe.statics_scaler = scaler_from_json(json.at("statics_scaler"), recipe.static_columns);
  if (recipe.first_future() < 0)
    throw Error("'future': ", recipe.future_count(), " columns of ", recipe.inputs, " inputs");
  if (recipe.targets.empty()) throw Error("'targets': expected 1 or more columns");
  for (const Index place : recipe.target_places())
    if (recipe.normalise != WindowNorm::none && place >= recipe.first_future())
      throw Error("'targets': a normalised target that is not read");
  if (recipe.vocabularies.size() != recipe.category_columns.size() + recipe.embed_series)
    throw Error("'vocabularies': expected ", recipe.category_columns.size() + recipe.embed_series,
                ", got ", recipe.vocabularies.size());
  for (const auto& entries : recipe.vocabularies)
    if (!std::is_sorted(entries.begin(), entries.end()))
      throw Error("'vocabularies': entries must ascend");
  return recipe;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
