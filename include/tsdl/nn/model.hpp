// The contract of a model: windows in, outputs out, and the task that says what these mean.
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

/// Where a model keeps its task: a model of one's own derives from it.
template <class ScalarType>
class ModelBase {
 public:
  using Scalar = ScalarType;

  /// What the outputs mean: default_task, until a Trainer or a file gives another.
  Task task() const { return task_ ? *task_ : default_task(default_outputs_); }
  void set_task(Task task) noexcept { task_ = std::move(task); }

 protected:
  explicit ModelBase(Index outputs) noexcept : default_outputs_(outputs) {}

 private:
  // The default is made when it is asked for: who only runs a network need not compile any task.
  std::optional<Task> task_;
  Index default_outputs_;
};

/// A Module that reads windows. forward is const and its Cache the caller's; it gives one column a
/// sample, or where every step has a target one a step and sample. backward goes back through the
/// last forward of a training pass, from the gradient of those columns, and accumulates the
/// gradients of parameters.
///
/// What else it may have:
///   explicit M(const Config&, seed)     so that files can be loaded
///   static tensors(const Config&)       names and shapes, checked before anything is allocated
///   target_steps(T)                     T where every step has a target; 1 without
///   Window, Carried                     how it is streamed; without Window it is run again
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

/// How many of T steps have a target: 1, the last, unless a model says otherwise.
template <class M>
Index target_steps(const M& model, Index T) {
  if constexpr (requires { model.target_steps(T); })
    return model.target_steps(T);
  else
    return 1;
}

template <Module M>
Index parameter_count(const M& model) {
  Index count = 0;
  model.visit([&](const auto& parameter) { count += parameter.size(); });
  return count;
}

/// Throws: ShapeError when a model gave other columns than its outputs and steps say.
template <class M>
void check_outputs(const M& model, const Outputs<typename M::Scalar>& outputs, Index T, Index B) {
  if (outputs.rows() != model.outputs() || outputs.cols() != B * target_steps(model, T))
    throw ShapeError("model ", model.describe().kind, ": expected ", model.outputs(), " x ",
                     B * target_steps(model, T), " outputs, got ", outputs.rows(), " x ",
                     outputs.cols());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
