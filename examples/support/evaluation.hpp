// What a trained model is worth on the windows that judge it, beside predictions that need no
// network: plain numbers, for the terminal, the tracker and the report page.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data.hpp"
#include "report.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/select/baselines.hpp"
#include "tsdl/train/curves.hpp"
#include "tsdl/train/predict.hpp"

namespace examples {

/// What a baseline predicts for the windows that judge a model.
struct BaselineResult {
  std::string name;                 ///< "constant", "last", "linear"
  std::string title;                ///< for people
  std::vector<double> predictions;  ///< window by window
  tsdl::Metrics metrics;
  /// How many fewer mistakes the model makes on the same windows (tsdl::mistakes), with the 95%
  /// interval of a block bootstrap.
  std::optional<tsdl::MeanInterval> gain{};
};

/// The test windows or, where there are none, the validation windows, as the model sees them.
struct Evaluation {
  bool tested = false;                      ///< these are test windows
  std::string task = "classes";             ///< its kind
  std::vector<std::string_view> figures{};  ///< that the task gives
  std::vector<double> levels{};             ///< of quantiles
  std::vector<std::string> targets{};       ///< the names of numbers
  std::vector<tsdl::Index> ends;            ///< the last row of each window
  tsdl::Index outputs = 1;                  ///< predictions a window; of classes 1: of class 1
  std::vector<double> predictions;          ///< window by window: probabilities, numbers, quantiles
  std::vector<double> labels;               ///< classes, or numbers, window by window
  /// baseline: of a constant answer on the same windows, of classes the best there is.
  tsdl::Metrics metrics, baseline;
  std::vector<BaselineResult> baselines{};
  tsdl::Confusion confusion{};  ///< no classes for numbers, or without windows
  double macro_f1 = tsdl::Metrics::undefined, baseline_f1 = tsdl::Metrics::undefined;

  std::string_view part() const { return tested ? "test" : "validation"; }
  std::size_t classes() const { return confusion.classes(); }
  /// The windows of each class.
  std::vector<tsdl::Index> counts() const {
    std::vector<tsdl::Index> all;
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

/// One against the rest: the curve of class k, and its area.
struct ClassRoc {
  std::vector<tsdl::RocPoint> points;
  double auc = tsdl::Metrics::undefined;
};
inline ClassRoc class_roc(const Evaluation& e, std::size_t k) {
  std::vector<double> scores;
  std::vector<bool> positive;
  for (std::size_t i = 0; i < e.labels.size(); ++i) {
    scores.push_back(e.probability(i, k));
    positive.push_back(e.labels[i] == static_cast<double>(k));
  }
  std::vector<tsdl::RocPoint> points = tsdl::roc_curve(scores, positive);
  const double auc = tsdl::area_under(points);
  return {std::move(points), auc};
}

/// Of two classes, how often class 1 comes true where it is given a probability; of more, how often
/// the predicted class does.
inline std::vector<tsdl::CalibrationBin> calibration_bins(const Evaluation& e) {
  std::vector<double> probabilities;
  std::vector<bool> positive;
  for (std::size_t i = 0; i < e.labels.size(); ++i) {
    const std::size_t k = e.classes() == 2 ? 1 : e.predicted(i);
    probabilities.push_back(e.probability(i, k));
    positive.push_back(e.labels[i] == static_cast<double>(k));
  }
  return tsdl::calibration_curve(probabilities, positive);
}

/// Predictions that need no network, fitted on the training windows. Defined in evaluation.cpp, the
/// one place that compiles linear models.
std::vector<tsdl::Baseline> fit_baselines(const tsdl::Prepared<float>& data,
                                          const tsdl::Task& task);

/// Their figures on the validation windows, for the history: of each the two most telling figures
/// of the task. Of classes the constant one is left out: its figure is there already.
std::vector<TrackedFigure> baseline_figures(const std::vector<tsdl::Baseline>& baselines,
                                            const tsdl::Windows<float>& windows,
                                            const tsdl::Task& task);

/// What predictions of the windows that judge a model are worth, beside those of baselines. The
/// loss of `metrics` is that of the task, which counts every window the same.
/// Throws: ShapeError, DataError when predictions or labels do not fit the task.
Evaluation evaluate_predictions(const tsdl::Matrix<double>& predictions,
                                const tsdl::Metrics& metrics, const tsdl::Prepared<float>& data,
                                const tsdl::Task& task,
                                const std::vector<tsdl::Baseline>& baselines);

/// The same of a model.
template <class Model>
Evaluation evaluate_model(const Model& model, const tsdl::Prepared<float>& data,
                          const std::vector<tsdl::Baseline>& baselines) {
  const auto& windows = data.test.empty() ? data.validation : data.test;
  const tsdl::Task task = model.task().unweighted();
  return evaluate_predictions(tsdl::predict(model, windows), tsdl::evaluate(model, windows, task),
                              data, task, baselines);
}

/// What the best constant answer loses on these targets by a task: of classes their shares as
/// weighed; of numbers the mean or the median, of quantiles those. NaN without targets.
double constant_loss(const tsdl::Task& task, const std::vector<double>& targets);

}  // namespace examples
