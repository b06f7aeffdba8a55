// What a model and predictions without one are worth: the one place that compiles linear models.
#include "evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace examples {

std::vector<tsdl::Baseline> fit_baselines(const tsdl::Prepared<float>& data,
                                          const tsdl::Task& task) {
  return tsdl::fit_baselines(data.train, data.validation, task);
}

std::vector<TrackedFigure> baseline_figures(const std::vector<tsdl::Baseline>& baselines,
                                            const tsdl::Windows<float>& windows,
                                            const tsdl::Task& task) {
  std::vector<TrackedFigure> all;
  if (windows.empty()) return all;
  const auto names = task->figures();
  for (const tsdl::Baseline& baseline : baselines) {
    if (task->classes() > 0 && baseline.kind == tsdl::Baseline::Kind::constant) continue;
    const tsdl::Matrix<double> p = tsdl::predict(baseline, windows, task);
    const tsdl::Metrics m =
        task->measure({p.data(), static_cast<std::size_t>(p.size())}, windows.targets());
    for (std::size_t i = 0; i < std::min<std::size_t>(2, names.size()); ++i)
      all.push_back(
          {baseline.name + '_' + std::string(names[i]), m.*tsdl::figure_of(names[i]).value});
  }
  return all;
}

Evaluation evaluate_predictions(const tsdl::Matrix<double>& p, const tsdl::Metrics& metrics,
                                const tsdl::Prepared<float>& data, const tsdl::Task& task,
                                const std::vector<tsdl::Baseline>& baselines) {
  const tsdl::Config config = task->describe();
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
  e.predictions.assign(p.data(), p.data() + p.size());
  e.metrics = metrics;
  if (windows.empty()) return e;

  const bool known = std::all_of(e.predictions.begin(), e.predictions.end(), tsdl::is_finite);
  const std::vector<double> mistakes = tsdl::mistakes(task, p, e.labels);
  tsdl::BlockBootstrapOptions bootstrap;  // targets that overlap are one block at least
  bootstrap.block_length = std::min(
      windows.size(),
      std::max(tsdl::default_block_length(windows.size()), tsdl::horizon(data.recipe.label)));
  for (const tsdl::Baseline& baseline : baselines) {
    const tsdl::Matrix<double> b = tsdl::predict(baseline, windows, task);
    BaselineResult result{baseline.name, baseline.title, {b.data(), b.data() + b.size()}, {}};
    result.metrics = task->measure(result.predictions, e.labels);
    if (known && std::all_of(result.predictions.begin(), result.predictions.end(), tsdl::is_finite))
      result.gain = tsdl::paired_gain(mistakes, tsdl::mistakes(task, b, e.labels), bootstrap);
    if (baseline.kind == tsdl::Baseline::Kind::linear && task->classes() > 0) {
      const tsdl::Matrix<double> logits =
          baseline.linear.outputs(tsdl::internal::last_rows(windows));
      result.metrics.loss =
          task->loss(logits.data(), e.labels.data(), windows.size(), nullptr).mean();
    }
    e.baselines.push_back(std::move(result));
  }
  if (task->classes() == 0) {
    if (const BaselineResult* constant = e.baseline_named("constant"))
      e.baseline = constant->metrics;
    return e;
  }
  e.confusion = tsdl::confusion_matrix(e.predictions, e.outputs, e.labels);
  e.macro_f1 = tsdl::macro_f1(e.confusion);
  std::vector<tsdl::Index> counts(e.classes());
  for (const double label : e.labels) ++counts[static_cast<std::size_t>(label)];
  e.baseline = tsdl::constant_metrics(counts, e.outputs);
  e.baseline_f1 = tsdl::macro_f1(tsdl::constant_confusion(counts));
  return e;
}

double constant_loss(const tsdl::Task& task, const std::vector<double>& targets) {
  const auto n = std::ssize(targets) / task->targets();
  if (n == 0) return tsdl::Metrics::undefined;
  const tsdl::Config config = task->describe();
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
  const tsdl::TargetScale scale = tsdl::TargetScale::from(config);
  const tsdl::Index K = task->targets(), Q = task->outputs() / K, m = (Q - 1) / 2;
  for (tsdl::Index k = 0; k < K; ++k) {
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
    for (tsdl::Index j = 0; j < Q; ++j) {
      const auto at = static_cast<std::size_t>(j);
      // The inverse of softplus of the distance to the neighbour on the side of the middle.
      if (j == m) x[at] = answer[at];
      const double step = j > m   ? answer[at] - answer[at - 1]
                          : j < m ? answer[at + 1] - answer[at]
                                  : 0;
      if (j != m) x[at] = step > 30 ? step : std::log(std::expm1(std::max(step, 1e-12)));
    }
    for (tsdl::Index i = 0; i < n; ++i)
      std::copy(x.begin(), x.end(), outputs.begin() + (i * K + k) * Q);
  }
  return task->loss(outputs.data(), targets.data(), n, nullptr).mean();
}

}  // namespace examples
