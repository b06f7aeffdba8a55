// Your own loss: any function of a sample's outputs and targets, as a task.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/task/regression.hpp"
#include "tsdl/task/target_scale.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {
template <class Options>
class CustomTask;
}

/// A regression task with your own loss. Every sample has the same weight.
///
///   tsdl::CustomLoss{.name = "log_cosh",
///                    .loss = [](std::span<const double> x, std::span<const double> y,
///                               std::span<double> dx) {
///                      dx[0] = std::tanh(x[0] - y[0]);
///                      return std::log(std::cosh(x[0] - y[0]));
///                    }}
///
/// The first outputs, one per target, are the predictions; further outputs (a variance, say) are
/// for the loss only. A model file holds the name but not the function: give the same task to
/// load_model.
struct CustomLoss {
  std::string name;
  /// Returns the loss of one sample and writes its derivative with respect to each output into
  /// `slopes`. Targets are in units of `scale`. Must not throw. Shapes: outputs and slopes
  /// `outputs`, targets `targets`.
  std::function<double(std::span<const double> outputs, std::span<const double> targets,
                       std::span<double> slopes)>
      loss;
  Index targets = 1;    ///< K
  Index outputs = 1;    ///< at least K
  TargetScale scale{};  ///< Prepared::scale of windows whose targets are numbers

  /// Its constructor throws OptionError when an option is out of range.
  using Kind = internal::CustomTask<CustomLoss>;
};

namespace internal {

template <class Options>
class CustomTask final : public TaskKind {
 public:
  explicit CustomTask(const Options& options) : options_(options) {
    if (options.name.empty() || !options.loss)
      throw OptionError("task custom: expected a name and a loss");
    if (options.targets < 1 || options.outputs < options.targets)
      throw OptionError(
          "task custom: expected 1 or more targets and at least as many outputs, got ",
          options.targets, " and ", options.outputs);
    options_.scale.check(options.targets);
  }

  Config describe() const override {
    Config config(
        "custom",
        {{"name", options_.name}, {"targets", options_.targets}, {"outputs", options_.outputs}});
    options_.scale.describe(config);
    return config;
  }
  Index targets() const noexcept override { return options_.targets; }
  Index outputs() const noexcept override { return options_.outputs; }
  Index predictions() const noexcept override { return options_.targets; }
  std::vector<std::string> names(const std::vector<std::string>& targets) const override {
    return prediction_names(targets, options_.targets);
  }

  void check(std::span<const double> targets) const override { check_numbers(targets, "custom"); }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const auto K = static_cast<std::size_t>(options_.targets);
    const auto N = static_cast<std::size_t>(options_.outputs);
    std::vector<double> y(K), unused(N);
    LossSum total;
    for (Index i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < K; ++k)
        y[k] = options_.scale.scaled(static_cast<Index>(k),
                                     targets[i * options_.targets + static_cast<Index>(k)]);
      const std::span<double> dx(slopes ? slopes + i * options_.outputs : unused.data(), N);
      total.sum += options_.loss({outputs + i * options_.outputs, N}, y, dx);
    }
    total.weight = static_cast<double>(n);
    return total;
  }

  void decode(const double* outputs, double* out) const noexcept override {
    for (Index k = 0; k < options_.targets; ++k) out[k] = options_.scale.restored(k, outputs[k]);
  }

  std::vector<std::string_view> figures() const override { return {"mae", "r2", "rmse", "mase"}; }
  Metrics measure(std::span<const double> predictions,
                  std::span<const double> targets) const override {
    check(targets);
    return measure_numbers(predictions, targets, options_.targets, options_.scale);
  }

 private:
  Options options_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
