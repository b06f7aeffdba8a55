// Classification of whole series: each case of a .ts file is one sample, of its own length.
//
// All cases stand one after another in a shared series of rows; a sample is a window over its case
// (Windows::of_lengths). The scaler is fitted on the rows of the training cases alone. A missing
// value becomes 0 after scaling, the mean of the training rows: a network cannot tell it from a
// value that is average.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/data/ts_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Which cases of a file each part has, ascending. The others are left out.
struct CaseSplit {
  std::vector<Index> train, validation, test;
};

namespace internal {

inline constexpr std::uint64_t case_stream = 1u << 29;  // apart from the streams of weights

/// The cases of each class, in an order drawn from the seed.
inline std::vector<std::vector<Index>> shuffled_classes(const TsCases& cases, std::uint64_t seed) {
  if (cases.class_names.empty())
    throw DataError(cases.name, ": expected @classLabel true: only classes are learnt from cases");
  std::vector<std::vector<Index>> classes(cases.class_names.size());
  for (std::size_t i = 0; i < cases.cases.size(); ++i)
    classes[static_cast<std::size_t>(cases.cases[i].label)].push_back(static_cast<Index>(i));
  RandomStream random(seed, case_stream);
  for (std::vector<Index>& one : classes) shuffle(one, random);
  return classes;
}

inline void sort_parts(CaseSplit& split) {
  for (std::vector<Index>* part : {&split.train, &split.validation, &split.test})
    std::sort(part->begin(), part->end());
}

/// Throws: DataError unless the cases fit the recipe's columns and, where `labelled`, its classes.
inline void check_cases(const TsCases& cases, const Recipe& recipe) {
  if (cases.dimensions != std::ssize(recipe.columns))
    throw DataError(cases.name, ": expected ", recipe.columns.size(), " dimensions, found ",
                    cases.dimensions);
  for (const std::string& name : cases.class_names)
    if (std::find(recipe.class_texts.begin(), recipe.class_texts.end(), name) ==
        recipe.class_texts.end())
      throw DataError(cases.name, ": @classLabel: the class ", excerpt(name),
                      " is not one of the training file's: ", joined(recipe.class_texts));
}

/// The cases of files as rows one after another, with where each ends and its class.
class CaseRows {
 public:
  CaseRows(const Recipe& recipe, std::span<const TsCases* const> files) {
    Index rows = 0;
    for (const TsCases* file : files) {
      check_cases(*file, recipe);
      for (const TsCase& one : file->cases) {
        if (one.length() < 1) throw DataError(file->name, ": a case without rows");
        rows += one.length();
      }
    }
    series_ = Series<double>::sized(recipe.columns, rows);
    targets_.values.assign(static_cast<std::size_t>(rows), undefined);
    double* to = series_.values.data();
    for (const TsCases* file : files)
      for (const TsCase& one : file->cases) {
        to = std::copy_n(one.values.data(), one.values.size(), to);
        lengths_.push_back(one.length());
        ends_.push_back((ends_.empty() ? -1 : ends_.back()) + one.length());
        if (one.label < 0) continue;
        const std::string& name = file->class_names[static_cast<std::size_t>(one.label)];
        const auto& known = recipe.class_texts;
        targets_.values[static_cast<std::size_t>(ends_.back())] =
            static_cast<double>(std::find(known.begin(), known.end(), name) - known.begin());
      }
  }

  const Series<double>& series() const noexcept { return series_; }
  double label(Index i) const noexcept { return targets_.values[static_cast<std::size_t>(end(i))]; }
  Index end(Index i) const noexcept { return ends_[static_cast<std::size_t>(i)]; }
  Index length(Index i) const noexcept { return lengths_[static_cast<std::size_t>(i)]; }
  Index count() const noexcept { return std::ssize(ends_); }
  std::shared_ptr<const Targets> targets() const {
    return std::make_shared<const Targets>(targets_);
  }

  std::vector<RowRange> rows(std::span<const Index> cases) const {
    std::vector<RowRange> ranges;
    for (const Index i : cases) {
      check(i);
      ranges.push_back({end(i) - length(i) + 1, end(i) + 1});
    }
    return ranges;
  }

  /// Scaled, with 0 for missing values.
  template <class Scalar>
  std::shared_ptr<const Series<Scalar>> scaled(const StandardScaler& scaler) const {
    auto series = std::make_shared<Series<Scalar>>(scaler.transform<Scalar>(series_));
    for (Scalar& value : series->values)
      if (is_nan(value)) value = Scalar{0};
    return series;
  }

  template <class Scalar>
  Windows<Scalar> windows(std::shared_ptr<const Series<Scalar>> series,
                          std::shared_ptr<const Targets> targets,
                          std::span<const Index> cases) const {
    std::vector<Index> ends, lengths;
    for (const Index i : cases) {
      check(i);
      ends.push_back(end(i));
      lengths.push_back(length(i));
    }
    return Windows<Scalar>::of_lengths(std::move(series), std::move(ends), std::move(lengths),
                                       std::move(targets));
  }

 private:
  void check(Index i) const {
    if (i < 0 || i >= count()) throw ShapeError("cases: case ", i, " of ", count());
  }

  Series<double> series_;
  std::vector<Index> ends_, lengths_;
  Targets targets_;
};

/// The names of dimensions, "dim_0", "dim_1", ...: a .ts file has none.
inline std::vector<std::string> dimension_names(Index count) {
  std::vector<std::string> names;
  for (Index i = 0; i < count; ++i) names.push_back("dim_" + std::to_string(i));
  return names;
}

}  // namespace internal

/// Takes `share` of each class, rounded, for validation; at least one case of a class is left for
/// training. Drawn from the seed. Throws: DataError without classes; OptionError unless 0 <= share
/// < 1.
inline CaseSplit stratified_split(const TsCases& cases, double share, std::uint64_t seed) {
  if (!(is_finite(share) && share >= 0 && share < 1))
    throw OptionError("stratified_split: expected a share from 0 to below 1, got ", share);
  CaseSplit split;
  for (const std::vector<Index>& one : internal::shuffled_classes(cases, seed)) {
    const auto size = std::ssize(one);
    const auto wanted = static_cast<Index>(std::llround(share * static_cast<double>(size)));
    const auto border = one.begin() + std::clamp(wanted, Index{0}, std::max(size - 1, Index{0}));
    split.validation.insert(split.validation.end(), one.begin(), border);
    split.train.insert(split.train.end(), border, one.end());
  }
  internal::sort_parts(split);
  return split;
}

/// The splits of a cross-validation: each case is in the test part of one of `folds`, and each
/// class is spread evenly over them. Drawn from the seed. Throws: DataError without classes;
/// OptionError when there are fewer than two folds, or more than cases.
inline std::vector<CaseSplit> stratified_folds(const TsCases& cases, Index folds,
                                               std::uint64_t seed) {
  if (folds < 2 || folds > std::ssize(cases.cases))
    throw OptionError("stratified_folds: expected 2 to ", cases.cases.size(), " folds, got ",
                      folds);
  std::vector<CaseSplit> splits(static_cast<std::size_t>(folds));
  std::size_t next = 0;  // goes on from class to class, so that folds differ by one case at most
  for (const std::vector<Index>& one : internal::shuffled_classes(cases, seed))
    for (const Index i : one) {
      for (std::size_t fold = 0; fold < splits.size(); ++fold)
        (fold == next ? splits[fold].test : splits[fold].train).push_back(i);
      next = (next + 1) % splits.size();
    }
  for (CaseSplit& split : splits) internal::sort_parts(split);
  return splits;
}

/// Windows of whole series, to be trained and tested on. `cases` are split; `test`, if given, are
/// cases of another file that become the test windows, in place of split.test. The recipe's
/// class_texts are the names of the classes in the header of `cases`. `scaler`: its options stay.
/// Throws: DataError without classes or training cases, when the training cases are of one class,
/// or when `test` has other dimensions or classes; ShapeError when the split names no case.
template <class Scalar>
Prepared<Scalar> prepare_cases(const TsCases& cases, const CaseSplit& split,
                               const TsCases* test = nullptr, StandardScaler scaler = {}) {
  const FloatModeGuard guard;
  if (cases.class_names.size() < 2)
    throw DataError(cases.name, ": expected @classLabel true with two classes or more, found ",
                    cases.class_names.size());
  if (split.train.empty()) throw DataError(cases.name, ": there are no training cases");
  Recipe recipe;
  recipe.features.clear();
  recipe.whole_series = true;
  recipe.length = cases.longest();
  recipe.label = ColumnLabel{.column = "label"};
  recipe.class_texts = cases.class_names;
  for (std::size_t k = 0; k < cases.class_names.size(); ++k)
    recipe.class_values.push_back(static_cast<double>(k));
  recipe.columns = internal::dimension_names(cases.dimensions);
  recipe.scaler = std::move(scaler);

  std::vector<const TsCases*> files = {&cases};
  std::vector<Index> tested = split.test;
  if (test) {
    files.push_back(test);
    tested.clear();
    for (Index i = 0; i < std::ssize(test->cases); ++i)
      tested.push_back(std::ssize(cases.cases) + i);
  }
  const internal::CaseRows rows(recipe, files);
  recipe.scaler.fit(rows.series(), rows.rows(split.train));
  const auto series = rows.scaled<Scalar>(recipe.scaler);
  const auto targets = rows.targets();
  Prepared<Scalar> data;
  data.train = rows.windows<Scalar>(series, targets, split.train);
  data.validation = rows.windows<Scalar>(series, targets, split.validation);
  data.test = rows.windows<Scalar>(series, targets, tested);
  data.split = {data.train.ends(), data.validation.ends(), data.test.ends()};
  internal::check_balance(data.split, targets->values, recipe);
  data.recipe = std::move(recipe);
  return data;
}

/// For predictions: the cases of a file by a recipe that prepare_cases has made. Labels are NaN
/// where the file has none. Throws: DataError when the recipe is of no whole series, or the file
/// has other dimensions or classes.
template <class Scalar>
Windows<Scalar> apply_cases(const Recipe& recipe, const TsCases& cases) {
  const FloatModeGuard guard;
  if (!recipe.whole_series)
    throw DataError(cases.name, ": the model reads windows of ", recipe.length,
                    " rows, not whole series");
  const TsCases* const files[] = {&cases};
  const internal::CaseRows rows(recipe, files);
  std::vector<Index> all;
  for (Index i = 0; i < rows.count(); ++i) all.push_back(i);
  return rows.windows<Scalar>(rows.scaled<Scalar>(recipe.scaler), rows.targets(), all);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
