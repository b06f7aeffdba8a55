// Predictions as lines of CSV.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data.hpp"
#include "names.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/task/task.hpp"

namespace examples {

/// A column for the time, row or case (from 1), then one for each prediction, by the name that the
/// task gives it: probability, or probability_-1, probability_0, probability_1; predicted_close;
/// predicted_close_q0.1. `more` columns follow.
inline std::string predictions_header(const tsdl::Task& task, const tsdl::Recipe& recipe,
                                      bool has_times, const std::string& more = {}) {
  std::string text = has_times ? "time" : recipe.whole_series ? "case" : "row";
  for (const std::string& name : task->names(target_names(recipe))) text += ',' + name;
  return text + more + '\n';
}

inline std::string predictions_line(const std::string& row, std::span<const double> values,
                                    const std::string& more = {}) {
  std::string text = row;
  for (const double value : values) text += ',' + format_exact(value);
  return text + more + '\n';
}

}  // namespace examples
