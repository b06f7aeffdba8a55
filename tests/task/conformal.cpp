// Split-conformal intervals: the rank they take, what they cover, what they refuse.
#include "tsdl/task/conformal.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "tsdl/core/random.hpp"

namespace {

using tsdl::conformal_half_width;
using tsdl::ConformalOptions;
using tsdl::fit_interval_widths;
using tsdl::Index;
using tsdl::IntervalWidths;
using Values = std::vector<double>;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The least score that `needed` of n scores do not exceed, by counting.
double counted(const Values& scores, Index needed) {
  double best = infinity;
  for (const double score : scores) {
    const auto below =
        std::count_if(scores.begin(), scores.end(), [&](double s) { return s <= score; });
    if (below >= needed) best = std::min(best, score);
  }
  return best;
}

}  // namespace

TEST_CASE("the half-width is the ceil((n + 1) coverage)-th smallest score") {
  Values scores;
  for (int i = 1; i <= 100; ++i) scores.push_back(i * 37 % 101);  // 1 ... 100 in disorder
  // (n + 1) coverage in whole numbers: 101 * 50 / 100 and so on, rounded up.
  for (Index percent = 1; percent < 100; ++percent)
    for (const Index n : {1, 2, 3, 9, 10, 19, 20, 99, 100}) {
      CAPTURE(percent);
      CAPTURE(n);
      const Index rank = ((n + 1) * percent + 99) / 100;
      const Values some(scores.begin(), scores.begin() + n);
      const double expected = rank > n ? infinity : counted(some, rank);
      CHECK(conformal_half_width(some, static_cast<double>(percent) / 100) == expected);
    }
  CHECK(conformal_half_width({}, 0.5) == infinity);
  CHECK(conformal_half_width(Values{missing, 3, missing, 1, 2}, 0.5) == 2);
}

TEST_CASE("a coverage needs coverage / (1 - coverage) scores") {
  CHECK(tsdl::least_scores(0.5) == 1);
  CHECK(tsdl::least_scores(0.8) == 4);
  CHECK(tsdl::least_scores(0.9) == 9);
  CHECK(tsdl::least_scores(0.95) == 19);
  CHECK(tsdl::least_scores(0.99) == 99);
  CHECK(tsdl::least_scores(0.999) == 999);
  CHECK(tsdl::least_scores(0.9999) == 9999);
  CHECK(tsdl::least_scores(0.01) == 1);

  ConformalOptions options{.coverages = {0.9}};
  const Values nine(9, 1.0), eight(8, 1.0);
  CHECK(fit_interval_widths(nine, 1, 1, options).half_widths == Values{1});
  CHECK_THROWS_WITH_AS(fit_interval_widths(eight, 1, 1, options),
                       "fit_interval_widths: step 1 of target 0: coverage 0.9 needs at least 9 "
                       "calibration samples, got 8",
                       tsdl::DataError);
  // A missing truth does not count.
  CHECK_THROWS_AS(fit_interval_widths(Values{1, 2, 3, 4, 5, 6, 7, 8, missing}, 1, 1, options),
                  tsdl::DataError);
  options.too_few = tsdl::TooFewScores::infinite;
  CHECK(fit_interval_widths(eight, 1, 1, options).half_widths == Values{infinity});
  options.coverages = {0.8, 0.9};
  CHECK(fit_interval_widths(eight, 1, 1, options).half_widths == Values{1, infinity});
  CHECK(fit_interval_widths({}, 1, 1, options).half_widths == Values{infinity, infinity});
}

TEST_CASE("each step and target has its own width, unless targets are pooled") {
  const Index n = 40, H = 3, K = 2;
  tsdl::RandomStream random(1);
  Values scores;
  for (Index i = 0; i < n; ++i)
    for (Index h = 0; h < H; ++h)
      for (Index k = 0; k < K; ++k)
        scores.push_back(i == 5 && k == 1
                             ? missing
                             : std::abs(random.normal()) * static_cast<double>(1 + h + 10 * k));
  for (const bool pooled : {false, true}) {
    const IntervalWidths widths =
        fit_interval_widths(scores, H, K, {.coverages = {0.5, 0.9}, .pool_targets = pooled});
    for (Index h = 0; h < H; ++h)
      for (Index k = 0; k < K; ++k) {
        Values own;
        for (Index i = 0; i < n; ++i)
          for (Index j = 0; j < K; ++j)
            if (const double s = scores[static_cast<std::size_t>((i * H + h) * K + j)];
                (pooled || j == k) && !std::isnan(s))
              own.push_back(s);
        CHECK(widths.half_width(0, h, k) == conformal_half_width(own, 0.5));
        CHECK(widths.half_width(1, h, k) == conformal_half_width(own, 0.9));
      }
  }
  const auto refused = [&](Index steps, Index targets) {
    CHECK_THROWS_AS(fit_interval_widths(scores, steps, targets), tsdl::ShapeError);
  };
  refused(7, 1), refused(0, 2), refused(3, -1), refused(Index{1} << 40, Index{1} << 40);
  for (const double coverage : {0.0, 1.0, -0.1, missing, infinity})
    CHECK_THROWS_AS(fit_interval_widths(scores, H, K, {.coverages = {coverage}}),
                    tsdl::OptionError);
  CHECK_THROWS_AS(fit_interval_widths(scores, H, K, {.coverages = {}}), tsdl::OptionError);
}

TEST_CASE("scores and intervals of points, of quantiles, and of samples on scales of their own") {
  CHECK(tsdl::interval_score(2, 2, 5) == 3);
  CHECK(tsdl::interval_score(2, 2, -1) == 3);
  CHECK(tsdl::interval_score(1, 4, 5) == 1);
  CHECK(tsdl::interval_score(1, 4, 0) == 1);
  CHECK(tsdl::interval_score(1, 4, 2) == -1);  // inside: how far from the nearer end
  CHECK_FALSE(std::signbit(tsdl::interval_score(1, 4, 1)));
  CHECK(std::isnan(tsdl::interval_score(1, missing, 1)));
  CHECK(std::isnan(tsdl::interval_score(missing, 1, 1)));
  CHECK(std::isnan(tsdl::interval_score(1, 1, missing)));
  const Values low = {1, 2}, high = {3, 2}, y = {5, 1};
  CHECK(tsdl::interval_scores(low, high, y) == Values{2, 1});
  CHECK(tsdl::interval_scores(low, high, y, Values{4, 0.5}) == Values{0.5, 2});
  CHECK_THROWS_AS(tsdl::interval_scores(low, high, Values{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::interval_scores(low, high, y, Values{1}), tsdl::ShapeError);

  const IntervalWidths widths{{0.5, 0.9}, 2, 1, {1, 2, -1, infinity}};
  const auto found = tsdl::conformal_intervals(widths, low, high);
  REQUIRE(found.size() == 4);
  CHECK(found[0].low == 0);
  CHECK(found[0].high == 4);
  CHECK(found[1].low == 0);
  CHECK(found[1].high == 4);
  CHECK(found[2].low == 2);  // 1 + 1 to 3 - 1
  CHECK(found[2].high == 2);
  CHECK(found[3].high == infinity);
  CHECK(found[3].low == -infinity);
  const IntervalWidths narrow{{0.5}, 1, 1, {-5}};
  CHECK(narrow.interval(0, 0, 0, 1, 2).low == 1.5);  // would be turned around
  CHECK(narrow.interval(0, 0, 0, 1, 2).high == 1.5);
  CHECK(std::isnan(narrow.interval(0, 0, 0, missing, 2).high));
  CHECK(tsdl::conformal_intervals(widths, low, high, Values{10})[0].low == -9);
  CHECK_THROWS_AS(tsdl::conformal_intervals(widths, low, Values{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::conformal_intervals(widths, low, high, Values{1, 2}), tsdl::ShapeError);
}

TEST_CASE("widths are plain data") {
  const IntervalWidths widths{{0.5, 0.9}, 1, 2, {1, 2, -0.25, infinity}};
  tsdl::Config config("conformal");
  widths.describe(config);
  const IntervalWidths back = IntervalWidths::from(config);
  CHECK(back.coverages == widths.coverages);
  CHECK(back.half_widths == widths.half_widths);
  CHECK(back.steps == 1);
  CHECK(back.targets == 2);
  const auto refused = [](IntervalWidths bad) { CHECK_THROWS_AS(bad.check(), tsdl::OptionError); };
  refused({{0.5}, 1, 2, {1}});
  refused({{1.5}, 1, 1, {1}});
  refused({{0.5}, 1, 1, {missing}});
  refused({{0.5}, 0, 1, {}});
  refused({{0.5}, -1, -1, {1}});
  const IntervalWidths both = tsdl::join_coverages({{0.5}, 1, 2, {1, 2}}, {{0.9}, 1, 2, {3, 4}});
  CHECK(both.coverages == Values{0.5, 0.9});
  CHECK(both.half_width(1, 0, 1) == 4);
  CHECK_THROWS_AS(tsdl::join_coverages({{0.5}, 1, 2, {1, 2}}, {{0.9}, 2, 1, {3, 4}}),
                  tsdl::ShapeError);
}

TEST_CASE("90% intervals cover 90% of 50,000 exchangeable draws") {
  // Errors are skewed, and the quantiles are those of another distribution: no matter.
  tsdl::RandomStream random(7);
  const Index n = 50'000, calibration = 4'000;
  Values x, low, high, y;
  for (Index i = 0; i < calibration + n; ++i) {
    x.push_back(10 * random.normal());
    low.push_back(x.back() - 0.3);
    high.push_back(x.back() + 1 + std::abs(random.normal()));
    y.push_back(x.back() + std::exp(random.normal()) - 1);
  }
  const auto head = [&](const Values& v) { return std::span(v).first(calibration); };
  for (const bool quantiles : {false, true}) {
    CAPTURE(quantiles);
    const Values &lo = quantiles ? low : x, &hi = quantiles ? high : x;
    const auto scores = tsdl::interval_scores(head(lo), head(hi), head(y));
    const IntervalWidths widths = fit_interval_widths(scores, 1, 1);
    for (Index c = 0; c < 3; ++c) {
      Index covered = 0;
      for (std::size_t i = calibration; i < y.size(); ++i) {
        const tsdl::Interval one = widths.interval(c, 0, 0, lo[i], hi[i]);
        covered += one.low <= y[i] && y[i] <= one.high;
      }
      const double share = static_cast<double>(covered) / static_cast<double>(n);
      CAPTURE(share);
      const double meant = widths.coverages[static_cast<std::size_t>(c)];
      CHECK(std::abs(share - meant) <= (c == 0 ? 0.02 : 0.01));
    }
  }
}
