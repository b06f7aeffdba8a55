// Split-conformal intervals: how wide forecasts must be to hold their promise of coverage, from
// scores of samples that nothing else has used.
//
//   score       s = |y - x| of a point forecast x, s = max(lo - y, y - hi) of quantiles lo, hi
//   half-width  w = the ceil((n + 1) c)-th smallest of n scores, for coverage c
//   interval    [x - w, x + w], or [lo - w, hi + w]
//
//   n samples, H steps, K targets, C coverages; step h of target k stands at h K + k
//
// Source: Vovk, Gammerman and Shafer 2005; Lei et al. 2018 for points, Romano, Patterson and Candes
// 2019 (CQR) for quantiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How far the truth y is outside [low, high]; negative inside. Of a point forecast low and high
/// are the same, and the score is |y - x|. NaN where one of the three is NaN.
inline double interval_score(double low, double high, double y) noexcept {
  if (is_nan(low) || is_nan(high) || is_nan(y)) return internal::nan_of<double>;
  return std::max(low - y, y - high) + 0.0;  // never -0
}

/// The scores of forecasts, with low and high the same span for point forecasts. `spreads` divides
/// them, so that samples of different volatility compare: a number for each value, or empty.
/// Shapes: all of one size. Throws: ShapeError when sizes disagree.
inline std::vector<double> interval_scores(std::span<const double> low,
                                           std::span<const double> high, std::span<const double> y,
                                           std::span<const double> spreads = {}) {
  const FloatModeGuard guard;
  if (low.size() != y.size() || high.size() != y.size() ||
      (!spreads.empty() && spreads.size() != y.size()))
    throw ShapeError("interval_scores: ", y.size(), " truths with forecasts of ", low.size(),
                     " and ", high.size(), " values and ", spreads.size(), " spreads");
  std::vector<double> scores(y.size());
  for (std::size_t i = 0; i < y.size(); ++i)
    scores[i] = interval_score(low[i], high[i], y[i]) / (spreads.empty() ? 1.0 : spreads[i]);
  return scores;
}

namespace internal {

/// ceil((n + 1) share), where the product is whole but for its rounding that whole number.
inline Index conformal_rank(Index n, double share) noexcept {
  return static_cast<Index>(std::ceil(static_cast<double>(n + 1) * share * (1 - 0x1p-50)));
}

/// [low - width, high + width]. Where a negative width would turn it around, both ends are its
/// middle.
inline Interval widened(double low, double high, double width) noexcept {
  if (is_nan(low) || is_nan(high)) return {nan_of<double>, nan_of<double>};
  if (low - width <= high + width) return {low - width, high + width};
  const double middle = low / 2 + high / 2;
  return {middle, middle};
}

/// Throws: OptionError unless there are coverages, each above 0 and below 1.
inline void check_coverages(std::span<const double> coverages, const char* where) {
  if (coverages.empty()) throw OptionError(where, ": expected 1 or more coverages");
  for (const double coverage : coverages)
    if (!(is_finite(coverage) && coverage > 0 && coverage < 1))
      throw OptionError(where, ": a coverage must be above 0 and below 1, not ", coverage);
}

/// Throws: ShapeError unless there are scores of whole samples of H x K.
inline void check_scores(std::span<const double> scores, Index H, Index K, const char* where) {
  if (H < 1 || K < 1 || H > most_values / K)
    throw ShapeError(where, ": forecasts of ", H, " steps and ", K, " targets");
  if (std::ssize(scores) % (H * K) != 0)
    throw ShapeError(where, ": ", scores.size(), " scores of forecasts of ", H, " steps and ", K,
                     " targets");
}

}  // namespace internal

/// The fewest scores that a coverage needs: the least n with n >= coverage / (1 - coverage).
/// Range: coverage above 0 and below 1.
inline Index least_scores(double coverage) noexcept {
  auto n = std::max<Index>(1, static_cast<Index>(coverage / (1 - coverage)) - 1);
  while (internal::conformal_rank(n, coverage) > n) ++n;
  return n;
}

/// The ceil((n + 1) coverage)-th smallest of n scores; infinite where that exceeds n. Scores that
/// are NaN are of missing truths, and are left out.
/// Throws: OptionError when coverage is not above 0 and below 1.
inline double conformal_half_width(std::span<const double> scores, double coverage) {
  const FloatModeGuard guard;
  internal::check_coverages({&coverage, 1}, "conformal_half_width");
  std::vector<double> known;
  for (const double score : scores)
    if (!is_nan(score)) known.push_back(score);
  const Index rank = internal::conformal_rank(std::ssize(known), coverage);
  if (rank > std::ssize(known)) return internal::infinity_of<double>;
  const auto place = known.begin() + (rank - 1);
  std::nth_element(known.begin(), place, known.end());
  return *place;
}

/// What becomes of a step with fewer scores than a coverage needs.
enum class TooFewScores {
  refuse,   ///< DataError
  infinite  ///< an interval without ends, which does cover
};

/// Which intervals are fitted, and to which scores.
struct ConformalOptions {
  std::vector<double> coverages = {0.5, 0.9, 0.95};  ///< each above 0 and below 1
  /// One width for all targets of a step, from the scores of all: for targets in the same units.
  bool pool_targets = false;
  TooFewScores too_few = TooFewScores::refuse;
};

/// The half-widths of intervals for each coverage, step and target, in the units of the scores.
struct IntervalWidths {
  std::vector<double> coverages{};
  Index steps = 0, targets = 0;       ///< H, K
  std::vector<double> half_widths{};  ///< C x H x K; negative where quantiles are too far apart

  /// The half-width of coverage c at step h of target k, all from 0.
  double half_width(Index c, Index h, Index k) const noexcept {
    return half_widths[static_cast<std::size_t>((c * steps + h) * targets + k)];
  }

  /// The interval of a forecast's quantiles low and high at step h of target k, or of a point
  /// forecast, which is both. `spread` is what the scores of such a sample would be divided by. An
  /// interval that would be turned around has both ends in its middle; of NaN it is NaN.
  Interval interval(Index c, Index h, Index k, double low, double high,
                    double spread = 1) const noexcept {
    return internal::widened(low, high, spread * half_width(c, h, k));
  }

  /// Throws: OptionError unless sizes agree, coverages are between 0 and 1, and no width is NaN.
  void check() const {
    internal::check_coverages(coverages, "interval widths");
    const Index expected = internal::saturated_product(std::ssize(coverages), steps, targets);
    if (steps < 1 || targets < 1 || std::ssize(half_widths) != expected)
      throw OptionError("interval widths: ", half_widths.size(), " widths for ", coverages.size(),
                        " coverages of ", steps, " steps and ", targets, " targets");
    for (const double width : half_widths)
      if (is_nan(width)) throw OptionError("interval widths: a width is not a number");
  }

  /// As plain data. Files have no infinity: the largest double stands for it.
  template <class Tag>
  void describe(BasicConfig<Tag>& config) const {
    std::vector<double> widths = half_widths;
    for (double& width : widths) width = std::min(width, std::numeric_limits<double>::max());
    config.options["coverages"] = coverages;
    config.options["steps"] = steps;
    config.options["targets"] = targets;
    config.options["half_widths"] = widths;
  }
  /// Throws: OptionError when an option is missing, of another type or out of range.
  template <class Tag>
  static IntervalWidths from(const BasicConfig<Tag>& config) {
    IntervalWidths widths{config.numbers("coverages"), config.index("steps"),
                          config.index("targets"), config.numbers("half_widths")};
    for (double& width : widths.half_widths)
      if (width >= std::numeric_limits<double>::max()) width = internal::infinity_of<double>;
    widths.check();
    return widths;
  }
};

/// Fits half-widths to the scores of calibration samples, which no training, choice of model or
/// stopping has seen. Of exchangeable samples an interval then covers the truth with probability
/// `coverage` or more, and at most 1 / (n + 1) more where scores have no ties. Scores that are NaN
/// are of missing truths, and are left out.
///
/// All coverages use the same scores. Where each has quantiles of its own, fit one after another
/// and join_coverages().
/// Shapes: scores n x H x K.
/// Throws: ShapeError when these are not whole samples; OptionError when there is no coverage, or
/// one is not above 0 and below 1; DataError when a step has too few scores for a coverage.
inline IntervalWidths fit_interval_widths(std::span<const double> scores, Index H, Index K,
                                          const ConformalOptions& options = {}) {
  const FloatModeGuard guard;
  internal::check_coverages(options.coverages, "fit_interval_widths");
  internal::check_scores(scores, H, K, "fit_interval_widths");
  IntervalWidths widths{options.coverages, H, K, {}};
  widths.half_widths.resize(options.coverages.size() * static_cast<std::size_t>(H * K));
  std::vector<double> sorted;
  for (Index h = 0; h < H; ++h)
    for (Index k = 0; k < K; ++k) {
      if (k == 0 || !options.pool_targets) {
        sorted.clear();
        const Index last = options.pool_targets ? K : k + 1;
        for (Index from = h * K; from < std::ssize(scores); from += H * K)
          for (Index j = k; j < last; ++j)
            if (const double score = scores[static_cast<std::size_t>(from + j)]; !is_nan(score))
              sorted.push_back(score);
        std::sort(sorted.begin(), sorted.end());
      }
      const Index n = std::ssize(sorted);
      for (std::size_t c = 0; c < options.coverages.size(); ++c) {
        const double coverage = options.coverages[c];
        const Index rank = internal::conformal_rank(n, coverage);
        if (rank > n && options.too_few == TooFewScores::refuse)
          throw DataError("fit_interval_widths: step ", h + 1, " of target ", k, ": coverage ",
                          coverage, " needs at least ", least_scores(coverage),
                          " calibration samples, got ", n);
        widths.half_widths[(c * static_cast<std::size_t>(H) + static_cast<std::size_t>(h)) *
                               static_cast<std::size_t>(K) +
                           static_cast<std::size_t>(k)] =
            rank > n ? internal::infinity_of<double> : sorted[static_cast<std::size_t>(rank - 1)];
      }
    }
  return widths;
}

/// The coverages of both. Throws: ShapeError when steps or targets differ.
inline IntervalWidths join_coverages(IntervalWidths first, const IntervalWidths& second) {
  if (first.steps != second.steps || first.targets != second.targets)
    throw ShapeError("join_coverages: widths of ", first.steps, " steps and ", first.targets,
                     " targets with those of ", second.steps, " and ", second.targets);
  first.coverages.insert(first.coverages.end(), second.coverages.begin(), second.coverages.end());
  first.half_widths.insert(first.half_widths.end(), second.half_widths.begin(),
                           second.half_widths.end());
  return first;
}

/// The intervals of one forecast. `spreads`: one for each target, or empty.
/// Shapes: low and high H x K, the same span for point forecasts; result C x H x K.
/// Throws: ShapeError when sizes disagree.
inline std::vector<Interval> conformal_intervals(const IntervalWidths& widths,
                                                 std::span<const double> low,
                                                 std::span<const double> high,
                                                 std::span<const double> spreads = {}) {
  const FloatModeGuard guard;
  const Index H = widths.steps, K = widths.targets;
  if (std::ssize(low) != H * K || std::ssize(high) != H * K ||
      (!spreads.empty() && std::ssize(spreads) != K))
    throw ShapeError("conformal_intervals: forecasts of ", low.size(), " and ", high.size(),
                     " values and ", spreads.size(), " spreads for ", H, " steps and ", K,
                     " targets");
  std::vector<Interval> result;
  result.reserve(widths.half_widths.size());
  for (Index c = 0; c < std::ssize(widths.coverages); ++c)
    for (Index i = 0; i < H * K; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double spread = spreads.empty() ? 1.0 : spreads[static_cast<std::size_t>(i % K)];
      result.push_back(widths.interval(c, i / K, i % K, low[at], high[at], spread));
    }
  return result;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
