// From candles or a table to training, validation and test windows in one call, and the recipe
// that repeats the same steps on other data.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/features.hpp"
#include "tsdl/data/labels.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/split.hpp"
#include "tsdl/data/standard_scaler.hpp"
#include "tsdl/data/table.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/data/windows.hpp"

namespace tsdl::inline TSDL_ABI {

/// How data becomes what a model reads: plain data, made by prepare, carried by model files.
struct Recipe {
  std::string features = "ohlcv";  ///< a feature set; empty for the columns of a table
  Index length = 50;               ///< rows per window
  Label label = RangeLabel{};
  Index stride = 1;   ///< rows between training windows
  Index classes = 2;  ///< labels are 0, ..., classes - 1; 0: a number to regress, not checked
  std::vector<std::string> columns = {};  ///< the features' names; prepare fills them in
  StandardScaler scaler = {};             ///< prepare fits it
};

/// What prepare makes: the windows of each part, over one shared series.
template <class Scalar>
struct Prepared {
  Windows<Scalar> train;
  Windows<Scalar> validation;
  Windows<Scalar> test;
  Recipe recipe;                    ///< as given, with columns and the fitted scaler
  Split split;                      ///< the end rows of each part
  std::vector<std::int64_t> times;  ///< of every row of the series; empty for a table without time

  /// The number of features of a row: the input size of a model.
  Index inputs() const noexcept { return train.inputs(); }
};

namespace internal {

inline std::vector<std::int64_t> times_of(const Candles& candles) {
  std::vector<std::int64_t> times;
  times.reserve(candles.rows.size());
  for (const Candle& candle : candles.rows) times.push_back(candle.time);
  return times;
}

/// The features that a recipe makes of candles. Throws: DataError when it was made from a table.
inline Series<double> recipe_features(const Candles& candles, const Recipe& recipe) {
  if (recipe.features.empty())
    throw DataError("recipe: it reads the columns of a table (", joined(recipe.columns),
                    "), not candles");
  return engineer_features(candles, recipe.features);
}

inline void require_columns(const Recipe& recipe, const std::vector<std::string>& names) {
  if (!recipe.columns.empty() && recipe.columns != names)
    throw DataError("recipe: expected the columns ", joined(recipe.columns), ", found ",
                    joined(names));
}

inline const ColumnLabel& column_label(const Recipe& recipe) {
  const auto* label = std::get_if<ColumnLabel>(&recipe.label);
  if (!label)
    throw DataError("recipe: a table needs a ColumnLabel; the others are made of candles");
  check(*label);
  return *label;
}

/// Throws: DataError naming the first row whose label is no class.
inline void check_classes(std::span<const Index> ends, const std::vector<double>& labels,
                          const std::vector<std::int64_t>& times, Index classes) {
  if (classes == 0) return;
  if (classes < 2) throw DataError("recipe: expected 2 or more classes, or 0, found ", classes);
  for (const Index end : ends) {
    const double label = labels[static_cast<std::size_t>(end)];
    if (label < 0 || label > static_cast<double>(classes - 1) || label != std::floor(label))
      throw DataError("recipe: ", row_text(end, times), ": expected a label in 0, ..., ",
                      classes - 1, ", found ", number_text(label));
  }
}

/// Throws: DataError when all training labels are the same class.
inline void check_balance(const Split& split, const std::vector<double>& labels, Index classes) {
  const auto label_of = [&](Index end) { return labels[static_cast<std::size_t>(end)]; };
  const double first = label_of(split.train.front());
  for (const Index end : split.train)
    if (classes == 0 || label_of(end) != first) return;
  throw DataError("recipe: one class only in the training rows: all ", split.train.size(),
                  " labels are ", number_text(first));
}

template <class Scalar>
Windows<Scalar> windows_at(const std::shared_ptr<const Series<Scalar>>& series, Index length,
                           Index stride, std::vector<Index> ends,
                           const std::vector<double>& labels) {
  std::vector<Scalar> chosen;
  chosen.reserve(ends.size());
  for (const Index end : ends)
    chosen.push_back(static_cast<Scalar>(labels[static_cast<std::size_t>(end)]));
  return Windows<Scalar>(series, length, stride, std::move(ends), std::move(chosen));
}

template <class Scalar>
Prepared<Scalar> assemble(const Series<double>& features, const std::vector<double>& labels,
                          std::vector<std::int64_t> times, Recipe recipe,
                          SplitFractions fractions) {
  const std::vector<Index> ends = window_ends(features, labels, recipe.length, recipe.stride);
  check_classes(ends, labels, times, recipe.classes);
  Prepared<Scalar> data;
  data.split = chronological_split(ends, recipe.length, horizon(recipe.label), fractions);
  check_balance(data.split, labels, recipe.classes);
  recipe.columns = features.names;
  recipe.scaler.fit(features, covered_rows(data.split.train, recipe.length));
  const auto series =
      std::make_shared<const Series<Scalar>>(recipe.scaler.transform<Scalar>(features));
  const auto windows = [&](const std::vector<Index>& part) {
    return windows_at(series, recipe.length, recipe.stride, part, labels);
  };
  data.train = windows(data.split.train);
  data.validation = windows(data.split.validation);
  data.test = windows(data.split.test);
  data.times = std::move(times);
  data.recipe = std::move(recipe);
  return data;
}

template <class Scalar>
Windows<Scalar> all_windows(const Recipe& recipe, const Series<double>& features,
                            const std::vector<double>& labels) {
  const auto series =
      std::make_shared<const Series<Scalar>>(recipe.scaler.transform<Scalar>(features));
  return windows_at(series, recipe.length, 1, window_ends(features, {}, recipe.length, 1), labels);
}

}  // namespace internal

/// Features, labels, split, scaler and windows in one call. The scaler is fitted on the rows that
/// the training windows cover, and on no other.
/// Throws: DataError, ShapeError as engineer_features, make_labels, window_ends,
/// chronological_split and StandardScaler do; DataError when a label is none of the classes (row
/// named) or the training rows hold one class only.
template <class Scalar>
Prepared<Scalar> prepare(const Candles& candles, Recipe recipe, SplitFractions fractions = {}) {
  const Series<double> features = internal::recipe_features(candles, recipe);
  const std::vector<double> labels = make_labels(candles, recipe.label);
  recipe.columns.clear();
  return internal::assemble<Scalar>(features, labels, internal::times_of(candles),
                                    std::move(recipe), fractions);
}

/// The same from a table: its columns are the features, and recipe.features becomes empty.
/// Throws: as above, and DataError when the label is no ColumnLabel, when recipe.columns names
/// other columns than the table has, or when the label is itself among the features (offset 0).
template <class Scalar>
Prepared<Scalar> prepare(const Table& table, Recipe recipe, SplitFractions fractions = {}) {
  const ColumnLabel& label = internal::column_label(recipe);
  const std::vector<double> labels = make_labels(table, label);
  internal::require_columns(recipe, table.features.names);
  for (const std::string& name : table.features.names)
    if (label.offset == 0 && !table.label_name.empty() &&
        internal::ascii_lower(name) == internal::ascii_lower(table.label_name))
      throw DataError("recipe: the label column ", name, " is among the features of its own row");
  recipe.features.clear();
  return internal::assemble<Scalar>(table.features, labels, table.time, std::move(recipe),
                                    fractions);
}

/// Every complete window of other candles, one row apart, made by a recipe that prepare has fitted:
/// for predictions. Labels are filled in where the candles know them, else NaN.
/// Throws: DataError when the recipe is not fitted or made from a table, and as engineer_features
/// and window_ends do.
template <class Scalar>
Windows<Scalar> apply(const Recipe& recipe, const Candles& candles) {
  const Series<double> features = internal::recipe_features(candles, recipe);
  const std::vector<double> labels = std::visit(
      [&](const auto& label) {
        internal::check(label);
        return internal::label_values(candles, label);
      },
      recipe.label);
  return internal::all_windows<Scalar>(recipe, features, labels);
}

/// The same from a table, which may lack the label column.
/// Throws: DataError when the recipe is not fitted or made from candles, or the columns are others.
template <class Scalar>
Windows<Scalar> apply(const Recipe& recipe, const Table& table) {
  if (!recipe.features.empty())
    throw DataError("recipe: it makes ", recipe.features, " from candles, not from a table");
  validate(table, "apply");
  internal::require_columns(recipe, table.features.names);
  return internal::all_windows<Scalar>(
      recipe, table.features, internal::label_values(table, internal::column_label(recipe)));
}

}  // namespace tsdl::inline TSDL_ABI
