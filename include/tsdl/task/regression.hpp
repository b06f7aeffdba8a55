// Regression: one output per target.
#pragma once

#include <cstddef>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/task/numbers.hpp"
#include "tsdl/task/target_scale.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {
template <class Options>
class RegressionTask;
}

/// K outputs, one per target. Predicts K numbers in the targets' own units. Loss: the mean over
/// samples and targets, with targets in units of their training deviation.
struct Regression {
  Index targets = 1;        ///< K
  NumberLoss loss = MSE{};  ///< Huber's delta is in units of the training deviation
  TargetScale scale{};      ///< prepare fits it

  using Kind = internal::RegressionTask<Regression>;  ///< throws OptionError when an option is
                                                      ///< out of range
};

namespace internal {

template <class Options>
class RegressionTask final : public NumbersTask<Options> {
 public:
  explicit RegressionTask(const Options& options)
      : NumbersTask<Options>("regression", (check_options(options), options)) {}

  Config describe() const override {
    static constexpr const char* losses[] = {"mse", "mae", "huber"};
    const Options& o = this->options();
    Config config("regression", {{"targets", o.targets},
                                 {"loss", losses[static_cast<std::size_t>(o.loss.kind)]}});
    if (o.loss.kind == NumberLoss::Kind::huber) config.options["delta"] = o.loss.delta;
    o.scale.describe(config);
    return config;
  }
  Index outputs() const noexcept override { return this->options().targets; }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const FloatModeGuard guard;
    const Options& o = this->options();
    LossSum total;
    for (Index i = 0; i < n * o.targets; ++i) {
      const double y = o.scale.scaled(i % o.targets, targets[i]);
      const LossPoint point = loss_of(o.loss, outputs[i], y);
      total.sum += point.value;
      if (slopes) slopes[i] = point.slope;
    }
    total.weight = static_cast<double>(n * o.targets);
    return total;
  }

 private:
  static void check_options(const Options& options) {
    if (options.targets < 1)
      throw OptionError("task regression: expected 1 or more targets, got ", options.targets);
    if (!(is_finite(options.loss.delta) && options.loss.delta > 0))
      throw OptionError("task regression: Huber's delta must be above 0, not ", options.loss.delta);
  }
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
