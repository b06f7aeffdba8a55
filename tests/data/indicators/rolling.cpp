// Rolling windows, averages and delays: against windows computed afresh, over a million pushes.
#include "tsdl/data/indicators/rolling.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <string>
#include <vector>

#include "data/helpers.hpp"

using test::same_bits;
using tsdl::Index;

namespace {

/// Numbers of very different sizes and both signs, with stretches of equal ones.
std::vector<double> wild_numbers(Index n, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  std::vector<double> numbers;
  while (static_cast<Index>(numbers.size()) < n) {
    const double size = std::pow(10.0, 24 * random.uniform() - 12);
    const bool is_flat = random.uniform() < 0.3;
    const double flat = size * random.normal();
    const auto length = static_cast<Index>(1 + 90 * random.uniform());
    for (Index i = 0; i < length; ++i) numbers.push_back(is_flat ? flat : size * random.normal());
  }
  numbers.resize(test::at(n));
  return numbers;
}

struct Window {
  long double sum = 0, size = 0, squares = 0;
  double largest = 0, smallest = 0;
};

/// Of the `n` numbers that end at `row`, afresh.
Window window_at(const std::vector<double>& numbers, Index row, Index n) {
  Window window{.largest = -std::numeric_limits<double>::infinity(),
                .smallest = std::numeric_limits<double>::infinity()};
  for (Index i = row - n + 1; i <= row; ++i) {
    const double x = numbers[test::at(i)];
    window.sum += x;
    window.size += std::abs(x);
    window.largest = std::max(window.largest, x);
    window.smallest = std::min(window.smallest, x);
  }
  const long double mean = window.sum / static_cast<long double>(n);
  for (Index i = row - n + 1; i <= row; ++i)
    window.squares += (numbers[test::at(i)] - mean) * (numbers[test::at(i)] - mean);
  return window;
}

}  // namespace

TEST_CASE("rolling windows equal windows computed afresh, every length") {
  const std::vector<double> numbers = wild_numbers(400, 1);
  for (Index n = 1; n <= 40; ++n) {
    CAPTURE(n);
    tsdl::RollingSum sum(n);
    tsdl::RollingMean mean(n);
    tsdl::RollingMax largest(n);
    tsdl::RollingMin smallest(n);
    tsdl::RollingDeviation deviation(n);
    const double bound = static_cast<double>(n) * 0x1p-53;
    for (Index row = 0; row < 400; ++row) {
      const double x = numbers[test::at(row)];
      sum.push(x), mean.push(x), largest.push(x), smallest.push(x), deviation.push(x);
      REQUIRE(sum.is_warm() == (row >= n - 1));
      if (row < n - 1) {
        CHECK(std::isnan(sum.value()));
        CHECK(std::isnan(mean.value()));
        CHECK(std::isnan(largest.value()));
        CHECK(std::isnan(smallest.value()));
        CHECK(std::isnan(deviation.deviation()));
        continue;
      }
      const Window window = window_at(numbers, row, n);
      const double size = static_cast<double>(window.size);
      CHECK(std::abs(static_cast<double>(sum.value() - window.sum)) <= bound * size);
      CHECK(std::abs(static_cast<double>(mean.value() - window.sum / n)) <= 3 * bound * size);
      CHECK(largest.value() == window.largest);
      CHECK(smallest.value() == window.smallest);
      const double expected = static_cast<double>(std::sqrt(window.squares / n));
      CHECK(std::abs(deviation.deviation() - expected) <= 1e-13 * expected);
      if (window.largest == window.smallest) {
        CHECK(deviation.deviation() == 0);
        CHECK(deviation.mean() == x);
        CHECK(mean.value() == x);
      }
    }
  }
}

TEST_CASE("means of windows longer than the table of shares equal means computed afresh") {
  constexpr Index rows = 1200;
  const std::vector<double> numbers = wild_numbers(rows, 4);
  for (const Index n : {254, 255, 256, 257, 400}) {
    CAPTURE(n);
    tsdl::RollingMean mean(n);
    tsdl::RollingDeviation deviation(n);
    const double bound = static_cast<double>(n) * 0x1p-53;
    for (Index row = 0; row < rows; ++row) {
      mean.push(numbers[test::at(row)]), deviation.push(numbers[test::at(row)]);
      if (row < n - 1) continue;
      const Window window = window_at(numbers, row, n);
      CHECK(std::abs(static_cast<double>(mean.value() - window.sum / n)) <=
            3 * bound * static_cast<double>(window.size));
      const double expected = static_cast<double>(std::sqrt(window.squares / n));
      CHECK(std::abs(deviation.deviation() - expected) <= 1e-13 * expected);
    }
  }
}

TEST_CASE("a million pushes do not drift") {
  constexpr Index rows = 1'000'000;
  const std::vector<double> numbers = wild_numbers(rows, 2);
  for (const Index n : {14, 26, 52}) {
    CAPTURE(n);
    tsdl::RollingSum sum(n);
    tsdl::RollingDeviation deviation(n);
    double worst_sum = 0;
    double worst_deviation = 0;
    for (Index row = 0; row < rows; ++row) {
      sum.push(numbers[test::at(row)]);
      deviation.push(numbers[test::at(row)]);
      if (row < rows - 2000) continue;
      const Window window = window_at(numbers, row, n);
      worst_sum = std::max(worst_sum,
                           static_cast<double>(std::abs(sum.value() - window.sum) / window.size));
      const double expected = static_cast<double>(std::sqrt(window.squares / n));
      if (expected > 0)
        worst_deviation =
            std::max(worst_deviation, std::abs(deviation.deviation() - expected) / expected);
      else
        CHECK(deviation.deviation() == 0);
    }
    CHECK(worst_sum <= static_cast<double>(n) * 0x1p-53);
    CHECK(worst_deviation <= 1e-13);
  }
}

TEST_CASE("an exponential average is the sum of its weights, and rests on equal values") {
  const std::vector<double> numbers = wild_numbers(60, 3);
  tsdl::ExponentialAverage average(9);
  for (Index row = 0; row < 60; ++row) {
    const double value = average.push(numbers[test::at(row)]);
    CHECK(std::isnan(value) == (row < 8));
    if (row < 8) continue;
    long double expected = 0, size = 0;  // weights 0.2 * 0.8^age, and 0.8^row for the first
    for (Index i = 0; i <= row; ++i) {
      const long double weight = (i == 0 ? 1.0L : 0.2L) * std::pow(0.8L, row - i);
      expected += weight * numbers[test::at(i)];
      size += weight * std::abs(numbers[test::at(i)]);
    }
    CHECK(std::abs(static_cast<double>(value - expected)) <= 1e-14 * static_cast<double>(size));
  }
  tsdl::ExponentialAverage flat(0.1, 1);
  for (int i = 0; i < 1000; ++i) REQUIRE(flat.push(0.1) == 0.1);
}

TEST_CASE("Wilder's average starts at the mean of its first values") {
  tsdl::WilderAverage average(4);
  CHECK(std::isnan(average.push(1)));
  CHECK(std::isnan(average.push(2)));
  CHECK(std::isnan(average.push(3)));
  CHECK(average.push(6) == 3);
  CHECK(average.push(7) == 4);
  CHECK(average.push(0) == 3);
}

TEST_CASE("a delay gives back what was pushed that many pushes before") {
  for (const Index steps : {1, 2, 7}) {
    tsdl::Delay delay(steps);
    for (Index i = 0; i < 30; ++i) {
      const double value = delay.push(static_cast<double>(i));
      if (i < steps)
        CHECK(std::isnan(value));
      else
        CHECK(value == static_cast<double>(i - steps));
    }
  }
}

TEST_CASE("windows that cannot be are refused") {
  using test::contains;
  using test::message_of;
  const std::string message = message_of<tsdl::ShapeError>([] { tsdl::RollingSum too_short(0); });
  CHECK(contains(message, "window of 1"));
  CHECK(contains(message, "found 0"));
  CHECK_THROWS_AS(tsdl::RollingMax(-1), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::RollingMean(Index{1} << 62), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::Delay(0), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::ExponentialAverage(0), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::ExponentialAverage(1.5, 3), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::ExponentialAverage(test::nan, 3), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::WilderAverage(0), tsdl::ShapeError);
  CHECK_NOTHROW(tsdl::RollingSum(1));
}
