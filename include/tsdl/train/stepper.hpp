// One update of a model: forward, loss, backward, clip, AdamW. LocalStepper runs it in this
// process.
//
// A Trainer tells a stepper only which samples an update uses. ShardedStepper of
// spread/sharded_stepper.hpp shares updates between processes. For updates elsewhere, write another
// class with the same members. A stepper may also have the member
//
//   each_batch(set, workspace, use)    as internal::for_each_batch of train/predict.hpp
//
// which then makes the outputs for the losses at an epoch's end.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/samples.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/optim/clip.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The settings of an update.
struct Update {
  double learning_rate = 0;
  double clip_norm = 0;  ///< 0: no clipping
  DropoutKey dropout{};
};

/// The result of an update.
struct UpdateResult {
  LossSum loss{};   ///< before the update
  double norm = 0;  ///< of all gradients together, before clipping
  /// Whether the weights were updated: false when loss or norm is not finite.
  bool applied = false;
};

namespace internal {

/// The two passes of a batch, or of a part of one, with all that lies between them.
template <class M>
class BatchPass {
 public:
  using Scalar = typename M::Scalar;

  /// Copies targets in the order of the outputs, [S][B][K], and checks them.
  static void collect_targets(Buffer<double>& to, const Sequence<const double>& from,
                              const Task& task, Index S, Index B) {
    if (!from.data || from.steps != S || from.batch != B)
      throw ShapeError("Trainer: expected targets of ", S, " steps of ", B, " samples, got ",
                       from.data ? from.steps : 0, " of ", from.data ? from.batch : 0);
    to.resize(S * B * from.inputs);
    copy_dense(from, to.data());
    task.check_targets(std::as_const(to).span(), from.inputs, S * B);
  }

  /// Returns the loss of the batch. Throws: ShapeError, DataError when its targets do not fit the
  /// task.
  LossSum forward(const M& model, const Task& task, const Batch<Scalar>& batch,
                  const DropoutKey& dropout) {
    const Index S = target_steps(model, batch.past.steps), n = S * batch.size();
    collect_targets(targets_, batch.targets, task, S, batch.size());
    const Outputs<Scalar> outputs =
        model.forward(batch, cache_, {.training = true, .dropout = dropout});
    check_outputs(model, outputs, batch.past.steps, batch.size());
    outputs_.resize(outputs.size());
    slopes_.resize(outputs.size());
    for (Index i = 0; i < outputs.size(); ++i) outputs_[i] = static_cast<double>(outputs.data()[i]);
    return task->loss(outputs_.data(), targets_.data(), n, slopes_.data());
  }

  /// Back-propagates that loss, divided by `weight`. Accumulates: the gradients of parameters.
  void backward(M& model, const Batch<Scalar>& batch, double weight) {
    doutputs_.resize(slopes_.size());
    for (Index i = 0; i < slopes_.size(); ++i)
      doutputs_[i] = static_cast<Scalar>(slopes_[i] / weight);
    model.backward(batch, cache_, doutputs_.data());
  }

 private:
  typename M::Cache cache_;
  Buffer<Scalar> doutputs_;
  Buffer<double> targets_, outputs_, slopes_;
};

/// The end of an update, from the gradients on: clips them, and lets AdamW change the weights.
template <class M>
UpdateResult apply_gradients(M& model, Optimizer<typename M::Scalar>& optimizer,
                             const LossSum& loss, const Update& update) {
  UpdateResult result{.loss = loss, .norm = gradient_norm(model)};
  result.applied = is_finite(result.norm) && is_finite(loss.sum);
  if (result.applied)
    optimizer.step(model, update.learning_rate, clip_coefficient(result.norm, update.clip_norm));
  return result;
}

}  // namespace internal

/// Makes updates in this process. For use from one thread; the result does not depend on the number
/// of threads that the library uses.
template <class M>  // a Model, which the Trainer checks
class LocalStepper {
 public:
  using Scalar = typename M::Scalar;

  /// The model must outlive the stepper. Throws: OptionError when an option is out of range.
  LocalStepper(M& model, const AdamW& optimizer) : model_(model), optimizer_(model, optimizer) {
    update(model, [](Parameter<Scalar>& parameter) { parameter.need_gradient(); });
  }
  LocalStepper(const LocalStepper&) = delete;
  LocalStepper& operator=(const LocalStepper&) = delete;

  /// Makes one update on `samples` of a set.
  template <SampleSet Set>
  UpdateResult step(const Set& set, const Samples& samples, const Update& update) {
    return step(batch_of(set, samples, target_steps(model_, set.length()), scratch_), update);
  }

  /// Makes one update on your own batch. Allocates: nothing after the first call with the largest
  /// batch. Throws: ShapeError, DataError when the batch's targets do not fit the model's task.
  UpdateResult step(const Batch<Scalar>& batch, const Update& update) {
    const FloatModeGuard guard;
    const LossSum loss = pass_.forward(model_, model_.task(), batch, update.dropout);
    model_.zero_gradients();
    pass_.backward(model_, batch, loss.weight);
    return internal::apply_gradients(model_, optimizer_, loss, update);
  }

  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  /// The optimizer, for training states.
  Optimizer<Scalar>& optimizer() noexcept { return optimizer_; }

 private:
  M& model_;
  Optimizer<Scalar> optimizer_;
  internal::BatchPass<M> pass_;
  BatchScratch<Scalar> scratch_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
