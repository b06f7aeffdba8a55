// What is fitted to a trained model's outputs on validation samples: the temperature of its
// probabilities, and the weights of an ensemble's members. Both losses are convex: no better value
// hides behind a worse one.
//
//   z_i       outputs of sample i       b = 1 / temperature
//   L(b)      loss of the outputs b z         dL/db = sum_i z_i . dL_i/dz (b z_i)
//   L(w)      loss of the outputs combine(x_i; w)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/nn/ensemble.hpp"
#include "tsdl/train/predict.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Outputs and targets of samples, each step that has a target one row.
struct JudgedOutputs {
  std::vector<double> outputs;  ///< [n][K]
  std::vector<double> targets;  ///< [n][targets]
  Index size = 0;               ///< n
};

/// Throws: ShapeError, DataError when samples or targets do not fit the model's task.
template <class M, class Set>
JudgedOutputs judged_outputs(const M& model, const Set& samples, const Task& task) {
  task.check_outputs(model.outputs());
  const Index S = target_steps(model, samples.length());
  PredictionWorkspace<M> workspace;
  JudgedOutputs all;
  for_each_batch(
      model, samples, workspace, [&](Index first, Index count, const Buffer<double>& outputs) {
        const auto targets = samples.targets_of(Samples{first, count, {}}, S, workspace.scratch);
        const auto before = static_cast<std::ptrdiff_t>(all.targets.size());
        all.targets.resize(all.targets.size() +
                           static_cast<std::size_t>(S * count * targets.inputs));
        copy_dense(targets, all.targets.data() + before);
        all.outputs.insert(all.outputs.end(), outputs.begin(), outputs.end());
        all.size += S * count;
      });
  task.check_targets(all.targets, task->targets(), all.size);
  return all;
}

}  // namespace internal

/// The least and the largest temperature that fit_temperature gives: of samples that are all
/// classified right, any lower one is better; of a model that is worse than even odds, any higher
/// one.
inline constexpr double least_temperature = 0.01, largest_temperature = 100;

/// The temperature at which the probabilities of a classifier lose least on these samples, each of
/// which counts the same. Set it by model.set_task(model.task().with_temperature(t)). The
/// temperature that the task has does not matter.
/// Throws: OptionError when the task has no classes; DataError without samples, or when outputs are
/// not finite; as evaluate.
template <Model M, SampleSet Set>
double fit_temperature(const M& model, const Set& samples) {
  const FloatModeGuard guard;
  if (samples.empty()) throw DataError("temperature: there are no samples to fit it to");
  const Task task = model.task().unweighted().with_temperature(1);
  const internal::JudgedOutputs judged = internal::judged_outputs(model, samples, task);
  std::vector<double> scaled(judged.outputs.size()), slopes(judged.outputs.size());
  const auto slope_at = [&](double b) {
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = b * judged.outputs[i];
    task->loss(scaled.data(), judged.targets.data(), judged.size, slopes.data());
    double slope = 0;
    for (std::size_t i = 0; i < scaled.size(); ++i) slope += slopes[i] * judged.outputs[i];
    return slope;
  };
  const double at_one = slope_at(1);
  if (!is_finite(at_one)) throw DataError("temperature: outputs of the model are not finite");
  if (is_zero(at_one)) return 1;  // so where no logit tells anything
  // The slope grows with b: where it is 0 is found by halving log b.
  double low = -std::log(largest_temperature), high = -std::log(least_temperature);
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (slope_at(std::exp(middle)) > 0 ? high : low) = middle;
  }
  return std::exp(-0.5 * (low + high));
}

/// The weights of an ensemble's members with which it loses least on these samples. Set them by
/// set_weights(). Equations: exponentiated gradient, w_m <- w_m exp(-r dL/dw_m) / sum, with a rate
/// r whose step takes off a tenth of what the slope promises or more, until the loss is within 1e-9
/// of its least, as the largest gain along a straight line says. Of MAE and quantiles, whose losses
/// have kinks, the search may end at one, a little above the least.
/// Throws: DataError without samples, or when outputs are not finite; as evaluate.
/// Source: Kivinen and Warmuth 1997; the bound is that of Frank and Wolfe 1956.
template <class Scalar, SampleSet Set>
std::vector<double> fit_weights(const Ensemble<Scalar>& ensemble, const Set& samples) {
  constexpr int most_steps = 10000;
  constexpr double most_exponent = 20;  // no weight falls out of reach in one step
  const FloatModeGuard guard;
  if (samples.empty()) throw DataError("ensemble: there are no samples to fit weights to");
  const Task task = ensemble.task().unweighted().uncalibrated();
  const auto M = static_cast<std::size_t>(ensemble.size());
  const auto K = static_cast<std::size_t>(task->outputs());
  std::vector<double> targets, columns;  // [n][M][K]
  std::size_t n = 0;
  for (std::size_t m = 0; m < M; ++m) {
    const internal::JudgedOutputs judged =
        internal::judged_outputs(ensemble.member(static_cast<Index>(m)), samples, task);
    n = static_cast<std::size_t>(judged.size);
    columns.resize(n * M * K);
    for (std::size_t i = 0; i < n; ++i)
      std::copy_n(judged.outputs.data() + i * K, K, columns.data() + (i * M + m) * K);
    targets = judged.targets;
  }
  std::vector<double> combined(n * K), slopes(n * K), unused(M * K);
  const auto loss_at = [&](const std::vector<double>& w) {
    for (std::size_t i = 0; i < n; ++i)
      task->combine({columns.data() + i * M * K, w.data(), ensemble.size()},
                    combined.data() + i * K);
    return task->loss(combined.data(), targets.data(), static_cast<Index>(n), slopes.data());
  };
  const auto gradient_at = [&](const std::vector<double>& w, double weight) {
    std::vector<double> gradient(M);
    for (std::size_t i = 0; i < n; ++i)
      task->combine_backward({columns.data() + i * M * K, w.data(), ensemble.size()},
                             combined.data() + i * K, slopes.data() + i * K, unused.data(),
                             gradient.data());
    for (double& g : gradient) g /= weight;
    return gradient;
  };
  std::vector<double> w(M, 1.0 / static_cast<double>(M)), tried(M);
  LossSum loss = loss_at(w);
  if (!is_finite(loss.mean())) throw DataError("ensemble: outputs of its members are not finite");
  double rate = 1;
  for (int step = 0; step < most_steps; ++step) {
    const std::vector<double> gradient = gradient_at(w, loss.weight);
    const auto ends = std::minmax_element(gradient.begin(), gradient.end());
    const double least = *ends.first, most = *ends.second;
    double gap = 0;
    for (std::size_t m = 0; m < M; ++m) gap += w[m] * (gradient[m] - least);
    if (!(gap > 1e-9 * std::max(1.0, std::abs(loss.mean())))) break;
    rate = std::min(2 * rate, most_exponent / (most - least));
    LossSum next;
    const auto is_better = [&] {
      double sum = 0, promised = 0;
      for (std::size_t m = 0; m < M; ++m)
        sum += tried[m] = w[m] * std::exp(-rate * (gradient[m] - least));
      for (std::size_t m = 0; m < M; ++m) {
        tried[m] /= sum;
        promised += gradient[m] * (w[m] - tried[m]);
      }
      next = loss_at(tried);
      return next.mean() <= loss.mean() - 0.1 * promised;
    };
    bool found = is_better();
    while (!found && rate > 1e-12) {
      rate /= 2;
      found = is_better();
    }
    if (!found) break;
    w = tried;
    loss = next;
  }
  return w;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
