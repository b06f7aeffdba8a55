// What a classifier's probabilities are worth, beside what the majority class alone would score.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl::inline TSDL_ABI {

/// Figures over one set of samples. What the samples leave undefined is NaN: with one class alone
/// that is balanced accuracy, ROC AUC and MCC; without samples, or for a regression, everything but
/// the loss.
struct Metrics {
  static constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

  Index count = 0;
  double loss = undefined;
  double accuracy = undefined;
  double balanced_accuracy = undefined;  ///< mean recall over the classes that occur
  double roc_auc = undefined;            ///< more than two classes: mean of one against the rest
  double mcc = undefined;    ///< Matthews correlation; 0 when all predictions are one class
  double brier = undefined;  ///< two classes: mean (p - y)^2; more: mean over samples of the sum
  double majority_accuracy = undefined;  ///< of always predicting these samples' most common class
};

/// The 95% interval of a proportion seen in n independent trials.
/// Source: Wilson 1927, the score interval.
inline std::pair<double, double> wilson_interval(double proportion, Index n) noexcept {
  constexpr double z = 1.959963984540054;
  const auto count = static_cast<double>(n);
  const double centre = proportion + z * z / (2 * count);
  const double half =
      z * std::sqrt(proportion * (1 - proportion) / count + z * z / (4 * count * count));
  const double scale = 1 + z * z / count;
  return {(centre - half) / scale, (centre + half) / scale};
}

/// The probability that a positive sample scores above a negative one, ties counting half; NaN when
/// there is only one kind, or a score is NaN. Source: Mann and Whitney 1947, as in
/// sklearn.metrics.roc_auc_score.
inline double roc_auc(std::span<const double> scores, const std::vector<bool>& positive) {
  if (std::any_of(scores.begin(), scores.end(), is_nan)) return Metrics::undefined;
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  double rank_sum = 0, positives = 0;
  for (std::size_t i = 0; i < order.size();) {
    std::size_t last = i;
    while (last < order.size() && scores[order[last]] == scores[order[i]]) ++last;
    const double rank = (static_cast<double>(i + last) + 1.0) / 2.0;  // mean of i + 1 ... last
    for (; i < last; ++i)
      if (positive[order[i]]) {
        rank_sum += rank;
        positives += 1;
      }
  }
  const double negatives = static_cast<double>(order.size()) - positives;
  if (positives == 0 || negatives == 0) return Metrics::undefined;
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

namespace internal {

/// confusion[actual][predicted].
using Confusion = std::vector<std::vector<double>>;

inline double balanced_accuracy(const Confusion& confusion) {
  double recalls = 0, classes = 0;
  for (std::size_t k = 0; k < confusion.size(); ++k) {
    const double actual = std::accumulate(confusion[k].begin(), confusion[k].end(), 0.0);
    if (actual == 0) continue;
    recalls += confusion[k][k] / actual;
    classes += 1;
  }
  return classes < 2 ? Metrics::undefined : recalls / classes;
}

/// The R_K statistic, Matthews' correlation for any number of classes. Source: Gorodkin 2004.
inline double matthews(const Confusion& confusion) {
  double correct = 0, total = 0, product = 0, actual_squares = 0, predicted_squares = 0;
  std::size_t classes = 0;
  for (std::size_t k = 0; k < confusion.size(); ++k) {
    double actual = 0, predicted = 0;
    for (std::size_t j = 0; j < confusion.size(); ++j) {
      actual += confusion[k][j];
      predicted += confusion[j][k];
    }
    classes += actual > 0;
    correct += confusion[k][k];
    total += actual;
    product += actual * predicted;
    actual_squares += actual * actual;
    predicted_squares += predicted * predicted;
  }
  if (classes < 2) return Metrics::undefined;
  const double scale =
      std::sqrt((total * total - predicted_squares) * (total * total - actual_squares));
  return scale == 0 ? 0.0 : (correct * total - product) / scale;
}

}  // namespace internal

/// Metrics of N probabilities of class 1 (`columns` 1; predicted is p >= 0.5) or of N rows of K
/// probabilities (predicted is the first largest) against labels 0 ... K - 1. The loss is not set;
/// a probability that is NaN leaves everything but the count undefined. Throws: ShapeError when
/// sizes disagree; DataError when a label is not a class.
inline Metrics classification_metrics(std::span<const double> probabilities, Index columns,
                                      std::span<const double> labels) {
  const auto K = static_cast<std::size_t>(columns == 1 ? 2 : columns);
  const std::size_t width = columns == 1 ? 1 : K, n = labels.size();
  if (columns < 1 || probabilities.size() != n * width)
    throw ShapeError("metrics: ", n, " labels with ", probabilities.size(), " probabilities");
  Metrics result;
  result.count = static_cast<Index>(n);
  if (n == 0 || std::any_of(probabilities.begin(), probabilities.end(), is_nan)) return result;
  internal::Confusion confusion(K, std::vector<double>(K));
  double brier = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double* p = probabilities.data() + i * width;
    const double y = labels[i];
    if (!(y >= 0 && y < static_cast<double>(K) && y == std::floor(y)))
      throw DataError("metrics: label ", y, " is not one of ", K, " classes");
    const auto actual = static_cast<std::size_t>(y);
    const auto predicted = columns == 1 ? static_cast<std::size_t>(p[0] >= 0.5)
                                        : static_cast<std::size_t>(std::max_element(p, p + K) - p);
    confusion[actual][predicted] += 1;
    for (std::size_t k = 0; k < width; ++k) {
      const double error = p[k] - (columns == 1 ? y : (k == actual ? 1.0 : 0.0));
      brier += error * error;
    }
  }
  const auto total = static_cast<double>(n);
  double correct = 0, majority = 0;
  for (std::size_t k = 0; k < K; ++k) {
    correct += confusion[k][k];
    majority = std::max(majority, std::accumulate(confusion[k].begin(), confusion[k].end(), 0.0));
  }
  result.accuracy = correct / total;
  result.majority_accuracy = majority / total;
  result.balanced_accuracy = internal::balanced_accuracy(confusion);
  result.mcc = internal::matthews(confusion);
  result.brier = brier / total;

  double auc = 0, classes = 0;
  std::vector<double> scores(n);
  std::vector<bool> positive(n);
  for (std::size_t k = columns == 1 ? 1 : 0; k < K; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      scores[i] = probabilities[i * width + (columns == 1 ? 0 : k)];
      positive[i] = labels[i] == static_cast<double>(k);
    }
    const double one = roc_auc(scores, positive);
    if (is_nan(one)) continue;  // a class that does not occur, or the only one that does
    auc += one;
    classes += 1;
  }
  if (classes > 0) result.roc_auc = auc / classes;
  return result;
}

}  // namespace tsdl::inline TSDL_ABI
