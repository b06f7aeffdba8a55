// The block bootstrap of a mean against resamples written out value by value, exact variances, and
// its coverage where values depend on each other.
#include "tsdl/select/bootstrap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Index;
using tsdl::MeanInterval;

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

TEST_CASE("bootstrap: the percentiles are numpy's of these means") {
  const std::vector<double> values = autoregression(60, 0.5, 4);
  std::vector<double> means = naive_means(values, 6, 41, 9);
  std::sort(means.begin(), means.end());
  // Of 41 order statistics, counted from 0, 5% is number 2 and 95% number 38.
  const MeanInterval exact = tsdl::block_bootstrap_mean(values, {6, 41, 0.9, 9});
  CHECK(test::close_to(exact.low, means[2], 1e-13));
  CHECK(test::close_to(exact.high, means[38], 1e-13));
  CHECK(test::close_to(exact.mean, mean_of(values), 1e-14));
  // 4% is between numbers 1 and 2, three fifths of the way.
  const MeanInterval between = tsdl::block_bootstrap_mean(values, {6, 41, 0.92, 9});
  CHECK(test::close_to(between.low, 0.4 * means[1] + 0.6 * means[2], 1e-13));
  CHECK(test::close_to(between.high, 0.6 * means[38] + 0.4 * means[39], 1e-13));
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
  CHECK(same(interval, tsdl::block_bootstrap_mean(values, {5, 2000, 0.95, 0})));
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
