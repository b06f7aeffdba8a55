// One update of a model: forward, loss, backward, clip, AdamW. LocalStepper runs it in this
// process.
//
// A Trainer tells a stepper only which samples an update uses. For updates over shards and
// processes, or on another device, write another class with the same members.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/optim/clip.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Which samples of a set of windows an update uses.
struct Samples {
  Index first = 0, count = 0;       ///< windows first, first + 1, ...
  std::span<const Index> chosen{};  ///< if not empty, these windows instead
};

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

  /// Makes one update on `samples` of `windows`.
  UpdateResult step(const Windows<Scalar>& windows, const Samples& samples, const Update& update) {
    const Index S = target_steps(model_, windows.length());
    if (samples.chosen.empty())
      return step({windows.batch(samples.first, samples.count, gathered_),
                   windows.batch_targets(samples.first, samples.count, S, gathered_targets_)},
                  update);
    return step({windows.gather(samples.chosen, gathered_),
                 windows.gather_targets(samples.chosen, S, gathered_targets_)},
                update);
  }

  /// Makes one update on your own batch. Allocates: nothing after the first call with the largest
  /// batch. Throws: ShapeError, DataError when the batch's targets do not fit the model's task.
  UpdateResult step(const Batch<Scalar>& batch, const Update& update) {
    const FloatModeGuard guard;
    const Task task = model_.task();
    const Index S = target_steps(model_, batch.past.steps), n = S * batch.size();
    collect_targets(batch.targets, S, batch.size());
    task.check_targets(std::as_const(targets_).span(), batch.targets.inputs, n);

    model_.zero_gradients();
    const Outputs<Scalar> outputs =
        model_.forward(batch, cache_, {.training = true, .dropout = update.dropout});
    check_outputs(model_, outputs, batch.past.steps, batch.size());
    const Index size = outputs.size();
    outputs_.resize(size);
    slopes_.resize(size);
    doutputs_.resize(size);
    for (Index i = 0; i < size; ++i) outputs_[i] = static_cast<double>(outputs.data()[i]);
    UpdateResult result;
    result.loss = task->loss(outputs_.data(), targets_.data(), n, slopes_.data());
    for (Index i = 0; i < size; ++i)
      doutputs_[i] = static_cast<Scalar>(slopes_[i] / result.loss.weight);
    model_.backward(batch, cache_, doutputs_.data());
    result.norm = gradient_norm(model_);
    result.applied = is_finite(result.norm) && is_finite(result.loss.sum);
    if (result.applied)
      optimizer_.step(model_, update.learning_rate,
                      clip_coefficient(result.norm, update.clip_norm));
    return result;
  }

  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  /// The optimizer, for training states.
  Optimizer<Scalar>& optimizer() noexcept { return optimizer_; }

 private:
  /// Copies the targets in the order of the outputs: [S][B][K].
  void collect_targets(const Sequence<const double>& from, Index S, Index B) {
    if (!from.data || from.steps != S || from.batch != B)
      throw ShapeError("Trainer: expected targets of ", S, " steps of ", B, " samples, got ",
                       from.data ? from.steps : 0, " of ", from.data ? from.batch : 0);
    targets_.resize(S * B * from.inputs);
    copy_dense(from, targets_.data());
  }

  M& model_;
  Optimizer<Scalar> optimizer_;
  typename M::Cache cache_;
  Buffer<Scalar> gathered_, doutputs_;
  Buffer<double> gathered_targets_, targets_, outputs_, slopes_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
