// Figures of dependent rows with an interval: a mean, any figure of the rows, and the difference of
// two models on the same rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/normal.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The options of block_bootstrap_mean, block_bootstrap and block_bootstrap_difference.
struct BlockBootstrapOptions {
  /// Consecutive rows kept together; 0: twice default_block_length(), at most half of the rows.
  Index block_length = 0;
  Index resamples = 2000;
  double level = 0.95;  ///< the nominal coverage of the interval
  std::uint64_t seed = 0;
};

/// Any figure of rows and its interval.
struct FigureInterval {
  double low, high;
  double value;  ///< of the rows themselves
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

/// The block length that suits the dependence of these values, from 1 to n / 2: the length at which
/// the variance of a resampled mean has the least error,
///   b = (2 g^2 / d)^(1/3) n^(1/3),  g = sum |k| w(k) R(k),  d = 4/3 (sum w(k) R(k))^2
/// over the lags k from -M to M, with autocovariances R and the weights w of a flat-top window that
/// is twice as wide as the dependence that shows. Give it what the figure averages, such as the
/// differences of two models' losses. Equal values have length 1.
/// Allocates: O(sqrt(n)); takes O(n^1.5) operations.
/// Throws: DataError when there are no values or naming one that is not finite.
/// Source: Politis and White, Automatic block-length selection for the dependent bootstrap (2004);
/// Patton, Politis and White, Correction (2009).
inline Index automatic_block_length(std::span<const double> values) {
  const FloatModeGuard guard;
  if (values.empty()) throw DataError("automatic_block_length: no values");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!is_finite(values[i]))
      throw DataError("automatic_block_length: value ", i, " is ", values[i]);
  const std::size_t n = values.size();
  const auto count = static_cast<double>(n);
  double sum = 0;
  for (const double value : values) sum += value - values[0];
  const double mean = values[0] + sum / count;
  const auto significant_lags = static_cast<std::size_t>(std::max(5.0, std::log10(count)));
  const std::size_t last_lag =
      std::min(n - 1, static_cast<std::size_t>(std::ceil(std::sqrt(count))) + significant_lags);
  std::vector<double> covariances(last_lag + 1);
  for (std::size_t lag = 0; lag <= last_lag; ++lag) {
    for (std::size_t i = lag; i < n; ++i)
      covariances[lag] += (values[i] - mean) * (values[i - lag] - mean);
    covariances[lag] /= count;
  }
  if (!(covariances[0] > 0)) return 1;
  // The dependence ends before the first run of lags that all look like none.
  const double noise = 2 * std::sqrt(std::log10(count) / count) * covariances[0];
  std::size_t width = last_lag, run = 0;
  for (std::size_t lag = 1; lag <= last_lag && run < significant_lags; ++lag) {
    run = std::abs(covariances[lag]) < noise ? run + 1 : 0;
    if (run == significant_lags)
      width = std::min(2 * std::max(lag - run, std::size_t{1}), last_lag);
  }
  double g = 0, variance = covariances[0];
  for (std::size_t lag = 1; lag <= width; ++lag) {
    const double share = static_cast<double>(lag) / static_cast<double>(width);
    const double weighted = 2 * std::min(1.0, 2 * (1 - share)) * covariances[lag];
    g += static_cast<double>(lag) * weighted;
    variance += weighted;
  }
  const double length = std::cbrt(1.5 * g * g / (variance * variance) * count);
  const double most = std::min(3 * std::sqrt(count), count / 3);
  if (!(length > 1)) return 1;
  return std::max(static_cast<Index>(std::ceil(std::min(length, most))), Index{1});
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

inline void check_block_bootstrap(const char* where, Index n,
                                  const BlockBootstrapOptions& options) {
  if (options.block_length < 0 || options.block_length > n)
    throw OptionError(where, ": expected a block length from 0 (chosen) to ", n, ", not ",
                      options.block_length);
  if (options.resamples < 1)
    throw OptionError(where, ": expected 1 resample or more, not ", options.resamples);
  if (!(is_finite(options.level) && options.level > 0 && options.level < 1))
    throw OptionError(where, ": expected a level between 0 and 1, not ", options.level);
}

/// The block length of the options, or the one that is chosen: twice default_block_length, at most
/// n / 2.
inline Index block_length_of(const BlockBootstrapOptions& options, Index n) noexcept {
  if (options.block_length > 0) return options.block_length;
  return std::max(std::min(2 * default_block_length(n), n / 2), Index{1});
}

/// The share of resamples below the interval of block_bootstrap().
inline double expanded_tail(double level, Index n, Index length) {
  const double rows = static_cast<double>(n), blocks = rows / static_cast<double>(length);
  const double plain = (1 - level) / 2;
  if (length >= n || plain >= 0.5) return plain;
  const double t = student_quantile(normal_quantile(plain), std::max(2.0, 1.5 * blocks - 1));
  return normal_cdf(t * std::sqrt(blocks / (blocks - 1)));
}

/// The rows of the next resample, by the draws of resampled_deviations().
inline void resample_rows(std::span<Index> rows, Index length, RandomStream& random) noexcept {
  const std::size_t n = rows.size(), block = static_cast<std::size_t>(length);
  for (std::size_t filled = 0; filled < n; filled += block) {
    auto row = static_cast<std::size_t>(random.below(n));
    const std::size_t end = std::min(filled + block, n);
    for (std::size_t i = filled; i < end; ++i) {
      rows[i] = static_cast<Index>(row);
      if (++row == n) row = 0;
    }
  }
}

}  // namespace internal

/// A figure of n rows in time order and its interval, from the percentiles of the figure in
/// circular block resamples of the rows. `statistic` is called with n row numbers, some of them
/// several times and others not at all, and returns the figure of these rows, with the repeats;
/// first it is called with 0 ... n - 1. Same seed, n and block length: same rows, whatever the
/// figure, and those of block_bootstrap_mean().
///
/// The percentiles lie further out than (1 - level) / 2, for what resampled blocks of length b do
/// not show: their spread is too small by about sqrt(1 - b / n), and known from about 1.5 n / b
/// independent values only. With d = 1.5 n / b - 1 degrees of freedom they are
///   Phi(-+ t(d) sqrt(n / (n - b))),  t the quantile (1 + level) / 2 of Student's distribution,
/// and level itself in the limit. 95% intervals then cover 93% to 95% of means of autoregressions
/// with a coefficient up to .5 from 500 rows on; as many rows of stronger dependence need longer
/// blocks: twice automatic_block_length().
/// Allocates: O(n + resamples). On the calling thread.
/// Throws: DataError when there are no rows, or the figure is not finite; OptionError when
/// the block length is not from 0 to n, there is no resample, or the level is not between 0 and 1;
/// what the statistic throws.
/// Source: Politis and Romano, A circular block-resampling procedure for stationary data (1992);
/// Hesterberg, What teachers should know about the bootstrap
/// (2015), expanded percentile intervals; Kuensch, The jackknife and the bootstrap for general
/// stationary observations (1989), the variance of a blocks' estimate, 4/3 b / n.
template <class Statistic>
requires std::is_invocable_r_v<double, Statistic&, std::span<const Index>> FigureInterval
block_bootstrap(Index n, Statistic&& statistic, const BlockBootstrapOptions& options = {}) {
  const FloatModeGuard guard;
  if (n < 1) throw DataError("block_bootstrap: no rows");
  internal::check_block_bootstrap("block_bootstrap", n, options);
  const Index length = internal::block_length_of(options, n);
  std::vector<Index> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), Index{0});
  const double value = statistic(std::span<const Index>(rows));
  if (!is_finite(value))
    throw DataError("block_bootstrap: the figure of all ", n, " rows is ", value);
  RandomStream random(options.seed, internal::bootstrap_stream);
  std::vector<double> figures;
  for (Index r = 0; r < options.resamples; ++r) {
    internal::resample_rows(rows, length, random);
    figures.push_back(statistic(std::span<const Index>(rows)));
    if (!is_finite(figures.back()))
      throw DataError("block_bootstrap: the figure of resample ", r, " is ", figures.back());
  }
  std::sort(figures.begin(), figures.end());
  const double tail = internal::expanded_tail(options.level, n, length);
  return {internal::quantile_of_sorted(figures, tail),
          internal::quantile_of_sorted(figures, 1 - tail), value};
}

/// block_bootstrap() of the mean of values in time order, by the same resamples, in O(n / length)
/// for each. Blocks keep the dependence of neighbours, which makes a mean less certain than that of
/// as many independent values. With blocks as long as the values, or one value, the interval has no
/// width.
/// Allocates: O(n + resamples). On the calling thread.
/// Throws: OptionError as block_bootstrap(); DataError when there are no values, naming one that is
/// not finite, or when their sum is not finite.
inline MeanInterval block_bootstrap_mean(std::span<const double> values,
                                         const BlockBootstrapOptions& options = {}) {
  const FloatModeGuard guard;
  const auto n = static_cast<Index>(values.size());
  if (n == 0) throw DataError("block_bootstrap_mean: no values");
  internal::check_block_bootstrap("block_bootstrap_mean", n, options);
  double sum = 0;  // of differences from the first value: exact for equal values
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_finite(values[i]))
      throw DataError("block_bootstrap_mean: value ", i, " is ", values[i]);
    sum += values[i] - values[0];
  }
  const double mean = values[0] + sum / static_cast<double>(n);
  const Index length = internal::block_length_of(options, n);
  std::vector<double> deviations =
      internal::resampled_deviations(values, mean, length, options.resamples, options.seed);
  std::sort(deviations.begin(), deviations.end());
  const double tail = internal::expanded_tail(options.level, n, length);
  const MeanInterval interval{mean + internal::quantile_of_sorted(deviations, tail),
                              mean + internal::quantile_of_sorted(deviations, 1 - tail), mean};
  if (!is_finite(interval.low) || !is_finite(interval.high))
    throw DataError("block_bootstrap_mean: values too large to add");
  return interval;
}

/// block_bootstrap() of a(rows) - b(rows): how much better one model is than another where both
/// have been judged on the same n rows. Both see the same resamples, so that what is hard for both
/// cancels out.
/// Throws: as block_bootstrap().
template <class A, class B>
requires std::is_invocable_r_v<double, A&, std::span<const Index>> &&
    std::is_invocable_r_v<double, B&, std::span<const Index>>
        FigureInterval block_bootstrap_difference(Index n, A&& a, B&& b,
                                                  const BlockBootstrapOptions& options = {}) {
  return block_bootstrap(
      n,
      [&a, &b](std::span<const Index> rows) {
        return static_cast<double>(a(rows)) - static_cast<double>(b(rows));
      },
      options);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
