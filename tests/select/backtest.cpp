// Positions, returns and figures of a strategy against an account of cash and shares and against
// sums by hand; nothing may look ahead.
#include "tsdl/select/backtest.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/select/strategy.hpp"

namespace {

using test::at;
using test::close_to;
const double none = test::nan;
using tsdl::Backtest;
using tsdl::BacktestOptions;
using tsdl::Fill;
using tsdl::Index;
using tsdl::PositionRule;
using tsdl::StrategyOptions;

struct Market {
  std::vector<std::int64_t> times;
  std::vector<double> opens, closes;

  tsdl::Prices prices() const { return {opens, closes}; }
};

Market market_of(const tsdl::Candles& candles) {
  Market market;
  for (const tsdl::Candle& candle : candles.rows) {
    market.times.push_back(candle.time);
    market.opens.push_back(candle.open);
    market.closes.push_back(candle.close);
  }
  return market;
}

/// Signals with holes, nothing in the first and the last rows.
std::vector<double> random_signals(Index rows, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  std::vector<double> signals(at(rows), none);
  for (Index t = 5; t < rows - 3; ++t)
    if (random.uniform() < 0.8) signals[at(t)] = random.uniform(-1, 1);
  return signals;
}

/// An account that holds cash and shares: returns from close to close.
std::vector<double> account(const Market& market, const std::vector<double>& positions, Index first,
                            Index last, Fill fill, double cost_bps) {
  double cash = 1, shares = 0, position = 0, before = 1;
  const auto trade = [&](double price, double wanted) {
    double worth = cash + shares * price;
    worth -= worth * std::abs(wanted - position) * cost_bps / 10000;
    shares = wanted * worth / price;
    cash = worth - shares * price;
    position = wanted;
  };
  std::vector<double> returns;
  const Index end = std::min(last + 1, static_cast<Index>(positions.size()) - 1);
  for (Index row = first + 1; row <= end; ++row) {
    if (fill == Fill::close) trade(market.closes[at(row - 1)], positions[at(row - 1)]);
    if (fill == Fill::open) {
      trade(market.closes[at(row - 1)], position);  // restores the share
      trade(market.opens[at(row)], positions[at(row - 1)]);
    }
    const double worth = cash + shares * market.closes[at(row)];
    returns.push_back(worth / before - 1);
    before = worth;
  }
  return returns;
}

StrategyOptions by(PositionRule rule, double threshold = 0, bool numbers = false) {
  return {.rule = rule, .threshold = threshold, .numbers = numbers};
}

constexpr std::int64_t day = 86400000;

}  // namespace

TEST_CASE("backtest: positions by each rule") {
  const std::vector<double> signals = {0.3, -0.1, 0, none, 0.1, -0.3, 2, -2};
  using Positions = std::vector<double>;
  CHECK(tsdl::positions_of(signals) == Positions{1, -1, 0, 0, 1, -1, 1, -1});
  CHECK(tsdl::positions_of(signals, by(PositionRule::threshold, 0.1)) ==
        Positions{1, 0, 0, 0, 0, -1, 1, -1});
  CHECK(tsdl::positions_of(signals, by(PositionRule::threshold)) == tsdl::positions_of(signals));
  CHECK(tsdl::positions_of(signals, by(PositionRule::proportional)) ==
        Positions{0.3, -0.1, 0, 0, 0.1, -0.3, 1, -1});
  // Numbers over the root mean square so far: 3 / 3, 4 / sqrt(12.5), 0, none, -1 / sqrt(26 / 4).
  const Positions scaled = tsdl::positions_of(std::vector<double>{3, 4, 0, none, -1},
                                              by(PositionRule::proportional, 0, true));
  CHECK(scaled[0] == 1);
  CHECK(scaled[1] == 1);  // 1.13, cut
  CHECK(scaled[2] == 0);
  CHECK(scaled[3] == 0);
  CHECK(close_to(scaled[4], -1 / std::sqrt(6.5), 1e-15));
  CHECK(tsdl::positions_of(std::vector<double>{0, 0.5}, by(PositionRule::proportional, 0, true)) ==
        Positions{0, 1});
  CHECK(tsdl::signal_of_probability(0.75) == 0.5);
}

TEST_CASE("backtest: four days by hand") {
  Market market{{0, day, 2 * day, 3 * day}, {100, 102, 108, 105}, {100, 110, 99, 110}};
  const std::vector<double> positions = {1, -1, -1, 0};
  const auto returns = [&](StrategyOptions options, Index last) {
    return tsdl::strategy_returns(market.prices(), positions, 0, last, options);
  };
  // Bought at 100, sold at 110 and short until 99 and 110.
  std::vector<double> found = returns({}, 2);
  REQUIRE(found.size() == 3);
  CHECK(close_to(found[0], 0.1, 1e-15));
  CHECK(close_to(found[1], 0.1, 1e-15));
  CHECK(close_to(found[2], -11.0 / 99, 1e-15));
  CHECK(returns({}, 0).size() == 1);
  CHECK(returns({}, 3) == found);  // no row follows the last
  // At 1%: 1 traded, then 2, then nothing.
  found = returns({.cost_bps = 100}, 2);
  CHECK(close_to(found[0], 0.99 * 1.1 - 1, 1e-15));
  CHECK(close_to(found[1], 0.98 * 1.1 - 1, 1e-15));
  CHECK(close_to(found[2], -11.0 / 99, 1e-15));
  // Bought at 102, turned at 108 after 110, short to 99, then to 105 and 110.
  found = returns({.fill = Fill::open, .cost_bps = 100}, 2);
  CHECK(close_to(found[0], 0.99 * 110 / 102 - 1, 1e-15));
  CHECK(close_to(found[1], 108.0 / 110 * 0.98 * (1 + 9.0 / 108) - 1, 1e-15));
  CHECK(close_to(found[2], (1 - 6.0 / 99) * (1 - 5.0 / 105) - 1, 1e-15));
}

TEST_CASE("backtest: returns are those of an account of cash and shares") {
  const Market market = market_of(test::random_candles(300, 4));
  const std::vector<double> signals = random_signals(300, 5);
  for (const PositionRule rule :
       {PositionRule::sign, PositionRule::threshold, PositionRule::proportional})
    for (const Fill fill : {Fill::close, Fill::open})
      for (const double cost : {0.0, 7.5}) {
        StrategyOptions options = by(rule, 0.4);
        options.fill = fill;
        options.cost_bps = cost;
        const std::vector<double> positions = tsdl::positions_of(signals, options);
        for (const Index last : {Index{296}, Index{299}}) {
          const std::vector<double> expected = account(market, positions, 5, last, fill, cost);
          const std::vector<double> found =
              tsdl::strategy_returns(market.prices(), positions, 5, last, options);
          REQUIRE(found.size() == expected.size());
          for (std::size_t i = 0; i < found.size(); ++i)
            CHECK(close_to(found[i], expected[i], 1e-12));
        }
      }
}

TEST_CASE("backtest: nothing looks ahead") {
  const Index rows = 60;
  const Market market = market_of(test::random_candles(rows, 8));
  const std::vector<double> signals = random_signals(rows, 9);
  for (const PositionRule rule :
       {PositionRule::sign, PositionRule::threshold, PositionRule::proportional})
    for (const Fill fill : {Fill::close, Fill::open})
      for (Index t = 6; t < rows - 1; ++t) {
        StrategyOptions options = by(rule, 0.3, true);
        options.fill = fill;
        options.cost_bps = 5;
        // Everything after row t is another world.
        Market other = market;
        std::vector<double> changed = signals;
        for (Index later = t + 1; later < rows; ++later) {
          other.opens[at(later)] *= 3;
          other.closes[at(later)] *= 0.2;
          changed[at(later)] = -7;
        }
        const std::vector<double> here = tsdl::positions_of(signals, options),
                                  there = tsdl::positions_of(changed, options);
        for (Index row = 0; row <= t; ++row) REQUIRE(here[at(row)] == there[at(row)]);
        const BacktestOptions judged{.strategy = options, .periods_per_year = 252};
        const Backtest a = tsdl::backtest(market.times, market.prices(), signals, judged);
        const Backtest b = tsdl::backtest(other.times, other.prices(), changed, judged);
        REQUIRE(a.first == b.first);
        const Index known = std::min(t, a.first + std::ssize(a.rule.returns));
        for (Index row = a.first + 1; row <= known; ++row) {
          const std::size_t i = at(row - a.first - 1);
          REQUIRE(a.rule.returns[i] == b.rule.returns[i]);
          REQUIRE(a.rule.positions[i] == b.rule.positions[i]);
          REQUIRE(a.rule.equity[i] == b.rule.equity[i]);
          REQUIRE(a.hold.returns[i] == b.hold.returns[i]);
        }
        // The position of row t earns what comes after it.
        if (here[at(t)] != 0 && t - a.first < std::ssize(a.rule.returns))
          REQUIRE(a.rule.returns[at(t - a.first)] != b.rule.returns[at(t - a.first)]);
      }
}

TEST_CASE("backtest: a hole in the predictions is out of the market") {
  const Market market = market_of(test::random_candles(8, 1));
  const std::vector<double> signals = {none, 1, none, none, -1, -1, none, none};
  const Backtest found = tsdl::backtest(market.times, market.prices(), signals);
  CHECK(found.first == 1);
  CHECK(found.predictions == 3);
  CHECK(found.rule.positions == std::vector<double>{1, 0, 0, -1, -1});
  CHECK(found.rule.returns.size() == 5);
  CHECK(found.rule.returns[1] == 0);
  CHECK(found.rule.figures.trades == 3);
  CHECK(close_to(found.rule.figures.in_market, 0.6, 1e-15));
  CHECK(found.hold.positions == std::vector<double>(5, 1.0));
  CHECK(close_to(found.hold.figures.total_return, market.closes[6] / market.closes[1] - 1, 1e-14));
}

TEST_CASE("backtest: figures by their definitions") {
  const Market market = market_of(test::random_candles(200, 2));
  const std::vector<double> signals = random_signals(200, 3);
  BacktestOptions options;
  options.strategy.cost_bps = 3;
  options.trials = 10;
  options.trials_variance = 0.001;
  const Backtest found = tsdl::backtest(market.times, market.prices(), signals, options);
  const tsdl::StrategyFigures& f = found.rule.figures;
  const double year = 365.2425 * 24;  // hours
  CHECK(close_to(found.periods_per_year, year, 1e-12));
  const std::vector<double>& returns = found.rule.returns;
  const auto n = static_cast<double>(returns.size());
  double equity = 1, peak = 1, worst = 0, traded = 0, before = 0, mean = 0, square = 0;
  for (std::size_t i = 0; i < returns.size(); ++i) {
    equity *= 1 + returns[i];
    CHECK(close_to(found.rule.equity[i], equity, 1e-13));
    peak = std::max(peak, equity);
    worst = std::max(worst, (peak - equity) / peak);
    traded += std::abs(found.rule.positions[i] - before);
    before = found.rule.positions[i];
    mean += returns[i] / n;
  }
  for (const double r : returns) square += (r - mean) * (r - mean) / n;
  CHECK(close_to(f.total_return, equity - 1, 1e-13));
  CHECK(close_to(f.annual_return, std::pow(equity, year / n) - 1, 1e-9));
  CHECK(close_to(f.annual_volatility, std::sqrt(square * year), 1e-12));
  CHECK(close_to(f.annual_sharpe, mean / std::sqrt(square) * std::sqrt(year), 1e-12));
  CHECK(close_to(f.max_drawdown, worst, 1e-13));
  CHECK(close_to(f.turnover, traded * year / n, 1e-12));
  CHECK(close_to(found.probabilistic_sharpe,
                 tsdl::probabilistic_sharpe_ratio(mean / std::sqrt(square), 0, n, f.per_period.skew,
                                                  f.per_period.kurtosis),
                 1e-12));
  CHECK(found.deflated_sharpe < found.probabilistic_sharpe);
  CHECK(found.expected_maximum == tsdl::expected_maximum_sharpe(10, 0.001));
  options.periods_per_year = 100;
  const Backtest given = tsdl::backtest(market.times, market.prices(), signals, options);
  CHECK(close_to(given.rule.figures.annual_sharpe, f.per_period.sharpe * 10, 1e-14));

  CHECK(tsdl::max_drawdown(std::vector<double>{0.9, 1.2, 0.6, 1.3, 1.0}) == 0.5);
  CHECK(tsdl::max_drawdown(std::vector<double>{0.75, 0.8}) == 0.25);
  // Days of exchanges: 252 or 253 a year.
  const Market daily = market_of(test::shipped_candles());
  CHECK(std::abs(tsdl::rows_per_year(daily.times) - 252) < 1);
}

TEST_CASE("backtest: an account that is lost stays lost") {
  Market market{{0, 1, 2, 3, 4}, {}, {100, 250, 200, 100, 50}};
  const std::vector<double> positions(5, -1.0);
  const std::vector<double> found = tsdl::strategy_returns(market.prices(), positions, 0, 4);
  CHECK(found == std::vector<double>{-1, 0, 0, 0});
  const Backtest lost =
      tsdl::backtest(market.times, market.prices(), positions, {.periods_per_year = 1});
  CHECK(lost.rule.figures.total_return == -1);
  CHECK(lost.rule.figures.annual_return == -1);
  CHECK(lost.rule.figures.max_drawdown == 1);
}

TEST_CASE("backtest: permuted predictions tell skill from none") {
  const Index rows = 400;
  const Market market = market_of(test::random_candles(rows, 31));
  std::vector<double> knows(at(rows), none), guesses = knows, constant = knows;
  tsdl::RandomStream random(7);
  for (Index t = 10; t < rows - 1; ++t) {
    knows[at(t)] = market.closes[at(t + 1)] - market.closes[at(t)] + 2 * random.normal();
    guesses[at(t)] = random.normal();
    constant[at(t)] = 0.5;
  }
  const auto test = [&](const std::vector<double>& signals, BacktestOptions options) {
    return tsdl::backtest(market.times, market.prices(), signals, options);
  };
  const Backtest skill = test(knows, {.permutations = 199});
  CHECK(skill.permutations == 199);
  CHECK(skill.as_good == 0);
  CHECK(skill.p_value == 1.0 / 200);
  const Backtest luck = test(guesses, {.permutations = 199});
  CHECK(luck.p_value > 0.02);
  CHECK(luck.p_value == (static_cast<double>(luck.as_good) + 1) / 200);
  // What always says the same is as good in any order.
  CHECK(test(constant, {.permutations = 20}).p_value == 1);
  CHECK(test(guesses, {}).p_value == 1);
  // A seed gives the same permutations, another one others.
  const Backtest again = test(guesses, {.permutations = 199});
  CHECK(again.as_good == luck.as_good);
  bool other = false;
  for (std::uint64_t seed = 1; seed < 5; ++seed)
    other |= test(guesses, {.permutations = 199, .seed = seed}).as_good != luck.as_good;
  CHECK(other);
  // Blocks keep what the rule trades: whole halves change places.
  CHECK_NOTHROW(test(guesses, {.permutations = 5, .permutation_block = 200}));
  CHECK_NOTHROW(test(guesses, {.permutations = 5, .permutation_block = 100000}));
}

TEST_CASE("backtest: p-values of guesses are level") {
  // Under no skill a p-value is at most x with a probability of about x.
  const Index rows = 120;
  int below_half = 0, below_tenth = 0;
  const int runs = 300;
  for (int run = 0; run < runs; ++run) {
    const auto seed = static_cast<std::uint64_t>(run);
    const Market market = market_of(test::random_candles(rows, seed));
    std::vector<double> signals(at(rows), none);
    tsdl::RandomStream random(seed, 99);
    double signal = 0;  // that goes on from row to row
    for (Index t = 0; t < rows; ++t) signals[at(t)] = signal = 0.8 * signal + random.normal();
    BacktestOptions options{.permutations = 39, .seed = seed};
    options.strategy.cost_bps = 20;
    const double p = tsdl::backtest(market.times, market.prices(), signals, options).p_value;
    below_half += p <= 0.5;
    below_tenth += p <= 0.1;
  }
  CAPTURE(below_half);
  CAPTURE(below_tenth);
  CHECK(std::abs(below_half - 0.5 * runs) < 4 * std::sqrt(0.25 * runs));
  CHECK(std::abs(below_tenth - 0.1 * runs) < 4 * std::sqrt(0.09 * runs));
}

TEST_CASE("backtest: what cannot be traded is refused") {
  using namespace tsdl;
  const Market market = market_of(test::random_candles(6, 1));
  const std::vector<double> signals = {1, -1, 1, none, 1, -1};
  const auto run = [&](const Market& m, const std::vector<double>& s, BacktestOptions o = {}) {
    return tsdl::backtest(m.times, m.prices(), s, o);
  };
  CHECK_NOTHROW(run(market, signals));
  CHECK_THROWS_WITH_AS(run(market, std::vector<double>(6, none)),
                       "backtest: no row has a prediction", DataError);
  CHECK_THROWS_AS(run(market, {none, none, none, none, 1, 1}), DataError);  // one period
  CHECK_THROWS_AS(run(market, {none, none, none, none, none, 1}), DataError);
  CHECK_THROWS_WITH_AS(run(market, {1, HUGE_VAL, 1, 1, 1, 1}),
                       "positions_of: the signal of row 1 is inf", DataError);
  CHECK_THROWS_AS(run(market, {1, 1, 1}), ShapeError);
  for (const double price : {0.0, -1.0, none, HUGE_VAL}) {
    Market bad = market;
    bad.closes[2] = price;
    CHECK_THROWS_AS(run(bad, signals), DataError);
    bad = market;
    bad.opens[2] = price;
    CHECK_NOTHROW(run(bad, signals));
    CHECK_THROWS_AS(run(bad, signals, {.strategy = {.fill = Fill::open}}), DataError);
  }
  Market bad = market;
  bad.opens.clear();
  CHECK_NOTHROW(run(bad, signals));
  CHECK_THROWS_AS(run(bad, signals, {.strategy = {.fill = Fill::open}}), ShapeError);
  bad = market;
  bad.times[3] = bad.times[2];
  CHECK_THROWS_AS(run(bad, signals), DataError);
  for (const double wrong : {-1.0, none, HUGE_VAL}) {
    CHECK_THROWS_AS(run(market, signals, {.periods_per_year = wrong}), OptionError);
    CHECK_THROWS_AS(run(market, signals, {.strategy = {.threshold = wrong}}), OptionError);
    CHECK_THROWS_AS(run(market, signals, {.strategy = {.cost_bps = wrong}}), OptionError);
    CHECK_THROWS_AS(run(market, signals, {.trials = wrong}), OptionError);
    CHECK_THROWS_AS(run(market, signals, {.trials_variance = wrong}), OptionError);
  }
  CHECK_THROWS_AS(run(market, signals, {.strategy = {.cost_bps = 10001}}), OptionError);
  CHECK_THROWS_AS(run(market, signals, {.permutations = -1}), OptionError);
  CHECK_THROWS_AS(run(market, signals, {.permutation_block = -1}), OptionError);
  const std::vector<double> positions(6);
  CHECK_THROWS_AS(strategy_returns(market.prices(), positions, 3, 2), ShapeError);
  CHECK_THROWS_AS(strategy_returns(market.prices(), positions, -1, 2), ShapeError);
  CHECK_THROWS_AS(strategy_returns(market.prices(), positions, 0, 6), ShapeError);
  CHECK_THROWS_AS(strategy_returns(market.prices(), positions, 5, 5), DataError);
  CHECK_THROWS_AS(rows_per_year(std::vector<std::int64_t>{5}), DataError);
}
