// The data of a training program: options, what they are read into, and what is said about it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "format.hpp"
#include "report.hpp"
#include "tsdl/data/gaps.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/data/synthetic.hpp"

namespace examples {

/// Which data, and what becomes of it. Each member is an option.
struct DataOptions {
  std::string file{}, features{}, label{}, label_column{};
  std::vector<std::string> feature_columns{};
  std::optional<tsdl::Index> horizon{};
  tsdl::Index label_offset = 0, seq_len = 0, stride = 1;
  double clip_features = 0, validation = 0, test = 0;

  /// Whether the file is a table of one's own columns.
  bool uses_table() const { return !feature_columns.empty() || !label_column.empty(); }
};

inline const std::vector<std::string> label_names = {"range", "direction", "threshold",
                                                     "triple_barrier"};

/// What prepare shall do. Throws: DataError when options contradict each other.
inline tsdl::Recipe recipe_of(const DataOptions& o) {
  tsdl::Recipe recipe;
  recipe.length = o.seq_len;
  recipe.stride = o.stride;
  recipe.features = o.features;
  recipe.scaler = tsdl::StandardScaler({.clip = o.clip_features});
  if (o.uses_table()) {
    if (o.feature_columns.empty() || o.label_column.empty())
      throw tsdl::DataError("--feature-columns and --label-column go together");
    recipe.features.clear();
    recipe.label = tsdl::ColumnLabel{.column = o.label_column, .offset = o.label_offset};
    return recipe;
  }
  const tsdl::Index horizon = o.horizon.value_or(o.label == "triple_barrier" ? 10 : 1);
  if (o.label == "range" && horizon != 1)
    throw tsdl::DataError("--label range looks one candle ahead: --horizon ", horizon,
                          " is for the other labels");
  if (o.label == "direction") recipe.label = tsdl::DirectionLabel{.horizon = horizon};
  if (o.label == "threshold") recipe.label = tsdl::ThresholdLabel{.horizon = horizon};
  if (o.label == "triple_barrier") recipe.label = tsdl::TripleBarrierLabel{.horizon = horizon};
  return recipe;
}

/// What a run learns from and is tested on, and the prices behind it.
struct RunData : tsdl::Prepared<float> {
  std::vector<double> closes{};  ///< of every row of the series; empty for a table
};

inline RunData prepare_candles(const tsdl::Candles& candles, const tsdl::Recipe& recipe,
                               tsdl::SplitFractions fractions) {
  RunData data{tsdl::prepare<float>(candles, recipe, fractions)};
  for (const tsdl::Candle& candle : candles.rows) data.closes.push_back(candle.close);
  return data;
}

/// Reads the file and prepares it.
inline RunData read_data(const DataOptions& o) {
  const tsdl::SplitFractions fractions{.validation = o.validation, .test = o.test};
  const tsdl::Recipe recipe = recipe_of(o);
  if (!o.uses_table()) return prepare_candles(tsdl::read_candles(o.file), recipe, fractions);
  const auto table = tsdl::read_table(
      o.file, {.feature_columns = o.feature_columns, .label_column = o.label_column});
  return {tsdl::prepare<float>(table, recipe, fractions)};
}

/// As many synthetic candles as it takes for `rows` rows on which a window with a label can end:
/// the warm-up of features and label, the first window and the label's horizon come on top.
inline tsdl::Candles synthetic_candles_for(const tsdl::Recipe& recipe, tsdl::Index rows,
                                           std::uint64_t seed) {
  const tsdl::Index horizon = tsdl::horizon(recipe.label);
  // The first such row is found on a series long enough to have one; a longer one begins the same.
  for (tsdl::Index probe = 1024 + recipe.length + horizon;; probe *= 2) {
    const tsdl::Candles candles = tsdl::synthetic_candles(probe, {}, seed);
    const auto features = tsdl::engineer_features(candles, tsdl::feature_set(recipe.features));
    const tsdl::Labels labels = tsdl::make_labels(candles, recipe.label);
    tsdl::Index complete = 0;
    for (tsdl::Index row = 0; row < features.rows; ++row) {
      complete = features.is_complete(row) ? complete + 1 : 0;
      if (complete >= recipe.length && is_finite(labels.values[static_cast<std::size_t>(row)]))
        return tsdl::synthetic_candles(row + rows + horizon, {}, seed);
    }
  }
}

inline std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// The label of each class, as people write it: -1, 0, 1.
inline std::vector<std::string> class_names(const tsdl::Recipe& recipe) {
  std::vector<std::string> names;
  for (const double value : recipe.class_values)
    names.push_back(tsdl::is_finite(value) && value == std::floor(value) ? format_fixed(value, 0)
                                                                         : format_exact(value));
  return names;
}

/// What the label asks, and its classes where they are more than no and yes.
inline std::string label_text(const DataOptions& o, const tsdl::Recipe& recipe) {
  const std::string ahead = std::to_string(horizon(recipe.label));
  std::string text = "next true range above the median of the last 20";
  if (o.uses_table())
    text = "column " + o.label_column;
  else if (o.label == "direction")
    text = "close after " + ahead + " above close now";
  else if (o.label == "threshold")
    text = "close after " + ahead + " below, within or above half a trailing volatility";
  else if (o.label == "triple_barrier")
    text = "loss (-1) or gain (1) of two trailing volatilities within " + ahead + ", or neither";
  if (recipe.class_values.size() <= 2) return text;
  return text + "; classes " + listed(class_names(recipe));
}

/// The first lines of the summary. `source` is the file, or whatever the rows came from.
inline TextLines data_summary(const DataOptions& o, const std::string& source,
                              const tsdl::Prepared<float>& data) {
  std::string rows = format_count(data.train.series().rows) + " rows";
  if (!data.times.empty())
    rows += ", " + tsdl::format_time(data.times.front()) + " to " +
            tsdl::format_time(data.times.back());
  TextLines lines{{"data", source + ": " + rows}};
  if (!data.times.empty()) lines.emplace_back("gaps", to_string(tsdl::find_gaps(data.times)));
  lines.emplace_back("features", o.uses_table()
                                     ? listed(data.recipe.columns)
                                     : o.features + ", " + std::to_string(data.inputs()));
  const std::vector<std::string> constant = data.recipe.scaler.constant_columns();
  if (!constant.empty())
    lines.emplace_back(
        "constant", listed(constant) + ": the same in every training row, carrying no information");
  lines.emplace_back("label", label_text(o, data.recipe));
  lines.emplace_back("windows",
                     std::to_string(o.seq_len) + " rows each: " + format_count(data.train.size()) +
                         " to train, " + format_count(data.validation.size()) + " to validate, " +
                         format_count(data.test.size()) + " to test, " +
                         format_count(data.split.dropped) + " dropped between them");
  return lines;
}

}  // namespace examples
