// What a trained model is worth on the windows that judge it, beside answers that never look at the
// data: plain numbers, for the terminal, the tracker and the report page.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tsdl/data/recipe.hpp"
#include "tsdl/nn/loss.hpp"
#include "tsdl/train/curves.hpp"
#include "tsdl/train/predict.hpp"

namespace examples {

/// The test windows or, where there are none, the validation windows, as the model sees them.
struct Evaluation {
  bool tested = false;                ///< these are test windows
  std::vector<tsdl::Index> ends;      ///< the last row of each window
  tsdl::Index outputs = 1;            ///< columns of probabilities; 1: of class 1
  std::vector<double> probabilities;  ///< window by window
  std::vector<double> labels;
  tsdl::Metrics metrics, baseline;  ///< baseline: of a constant answer on the same windows
  tsdl::Confusion confusion;        ///< no classes for a regression, or without windows
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
    if (outputs == 1) return k == 1 ? probabilities[i] : 1 - probabilities[i];
    return probabilities[i * static_cast<std::size_t>(outputs) + k];
  }
  /// The class that window i is taken for, as in confusion_matrix.
  std::size_t predicted(std::size_t i) const {
    if (outputs == 1) return probabilities[i] >= 0.5;
    const double* p = probabilities.data() + i * static_cast<std::size_t>(outputs);
    return static_cast<std::size_t>(std::max_element(p, p + outputs) - p);
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

/// Runs a model over the windows that judge it. The loss is that of the model's outputs, without
/// class weights.
/// Throws: ShapeError, DataError when windows or labels do not fit the model.
template <class Model>
Evaluation evaluate_model(const Model& model, const tsdl::Prepared<typename Model::Scalar>& data) {
  Evaluation e;
  e.tested = !data.test.empty();
  const auto& windows = e.tested ? data.test : data.validation;
  e.ends = windows.ends();
  e.outputs = model.options().outputs;
  e.labels.assign(windows.labels().begin(), windows.labels().end());
  const tsdl::Matrix<double> p = tsdl::predict(model, windows);
  e.probabilities.assign(p.data(), p.data() + p.size());
  e.metrics = tsdl::evaluate(model, windows);
  if (data.recipe.regression || e.labels.empty()) return e;
  e.confusion = tsdl::confusion_matrix(e.probabilities, e.outputs, e.labels);
  e.macro_f1 = tsdl::macro_f1(e.confusion);
  std::vector<tsdl::Index> counts(e.classes());
  for (const double label : e.labels) ++counts[static_cast<std::size_t>(label)];
  e.baseline = tsdl::constant_metrics(counts, e.outputs);
  e.baseline_f1 = tsdl::macro_f1(tsdl::constant_confusion(counts));
  return e;
}

/// What the best constant answer loses on these labels, by the loss that a run is trained with: of
/// classes their shares as weighed, of numbers their mean. NaN without labels.
template <class Scalar>
double constant_loss(const tsdl::Loss& loss, const std::vector<Scalar>& labels,
                     tsdl::Index outputs) {
  const auto n = static_cast<double>(labels.size());
  if (std::holds_alternative<tsdl::MSE>(loss)) {
    double sum = 0, squares = 0;
    for (const double y : labels) sum += y;
    for (const double y : labels) squares += (y - sum / n) * (y - sum / n);
    return squares / n;
  }
  const auto* bce = std::get_if<tsdl::BCEWithLogits>(&loss);
  const auto* entropy = std::get_if<tsdl::CrossEntropy>(&loss);
  std::vector<double> weights(static_cast<std::size_t>(bce ? 2 : outputs));
  for (const Scalar label : labels) {
    const auto k = static_cast<std::size_t>(label);
    weights[k] += bce ? (k == 1 ? bce->pos_weight : 1)
                      : (entropy->class_weights.empty() ? 1 : entropy->class_weights[k]);
  }
  double total = 0, sum = 0;
  for (const double weight : weights) total += weight;
  for (const double weight : weights)
    if (weight > 0) sum -= weight * std::log(weight / total);
  return sum / (bce ? n : total);
}

}  // namespace examples
