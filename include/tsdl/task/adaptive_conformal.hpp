// Adaptive conformal intervals for streams: after each row, intervals that missed too often widen
// and those that covered too often narrow, whatever has happened to the series.
//
//   miss_t            1 where the truth of row t is outside the interval that was forecast h rows
//                     before, else 0
//   alpha_{t+1}     = alpha_t + gamma (alpha - miss_t)                alpha = 1 - coverage
//
//   half-width w of a step's last n scores s, ascending s_1 ... s_n, m the largest |s|:
//   alpha_t < 1       s_r, r = ceil((n + 1)(1 - alpha_t)), at most n
//   alpha_t <= 0      s_n + (2^e - 1) m,  e = -alpha_t / (gamma h), at most 60
//   alpha_t >= 1      none: both ends are the forecast, or the middle of its quantiles
//
// Gibbs and Candes take an infinite interval where alpha_t <= 0. Here an interval is finite, and
// doubles each time as many rows as a miss needs to become known, h, have all missed.
//
// Promise: over any T rows from the start the share of misses is off alpha by at most
//
//   (1 + gamma h (1 + log2(2 + B / m))) / (gamma T)
//
// where B is the largest score that comes and m, above 0, that of the window when it is exceeded,
// as long as B / m stays below 2^59. With infinite intervals there would be no logarithm, and with
// h = 1 that is the bound of the paper. (Truths that are exactly the forecast are covered even by
// an interval of no width: a series of these may be covered more often than was meant.)
//
// Source: Gibbs and Candes 2021, "Adaptive conformal inference under distribution shift".
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/task/conformal.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How intervals of a stream adapt.
struct AdaptiveOptions {
  std::vector<double> coverages = {0.5, 0.9, 0.95};  ///< each above 0 and below 1
  double gamma = 0.01;                               ///< how fast alpha moves; above 0, at most 1
  /// How many scores of each step and target are kept, the last ones; of pooled targets, of each.
  Index window = 500;
  /// One alpha and one width for all targets of a step: for targets in the same units.
  bool pool_targets = false;
};

namespace internal {

/// The last scores of a step, at most `capacity`, in order of size too.
class ScoreWindow {
 public:
  /// Allocates: two numbers a score.
  explicit ScoreWindow(Index capacity) : ring_(capacity), sorted_(capacity) {}

  Index size() const noexcept { return size_; }
  /// The score of this rank, from 1 for the smallest to size().
  double ranked(Index rank) const noexcept { return sorted_[rank - 1]; }
  double largest() const noexcept { return sorted_[size_ - 1]; }
  /// The largest magnitude.
  double largest_size() const noexcept { return std::max(largest(), -sorted_[0]); }

  /// Takes the place of the oldest score once all places are taken. Allocates nothing.
  void push(double score) noexcept {
    double* end = sorted_.data() + size_;
    if (size_ == ring_.size()) {
      double* gone = std::lower_bound(sorted_.data(), end, ring_[next_]);
      std::move(gone + 1, end, gone);
      --end, --size_;
    }
    double* place = std::upper_bound(sorted_.data(), end, score);
    std::move_backward(place, end, end + 1);
    *place = score;
    ring_[next_] = score;
    next_ = next_ + 1 == ring_.size() ? 0 : next_ + 1;
    ++size_;
  }

  void state(StateBytes& bytes) {
    bytes.finite(ring_);
    bytes.within(next_, 0, ring_.size() - 1).within(size_, 1, ring_.size());
    bytes.require(size_ == ring_.size() || size_ == next_, "as many scores as were pushed");
    if (size_ < ring_.size()) next_ = size_;
    std::copy_n(ring_.data(), size_, sorted_.data());
    std::sort(sorted_.data(), sorted_.data() + size_);
  }

 private:
  Buffer<double> ring_, sorted_;  ///< by time, from place 0 on until it is full; by size
  Index next_ = 0, size_ = 0;
};

}  // namespace internal

/// Intervals of a stream of forecasts. Each row: observe() with its truth, then forecast() for the
/// H rows that follow.
///
///     tsdl::AdaptiveIntervals intervals(calibration_scores, H, K, {.coverages = {0.9}});
///     for (each row) {
///       intervals.observe(truth);                     // resolves what was forecast for this row
///       auto ahead = intervals.forecast(model_says);  // [C][H][K]
///     }
///
/// A forecast for step h made at row t is resolved at row t + h, and changes alpha and scores from
/// then on: no number is used before it is known. A truth that is not finite is missing: what was
/// forecast for it is dropped, and neither alpha nor the scores change. A row without a forecast
/// leaves nothing to resolve. Steps, targets and coverages adapt by themselves, so that intervals
/// of different coverages need not be nested.
///
/// After construction no call allocates, unless it throws. Not safe from two threads at once; a
/// copy continues where the original was.
class AdaptiveIntervals {
 public:
  /// Starts from the scores of calibration samples, of which each step keeps the last `window`.
  /// Shapes: scores n x H x K, NaN where a truth is missing; of the same units as forecasts, that
  /// is divided by their spreads where forecast() is given spreads.
  /// Throws: ShapeError when scores are not whole samples; OptionError when an option is out of
  /// range, or the window too short for a coverage; DataError when a score is infinite, or a step
  /// has fewer than a coverage needs.
  AdaptiveIntervals(std::span<const double> scores, Index H, Index K, AdaptiveOptions options = {})
      : options_(std::move(options)), H_(H), K_(K) {
    const FloatModeGuard guard;
    check_options();
    internal::check_scores(scores, H, K, "AdaptiveIntervals");
    const Index C = std::ssize(options_.coverages), share = options_.pool_targets ? K : 1;
    internal::with_memory("AdaptiveIntervals", [&] {
      windows_.assign(static_cast<std::size_t>(H * K / share),
                      internal::ScoreWindow(options_.window * share));
      alphas_.resize(C * std::ssize(windows_));
      lows_.assign(H * H * K, internal::nan_of<double>);
      highs_.assign(H * H * K, internal::nan_of<double>);
      spreads_.assign(H * K, 1.0);
      ahead_.assign(H * C * H * K, {internal::nan_of<double>, internal::nan_of<double>});
    });
    for (Index c = 0; c < C; ++c)
      std::fill_n(alphas_.data() + c * std::ssize(windows_), std::ssize(windows_), meant(c));
    for (Index i = 0; i < std::ssize(scores); ++i) {
      const double score = scores[static_cast<std::size_t>(i)];
      if (is_nan(score)) continue;
      if (!is_finite(score))
        throw DataError("AdaptiveIntervals: calibration score ", score, " is not finite");
      window(i / K % H, i % K).push(bounded(score));
    }
    for (Index w = 0; w < std::ssize(windows_); ++w) check_enough(w);
  }

  Index steps() const noexcept { return H_; }
  Index targets() const noexcept { return K_; }
  const std::vector<double>& coverages() const noexcept { return options_.coverages; }

  /// Takes the truth of the next row, and resolves every forecast that was made for it. K numbers.
  /// Throws: ShapeError when there are not K.
  void observe(std::span<const double> y) {
    if (std::ssize(y) != K_)
      throw ShapeError("AdaptiveIntervals: expected a row of ", K_, " targets, got ", y.size());
    const FloatModeGuard guard;
    row_ = row_ + 1 == H_ ? 0 : row_ + 1;
    // Step h was forecast h + 1 rows ago. The oldest forecast stands where this row's will.
    for (Index h = 0; h < H_; ++h) resolve((row_ - h - 1 + H_) % H_, h, y.data());
    std::fill_n(lows_.data() + row_ * H_ * K_, H_ * K_, internal::nan_of<double>);
  }

  /// The intervals of the H rows after the last one observed: coverage c, step h of target k at
  /// (c H + h) K + k. Valid until the H-th observe() from now. A forecast that is not finite has an
  /// interval of NaN, and is never resolved. A second forecast for the same row replaces the first.
  /// `spreads`: what the scores of this forecast are divided by, one for each target; or empty.
  /// Shapes: low and high, the outer quantiles, H x K.
  /// Throws: ShapeError when sizes disagree; DataError when a spread is not above 0.
  std::span<const Interval> forecast(std::span<const double> low, std::span<const double> high,
                                     std::span<const double> spreads = {}) {
    check_forecast(low, high, spreads);
    const FloatModeGuard guard;
    std::fill_n(spreads_.data() + row_ * K_, K_, 1.0);
    std::copy(spreads.begin(), spreads.end(), spreads_.data() + row_ * K_);
    const Index C = std::ssize(options_.coverages), size = H_ * K_;
    double* lows = lows_.data() + row_ * size;
    double* highs = highs_.data() + row_ * size;
    Interval* ahead = ahead_.data() + row_ * C * size;
    for (Index i = 0; i < size; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const bool known = is_finite(low[at]) && is_finite(high[at]);
      lows[i] = known ? low[at] : internal::nan_of<double>;
      highs[i] = known ? high[at] : internal::nan_of<double>;
      for (Index c = 0; c < C; ++c)
        ahead[c * size + i] = interval(c, i / K_, i % K_, lows[i], highs[i]);
    }
    return {ahead, static_cast<std::size_t>(C * size)};
  }
  /// Of a point forecast: low and high are both x. Shapes: x H x K.
  std::span<const Interval> forecast(std::span<const double> x) { return forecast(x, x); }

  /// alpha_t of coverage c at step h of target k, all from 0.
  double alpha(Index c, Index h, Index k = 0) const noexcept { return alphas_[place(c, h, k)]; }
  /// The half-width that the next forecast gets, in the units of scores; 0 where alpha_t >= 1.
  double half_width(Index c, Index h, Index k = 0) const noexcept {
    const internal::ScoreWindow& scores = windows_[static_cast<std::size_t>(place(0, h, k))];
    const double now = alpha(c, h, k);
    if (now >= 1) return 0;
    if (now > 0) {
      const Index n = scores.size(), rank = internal::conformal_rank(n, 1 - now);
      return scores.ranked(std::clamp<Index>(rank, 1, n));
    }
    const double doublings =
        std::min(-now / (options_.gamma * static_cast<double>(h + 1)), most_doublings);
    return bounded(scores.largest() + (std::exp2(doublings) - 1) * scores.largest_size());
  }

  /// Reads or writes everything that a row changes. The reader must have been constructed with the
  /// same sizes and options.
  void state(StateBytes& bytes) {
    bytes.within(row_, 0, H_ - 1).finite(alphas_);
    bytes(windows_, lows_, highs_, ahead_);
    bytes.finite(spreads_);
    for (const double spread : spreads_) bytes.require(spread > 0, "spreads above 0");
  }

 private:
  /// 2^60 spans what any series of doubles can be expected to do within a window.
  static constexpr double most_doublings = 60, most_width = 1e300;

  static double bounded(double value) noexcept {
    return std::clamp(value, -most_width, most_width);
  }

  Index place(Index c, Index h, Index k) const noexcept {
    return c * std::ssize(windows_) + (options_.pool_targets ? h : h * K_ + k);
  }
  internal::ScoreWindow& window(Index h, Index k) noexcept {
    return windows_[static_cast<std::size_t>(place(0, h, k))];
  }
  /// The share of misses that coverage c allows.
  double meant(Index c) const noexcept {
    return 1 - options_.coverages[static_cast<std::size_t>(c)];
  }

  Interval interval(Index c, Index h, Index k, double low, double high) const noexcept {
    const double middle = low / 2 + high / 2;
    if (alpha(c, h, k) >= 1) return {middle, middle};
    return internal::widened(low, high, spreads_[row_ * K_ + k] * half_width(c, h, k));
  }

  /// Takes the truths y of step h of the forecast in `slot`: misses first, by the intervals that
  /// were given, then scores.
  void resolve(Index slot, Index h, const double* y) noexcept {
    const Index C = std::ssize(options_.coverages), size = H_ * K_;
    const double* lows = lows_.data() + slot * size + h * K_;
    const double* highs = highs_.data() + slot * size + h * K_;
    const Index pooled = options_.pool_targets ? K_ : 1;
    for (Index first = 0; first < K_; first += pooled) {
      Index known = 0;
      for (Index k = first; k < first + pooled; ++k) known += is_finite(y[k]) && !is_nan(lows[k]);
      if (known == 0) continue;
      for (Index c = 0; c < C; ++c) {
        const Interval* ahead = ahead_.data() + (slot * C + c) * size + h * K_;
        Index missed = 0;
        for (Index k = first; k < first + pooled; ++k)
          missed += is_finite(y[k]) && !is_nan(lows[k]) &&
                    !(ahead[k].low <= y[k] && y[k] <= ahead[k].high);
        adapt(c, h, first, static_cast<double>(missed) / static_cast<double>(known));
      }
      for (Index k = first; k < first + pooled; ++k)
        if (is_finite(y[k]) && !is_nan(lows[k]))
          window(h, k).push(
              bounded(interval_score(lows[k], highs[k], y[k]) / spreads_[slot * K_ + k]));
    }
  }

  /// Beyond 1 an interval has no width, and covers only a truth that is the forecast itself. A
  /// series of such truths must not carry alpha off: it stops where that of the paper does.
  void adapt(Index c, Index h, Index k, double miss) noexcept {
    double& alpha = alphas_[place(c, h, k)];
    alpha = std::min(alpha + options_.gamma * (meant(c) - miss),
                     1 + options_.gamma * static_cast<double>(h + 1));
  }

  void check_options() const {
    internal::check_coverages(options_.coverages, "AdaptiveIntervals");
    if (!(is_finite(options_.gamma) && options_.gamma > 0 && options_.gamma <= 1))
      throw OptionError("AdaptiveIntervals: gamma must be above 0 and at most 1, not ",
                        options_.gamma);
    for (const double coverage : options_.coverages)
      if (options_.window < least_scores(coverage))
        throw OptionError("AdaptiveIntervals: a window of ", options_.window,
                          " scores is too short for coverage ", coverage, ", which needs ",
                          least_scores(coverage));
    if (options_.window > internal::most_values)
      throw OptionError("AdaptiveIntervals: a window of ", options_.window, " scores is too long");
  }

  void check_enough(Index w) const {
    const Index n = windows_[static_cast<std::size_t>(w)].size();
    const Index h = options_.pool_targets ? w : w / K_;
    for (const double coverage : options_.coverages)
      if (n < least_scores(coverage))
        throw DataError("AdaptiveIntervals: step ", h + 1, ": coverage ", coverage,
                        " needs at least ", least_scores(coverage), " calibration samples, got ",
                        n);
  }

  void check_forecast(std::span<const double> low, std::span<const double> high,
                      std::span<const double> spreads) const {
    if (std::ssize(low) != H_ * K_ || std::ssize(high) != H_ * K_ ||
        (!spreads.empty() && std::ssize(spreads) != K_))
      throw ShapeError("AdaptiveIntervals: a forecast of ", low.size(), " and ", high.size(),
                       " values with ", spreads.size(), " spreads, for ", H_, " steps and ", K_,
                       " targets");
    for (const double spread : spreads)
      if (!(is_finite(spread) && spread > 0))
        throw DataError("AdaptiveIntervals: a spread of ", spread, ": expected one above 0");
  }

  AdaptiveOptions options_;
  Index H_, K_;
  Index row_ = 0;                               ///< its place in the rings of H rows below
  std::vector<internal::ScoreWindow> windows_;  ///< H x K, or H
  Buffer<double> alphas_;                       ///< C x windows
  Buffer<double> lows_, highs_;                 ///< [row][H][K]; NaN: nothing to resolve
  Buffer<double> spreads_;                      ///< [row][K]
  Buffer<Interval> ahead_;                      ///< [row][C][H][K]
};

}  // namespace TSDL_ABI
}  // namespace tsdl
