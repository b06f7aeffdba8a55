// Sharpe ratios and their significance against the figures of the papers, exact values of the
// normal distribution, and moments written out value by value.
#include "tsdl/select/sharpe.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Moments;
using tsdl::SharpeSummary;

/// Skewed returns with a mean that is large beside their deviation where `offset` is.
std::vector<double> returns(std::size_t n, std::uint64_t seed, double offset = 0.05) {
  tsdl::RandomStream random(seed);
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = random.normal();
    values.push_back(offset + x + 0.3 * x * x);
  }
  return values;
}

/// In long double, by the definitions.
SharpeSummary naive_summary(const std::vector<double>& values) {
  const auto n = static_cast<long double>(values.size());
  long double mean = 0, m2 = 0, m3 = 0, m4 = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) {
    const long double d = value - mean;
    m2 += d * d / n;
    m3 += d * d * d / n;
    m4 += d * d * d * d / n;
  }
  const long double deviation = std::sqrt(m2);
  return {static_cast<double>(n),
          static_cast<double>(mean),
          static_cast<double>(deviation),
          static_cast<double>(mean / deviation),
          static_cast<double>(m3 / (m2 * deviation)),
          static_cast<double>(m4 / (m2 * m2))};
}

void check_close(const SharpeSummary& found, const SharpeSummary& expected, double tolerance) {
  CHECK(found.n == expected.n);
  CHECK(test::close_to(found.mean, expected.mean, tolerance));
  CHECK(test::close_to(found.deviation, expected.deviation, tolerance));
  CHECK(test::close_to(found.sharpe, expected.sharpe, tolerance));
  CHECK(test::close_to(found.skew, expected.skew, tolerance));
  CHECK(test::close_to(found.kurtosis, expected.kurtosis, tolerance));
}

}  // namespace

TEST_CASE("sharpe: the normal distribution and its quantiles are exact ones") {
  // By mpmath, to 20 digits.
  const double cdf[][2] = {{-30, 4.9067139271481870595e-198}, {-8, 6.2209605742717841235e-16},
                           {-3, 0.0013498980316300945267},    {-1, 0.15865525393145705141},
                           {-0.1, 0.46017216272297101633},    {0, 0.5},
                           {0.5, 0.69146246127401310364},     {2, 0.9772498680518207928},
                           {6, 0.99999999901341235496}};
  for (const auto& row : cdf) {
    CAPTURE(row[0]);
    CHECK(std::abs(tsdl::normal_cdf(row[0]) / row[1] - 1) < (row[0] < -8 ? 2e-13 : 1e-14));
  }
  const double quantiles[][2] = {{1e-300, -37.047096299361199237},
                                 {1e-20, -9.2623400897984075796},
                                 {1e-05, -4.2648907939228246102},
                                 {0.001, -3.0902323061678135354},
                                 {0.02425, -1.9729610513118848376},
                                 {0.1, -1.2815515655446004353},
                                 {0.25, -0.6744897501960817432},
                                 {0.4999, -0.00025066283008800749239},
                                 {0.5, 0},
                                 {0.75, 0.6744897501960817432},
                                 {0.95, 1.6448536269514722843},
                                 {0.975, 1.9599639845400538556},
                                 {0.999, 3.0902323061678132778},
                                 {0.9999999, 5.1993375822906610937}};
  for (const auto& row : quantiles) {
    CAPTURE(row[0]);
    CHECK(test::close_to(tsdl::normal_quantile(row[0]), row[1], 1e-14));
  }
  for (double p = 0.001; p < 1; p += 0.001)
    CHECK(std::abs(tsdl::normal_cdf(tsdl::normal_quantile(p)) - p) < 1e-15);
  for (const double p : {0.0, 1.0, -0.1, 1.1, std::nan("")})
    CHECK_THROWS_AS(tsdl::normal_quantile(p), tsdl::OptionError);
}

TEST_CASE("sharpe: Student's quantiles are those of the tables") {
  // t(.975) from R's qt().
  const double tables[][2] = {{2, 4.302652729911},
                              {5, 2.570581835636},
                              {10, 2.228138851986},
                              {30, 2.042272456301},
                              {1000, 1.962339080882}};
  for (const auto& row : tables) {
    CAPTURE(row[0]);
    const double t = tsdl::internal::student_quantile(tsdl::normal_quantile(0.975), row[0]);
    CHECK(std::abs(t / row[1] - 1) < (row[0] < 5 ? 0.01 : row[0] < 10 ? 2e-4 : 1e-5));
  }
}

TEST_CASE("sharpe: a summary is that of long double") {
  for (const std::size_t n : {2u, 3u, 10u, 1001u}) {
    CAPTURE(n);
    const std::vector<double> values = returns(n, n);
    check_close(tsdl::sharpe_summary(values), naive_summary(values), 1e-12);
  }
  const std::vector<double> far = returns(1000, 4, 1e6);
  check_close(tsdl::sharpe_summary(far), naive_summary(far), 1e-8);
  // By hand: mean 1, deviations -1 -1 0 2; m2 6/4, m3 6/4, m4 18/4.
  const SharpeSummary hand = tsdl::sharpe_summary(std::vector<double>{0, 0, 1, 3});
  check_close(hand, {4, 1, std::sqrt(1.5), 1 / std::sqrt(1.5), 1.5 / std::pow(1.5, 1.5), 2}, 1e-15);
}

TEST_CASE("sharpe: moments of blocks add up to those of the series") {
  const std::vector<double> values = returns(700, 9);
  const std::span<const double> all(values);
  const std::size_t cuts[] = {0, 1, 3, 3, 90, 350, 699, 700};
  Moments sum;
  for (std::size_t i = 0; i + 1 < std::size(cuts); ++i)
    sum += tsdl::moments_of(all.subspan(cuts[i], cuts[i + 1] - cuts[i]));
  const Moments whole = tsdl::moments_of(all);
  CHECK(sum.n == whole.n);
  CHECK(test::close_to(sum.mean, whole.mean, 1e-13));
  CHECK(std::abs(sum.m2 / whole.m2 - 1) < 1e-13);
  CHECK(std::abs(sum.m3 / whole.m3 - 1) < 1e-12);
  CHECK(std::abs(sum.m4 / whole.m4 - 1) < 1e-13);
  check_close(tsdl::sharpe_summary(sum), naive_summary(values), 1e-12);
  const Moments none = Moments{} + Moments{};
  CHECK(none.n == 0);
  CHECK((Moments{} + whole).m4 == whole.m4);
  CHECK((whole + Moments{}).m3 == whole.m3);
}

TEST_CASE("sharpe: returns that do not vary have a ratio of 0") {
  for (const double value : {0.0, 0.1, -3e-5, 1e200}) {
    CAPTURE(value);
    const std::vector<double> values(333, value);
    const Moments part = tsdl::moments_of(std::span(values).first(100));
    for (const SharpeSummary& summary :
         {tsdl::sharpe_summary(values), tsdl::sharpe_summary(part + part + part)}) {
      CHECK(summary.mean == value);
      CHECK(summary.deviation == 0);
      CHECK(summary.sharpe == 0);
      CHECK(summary.skew == 0);
      CHECK(summary.kurtosis == 3);
    }
  }
  // 1/3 added to itself is not exact; neither is the mean of values that differ in the last place.
  std::vector<double> nearly(100, 1.0 / 3);
  nearly[50] = std::nextafter(nearly[50], 1.0);
  CHECK(tsdl::sharpe_summary(nearly).sharpe == 0);
  CHECK(tsdl::sharpe_summary(std::span<const double>()).n == 0);
  CHECK_THROWS_WITH_AS(tsdl::moments_of(std::vector<double>{1, test::nan}),
                       "moments_of: return 1 is nan", tsdl::DataError);
  CHECK_THROWS_AS(tsdl::moments_of(std::vector<double>{1e200, -1e200}), tsdl::DataError);
}

TEST_CASE("sharpe: the probability that a ratio is above a benchmark is the paper's") {
  const double psr =
      tsdl::probabilistic_sharpe_ratio(1.585 / std::sqrt(12.0), 0, 24, -2.448, 10.164);
  CHECK(std::abs(psr - 0.9132343) < 1e-7);
  CHECK(tsdl::probabilistic_sharpe_ratio(0.1, 0.1, 50, 1, 4) == 0.5);
  // Two values: kurtosis = 1 + skew^2, and the variance is 0 where SR = 2 / skew.
  CHECK(tsdl::probabilistic_sharpe_ratio(2, 1, 50, 1, 2) == 1);
  CHECK(tsdl::probabilistic_sharpe_ratio(2, 3, 50, 1, 2) == 0);
  CHECK(tsdl::probabilistic_sharpe_ratio(2, 2, 50, 1, 2) == 0.5);
  const SharpeSummary summary = tsdl::sharpe_summary(returns(60, 5));
  CHECK(tsdl::probabilistic_sharpe_ratio(summary, 0.02) ==
        tsdl::probabilistic_sharpe_ratio(summary.sharpe, 0.02, 60, summary.skew, summary.kurtosis));
}

TEST_CASE("sharpe: the deflated ratio is the paper's") {
  const double sharpe = 2.5 / std::sqrt(250.0), variance = 0.5 / 250;
  CHECK(std::abs(tsdl::expected_maximum_sharpe(100, 1) - 2.5306029) < 1e-7);
  CHECK(std::abs(tsdl::expected_maximum_sharpe(100, variance) - 0.113172) < 1e-6);
  CHECK(std::abs(tsdl::deflated_sharpe_ratio(sharpe, 1250, -3, 10, 100, variance) - 0.9003968) <
        1e-7);
  CHECK(std::abs(tsdl::deflated_sharpe_ratio(sharpe, 1250, -3, 10, 46, variance) - 0.9505017) <
        1e-7);
  // One trial has nothing to be deflated by.
  CHECK(tsdl::expected_maximum_sharpe(1, variance) == 0);
  CHECK(tsdl::deflated_sharpe_ratio(sharpe, 1250, -3, 10, 1, variance) ==
        tsdl::probabilistic_sharpe_ratio(sharpe, 0, 1250, -3, 10));
  double last = 0;
  for (double trials = 1; trials < 1e12; trials *= 1.5) {
    const double best = tsdl::expected_maximum_sharpe(trials, 1);
    CHECK(best >= last);
    last = best;
  }
  const SharpeSummary summary = tsdl::sharpe_summary(returns(60, 5));
  CHECK(tsdl::deflated_sharpe_ratio(summary, 20, 0.01) ==
        tsdl::deflated_sharpe_ratio(summary.sharpe, 60, summary.skew, summary.kurtosis, 20, 0.01));
}

TEST_CASE("sharpe: the expected maximum is about that of normal draws") {
  // The formula is an approximation: within 2% of the mean maximum of 100 draws.
  tsdl::RandomStream random(3);
  double sum = 0;
  for (int run = 0; run < 2000; ++run) {
    double most = -100;
    for (int i = 0; i < 100; ++i) most = std::max(most, random.normal());
    sum += most;
  }
  CHECK(std::abs(sum / 2000 / tsdl::expected_maximum_sharpe(100, 1) - 1) < 0.02);
}

TEST_CASE("sharpe: how long a record must be, in the papers' figures") {
  const double daily =
      tsdl::minimum_track_record_length(2 / std::sqrt(250.0), 1 / std::sqrt(250.0), 0, 3) / 250;
  CHECK(std::abs(daily - 2.7311878) < 1e-7);
  const double weekly =
      tsdl::minimum_track_record_length(2 / std::sqrt(52.0), 1 / std::sqrt(52.0), 0, 3) / 52;
  CHECK(std::abs(weekly - 2.8288336) < 1e-7);
  const double monthly =
      tsdl::minimum_track_record_length(3 / std::sqrt(12.0), 2.5 / std::sqrt(12.0), -0.72, 5.78);
  CHECK(std::abs(monthly / 12 - 27.35292) < 1e-6);
  CHECK(std::isinf(tsdl::minimum_track_record_length(0.1, 0.1, 0, 3)));
  CHECK(std::isinf(tsdl::minimum_track_record_length(-0.1, 0, 0, 3)));
  // With as many returns the probability is the confidence.
  const double n = tsdl::minimum_track_record_length(0.2, 0.05, -1, 6, 0.9);
  CHECK(std::abs(tsdl::probabilistic_sharpe_ratio(0.2, 0.05, n, -1, 6) - 0.9) < 1e-14);
  CHECK(std::abs(tsdl::minimum_backtest_length(45) - 4.998) < 1e-3);
  CHECK(std::abs(tsdl::minimum_backtest_length(45) - 4.998087004449) < 1e-10);
  CHECK(test::close_to(tsdl::minimum_backtest_length(45, 2), 4.998087004449 / 4, 1e-10));
  CHECK(tsdl::minimum_backtest_length(1) == 0);
}

TEST_CASE("sharpe: what has no answer is refused") {
  using tsdl::OptionError;
  const double nan = test::nan;
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(0.1, 0, 1, 0, 3), OptionError);
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(0.1, 0, nan, 0, 3), OptionError);
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(nan, 0, 9, 0, 3), OptionError);
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(0.1, HUGE_VAL, 9, 0, 3), OptionError);
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(0.1, 0, 9, nan, 3), OptionError);
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(0.1, 0, 9, 0, nan), OptionError);
  CHECK_THROWS_AS(tsdl::probabilistic_sharpe_ratio(0.1, 0, 9, 2, 4.9), OptionError);
  CHECK_NOTHROW(tsdl::probabilistic_sharpe_ratio(0.1, 0, 9, 2, 5));
  for (const double trials : {0.0, 0.5, -1.0, nan, HUGE_VAL}) {
    CHECK_THROWS_AS(tsdl::expected_maximum_sharpe(trials, 1), OptionError);
    CHECK_THROWS_AS(tsdl::minimum_backtest_length(trials), OptionError);
  }
  for (const double variance : {-1.0, nan, HUGE_VAL})
    CHECK_THROWS_AS(tsdl::expected_maximum_sharpe(9, variance), OptionError);
  for (const double confidence : {0.5, 1.0, nan})
    CHECK_THROWS_AS(tsdl::minimum_track_record_length(0.1, 0, 0, 3, confidence), OptionError);
  for (const double annual : {0.0, -1.0, nan})
    CHECK_THROWS_AS(tsdl::minimum_backtest_length(9, annual), OptionError);
}
