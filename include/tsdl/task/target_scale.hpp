// The scale of targets that are numbers: their mean and deviation on the training rows, and the
// mean error of the last known value there.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A network's output x stands for mean + scale x, so that the network sees targets without units.
/// In double: a price of 1e9 loses nothing.
struct TargetScale {
  /// Per target. Empty: 0 and 1, the targets are used as they are.
  std::vector<double> mean{}, scale{};
  /// The mean absolute error of the last known value, the denominator of MASE. Empty: not known.
  std::vector<double> naive{};

  /// Fits mean and deviation (ddof 0) of n targets of K values each; a target that never changes
  /// has scale 1. `last`, unless empty, holds the last known value of each, NaN where it is not
  /// known.
  /// Shapes: targets and last n x K.
  /// Throws: ShapeError when sizes disagree; DataError when there is no target, one is not finite,
  /// or their variance overflows.
  static TargetScale fit(std::span<const double> targets, Index K,
                         std::span<const double> last = {}) {
    const FloatModeGuard guard;
    if (K < 1 || targets.empty() || std::ssize(targets) % K != 0)
      throw ShapeError("TargetScale: ", targets.size(), " values of ", K, " targets");
    if (!last.empty() && last.size() != targets.size())
      throw ShapeError("TargetScale: ", targets.size(), " values, but ", last.size(),
                       " last known ones");
    const auto count = static_cast<std::size_t>(K);
    const double n = static_cast<double>(targets.size() / count);
    TargetScale fitted;
    for (std::size_t k = 0; k < count; ++k) {
      double mean = 0, variance = 0, off = 0, known = 0;
      for (std::size_t i = k; i < targets.size(); i += count) {
        if (!is_finite(targets[i]))
          throw DataError("TargetScale: value ", targets[i], " is not finite");
        mean += (targets[i] - mean) / static_cast<double>(i / count + 1);
      }
      for (std::size_t i = k; i < targets.size(); i += count) {
        variance += (targets[i] - mean) * (targets[i] - mean) / n;
        if (last.empty() || !is_finite(last[i])) continue;
        off += std::abs(targets[i] - last[i]);
        known += 1;
      }
      if (!is_finite(mean) || !is_finite(variance))
        throw DataError("TargetScale: target ", k, ": values too large to scale");
      // As in StandardScaler, a deviation that rounding alone explains counts as 0.
      constexpr double eps = 0x1p-52;
      const bool constant = variance <= n * eps * variance + (n * mean * eps) * (n * mean * eps);
      fitted.mean.push_back(mean);
      fitted.scale.push_back(constant ? 1.0 : std::sqrt(variance));
      if (!last.empty()) fitted.naive.push_back(known > 0 ? off / known : internal::nan_of<double>);
    }
    return fitted;
  }

  double mean_of(Index k) const noexcept {
    return mean.empty() ? 0.0 : mean[static_cast<std::size_t>(k)];
  }
  double scale_of(Index k) const noexcept {
    return scale.empty() ? 1.0 : scale[static_cast<std::size_t>(k)];
  }
  double naive_of(Index k) const noexcept {
    return naive.empty() ? internal::nan_of<double> : naive[static_cast<std::size_t>(k)];
  }

  /// y in the network's units, and the inverse.
  double scaled(Index k, double y) const noexcept { return (y - mean_of(k)) / scale_of(k); }
  double restored(Index k, double x) const noexcept { return mean_of(k) + scale_of(k) * x; }

  /// Throws: OptionError unless all are empty or have K entries, finite, the scales above 0.
  void check(Index K) const {
    if (mean.size() != scale.size())
      throw OptionError("target scale: ", mean.size(), " means, but ", scale.size(), " scales");
    for (const std::vector<double>* values : {&mean, &scale, &naive})
      if (!values->empty() && std::ssize(*values) != K)
        throw OptionError("target scale: expected ", K, " values, got ", values->size());
    for (const double value : mean)
      if (!is_finite(value)) throw OptionError("target scale: a mean of ", value);
    for (const double value : scale)
      if (!(is_finite(value) && value > 0)) throw OptionError("target scale: a scale of ", value);
    for (const double value : naive)
      if (!is_nan(value) && !(is_finite(value) && value >= 0))
        throw OptionError("target scale: the last known value is off by ", value);
  }

  template <class Tag>
  void describe(BasicConfig<Tag>& config) const {
    config.options["mean"] = mean;
    config.options["scale"] = scale;
    std::vector<double> known = naive;  // JSON has no NaN
    for (double& value : known)
      if (is_nan(value)) value = -1;
    config.options["naive"] = known;
  }
  /// Throws: OptionError when one of the three is missing, or is not a list of numbers.
  template <class Tag>
  static TargetScale from(const BasicConfig<Tag>& config) {
    TargetScale scale{config.numbers("mean"), config.numbers("scale"), config.numbers("naive")};
    for (double& value : scale.naive)
      if (same_value(value, -1)) value = internal::nan_of<double>;
    return scale;
  }
};

namespace internal {

inline void check_numbers(std::span<const double> targets, const char* task) {
  for (const double y : targets)
    if (!is_finite(y)) throw DataError("task ", task, ": target ", y, " is not finite");
}

/// Every K-th value from the k-th on.
inline std::vector<double> every(std::span<const double> values, Index k, Index K) {
  std::vector<double> chosen;
  for (Index i = k; i < std::ssize(values); i += K)
    chosen.push_back(values[static_cast<std::size_t>(i)]);
  return chosen;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
