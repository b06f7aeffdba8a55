// Regression: one output per target.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// "predicted_close" of the target named close; of one without a name its number.
inline std::vector<std::string> prediction_names(const std::vector<std::string>& targets, Index K) {
  std::vector<std::string> names;
  for (std::size_t k = 0; k < static_cast<std::size_t>(K); ++k)
    names.push_back("predicted_" + (k < targets.size() ? targets[k] : std::to_string(k)));
  return names;
}

/// The figures of K targets, each the mean over targets. Shapes: x and y n x K.
inline Metrics measure_numbers(std::span<const double> x, std::span<const double> y, Index K,
                               const TargetScale& scale) {
  Metrics total;
  total.count = std::ssize(y) / K;
  double mae = 0, rmse = 0, r2 = 0, mase = 0;
  for (Index k = 0; k < K; ++k) {
    const Metrics one = regression_metrics(every(x, k, K), every(y, k, K));
    mae += one.mae;
    rmse += one.rmse;
    r2 += one.r2;
    mase += scale.naive_of(k) > 0 ? one.mae / scale.naive_of(k) : Metrics::undefined;
  }
  const auto count = static_cast<double>(K);
  total.mae = mae / count;
  total.rmse = rmse / count;
  total.r2 = r2 / count;
  total.mase = mase / count;
  return total;
}

template <class Options>
class RegressionTask final : public TaskKind {
 public:
  explicit RegressionTask(const Options& options) : options_(options) {
    if (options.targets < 1)
      throw OptionError("task regression: expected 1 or more targets, got ", options.targets);
    if (!(is_finite(options.loss.delta) && options.loss.delta > 0))
      throw OptionError("task regression: Huber's delta must be above 0, not ", options.loss.delta);
    options_.scale.check(options.targets);
  }

  Config describe() const override {
    static constexpr const char* losses[] = {"mse", "mae", "huber"};
    Config config("regression", {{"targets", options_.targets},
                                 {"loss", losses[static_cast<std::size_t>(options_.loss.kind)]}});
    if (options_.loss.kind == NumberLoss::Kind::huber)
      config.options["delta"] = options_.loss.delta;
    options_.scale.describe(config);
    return config;
  }
  Index targets() const noexcept override { return options_.targets; }
  Index outputs() const noexcept override { return options_.targets; }
  Index predictions() const noexcept override { return options_.targets; }
  std::vector<std::string> names(const std::vector<std::string>& targets) const override {
    return prediction_names(targets, options_.targets);
  }

  void check(std::span<const double> targets) const override {
    check_numbers(targets, "regression");
  }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const Index K = options_.targets;
    LossSum total;
    for (Index i = 0; i < n * K; ++i) {
      const double y = options_.scale.scaled(i % K, targets[i]);
      const LossPoint point = loss_of(options_.loss, outputs[i], y);
      total.sum += point.value;
      if (slopes) slopes[i] = point.slope;
    }
    total.weight = static_cast<double>(n * K);
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
