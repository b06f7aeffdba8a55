// Explanations as tables, CSV files and pictures.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "csv.hpp"
#include "names.hpp"
#include "terminal.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/explain/attribution_means.hpp"
#include "tsdl/explain/permutation.hpp"
#include "tsdl/report/explanation.hpp"
#include "tsdl/task/task.hpp"

namespace examples {

/// Output k of quantiles in words: the middle one is a level, the others are what is between two
/// levels (task/quantiles.hpp).
inline std::string quantile_output_name(const std::vector<double>& levels,
                                        const std::vector<std::string>& targets, tsdl::Index k) {
  const tsdl::Index Q = std::ssize(levels), j = k % Q, middle = (Q - 1) / 2;
  const auto target = static_cast<std::size_t>(k / Q);
  const std::string of = target < targets.size() ? targets[target] : std::to_string(target);
  const auto level = [&](tsdl::Index at) {
    return format_exact(levels[static_cast<std::size_t>(at)]);
  };
  if (j == middle)
    return level(j) == "0.5" ? "the median of " + of : "the quantile " + level(j) + " of " + of;
  return "the step from level " + level(j > middle ? j - 1 : j + 1) + " to " + level(j) + " of " +
         of + ", before softplus";
}

/// Output k in words: "the logit of class 1".
inline std::string output_name(const tsdl::Task& task, const tsdl::Recipe& recipe, tsdl::Index k) {
  const std::vector<std::string> names = target_names(recipe);
  if (const tsdl::Config config = task->describe(); config.contains("levels"))
    return quantile_output_name(config.numbers("levels"), names, k);
  const auto at = static_cast<std::size_t>(task->outputs() == 1 && task->classes() == 2 ? 1 : k);
  if (task->classes() > 0 && at < names.size()) return "the logit of class " + names[at];
  if (task->outputs() == std::ssize(names) && at < names.size())
    return "the output of " + names[at];
  return "output " + std::to_string(k);
}

/// Means over windows as shares of all that is attributed.
inline Explanation explanation_of(const tsdl::AttributionMeans& means,
                                  const std::vector<std::string>& columns,
                                  const std::string& output, const std::string& baseline) {
  Explanation result{
      .method = "integrated gradients of " + output,
      .measure = "share of mean |attribution|",
      .reading = "How much each column, and each row before a window's last one, moved " + output +
                 " away from what it is at " + baseline +
                 "; the shares add up to 100%. The sums miss the change of the output by at most " +
                 format_rate(means.largest_delta) + " of it, or of 1 where it is smaller.",
      .shares = true};
  result.window_measure = output + ", beside " + baseline;
  const double total = means.total();
  const auto of_total = [&](double value) { return total > 0 ? value / total : 0.0; };
  for (std::size_t i = 0; i < means.columns.size(); ++i)
    result.columns.push_back({.name = columns[i], .value = of_total(means.columns[i])});
  for (std::size_t lag = 0; lag < means.lags.size(); ++lag) {
    const auto at = static_cast<tsdl::Index>(lag);
    result.lags.push_back({.first_lag = at, .last_lag = at, .value = of_total(means.lags[lag])});
  }
  return result;
}

/// What a figure loses; `length`: rows of a window.
inline Explanation explanation_of(const tsdl::PermutationImportance& found,
                                  const std::vector<std::string>& columns, tsdl::Index length) {
  const tsdl::Figure& figure = tsdl::figure_of(found.figure);
  const std::string title(figure.title);
  Explanation result{
      .method = "permutation importance by " + title,
      .measure = (figure.lower_is_better ? "rise of " : "drop of ") + title,
      .reading = "By how much the " + title + " of " + format_loss(found.value) +
                 " gets worse when a column, or a block of rows, holds the values of other " +
                 "windows: the mean of " + std::to_string(found.repeats) +
                 " permutations, with their deviation. Columns that tell the same share what " +
                 "they are worth."};
  for (std::size_t i = 0; i < found.columns.size(); ++i)
    result.columns.push_back({.name = columns[i],
                              .value = found.columns[i].mean,
                              .deviation = found.columns[i].deviation});
  for (const tsdl::Importance& block : found.blocks)
    result.lags.push_back({.first_lag = length - block.part.last_row,
                           .last_lag = length - 1 - block.part.first_row,
                           .value = block.mean,
                           .deviation = block.deviation});
  return result;
}

/// The rows of a table, the largest score first, and how many are left out.
inline void print_scores(const std::string& heading, const std::string& measure,
                         const std::vector<PartScore>& scores, bool shares,
                         const std::function<std::string(const PartScore&)>& name_of) {
  constexpr std::size_t most = 12, width = 32;
  std::printf("\n  %s  %s\n", pad_right(heading, width).c_str(), measure.c_str());
  std::vector<PartScore> sorted = scores;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const PartScore& a, const PartScore& b) { return a.value > b.value; });
  for (std::size_t i = 0; i < std::min(most, sorted.size()); ++i) {
    const PartScore& score = sorted[i];
    std::string value = shares ? format_percent(score.value, 2) : format_loss(score.value);
    if (!shares) value = pad_left(value, 10) + "  +- " + format_loss(score.deviation);
    std::printf("  %s  %s\n", pad_right(name_of(score), width).c_str(), pad_left(value, 8).c_str());
  }
  if (sorted.size() > most)
    std::printf("  and %s more\n",
                format_count(static_cast<tsdl::Index>(sorted.size() - most)).c_str());
}

inline std::string lag_text(const PartScore& score) {
  const std::string first = std::to_string(score.first_lag);
  return score.first_lag == score.last_lag ? first
                                           : first + " to " + std::to_string(score.last_lag);
}

inline void print_explanation(const Explanation& explanation) {
  const std::string measure = explanation.shares ? "share" : explanation.measure;
  print_scores("column", measure, explanation.columns, explanation.shares,
               [](const PartScore& score) { return score.name; });
  print_scores(explanation.shares ? "lag" : "lags", measure, explanation.lags, explanation.shares,
               lag_text);
}

/// columns.csv: a line for each column, as they stand in the data.
inline std::string columns_csv(const Explanation& explanation) {
  std::string text = explanation.shares ? "column,share\n" : "column,mean,deviation\n";
  for (const PartScore& score : explanation.columns) {
    text += csv_field(score.name) + ',' + format_exact(score.value);
    text += explanation.shares ? "\n" : ',' + format_exact(score.deviation) + '\n';
  }
  return text;
}

/// lags.csv: a line for each lag, or block of lags, from a window's last row on.
inline std::string lags_csv(const Explanation& explanation) {
  std::string text = explanation.shares ? "lag,share\n" : "first_lag,last_lag,mean,deviation\n";
  for (const PartScore& score : explanation.lags) {
    text += std::to_string(score.first_lag) + ',';
    if (!explanation.shares) text += std::to_string(score.last_lag) + ',';
    text += format_exact(score.value);
    text += explanation.shares ? "\n" : ',' + format_exact(score.deviation) + '\n';
  }
  return text;
}

/// window.csv: the attribution of each value of one window, a line for each row. `names`: of the
/// rows; `first`: what their column is called.
inline std::string window_csv(const tsdl::Attribution& attribution,
                              const std::vector<std::string>& columns,
                              const std::vector<std::string>& names, const std::string& first) {
  std::string text = first + ",lag";
  for (const std::string& column : columns) text += ',' + csv_field(column);
  text += '\n';
  for (tsdl::Index t = 0; t < attribution.steps; ++t) {
    text += names[static_cast<std::size_t>(t)] + ',' + std::to_string(attribution.steps - 1 - t);
    for (tsdl::Index i = 0; i < attribution.inputs; ++i)
      text += ',' + format_exact(attribution.at(t, i));
    text += '\n';
  }
  return text;
}

}  // namespace examples
