// Between which bounds the mean of dependent values lies, as of paired differences of two models.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How block_bootstrap_mean resamples.
struct BlockBootstrapOptions {
  Index block_length = 0;  ///< consecutive values kept together; 0: default_block_length
  Index resamples = 2000;
  double level = 0.95;  ///< probability that the interval is to cover the mean
  std::uint64_t seed = 0;
};

/// A mean, and what it lies between.
struct MeanInterval {
  double low, high;
  double mean;  ///< of the values themselves
};

/// The least b with b^3 >= n, but at most n / 2, so that blocks differ, and at least 1. Only the
/// growth with n is known to be right: the best factor grows with the dependence of the values.
/// Where they overlap, as returns over h steps do at every step, a block is better several h long.
/// Source: Hall, Horowitz and Jing, On blocking rules for the bootstrap with dependent data (1995):
/// n^(1/3) for the variance of a mean.
constexpr Index default_block_length(Index n) noexcept {
  Index length = 1;
  while (length * length * length < n) ++length;
  return std::max(std::min(length, n / 2), Index{1});
}

namespace internal {

/// A constant of its own, so that one seed serves several purposes.
inline constexpr std::uint64_t bootstrap_stream = 0xb007;

/// Means of resamples of n values, less `mean`, which is theirs: each resample is of blocks that
/// start anywhere and go on at the first value after the last one; its last block is cut so that it
/// has n values. O(n / length) a resample, by sums[i], that of the first i values less the mean.
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

/// Between the order statistics around q (n - 1), linearly. Source: numpy.quantile.
inline double quantile_of_sorted(std::span<const double> sorted, double q) noexcept {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(at), sorted.size() - 1);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
}

}  // namespace internal

/// The mean of values in the order of time, and the percentiles (1 - level) / 2 and (1 + level) / 2
/// of the means of circular block resamples, which keep the dependence within a block: that of
/// neighbours makes a mean less certain than as many independent values would. A function of values
/// and options alone. With blocks as long as the values, or one value, the interval has no width.
/// Allocates: O(n + resamples). On the calling thread.
/// Throws: OptionError when the block length is not from 0 to n, there is no resample, or the level
/// is not between 0 and 1; DataError without values, or naming one that is not finite, or when
/// their sum is not. Source: Politis and Romano, A circular block-resampling procedure for
/// stationary data (1992).
inline MeanInterval block_bootstrap_mean(std::span<const double> values,
                                         const BlockBootstrapOptions& options = {}) {
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
