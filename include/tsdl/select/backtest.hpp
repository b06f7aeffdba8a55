// What trading on a model's predictions would have earned: a rule's returns after costs beside
// buying and holding, beside the same rule on permuted predictions, and how sure its Sharpe ratio
// is.
//
//     std::vector<double> signals(candles.size(), NaN);   // filled where the model says something
//     tsdl::Backtest test = tsdl::backtest(times, {opens, closes}, signals, {.permutations = 999});
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/bootstrap.hpp"
#include "tsdl/select/sharpe.hpp"
#include "tsdl/select/strategy.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The rule, and what its returns are judged by.
struct BacktestOptions {
  StrategyOptions strategy{};
  double periods_per_year = 0;  ///< 0: rows_per_year() of the times
  Index permutations = 0;       ///< of the predictions
  Index permutation_block = 0;  ///< kept together; 0: twice their automatic_block_length
  std::uint64_t seed = 0;       ///< of the permutations
  double trials = 1;            ///< strategies among which this one was chosen, itself included
  double trials_variance = 0;   ///< of their Sharpe ratios per period
};

/// Figures of one series of returns and the positions behind them.
struct StrategyFigures {
  double total_return = 0;
  double annual_return = 0;      ///< (1 + total)^(periods per year / periods) - 1
  double annual_volatility = 0;  ///< deviation sqrt(periods per year)
  double annual_sharpe = 0;      ///< Sharpe ratio sqrt(periods per year)
  double max_drawdown = 0;       ///< the largest loss from a peak, as a share of that peak
  double turnover = 0;           ///< what is traded a year, in multiples of the account
  double in_market = 0;          ///< the share of periods with a position
  Index trades = 0;              ///< changes of position
  SharpeSummary per_period{};
};

/// A strategy period by period.
struct StrategyRun {
  std::vector<double> positions;  ///< at the close of the period, before a change at that close
  std::vector<double> returns;
  std::vector<double> equity;  ///< at the close of the period, of 1 at the start
  StrategyFigures figures;
};

/// What backtest() finds. Period i is row first + 1 + i.
struct Backtest {
  Index first = 0;        ///< the row of the first prediction
  Index predictions = 0;  ///< rows with one
  double periods_per_year = 0;
  StrategyRun rule, hold;           ///< hold: position 1 in every period, at the same cost
  double probabilistic_sharpe = 0;  ///< PSR against 0
  double expected_maximum = 0;      ///< the Sharpe ratio per period that luck gives the best trial
  double deflated_sharpe = 0;       ///< DSR: the PSR against that
  double minimum_track_record = 0;  ///< periods until the PSR is 95%; may be infinite
  Index permutations = 0;
  Index as_good = 0;   ///< permutations with a Sharpe ratio that is no smaller
  double p_value = 1;  ///< (as_good + 1) / (permutations + 1)
};

/// Rows a year, from the first and the last time: of daily rows without weekends some 252.
/// Times in milliseconds.
/// Throws: DataError when there are fewer than two times or the last is not after the first.
inline double rows_per_year(std::span<const std::int64_t> times) {
  const FloatModeGuard guard;
  if (times.size() < 2 || times.back() <= times.front())
    throw DataError("rows_per_year: expected two or more ascending times");
  constexpr double year = 365.2425 * 86400e3;
  return static_cast<double>(times.size() - 1) * year /
         (static_cast<double>(times.back()) - static_cast<double>(times.front()));
}

/// The largest loss from a peak, as a share of it; the start, 1, is one.
inline double max_drawdown(std::span<const double> equity) noexcept {
  const FloatModeGuard guard;
  double peak = 1, worst = 0;
  for (const double value : equity) {
    peak = std::max(peak, value);
    worst = std::max(worst, 1 - value / peak);
  }
  return worst;
}

namespace internal {

/// The stream of these random numbers.
inline constexpr std::uint64_t permutation_stream = 0x9e47;

/// The run of these returns; `decided` are the positions of the rows from the first one on.
inline StrategyRun strategy_run(std::vector<double> returns, std::span<const double> decided,
                                double periods_per_year) {
  StrategyRun run;
  run.positions.assign(decided.begin(), decided.begin() + std::ssize(returns));
  run.returns = std::move(returns);
  const auto n = static_cast<double>(run.returns.size());
  double equity = 1, held = 0, traded = 0, in_market = 0;
  StrategyFigures& figures = run.figures;
  for (std::size_t i = 0; i < run.returns.size(); ++i) {
    run.equity.push_back(equity *= 1 + run.returns[i]);
    const double change = std::abs(run.positions[i] - held);
    held = run.positions[i];
    traded += change;
    figures.trades += change > 0;
    in_market += is_zero(held) ? 0 : 1;
  }
  figures.per_period = sharpe_summary(run.returns);
  figures.total_return = equity - 1;
  figures.annual_return = std::pow(equity, periods_per_year / n) - 1;
  figures.annual_volatility = figures.per_period.deviation * std::sqrt(periods_per_year);
  figures.annual_sharpe = figures.per_period.sharpe * std::sqrt(periods_per_year);
  figures.max_drawdown = max_drawdown(run.equity);
  figures.turnover = traded * periods_per_year / n;
  figures.in_market = in_market / n;
  return run;
}

/// Counts the permutations whose Sharpe ratio is no smaller than `sharpe`. A permutation turns the
/// circle of predictions by a random number, cuts it into blocks and shuffles these; the rows that
/// have a prediction stay the same.
inline Index permutations_as_good(const Prices& prices, std::span<const double> signals,
                                  Index first, std::size_t periods, double sharpe,
                                  const BacktestOptions& options) {
  std::vector<std::size_t> rows;
  for (std::size_t t = 0; t < signals.size(); ++t)
    if (!is_nan(signals[t])) rows.push_back(t);
  const std::size_t n = rows.size();
  std::vector<double> said;
  for (const std::size_t t : rows) said.push_back(signals[t]);
  const Index chosen = std::clamp(2 * automatic_block_length(said), Index{1},
                                  std::max(std::ssize(rows) / 2, std::ptrdiff_t{1}));
  const auto block =
      static_cast<std::size_t>(options.permutation_block > 0 ? options.permutation_block : chosen);
  std::vector<Index> order;
  for (std::size_t from = 0; from < n; from += block) order.push_back(static_cast<Index>(from));
  RandomStream random(options.seed, permutation_stream);
  std::vector<double> permuted(signals.begin(), signals.end()), returns(periods);
  Index as_good = 0;
  for (Index i = 0; i < options.permutations; ++i) {
    std::sort(order.begin(), order.end());
    const auto turn = static_cast<std::size_t>(random.below(n));
    shuffle(order, random);
    std::size_t to = 0;
    for (const Index from : order)
      for (auto at = static_cast<std::size_t>(from);
           at < std::min(static_cast<std::size_t>(from) + block, n); ++at)
        permuted[rows[to++]] = said[(at + turn) % n];
    fill_returns(returns, prices, positions_of(permuted, options.strategy),
                 static_cast<std::size_t>(first), options.strategy);
    if (sharpe_summary(returns).sharpe >= sharpe) ++as_good;
  }
  return as_good;
}

inline void check_backtest(std::span<const std::int64_t> times, std::size_t signals,
                           const BacktestOptions& options) {
  if (times.size() != signals)
    throw ShapeError("backtest: ", times.size(), " times for ", signals, " signals");
  for (std::size_t t = 1; t < times.size(); ++t)
    if (times[t] <= times[t - 1])
      throw DataError("backtest: the time of row ", t, " is not after that of row ", t - 1);
  if (!is_finite(options.periods_per_year) || options.periods_per_year < 0)
    throw OptionError("backtest: expected periods per year above 0, or 0 for those of the times, ",
                      "not ", options.periods_per_year);
  if (options.permutations < 0 || options.permutation_block < 0)
    throw OptionError("backtest: expected 0 or more permutations and predictions in a block, not ",
                      options.permutations, " and ", options.permutation_block);
}

}  // namespace internal

/// Trades by a rule on signals, one a row and NaN where the model says nothing, from the first row
/// that has one to the row after the last. Rows without one in between have no position. Buying and
/// holding is judged on the same rows; its position is 1 throughout.
///
/// The permutation test asks whether it matters which prediction stands at which row: predictions
/// change places in blocks, so that the permuted ones trade about as often, and pay as much; blocks
/// must be long enough for that where predictions go on from row to row.
/// Deterministic. Allocates: O(rows). On the calling thread.
/// Throws: ShapeError when sizes differ; DataError when times do not ascend, no row has a signal,
/// fewer than two rows follow the first, a price is not above 0, or a signal is infinite;
/// OptionError as positions_of(), strategy_returns() and deflated_sharpe_ratio(), and for a
/// negative number of permutations or of periods.
inline Backtest backtest(std::span<const std::int64_t> times, const Prices& prices,
                         std::span<const double> signals, const BacktestOptions& options = {}) {
  const FloatModeGuard guard;
  internal::check_backtest(times, signals.size(), options);
  const std::vector<double> positions = positions_of(signals, options.strategy);
  Backtest result;
  Index last = -1;
  for (Index t = 0; t < std::ssize(signals); ++t) {
    if (is_nan(signals[static_cast<std::size_t>(t)])) continue;
    if (result.predictions++ == 0) result.first = t;
    last = t;
  }
  if (last < 0) throw DataError("backtest: no row has a prediction");
  std::vector<double> returns =
      strategy_returns(prices, positions, result.first, last, options.strategy);
  const std::size_t periods = returns.size();
  if (periods < 2)
    throw DataError("backtest: only one row follows the first prediction: expected two or more");
  result.periods_per_year =
      options.periods_per_year > 0 ? options.periods_per_year : rows_per_year(times);
  const auto run = [&](std::vector<double> all, std::span<const double> decided) {
    return internal::strategy_run(std::move(all),
                                  decided.subspan(static_cast<std::size_t>(result.first)),
                                  result.periods_per_year);
  };
  result.rule = run(std::move(returns), positions);
  const std::vector<double> always(signals.size(), 1.0);
  result.hold = run(strategy_returns(prices, always, result.first, last, options.strategy), always);

  const SharpeSummary& summary = result.rule.figures.per_period;
  result.probabilistic_sharpe = probabilistic_sharpe_ratio(summary);
  result.expected_maximum = expected_maximum_sharpe(options.trials, options.trials_variance);
  result.deflated_sharpe = deflated_sharpe_ratio(summary, options.trials, options.trials_variance);
  result.minimum_track_record = minimum_track_record_length(summary);
  result.permutations = options.permutations;
  result.as_good = internal::permutations_as_good(prices, signals, result.first, periods,
                                                  summary.sharpe, options);
  result.p_value =
      static_cast<double>(result.as_good + 1) / static_cast<double>(result.permutations + 1);
  return result;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
