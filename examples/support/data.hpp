// The data of a training program: options, what they are read into, and what is said about it.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "names.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/data/synthetic.hpp"
#include "tsdl/report/summary.hpp"
#include "validators.hpp"

namespace examples {

/// Which data, what is asked of it, and what becomes of it. Each member is an option.
struct DataOptions {
  std::string file{}, features{}, label{}, label_column{}, task{}, loss{};
  std::vector<std::string> feature_columns{}, targets{};
  std::vector<double> quantiles{};
  std::optional<tsdl::Index> horizon{}, ahead{};
  tsdl::Index label_offset = 0, seq_len = 0, stride = 1;
  double clip_features = 0, validation = 0, test = 0;
  bool refuse_missing_targets = false;
  std::string pooling{};
  std::vector<std::string> given{};  ///< the options that were given, not left at their defaults

  /// Whether the file is a table of one's own columns.
  bool uses_table() const { return !feature_columns.empty() || !label_column.empty(); }
  bool numbers() const { return !targets.empty(); }
  bool is_given(const char* name) const {
    return std::find(given.begin(), given.end(), name) != given.end();
  }
};

/// The options of tasks whose targets are numbers.
inline void add_task(CLI::App& app, DataOptions& o, const char* group) {
  app.add_option("--task", o.task,
                 "classes: --label or --label-column; regression\n"
                 "and quantiles: --target")
      ->check(one_of({"classes", "regression", "quantiles"}))
      ->default_str("")
      ->group(group);
  app.add_option("--target", o.targets,
                 "Forecast these columns, --ahead rows later. Of\n"
                 "candles: open, high, low, close, volume, and\n"
                 "close_return, the return over those rows")
      ->delimiter(',')
      ->type_name("COLUMN")
      ->group(group);
  app.add_option("--ahead", o.ahead, "Rows between a window's last one and its target")
      ->check(whole_number(1))
      ->default_str("1")
      ->group(group);
  app.add_option("--quantiles", o.quantiles, "Predict these: 0.1,0.5,0.9")
      ->delimiter(',')
      ->type_name("Q")
      ->group(group);
  app.add_option("--loss", o.loss, "Of a regression: mse, mae or huber")
      ->check(one_of({"mse", "mae", "huber"}))
      ->default_str("mse")
      ->group(group);
  app.add_flag("--refuse-missing-targets", o.refuse_missing_targets,
               "Stop where a target is empty before the last rows,\n"
               "in place of leaving its windows out")
      ->group(group);
}

/// The names of the options that were given, on the command line or in a file. A file may hold
/// every option, as config.toml does: there a default says nothing.
inline std::vector<std::string> given_options(const CLI::App& app) {
  const bool file = app.get_config_ptr() && app.get_config_ptr()->count() > 0;
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    if (file && option->results() == std::vector<std::string>{option->get_default_str()}) continue;
    names.push_back("--" + option->get_lnames().front());
  }
  return names;
}

/// Throws: tsdl::OptionError when an option was given that has no effect here.
inline void refuse_without(const DataOptions& o, bool effective, const char* option,
                           const char* needs) {
  if (!effective && o.is_given(option))
    throw tsdl::OptionError(option, " has no effect without ", needs);
}
inline void refuse_beside(const DataOptions& o, bool conflict, const char* option,
                          const char* other) {
  if (conflict && o.is_given(option)) throw tsdl::OptionError(option, " does not go with ", other);
}

inline const std::vector<std::string> label_names = {"range", "direction", "threshold",
                                                     "triple_barrier"};

/// Refuses options that contradict each other, or would be without effect. Completes the task.
/// Throws: tsdl::OptionError.
inline void check_data_options(DataOptions& o) {
  if (o.task.empty())
    o.task = !o.quantiles.empty() ? "quantiles" : o.numbers() ? "regression" : "classes";
  const bool classes = o.task == "classes";
  if (!o.quantiles.empty() && o.task != "quantiles")
    throw tsdl::OptionError("--quantiles asks for --task quantiles, not ", o.task);
  if (o.task == "quantiles" && o.quantiles.empty())
    throw tsdl::OptionError("--task quantiles: expected --quantiles, as in 0.1,0.5,0.9");
  if (!classes && !o.numbers())
    throw tsdl::OptionError("--task ", o.task, ": expected --target COLUMN");
  if (classes && o.numbers())
    throw tsdl::OptionError("--target is of numbers: --task regression or quantiles");
  const char* numbers = "--target, which is of numbers";
  refuse_beside(o, o.numbers(), "--label", numbers);
  refuse_beside(o, o.numbers(), "--horizon", "--target: use --ahead");
  refuse_beside(o, o.numbers(), "--label-column", numbers);
  refuse_beside(o, o.numbers(), "--class-weights", numbers);
  refuse_without(o, o.numbers(), "--ahead", "--target");
  refuse_without(o, o.numbers(), "--refuse-missing-targets", "--target");
  refuse_without(o, o.task == "regression", "--loss", "--task regression");
  refuse_without(o, !o.label_column.empty(), "--label-offset", "--label-column");
  refuse_beside(o, !o.label_column.empty(), "--label", "--label-column");
  refuse_beside(o, !o.label_column.empty(), "--horizon", "--label-column: use --label-offset");
  refuse_beside(o, o.uses_table(), "--features", "--feature-columns");
  if (o.uses_table() && (o.feature_columns.empty() || (o.label_column.empty() && !o.numbers())))
    throw tsdl::OptionError("--feature-columns and --label-column, or --target, go together");
}

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
