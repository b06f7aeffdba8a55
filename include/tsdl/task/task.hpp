// The contract of a task, which gives a model's outputs their meaning, and the handle through which
// all code uses it.
//
//   outputs      K numbers that a model gives for a sample
//   targets      what the model is to predict, in units of the data: a class, or numbers
//   predictions  what a person reads: probabilities, numbers, quantiles
//
// A task computes in double and knows no model. Each kind has its own file here, as a template, so
// that a program compiles only the kinds that it uses. Files find them through the list in
// task/make_task.hpp. A task of your own is a class that derives from TaskKind.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/task/loss.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The outputs of several models for one sample, and how much each of them counts.
struct MemberOutputs {
  const double* outputs;  ///< [count][K]
  const double* weights;  ///< [count], none below 0, of sum 1
  Index count;
};

/// A kind of task. Immutable, so that models, trainers and streams share one.
class TaskKind {
 public:
  virtual ~TaskKind() = default;

  /// Its kind and options, as files hold them.
  virtual Config describe() const = 0;
  /// The number of values of a target, of a model's outputs, and of the numbers that decode gives.
  virtual Index targets() const noexcept = 0;
  virtual Index outputs() const noexcept = 0;
  virtual Index predictions() const noexcept = 0;
  /// The number of classes; 0: targets are numbers.
  virtual Index classes() const noexcept { return 0; }
  /// The name of each prediction. `targets`: the labels of the classes, or one name per target.
  virtual std::vector<std::string> names(const std::vector<std::string>& targets) const = 0;

  /// Refuses targets on which it cannot be trained. Shapes: targets n x targets(). Throws:
  /// DataError naming the value.
  virtual void check(std::span<const double> targets) const = 0;

  /// The loss of n samples, whose targets check() accepts, and the derivative of its sum. Shapes:
  /// outputs and slopes n x outputs(); targets n x targets(). `slopes` may be null.
  virtual LossSum loss(const double* outputs, const double* targets, Index n,
                       double* slopes) const noexcept = 0;

  /// Turns one sample's outputs into predictions. Shapes: out predictions().
  virtual void decode(const double* outputs, double* out) const noexcept = 0;

  /// The names of its figures beside the loss (task/metrics.hpp), the most important first.
  virtual std::vector<std::string_view> figures() const = 0;
  /// These figures, without the loss. Shapes: predictions n x predictions(), targets n x targets().
  /// Throws: as check.
  virtual Metrics measure(std::span<const double> predictions,
                          std::span<const double> targets) const = 0;

  /// The same task with equal weights for all samples.
  virtual std::shared_ptr<const TaskKind> unweighted() const { return nullptr; }

  /// What logits are divided by before they become probabilities (task/temperature.hpp).
  virtual double temperature() const noexcept { return 1; }
  /// The same task with this temperature; null when it has no probabilities. Throws: OptionError
  /// when it is out of range.
  virtual std::shared_ptr<const TaskKind> with_temperature(double) const { return nullptr; }

  /// Turns the outputs of several models into outputs whose predictions, at temperature 1, are the
  /// weighted mean of the models' own. Shapes: out outputs(). Unless a kind says otherwise, the
  /// weighted mean of the outputs.
  virtual void combine(const MemberOutputs& members, double* out) const noexcept {
    const Index K = outputs();
    for (Index k = 0; k < K; ++k) out[k] = 0;
    for (Index m = 0; m < members.count; ++m)
      for (Index k = 0; k < K; ++k) out[k] += members.weights[m] * members.outputs[m * K + k];
  }
  /// Takes the gradient of what combine() gave back to the models and their weights. Shapes: out
  /// and dout outputs(); doutputs [count][K], assigned; dweights [count], accumulated, or null.
  virtual void combine_backward(const MemberOutputs& members, const double* /*out*/,
                                const double* dout, double* doutputs,
                                double* dweights) const noexcept {
    const Index K = outputs();
    for (Index m = 0; m < members.count; ++m)
      for (Index k = 0; k < K; ++k) {
        doutputs[m * K + k] = members.weights[m] * dout[k];
        if (dweights) dweights[m] += members.outputs[m * K + k] * dout[k];
      }
  }
};

/// A task, by value, made from the options of a kind, as in Task task = Regression{}. Copies share
/// it.
class Task {
 public:
  /// From the options of a kind (Binary, Classes, Regression, Quantiles), which name its class.
  /// Throws: OptionError when an option is out of range.
  template <class Options>
  requires requires { typename Options::Kind; }
  Task(const Options& options) : kind_(std::make_shared<const typename Options::Kind>(options)) {}
  /// A task of your own. Throws: Error when `kind` is null.
  Task(std::shared_ptr<const TaskKind> kind) : kind_(std::move(kind)) {
    if (!kind_) throw Error("Task: no kind was given");
  }

  // Copies only: a task that was moved from would mean nothing.
  Task(const Task&) noexcept = default;
  Task& operator=(const Task&) noexcept = default;

  const TaskKind* operator->() const noexcept { return kind_.get(); }
  const TaskKind& operator*() const noexcept { return *kind_; }

  Task unweighted() const {
    auto other = kind_->unweighted();
    return other ? Task(std::move(other)) : *this;
  }

  /// The same task, its logits divided by this. Throws: OptionError when it has no classes, or the
  /// temperature is not from 1e-6 to 1e6.
  Task with_temperature(double temperature) const {
    auto other = kind_->with_temperature(temperature);
    if (!other)
      throw OptionError("task ", kind_->describe().kind, ": a temperature is for classes");
    return Task(std::move(other));
  }

  /// The same task at temperature 1.
  Task uncalibrated() const {
    return same_value(kind_->temperature(), 1.0) ? *this : with_temperature(1);
  }

  /// Throws: OptionError when a model with this number of outputs cannot have this task.
  void check_outputs(Index outputs) const {
    if (outputs != kind_->outputs())
      throw OptionError("task ", kind_->describe().kind, ": expected a model of ", kind_->outputs(),
                        " outputs, got ", outputs);
  }
  /// Checks `n` targets of `values` each before they are used. Throws: ShapeError when a sample has
  /// more or fewer values than the task needs; DataError as check.
  void check_targets(std::span<const double> targets, Index values, Index n) const {
    if (values != kind_->targets() || std::ssize(targets) != n * values)
      throw ShapeError(
          "task ", kind_->describe().kind, ": expected ", n, " x ", kind_->targets(),
          " target values, got ", targets.size(),
          values == kind_->targets() ? std::string() : " in samples of " + std::to_string(values));
    kind_->check(targets);
  }

 private:
  std::shared_ptr<const TaskKind> kind_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
