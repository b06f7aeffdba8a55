// A trained model beside what predicts without a network, on the windows that judge it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/select/baselines.hpp"
#include "tsdl/select/bootstrap.hpp"
#include "tsdl/task/target_scale.hpp"
#include "tsdl/task/task.hpp"
#include "tsdl/train/curves.hpp"
#include "tsdl/train/predict.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What predictions of the test windows are worth, or where there are none of the validation
/// windows, beside those of baselines (fit_baselines). `metrics` are theirs; their loss is that of
/// the task, which counts every window the same.
/// Shapes: predictions task->predictions() x N.
/// Throws: ShapeError, DataError when predictions, labels or baselines do not fit the task.
template <class Scalar>
Evaluation evaluate_predictions(const Matrix<double>& predictions, const Metrics& metrics,
                                const Prepared<Scalar>& data, const Task& task,
                                const std::vector<Baseline>& baselines) {
  const FloatModeGuard guard;
  const Config config = task->describe();
  Evaluation e;
  e.tested = !data.test.empty();
  const auto& windows = e.tested ? data.test : data.validation;
  e.task = task->classes() > 0 ? "classes" : config.kind;
  e.figures = task->figures();
  if (config.contains("levels")) e.levels = config.numbers("levels");
  e.targets = task->classes() > 0 ? std::vector<std::string>() : target_names(data.recipe);
  e.ends = windows.ends();
  e.outputs = task->predictions();
  e.labels = windows.targets();
  e.predictions.assign(predictions.data(), predictions.data() + predictions.size());
  e.metrics = metrics;
  if (windows.empty()) return e;

  const bool known = std::all_of(e.predictions.begin(), e.predictions.end(), is_finite);
  const std::vector<double> ours = mistakes(task, predictions, e.labels);
  BlockBootstrapOptions bootstrap;  // targets that overlap are one block at least
  bootstrap.block_length = std::min(
      windows.size(),
      std::max(internal::block_length_of(bootstrap, windows.size()), horizon(data.recipe.label)));
  for (const Baseline& baseline : baselines) {
    const Matrix<double> b = predict(baseline, windows, task);
    BaselineResult result{baseline.name, baseline.title, {b.data(), b.data() + b.size()}, {}};
    result.metrics = task->measure(result.predictions, e.labels);
    if (known && std::all_of(result.predictions.begin(), result.predictions.end(), is_finite))
      result.gain = paired_gain(ours, mistakes(task, b, e.labels), bootstrap);
    if (baseline.kind == Baseline::Kind::linear && task->classes() > 0) {
      const Matrix<double> logits = baseline.linear.outputs(internal::last_rows(windows));
      result.metrics.loss =
          task.uncalibrated()->loss(logits.data(), e.labels.data(), windows.size(), nullptr).mean();
    }
    e.baselines.push_back(std::move(result));
  }
  if (task->classes() == 0) {
    if (const BaselineResult* constant = e.baseline_named("constant"))
      e.baseline = constant->metrics;
    return e;
  }
  e.confusion = confusion_matrix(e.predictions, e.outputs, e.labels);
  e.macro_f1 = macro_f1(e.confusion);
  std::vector<Index> counts(e.classes());
  for (const double label : e.labels) ++counts[static_cast<std::size_t>(label)];
  e.baseline = constant_metrics(counts, e.outputs);
  e.baseline_f1 = macro_f1(constant_confusion(counts));
  return e;
}

/// The same of a model. Deterministic.
/// Throws: as above, and as predict and evaluate.
template <class M>
Evaluation evaluate_beside_baselines(const M& model, const Prepared<typename M::Scalar>& data,
                                     const std::vector<Baseline>& baselines) {
  const auto& windows = data.test.empty() ? data.validation : data.test;
  const Task task = model.task().unweighted();
  Evaluation e = evaluate_predictions(predict(model, windows), evaluate(model, windows, task), data,
                                      task, baselines);
  if (!same_value(task->temperature(), 1.0)) {
    const Task before = task.uncalibrated();
    const Matrix<double> p = predict(model, windows, before);
    e.uncalibrated = {
        task->temperature(), {p.data(), p.data() + p.size()}, evaluate(model, windows, before)};
  }
  return e;
}

/// The same beside the baselines of the model's task, fitted here on the training windows.
/// Throws: also as fit_baselines.
template <class M>
Evaluation evaluate_beside_baselines(const M& model, const Prepared<typename M::Scalar>& data) {
  return evaluate_beside_baselines(model, data,
                                   fit_baselines(data.train, data.validation, model.task()));
}

namespace report {

/// What the best constant answer loses on these targets by a task: of classes their shares as
/// weighed; of numbers the mean or the median, of quantiles those. NaN without targets.
inline double constant_loss(const Task& task, const std::vector<double>& targets) {
  const auto n = std::ssize(targets) / task->targets();
  if (n == 0) return Metrics::undefined;
  const Config config = task->describe();
  std::vector<double> outputs(static_cast<std::size_t>(n * task->outputs()));
  if (task->classes() > 0) {
    // Shares as weighed: the loss of a class by itself is minus the logarithm of its share.
    std::vector<double> weights(static_cast<std::size_t>(task->classes()), 0.0);
    const auto weight_of = [&](std::size_t k) {
      if (config.contains("pos_weight")) return k == 1 ? config.number("pos_weight") : 1.0;
      const std::vector<double>& all = config.numbers("weights");
      return all.empty() ? 1.0 : all[k];
    };
    for (const double y : targets)
      weights[static_cast<std::size_t>(y)] += weight_of(static_cast<std::size_t>(y));
    double total = 0, sum = 0;
    for (const double weight : weights) total += weight;
    for (const double weight : weights)
      if (weight > 0) sum -= weight * std::log(weight / total);
    return sum / (config.contains("pos_weight") ? static_cast<double>(n) : total);
  }
  // Numbers and quantiles: from the targets' own, on the scale of the outputs.
  const TargetScale scale = TargetScale::from(config);
  const Index K = task->targets(), Q = task->outputs() / K, m = (Q - 1) / 2;
  for (Index k = 0; k < K; ++k) {
    std::vector<double> values = tsdl::internal::every(targets, k, K);
    for (double& value : values) value = scale.scaled(k, value);
    std::sort(values.begin(), values.end());
    double mean = 0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    std::vector<double> answer = {mean};
    if (config.contains("levels")) {
      answer.clear();
      for (const double level : config.numbers("levels"))
        answer.push_back(tsdl::internal::quantile_of_sorted(values, level));
    } else if (config.text("loss") != "mse") {
      answer = {tsdl::internal::quantile_of_sorted(values, 0.5)};
    }
    std::vector<double> x(answer.size());
    for (Index j = 0; j < Q; ++j) {
      const auto at = static_cast<std::size_t>(j);
      // The inverse of softplus of the distance to the neighbour on the side of the middle.
      if (j == m) x[at] = answer[at];
      const double step = j > m   ? answer[at] - answer[at - 1]
                          : j < m ? answer[at + 1] - answer[at]
                                  : 0;
      if (j != m) x[at] = step > 30 ? step : std::log(std::expm1(std::max(step, 1e-12)));
    }
    for (Index i = 0; i < n; ++i) std::copy(x.begin(), x.end(), outputs.begin() + (i * K + k) * Q);
  }
  return task->loss(outputs.data(), targets.data(), n, nullptr).mean();
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
