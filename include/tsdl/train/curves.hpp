// Curves of a classifier's probabilities: ROC, calibration, and the scores of a constant answer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The rates when every score of `threshold` and above counts as positive.
struct RocPoint {
  double threshold = 0;
  double false_positive_rate = 0;
  double true_positive_rate = 0;
};

/// The samples whose probability lies in one interval of [0, 1].
struct CalibrationBin {
  double low = 0, high = 0;  ///< (low, high]; the first bin includes low
  Index count = 0;
  double mean_probability = Metrics::undefined;  ///< of its samples; NaN without any
  double share_positive = Metrics::undefined;    ///< of its samples; NaN without any
};

namespace internal {

inline void check_scores(const char* where, std::span<const double> scores,
                         const std::vector<bool>& positive) {
  if (scores.size() != positive.size())
    throw ShapeError(where, ": ", scores.size(), " scores with ", positive.size(), " labels");
}

}  // namespace internal

/// The points of the ROC curve from (0, 0), where the threshold is infinite, to (1, 1): one point
/// per distinct score, so that samples with equal scores are one step. Empty when all samples have
/// the same label, or a score is NaN.
/// Throws: ShapeError when there is not one label per score.
/// Source: sklearn.metrics.roc_curve with drop_intermediate=False.
inline std::vector<RocPoint> roc_curve(std::span<const double> scores,
                                       const std::vector<bool>& positive) {
  const FloatModeGuard guard;
  internal::check_scores("roc_curve", scores, positive);
  const auto positives = static_cast<double>(std::count(positive.begin(), positive.end(), true));
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (is_zero(positives) || is_zero(negatives) || std::any_of(scores.begin(), scores.end(), is_nan))
    return {};
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<RocPoint> curve{{std::numeric_limits<double>::infinity(), 0, 0}};
  double hits = 0, alarms = 0;
  for (std::size_t i = 0; i < order.size();) {
    const double threshold = scores[order[i]];
    for (; i < order.size() && same_value(scores[order[i]], threshold); ++i)
      (positive[order[i]] ? hits : alarms) += 1;
    curve.push_back({threshold, alarms / negatives, hits / positives});
  }
  return curve;
}

/// The area under a ROC curve by the trapezoidal rule, equal to roc_auc of the same samples; NaN
/// for an empty curve.
inline double area_under(std::span<const RocPoint> curve) noexcept {
  const FloatModeGuard guard;
  if (curve.empty()) return Metrics::undefined;
  double area = 0;
  for (std::size_t i = 1; i < curve.size(); ++i)
    area += (curve[i].false_positive_rate - curve[i - 1].false_positive_rate) *
            (curve[i].true_positive_rate + curve[i - 1].true_positive_rate) / 2;
  return area;
}

/// The share of positive samples in each of `bins` equal intervals of probability. A probability on
/// the edge of two bins belongs to the lower bin; NaN belongs to none.
/// Throws: ShapeError when there is not one label per probability, or bins is below 1; DataError
/// when a probability is outside 0 ... 1.
/// Source: sklearn.calibration.calibration_curve with strategy="uniform", except that empty bins
/// are kept.
inline std::vector<CalibrationBin> calibration_curve(std::span<const double> probabilities,
                                                     const std::vector<bool>& positive,
                                                     Index bins = 10) {
  const FloatModeGuard guard;
  internal::check_scores("calibration_curve", probabilities, positive);
  if (bins < 1) throw ShapeError("calibration_curve: expected 1 bin or more, not ", bins);
  std::vector<CalibrationBin> curve(static_cast<std::size_t>(bins));
  const double step = 1.0 / static_cast<double>(bins);
  std::vector<double> edges;  // between the bins, ascending
  for (Index i = 1; i < bins; ++i) edges.push_back(static_cast<double>(i) * step);
  for (std::size_t i = 0; i < curve.size(); ++i) {
    curve[i].low = i == 0 ? 0 : edges[i - 1];
    curve[i].high = i + 1 == curve.size() ? 1 : edges[i];
  }
  std::vector<double> sums(curve.size()), hits(curve.size());
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double p = probabilities[i];
    if (is_nan(p)) continue;
    if (p < 0 || p > 1)
      throw DataError("calibration_curve: expected a probability from 0 to 1, found ", p);
    const auto bin =
        static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), p) - edges.begin());
    ++curve[bin].count;
    sums[bin] += p;
    hits[bin] += positive[i];
  }
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].count == 0) continue;
    curve[i].mean_probability = sums[i] / static_cast<double>(curve[i].count);
    curve[i].share_positive = hits[i] / static_cast<double>(curve[i].count);
  }
  return curve;
}

/// The scores of the best answer that ignores its input. Its decision is always the most common
/// class (the first of several), its probabilities are always the shares of the classes. `counts`:
/// the samples of each of two or more classes. The loss is cross-entropy without class weights. The
/// same figures are undefined as in classification_metrics.
/// Equations: s[k] = counts[k] / N; loss = -sum s[k] ln s[k]; Brier = 1 - sum s[k]^2, or s[1] s[0]
/// for two classes in one output (`outputs` = 1).
inline Metrics constant_metrics(std::span<const Index> counts, Index outputs) {
  const FloatModeGuard guard;
  Metrics result;
  result.count = std::accumulate(counts.begin(), counts.end(), Index{0});
  if (result.count == 0) return result;
  double squares = 0, classes = 0;
  result.loss = 0;
  for (const Index count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(result.count);
    result.loss -= share * std::log(share);
    squares += share * share;
    classes += 1;
  }
  result.brier = (1 - squares) / (outputs == 1 ? 2 : 1);
  result.majority_accuracy = static_cast<double>(*std::max_element(counts.begin(), counts.end())) /
                             static_cast<double>(result.count);
  result.accuracy = result.majority_accuracy;
  if (classes < 2) return result;
  result.balanced_accuracy = 1 / classes;
  result.roc_auc = 0.5;
  result.mcc = 0;
  return result;
}

/// The confusion matrix of always answering the most common class, the first of several.
inline Confusion constant_confusion(std::span<const Index> counts) {
  const std::size_t K = counts.size();
  Confusion confusion{std::vector<std::vector<Index>>(K, std::vector<Index>(K))};
  const auto majority = std::max_element(counts.begin(), counts.end()) - counts.begin();
  for (std::size_t k = 0; k < K; ++k)
    confusion.counts[k][static_cast<std::size_t>(majority)] = counts[k];
  return confusion;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
