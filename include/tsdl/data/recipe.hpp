// From candles or a table to training, validation and test windows in one call, and the recipe
// that repeats the same steps on other data.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/classes.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/feature_set.hpp"
#include "tsdl/data/features.hpp"
#include "tsdl/data/labels.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/split.hpp"
#include "tsdl/data/standard_scaler.hpp"
#include "tsdl/data/table.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/task/tasks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How data becomes a model's input: plain data that prepare completes and model files hold.
struct Recipe {
  std::string features = "ohlcv";  ///< a feature set; empty for the columns of a table
  Index length = 50;               ///< rows per window
  Label label = RangeLabel{};
  Index stride = 1;  ///< rows between training windows
  /// The label of each class, ascending: class k is label class_values[k]. When empty, prepare
  /// fills it: with the label's own values, or with those found in a table's label column, which
  /// must be 0 and 1, or three or more whole numbers without a gap; name others, such as -1 and 1,
  /// here.
  std::vector<double> class_values = {};
  bool regression = false;                ///< labels are numbers, as ColumnTargets always are
  bool every_step = false;                ///< each row of a window has a target, for pooling each
  std::vector<std::string> columns = {};  ///< the features' names; prepare fills them in
  StandardScaler scaler = {};             ///< prepare fits it; its options stay
  /// What a feature set of your own computes for candles that are always the same: prepare fills it
  /// in, and other sets of that name are refused. Empty for the library's sets.
  std::vector<double> probe = {};
};

/// The label of each class as people write it: "-1", "0", "1". Empty where labels are numbers.
template <std::same_as<Recipe> Any>
std::vector<std::string> class_names(const Any& recipe) {
  std::vector<std::string> names;
  for (const double value : recipe.class_values) {
    const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
    names.push_back(whole ? std::to_string(std::llround(value)) : internal::number_text(value));
  }
  return names;
}

/// What targets are called: the labels of classes, or the columns of numbers.
template <std::same_as<Recipe> Any>
std::vector<std::string> target_names(const Any& recipe) {
  if (const auto* numbers = std::get_if<ColumnTargets>(&recipe.label)) return numbers->columns;
  const auto* column = std::get_if<ColumnLabel>(&recipe.label);
  if (column && recipe.regression)
    return {column->column.empty() ? std::string("value") : column->column};
  return class_names(recipe);
}

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

inline std::vector<std::int64_t> times_of(const Candles& candles) {
  std::vector<std::int64_t> times;
  times.reserve(candles.rows.size());
  for (const Candle& candle : candles.rows) times.push_back(candle.time);
  return times;
}

inline std::vector<double> closes_of(const Candles& candles) {
  std::vector<double> closes;
  closes.reserve(candles.rows.size());
  for (const Candle& candle : candles.rows) closes.push_back(candle.close);
  return closes;
}

/// The feature set that a recipe names. Throws: DataError when it was made from a table.
template <class Set = FeatureSet>
const Set& recipe_set(const Recipe& recipe) {
  if (recipe.features.empty())
    throw DataError("recipe: it reads the columns of a table (", joined(recipe.columns),
                    "), not candles");
  return feature_set<Set>(recipe.features);
}

inline void require_columns(const Recipe& recipe, const std::vector<std::string>& names) {
  if (!recipe.columns.empty() && recipe.columns != names)
    throw DataError("recipe: expected the columns ", joined(recipe.columns), ", found ",
                    joined(names));
}

/// What the set computes. Throws: DataError when the recipe was made with another set of this name.
template <class Set>
std::vector<double> require_set(const Recipe& recipe, const Set& set) {
  std::vector<double> found = probe(set);
  if (!recipe.probe.empty() && !same_probe(recipe.probe, found))
    throw DataError("recipe: it was made with another feature set ", set.name(),
                    ", of other indicators or periods");
  return found;
}

/// The labels of a table. `known`: whether its label columns must exist.
template <class = void>
Labels table_labels(const Recipe& recipe, const Table& table, bool known) {
  check(recipe.label);
  if (const auto* label = std::get_if<ColumnLabel>(&recipe.label))
    return known ? make_labels(table, *label) : labels_of(table, *label);
  if (const auto* label = std::get_if<ColumnTargets>(&recipe.label))
    return known ? make_labels(table, *label) : labels_of(table, *label);
  throw DataError(
      "recipe: a table needs a ColumnLabel or ColumnTargets; the others are made of candles");
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

/// Splits the windows that end at `ends` by the rows that they and their labels read.
inline Split split_of(const std::vector<Index>& ends, const Labels& labels, Index length,
                      SplitFractions fractions) {
  std::vector<Index> label_ends;
  label_ends.reserve(ends.size());
  for (const Index end : ends) label_ends.push_back(labels.ends[static_cast<std::size_t>(end)]);
  return chronological_split(ends, label_ends, length, fractions);
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

/// The rows that have a target in windows that end at `ends`.
template <class = void>
std::vector<Index> asked_rows(const Recipe& recipe, std::vector<Index> ends) {
  if (!recipe.every_step) return ends;
  std::vector<Index> rows;
  for (const RowRange& range : covered_rows(ends, recipe.length))
    for (Index row = range.first; row < range.last; ++row) rows.push_back(row);
  return rows;
}

template <class = void>
std::shared_ptr<const Targets> targets_of(Labels labels) {
  return std::make_shared<const Targets>(
      Targets{labels.count, std::move(labels.values), std::move(labels.last)});
}

template <class Scalar>
Prepared<Scalar> assemble(const Series<double>& features, Labels labels,
                          std::vector<std::int64_t> times, Recipe recipe,
                          SplitFractions fractions) {
  const FloatModeGuard guard;
  std::vector<double> known = known_labels(labels, recipe.every_step ? recipe.length : 1);
  const std::vector<Index> ends = window_ends(features, known, recipe.length, recipe.stride);
  // All rows that apply will label, so that a stride cannot hide a class.
  const std::vector<Index> all = asked_rows(recipe, window_ends(features, known, recipe.length, 1));
  apply_classes(recipe, all, labels, times);
  Prepared<Scalar> data;
  data.missing_targets = missing_targets(features, labels, known, recipe.length);
  data.split = split_of(ends, labels, recipe.length, fractions);
  check_balance(data.split, labels.values, recipe);
  recipe.columns = features.names;
  recipe.scaler.fit(features, covered_rows(data.split.train, recipe.length));
  const auto series =
      std::make_shared<const Series<Scalar>>(recipe.scaler.transform<Scalar>(features));
  const auto targets = targets_of(std::move(labels));
  const auto windows = [&](const std::vector<Index>& part) {
    return Windows<Scalar>(series, recipe.length, recipe.stride, part, targets);
  };
  data.train = windows(data.split.train);
  data.validation = windows(data.split.validation);
  data.test = windows(data.split.test);
  if (recipe.regression)
    data.scale = TargetScale::fit(data.train.targets(), targets->count, data.train.last_known());
  data.times = std::move(times);
  data.recipe = std::move(recipe);
  return data;
}

template <class Scalar>
Windows<Scalar> all_windows(const Recipe& recipe, const Series<double>& features, Labels labels,
                            const std::vector<std::int64_t>& times) {
  const FloatModeGuard guard;
  const auto series =
      std::make_shared<const Series<Scalar>>(recipe.scaler.transform<Scalar>(features));
  std::vector<Index> ends = window_ends(features, {}, recipe.length, 1);
  check_class_values(recipe.class_values, recipe.regression);
  if (!recipe.regression)
    labels_to_classes(labels.values, asked_rows(recipe, ends), recipe.class_values, times);
  return Windows<Scalar>(series, recipe.length, 1, std::move(ends), targets_of(std::move(labels)));
}

}  // namespace internal

template <class Scalar>
Windows<Scalar> apply(const Recipe&, const Candles&, const FeatureSet&);

namespace internal {

template <class Scalar>
Prepared<Scalar> prepare_with(const Candles& candles, const FeatureSet& set, Recipe recipe,
                              SplitFractions fractions) {
  const Series<double> features = engineer_features(candles, set);
  Labels labels = make_labels(candles, recipe.label);
  recipe.features = set.name();
  auto data = assemble<Scalar>(features, std::move(labels), times_of(candles), std::move(recipe),
                               fractions);
  data.closes = closes_of(candles);
  return data;
}

}  // namespace internal

/// Features, labels, split, scaler and windows in one call. The scaler is fitted on the rows of the
/// training windows only.
/// Throws: DataError, ShapeError as engineer_features, make_labels, window_ends,
/// chronological_split and StandardScaler; DataError when a label is not one of the classes (row
/// named), class_values do not ascend, or the training rows have one class only.
template <class Scalar>
Prepared<Scalar> prepare(const Candles& candles, Recipe recipe, SplitFractions fractions = {}) {
  const FeatureSet& set = internal::recipe_set(recipe);
  recipe.probe.clear();
  return internal::prepare_with<Scalar>(candles, set, std::move(recipe), fractions);
}

/// The same with a set of your own, whose name becomes recipe.features. apply needs the set again.
template <class Scalar>
Prepared<Scalar> prepare(const Candles& candles, const FeatureSet& set, Recipe recipe,
                         SplitFractions fractions = {}) {
  recipe.probe = internal::probe(set);
  return internal::prepare_with<Scalar>(candles, set, std::move(recipe), fractions);
}

/// The same from a table: its columns are the features, and recipe.features becomes empty. Throws:
/// as above; DataError when the label is neither ColumnLabel nor ColumnTargets, when recipe.columns
/// names other columns than the table has, or when the label is itself a feature (offset 0).
template <class Scalar>
Prepared<Scalar> prepare(const Table& table, Recipe recipe, SplitFractions fractions = {}) {
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
  return internal::assemble<Scalar>(table.features, std::move(labels), table.time,
                                    std::move(recipe), fractions);
}

/// For predictions: all complete windows of other candles, one row apart, by a recipe that prepare
/// has fitted. Labels are those of prepare where the candles determine them, else NaN. Throws:
/// DataError when the recipe is not fitted or was made from a table, or when a label is not one of
/// its classes (row named); as engineer_features and window_ends.
template <class Scalar>
Windows<Scalar> apply(const Recipe& recipe, const Candles& candles) {
  return apply<Scalar>(recipe, candles, internal::recipe_set(recipe));
}

/// The same with the set of your own with which the recipe was prepared. Throws: also DataError
/// when the recipe names another set, or one of this name with other indicators or periods.
template <class Scalar>
Windows<Scalar> apply(const Recipe& recipe, const Candles& candles, const FeatureSet& set) {
  if (recipe.features != set.name())
    throw DataError("recipe: it was made with the feature set ", recipe.features, ", given ",
                    set.name());
  if (!recipe.probe.empty()) internal::require_set(recipe, set);
  const Series<double> features = engineer_features(candles, set);
  internal::check(recipe.label);
  Labels labels = std::visit([&](const auto& label) { return internal::labels_of(candles, label); },
                             recipe.label);
  return internal::all_windows<Scalar>(recipe, features, std::move(labels),
                                       internal::times_of(candles));
}

/// The same from a table, which may lack the label column. Throws: DataError when the recipe is not
/// fitted or was made from candles, the columns differ, or a label is not one of its classes (row
/// named).
template <class Scalar>
Windows<Scalar> apply(const Recipe& recipe, const Table& table) {
  if (!recipe.features.empty())
    throw DataError("recipe: it makes ", recipe.features, " from candles, not from a table");
  validate(table, "apply");
  internal::require_columns(recipe, table.features.names);
  return internal::all_windows<Scalar>(recipe, table.features,
                                       internal::table_labels(recipe, table, false), table.time);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
