// Classes: the values that labels take, and labels as the class indices that a network learns.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The largest number of classes that is looked for in a column; with more values, labels are
/// numbers.
inline constexpr std::size_t most_classes = 100;

/// "-1, 0, 1"; of many values the first and the last.
inline std::string values_text(const std::vector<double>& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values.size() > 6 && i == 3) text.append(", ...");
    if (values.size() > 6 && i >= 3 && i + 1 < values.size()) continue;
    text.append(i > 0 ? ", " : "").append(number_text(values[i]));
  }
  return text;
}

/// Throws: DataError when there are fewer than two values, they are not finite and ascending, or
/// they are given for a regression.
inline void check_class_values(const std::vector<double>& values, bool regression) {
  if (regression && !values.empty())
    throw DataError("recipe: a regression has no class_values, found ", values_text(values));
  if (regression) return;
  if (values.size() < 2)
    throw DataError("recipe: expected 2 or more class_values, found ", values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!is_finite(values[i]) || (i > 0 && values[i] <= values[i - 1]))
      throw DataError("recipe: expected class_values that ascend, found ", values_text(values));
}

struct FoundLabel {
  Index first, count;  ///< the first row with this label, and their number
};

/// The distinct labels of `rows`. Throws: DataError when a label is not a whole number, naming its
/// row, or when there are too many for classes.
inline std::map<double, FoundLabel> find_labels(std::span<const Index> rows,
                                                const std::vector<double>& labels,
                                                const std::vector<std::int64_t>& times) {
  std::map<double, FoundLabel> found;
  for (const Index row : rows) {
    const double label = labels[static_cast<std::size_t>(row)];
    if (!same_value(label, std::floor(label)))
      throw DataError("recipe: ", row_text(row, times), ": expected a whole number for a class, ",
                      "found ", number_text(label));
    ++found.try_emplace(label, FoundLabel{row, 0}).first->second.count;
    if (found.size() > most_classes)
      throw DataError("recipe: expected at most ", most_classes, " classes, found more labels: ",
                      "give class_values, or ask for a regression");
  }
  return found;
}

/// The classes of a column whose rows `rows` have these labels: 0 and 1, or three or more whole
/// numbers without a gap, such as -1, 0, 1. Throws: as find_labels; DataError naming the rarest
/// label where the labels are neither.
inline std::vector<double> find_class_values(std::span<const Index> rows,
                                             const std::vector<double>& labels,
                                             const std::vector<std::int64_t>& times) {
  const auto found = find_labels(rows, labels, times);
  std::vector<double> values;
  for (const auto& one : found) values.push_back(one.first);
  if (values.front() >= 0 && values.back() <= 1) return {0, 1};
  const auto steps = static_cast<double>(values.size() - 1);
  const bool gaps = !same_value(values.back() - values.front(), steps);
  if (!gaps && values.size() != 2) return values;  // check_balance names a single class later
  const auto rarest = std::min_element(
      found.begin(), found.end(),
      [](const auto& a, const auto& b) { return a.second.count < b.second.count; });
  throw DataError("recipe: ", row_text(rarest->second.first, times), ": label ",
                  number_text(rarest->first), ": expected 0 and 1, or three or more whole numbers ",
                  "without a gap, or class_values that name them; found ", values_text(values));
}

/// Replaces the labels of `rows` by class indices; an unknown label stays NaN. Throws: DataError
/// naming the first row whose label is not a class.
inline void labels_to_classes(std::vector<double>& labels, std::span<const Index> rows,
                              const std::vector<double>& values,
                              const std::vector<std::int64_t>& times) {
  for (const Index row : rows) {
    double& label = labels[static_cast<std::size_t>(row)];
    if (is_nan(label)) continue;
    const auto place = std::lower_bound(values.begin(), values.end(), label);
    if (place == values.end() || !same_value(*place, label))
      throw DataError("recipe: ", row_text(row, times), ": expected a label that is one of ",
                      values_text(values), ", found ", number_text(label));
    label = static_cast<double>(place - values.begin());
  }
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
