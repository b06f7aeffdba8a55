// Two or more classes, one logit each.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/task/binary.hpp"
#include "tsdl/task/combine.hpp"
#include "tsdl/task/task.hpp"
#include "tsdl/task/temperature.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {
template <class Options>
class ClassesTask;
}

/// K logits; targets are classes 0 ... K - 1. Predicts the probability of each. Loss: CrossEntropy.
struct Classes {
  Index count = 2;                ///< K
  std::vector<double> weights{};  ///< the weight of each class; empty: all 1
  double temperature = 1;         ///< divides the logits

  using Kind =
      internal::ClassesTask<Classes>;  ///< throws OptionError when an option is out of range
};

/// Weights with which each of `classes` has the same share of the loss, however many labels it has.
/// Equations: w[k] = N / (classes * number of labels k).
/// Throws: DataError when a label is not one of 0 ... classes - 1, or a class has no label.
/// Source: sklearn.utils.class_weight.compute_class_weight("balanced").
inline std::vector<double> balanced_class_weights(std::span<const double> labels, Index classes) {
  std::vector<double> counts(static_cast<std::size_t>(std::max<Index>(classes, 0)));
  for (const double y : labels) {
    if (!(is_finite(y) && y >= 0 && y < static_cast<double>(classes) &&
          same_value(y, std::floor(y))))
      throw DataError("class weights: label ", y, " is not one of ", classes, " classes");
    ++counts[static_cast<std::size_t>(y)];
  }
  const double share = static_cast<double>(labels.size()) / static_cast<double>(classes);
  for (std::size_t k = 0; k < counts.size(); ++k) {
    if (is_zero(counts[k]))
      throw DataError("class weights: none of ", labels.size(), " labels is class ", k);
    counts[k] = share / counts[k];
  }
  return counts;
}

namespace internal {

template <class Options>
class ClassesTask final : public TaskKind {
 public:
  explicit ClassesTask(const Options& options) : options_(options) {
    if (options.count < 2)
      throw OptionError("task classes: expected 2 or more classes, got ", options.count);
    if (!options.weights.empty() && std::ssize(options.weights) != options.count)
      throw OptionError("task classes: expected ", options.count, " class weights, got ",
                        options.weights.size());
    for (const double weight : options.weights) check_weight(weight);
    check_temperature(options.temperature);
  }

  Config describe() const override {
    Config config("classes", {{"count", options_.count}, {"weights", options_.weights}});
    describe_temperature(config, options_.temperature);
    return config;
  }
  Index targets() const noexcept override { return 1; }
  Index outputs() const noexcept override { return options_.count; }
  Index predictions() const noexcept override { return options_.count; }
  Index classes() const noexcept override { return options_.count; }
  std::vector<std::string> names(const std::vector<std::string>& targets) const override {
    std::vector<std::string> names;
    for (std::size_t k = 0; k < static_cast<std::size_t>(options_.count); ++k)
      names.push_back("probability_" + (k < targets.size() ? targets[k] : std::to_string(k)));
    return names;
  }

  void check(std::span<const double> targets) const override {
    for (const double y : targets)
      if (!(is_finite(y) && y >= 0 && y < static_cast<double>(options_.count) &&
            same_value(y, std::floor(y))))
        throw DataError("task classes: target ", y, " is not one of ", options_.count, " classes");
  }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const FloatModeGuard guard;
    const Index K = options_.count;
    const double scale = 1 / options_.temperature;
    LossSum total;
    for (Index i = 0; i < n; ++i) {
      const auto y = static_cast<Index>(targets[i]);
      const double w =
          options_.weights.empty() ? 1.0 : options_.weights[static_cast<std::size_t>(y)];
      total.sum +=
          cross_entropy(outputs + i * K, K, y, w, scale, slopes ? slopes + i * K : nullptr);
      total.weight += w;
    }
    return total;
  }

  /// Softmax.
  void decode(const double* outputs, double* out) const noexcept override {
    const FloatModeGuard guard;
    const Index K = options_.count;
    const double top = *std::max_element(outputs, outputs + K), scale = 1 / options_.temperature;
    double sum = 0;
    for (Index k = 0; k < K; ++k) sum += out[k] = std::exp(scale * (outputs[k] - top));
    for (Index k = 0; k < K; ++k) out[k] /= sum;
  }

  std::vector<std::string_view> figures() const override { return class_figure_names(); }
  Metrics measure(std::span<const double> predictions,
                  std::span<const double> targets) const override {
    return classification_metrics(predictions, options_.count, targets);
  }

  std::shared_ptr<const TaskKind> unweighted() const override {
    return std::make_shared<ClassesTask>(
        Options{.count = options_.count, .temperature = options_.temperature});
  }
  double temperature() const noexcept override { return options_.temperature; }
  std::shared_ptr<const TaskKind> with_temperature(double temperature) const override {
    Options other = options_;
    other.temperature = temperature;
    return std::make_shared<ClassesTask>(other);
  }

  void combine(const MemberOutputs& members, double* out) const noexcept override {
    const FloatModeGuard guard;
    combine_classes(members, options_.count, out);
  }
  void combine_backward(const MemberOutputs& members, const double* out, const double* dout,
                        double* doutputs, double* dweights) const noexcept override {
    const FloatModeGuard guard;
    combine_classes_backward(members, options_.count, out, dout, doutputs, dweights);
  }

 private:
  Options options_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
