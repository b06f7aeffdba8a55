// Candles made by a formula: valid, the same for a seed, and with the properties that they claim.
#include "tsdl/data/synthetic.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "data/helpers.hpp"

namespace {

using tsdl::Candle;
using tsdl::Candles;
using tsdl::Index;
using tsdl::SyntheticOptions;

bool same_candle(const Candle& a, const Candle& b) {
  return a.time == b.time && test::same_bits(a.open, b.open) && test::same_bits(a.high, b.high) &&
         test::same_bits(a.low, b.low) && test::same_bits(a.close, b.close) &&
         test::same_bits(a.volume, b.volume);
}

std::vector<double> returns_of(const Candles& candles) {
  std::vector<double> returns;
  for (Index row = 1; row < candles.size(); ++row)
    returns.push_back(std::log(candles[row].close / candles[row - 1].close));
  return returns;
}

double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean_a = mean(a), mean_b = mean(b);
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

/// The correlation of a series with itself `lag` later.
double autocorrelation(const std::vector<double>& x, std::ptrdiff_t lag) {
  return correlation({x.begin(), x.end() - lag}, {x.begin() + lag, x.end()});
}

/// 3 for a normal distribution.
double kurtosis(const std::vector<double>& x) {
  const double m = mean(x);
  double squares = 0, fourths = 0;
  for (const double v : x) {
    const double d = (v - m) * (v - m);
    squares += d;
    fourths += d * d;
  }
  return fourths * static_cast<double>(x.size()) / (squares * squares);
}

std::vector<double> sizes_of(std::vector<double> x) {
  for (double& v : x) v = std::abs(v);
  return x;
}

std::vector<double> log_ranges(const Candles& candles) {
  std::vector<double> ranges;
  for (const Candle& candle : candles.rows) ranges.push_back(std::log(candle.high / candle.low));
  return ranges;
}

}  // namespace

TEST_CASE("synthetic candles are valid, with volume and wicks") {
  const Candles candles = tsdl::synthetic_candles(20000, {}, 7);
  CHECK(candles.size() == 20000);
  CHECK(candles.has_volume);
  CHECK_NOTHROW(tsdl::validate(candles));
  Index wicks = 0;
  for (const Candle& candle : candles.rows) {
    REQUIRE(candle.low <= std::min(candle.open, candle.close));
    REQUIRE(candle.high >= std::max(candle.open, candle.close));
    REQUIRE(candle.volume > 0);
    REQUIRE(candle.volume == std::round(candle.volume));
    wicks += candle.high > std::max(candle.open, candle.close) &&
             candle.low < std::min(candle.open, candle.close);
  }
  CHECK(wicks > 19900);
  CHECK(candles[0].open == doctest::Approx(100).epsilon(1e-14));
  CHECK(tsdl::synthetic_candles(0).size() == 0);
}

TEST_CASE("synthetic candles: one seed gives one series, and a longer one goes on from it") {
  const Candles longer = tsdl::synthetic_candles(900, {}, 42);
  const Candles shorter = tsdl::synthetic_candles(257, {}, 42);
  for (Index row = 0; row < shorter.size(); ++row) REQUIRE(same_candle(shorter[row], longer[row]));
  const Candles other = tsdl::synthetic_candles(257, {}, 43);
  Index equal = 0;
  for (Index row = 0; row < other.size(); ++row) equal += other[row].close == shorter[row].close;
  CHECK(equal == 0);
}

TEST_CASE("synthetic candles: returns are heavy-tailed") {
  // Of one state alone, so that the tails are those of Student's t and not of the mixture.
  const SyntheticOptions one{.volatilities = {0.01}};
  CHECK(kurtosis(returns_of(tsdl::synthetic_candles(20000, one, 1))) > 4);
  CHECK(kurtosis(returns_of(tsdl::synthetic_candles(20000, {}, 1))) > 6);
  const SyntheticOptions nearly_normal{.volatilities = {0.01}, .degrees_of_freedom = 1e6};
  CHECK(kurtosis(returns_of(tsdl::synthetic_candles(20000, nearly_normal, 1))) ==
        doctest::Approx(3).epsilon(0.05));
}

TEST_CASE("synthetic candles: the volatility is that of the state") {
  for (const double volatility : {0.002, 0.01, 0.05}) {
    // Many degrees of freedom: the sample's standard deviation converges fast.
    const SyntheticOptions options{.volatilities = {volatility}, .degrees_of_freedom = 30};
    const auto returns = returns_of(tsdl::synthetic_candles(20000, options, 3));
    double squares = 0;
    for (const double r : returns) squares += r * r;
    // 0.3^2 + 0.95^2 = 0.9925
    CHECK(std::sqrt(squares / static_cast<double>(returns.size())) ==
          doctest::Approx(std::sqrt(0.9925) * volatility).epsilon(0.03));
  }
}

TEST_CASE("synthetic candles: volatility clusters, direction does not") {
  const auto returns = returns_of(tsdl::synthetic_candles(20000, {}, 5));
  for (const std::ptrdiff_t lag : {1, 5, 20}) {
    CAPTURE(lag);
    CHECK(autocorrelation(sizes_of(returns), lag) > 0.08);
    CHECK(std::abs(autocorrelation(returns, lag)) < 0.05);
  }
  // With a state drawn anew for each candle nothing clusters.
  const SyntheticOptions restless{.persistence = 1.0 / 3};
  const auto mixed = returns_of(tsdl::synthetic_candles(20000, restless, 5));
  CHECK(std::abs(autocorrelation(sizes_of(mixed), 1)) < 0.05);
}

TEST_CASE("synthetic candles: volume follows the range") {
  const Candles candles = tsdl::synthetic_candles(20000, {}, 6);
  std::vector<double> volumes;
  for (const Candle& candle : candles.rows) volumes.push_back(candle.volume);
  CHECK(correlation(log_ranges(candles), volumes) > 0.7);
  CHECK(mean(volumes) == doctest::Approx(1e6).epsilon(0.25));
}

TEST_CASE("synthetic candles: business days, or an interval") {
  const Candles daily = tsdl::synthetic_candles(600);
  CHECK(tsdl::format_time(daily[0].time) == "2000-01-03");
  CHECK(tsdl::format_time(daily[4].time) == "2000-01-07");
  CHECK(tsdl::format_time(daily[5].time) == "2000-01-10");
  CHECK(tsdl::format_time(daily[522].time) == "2002-01-02");  // 104 weeks and 2 days
  const Candles hourly = tsdl::synthetic_candles(50, {.start = 1000, .interval = 3600000});
  for (Index row = 0; row < hourly.size(); ++row)
    CHECK(hourly[row].time == 1000 + row * std::int64_t{3600000});
  // Times before 1970 have weekends too: Friday, 2 January 1970 is day 1, so day -5 a Saturday.
  const Candles early = tsdl::synthetic_candles(3, {.start = -6 * std::int64_t{86400000}});
  CHECK(tsdl::format_time(early[0].time) == "1969-12-26");
  CHECK(tsdl::format_time(early[1].time) == "1969-12-29");
}

TEST_CASE("synthetic candles: a million of them stay near where they began") {
  const Candles candles = tsdl::synthetic_candles(1000000, {.interval = 60000}, 11);
  double least = candles[0].low, most = candles[0].high;
  for (const Candle& candle : candles.rows) {
    least = std::min(least, candle.low);
    most = std::max(most, candle.high);
  }
  CHECK(least > 100 * std::exp(-8.0));
  CHECK(most < 100 * std::exp(8.0));
}

TEST_CASE("synthetic candles: options out of range are refused by name") {
  const auto refuse = [](Index count, const SyntheticOptions& options, const char* what) {
    const std::string message =
        test::message_of<tsdl::DataError>([&] { tsdl::synthetic_candles(count, options); });
    INFO(message);
    CHECK(test::contains(message, what));
  };
  refuse(-1, {}, "count");
  refuse(1, {.volatilities = {}}, "state");
  for (const double v : {0.0, -0.01, 0.3, test::nan})
    refuse(1, {.volatilities = {0.01, v}}, "volat");
  for (const double v : {-0.1, 1.1, test::nan}) refuse(1, {.persistence = v}, "persistence");
  for (const double v : {2.0, 1.0, HUGE_VAL, test::nan})
    refuse(1, {.degrees_of_freedom = v}, "degrees_of_freedom");
  for (const double v : {0.0, -1.0, HUGE_VAL, test::nan}) refuse(1, {.price = v}, "price");
  for (const double v : {-1.0, HUGE_VAL, test::nan}) refuse(1, {.volume = v}, "volume");
  refuse(1, {.interval = -1}, "interval");
}
