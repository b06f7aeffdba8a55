// The mean of dependent values with an interval, for example of paired differences of two models.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The options of block_bootstrap_mean.
struct BlockBootstrapOptions {
  Index block_length = 0;  ///< consecutive values kept together; 0: default_block_length
  Index resamples = 2000;
  double level = 0.95;  ///< the nominal coverage of the interval
  std::uint64_t seed = 0;
};

/// A mean and its interval.
struct MeanInterval {
  double low, high;
  double mean;  ///< of the values themselves
};

/// The smallest b with b^3 >= n, but at most n / 2, so that blocks differ, and at least 1. Theory
/// gives the growth with n only: the best factor grows with the dependence of the values. Where the
/// values overlap, as returns over h steps do at every step, a block of several h is better.
/// Source: Hall, Horowitz and Jing, On blocking rules for the bootstrap with dependent data (1995):
/// n^(1/3) for the variance of a mean.
constexpr Index default_block_length(Index n) noexcept {
  Index length = 1;
  while (length * length * length < n) ++length;
  return std::max(std::min(length, n / 2), Index{1});
}

namespace internal {

/// The stream of these random numbers, so that one seed can serve several purposes.
inline constexpr std::uint64_t bootstrap_stream = 0xb007;

/// The means of resamples of n values, minus `mean`, the mean of the values. A resample consists of
/// blocks that start anywhere and wrap around at the end; the last block is cut so that there are n
/// values. O(n / length) per resample, by sums[i], the sum of the first i values less the mean.
inline std::vector<double> resampled_deviations(std::span<const double> values, double mean,
                                                Index length, Index resamples, std::uint64_t seed) {
  const std::size_t n = values.size(), block = static_cast<std::size_t>(length);
  std::vector<double> sums(n + 1);
  for (std::size_t i = 0; i < n; ++i) sums[i + 1] = sums[i] + (values[i] - mean);
  RandomStream random(seed, bootstrap_stream);
  std::vector<double> deviations(static_cast<std::size_t>(resamples));
  for (double& deviation : deviations) {
    double sum = 0;
    for (std::size_t filled = 0; filled < n; filled += block) {
      const auto first = static_cast<std::size_t>(random.below(n));
      const std::size_t last = first + std::min(block, n - filled);
      sum += last <= n ? sums[last] - sums[first] : sums[n] - sums[first] + sums[last - n];
    }
    deviation = sum / static_cast<double>(n);
  }
  return deviations;
}

/// Linear interpolation between the order statistics around q (n - 1). Source: numpy.quantile.
inline double quantile_of_sorted(std::span<const double> sorted, double q) noexcept {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(at), sorted.size() - 1);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
}

}  // namespace internal

/// The mean of values in time order, and the percentiles (1 - level) / 2 and (1 + level) / 2 of the
/// means of circular block resamples. Blocks keep the dependence of neighbours, which makes a mean
/// less certain than that of as many independent values. The result depends on values and options
/// alone. With blocks as long as the values, or one value, the interval has no width.
/// Allocates: O(n + resamples). On the calling thread.
/// Throws: OptionError when the block length is not from 0 to n, there is no resample, or the level
/// is not between 0 and 1; DataError when there are no values, naming one that is not finite, or
/// when their sum is not finite.
/// Source: Politis and Romano, A circular block-resampling procedure for stationary data (1992).
inline MeanInterval block_bootstrap_mean(std::span<const double> values,
                                         const BlockBootstrapOptions& options = {}) {
  const FloatModeGuard guard;
  const auto n = static_cast<Index>(values.size());
  if (n == 0) throw DataError("block_bootstrap_mean: no values");
  if (options.block_length < 0 || options.block_length > n)
    throw OptionError("block_bootstrap_mean: expected a block length from 0 (chosen) to ", n,
                      ", not ", options.block_length);
  if (options.resamples < 1)
    throw OptionError("block_bootstrap_mean: expected 1 resample or more, not ", options.resamples);
  if (!(is_finite(options.level) && options.level > 0 && options.level < 1))
    throw OptionError("block_bootstrap_mean: expected a level between 0 and 1, not ",
                      options.level);
  double sum = 0;  // of differences from the first value: exact for equal values
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_finite(values[i]))
      throw DataError("block_bootstrap_mean: value ", i, " is ", values[i]);
    sum += values[i] - values[0];
  }
  const double mean = values[0] + sum / static_cast<double>(n);
  const Index length = options.block_length > 0 ? options.block_length : default_block_length(n);
  std::vector<double> deviations =
      internal::resampled_deviations(values, mean, length, options.resamples, options.seed);
  std::sort(deviations.begin(), deviations.end());
  const double tail = (1 - options.level) / 2;
  const MeanInterval interval{mean + internal::quantile_of_sorted(deviations, tail),
                              mean + internal::quantile_of_sorted(deviations, 1 - tail), mean};
  if (!is_finite(interval.low) || !is_finite(interval.high))
    throw DataError("block_bootstrap_mean: values too large to add");
  return interval;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
