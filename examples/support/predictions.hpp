// Predictions as lines of CSV.
#pragma once

#include <span>
#include <string>

#include "data.hpp"
#include "format.hpp"
#include "tsdl/data/recipe.hpp"

namespace examples {

/// Columns are named after the labels of their classes: probability_-1, probability_0,
/// probability_1. A model with one output has one column, of its second class.
inline std::string predictions_header(const tsdl::Recipe& recipe, bool has_times,
                                      tsdl::Index outputs) {
  std::string text = has_times ? "time" : "row";
  if (outputs == 1)
    text += ",probability";
  else
    for (const std::string& name : class_names(recipe)) text += ",probability_" + name;
  return text + '\n';
}

inline std::string predictions_line(const std::string& row, std::span<const double> probabilities) {
  std::string text = row;
  for (const double probability : probabilities) text += ',' + format_exact(probability);
  return text + '\n';
}

/// Throws: FormatError when a model file has other outputs than its recipe has classes.
inline void check_outputs(const std::string& path, const tsdl::Recipe& recipe,
                          tsdl::Index outputs) {
  const tsdl::Index classes = std::ssize(recipe.class_values);
  if (outputs > 1 && outputs != classes)
    throw tsdl::FormatError(path, ": ", outputs, " outputs for ", classes, " classes");
}

}  // namespace examples
