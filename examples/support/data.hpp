// The data of a training program: what its options are read into, and what is said about it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "names.hpp"
#include "options.hpp"
#include "tsdl/data/gaps.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/data/synthetic.hpp"
#include "tsdl/data/whole_series.hpp"
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

/// What features and labels are made of.
using Source = std::variant<tsdl::Candles, tsdl::Table>;

/// Reads the file, or makes candles for windows of the recipe. Throws: tsdl::DataError when the
/// file is not what the options say.
inline Source read_source(const TrainOptions& o, const tsdl::Recipe& recipe) {
  if (o.data.uses_cases())
    throw tsdl::OptionError(o.data.file,
                            ": expected a CSV file: whole series are for train_bilstm ",
                            "and train_baseline, which compare settings by --case-folds");
  if (o.synthetic > 0) return synthetic_candles_for(recipe, o.synthetic, o.seed);
  if (!o.data.uses_table()) return tsdl::read_candles(o.data.file);
  return tsdl::read_table(o.data.file, {.feature_columns = o.data.feature_columns,
                                        .label_column = o.data.label_column,
                                        .target_columns = o.data.targets});
}

/// The file, or what stands in its place.
inline std::string source_of(const TrainOptions& o) {
  return o.synthetic > 0 ? "synthetic, seed " + std::to_string(o.seed) : o.data.file;
}

/// The same in a title: the file's name without its folder.
inline std::string source_name(const TrainOptions& o) {
  if (o.synthetic > 0) return "synthetic candles";
  return std::filesystem::path(o.data.file).filename().string();
}

inline tsdl::Dataset make_dataset(const Source& source, const tsdl::Recipe& recipe) {
  return std::visit([&](const auto& rows) { return tsdl::make_dataset(rows, recipe); }, source);
}

/// Throws: tsdl::DataError when --refuse-gaps or --refuse-missing-targets refuses the data.
inline void refuse_holes(const TrainOptions& o, const tsdl::Prepared<float>& data) {
  if (o.data.refuse_missing_targets && data.missing_targets > 0)
    throw tsdl::DataError(source_of(o), ": ", data.missing_targets,
                          " windows have no target, as a cell is empty");
  if (!o.refuse_gaps) return;
  if (data.times.empty())
    throw tsdl::DataError(source_of(o), ": --refuse-gaps needs a column of times");
  tsdl::refuse_gaps(tsdl::find_gaps(data.times), source_of(o));
}

/// The files of whole series, and what is made of them for a seed, or for a fold.
class Cases {
 public:
  explicit Cases(const DataOptions& o) : o_(o), train_(tsdl::read_ts(o.file)) {
    if (!o.test_file.empty()) test_ = tsdl::read_ts(o.test_file);
  }

  /// Validation takes its share of each class, of fold `fold`'s training cases if there are folds.
  tsdl::Prepared<float> prepare(std::uint64_t seed, tsdl::Index fold = -1) const {
    tsdl::CaseSplit split = tsdl::stratified_split(train_, o_.validation, seed);
    if (fold >= 0) {
      // The share was drawn from all cases; what the fold tests leaves both parts.
      auto folds = tsdl::stratified_folds(train_, o_.folds, seed);
      split.test = std::move(folds[static_cast<std::size_t>(fold)].test);
      for (std::vector<tsdl::Index>* part : {&split.train, &split.validation})
        std::erase_if(*part, [&](tsdl::Index i) {
          return std::binary_search(split.test.begin(), split.test.end(), i);
        });
    }
    return tsdl::prepare_cases<float>(train_, split, test_ ? &*test_ : nullptr,
                                      tsdl::StandardScaler({.clip = o_.clip_features}));
  }

 private:
  DataOptions o_;
  tsdl::TsCases train_;
  std::optional<tsdl::TsCases> test_{};
};

/// Reads the data and prepares them. Throws: as read_source, prepare and refuse_holes.
inline tsdl::Prepared<float> read_data(const TrainOptions& o) {
  if (o.data.uses_cases()) return Cases(o.data).prepare(o.seed);
  const tsdl::Recipe recipe = recipe_of(o.data);
  const tsdl::Dataset dataset = make_dataset(read_source(o, recipe), recipe);
  const tsdl::Split split =
      tsdl::chronological_split(dataset, {.validation = o.data.validation, .test = o.data.test});
  tsdl::Prepared<float> data = tsdl::prepare<float>(dataset, split);
  refuse_holes(o, data);
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

/// The first lines of the summary. `source` is the file, or whatever the rows came from.
inline TextLines data_summary(const DataOptions& o, const std::string& source,
                              const tsdl::Prepared<float>& data) {
  return data_lines(data, source, o.task, o.quantiles);
}

}  // namespace examples
