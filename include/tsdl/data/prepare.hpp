// From candles or a table to training, validation and test windows: in one call, or in two, where
// features and labels are made once for many splits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/data/recipe.hpp"
#include "tsdl/data/split.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The result of prepare: the windows of each part, over one shared series. Their targets are class
/// indices, 0 for the first of recipe.class_values, or the numbers of a regression.
template <class Scalar>
struct Prepared {
  Windows<Scalar> train;
  Windows<Scalar> validation;
  Windows<Scalar> test;
  Recipe recipe;                    ///< as given, with columns, classes and the fitted scaler
  Split split;                      ///< the end rows of each part
  std::vector<std::int64_t> times;  ///< of every row of the series; empty for a table without time
  std::vector<double> closes;       ///< the close of every row; empty for a table
  TargetScale scale;                ///< for numbers, fitted on the training windows
  Index missing_targets = 0;        ///< windows left out for an empty target, except at the end

  /// The number of features of a row: the input size of a model.
  Index inputs() const noexcept { return train.inputs(); }
  /// The number of values of a target.
  Index targets() const noexcept { return train.target_count(); }
  /// The outputs of a model: one for two classes, else one per class; one per target of a
  /// regression.
  Index outputs() const noexcept {
    if (recipe.regression) return targets();
    return recipe.class_values.size() > 2 ? std::ssize(recipe.class_values) : 1;
  }
  /// The task of such outputs: classes, or numbers on the scale of the training windows.
  Task task() const {
    if (recipe.regression) return Regression{.targets = targets(), .scale = scale};
    return default_task(outputs());
  }
  /// Quantiles of the numbers. Throws: OptionError when the targets are classes; as Quantiles.
  Task quantiles(std::vector<double> levels) const {
    if (!recipe.regression) throw OptionError("quantiles are of numbers, and these are classes");
    return Quantiles{.levels = std::move(levels), .targets = targets(), .scale = scale};
  }
};

namespace internal {

inline std::vector<double> closes_of(const Candles& candles) {
  std::vector<double> closes;
  closes.reserve(candles.rows.size());
  for (const Candle& candle : candles.rows) closes.push_back(candle.close);
  return closes;
}

/// Each row's label; NaN where one of its values is unknown or, with every_step, a value of one of
/// the `steps` rows that end with it.
template <class = void>
std::vector<double> known_labels(const Labels& labels, Index steps) {
  const auto K = static_cast<std::size_t>(labels.count);
  std::vector<double> known(labels.ends.size(), undefined);
  Index run = 0;
  for (std::size_t row = 0; row < known.size(); ++row) {
    const auto first = labels.values.begin() + static_cast<std::ptrdiff_t>(row * K);
    const bool all = std::all_of(first, first + static_cast<std::ptrdiff_t>(K), is_finite);
    run = all ? run + 1 : 0;
    if (run >= steps) known[row] = *first;
  }
  return known;
}

/// The number of rows that end a complete window and lack a target only because a cell is empty.
template <class = void>
Index missing_targets(const Series<double>& features, const Labels& labels,
                      const std::vector<double>& known, Index length) {
  Index complete = 0, missing = 0, last = 0;
  for (Index row = 0; row < features.rows; ++row)
    if (labels.ends[static_cast<std::size_t>(row)] > row ||
        is_finite(known[static_cast<std::size_t>(row)]))
      last = row;
  for (Index row = 0; row <= last && row < features.rows; ++row) {
    complete = features.is_complete(row) ? complete + 1 : 0;
    missing += complete >= length && !is_finite(known[static_cast<std::size_t>(row)]);
  }
  return missing;
}

/// Turns the labels of `rows` into class indices, once the recipe's classes are known.
inline void apply_classes(Recipe& recipe, std::span<const Index> rows, Labels& labels,
                          const std::vector<std::int64_t>& times) {
  if (is_numbers(recipe.label)) recipe.regression = true;
  if (!recipe.class_values.empty() || recipe.regression)
    check_class_values(recipe.class_values, recipe.regression);
  if (recipe.regression) return;
  if (recipe.class_values.empty()) recipe.class_values = class_values(recipe.label);
  if (recipe.class_values.empty())
    recipe.class_values = find_class_values(rows, labels.values, times);
  labels_to_classes(labels.values, rows, recipe.class_values, times);
}

/// Throws: DataError when all training labels are the same class.
inline void check_balance(const Split& split, const std::vector<double>& labels,
                          const Recipe& recipe) {
  const auto label_of = [&](Index end) { return labels[static_cast<std::size_t>(end)]; };
  const double first = label_of(split.train.front());
  for (const Index end : split.train)
    if (recipe.regression || !same_value(label_of(end), first)) return;
  const double value = recipe.class_values[static_cast<std::size_t>(first)];
  throw DataError("recipe: one class only in the training rows: all ", split.train.size(),
                  " labels are ", number_text(value));
}

}  // namespace internal

/// What a recipe makes of candles or a table, before any split: features and labels of every row.
/// Copies share both, so that many splits and window lengths cost little.
struct Dataset {
  /// As given, with the features' columns. A copy of a Dataset may have another length, stride,
  /// scaler (unfitted) or every_step, which change neither features nor labels.
  Recipe recipe;
  std::shared_ptr<const Series<double>> features{};
  std::shared_ptr<const Labels> labels{};
  std::vector<std::int64_t> times{};  ///< of every row; empty for a table without time
  std::vector<double> closes{};       ///< the close of every row; empty for a table
};

/// The samples of a dataset: every window whose rows are complete and whose target is known,
/// recipe.stride rows apart, with the rows that it and its label read, ascending. With every_step
/// the labels of all its rows count. Throws: DataError, ShapeError as window_ends.
template <std::same_as<Dataset> Any>
std::vector<SampleSpan> sample_spans(const Any& dataset) {
  const Recipe& recipe = dataset.recipe;
  const Labels& labels = *dataset.labels;
  const Index steps = recipe.every_step ? recipe.length : 1;
  std::vector<SampleSpan> spans;
  for (const Index end : window_ends(*dataset.features, internal::known_labels(labels, steps),
                                     recipe.length, recipe.stride)) {
    SampleSpan span{end - recipe.length + 1, end, end};
    for (Index row = end - steps + 1; row <= end; ++row)
      span.last = std::max(span.last, labels.ends[static_cast<std::size_t>(row)]);
    spans.push_back(span);
  }
  return spans;
}

/// Splits a dataset's samples by time. Throws: as sample_spans and chronological_split of samples.
template <std::same_as<Dataset> Any>
Split chronological_split(const Any& dataset, SplitFractions fractions) {
  std::vector<Index> ends, label_ends;
  for (const SampleSpan& span : sample_spans(dataset)) {
    ends.push_back(span.row);
    label_ends.push_back(span.last);
  }
  return chronological_split(ends, label_ends, dataset.recipe.length, fractions);
}

/// The windows of a split of a dataset's samples. The scaler, and the scale of numbers, are fitted
/// on the split's training windows alone. Throws: DataError when a label is not one of the classes
/// (row named), class_values do not ascend, there is no training window, or the training windows
/// have one class only; ShapeError when the split has rows that end no window; as StandardScaler.
template <class Scalar, std::same_as<Dataset> Any>
Prepared<Scalar> prepare(const Any& dataset, Split split) {
  const FloatModeGuard guard;
  if (split.train.empty()) throw DataError("prepare: the split has no training windows");
  Recipe recipe = dataset.recipe;
  const Series<double>& features = *dataset.features;
  Labels labels = *dataset.labels;
  const std::vector<double> known =
      internal::known_labels(labels, recipe.every_step ? recipe.length : 1);
  // All rows that apply will label, so that a stride cannot hide a class.
  const std::vector<Index> all =
      internal::asked_rows(recipe, window_ends(features, known, recipe.length, 1));
  internal::apply_classes(recipe, all, labels, dataset.times);
  internal::check_balance(split, labels.values, recipe);
  Prepared<Scalar> data;
  data.missing_targets = internal::missing_targets(features, labels, known, recipe.length);
  recipe.scaler.fit(features, covered_rows(split.train, recipe.length));
  const auto series =
      std::make_shared<const Series<Scalar>>(recipe.scaler.template transform<Scalar>(features));
  const auto targets = internal::targets_of(std::move(labels));
  const auto windows = [&](const std::vector<Index>& part) {
    return Windows<Scalar>(series, recipe.length, recipe.stride, part, targets);
  };
  data.train = windows(split.train);
  data.validation = windows(split.validation);
  data.test = windows(split.test);
  if (recipe.regression)
    data.scale = TargetScale::fit(data.train.targets(), targets->count, data.train.last_known());
  data.split = std::move(split);
  data.times = dataset.times;
  data.closes = dataset.closes;
  data.recipe = std::move(recipe);
  return data;
}

namespace internal {

template <class = void>
Dataset make_dataset_with(const Candles& candles, const FeatureSet& set, Recipe recipe) {
  Dataset dataset{.recipe = std::move(recipe)};
  Series<double> features = engineer_features(candles, set);
  dataset.labels = std::make_shared<const Labels>(make_labels(candles, dataset.recipe.label));
  dataset.recipe.features = set.name();
  dataset.recipe.columns = features.names;
  dataset.features = std::make_shared<const Series<double>>(std::move(features));
  dataset.times = times_of(candles);
  dataset.closes = closes_of(candles);
  return dataset;
}

template <class Scalar>
Prepared<Scalar> prepare_by(const Dataset& dataset, SplitFractions fractions) {
  const FloatModeGuard guard;
  return prepare<Scalar>(dataset, chronological_split(dataset, fractions));
}

}  // namespace internal

/// The features and labels of candles, made once. Throws: DataError as engineer_features and
/// make_labels, or when the recipe was made from a table.
template <std::same_as<Recipe> Any>
Dataset make_dataset(const Candles& candles, Any recipe) {
  const FeatureSet& set = internal::recipe_set(recipe);
  recipe.probe.clear();
  return internal::make_dataset_with(candles, set, std::move(recipe));
}

/// The same with a set of your own, whose name becomes recipe.features. apply needs the set again.
template <std::same_as<Recipe> Any>
Dataset make_dataset(const Candles& candles, const FeatureSet& set, Any recipe) {
  recipe.probe = internal::probe(set);
  return internal::make_dataset_with(candles, set, std::move(recipe));
}

/// The same from a table: its columns are the features, and recipe.features becomes empty. Throws:
/// DataError when the label is neither ColumnLabel nor ColumnTargets, when recipe.columns names
/// other columns than the table has, or when the label is itself a feature (offset 0).
template <std::same_as<Recipe> Any>
Dataset make_dataset(const Table& table, Any recipe) {
  Labels labels = internal::table_labels(recipe, table, true);
  internal::require_columns(recipe, table.features.names);
  std::vector<std::string> asked = table.targets.names;
  if (!table.label_name.empty()) asked.push_back(table.label_name);
  for (const std::string& name : table.features.names)
    for (const std::string& label : asked)
      if (horizon(recipe.label) == 0 && internal::ascii_lower(name) == internal::ascii_lower(label))
        throw DataError("recipe: the label column ", name, " is among the features of its own row");
  recipe.features.clear();
  recipe.probe.clear();
  recipe.columns = table.features.names;
  return {.recipe = std::move(recipe),
          .features = std::make_shared<const Series<double>>(table.features),
          .labels = std::make_shared<const Labels>(std::move(labels)),
          .times = table.time};
}

/// Features, labels, split, scaler and windows in one call. The scaler is fitted on the rows of the
/// training windows only.
/// Throws: DataError, ShapeError as make_dataset, chronological_split and prepare of a dataset.
template <class Scalar>
Prepared<Scalar> prepare(const Candles& candles, Recipe recipe, SplitFractions fractions = {}) {
  return internal::prepare_by<Scalar>(make_dataset(candles, std::move(recipe)), fractions);
}
template <class Scalar>
Prepared<Scalar> prepare(const Candles& candles, const FeatureSet& set, Recipe recipe,
                         SplitFractions fractions = {}) {
  return internal::prepare_by<Scalar>(make_dataset(candles, set, std::move(recipe)), fractions);
}
template <class Scalar>
Prepared<Scalar> prepare(const Table& table, Recipe recipe, SplitFractions fractions = {}) {
  return internal::prepare_by<Scalar>(make_dataset(table, std::move(recipe)), fractions);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
