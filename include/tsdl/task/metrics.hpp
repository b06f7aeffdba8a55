// Metrics of predictions: figures of classes, of numbers and of quantiles, and the list of their
// names that history, files, trackers, terminal and reports read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Figures over one set of samples. A figure is NaN where the task does not have it, and where the
/// samples leave it undefined, as balanced accuracy, ROC AUC and MCC are with one class alone.
struct Metrics {
  static constexpr const double& undefined = internal::nan_of<double>;

  Index count = 0;
  double loss = undefined;  ///< the task's; of numbers in units of their training deviation
  // Classification.
  double accuracy = undefined;
  double balanced_accuracy = undefined;  ///< mean recall over the classes that occur
  double roc_auc = undefined;            ///< more than two classes: mean over one against the rest
  double mcc = undefined;    ///< Matthews correlation; 0 when all predictions are one class
  double brier = undefined;  ///< two classes: mean (p - y)^2; more: mean over samples of the sum
  double majority_accuracy = undefined;  ///< accuracy of always predicting the most common class
  // Regression, in the targets' own units; the mean over several targets.
  double mae = undefined;   ///< mean |y - x|
  double rmse = undefined;  ///< sqrt(mean (y - x)^2)
  double r2 = undefined;    ///< 1 - sum (y - x)^2 / sum (y - mean of these y)^2
  double mase = undefined;  ///< MAE / MAE of the last known value on the training rows
  // Quantiles.
  double pinball = undefined;   ///< mean pinball loss over levels, in the target's units
  double coverage = undefined;  ///< share of targets from the lowest to the highest quantile
};

/// A figure of Metrics: its names, where its value is, and how it is formatted.
struct Figure {
  enum class Format { score, percent, number };

  std::string_view name;         ///< in files and trackers
  std::string_view title;        ///< for people
  std::string_view short_title;  ///< for narrow tables
  double Metrics::*value;
  Format format = Format::score;
  bool lower_is_better = false;
};

/// All figures. A task lists the names of those that it has.
inline constexpr Figure all_figures[] = {
    {"loss", "loss", "loss", &Metrics::loss, Figure::Format::score, true},
    {"accuracy", "accuracy", "acc", &Metrics::accuracy, Figure::Format::percent},
    {"balanced_accuracy", "balanced accuracy", "bal", &Metrics::balanced_accuracy,
     Figure::Format::percent},
    {"roc_auc", "ROC AUC", "AUC", &Metrics::roc_auc},
    {"mcc", "MCC", "MCC", &Metrics::mcc},
    {"brier", "Brier score", "Brier", &Metrics::brier, Figure::Format::score, true},
    {"majority_accuracy", "majority class", "major", &Metrics::majority_accuracy,
     Figure::Format::percent},
    {"mae", "MAE", "MAE", &Metrics::mae, Figure::Format::number, true},
    {"rmse", "RMSE", "RMSE", &Metrics::rmse, Figure::Format::number, true},
    {"r2", "R2", "R2", &Metrics::r2},
    {"mase", "MASE", "MASE", &Metrics::mase, Figure::Format::score, true},
    {"pinball", "pinball loss", "pinball", &Metrics::pinball, Figure::Format::number, true},
    {"coverage", "coverage", "cover", &Metrics::coverage, Figure::Format::percent},
};

/// The figure of this name. Throws: Error when there is none.
inline const Figure& figure_of(std::string_view name) {
  for (const Figure& figure : all_figures)
    if (figure.name == name) return figure;
  throw Error("figures: there is none named '", name, "'");
}

/// The bounds of an estimate.
struct Interval {
  double low, high;
};

/// The 95% interval of a proportion seen in n independent trials, within 0 and 1; of no trials, all
/// of that.
/// Source: Wilson 1927, the score interval.
inline Interval wilson_interval(double proportion, Index n) noexcept {
  const FloatModeGuard guard;
  if (n < 1) return {0, 1};
  constexpr double z = 1.959963984540054;
  const auto count = static_cast<double>(n);
  const double centre = proportion + z * z / (2 * count);
  const double half =
      z * std::sqrt(proportion * (1 - proportion) / count + z * z / (4 * count * count));
  const double scale = 1 + z * z / count;
  // Rounding may miss a bound by an ulp, on either side.
  return {proportion <= 0 ? 0.0 : std::max((centre - half) / scale, 0.0),
          proportion >= 1 ? 1.0 : std::min((centre + half) / scale, 1.0)};
}

/// The probability that a positive sample scores above a negative one, ties counting half; NaN when
/// all samples are of one class, or a score is NaN.
/// Source: Mann and Whitney 1947, as in sklearn.metrics.roc_auc_score.
inline double roc_auc(std::span<const double> scores, const std::vector<bool>& positive) {
  const FloatModeGuard guard;
  if (std::any_of(scores.begin(), scores.end(), is_nan)) return Metrics::undefined;
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  double rank_sum = 0, positives = 0;
  for (std::size_t i = 0; i < order.size();) {
    std::size_t last = i;
    while (last < order.size() && same_value(scores[order[last]], scores[order[i]])) ++last;
    const double rank = (static_cast<double>(i + last) + 1.0) / 2.0;  // mean of i + 1 ... last
    for (; i < last; ++i)
      if (positive[order[i]]) {
        rank_sum += rank;
        positives += 1;
      }
  }
  const double negatives = static_cast<double>(order.size()) - positives;
  if (is_zero(positives) || is_zero(negatives)) return Metrics::undefined;
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

/// A confusion matrix: counts[actual][predicted], one row and one column for each class.
struct Confusion {
  std::vector<std::vector<Index>> counts;

  std::size_t classes() const noexcept { return counts.size(); }
  /// The number of samples of class k.
  Index actual(std::size_t k) const {
    return std::accumulate(counts[k].begin(), counts[k].end(), Index{0});
  }
  /// The number of samples that were predicted as class k.
  Index predicted(std::size_t k) const {
    return std::accumulate(counts.begin(), counts.end(), Index{0},
                           [k](Index sum, const auto& row) { return sum + row[k]; });
  }
};

/// Precision, recall and F1 of one class. A quotient with a denominator of 0 is 0: the precision of
/// a class that was never predicted, the recall of a class that does not occur.
/// Equations: precision = hits / predicted, recall = hits / actual, F1 = 2 hits / (predicted +
/// actual).
/// Source: sklearn.metrics.precision_recall_fscore_support with zero_division=0.
struct ClassFigures {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  Index support = 0;  ///< samples of this class
};

namespace internal {

inline double balanced_accuracy(const Confusion& confusion) {
  double recalls = 0, classes = 0;
  for (std::size_t k = 0; k < confusion.classes(); ++k) {
    const auto actual = static_cast<double>(confusion.actual(k));
    if (is_zero(actual)) continue;
    recalls += static_cast<double>(confusion.counts[k][k]) / actual;
    classes += 1;
  }
  return classes < 2 ? Metrics::undefined : recalls / classes;
}

/// The R_K statistic, Matthews' correlation for any number of classes. Source: Gorodkin 2004.
inline double matthews(const Confusion& confusion) {
  double correct = 0, total = 0, product = 0, actual_squares = 0, predicted_squares = 0;
  std::size_t classes = 0;
  for (std::size_t k = 0; k < confusion.classes(); ++k) {
    const auto actual = static_cast<double>(confusion.actual(k));
    const auto predicted = static_cast<double>(confusion.predicted(k));
    classes += actual > 0;
    correct += static_cast<double>(confusion.counts[k][k]);
    total += actual;
    product += actual * predicted;
    actual_squares += actual * actual;
    predicted_squares += predicted * predicted;
  }
  if (classes < 2) return Metrics::undefined;
  const double scale =
      std::sqrt((total * total - predicted_squares) * (total * total - actual_squares));
  return is_zero(scale) ? 0.0 : (correct * total - product) / scale;
}

/// Throws: ShapeError when there are not `columns` probabilities for each label.
inline void check_probabilities(std::span<const double> probabilities, Index columns,
                                std::size_t labels) {
  if (columns < 1 || probabilities.size() != labels * static_cast<std::size_t>(columns))
    throw ShapeError("metrics: ", labels, " labels with ", probabilities.size(), " probabilities");
}

/// Throws: DataError when the label is not one of `classes`.
inline std::size_t class_of(double label, std::size_t classes) {
  if (!(is_finite(label) && label >= 0 && label < static_cast<double>(classes) &&
        same_value(label, std::floor(label))))
    throw DataError("metrics: label ", label, " is not one of ", classes, " classes");
  return static_cast<std::size_t>(label);
}

}  // namespace internal

/// The confusion matrix of N probabilities of class 1 (`columns` 1; predicted is p >= 0.5), or of N
/// rows of K probabilities (predicted is the first largest), against labels 0 ... K - 1. A sample
/// with a NaN probability is left out.
/// Throws: ShapeError when sizes disagree; DataError when a label is not a class.
inline Confusion confusion_matrix(std::span<const double> probabilities, Index columns,
                                  std::span<const double> labels) {
  internal::check_probabilities(probabilities, columns, labels.size());
  const auto width = static_cast<std::size_t>(columns), K = width == 1 ? 2 : width;
  Confusion confusion{std::vector<std::vector<Index>>(K, std::vector<Index>(K))};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const double* p = probabilities.data() + i * width;
    const std::size_t actual = internal::class_of(labels[i], K);
    if (std::any_of(p, p + width, is_nan)) continue;
    const auto predicted = width == 1 ? static_cast<std::size_t>(p[0] >= 0.5)
                                      : static_cast<std::size_t>(std::max_element(p, p + K) - p);
    ++confusion.counts[actual][predicted];
  }
  return confusion;
}

/// Precision, recall and F1 of each class.
inline std::vector<ClassFigures> class_figures(const Confusion& confusion) {
  const FloatModeGuard guard;
  const auto ratio = [](Index part, Index whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  std::vector<ClassFigures> figures;
  for (std::size_t k = 0; k < confusion.classes(); ++k) {
    const Index hits = confusion.counts[k][k], actual = confusion.actual(k);
    const Index predicted = confusion.predicted(k);
    figures.push_back(
        {ratio(hits, predicted), ratio(hits, actual), ratio(2 * hits, predicted + actual), actual});
  }
  return figures;
}

/// The mean F1 of the classes that occur among labels or predictions, each with the same weight;
/// NaN without samples. Source: sklearn.metrics.f1_score with average="macro", zero_division=0.
inline double macro_f1(const Confusion& confusion) {
  const std::vector<ClassFigures> figures = class_figures(confusion);
  double sum = 0, classes = 0;
  for (std::size_t k = 0; k < figures.size(); ++k) {
    if (figures[k].support == 0 && confusion.predicted(k) == 0) continue;
    sum += figures[k].f1;
    classes += 1;
  }
  return is_zero(classes) ? Metrics::undefined : sum / classes;
}

/// Metrics of N probabilities of class 1 (`columns` 1; predicted is p >= 0.5), or of N rows of K
/// probabilities (predicted is the first largest), against labels 0 ... K - 1. The loss is not set.
/// A NaN probability leaves everything but the count undefined.
/// Throws: ShapeError when sizes disagree; DataError when a label is not a class.
inline Metrics classification_metrics(std::span<const double> probabilities, Index columns,
                                      std::span<const double> labels) {
  const FloatModeGuard guard;
  internal::check_probabilities(probabilities, columns, labels.size());
  const auto width = static_cast<std::size_t>(columns), K = width == 1 ? 2 : width;
  const std::size_t n = labels.size();
  Metrics result;
  result.count = static_cast<Index>(n);
  if (n == 0 || std::any_of(probabilities.begin(), probabilities.end(), is_nan)) return result;
  const Confusion confusion = confusion_matrix(probabilities, columns, labels);
  double brier = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < width; ++k) {
      const double hit = same_value(labels[i], static_cast<double>(k)) ? 1 : 0;
      const double error = probabilities[i * width + k] - (width == 1 ? labels[i] : hit);
      brier += error * error;
    }
  }
  const auto total = static_cast<double>(n);
  Index correct = 0, majority = 0;
  for (std::size_t k = 0; k < K; ++k) {
    correct += confusion.counts[k][k];
    majority = std::max(majority, confusion.actual(k));
  }
  result.accuracy = static_cast<double>(correct) / total;
  result.majority_accuracy = static_cast<double>(majority) / total;
  result.balanced_accuracy = internal::balanced_accuracy(confusion);
  result.mcc = internal::matthews(confusion);
  result.brier = brier / total;

  double auc = 0, classes = 0;
  std::vector<double> scores(n);
  std::vector<bool> positive(n);
  for (std::size_t k = columns == 1 ? 1 : 0; k < K; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      scores[i] = probabilities[i * width + (columns == 1 ? 0 : k)];
      positive[i] = same_value(labels[i], static_cast<double>(k));
    }
    const double one = roc_auc(scores, positive);
    if (is_nan(one)) continue;  // this class does not occur, or no other does
    auc += one;
    classes += 1;
  }
  if (classes > 0) result.roc_auc = auc / classes;
  return result;
}

/// MAE, RMSE and R2 of predictions x against numbers y. R2 is NaN where all y are equal; all three
/// are NaN where a prediction is NaN or infinite.
/// Throws: ShapeError when sizes disagree; DataError when a target is not finite.
/// Source: sklearn.metrics.mean_absolute_error, mean_squared_error, r2_score.
inline Metrics regression_metrics(std::span<const double> x, std::span<const double> y) {
  const FloatModeGuard guard;
  if (x.size() != y.size())
    throw ShapeError("metrics: ", y.size(), " numbers with ", x.size(), " predictions");
  Metrics result;
  result.count = static_cast<Index>(y.size());
  if (y.empty() || !std::all_of(x.begin(), x.end(), is_finite)) return result;
  const auto n = static_cast<double>(y.size());
  double mean = 0;  // from differences to the first value: exact where all values are equal
  for (const double value : y) {
    if (!is_finite(value)) throw DataError("metrics: target ", value, " is not finite");
    mean += (value - y.front()) / n;
  }
  mean += y.front();
  double absolute = 0, squares = 0, spread = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double error = x[i] - y[i];
    absolute += std::abs(error);
    squares += error * error;
    spread += (y[i] - mean) * (y[i] - mean);
  }
  result.mae = absolute / n;
  result.rmse = std::sqrt(squares / n);
  if (spread > 0) result.r2 = 1 - squares / spread;
  return result;
}

/// The pinball loss of quantile `level`: max(q e, (q - 1) e) with e = y - x.
/// Source: Koenker and Bassett 1978; sklearn.metrics.mean_pinball_loss.
inline double pinball(double level, double x, double y) noexcept {
  const double e = y - x;
  return std::max(level * e, (level - 1) * e);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
