// Adaptive conformal intervals: against formulas written down without thought for speed, through
// breaks of volatility, and never with a miss before it is known.
#include "tsdl/task/adaptive_conformal.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "tsdl/core/random.hpp"

namespace {

using tsdl::AdaptiveIntervals;
using tsdl::AdaptiveOptions;
using tsdl::Index;
using tsdl::Interval;
using Values = std::vector<double>;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// A series of truths with forecasts for each row: row t of low and high is H x K, of y is K.
struct Stream {
  Index H, K;
  std::vector<Values> y, low, high, spreads;
  Values calibration;

  Index rows() const { return std::ssize(y); }
};

/// The formulas, with everything kept. `lead` rows too early: a fault, which the real thing must
/// not share.
class Oracle {
 public:
  Oracle(const Stream& stream, AdaptiveOptions options, Index lead = 0)
      : s_(stream), o_(options), lead_(lead) {
    const Index H = s_.H, K = s_.K;
    scores_.resize(at(H * (o_.pool_targets ? 1 : K)));
    for (Index i = 0; i < std::ssize(s_.calibration); ++i)
      if (!std::isnan(s_.calibration[at(i)]))
        scores_[place(i / K % H, i % K)].push_back(s_.calibration[at(i)]);
    for (const double coverage : o_.coverages) alphas_.emplace_back(scores_.size(), 1 - coverage);
  }

  /// The intervals [C][H][K] made at row t, to be called for t = 0, 1, ...
  std::vector<Interval> next() {
    const Index t = std::ssize(made_), row = t + lead_;
    for (Index h = 1; h <= s_.H; ++h)  // row - h: where the forecast for this row was made
      if (row < s_.rows() && row - h >= 0 && row - h < t) resolve(row - h, h, row);
    std::vector<Interval> all;
    for (Index c = 0; c < std::ssize(o_.coverages); ++c)
      for (Index h = 1; h <= s_.H; ++h)
        for (Index k = 0; k < s_.K; ++k) all.push_back(interval(t, c, h, k));
    made_.push_back(all);
    return all;
  }

  double alpha(Index c, Index h, Index k) const { return alphas_[at(c)][place(h - 1, k)]; }

 private:
  std::size_t place(Index h, Index k) const { return at(o_.pool_targets ? h : h * s_.K + k); }
  bool known(Index t, Index h, Index row, Index k) const {
    const std::size_t i = at((h - 1) * s_.K + k);
    return std::isfinite(s_.y[at(row)][at(k)]) && !s_.low[at(t)].empty() &&
           std::isfinite(s_.low[at(t)][i]) && std::isfinite(s_.high[at(t)][i]);
  }

  void resolve(Index t, Index h, Index row) {
    const Index pooled = o_.pool_targets ? s_.K : 1;
    for (Index first = 0; first < s_.K; first += pooled) {
      for (Index c = 0; c < std::ssize(o_.coverages); ++c) {
        double misses = 0, n = 0;
        for (Index k = first; k < first + pooled; ++k) {
          if (!known(t, h, row, k)) continue;
          const Interval one = made_[at(t)][at((c * s_.H + h - 1) * s_.K + k)];
          const double y = s_.y[at(row)][at(k)];
          misses += y < one.low || y > one.high;
          n += 1;
        }
        if (n < 1) continue;
        double& alpha = alphas_[at(c)][place(h - 1, first)];
        alpha += o_.gamma * (1 - o_.coverages[at(c)] - misses / n);
        alpha = std::min(alpha, 1 + o_.gamma * static_cast<double>(h));
      }
      for (Index k = first; k < first + pooled; ++k) {
        if (!known(t, h, row, k)) continue;
        const std::size_t i = at((h - 1) * s_.K + k);
        const double y = s_.y[at(row)][at(k)];
        scores_[place(h - 1, k)].push_back(std::max(s_.low[at(t)][i] - y, y - s_.high[at(t)][i]) /
                                           s_.spreads[at(t)][at(k)]);
      }
    }
  }

  Interval interval(Index t, Index c, Index h, Index k) const {
    if (s_.low[at(t)].empty()) return {missing, missing};
    const double low = s_.low[at(t)][at((h - 1) * s_.K + k)];
    const double high = s_.high[at(t)][at((h - 1) * s_.K + k)];
    if (!std::isfinite(low) || !std::isfinite(high)) return {missing, missing};
    const Values& all = scores_[place(h - 1, k)];
    const Index n = std::min(std::ssize(all), o_.window * (o_.pool_targets ? s_.K : 1));
    Values sorted(all.end() - n, all.end());
    std::sort(sorted.begin(), sorted.end());
    const double now = alpha(c, h, k), spread = s_.spreads[at(t)][at(k)];
    double width = 0;
    if (now >= 1) return {(low + high) / 2, (low + high) / 2};
    if (now > 0) {
      const double rank = std::ceil(static_cast<double>(n + 1) * (1 - now));
      width = sorted[at(std::clamp<Index>(static_cast<Index>(rank), 1, n) - 1)];
    } else {
      const double m = std::max(std::abs(sorted.front()), std::abs(sorted.back()));
      width = sorted.back() + (std::pow(2, -now / (o_.gamma * static_cast<double>(h))) - 1) * m;
    }
    if (low - spread * width > high + spread * width) return {(low + high) / 2, (low + high) / 2};
    return {low - spread * width, high + spread * width};
  }

  const Stream& s_;
  AdaptiveOptions o_;
  Index lead_;
  std::vector<Values> scores_, alphas_;
  std::vector<std::vector<Interval>> made_;
};

/// Forecasts that are off by noise whose deviation grows with the step, calm or wild for stretches
/// of rows; some truths, forecasts and rows of forecasts are missing.
Stream make_stream(Index rows, Index H, Index K, bool quantiles, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  Stream s{H, K, {}, {}, {}, {}, {}};
  for (Index t = 0; t < rows; ++t) {
    Values y;
    for (Index k = 0; k < K; ++k)
      y.push_back(random.uniform() < 0.05 ? missing : (t % 90 > 60 ? 5 : 1) * random.normal());
    s.y.push_back(y);
    Values low, high, spreads;
    for (Index h = 1; h <= H; ++h)
      for (Index k = 0; k < K; ++k) {
        const double x = 0.3 * static_cast<double>(h) * random.normal();
        low.push_back(random.uniform() < 0.02 ? infinity : quantiles ? x - random.uniform() : x);
        high.push_back(quantiles ? x + 2 * random.uniform() : low.back());
      }
    for (Index k = 0; k < K; ++k) spreads.push_back(quantiles ? 0.5 + random.uniform() : 1.0);
    if (t % 31 == 30) low.clear(), high.clear();
    s.low.push_back(low), s.high.push_back(high), s.spreads.push_back(spreads);
  }
  for (Index i = 0; i < 50 * H * K; ++i)
    s.calibration.push_back(i % 17 == 3 ? missing
                                        : std::abs(random.normal()) - (quantiles ? 0.4 : 0));
  return s;
}

/// One row of a stream: its truth, then its forecast, if it has one.
std::span<const Interval> step(AdaptiveIntervals& intervals, const Stream& s, Index t) {
  intervals.observe(s.y[at(t)]);
  if (s.low[at(t)].empty()) return {};
  return intervals.forecast(s.low[at(t)], s.high[at(t)], s.spreads[at(t)]);
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 1e-9 * (1 + std::abs(a));
}

bool same_bits(const Interval& a, const Interval& b) {
  return std::bit_cast<std::uint64_t>(a.low) == std::bit_cast<std::uint64_t>(b.low) &&
         std::bit_cast<std::uint64_t>(a.high) == std::bit_cast<std::uint64_t>(b.high);
}

/// How many numbers differ from the oracle's, in all rows.
Index differences(const Stream& s, const AdaptiveOptions& options, Index lead) {
  AdaptiveIntervals intervals(s.calibration, s.H, s.K, options);
  Oracle oracle(s, options, lead);
  Index found = 0;
  for (Index t = 0; t < s.rows(); ++t) {
    const auto ahead = step(intervals, s, t);
    const std::vector<Interval> expected = oracle.next();
    for (std::size_t i = 0; i < ahead.size(); ++i)
      found += !same(ahead[i].low, expected[i].low) || !same(ahead[i].high, expected[i].high);
    for (Index c = 0; c < std::ssize(options.coverages); ++c)
      for (Index h = 1; h <= s.H; ++h)
        for (Index k = 0; k < s.K; ++k)
          found += !same(intervals.alpha(c, h - 1, k), oracle.alpha(c, h, k));
  }
  return found;
}

}  // namespace

TEST_CASE("intervals are those of the formulas, and a miss known a row early would show") {
  for (const bool quantiles : {false, true})
    for (const bool pooled : {false, true})
      for (const Index H : {1, 2, 5}) {
        CAPTURE(quantiles);
        CAPTURE(pooled);
        CAPTURE(H);
        const Stream s = make_stream(700, H, pooled ? 3 : 2, quantiles, 5);
        const AdaptiveOptions options{
            .coverages = {0.5, 0.9, 0.95}, .gamma = 0.2, .window = 40, .pool_targets = pooled};
        CHECK(differences(s, options, 0) == 0);
        CHECK(differences(s, options, 1) > 100);
      }
}

TEST_CASE("a forecast for step h made at row t is resolved at row t + h, by its own truth") {
  // The truth of row t is 100 t, and so is what each step says of it: no score is above 0 unless
  // another row's truth is taken for it.
  const Index H = 4, surprise = 30;
  AdaptiveIntervals intervals(Values(at(20 * H), 1.0), H, 1, {.coverages = {0.9}, .gamma = 0.1});
  for (Index t = 0; t < 60; ++t) {
    Values before;
    for (Index h = 0; h < H; ++h) before.push_back(intervals.alpha(0, h));
    intervals.observe(Values{t == surprise ? -5000 : 100.0 * static_cast<double>(t)});
    for (Index h = 0; h < H; ++h) {
      CAPTURE(t);
      CAPTURE(h);
      // Step h + 1 of row 0 comes true at row h + 1; the surprise is a miss of all steps at once,
      // when it comes and not before.
      const double change = t <= h ? 0.0 : t == surprise ? 0.1 * (0.1 - 1) : 0.1 * 0.1;
      CHECK(intervals.alpha(0, h) - before[at(h)] == doctest::Approx(change).epsilon(1e-9));
    }
    if (t == surprise + 10) break;
    Values x;
    for (Index h = 1; h <= H; ++h) x.push_back(100.0 * static_cast<double>(t + h));
    for (const Interval& one : intervals.forecast(x)) CHECK(one.high - one.low <= 2 * 5000 + 1e6);
  }
}

TEST_CASE("a row without a truth or a forecast changes nothing") {
  const auto alphas = [](const AdaptiveIntervals& intervals) {
    Values all;
    for (Index h = 0; h < 2; ++h)
      for (Index k = 0; k < 2; ++k)
        all.push_back(intervals.alpha(0, h, k)), all.push_back(intervals.half_width(0, h, k));
    return all;
  };
  Values scores;
  for (int i = 0; i < 80; ++i) scores.push_back(i % 7);
  AdaptiveIntervals intervals(scores, 2, 2, {.coverages = {0.9}, .gamma = 0.1});
  const Values before = alphas(intervals);
  intervals.observe(Values{0, 0});  // nothing was forecast for it
  CHECK(alphas(intervals) == before);
  intervals.forecast(Values{0, 0, 0, 0});
  intervals.observe(Values{missing, infinity});
  CHECK(alphas(intervals) == before);
  intervals.observe(Values{missing, 100});  // step 2 of target 1 alone
  Values after = alphas(intervals);
  CHECK(after[6] == doctest::Approx(0.1 - 0.09));
  after.erase(after.begin() + 6, after.end());
  CHECK(after == Values(before.begin(), before.begin() + 6));
  // Neither does a forecast that is no number: it has no interval.
  const Values now = alphas(intervals);
  for (const Interval& one : intervals.forecast(Values{missing, infinity, -infinity, missing})) {
    CHECK(std::isnan(one.low));
    CHECK(std::isnan(one.high));
  }
  intervals.observe(Values{1, 1});
  intervals.observe(Values{1, 1});
  CHECK(alphas(intervals) == now);
  // A second forecast for a row replaces the first.
  intervals.forecast(Values{1e6, 1e6, 1e6, 1e6});
  intervals.forecast(Values{1, 1, 1, 1});
  intervals.observe(Values{1, 1});
  CHECK(intervals.alpha(0, 0, 0) == doctest::Approx(now[0] + 0.1 * 0.1));
}

TEST_CASE("after volatility triples, adaptive 90% intervals cover 90%, and split ones do not") {
  const Index before = 5'000, after = 5'000, calibration = 1'000;
  for (const Index h : {1, 5}) {
    CAPTURE(h);
    // The forecast of step h lacks the h shocks that follow it, so that errors of neighbouring rows
    // share some.
    tsdl::RandomStream random(11);
    Values shocks;
    for (Index t = 0; t < calibration + before + after + h; ++t)
      shocks.push_back((t < calibration + before ? 1.0 : 3.0) * random.normal());
    const auto error = [&](Index made) {
      double sum = 0;
      for (Index j = 1; j <= h; ++j) sum += shocks[at(made + j)];
      return sum;
    };
    Values scores;  // of steps 1 ... h, all of them those of step h
    for (Index t = 0; t < calibration; ++t)
      for (Index j = 0; j < h; ++j) scores.push_back(std::abs(error(t)));
    const auto split = tsdl::fit_interval_widths(scores, h, 1, {.coverages = {0.9}});
    AdaptiveIntervals adaptive(scores, h, 1, {.coverages = {0.9}, .gamma = 0.01});
    // The level is 0 and the forecast says minus its error, so that the truth is always 0.
    double covered = 0, split_covered = 0, width = 0, widest = 0;
    Values lows, highs;
    for (Index t = calibration; t < calibration + before + after; ++t) {
      adaptive.observe(Values{0});
      const Values x(at(h), -error(t));
      const Interval one = adaptive.forecast(x)[at(h - 1)];
      CHECK(std::isfinite(one.low));
      CHECK(std::isfinite(one.high));
      if (t < calibration + before) continue;
      covered += one.low <= 0 && 0 <= one.high;
      split_covered += std::abs(x[0]) <= split.half_width(0, h - 1, 0);
      width += (one.high - one.low) / static_cast<double>(after);
      widest = std::max(widest, one.high - one.low);
    }
    covered /= static_cast<double>(after), split_covered /= static_cast<double>(after);
    CAPTURE(covered);
    CAPTURE(split_covered);
    CAPTURE(width);
    CAPTURE(widest);
    CHECK(std::abs(covered - 0.9) <= 0.02);
    CHECK(split_covered < 0.6);
    // 3 sqrt(h) times the normal's 90% interval would be the narrowest that holds.
    CHECK(width < 1.2 * 2 * 1.645 * 3 * std::sqrt(static_cast<double>(h)));
  }
}

TEST_CASE("the promise holds, with finite intervals, when each error is larger than all before") {
  for (const Index h : {1, 4}) {
    const double gamma = 0.05;
    AdaptiveIntervals intervals(Values(at(20 * h), 1.0), h, 1,
                                {.coverages = {0.9}, .gamma = gamma, .window = 100});
    const Index T = 8'000;
    double misses = 0, error = 1;
    Values x(at(h), 0.0);
    for (Index t = 0; t < T; ++t) {
      const double high = intervals.forecast(x)[at(h - 1)].high;
      REQUIRE(std::isfinite(high));
      // What comes h rows later is one percent larger each row.
      misses += std::pow(1.01, static_cast<double>(h)) * error > high;
      error *= 1.01;
      intervals.observe(Values{error});
    }
    const double share = misses / static_cast<double>(T);
    const double bound = (1 + gamma * static_cast<double>(h) * (1 + std::log2(4))) /
                         (gamma * static_cast<double>(T));
    CAPTURE(share);
    CHECK(std::abs(share - 0.1) <= bound);
  }
}

TEST_CASE("beyond 1 an interval has no width, and alpha comes back from there at once") {
  AdaptiveIntervals intervals(Values(20, 1.0), 1, 1,
                              {.coverages = {0.5}, .gamma = 0.1, .window = 9});
  for (int t = 0; t < 1000; ++t) {
    intervals.observe(Values{3});
    intervals.forecast(Values{3});  // always right
  }
  CHECK(intervals.alpha(0, 0) == doctest::Approx(1.1));
  CHECK(intervals.half_width(0, 0) == 0);
  intervals.observe(Values{4});
  CHECK(intervals.alpha(0, 0) == doctest::Approx(1.05));
  // Of quantiles it is their middle, even where that of the scores would not be.
  AdaptiveIntervals wide(Values(20, -1.0), 1, 1, {.coverages = {0.5}, .gamma = 1, .window = 9});
  wide.forecast(Values{0}, Values{10});
  wide.observe(Values{5});
  CHECK(wide.alpha(0, 0) == 1);
  CHECK(wide.forecast(Values{0}, Values{10})[0].low == 5);
  CHECK(wide.forecast(Values{0}, Values{10})[0].high == 5);
}

TEST_CASE("widths below 0 alpha, of any size of scores, stay finite") {
  for (const double size : {0.0, 1e-300, 1.0, 1e299, 1e307}) {
    AdaptiveIntervals intervals(Values(20, size), 1, 1,
                                {.coverages = {0.9}, .gamma = 1, .window = 9});
    for (int t = 0; t < 200; ++t) {
      const Interval one = intervals.forecast(Values{0})[0];
      CHECK(std::isfinite(one.low));
      CHECK(std::isfinite(one.high));
      intervals.observe(Values{1e308});
    }
  }
}

TEST_CASE("a stream continues from its state with the same bits, and refuses a made up one") {
  const Stream s = make_stream(300, 3, 2, true, 9);
  const AdaptiveOptions options{.coverages = {0.5, 0.9}, .gamma = 0.1, .window = 60};
  AdaptiveIntervals original(s.calibration, 3, 2, options);
  for (Index t = 0; t < 100; ++t) step(original, s, t);
  std::vector<std::byte> bytes;
  tsdl::StateBytes writer(bytes);
  writer(original);
  AdaptiveIntervals restored(Values(s.calibration.size(), 1.0), 3, 2, options);
  tsdl::StateBytes reader{std::span<const std::byte>(bytes)};
  reader(restored);
  REQUIRE(reader.is_complete());
  AdaptiveIntervals copy = original;
  for (Index t = 100; t < 300; ++t) {
    const auto a = step(original, s, t), b = step(restored, s, t), c = step(copy, s, t);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      REQUIRE(same_bits(a[i], b[i]));
      REQUIRE(same_bits(a[i], c[i]));
    }
  }
  // Any byte may be damaged: what is read is refused or can be used.
  tsdl::RandomStream random(3);
  Index refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<std::byte> bad = bytes;
    for (int j = 0; j < 3; ++j)
      bad[random.below(bad.size())] = static_cast<std::byte>(random.bits());
    if (i % 5 == 0) bad.resize(random.below(bad.size()));
    AdaptiveIntervals other(s.calibration, 3, 2, options);
    tsdl::StateBytes trial{std::span<const std::byte>(bad)};
    trial(other);
    refused += !trial.is_complete();
    for (Index t = 0; t < 10; ++t) step(other, s, t);
  }
  CHECK(refused >= 80);
}

TEST_CASE("what does not fit is refused") {
  const Values scores(40, 1.0);
  const auto refused = [&](AdaptiveOptions options) {
    CHECK_THROWS_AS(AdaptiveIntervals(scores, 1, 1, options), tsdl::OptionError);
  };
  refused({.coverages = {}});
  refused({.coverages = {1.0}});
  refused({.gamma = 0});
  refused({.gamma = 1.5});
  refused({.gamma = missing});
  refused({.window = 18});
  refused({.window = -1});
  refused({.window = Index{1} << 60});
  CHECK_THROWS_WITH_AS(AdaptiveIntervals(scores, 2, 2, {.coverages = {0.95}}),
                       "AdaptiveIntervals: step 1: coverage 0.95 needs at least 19 calibration "
                       "samples, got 10",
                       tsdl::DataError);
  CHECK_NOTHROW(AdaptiveIntervals(scores, 1, 2, {.coverages = {0.95}, .pool_targets = true}));
  CHECK_THROWS_AS(AdaptiveIntervals(Values(40, infinity), 1, 1), tsdl::DataError);
  CHECK_THROWS_AS(AdaptiveIntervals(scores, 7, 1), tsdl::ShapeError);
  AdaptiveIntervals intervals(scores, 1, 2);
  CHECK_THROWS_AS(intervals.observe(Values{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(intervals.forecast(Values{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(intervals.forecast(Values{1, 2}, Values{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(intervals.forecast(Values{1, 2}, Values{1, 2}, Values{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(intervals.forecast(Values{1, 2}, Values{1, 2}, Values{1, 0}), tsdl::DataError);
}
