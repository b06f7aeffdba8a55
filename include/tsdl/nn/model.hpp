// The concept Model: windows in, outputs out, and a task that says what the outputs mean.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <utility>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/config.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/task/tasks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Base class that holds a model's task. Derive your own model from it.
template <class ScalarType>
class ModelBase {
 public:
  using Scalar = ScalarType;

  /// What the outputs mean: default_task until a Trainer or a model file sets another task.
  Task task() const { return task_ ? *task_ : default_task(default_outputs_); }
  void set_task(Task task) noexcept { task_ = std::move(task); }

 protected:
  explicit ModelBase(Index outputs) noexcept : default_outputs_(outputs) {}

 private:
  // The default task is made on request, so that code which only runs a network compiles no task.
  std::optional<Task> task_;
  Index default_outputs_;
};

/// A Module that reads windows. forward is const and works in a Cache that the caller owns. It
/// returns one column per sample, or one per step and sample where every step has a target.
/// backward takes the gradient of those columns, goes back through the last training forward, and
/// accumulates the gradients of parameters.
///
/// Optional members:
///   explicit M(const Config&, seed)     needed to load the model from a file
///   static tensors(const Config&)       names and shapes, checked before anything is allocated
///   backward(..., doutputs, dx)         gradients of inputs (GivesInputGradients), to be explained
///   target_steps(T)                     T where every step has a target; 1 if absent
///   Window, Carried                     how it is streamed; RerunWindow if Window is absent
template <class M>
concept Model = Module<M> &&
    requires(M& model, const M& fixed, const Batch<typename M::Scalar>& batch,
             typename M::Cache& cache, const Pass& pass, const typename M::Scalar* doutputs,
             const Task& task) {
  { fixed.forward(batch, cache, pass) } -> std::same_as<Outputs<typename M::Scalar>>;
  model.backward(batch, cache, doutputs);
  { fixed.describe() } -> std::same_as<Config>;
  { fixed.inputs() } -> std::convertible_to<Index>;
  { fixed.outputs() } -> std::convertible_to<Index>;
  { fixed.task() } -> std::convertible_to<Task>;
  model.set_task(task);
};

/// A Model whose backward also takes a dense dx, I x T x B, and assigns the gradient of the inputs.
template <class M>
concept GivesInputGradients = Model<M> &&
    requires(M& model, const Batch<typename M::Scalar>& batch, typename M::Cache& cache,
             const typename M::Scalar* doutputs, const Sequence<typename M::Scalar>& dx) {
  model.backward(batch, cache, doutputs, dx);
};

/// The number of steps, out of T, that have a target: 1 (the last) unless the model defines it.
template <class M>
Index target_steps(const M& model, Index T) {
  if constexpr (requires { model.target_steps(T); })
    return model.target_steps(T);
  else
    return 1;
}

/// Whether no parameter is infinite or NaN.
template <Module M>
bool has_finite_parameters(const M& model) {
  bool finite = true;
  model.visit([&](const auto& parameter) {
    for (const auto value : parameter.value) finite &= is_finite(static_cast<double>(value));
  });
  return finite;
}

template <Module M>
Index parameter_count(const M& model) {
  Index count = 0;
  model.visit([&](const auto& parameter) { count += parameter.size(); });
  return count;
}

/// Throws: ShapeError unless `outputs` is model.outputs() x (B * target_steps(model, T)).
template <class M>
void check_outputs(const M& model, const Outputs<typename M::Scalar>& outputs, Index T, Index B) {
  if (outputs.rows() != model.outputs() || outputs.cols() != B * target_steps(model, T))
    throw ShapeError("model ", model.describe().kind, ": expected ", model.outputs(), " x ",
                     B * target_steps(model, T), " outputs, got ", outputs.rows(), " x ",
                     outputs.cols());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
