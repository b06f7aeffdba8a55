// A trained model on a set of samples: its predictions, and their metrics.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/samples.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Samples per batch. Results do not depend on it, bit for bit.
inline constexpr Index prediction_batch = 64;

template <class M>
struct PredictionWorkspace {
  typename M::Cache cache;
  BatchScratch<typename M::Scalar> scratch;
  Buffer<double> outputs;
};

/// Calls use(first, count, outputs) for consecutive batches of the samples from `begin` to before
/// `end`. The outputs are in double. Shapes: outputs [count][K], or [S][count][K] where every step
/// has a target.
template <class M, class Set, class Use>
void for_each_batch(const M& model, const Set& samples, Index begin, Index end,
                    PredictionWorkspace<M>& workspace, const Use& use) {
  for (Index first = begin; first < end; first += prediction_batch) {
    const Index count = std::min(prediction_batch, end - first);
    const auto outputs = model.forward(
        samples.inputs_of(Samples{first, count, {}}, workspace.scratch), workspace.cache, Pass{});
    check_outputs(model, outputs, samples.length(), count);
    workspace.outputs.resize(outputs.size());
    for (Index i = 0; i < outputs.size(); ++i)
      workspace.outputs[i] = static_cast<double>(outputs.data()[i]);
    use(first, count, workspace.outputs);
  }
}

/// The same for all samples.
template <class M, class Set, class Use>
void for_each_batch(const M& model, const Set& samples, PredictionWorkspace<M>& workspace,
                    const Use& use) {
  for_each_batch(model, samples, Index{0}, samples.size(), workspace, use);
}

/// for_each_batch as an object, to be replaced where the batches are shared between processes.
struct EachBatchHere {
  template <class M, class Set, class Use>
  void operator()(const M& model, const Set& samples, PredictionWorkspace<M>& workspace,
                  const Use& use) const {
    for_each_batch(model, samples, workspace, use);
  }
};

/// The predictions of a batch's last step. Shapes: outputs [S][count][K].
inline void decode_last(const Task& task, const Buffer<double>& outputs, Index count, double* out) {
  const double* last = outputs.data() + outputs.size() - count * task->outputs();
  for (Index b = 0; b < count; ++b)
    task->decode(last + b * task->outputs(), out + b * task->predictions());
}

/// Calls use(i, weights) for each sample i in turn, with the attention weights of its own steps,
/// the oldest first. Returns whether the model has attention pooling; if not, nothing is called.
template <class M, class Set, class Use>
bool for_each_attention(const M& model, const Set& samples, const Use& use) {
  if constexpr (requires(typename M::Cache & cache) { model.attention(cache); }) {
    PredictionWorkspace<M> workspace;
    for (Index first = 0; first < samples.size(); first += prediction_batch) {
      const Index count = std::min(prediction_batch, samples.size() - first);
      const auto batch = samples.inputs_of(Samples{first, count, {}}, workspace.scratch);
      model.forward(batch, workspace.cache, Pass{});
      const auto weights = model.attention(workspace.cache);
      if (weights.empty()) return false;
      const Index T = batch.past.steps;
      for (Index b = 0; b < count; ++b)
        use(first + b,
            weights.subspan(static_cast<std::size_t>(b * T),
                            static_cast<std::size_t>(sample_length(batch.lengths, b, T))));
    }
    return true;
  } else {
    return false;
  }
}

}  // namespace internal

/// The prediction of a task for every window: the probability of class 1 or of each class, or
/// numbers or quantiles in the units of the targets. Where every step has a target, the prediction
/// of the last step. Of normalised windows of a panel, in the columns' own units.
/// Shapes: task->predictions() x N.
/// Throws: ShapeError when the samples have another number of inputs than the model; OptionError
/// when the model's outputs do not fit the task.
template <Model M, SampleSet Set>
Matrix<double> predict(const M& model, const Set& samples, const Task& task) {
  const FloatModeGuard guard;
  task.check_outputs(model.outputs());
  Matrix<double> result(task->predictions(), samples.size());
  internal::PredictionWorkspace<M> workspace;
  internal::for_each_batch(
      model, samples, workspace, [&](Index first, Index count, const Buffer<double>& outputs) {
        internal::decode_last(task, outputs, count, result.data() + first * result.rows());
        if constexpr (requires { samples.restore(Index{}, std::span<double>()); })
          for (Index b = first; b < first + count; ++b)
            samples.restore(
                b, {result.data() + b * result.rows(), static_cast<std::size_t>(result.rows())});
      });
  return result;
}

/// predict() by the model's own task.
template <Model M, SampleSet Set>
Matrix<double> predict(const M& model, const Set& samples) {
  return predict(model, samples, model.task());
}

/// How much of each row of every window a model with attention pooling reads, by lag: the weight of
/// a window's last row first; 0 before the first row of a window that is shorter. Units: the
/// weights of a window sum to 1. Shapes: T x N; 0 x 0 for a model without attention pooling.
/// Throws: ShapeError when the samples have another number of inputs than the model.
template <Model M, SampleSet Set>
Matrix<double> attention_weights(const M& model, const Set& samples) {
  const FloatModeGuard guard;
  Matrix<double> result;
  internal::for_each_attention(model, samples, [&](Index i, const auto& weights) {
    if (i == 0) result.setZero(samples.length(), samples.size());
    const Index length = std::ssize(weights);
    for (Index lag = 0; lag < length; ++lag)
      result(lag, i) = static_cast<double>(weights[static_cast<std::size_t>(length - 1 - lag)]);
  });
  return result;
}

/// The predicted class of each window: the class of the largest probability or, of one probability,
/// class 1 from 0.5 on. Throws: OptionError when the model's targets are numbers; as predict.
template <Model M, SampleSet Set>
std::vector<Index> predicted_classes(const M& model, const Set& samples) {
  if (model.task()->classes() == 0)
    throw OptionError("predicted_classes: a task of kind ", model.task()->describe().kind,
                      " has no classes");
  const Matrix<double> p = predict(model, samples);
  std::vector<Index> classes;
  for (Index i = 0; i < p.cols(); ++i) {
    const double* column = p.data() + i * p.rows();
    classes.push_back(p.rows() == 1 ? column[0] >= 0.5
                                    : std::max_element(column, column + p.rows()) - column);
  }
  return classes;
}

namespace internal {

/// The loss of a task on training samples. Batches whose loss is not finite are left out, as a
/// Trainer skips their steps; NaN when there is no other.
template <class M, class Set, class EachBatch = EachBatchHere>
double training_loss(const M& model, const Set& samples, const Task& task,
                     PredictionWorkspace<M>& workspace, const EachBatch& each_batch = {}) {
  const FloatModeGuard guard;
  const Index S = target_steps(model, samples.length());
  LossSum total;
  std::vector<double> dense;
  each_batch(
      model, samples, workspace, [&](Index first, Index count, const Buffer<double>& outputs) {
        const auto targets = samples.targets_of(Samples{first, count, {}}, S, workspace.scratch);
        dense.resize(static_cast<std::size_t>(S * count * targets.inputs));
        copy_dense(targets, dense.data());
        const LossSum loss = task->loss(outputs.data(), dense.data(), S * count, nullptr);
        if (is_finite(loss.sum)) total += loss;
      });
  return total.mean();
}

}  // namespace internal

/// The loss and the figures of a task on samples with known targets. The loss is over all steps
/// that have a target, the figures are over each window's last step.
/// Throws: ShapeError, DataError when samples or targets do not fit; OptionError when the model's
/// outputs do not fit the task.
template <Model M, SampleSet Set, class EachBatch = internal::EachBatchHere>
Metrics evaluate(const M& model, const Set& samples, const Task& task,
                 internal::PredictionWorkspace<M>& workspace, const EachBatch& each_batch = {}) {
  const FloatModeGuard guard;
  task.check_outputs(model.outputs());
  const Index S = target_steps(model, samples.length()), P = task->predictions();
  LossSum total;
  std::vector<double> predictions(static_cast<std::size_t>(samples.size() * P)), dense;
  each_batch(
      model, samples, workspace, [&](Index first, Index count, const Buffer<double>& outputs) {
        const auto targets = samples.targets_of(Samples{first, count, {}}, S, workspace.scratch);
        dense.resize(static_cast<std::size_t>(S * count * targets.inputs));
        copy_dense(targets, dense.data());
        task.check_targets(dense, targets.inputs, S * count);
        total += task->loss(outputs.data(), dense.data(), S * count, nullptr);
        internal::decode_last(task, outputs, count, predictions.data() + first * P);
      });
  Metrics result;
  if (samples.empty()) return result;
  result = task->measure(predictions, samples.targets());
  result.loss = total.mean();
  return result;
}

template <Model M, SampleSet Set>
Metrics evaluate(const M& model, const Set& samples, const Task& task) {
  internal::PredictionWorkspace<M> workspace;
  return evaluate(model, samples, task, workspace);
}

/// evaluate() by the model's own task.
template <Model M, SampleSet Set>
Metrics evaluate(const M& model, const Set& samples) {
  return evaluate(model, samples, model.task());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
