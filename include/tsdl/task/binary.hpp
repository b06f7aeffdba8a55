// Two classes from one logit.
#pragma once

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/task/combine.hpp"
#include "tsdl/task/task.hpp"
#include "tsdl/task/temperature.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {
template <class Options>
class BinaryTask;
}

/// One output, the logit of class 1; targets from 0 to 1, and 0 or 1 for figures. Predicts the
/// probability of class 1. Loss: BCEWithLogits.
struct Binary {
  double pos_weight = 1.0;  ///< the weight of class 1; class 0 has 1
  double temperature = 1;   ///< divides the logit

  using Kind = internal::BinaryTask<Binary>;  ///< throws OptionError when an option is out of range
};

namespace internal {

/// The figures that are defined for class probabilities.
inline std::vector<std::string_view> class_figure_names() {
  return {"accuracy", "roc_auc", "balanced_accuracy", "mcc", "brier", "majority_accuracy"};
}

template <class Options>
class BinaryTask final : public TaskKind {
 public:
  explicit BinaryTask(const Options& options)
      : loss_{options.pos_weight}, temperature_(options.temperature) {
    check_weight(options.pos_weight);
    check_temperature(options.temperature);
  }

  Config describe() const override {
    Config config("binary", {{"pos_weight", loss_.pos_weight}});
    describe_temperature(config, temperature_);
    return config;
  }
  Index targets() const noexcept override { return 1; }
  Index outputs() const noexcept override { return 1; }
  Index predictions() const noexcept override { return 1; }
  Index classes() const noexcept override { return 2; }
  std::vector<std::string> names(const std::vector<std::string>&) const override {
    return {"probability"};
  }

  void check(std::span<const double> targets) const override {
    for (const double y : targets)
      if (!(is_finite(y) && y >= 0 && y <= 1))
        throw DataError("task binary: target ", y, " is not from 0 to 1");
  }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const FloatModeGuard guard;
    const double scale = 1 / temperature_;
    LossSum total;
    for (Index i = 0; i < n; ++i) {
      const LossPoint point = loss_of(loss_, scale * outputs[i], targets[i]);
      total.sum += point.value;
      if (slopes) slopes[i] = scale * point.slope;
    }
    total.weight = static_cast<double>(n);
    return total;
  }

  void decode(const double* outputs, double* out) const noexcept override {
    const FloatModeGuard guard;
    out[0] = sigmoid(outputs[0] / temperature_);
  }

  std::vector<std::string_view> figures() const override { return class_figure_names(); }
  Metrics measure(std::span<const double> predictions,
                  std::span<const double> targets) const override {
    check(targets);
    for (const double y : targets)
      if (!same_value(y, std::floor(y))) {  // a probability, not a class: no figures
        Metrics none;
        none.count = std::ssize(targets);
        return none;
      }
    return classification_metrics(predictions, 1, targets);
  }

  std::shared_ptr<const TaskKind> unweighted() const override {
    return std::make_shared<BinaryTask>(Options{.temperature = temperature_});
  }
  double temperature() const noexcept override { return temperature_; }
  std::shared_ptr<const TaskKind> with_temperature(double temperature) const override {
    return std::make_shared<BinaryTask>(
        Options{.pos_weight = loss_.pos_weight, .temperature = temperature});
  }

  void combine(const MemberOutputs& members, double* out) const noexcept override {
    const FloatModeGuard guard;
    out[0] = combine_two_classes(members);
  }
  void combine_backward(const MemberOutputs& members, const double*, const double* dout,
                        double* doutputs, double* dweights) const noexcept override {
    const FloatModeGuard guard;
    combine_two_classes_backward(members, dout[0], doutputs, dweights);
  }

 private:
  BCEWithLogits loss_;
  double temperature_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
