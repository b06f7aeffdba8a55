// The data of a training program: what its options are read into, and what is said about it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "names.hpp"
#include "options.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/data/synthetic.hpp"
#include "tsdl/report/summary.hpp"

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

/// Reads the file and prepares it. Throws: DataError also when a target is missing and that is to
/// be refused.
inline tsdl::Prepared<float> read_data(const DataOptions& o) {
  const tsdl::SplitFractions fractions{.validation = o.validation, .test = o.test};
  const tsdl::Recipe recipe = recipe_of(o);
  const auto read = [&] {
    if (!o.uses_table()) return tsdl::prepare<float>(tsdl::read_candles(o.file), recipe, fractions);
    const auto table = tsdl::read_table(o.file, {.feature_columns = o.feature_columns,
                                                 .label_column = o.label_column,
                                                 .target_columns = o.targets});
    return tsdl::prepare<float>(table, recipe, fractions);
  };
  tsdl::Prepared<float> data = read();
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

/// The first lines of the summary. `source` is the file, or whatever the rows came from.
inline TextLines data_summary(const DataOptions& o, const std::string& source,
                              const tsdl::Prepared<float>& data) {
  return data_lines(data, source, o.task, o.quantiles);
}

}  // namespace examples
