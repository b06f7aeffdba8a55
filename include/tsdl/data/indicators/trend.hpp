// Indicators of trend that compare prices with their moving averages. Those that ask which way the
// market moves: direction.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/momentum.hpp"
#include "tsdl/data/indicators/rolling.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Simple moving average of the close. Units: price.
class SMA {
 public:
  static constexpr std::array<std::string_view, 1> names = {"sma"};

  explicit SMA(Index window = 12) : average_(window) {}
  double push(const Candle& c) noexcept { return average_.push(c.close); }

  void state(StateBytes& bytes) { bytes(average_); }

 private:
  RollingMean average_;
};

/// Exponential moving average of the close, from its first value on. Units: price.
class EMA {
 public:
  static constexpr std::array<std::string_view, 1> names = {"ema"};

  explicit EMA(Index span = 12) : average_(span) {}
  double push(const Candle& c) noexcept { return average_.push(c.close); }

  void state(StateBytes& bytes) { bytes(average_); }

 private:
  ExponentialAverage average_;
};

/// Appel's moving average convergence divergence.
/// Numbers: the line, which is the fast exponential average of the close minus the slow one; the
/// signal, which is the line's exponential average; and their difference. Units: price.
class MACD {
 public:
  static constexpr std::array<std::string_view, 3> names = {"macd", "macd_signal", "macd_diff"};

  explicit MACD(Index slow = 26, Index fast = 12, Index signal = 9)
      : slow_(slow), fast_(fast), signal_(signal) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    slow_.push(c.close);
    fast_.push(c.close);
    if (!slow_.is_warm() || !fast_.is_warm()) return internal::all_undefined<3>();
    const double line = fast_.value() - slow_.value();
    const double signal = signal_.push(line);
    return {line, signal, line - signal};
  }

  void state(StateBytes& bytes) { bytes(slow_, fast_, signal_); }

 private:
  ExponentialAverage slow_;
  ExponentialAverage fast_;
  ExponentialAverage signal_;
};

/// TRIX: the change of the thrice smoothed close since the candle before, in percent. Warm after 3
/// span - 1 candles, the first of which only starts the change.
class TRIX {
 public:
  static constexpr std::array<std::string_view, 1> names = {"trix"};

  explicit TRIX(Index span = 15) : first_(span), second_(span), third_(span) {}

  double push(const Candle& c) noexcept {
    const double before = third_.value();
    if (const double once = first_.push(c.close); !is_nan(once))
      if (const double twice = second_.push(once); !is_nan(twice)) third_.push(twice);
    return (third_.value() - before) / before * 100;
  }

  void state(StateBytes& bytes) { bytes(first_, second_, third_); }

 private:
  ExponentialAverage first_;
  ExponentialAverage second_;
  ExponentialAverage third_;
};

/// Dorsey's mass index: the window's sum of the once smoothed range over the twice smoothed range.
/// The ratio is 1 while the range has been 0 throughout, or its average has decayed below 1e-90.
class MassIndex {
 public:
  static constexpr std::array<std::string_view, 1> names = {"mass_index"};

  explicit MassIndex(Index span = 9, Index window = 25)
      : once_(span), twice_(span), ratios_(window) {}

  double push(const Candle& c) noexcept {
    const double once = once_.push(c.high - c.low);
    if (!once_.is_warm()) return internal::undefined;
    const double twice = twice_.push(once);
    if (twice_.is_warm()) ratios_.push(internal::decayed_ratio_or(1, once, twice));
    return ratios_.value();
  }

  void state(StateBytes& bytes) { bytes(once_, twice_, ratios_); }

 private:
  ExponentialAverage once_;
  ExponentialAverage twice_;
  RollingSum ratios_;
};

/// Detrended price oscillator: the close of window / 2 + 1 candles ago minus the window's average.
/// Units: price.
class DPO {
 public:
  static constexpr std::array<std::string_view, 1> names = {"dpo"};

  explicit DPO(Index window = 20)
      : close_(internal::checked_window("DPO", window) / 2 + 1), average_(window) {}

  double push(const Candle& c) noexcept {
    const double before = close_.push(c.close);
    return before - average_.push(c.close);
  }

  void state(StateBytes& bytes) { bytes(close_, average_); }

 private:
  Delay close_;
  RollingMean average_;
};

/// Pring's "know sure thing": a weighted sum of four smoothed rates of change, in percent.
/// Equations: kst = sum over i = 1..4 of i times the average, over 10, 10, 10 and 15 candles, of
/// the rate of change over 10, 15, 20 and 30; the signal is its average over 9. Numbers: kst,
/// signal, kst - signal.
class KST {
 public:
  static constexpr std::array<std::string_view, 3> names = {"kst", "kst_sig", "kst_diff"};

  explicit KST(std::array<Index, 4> steps = {10, 15, 20, 30},
               std::array<Index, 4> windows = {10, 10, 10, 15}, Index signal = 9)
      : rates_{ROC(steps[0]), ROC(steps[1]), ROC(steps[2]), ROC(steps[3])},
        averages_{RollingMean(windows[0]), RollingMean(windows[1]), RollingMean(windows[2]),
                  RollingMean(windows[3])},
        signal_(signal) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    double kst = 0;
    bool is_warm = true;
    for (std::size_t i = 0; i < 4; ++i) {
      if (const double rate = rates_[i].push(c); !is_nan(rate)) averages_[i].push(rate);
      kst += static_cast<double>(i + 1) * averages_[i].value();
      is_warm = is_warm && averages_[i].is_warm();
    }
    if (!is_warm) return internal::all_undefined<3>();
    const double signal = signal_.push(kst);
    return {kst, signal, kst - signal};
  }

  void state(StateBytes& bytes) { bytes(rates_, averages_, signal_); }

 private:
  std::array<ROC, 4> rates_;
  std::array<RollingMean, 4> averages_;
  RollingMean signal_;
};

namespace internal {

/// Where a number lies in its rolling range, in percent, exponentially averaged. Where there is no
/// range the average stays, and the next number counts for more, by the time that has passed. 50
/// before the first number that has a range.
/// Source: the second rule is that of pandas, ewm(adjust=False, ignore_na=False) over missing
/// values.
class SmoothedStochastic {
 public:
  SmoothedStochastic(Index window, Index span)
      : lowest_(window),
        highest_(window),
        alpha_(2 / (static_cast<double>(checked_window("STC", span)) + 1)),
        span_(span),
        missing_(span) {}

  double push(double x) noexcept {
    const double lowest = lowest_.push(x);
    const double highest = highest_.push(x);
    if (!lowest_.is_warm()) return undefined;
    old_weight_ = std::max(old_weight_ * (1 - alpha_), negligible);  // as good as 0
    if (highest > lowest) {
      const double stochastic = 100 * ((x - lowest) / (highest - lowest));
      average_ = has_average_ ? average_ + alpha_ / (old_weight_ + alpha_) * (stochastic - average_)
                              : stochastic;
      has_average_ = true;
      old_weight_ = 1;
    }
    if (missing_ > 0) --missing_;
    return missing_ == 0 ? average_ : undefined;
  }

  void state(StateBytes& bytes) {
    bytes(lowest_, highest_);
    bytes.within(missing_, 0, span_);
    bytes(has_average_);
    bytes.finite(average_);
    bytes.within(old_weight_, 0, 1);
  }

 private:
  RollingMin lowest_;
  RollingMax highest_;
  double alpha_;
  Index span_;
  Index missing_;  ///< stochastics until it is warm
  bool has_average_ = false;
  double average_ = 50;
  double old_weight_ = 1;
};

}  // namespace internal

/// Schaff trend cycle: MACD's line through two smoothed stochastics.
/// Range: 0 to 100; a stochastic without a range leaves its average unchanged, at first 50.
/// Source: Schaff (2008), Technical Analysis of Stocks & Commodities.
class STC {
 public:
  static constexpr std::array<std::string_view, 1> names = {"stc"};

  explicit STC(Index slow = 50, Index fast = 23, Index cycle = 10, Index smooth_first = 3,
               Index smooth_second = 3)
      : slow_(slow), fast_(fast), first_(cycle, smooth_first), second_(cycle, smooth_second) {}

  double push(const Candle& c) noexcept {
    slow_.push(c.close);
    fast_.push(c.close);
    if (!slow_.is_warm() || !fast_.is_warm()) return internal::undefined;
    const double once = first_.push(fast_.value() - slow_.value());
    return is_nan(once) ? internal::undefined : second_.push(once);
  }

  void state(StateBytes& bytes) { bytes(slow_, fast_, first_, second_); }

 private:
  ExponentialAverage slow_;
  ExponentialAverage fast_;
  internal::SmoothedStochastic first_;
  internal::SmoothedStochastic second_;
};

/// Lambert's commodity channel index.
/// Equations: (p - m) / (0.015 d), p the typical price, m its average and d its mean distance from
/// m over the window; 0 where d is 0. A push costs O(window), which the mean distance needs.
class CCI {
 public:
  static constexpr std::array<std::string_view, 1> names = {"cci"};

  explicit CCI(Index window = 20, double constant = 0.015)
      : prices_(static_cast<std::size_t>(internal::checked_window("CCI", window))),
        constant_(constant) {}
  CCI(const CCI&) = default;  // copies only, as RollingFold
  CCI& operator=(const CCI&) = default;

  double push(const Candle& c) noexcept {
    const double price = internal::typical_price(c);
    prices_[at_] = price;
    if (++at_ == prices_.size()) {
      at_ = 0;
      is_warm_ = true;
    }
    if (!is_warm_) return internal::undefined;
    const double n = static_cast<double>(prices_.size());
    // Differences from the newest price: in a flat window all of them, and so their mean, are
    // exact.
    double sum = 0;
    for (const double other : prices_) sum += other - price;
    const double mean = sum / n;
    double distance = 0;
    for (const double other : prices_) distance += std::abs(other - price - mean);
    return internal::ratio_or(0, -mean, constant_ * (distance / n));
  }

  void state(StateBytes& bytes) {
    bytes(prices_);
    bytes.within(at_, 0, prices_.size() - 1);
    bytes(is_warm_);
  }

 private:
  std::vector<double> prices_;
  std::size_t at_ = 0;
  bool is_warm_ = false;
  double constant_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
