// Indicators of trend: moving averages and what is made of them.
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
/// Numbers: the fast exponential average of the close less the slow one, the exponential average of
/// that, and the difference of the two. Units: price.
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

/// Vortex indicator.
/// Equations: pos = sum |high - previous low| / sum of true ranges over the window, neg = sum
/// |low - previous high| / the same; 1 both where nothing moved.
/// Numbers: pos, neg, pos - neg. Warm after window + 1 candles.
/// Source: Botes and Siepman (2010), The Vortex Indicator.
class Vortex {
 public:
  static constexpr std::array<std::string_view, 3> names = {"vortex_ind_pos", "vortex_ind_neg",
                                                            "vortex_ind_diff"};

  explicit Vortex(Index window = 14) : up_(window), down_(window), range_(window) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    if (previous_) {
      up_.push(std::abs(c.high - previous_->low));
      down_.push(std::abs(c.low - previous_->high));
      range_.push(internal::true_range(c, previous_->close));
    }
    previous_.set(c);
    if (!range_.is_warm()) return internal::all_undefined<3>();
    const double pos = internal::ratio_or(1, up_.value(), range_.value());
    const double neg = internal::ratio_or(1, down_.value(), range_.value());
    return {pos, neg, pos - neg};
  }

  void state(StateBytes& bytes) { bytes(previous_, up_, down_, range_); }

 private:
  internal::Previous previous_;
  RollingSum up_;
  RollingSum down_;
  RollingSum range_;
};

/// TRIX: the change of the thrice smoothed close since the candle before, in percent.
/// Warm after 3 span - 1 candles, the first of which only starts the change.
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

/// Dorsey's mass index: the window's sum of the once smoothed range over the twice smoothed one.
/// Where the range has stayed 0 that ratio counts as 1.
class MassIndex {
 public:
  static constexpr std::array<std::string_view, 1> names = {"mass_index"};

  explicit MassIndex(Index span = 9, Index window = 25)
      : once_(span), twice_(span), ratios_(window) {}

  double push(const Candle& c) noexcept {
    const double once = once_.push(c.high - c.low);
    if (!once_.is_warm()) return internal::undefined;
    const double twice = twice_.push(once);
    if (twice_.is_warm()) ratios_.push(internal::ratio_or(1, once, twice));
    return ratios_.value();
  }

  void state(StateBytes& bytes) { bytes(once_, twice_, ratios_); }

 private:
  ExponentialAverage once_;
  ExponentialAverage twice_;
  RollingSum ratios_;
};

/// Detrended price oscillator: the close of window / 2 + 1 candles ago less the window's average.
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
/// the rate of change over 10, 15, 20 and 30; its average over 9 is the signal. Numbers: kst, its
/// signal, the difference of the two.
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
/// range there is nothing to average: the average stays, and the next number counts as much more as
/// time went by. 50 before the first number that has a range.
/// Source: the second half is pandas, ewm(adjust=False, ignore_na=False) over missing values.
class SmoothedStochastic {
 public:
  SmoothedStochastic(Index window, Index span)
      : lowest_(window),
        highest_(window),
        alpha_(2 / (static_cast<double>(checked_window("STC", span)) + 1)),
        missing_(span) {}

  double push(double x) noexcept {
    const double lowest = lowest_.push(x);
    const double highest = highest_.push(x);
    if (!lowest_.is_warm()) return undefined;
    old_weight_ *= 1 - alpha_;
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
    bytes(lowest_, highest_, missing_, has_average_, average_, old_weight_);
  }

 private:
  RollingMin lowest_;
  RollingMax highest_;
  double alpha_;
  Index missing_;  ///< stochastics until it is warm
  bool has_average_ = false;
  double average_ = 50;
  double old_weight_ = 1;
};

}  // namespace internal

/// Schaff trend cycle: MACD's line through two smoothed stochastics.
/// Range: 0 to 100; a stochastic without a range leaves its average where it was, at first 50.
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

/// Wilder's average directional index and directional indicators, in percent.
/// Equations: up = high - previous high, down = previous low - low; a candle's +DM is up where it
/// is above down and 0, its -DM the reverse. +DI and -DI are Wilder's averages of these over that
/// of the true range; DX = |+DI - -DI| / (+DI + -DI); ADX is Wilder's average of DX. A quotient
/// with nothing below it is 0. Numbers: adx (warm after 2 window candles), +DI, -DI (warm after
/// window + 1). Source: Wilder (1978), New Concepts in Technical Trading Systems.
class ADX {
 public:
  static constexpr std::array<std::string_view, 3> names = {"adx", "adx_pos", "adx_neg"};

  explicit ADX(Index window = 14) : range_(window), up_(window), down_(window), index_(window) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    if (previous_) {
      const double up = c.high - previous_->high;
      const double down = previous_->low - c.low;
      range_.push(internal::true_range(c, previous_->close));
      up_.push(up > down && up > 0 ? up : 0);
      down_.push(down > up && down > 0 ? down : 0);
    }
    previous_.set(c);
    if (!range_.is_warm()) return internal::all_undefined<3>();
    const double pos = 100 * internal::ratio_or(0, up_.value(), range_.value());
    const double neg = 100 * internal::ratio_or(0, down_.value(), range_.value());
    return {index_.push(100 * internal::ratio_or(0, std::abs(pos - neg), pos + neg)), pos, neg};
  }

  void state(StateBytes& bytes) { bytes(previous_, range_, up_, down_, index_); }

 private:
  internal::Previous previous_;
  WilderAverage range_;
  WilderAverage up_;
  WilderAverage down_;
  WilderAverage index_;
};

/// Lambert's commodity channel index.
/// Equations: (p - m) / (0.015 d), p the typical price, m its average and d its mean distance from
/// m over the window; 0 where that is 0. A push costs O(window): the distance needs all of it.
class CCI {
 public:
  static constexpr std::array<std::string_view, 1> names = {"cci"};

  explicit CCI(Index window = 20, double constant = 0.015)
      : prices_(static_cast<std::size_t>(internal::checked_window("CCI", window))),
        constant_(constant) {}

  double push(const Candle& c) noexcept {
    const double price = internal::typical_price(c);
    prices_[at_] = price;
    if (++at_ == prices_.size()) {
      at_ = 0;
      is_warm_ = true;
    }
    if (!is_warm_) return internal::undefined;
    const double n = static_cast<double>(prices_.size());
    // Differences from the newest price: in a flat window all of them, and so the mean, are exact.
    double sum = 0;
    for (const double other : prices_) sum += other - price;
    const double mean = sum / n;
    double distance = 0;
    for (const double other : prices_) distance += std::abs(other - price - mean);
    return internal::ratio_or(0, -mean, constant_ * (distance / n));
  }

  void state(StateBytes& bytes) { bytes(prices_, at_, is_warm_); }

 private:
  std::vector<double> prices_;
  std::size_t at_ = 0;
  bool is_warm_ = false;
  double constant_;
};

/// Chande's Aroon: how recent the highest high and the lowest low of window + 1 candles are.
/// Numbers: up and down, 100 when it is the newest candle, 0 when the oldest (of equal ones the
/// oldest counts), and up - down.
class Aroon {
 public:
  static constexpr std::array<std::string_view, 3> names = {"aroon_up", "aroon_down", "aroon_ind"};

  explicit Aroon(Index window = 25)
      : highest_(internal::checked_window("Aroon", window) + 1), lowest_(window + 1) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    highest_.push({c.high, count_});
    lowest_.push({-c.low, count_});
    ++count_;
    if (!highest_.is_warm()) return internal::all_undefined<3>();
    const double up = recency(highest_);
    const double down = recency(lowest_);
    return {up, down, up - down};
  }

  void state(StateBytes& bytes) { bytes(highest_, lowest_, count_); }

 private:
  struct Peak {
    /// How high it is, and when it was.
    struct Value {
      double height = 0;
      Index row = 0;
    };
    static Value join(const Value& older, const Value& newer, Index, Index) noexcept {
      return newer.height > older.height ? newer : older;
    }
  };

  double recency(const RollingFold<Peak>& peaks) const noexcept {
    const Index window = peaks.window() - 1;
    const Index age = count_ - 1 - peaks.fold().row;
    return 100 * static_cast<double>(window - age) / static_cast<double>(window);
  }

  RollingFold<Peak> highest_;
  RollingFold<Peak> lowest_;
  Index count_ = 0;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
