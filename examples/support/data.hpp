// The data of a training program: what its options are read into, and what is said about it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "format.hpp"
#include "options.hpp"
#include "report.hpp"
#include "tsdl/data/gaps.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/data/synthetic.hpp"

namespace examples {

/// What prepare shall do. Throws: OptionError, DataError when options contradict each other.
inline tsdl::Recipe recipe_of(const DataOptions& o) {
  tsdl::Recipe recipe;
  recipe.length = o.seq_len;
  recipe.stride = o.stride;
  recipe.features = o.features;
  recipe.scaler = tsdl::StandardScaler({.clip = o.clip_features});
  recipe.every_step = o.pooling == "each";
  if (o.uses_table()) recipe.features.clear();
  if (o.numbers()) {
    recipe.label = tsdl::ColumnTargets{.columns = o.targets, .ahead = o.ahead.value_or(1)};
    return recipe;
  }
  if (o.uses_table()) {
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

/// Reads the file and prepares it. Throws: DataError also when a target is missing and that is to
/// be refused.
inline RunData read_data(const DataOptions& o) {
  const tsdl::SplitFractions fractions{.validation = o.validation, .test = o.test};
  const tsdl::Recipe recipe = recipe_of(o);
  const auto read = [&]() -> RunData {
    if (!o.uses_table()) return prepare_candles(tsdl::read_candles(o.file), recipe, fractions);
    const auto table = tsdl::read_table(o.file, {.feature_columns = o.feature_columns,
                                                 .label_column = o.label_column,
                                                 .target_columns = o.targets});
    return {tsdl::prepare<float>(table, recipe, fractions)};
  };
  RunData data = read();
  if (o.refuse_missing_targets && data.missing_targets > 0)
    throw tsdl::DataError(o.file, ": ", data.missing_targets,
                          " windows have no target, as a cell is empty");
  return data;
}

/// What a model is trained to do.
inline tsdl::Task task_of(const DataOptions& o, const tsdl::Prepared<float>& data) {
  if (o.task == "quantiles") return data.quantiles(o.quantiles);
  if (o.task != "regression") return data.task();
  tsdl::Regression regression{.targets = data.targets(), .scale = data.scale};
  if (o.loss == "mae") regression.loss = tsdl::MAE{};
  if (o.loss == "huber") regression.loss = tsdl::Huber{};
  return regression;
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

/// What targets are called: the labels of classes, or the columns of numbers.
inline std::vector<std::string> target_names(const tsdl::Recipe& recipe) {
  if (const auto* numbers = std::get_if<tsdl::ColumnTargets>(&recipe.label))
    return numbers->columns;
  if (const auto* column = std::get_if<tsdl::ColumnLabel>(&recipe.label);
      column && recipe.regression)
    return {column->column.empty() ? "value" : column->column};
  return class_names(recipe);
}

/// What the label asks, and its classes where they are more than no and yes.
inline std::string label_text(const DataOptions& o, const tsdl::Recipe& recipe) {
  const std::string ahead = std::to_string(horizon(recipe.label));
  std::string text = "next true range above the median of the last 20";
  if (o.numbers()) {
    text = o.task + " of " + listed(o.targets) + ", " + ahead + (ahead == "1" ? " row" : " rows") +
           " ahead";
    if (!o.quantiles.empty()) {
      text += ": ";
      for (std::size_t i = 0; i < o.quantiles.size(); ++i)
        text += (i > 0 ? ", " : "") + format_exact(o.quantiles[i]);
    }
    return text;
  }
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
  lines.emplace_back(o.numbers() ? "target" : "label", label_text(o, data.recipe));
  if (data.missing_targets > 0)
    lines.emplace_back("left out", format_count(data.missing_targets) +
                                       " windows without a target, as its cell is empty");
  lines.emplace_back("windows",
                     std::to_string(o.seq_len) + " rows each: " + format_count(data.train.size()) +
                         " to train, " + format_count(data.validation.size()) + " to validate, " +
                         format_count(data.test.size()) + " to test, " +
                         format_count(data.split.dropped) + " dropped between them");
  return lines;
}

}  // namespace examples
