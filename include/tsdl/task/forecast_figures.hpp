// Figures of forecasts of several steps, by step and over all steps, and the forecasts that any
// model must beat.
//
//   MSE     mean (y - x)^2                     MAE    mean |y - x|
//   sMAPE   mean 200 |y - x| / (|y| + |x|)     0 to 200; 0 where y and x are both 0
//   MASE    MAE / d                            d = mean |y_t - y_{t-m}| of a series' training part
//   MSIS    mean (U - L) + 2/a (L - y)[y < L] + 2/a (y - U)[y > U], over d; a = 1 - coverage
//
//   H steps, K targets, C coverages; step h of target k stands at h K + k
//
// The M4 competition's way: the figure of each series is the mean over its steps, the figure of all
// is the mean over series.
// Source: Makridakis, Spiliotis and Assimakopoulos 2020; Hyndman and Koehler 2006 for MASE,
// Gneiting and Raftery 2007 for MSIS.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/task/conformal.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What intervals of one coverage have done. A figure is NaN where nothing defines it.
struct IntervalFigures {
  double meant = Metrics::undefined;     ///< the coverage that was promised
  double coverage = Metrics::undefined;  ///< share of truths from low to high
  double width = Metrics::undefined;     ///< mean high - low
  double msis = Metrics::undefined;      ///< mean scaled interval score
};

/// Figures of one step, or of all. A figure is NaN where nothing defines it.
struct StepFigures {
  Index count = 0;         ///< samples with a truth there
  Index scaled_count = 0;  ///< of them, those with a denominator for MASE and MSIS
  double mse = Metrics::undefined;
  double mae = Metrics::undefined;
  double smape = Metrics::undefined;
  double mase = Metrics::undefined;
  std::vector<IntervalFigures> intervals{};  ///< one for each coverage
};

/// 200 |y - x| / (|y| + |x|), from 0 to 200; 0 where both are 0.
inline double smape_of(double x, double y) noexcept {
  const double sum = std::abs(y) + std::abs(x);
  return is_zero(sum) ? 0.0 : 200 * (std::abs(y - x) / sum);
}

/// Gathers the figures of forecasts, a sample (a window of a series, or a whole series) at a time.
/// Sums run in the order of add(), in double: the same samples in the same order give the same
/// bits.
///
/// A truth that is NaN is missing, and is left out: a sample's figure is the mean over the steps
/// and targets that it knows, and one that knows none does not count. A forecast that is NaN makes
/// the figures of its step, and of all steps, NaN. Samples without a denominator are left out of
/// MASE and MSIS.
class ForecastFigures {
 public:
  /// Throws: ShapeError when there is no step or target; OptionError when a coverage is not above
  /// 0 and below 1.
  ForecastFigures(Index H, Index K, std::vector<double> coverages = {})
      : H_(H), K_(K), coverages_(std::move(coverages)) {
    if (H < 1 || K < 1) throw ShapeError("ForecastFigures: ", H, " steps of ", K, " targets");
    if (!coverages_.empty()) internal::check_coverages(coverages_, "ForecastFigures");
    steps_.assign(static_cast<std::size_t>(H), Sums(coverages_.size()));
    all_ = sample_ = step_ = Sums(coverages_.size());
  }

  Index steps() const noexcept { return H_; }
  Index targets() const noexcept { return K_; }
  const std::vector<double>& coverages() const noexcept { return coverages_; }

  /// Adds one sample. `intervals` may be empty only when there are no coverages; `denominators`
  /// are those of MASE, one for each target or none. A denominator that is not above 0 defines
  /// nothing: its target is left out of MASE and MSIS.
  /// Shapes: truths and forecasts H x K, intervals C x H x K, denominators K.
  /// Throws: ShapeError when sizes disagree.
  void add(std::span<const double> truths, std::span<const double> forecasts,
           std::span<const Interval> intervals = {}, std::span<const double> denominators = {}) {
    const FloatModeGuard guard;
    check(truths.size(), forecasts.size(), intervals.size(), denominators.size());
    sample_.clear();
    for (Index h = 0; h < H_; ++h) {
      step_.clear();
      for (Index k = 0; k < K_; ++k) {
        const auto i = static_cast<std::size_t>(h * K_ + k);
        if (is_nan(truths[i])) continue;
        const double d =
            denominators.empty() ? Metrics::undefined : denominators[static_cast<std::size_t>(k)];
        step_.add(truths[i], forecasts[i], is_finite(d) && d > 0 ? d : Metrics::undefined);
        for (std::size_t c = 0; c < coverages_.size(); ++c)
          step_.add(c, intervals[c * truths.size() + i], truths[i], coverages_[c], d);
      }
      sample_.add(step_);
      steps_[static_cast<std::size_t>(h)].add_mean(step_);
    }
    all_.add_mean(sample_);
  }

  /// The figures of step h, from 0: the mean over samples of the mean over their targets.
  /// Range: 0 <= h < H.
  StepFigures step(Index h) const { return figures_of(steps_[static_cast<std::size_t>(h)]); }
  /// The mean over samples of the mean over their steps and targets.
  StepFigures overall() const { return figures_of(all_); }

 private:
  struct IntervalSums {
    double covered = 0, width = 0, scores = 0;
  };
  /// Sums over values, or over means of samples.
  struct Sums {
    double count = 0, scaled = 0;  ///< how many, and how many with a denominator
    double squares = 0, absolute = 0, relative = 0, scaled_absolute = 0;
    std::vector<IntervalSums> intervals{};

    explicit Sums(std::size_t coverages = 0) : intervals(coverages) {}

    void clear() {
      count = scaled = squares = absolute = relative = scaled_absolute = 0;
      std::fill(intervals.begin(), intervals.end(), IntervalSums{});
    }
    /// A value; d is NaN where it has no denominator.
    void add(double y, double x, double d) {
      const double e = std::abs(y - x);
      count += 1, squares += e * e, absolute += e, relative += smape_of(x, y);
      if (is_nan(d)) return;
      scaled += 1, scaled_absolute += e / d;
    }
    void add(std::size_t c, const Interval& one, double y, double coverage, double d) {
      IntervalSums& sums = intervals[c];
      const double below = std::max(one.low - y, 0.0), above = std::max(y - one.high, 0.0);
      const double width = one.high - one.low;
      sums.covered += one.low <= y && y <= one.high;
      sums.width += width;
      if (is_finite(d) && d > 0) sums.scores += (width + 2 / (1 - coverage) * (below + above)) / d;
    }
    void add(const Sums& other) {
      count += other.count, scaled += other.scaled;
      squares += other.squares, absolute += other.absolute, relative += other.relative;
      scaled_absolute += other.scaled_absolute;
      for (std::size_t c = 0; c < intervals.size(); ++c) {
        intervals[c].covered += other.intervals[c].covered;
        intervals[c].width += other.intervals[c].width;
        intervals[c].scores += other.intervals[c].scores;
      }
    }
    /// The means of another's values, as one of this one's.
    void add_mean(const Sums& other) {
      if (is_zero(other.count)) return;
      const double n = other.count, m = other.scaled;
      count += 1, squares += other.squares / n, absolute += other.absolute / n;
      relative += other.relative / n;
      if (m > 0) scaled += 1, scaled_absolute += other.scaled_absolute / m;
      for (std::size_t c = 0; c < intervals.size(); ++c) {
        intervals[c].covered += other.intervals[c].covered / n;
        intervals[c].width += other.intervals[c].width / n;
        if (m > 0) intervals[c].scores += other.intervals[c].scores / m;
      }
    }
  };

  StepFigures figures_of(const Sums& sums) const {
    const FloatModeGuard guard;
    StepFigures figures;
    figures.count = static_cast<Index>(sums.count);
    figures.scaled_count = static_cast<Index>(sums.scaled);
    const auto mean = [](double sum, double n) { return n > 0 ? sum / n : Metrics::undefined; };
    figures.mse = mean(sums.squares, sums.count);
    figures.mae = mean(sums.absolute, sums.count);
    figures.smape = mean(sums.relative, sums.count);
    figures.mase = mean(sums.scaled_absolute, sums.scaled);
    for (std::size_t c = 0; c < coverages_.size(); ++c)
      figures.intervals.push_back({coverages_[c], mean(sums.intervals[c].covered, sums.count),
                                   mean(sums.intervals[c].width, sums.count),
                                   mean(sums.intervals[c].scores, sums.scaled)});
    return figures;
  }

  void check(std::size_t truths, std::size_t forecasts, std::size_t intervals,
             std::size_t denominators) const {
    const auto size = static_cast<std::size_t>(H_ * K_);
    if (truths != size || forecasts != size || intervals != coverages_.size() * size ||
        (denominators != 0 && denominators != static_cast<std::size_t>(K_)))
      throw ShapeError("ForecastFigures: ", H_, " steps of ", K_, " targets and ",
                       coverages_.size(), " coverages, but ", truths, " truths, ", forecasts,
                       " forecasts, ", intervals, " intervals and ", denominators, " denominators");
  }

  Index H_, K_;
  std::vector<double> coverages_;
  std::vector<Sums> steps_;
  Sums all_, sample_, step_;
};

namespace internal {

/// Throws: ShapeError unless a season has a row or more and there are whole rows of K values.
inline void check_history(std::span<const double> history, Index K, Index season,
                          const char* where) {
  if (K < 1 || std::ssize(history) % K != 0)
    throw ShapeError(where, ": ", history.size(), " values of ", K, " targets");
  if (season < 1) throw ShapeError(where, ": a season of ", season, " rows");
}

}  // namespace internal

/// The denominator of MASE, mean |y_t - y_{t-m}| over the training part of a series, for season m;
/// with m = 1 the mean error of the last value. Pairs with a NaN are left out; NaN without a pair.
/// Throws: ShapeError when m is below 1.
inline double seasonal_naive_error(std::span<const double> series, Index m) {
  const FloatModeGuard guard;
  internal::check_history(series, 1, m, "seasonal_naive_error");
  double sum = 0, count = 0;
  for (auto t = static_cast<std::size_t>(m); t < series.size(); ++t) {
    const double change = series[t] - series[t - static_cast<std::size_t>(m)];
    if (is_nan(change)) continue;
    sum += std::abs(change);
    count += 1;
  }
  return count > 0 ? sum / count : Metrics::undefined;
}

/// The forecast that takes, for each step, the value of the same season before: row T - m + h mod m
/// of T. Where that is missing (NaN, or before the first row) the season before it; NaN where none
/// has a value.
/// Shapes: history T x K, rows ascending; result H x K.
/// Throws: ShapeError when there are no whole rows, or m or H is below 1.
inline std::vector<double> seasonal_naive(std::span<const double> history, Index K, Index m,
                                          Index H) {
  internal::check_history(history, K, m, "seasonal_naive");
  if (H < 1) throw ShapeError("seasonal_naive: a forecast of ", H, " steps");
  const Index T = std::ssize(history) / K;
  std::vector<double> forecast;
  forecast.reserve(static_cast<std::size_t>(H * K));
  for (Index h = 0; h < H; ++h)
    for (Index k = 0; k < K; ++k) {
      double value = Metrics::undefined;
      for (Index t = T - m + h % m; t >= 0 && is_nan(value); t -= m)
        value = history[static_cast<std::size_t>(t * K + k)];
      forecast.push_back(value);
    }
  return forecast;
}

/// The forecast that repeats the last value of each target, the last that is known.
/// Shapes and Throws: as seasonal_naive.
inline std::vector<double> repeat_last(std::span<const double> history, Index K, Index H) {
  return seasonal_naive(history, K, 1, H);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
