// The backtest of the windows that judge a model, where what it predicts is a direction of the
// close.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/label_kinds.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/report/backtest.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/select/backtest.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// Permutations of a training's page.
inline constexpr Index page_permutations = 199;

/// The signal of each window, window by window: of the labels direction, threshold and triple
/// barrier the probability of a rise less that of a fall, of the target close_return the number or
/// the quantile nearest to the median. Empty where nothing says which way the close will go.
template <std::same_as<Recipe> Any>
std::vector<double> directional_signals(const Evaluation& e, const Any& recipe) {
  const auto at = [&](std::size_t i, std::size_t j) {
    return e.predictions[i * static_cast<std::size_t>(e.outputs) + j];
  };
  const FloatModeGuard guard;
  std::vector<double> signals;
  if (recipe.every_step || !std::all_of(e.predictions.begin(), e.predictions.end(), is_finite))
    return signals;
  const Label& label = recipe.label;
  if (std::holds_alternative<DirectionLabel>(label) ||
      std::holds_alternative<ThresholdLabel>(label) ||
      std::holds_alternative<TripleBarrierLabel>(label)) {
    if (e.task != "classes") return signals;
    const auto place = [&](double value) {
      const auto& all = recipe.class_values;
      return static_cast<std::size_t>(
          std::find_if(all.begin(), all.end(), [&](double one) { return same_value(one, value); }) -
          all.begin());
    };
    const std::size_t up = place(1), down = place(recipe.class_values.size() == 2 ? 0 : -1);
    if (std::max(up, down) >= e.classes()) return signals;
    for (std::size_t i = 0; i < e.ends.size(); ++i)
      signals.push_back(e.probability(i, up) - e.probability(i, down));
    return signals;
  }
  const auto* numbers = std::get_if<ColumnTargets>(&label);
  if (!numbers) return signals;
  const auto target = static_cast<std::size_t>(
      std::find_if(numbers->columns.begin(), numbers->columns.end(),
                   [](const std::string& name) {
                     return tsdl::internal::ascii_lower(tsdl::internal::trimmed(name)) ==
                            "close_return";
                   }) -
      numbers->columns.begin());
  const std::size_t levels = std::max<std::size_t>(e.levels.size(), 1);
  if (target == numbers->columns.size() ||
      static_cast<std::size_t>(e.outputs) != numbers->columns.size() * levels)
    return signals;
  std::size_t centre = 0;
  for (std::size_t j = 1; j < e.levels.size(); ++j)
    if (std::abs(e.levels[j] - 0.5) < std::abs(e.levels[centre] - 0.5)) centre = j;
  for (std::size_t i = 0; i < e.ends.size(); ++i)
    signals.push_back(at(i, target * levels + centre));
  return signals;
}

/// Trading on the windows that judge a model: by sign, at the close, at a cost of `cost_bps`.
/// Nothing where directional_signals() has none, where there is no price, or for fewer than three
/// rows.
template <class Scalar>
std::optional<BacktestContents> backtest_of(const Prepared<Scalar>& data, const Evaluation& e,
                                            double cost_bps) {
  if (data.recipe.features.empty() || e.ends.size() < 3 || data.closes.size() != data.times.size())
    return {};
  const std::vector<double> said = directional_signals(e, data.recipe);
  const Index rows = std::ssize(data.closes), first = e.ends.front();
  if (said.size() != e.ends.size() || e.ends.back() >= rows) return {};
  const auto end = static_cast<std::size_t>(std::min(e.ends.back() + 2, rows));
  const auto from = static_cast<std::size_t>(first);
  std::vector<double> signals(end - from, tsdl::internal::nan_of<double>);
  for (std::size_t i = 0; i < said.size(); ++i)
    signals[static_cast<std::size_t>(e.ends[i] - first)] = said[i];
  const std::span<const std::int64_t> times(data.times.data() + from, end - from);
  const std::span<const double> closes(data.closes.data() + from, end - from);

  BacktestOptions options;
  options.strategy.numbers = e.task != "classes";
  options.strategy.cost_bps = cost_bps;
  options.permutations = page_permutations;
  options.periods_per_year = rows_per_year(data.times);
  return BacktestContents{backtest(times, {{}, closes}, signals, options),
                          {times.begin(), times.end()},
                          options.strategy,
                          1,
                          std::string("predictions for the ") + std::string(e.part()) + " windows"};
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
