// What a trained model is worth on the windows that judge it, beside predictions that need no
// network: plain numbers, for a page, a terminal or a tracker.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/select/bootstrap.hpp"
#include "tsdl/task/metrics.hpp"
#include "tsdl/train/curves.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What a baseline predicts for the windows that judge a model.
struct BaselineResult {
  std::string name;                 ///< "constant", "last", "linear"
  std::string title;                ///< for people
  std::vector<double> predictions;  ///< window by window
  Metrics metrics;
  /// How many fewer mistakes the model makes on the same windows (mistakes), with the 95%
  /// interval of a block bootstrap.
  std::optional<MeanInterval> gain{};
};

/// What a model with a temperature predicts without it.
struct UncalibratedResult {
  double temperature = 1;
  std::vector<double> predictions;  ///< window by window
  Metrics metrics;
};

/// The test windows or, where there are none, the validation windows, as the model sees them.
struct Evaluation {
  bool tested = false;                      ///< these are test windows
  std::string task = "classes";             ///< its kind
  std::vector<std::string_view> figures{};  ///< that the task gives
  std::vector<double> levels{};             ///< of quantiles
  std::vector<std::string> targets{};       ///< the names of numbers
  std::vector<Index> ends;                  ///< the last row of each window
  Index outputs = 1;                        ///< predictions a window; of classes 1: of class 1
  std::vector<double> predictions;          ///< window by window: probabilities, numbers, quantiles
  std::vector<double> labels;               ///< classes, or numbers, window by window
  /// baseline: of a constant answer on the same windows, of classes the best there is.
  Metrics metrics, baseline;
  std::vector<BaselineResult> baselines{};
  std::optional<UncalibratedResult> uncalibrated{};  ///< where the task has a temperature
  Confusion confusion{};                             ///< no classes for numbers, or without windows
  double macro_f1 = Metrics::undefined, baseline_f1 = Metrics::undefined;

  std::string_view part() const { return tested ? "test" : "validation"; }
  std::size_t classes() const { return confusion.classes(); }
  /// The windows of each class.
  std::vector<Index> counts() const {
    std::vector<Index> all;
    for (std::size_t k = 0; k < classes(); ++k) all.push_back(confusion.actual(k));
    return all;
  }
  /// The probability of class k for window i.
  double probability(std::size_t i, std::size_t k) const {
    if (outputs == 1) return k == 1 ? predictions[i] : 1 - predictions[i];
    return predictions[i * static_cast<std::size_t>(outputs) + k];
  }
  /// The class that window i is taken for, as in confusion_matrix.
  std::size_t predicted(std::size_t i) const {
    if (outputs == 1) return predictions[i] >= 0.5;
    const double* p = predictions.data() + i * static_cast<std::size_t>(outputs);
    return static_cast<std::size_t>(std::max_element(p, p + outputs) - p);
  }
  /// The baseline of this name, or null.
  const BaselineResult* baseline_named(std::string_view name) const {
    for (const BaselineResult& one : baselines)
      if (one.name == name) return &one;
    return nullptr;
  }
};

namespace report {

/// One against the rest: the curve of class k, and its area.
struct ClassRoc {
  std::vector<RocPoint> points;
  double auc = Metrics::undefined;
};

inline ClassRoc class_roc(const Evaluation& e, std::size_t k) {
  std::vector<double> scores;
  std::vector<bool> positive;
  for (std::size_t i = 0; i < e.labels.size(); ++i) {
    scores.push_back(e.probability(i, k));
    positive.push_back(same_value(e.labels[i], static_cast<double>(k)));
  }
  std::vector<RocPoint> points = roc_curve(scores, positive);
  const double auc = area_under(points);
  return {std::move(points), auc};
}

/// Of two classes, how often class 1 comes true where it is given a probability; of more, how often
/// the predicted class does.
inline std::vector<CalibrationBin> calibration_bins(const Evaluation& e) {
  std::vector<double> probabilities;
  std::vector<bool> positive;
  for (std::size_t i = 0; i < e.labels.size(); ++i) {
    const std::size_t k = e.classes() == 2 ? 1 : e.predicted(i);
    probabilities.push_back(e.probability(i, k));
    positive.push_back(same_value(e.labels[i], static_cast<double>(k)));
  }
  return calibration_curve(probabilities, positive);
}
/// The same without the temperature; empty where there is none.
inline std::vector<CalibrationBin> uncalibrated_bins(const Evaluation& e) {
  if (!e.uncalibrated) return {};
  Evaluation before = e;
  before.predictions = e.uncalibrated->predictions;
  return calibration_bins(before);
}

/// How far probabilities are from what comes true: the mean over windows of |observed share - mean
/// probability| of their bin. Source: Naeini et al. 2015, expected calibration error.
inline double calibration_error(const std::vector<CalibrationBin>& bins) {
  double sum = 0, count = 0;
  for (const CalibrationBin& bin : bins) {
    if (bin.count == 0) continue;
    sum += static_cast<double>(bin.count) * std::abs(bin.share_positive - bin.mean_probability);
    count += static_cast<double>(bin.count);
  }
  return count > 0 ? sum / count : Metrics::undefined;
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
