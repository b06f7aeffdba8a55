// What every task of numbers shares: its targets are numbers on a scale, its first outputs are the
// predictions, one per target, and its figures are those of a regression.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/task/target_scale.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// "predicted_close" of the target named close; of one without a name its number.
inline std::vector<std::string> prediction_names(const std::vector<std::string>& targets, Index K) {
  std::vector<std::string> names;
  for (std::size_t k = 0; k < static_cast<std::size_t>(K); ++k)
    names.push_back("predicted_" + (k < targets.size() ? targets[k] : std::to_string(k)));
  return names;
}

/// The figures of K targets, each a mean over targets. Shapes: x and y n x K.
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

/// Options have targets and a scale; the kind adds its description, its outputs and its loss.
template <class Options>
class NumbersTask : public TaskKind {
 public:
  /// Throws: OptionError when the scale does not fit the targets.
  NumbersTask(const char* kind, const Options& options) : kind_(kind), options_(options) {
    options_.scale.check(options_.targets);
  }

  Index targets() const noexcept final { return options_.targets; }
  Index predictions() const noexcept final { return options_.targets; }
  std::vector<std::string> names(const std::vector<std::string>& targets) const final {
    return prediction_names(targets, options_.targets);
  }
  void check(std::span<const double> targets) const final { check_numbers(targets, kind_); }
  void decode(const double* outputs, double* out) const noexcept final {
    const FloatModeGuard guard;
    for (Index k = 0; k < options_.targets; ++k) out[k] = options_.scale.restored(k, outputs[k]);
  }
  std::vector<std::string_view> figures() const final { return {"mae", "r2", "rmse", "mase"}; }
  Metrics measure(std::span<const double> predictions,
                  std::span<const double> targets) const final {
    const FloatModeGuard guard;
    check(targets);
    return measure_numbers(predictions, targets, options_.targets, options_.scale);
  }

 protected:
  const Options& options() const noexcept { return options_; }

 private:
  const char* kind_;  ///< in messages
  Options options_;
};

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
