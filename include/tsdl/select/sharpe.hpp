// Sharpe ratios and what chance alone explains of them: their standard errors, the best of many
// trials, and how long a record must be.
//
// Ratios are per period throughout, not annual ones, as are the moments. Names:
//   SR   Sharpe ratio, mean / deviation, of n returns
//   SR*  the ratio to beat
//   V    the variance of the Sharpe ratios of all trials
//   Phi  the normal distribution function
// Kurtosis is 3 for the normal. Moments are those of the sample, divided by n.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <span>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/normal.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Count, mean and central moments of returns, which add up: the moments of two blocks of a series
/// give those of both. Plain data that a file can keep. Adding rounds as its caller does.
struct Moments {
  double n = 0;
  double mean = 0;
  double m2 = 0, m3 = 0, m4 = 0;  ///< sums of (x - mean)^k

  /// Adds the values that `other` describes. Equal means add without rounding.
  /// Source: Pebay, Formulas for robust, one-pass parallel computation of covariances and
  /// arbitrary-order statistical moments (2008), equations 2.1 and 3.1.
  Moments& operator+=(const Moments& other) noexcept {
    if (!(other.n > 0)) return *this;
    if (!(n > 0)) return *this = other;
    const double a = n, b = other.n, all = a + b;
    const double d = other.mean - mean, step = d / all;
    m4 += other.m4 + d * step * step * step * a * b * (a * a - a * b + b * b) +
          6 * step * step * (a * a * other.m2 + b * b * m2) + 4 * step * (a * other.m3 - b * m3);
    m3 += other.m3 + d * step * step * a * b * (a - b) + 3 * step * (a * other.m2 - b * m2);
    m2 += other.m2 + d * step * a * b;
    mean += step * b;
    n = all;
    return *this;
  }

  friend Moments operator+(Moments a, const Moments& b) noexcept { return a += b; }
};

/// A series of returns in the figures that its Sharpe ratio and the error of that need.
struct SharpeSummary {
  double n = 0;
  double mean = 0;
  double deviation = 0;
  double sharpe = 0;
  double skew = 0;
  double kurtosis = 3;
};

/// The moments of returns; of none, all are 0.
/// Throws: DataError naming a return that is not finite, or when they are too large to add.
inline Moments moments_of(std::span<const double> returns) {
  const FloatModeGuard guard;
  Moments moments;
  if (returns.empty()) return moments;
  double sum = 0;  // of differences from the first: exact for equal values
  for (std::size_t i = 0; i < returns.size(); ++i) {
    if (!is_finite(returns[i])) throw DataError("moments_of: return ", i, " is ", returns[i]);
    sum += returns[i] - returns[0];
  }
  moments.n = static_cast<double>(returns.size());
  moments.mean = returns[0] + sum / moments.n;
  for (const double value : returns) {
    const double d = value - moments.mean, square = d * d;
    moments.m2 += square;
    moments.m3 += square * d;
    moments.m4 += square * square;
  }
  if (!is_finite(moments.mean) || !is_finite(moments.m4))
    throw DataError("moments_of: returns too large to add");
  return moments;
}

/// Where the returns do not vary, as those of a strategy that never trades, there is no ratio: it
/// and the skew are 0, and the kurtosis is 3. What rounding alone leaves counts as no deviation.
inline SharpeSummary sharpe_summary(const Moments& moments) noexcept {
  const FloatModeGuard guard;
  SharpeSummary summary;
  summary.n = moments.n;
  summary.mean = moments.mean;
  if (!(moments.n > 0)) return summary;
  const double variance = moments.m2 / moments.n, deviation = std::sqrt(variance);
  const double rounding =
      moments.n * std::numeric_limits<double>::epsilon() * std::abs(moments.mean);
  if (!(deviation > rounding)) return summary;
  summary.deviation = deviation;
  summary.sharpe = moments.mean / deviation;
  summary.skew = moments.m3 / moments.n / (variance * deviation);
  summary.kurtosis = moments.m4 / moments.n / (variance * variance);
  return summary;
}

/// The summary of returns in one series. Throws: as moments_of().
inline SharpeSummary sharpe_summary(std::span<const double> returns) {
  return sharpe_summary(moments_of(returns));
}

namespace internal {

/// The variance of sqrt(n - 1) times an estimated Sharpe ratio:
///   1 - skew SR + (kurtosis - 1) / 4 SR^2
inline double sharpe_variance(const char* where, double sharpe, double skew, double kurtosis) {
  if (!is_finite(sharpe) || !is_finite(skew) || !is_finite(kurtosis))
    throw OptionError(where, ": expected finite numbers, not a Sharpe ratio of ", sharpe,
                      ", skew of ", skew, " and kurtosis of ", kurtosis);
  const double least = 1 + skew * skew;
  if (kurtosis < least - 1e-9 * least)
    throw OptionError(where, ": a kurtosis of ", kurtosis, " and a skew of ", skew,
                      " do not go together: expected at least 1 + skew^2 = ", least);
  return std::max(0.0, 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe * sharpe);
}

inline void check_trials(const char* where, double trials) {
  if (!(is_finite(trials) && trials >= 1))
    throw OptionError(where, ": expected 1 trial or more, not ", trials);
}

}  // namespace internal

/// The probability that the true Sharpe ratio is above a benchmark (PSR), from an estimate over n
/// returns:
///   Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2))
/// Throws: OptionError when n is less than 2, a number is not finite, or the kurtosis is below
/// 1 + skew^2.
/// Source: Bailey and Lopez de Prado, The Sharpe ratio efficient frontier (2012).
inline double probabilistic_sharpe_ratio(double sharpe, double benchmark, double n, double skew,
                                         double kurtosis) {
  const FloatModeGuard guard;
  const char* const where = "probabilistic_sharpe_ratio";
  if (!(is_finite(n) && n >= 2)) throw OptionError(where, ": expected 2 returns or more, not ", n);
  if (!is_finite(benchmark))
    throw OptionError(where, ": expected a finite benchmark, not ", benchmark);
  const double variance = internal::sharpe_variance(where, sharpe, skew, kurtosis);
  const double excess = (sharpe - benchmark) * std::sqrt(n - 1);
  if (variance > 0) return normal_cdf(excess / std::sqrt(variance));
  return excess > 0 ? 1.0 : excess < 0 ? 0.0 : 0.5;
}
inline double probabilistic_sharpe_ratio(const SharpeSummary& summary, double benchmark = 0) {
  return probabilistic_sharpe_ratio(summary.sharpe, benchmark, summary.n, summary.skew,
                                    summary.kurtosis);
}

/// The Sharpe ratio that the best of N independent trials without skill is expected to show, their
/// ratios having variance V; 0 for one trial:
///   sqrt(V) ((1 - g) Phi^-1(1 - 1 / N) + g Phi^-1(1 - 1 / (N e))),  g = 0.5772 (Euler)
/// Trials that resemble each other count as fewer: N need not be whole.
/// Throws: OptionError when N is less than 1 or V is negative.
/// Source: Bailey and Lopez de Prado, The deflated Sharpe ratio (2014).
inline double expected_maximum_sharpe(double trials, double variance) {
  const FloatModeGuard guard;
  const char* const where = "expected_maximum_sharpe";
  internal::check_trials(where, trials);
  if (!(is_finite(variance) && variance >= 0))
    throw OptionError(where, ": expected a variance of 0 or more, not ", variance);
  if (!(trials > 1)) return 0;
  const double g = std::numbers::egamma;
  const double in_deviations =
      -(1 - g) * normal_quantile(1 / trials) - g * normal_quantile(1 / (trials * std::numbers::e));
  return std::sqrt(variance) * std::max(0.0, in_deviations);
}

/// The probability that the true Sharpe ratio of the best of N trials is above what chance gives
/// the best of N (DSR): the PSR against expected_maximum_sharpe(trials, variance).
/// Throws: as probabilistic_sharpe_ratio() and expected_maximum_sharpe().
/// Source: Bailey and Lopez de Prado, The deflated Sharpe ratio (2014).
inline double deflated_sharpe_ratio(double sharpe, double n, double skew, double kurtosis,
                                    double trials, double variance) {
  return probabilistic_sharpe_ratio(sharpe, expected_maximum_sharpe(trials, variance), n, skew,
                                    kurtosis);
}
inline double deflated_sharpe_ratio(const SharpeSummary& summary, double trials, double variance) {
  return probabilistic_sharpe_ratio(summary, expected_maximum_sharpe(trials, variance));
}

/// The number of returns from which on the PSR exceeds `confidence`, in periods; infinite for a
/// ratio that is not above the benchmark:
///   1 + (1 - skew SR + (kurtosis - 1) / 4 SR^2) (Phi^-1(confidence) / (SR - SR*))^2
/// Throws: OptionError as probabilistic_sharpe_ratio(), or when the confidence is not between .5
/// and 1.
/// Source: Bailey and Lopez de Prado, The Sharpe ratio efficient frontier (2012), MinTRL.
inline double minimum_track_record_length(double sharpe, double benchmark, double skew,
                                          double kurtosis, double confidence = 0.95) {
  const FloatModeGuard guard;
  const char* const where = "minimum_track_record_length";
  if (!(is_finite(confidence) && confidence > 0.5 && confidence < 1))
    throw OptionError(where, ": expected a confidence between .5 and 1, not ", confidence);
  if (!is_finite(benchmark))
    throw OptionError(where, ": expected a finite benchmark, not ", benchmark);
  const double variance = internal::sharpe_variance(where, sharpe, skew, kurtosis);
  if (!(sharpe > benchmark)) return internal::infinity_of<double>;
  const double ratio = normal_quantile(confidence) / (sharpe - benchmark);
  return 1 + variance * ratio * ratio;
}
inline double minimum_track_record_length(const SharpeSummary& summary, double benchmark = 0,
                                          double confidence = 0.95) {
  return minimum_track_record_length(summary.sharpe, benchmark, summary.skew, summary.kurtosis,
                                     confidence);
}

/// The years of data below which the best of N trials without skill is expected to show an annual
/// Sharpe ratio of `annual_sharpe` (MinBTL):
///   (expected_maximum_sharpe(N, 1) / annual_sharpe)^2
/// Throws: OptionError when N is less than 1 or the ratio is not above 0.
/// Source: Bailey, Borwein, Lopez de Prado and Zhu, Pseudo-mathematics and financial charlatanism
/// (2014).
inline double minimum_backtest_length(double trials, double annual_sharpe = 1) {
  const FloatModeGuard guard;
  internal::check_trials("minimum_backtest_length", trials);
  if (!(is_finite(annual_sharpe) && annual_sharpe > 0))
    throw OptionError("minimum_backtest_length: expected a Sharpe ratio above 0, not ",
                      annual_sharpe);
  const double ratio = expected_maximum_sharpe(trials, 1) / annual_sharpe;
  return ratio * ratio;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
