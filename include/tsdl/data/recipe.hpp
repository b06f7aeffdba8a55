// The recipe by which data become a model's inputs and targets, and its use on new data. For
// training data see prepare.hpp.
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
  /// The names of the classes, where they are not numbers: of class_values 0, 1, ...
  std::vector<std::string> class_texts = {};
  /// Each sample is a whole series, of its own length: data/whole_series.hpp. `length` is that of
  /// the longest in training.
  bool whole_series = false;
  bool regression = false;                ///< labels are numbers, as ColumnTargets always are
  bool every_step = false;                ///< each row of a window has a target, for pooling each
  std::vector<std::string> columns = {};  ///< the features' names; prepare fills them in
  StandardScaler scaler = {};             ///< prepare fits it; its options stay
  /// What a feature set of your own computes for candles that are always the same: prepare fills it
  /// in, and other sets of that name are refused. Empty for the library's sets.
  std::vector<double> probe = {};
};

/// The label of each class as people write it: "-1", "0", "1", or its text. Empty where labels are
/// numbers.
template <std::same_as<Recipe> Any>
std::vector<std::string> class_names(const Any& recipe) {
  if (!recipe.class_texts.empty()) return recipe.class_texts;
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

namespace internal {

inline std::vector<std::int64_t> times_of(const Candles& candles) {
  std::vector<std::int64_t> times;
  times.reserve(candles.rows.size());
  for (const Candle& candle : candles.rows) times.push_back(candle.time);
  return times;
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
Windows<Scalar> all_windows(const Recipe& recipe, const Series<double>& features, Labels labels,
                            const std::vector<std::int64_t>& times) {
  if (recipe.whole_series)
    throw DataError("recipe: its samples are whole series, as of a .ts file: use apply_cases");
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
