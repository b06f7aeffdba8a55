// The block bootstrap of a mean and of any figure against resamples written out value by value,
// exact variances, and its coverage where values depend on each other.
#include "tsdl/select/bootstrap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::FigureInterval;
using tsdl::Index;
using tsdl::MeanInterval;
using Rows = std::span<const Index>;

std::vector<double> normals(Index n, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  std::vector<double> values;
  for (Index i = 0; i < n; ++i) values.push_back(random.normal());
  return values;
}

/// x_t = rho x_(t - 1) + noise, of mean 0, from its stationary distribution on.
std::vector<double> autoregression(Index n, double rho, std::uint64_t seed) {
  std::vector<double> values = normals(n, seed);
  values[0] /= std::sqrt(1 - rho * rho);
  for (std::size_t t = 1; t < values.size(); ++t) values[t] += rho * values[t - 1];
  return values;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Means of resamples, each written out.
std::vector<double> naive_means(const std::vector<double>& values, Index length, Index resamples,
                                std::uint64_t seed) {
  tsdl::RandomStream random(seed, tsdl::internal::bootstrap_stream);
  std::vector<double> means;
  for (Index r = 0; r < resamples; ++r) {
    std::vector<double> resample;
    while (resample.size() < values.size()) {
      const std::uint64_t first = random.below(values.size());
      for (std::uint64_t i = first; i < first + static_cast<std::uint64_t>(length); ++i)
        resample.push_back(values[i % values.size()]);
    }
    resample.resize(values.size());
    means.push_back(mean_of(resample));
  }
  return means;
}

double variance_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / static_cast<double>(values.size());
}

bool same(const MeanInterval& a, const MeanInterval& b) {
  return a.low == b.low && a.high == b.high && a.mean == b.mean;
}

/// The mean of the values of some rows.
auto mean_at(const std::vector<double>& values) {
  return [&values](Rows rows) {
    double sum = 0;
    for (const Index row : rows) sum += values[static_cast<std::size_t>(row)];
    return sum / static_cast<double>(rows.size());
  };
}

bool covers(const FigureInterval& interval, double truth) {
  return interval.low <= truth && truth <= interval.high;
}

/// Politis and White's length from every autocovariance, as in the authors' program.
double naive_block_length(const std::vector<double>& x) {
  const double n = static_cast<double>(x.size()), mean = mean_of(x);
  const auto covariance = [&](int lag) {
    double sum = 0;
    for (int i = std::abs(lag); i < static_cast<int>(x.size()); ++i)
      sum += (x[static_cast<std::size_t>(i)] - mean) *
             (x[static_cast<std::size_t>(i - std::abs(lag))] - mean);
    return sum / n;
  };
  const int run = std::max(5, static_cast<int>(std::log10(n)));
  const int most = static_cast<int>(std::ceil(std::sqrt(n))) + run;
  int last = most;  // the last lag that counts: before `run` that do not
  for (int m = most - run; m >= 0; --m) {
    bool quiet = true;
    for (int k = 1; k <= run; ++k)
      quiet &= std::abs(covariance(m + k) / covariance(0)) < 2 * std::sqrt(std::log10(n) / n);
    if (quiet) last = m;
  }
  const int width = std::min(2 * std::max(last, 1), most);
  double g = 0, variance = 0;
  for (int k = -width; k <= width; ++k) {
    const double t = std::abs(static_cast<double>(k) / width);
    const double weight = t <= 0.5 ? 1 : 2 * (1 - t);
    g += weight * std::abs(k) * covariance(k);
    variance += weight * covariance(k);
  }
  return std::cbrt(2 * g * g / (4.0 / 3 * variance * variance)) * std::cbrt(n);
}

}  // namespace

TEST_CASE("bootstrap: resamples are those that are written out value by value") {
  const Index sizes[][2] = {{1, 1}, {5, 1}, {12, 4}, {13, 4}, {13, 13}, {50, 7}, {31, 30}};
  for (const auto& size : sizes) {
    const Index n = size[0], length = size[1];
    CAPTURE(n);
    CAPTURE(length);
    std::vector<double> values = normals(n, 3);
    for (double& value : values) value += 1000;
    const double mean = mean_of(values);
    const std::vector<double> expected = naive_means(values, length, 40, 17);
    const std::vector<double> found =
        tsdl::internal::resampled_deviations(values, mean, length, 40, 17);
    REQUIRE(found.size() == 40);
    for (std::size_t i = 0; i < 40; ++i) CHECK(std::abs(mean + found[i] - expected[i]) < 1e-11);
  }
}

TEST_CASE("bootstrap: a mean has the interval of any figure, between order statistics as numpy's") {
  const std::vector<double> values = autoregression(60, 0.5, 4);
  std::vector<double> means = naive_means(values, 6, 41, 9);
  std::sort(means.begin(), means.end());
  for (const double level : {0.5, 0.9, 0.92}) {
    CAPTURE(level);
    const tsdl::BlockBootstrapOptions options{6, 41, level, 9};
    const MeanInterval interval = tsdl::block_bootstrap_mean(values, options);
    const auto any = tsdl::block_bootstrap(
        60,
        [&](std::span<const Index> rows) {
          double sum = 0;
          for (const Index row : rows) sum += values[static_cast<std::size_t>(row)];
          return sum / 60;
        },
        options);
    CHECK(test::close_to(interval.low, any.low, 1e-13));
    CHECK(test::close_to(interval.high, any.high, 1e-13));
    CHECK(test::close_to(interval.mean, mean_of(values), 1e-14));
    const double at = 40 * tsdl::internal::expanded_tail(level, 60, 6);
    const auto below = static_cast<std::size_t>(at);
    const double share = at - std::floor(at);
    CHECK(
        test::close_to(interval.low, (1 - share) * means[below] + share * means[below + 1], 1e-13));
    CHECK(test::close_to(interval.high, (1 - share) * means[40 - below] + share * means[39 - below],
                         1e-13));
  }
  const MeanInterval one = tsdl::block_bootstrap_mean(values, {6, 1, 0.5, 9});
  CHECK(one.low == one.high);
}

TEST_CASE("bootstrap: the variance of resampled means is the exact one") {
  // Of m = n / b blocks, drawn from n: the variance of a block's mean over its n starts, over m.
  const std::vector<double> values = autoregression(30, 0.7, 5);
  for (const std::size_t block : {1u, 3u, 10u}) {
    CAPTURE(block);
    std::vector<double> block_means(30);
    for (std::size_t i = 0; i < 30; ++i)
      for (std::size_t j = 0; j < block; ++j)
        block_means[i] += values[(i + j) % 30] / static_cast<double>(block);
    const double exact = variance_of(block_means) * static_cast<double>(block) / 30;
    const Index resamples = 40000;
    const std::vector<double> means = tsdl::internal::resampled_deviations(
        values, mean_of(values), static_cast<Index>(block), resamples, 1);
    // Standard errors over resamples: sqrt(2 / R) of the variance, as of a normal one; sqrt(v / R).
    CHECK(std::abs(variance_of(means) / exact - 1) < 4 * std::sqrt(2.0 / 40000));
    CHECK(std::abs(mean_of(means)) < 4 * std::sqrt(exact / 40000));
  }
}

TEST_CASE("bootstrap: blocks cover the mean of dependent values where single values do not") {
  // A mean of 200 values of this process has 2 times the deviation of independent ones, so that a
  // nominal 95% of theirs is 67%: P(|Z| < 1.96 / 2).
  int by_blocks = 0, by_values = 0, independent = 0;
  const int runs = 400;
  for (int run = 0; run < runs; ++run) {
    const auto seed = static_cast<std::uint64_t>(run);
    const std::vector<double> values = autoregression(200, 0.6, seed);
    const MeanInterval blocks = tsdl::block_bootstrap_mean(values, {15, 500, 0.95, seed});
    const MeanInterval singles = tsdl::block_bootstrap_mean(values, {1, 500, 0.95, seed});
    const MeanInterval plain = tsdl::block_bootstrap_mean(normals(200, seed), {0, 500, 0.95, seed});
    by_blocks += blocks.low <= 0 && 0 <= blocks.high;
    by_values += singles.low <= 0 && 0 <= singles.high;
    independent += plain.low <= 0 && 0 <= plain.high;
  }
  CHECK(by_blocks > 0.85 * runs);
  CHECK(by_values < 0.74 * runs);
  CHECK(by_values > 0.60 * runs);
  CHECK(independent > 0.89 * runs);
  CHECK(independent < 0.98 * runs);
}

TEST_CASE("bootstrap: a function of values, options and seed") {
  const std::vector<double> values = autoregression(100, 0.3, 2);
  const MeanInterval interval = tsdl::block_bootstrap_mean(values);
  CHECK(same(interval, tsdl::block_bootstrap_mean(values)));
  CHECK(same(interval, tsdl::block_bootstrap_mean(values, {10, 2000, 0.95, 0})));
  CHECK_FALSE(same(interval, tsdl::block_bootstrap_mean(values, {.seed = 1})));
  CHECK_FALSE(same(interval, tsdl::block_bootstrap_mean(values, {.block_length = 6})));
  CHECK(interval.low < interval.mean);
  CHECK(interval.mean < interval.high);
  const MeanInterval half = tsdl::block_bootstrap_mean(values, {.level = 0.5});
  CHECK(half.low > interval.low);
  CHECK(half.high < interval.high);
}

TEST_CASE("bootstrap: equal values leave no doubt") {
  for (const double value : {0.0, 0.1, -1e300, 3e-308}) {
    CAPTURE(value);
    const std::vector<double> values(77, value);
    const MeanInterval interval = tsdl::block_bootstrap_mean(values);
    CHECK(interval.low == value);
    CHECK(interval.high == value);
    CHECK(interval.mean == value);
  }
  const MeanInterval one = tsdl::block_bootstrap_mean(std::vector<double>{2.5});
  CHECK(same(one, {2.5, 2.5, 2.5}));
}

TEST_CASE("bootstrap: an offset moves the interval alone") {
  std::vector<double> values = normals(500, 6);
  for (double& value : values) value = std::round(value * 1024) / 1024;
  const MeanInterval near = tsdl::block_bootstrap_mean(values);
  for (double& value : values) value += 1e9;
  const MeanInterval far = tsdl::block_bootstrap_mean(values);
  CHECK(std::abs(far.low - 1e9 - near.low) < 3e-7);  // 2 units of 1e9's last place
  CHECK(std::abs(far.high - 1e9 - near.high) < 3e-7);
}

TEST_CASE("bootstrap: the block length grows as the cube root of n") {
  const Index expected[][2] = {{1, 1},  {2, 1},  {3, 1},     {4, 2},     {8, 2},        {9, 3},
                               {27, 3}, {28, 4}, {1000, 10}, {1001, 11}, {1000000, 100}};
  for (const auto& row : expected) {
    CAPTURE(row[0]);
    CHECK(tsdl::default_block_length(row[0]) == row[1]);
  }
}

TEST_CASE("bootstrap: what cannot be resampled is refused") {
  const std::vector<double> values = {1, 2, 3};
  CHECK_THROWS_AS(tsdl::block_bootstrap_mean({}), tsdl::DataError);
  for (const Index length : {-1, 4}) {
    CAPTURE(length);
    CHECK_THROWS_AS(tsdl::block_bootstrap_mean(values, {.block_length = length}),
                    tsdl::OptionError);
  }
  CHECK_NOTHROW(tsdl::block_bootstrap_mean(values, {.block_length = 3}));
  CHECK_THROWS_AS(tsdl::block_bootstrap_mean(values, {.resamples = 0}), tsdl::OptionError);
  for (const double level : {0.0, 1.0, -0.5, 1.5, std::nan("")}) {
    CAPTURE(level);
    CHECK_THROWS_AS(tsdl::block_bootstrap_mean(values, {.level = level}), tsdl::OptionError);
  }
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    CAPTURE(value);
    CHECK_THROWS_AS(tsdl::block_bootstrap_mean(std::vector<double>{1, value, 3}), tsdl::DataError);
  }
  CHECK_THROWS_WITH(tsdl::block_bootstrap_mean(std::vector<double>{1, 2, std::nan("")}),
                    "block_bootstrap_mean: value 2 is nan");
  CHECK_THROWS_WITH(tsdl::block_bootstrap_mean(std::vector<double>{1, HUGE_VAL, 3}),
                    "block_bootstrap_mean: value 1 is inf");
  CHECK_THROWS_AS(tsdl::block_bootstrap_mean(std::vector<double>{1e308, -1e308, 1e308, -1e308}),
                  tsdl::DataError);
}

TEST_CASE("bootstrap: a figure's resamples are those of the mean") {
  const std::vector<double> values = autoregression(53, 0.4, 8);
  const std::vector<double> expected = naive_means(values, 7, 60, 3);
  std::vector<double> found;
  const FigureInterval interval =
      tsdl::block_bootstrap(53,
                            [&](Rows rows) {
                              REQUIRE(rows.size() == 53);
                              return found.emplace_back(mean_at(values)(rows));
                            },
                            {7, 60, 0.8, 3});
  REQUIRE(found.size() == 61);
  CHECK(test::close_to(found[0], mean_of(values), 1e-14));
  CHECK(interval.value == found[0]);
  for (std::size_t i = 0; i < 60; ++i) CHECK(test::close_to(found[i + 1], expected[i], 1e-13));
}

TEST_CASE("bootstrap: a figure's percentiles are further out than a mean's") {
  // d = 1.5 x 10 - 1 = 14 degrees of freedom: t(.975) = 2.144787 (R's qt), times sqrt(10 / 9).
  const double tail = tsdl::internal::expanded_tail(0.95, 100, 10);
  CHECK(std::abs(tsdl::normal_quantile(tail) + 2.144787 * std::sqrt(10.0 / 9)) < 2e-5);
  CHECK(std::abs(tsdl::internal::expanded_tail(0.95, 100000000, 10) - 0.025) < 1e-6);
  CHECK(std::abs(tsdl::internal::expanded_tail(0.95, 10, 10) - 0.025) < 1e-15);
  for (const double level : {1e-9, 0.5, 0.999999})
    for (const Index length : {1, 2, 25, 49, 50}) {
      const double found = tsdl::internal::expanded_tail(level, 50, length);
      CHECK(found >= 0);
      CHECK(found <= (1 - level) / 2);
    }
  const std::vector<double> values = autoregression(100, 0.3, 12);
  std::vector<double> means = naive_means(values, 10, 4001, 5);
  std::sort(means.begin(), means.end());
  const FigureInterval interval = tsdl::block_bootstrap(100, mean_at(values), {10, 4001, 0.95, 5});
  const double at = tail * 4000;
  const auto below = static_cast<std::size_t>(at);
  CHECK(interval.low >= means[below] - 1e-12);
  CHECK(interval.low <= means[below + 1] + 1e-12);
  CHECK(interval.high >= means[4000 - below - 1] - 1e-12);
  CHECK(interval.high <= means[4000 - below] + 1e-12);
  const FigureInterval chosen = tsdl::block_bootstrap(100, mean_at(values), {0, 4001, 0.95, 5});
  CHECK(chosen.low == interval.low);  // 10 is twice the cube root
}

TEST_CASE("bootstrap: 95% intervals of a mean cover it 92% to 98% of the time") {
  const struct {
    double rho;
    Index n;
  } processes[] = {{0.3, 250}, {0.5, 500}};
  for (const auto& [rho, n] : processes) {
    CAPTURE(rho);
    const int runs = 2000;
    int covered = 0;
    for (int run = 0; run < runs; ++run) {
      const auto seed = static_cast<std::uint64_t>(run);
      const std::vector<double> values = autoregression(n, rho, seed);
      covered +=
          covers(tsdl::block_bootstrap(n, mean_at(values), {.resamples = 199, .seed = seed}), 0);
    }
    CAPTURE(covered);
    CHECK(covered >= 0.92 * runs);
    CHECK(covered <= 0.98 * runs);
  }
}

TEST_CASE("bootstrap: 95% intervals of a difference of two models cover it as well") {
  // Two models' errors e and f with a common part: E|f| - E|e| = sqrt(2 / pi) (sd f - sd e).
  const double rho = 0.5, deviation = 1 / std::sqrt(1 - rho * rho);
  const double truth = std::sqrt(2 / std::acos(-1.0)) * deviation * (std::sqrt(1.25) - 1);
  const int runs = 2000;
  const Index n = 250;
  int covered = 0;
  for (int run = 0; run < runs; ++run) {
    const auto seed = static_cast<std::uint64_t>(run);
    const std::vector<double> e = autoregression(n, rho, seed);
    const std::vector<double> own = autoregression(n, rho, seed + 1000000);
    std::vector<double> ours(e.size()), theirs(e.size());
    for (std::size_t i = 0; i < e.size(); ++i) {
      ours[i] = std::abs(e[i]);
      theirs[i] = std::abs(e[i] + 0.5 * own[i]);
    }
    covered += covers(tsdl::block_bootstrap_difference(n, mean_at(theirs), mean_at(ours),
                                                       {.resamples = 199, .seed = seed}),
                      truth);
  }
  CAPTURE(covered);
  CHECK(covered >= 0.92 * runs);
  CHECK(covered <= 0.98 * runs);
}

TEST_CASE("bootstrap: what is hard for both models cancels out") {
  std::vector<double> ours = autoregression(200, 0.5, 1), theirs;
  for (const double loss : ours) theirs.push_back(loss + 0.25);
  const FigureInterval interval =
      tsdl::block_bootstrap_difference(200, mean_at(theirs), mean_at(ours));
  CHECK(test::close_to(interval.value, 0.25, 1e-13));
  CHECK(test::close_to(interval.low, 0.25, 1e-13));
  CHECK(test::close_to(interval.high, 0.25, 1e-13));
  CHECK(tsdl::block_bootstrap(200, mean_at(ours)).low < interval.low - 0.1);
}

TEST_CASE("bootstrap: the automatic block length is that of every autocovariance") {
  const std::size_t sizes[] = {30, 100, 500, 1200};
  for (const double rho : {-0.5, 0.0, 0.4, 0.8})
    for (const std::size_t n : sizes) {
      CAPTURE(rho);
      CAPTURE(n);
      const std::vector<double> values = autoregression(static_cast<Index>(n), rho, n);
      const double most =
          std::min(3 * std::sqrt(static_cast<double>(n)), static_cast<double>(n) / 3);
      const double expected = std::ceil(std::min(naive_block_length(values), most));
      CHECK(tsdl::automatic_block_length(values) == static_cast<Index>(std::max(expected, 1.0)));
    }
  // Of AR(1) in the limit: (2 x (2 rho / (1 - rho^2))^2 x 3 / 4 n)^(1/3), 37.6 for rho = .5.
  const Index length = tsdl::automatic_block_length(autoregression(20000, 0.5, 4));
  CHECK(length > 30);
  CHECK(length < 48);
  CHECK(tsdl::automatic_block_length(std::vector<double>(50, 0.1)) == 1);
  CHECK(tsdl::automatic_block_length(std::vector<double>{1}) == 1);
  CHECK(tsdl::automatic_block_length(std::vector<double>{1, 2}) == 1);
  CHECK_THROWS_AS(tsdl::automatic_block_length({}), tsdl::DataError);
  CHECK_THROWS_WITH_AS(tsdl::automatic_block_length(std::vector<double>{1, test::nan}),
                       "automatic_block_length: value 1 is nan", tsdl::DataError);
}

TEST_CASE("bootstrap: figures that cannot be resampled are refused") {
  const auto one = [](Rows) { return 1.0; };
  CHECK_THROWS_WITH_AS(tsdl::block_bootstrap(0, one), "block_bootstrap: no rows", tsdl::DataError);
  CHECK_THROWS_AS(tsdl::block_bootstrap(-1, one), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::block_bootstrap(3, one, {.block_length = 4}), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::block_bootstrap(3, one, {.block_length = -1}), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::block_bootstrap(3, one, {.resamples = 0}), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::block_bootstrap(3, one, {.level = 1}), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::block_bootstrap(3, [](Rows) { return test::nan; }), tsdl::DataError);
  // A figure that some resamples do not have: rows 0 and 1 alone.
  const auto rarely = [](Rows rows) {
    return std::find(rows.begin(), rows.end(), 2) == rows.end() ? HUGE_VAL : 1.0;
  };
  CHECK_THROWS_AS(tsdl::block_bootstrap(3, rarely, {.block_length = 1}), tsdl::DataError);
  const auto theirs = [](Rows) -> double { throw tsdl::ShapeError("theirs"); };
  CHECK_THROWS_AS(tsdl::block_bootstrap_difference(3, one, theirs), tsdl::ShapeError);
  for (const Index n : {1, 2, 3}) CHECK(tsdl::block_bootstrap(n, one).high == 1);
}
