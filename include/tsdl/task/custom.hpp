// Your own loss: any function of a sample's outputs and targets, as a task.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/task/numbers.hpp"
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
class CustomTask final : public NumbersTask<Options> {
 public:
  explicit CustomTask(const Options& options)
      : NumbersTask<Options>("custom", (check_options(options), options)) {}

  Config describe() const override {
    const Options& o = this->options();
    Config config("custom", {{"name", o.name}, {"targets", o.targets}, {"outputs", o.outputs}});
    o.scale.describe(config);
    return config;
  }
  Index outputs() const noexcept override { return this->options().outputs; }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const FloatModeGuard guard;
    const Options& o = this->options();
    const auto N = static_cast<std::size_t>(o.outputs);
    std::vector<double> y(static_cast<std::size_t>(o.targets)), unused(N);
    LossSum total;
    for (Index i = 0; i < n; ++i) {
      for (Index k = 0; k < o.targets; ++k)
        y[static_cast<std::size_t>(k)] = o.scale.scaled(k, targets[i * o.targets + k]);
      const std::span<double> dx(slopes ? slopes + i * o.outputs : unused.data(), N);
      total.sum += o.loss({outputs + i * o.outputs, N}, y, dx);
    }
    total.weight = static_cast<double>(n);
    return total;
  }

 private:
  static void check_options(const Options& options) {
    if (options.name.empty() || !options.loss)
      throw OptionError("task custom: expected a name and a loss");
    if (options.targets < 1 || options.outputs < options.targets)
      throw OptionError(
          "task custom: expected 1 or more targets and at least as many outputs, got ",
          options.targets, " and ", options.outputs);
  }
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
