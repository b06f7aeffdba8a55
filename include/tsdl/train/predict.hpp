// A trained model on a set of windows: its predictions, and their metrics.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Windows per batch. Results do not depend on it, bit for bit.
inline constexpr Index prediction_batch = 64;

template <class M>
struct PredictionWorkspace {
  typename M::Cache cache;
  Buffer<typename M::Scalar> gathered;
  Buffer<double> outputs, targets;
};

/// Calls use(first, count, outputs) for consecutive batches of the windows from `begin` to before
/// `end`. The outputs are in double. Shapes: outputs [count][K], or [S][count][K] where every step
/// has a target.
template <class M, class Use>
void for_each_batch(const M& model, const Windows<typename M::Scalar>& windows, Index begin,
                    Index end, PredictionWorkspace<M>& workspace, const Use& use) {
  for (Index first = begin; first < end; first += prediction_batch) {
    const Index count = std::min(prediction_batch, end - first);
    const auto outputs =
        model.forward(windows.batch(first, count, workspace.gathered), workspace.cache, Pass{});
    check_outputs(model, outputs, windows.length(), count);
    workspace.outputs.resize(outputs.size());
    for (Index i = 0; i < outputs.size(); ++i)
      workspace.outputs[i] = static_cast<double>(outputs.data()[i]);
    use(first, count, workspace.outputs);
  }
}

/// The same for all windows.
template <class M, class Use>
void for_each_batch(const M& model, const Windows<typename M::Scalar>& windows,
                    PredictionWorkspace<M>& workspace, const Use& use) {
  for_each_batch(model, windows, Index{0}, windows.size(), workspace, use);
}

/// for_each_batch as an object, to be replaced where the batches are shared between processes.
struct EachBatchHere {
  template <class M, class Use>
  void operator()(const M& model, const Windows<typename M::Scalar>& windows,
                  PredictionWorkspace<M>& workspace, const Use& use) const {
    for_each_batch(model, windows, workspace, use);
  }
};

/// The predictions of a batch's last step. Shapes: outputs [S][count][K].
inline void decode_last(const Task& task, const Buffer<double>& outputs, Index count, double* out) {
  const double* last = outputs.data() + outputs.size() - count * task->outputs();
  for (Index b = 0; b < count; ++b)
    task->decode(last + b * task->outputs(), out + b * task->predictions());
}

}  // namespace internal

/// The prediction of the model's task for every window: the probability of class 1 or of each
/// class, or numbers or quantiles in the units of the targets. Where every step has a target, the
/// prediction of the last step. Shapes: task()->predictions() x N.
/// Throws: ShapeError when the windows have another number of inputs than the model.
template <Model M>
Matrix<double> predict(const M& model, const Windows<typename M::Scalar>& windows) {
  const FloatModeGuard guard;
  const Task task = model.task();
  task.check_outputs(model.outputs());
  Matrix<double> result(task->predictions(), windows.size());
  internal::PredictionWorkspace<M> workspace;
  internal::for_each_batch(
      model, windows, workspace, [&](Index first, Index count, const Buffer<double>& outputs) {
        internal::decode_last(task, outputs, count, result.data() + first * result.rows());
      });
  return result;
}

/// The predicted class of each window: the class of the largest probability or, of one probability,
/// class 1 from 0.5 on. Throws: OptionError when the model's targets are numbers; as predict.
template <Model M>
std::vector<Index> predicted_classes(const M& model, const Windows<typename M::Scalar>& windows) {
  if (model.task()->classes() == 0)
    throw OptionError("predicted_classes: a task of kind ", model.task()->describe().kind,
                      " has no classes");
  const Matrix<double> p = predict(model, windows);
  std::vector<Index> classes;
  for (Index i = 0; i < p.cols(); ++i) {
    const double* column = p.data() + i * p.rows();
    classes.push_back(p.rows() == 1 ? column[0] >= 0.5
                                    : std::max_element(column, column + p.rows()) - column);
  }
  return classes;
}

namespace internal {

/// The loss of a task on training windows. Batches whose loss is not finite are left out, as a
/// Trainer skips their steps; NaN when there is no other.
template <class M, class EachBatch = EachBatchHere>
double training_loss(const M& model, const Windows<typename M::Scalar>& windows, const Task& task,
                     PredictionWorkspace<M>& workspace, const EachBatch& each_batch = {}) {
  const FloatModeGuard guard;
  const Index S = target_steps(model, windows.length());
  LossSum total;
  std::vector<double> dense;
  each_batch(model, windows, workspace,
             [&](Index first, Index count, const Buffer<double>& outputs) {
               const auto targets = windows.batch_targets(first, count, S, workspace.targets);
               dense.resize(static_cast<std::size_t>(S * count * targets.inputs));
               copy_dense(targets, dense.data());
               const LossSum loss = task->loss(outputs.data(), dense.data(), S * count, nullptr);
               if (is_finite(loss.sum)) total += loss;
             });
  return total.mean();
}

}  // namespace internal

/// The loss and the figures of a task on windows with known targets. The loss is over all steps
/// that have a target, the figures are over each window's last step.
/// Throws: ShapeError, DataError when windows or targets do not fit; OptionError when the model's
/// outputs do not fit the task.
template <Model M, class EachBatch = internal::EachBatchHere>
Metrics evaluate(const M& model, const Windows<typename M::Scalar>& windows, const Task& task,
                 internal::PredictionWorkspace<M>& workspace, const EachBatch& each_batch = {}) {
  const FloatModeGuard guard;
  task.check_outputs(model.outputs());
  const Index S = target_steps(model, windows.length()), P = task->predictions();
  LossSum total;
  std::vector<double> predictions(static_cast<std::size_t>(windows.size() * P)), dense;
  each_batch(model, windows, workspace,
             [&](Index first, Index count, const Buffer<double>& outputs) {
               const auto targets = windows.batch_targets(first, count, S, workspace.targets);
               dense.resize(static_cast<std::size_t>(S * count * targets.inputs));
               copy_dense(targets, dense.data());
               task.check_targets(dense, targets.inputs, S * count);
               total += task->loss(outputs.data(), dense.data(), S * count, nullptr);
               internal::decode_last(task, outputs, count, predictions.data() + first * P);
             });
  Metrics result;
  if (windows.empty()) return result;
  result = task->measure(predictions, windows.targets());
  result.loss = total.mean();
  return result;
}

template <Model M>
Metrics evaluate(const M& model, const Windows<typename M::Scalar>& windows, const Task& task) {
  internal::PredictionWorkspace<M> workspace;
  return evaluate(model, windows, task, workspace);
}

/// evaluate() by the model's own task.
template <Model M>
Metrics evaluate(const M& model, const Windows<typename M::Scalar>& windows) {
  return evaluate(model, windows, model.task());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
