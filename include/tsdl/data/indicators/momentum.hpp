// Indicators of momentum: oscillators, rates of change and returns.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Wilder's relative strength index of the close.
/// Equations: 100 u / (u + d), with u and d the exponential averages (alpha = 1 / window, from a
/// first value of 0) of rises and falls.
/// Range: 0 to 100; 50 where there was neither rise nor fall, or u + d has decayed below 1e-90, as
/// after thousands of flat candles.
class RSI {
 public:
  static constexpr std::array<std::string_view, 1> names = {"rsi"};

  explicit RSI(Index window = 14)
      : rises_(1 / static_cast<double>(internal::checked_window("RSI", window)), window),
        falls_(1 / static_cast<double>(window), window) {}

  double push(const Candle& c) noexcept {
    const double change = has_close_ ? c.close - close_ : 0;
    close_ = c.close;
    has_close_ = true;
    const double rises = rises_.push(std::max(change, 0.0));
    const double falls = falls_.push(std::max(-change, 0.0));
    return rises_.is_warm() ? 100 * internal::decayed_ratio_or(0.5, rises, rises + falls)
                            : internal::undefined;
  }

  void state(StateBytes& bytes) { bytes(has_close_).finite(close_)(rises_, falls_); }

 private:
  bool has_close_ = false;
  double close_ = 0;
  ExponentialAverage rises_;
  ExponentialAverage falls_;
};

/// Stochastic RSI: where the RSI lies between its lowest and highest value in the window, a simple
/// average of that, and a simple average of the average.
/// Range: 0 to 1; 0.5 where the RSI moved by 1e-6 points or less: while the price stands still the
/// RSI moves by rounding only.
/// Source: Chande and Kroll (1994), The New Technical Trader.
class StochasticRSI {
 public:
  static constexpr std::array<std::string_view, 3> names = {"stoch_rsi", "stoch_rsi_k",
                                                            "stoch_rsi_d"};

  explicit StochasticRSI(Index window = 14, Index smooth_k = 3, Index smooth_d = 3)
      : rsi_(window), lowest_(window), highest_(window), k_(smooth_k), d_(smooth_d) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    const double rsi = rsi_.push(c);
    if (is_nan(rsi)) return internal::all_undefined<3>();
    const double lowest = lowest_.push(rsi);
    const double highest = highest_.push(rsi);
    if (!lowest_.is_warm()) return internal::all_undefined<3>();
    const double range = highest - lowest;
    const double stochastic = range > 1e-6 ? (rsi - lowest) / range : 0.5;
    const double k = k_.push(stochastic);
    return {stochastic, k, k_.is_warm() ? d_.push(k) : internal::undefined};
  }

  void state(StateBytes& bytes) { bytes(rsi_, lowest_, highest_, k_, d_); }

 private:
  RSI rsi_;
  RollingMin lowest_;
  RollingMax highest_;
  RollingMean k_;
  RollingMean d_;
};

/// Blau's true strength index: the twice smoothed change of the close over its twice smoothed
/// absolute value.
/// Range: -100 to 100; 0 where there was no change, or it has decayed below 1e-90.
class TSI {
 public:
  static constexpr std::array<std::string_view, 1> names = {"tsi"};

  explicit TSI(Index slow = 25, Index fast = 13)
      : slow_(slow), fast_(fast), slow_size_(slow), fast_size_(fast) {}

  double push(const Candle& c) noexcept {
    if (has_close_) {
      const double change = c.close - close_;
      slow_.push(change);
      slow_size_.push(std::abs(change));
      if (slow_.is_warm()) {
        fast_.push(slow_.value());
        fast_size_.push(slow_size_.value());
      }
    }
    close_ = c.close;
    has_close_ = true;
    return fast_.is_warm() ? 100 * internal::decayed_ratio_or(0, fast_.value(), fast_size_.value())
                           : internal::undefined;
  }

  void state(StateBytes& bytes) {
    bytes(has_close_).finite(close_)(slow_, fast_, slow_size_, fast_size_);
  }

 private:
  bool has_close_ = false;
  double close_ = 0;
  ExponentialAverage slow_;
  ExponentialAverage fast_;
  ExponentialAverage slow_size_;
  ExponentialAverage fast_size_;
};

/// Williams' ultimate oscillator: buying pressure over true range in three windows.
/// Equations: 100 (4 a + 2 b + c) / 7, each the window's sum of close - min(low, previous close)
/// over its sum of true ranges, 0.5 where that sum is 0.
/// Range: 0 to 100.
class UltimateOscillator {
 public:
  static constexpr std::array<std::string_view, 1> names = {"uo"};

  explicit UltimateOscillator(Index fast = 7, Index middle = 14, Index slow = 28)
      : pressure_{RollingSum(fast), RollingSum(middle), RollingSum(slow)}, range_{pressure_} {}

  double push(const Candle& c) noexcept {
    if (has_close_) {
      const double pressure = c.close - std::min(c.low, close_);
      const double range = internal::true_range(c, close_);
      for (std::size_t i = 0; i < 3; ++i) {
        pressure_[i].push(pressure);
        range_[i].push(range);
      }
    }
    close_ = c.close;
    has_close_ = true;
    if (!pressure_[0].is_warm() || !pressure_[1].is_warm() || !pressure_[2].is_warm())
      return internal::undefined;
    constexpr double weights[] = {4, 2, 1};
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i)
      sum += weights[i] * internal::ratio_or(0.5, pressure_[i].value(), range_[i].value());
    return 100 * sum / 7;
  }

  void state(StateBytes& bytes) { bytes(has_close_).finite(close_)(pressure_, range_); }

 private:
  bool has_close_ = false;
  double close_ = 0;
  std::array<RollingSum, 3> pressure_;
  std::array<RollingSum, 3> range_;
};

/// Lane's stochastic oscillator: where the close lies between the window's lowest low and highest
/// high, in percent, and its simple average.
/// Range: 0 to 100; 50 where low and high are equal.
class Stochastic {
 public:
  static constexpr std::array<std::string_view, 2> names = {"stoch", "stoch_signal"};

  explicit Stochastic(Index window = 14, Index smooth = 3)
      : lowest_(window), highest_(window), signal_(smooth) {}

  std::array<double, 2> push(const Candle& c) noexcept {
    const double lowest = lowest_.push(c.low);
    const double highest = highest_.push(c.high);
    if (!lowest_.is_warm()) return internal::all_undefined<2>();
    const double stochastic = 100 * internal::ratio_or(0.5, c.close - lowest, highest - lowest);
    return {stochastic, signal_.push(stochastic)};
  }

  void state(StateBytes& bytes) { bytes(lowest_, highest_, signal_); }

 private:
  RollingMin lowest_;
  RollingMax highest_;
  RollingMean signal_;
};

/// Williams %R: how far the close is below the window's highest high, in percent of its range.
/// Range: -100 to 0; -50 where low and high are equal.
class WilliamsR {
 public:
  static constexpr std::array<std::string_view, 1> names = {"wr"};

  explicit WilliamsR(Index window = 14) : lowest_(window), highest_(window) {}

  double push(const Candle& c) noexcept {
    const double lowest = lowest_.push(c.low);
    const double highest = highest_.push(c.high);
    if (!lowest_.is_warm()) return internal::undefined;
    return -100 * internal::ratio_or(0.5, highest - c.close, highest - lowest);
  }

  void state(StateBytes& bytes) { bytes(lowest_, highest_); }

 private:
  RollingMin lowest_;
  RollingMax highest_;
};

/// Williams' awesome oscillator: the fast average of (high + low) / 2 less the slow one.
/// Units: price.
class AwesomeOscillator {
 public:
  static constexpr std::array<std::string_view, 1> names = {"ao"};

  explicit AwesomeOscillator(Index fast = 5, Index slow = 34) : fast_(fast), slow_(slow) {}

  double push(const Candle& c) noexcept {
    const double middle = (c.high + c.low) / 2;
    const double fast = fast_.push(middle);
    return fast - slow_.push(middle);
  }

  void state(StateBytes& bytes) { bytes(fast_, slow_); }

 private:
  RollingMean fast_;
  RollingMean slow_;
};

/// Rate of change of the close over `steps` candles, in percent.
class ROC {
 public:
  static constexpr std::array<std::string_view, 1> names = {"roc"};

  explicit ROC(Index steps = 12) : close_(steps) {}

  double push(const Candle& c) noexcept {
    const double before = close_.push(c.close);
    return (c.close - before) / before * 100;
  }

  void state(StateBytes& bytes) { bytes(close_); }

 private:
  Delay close_;
};

/// Kaufman's adaptive moving average of the close.
/// Equations: e = |close - close `window` candles ago| / sum of the window's |changes|, 0 where
/// nothing changed; a = (e (2/(fast+1) - 2/(slow+1)) + 2/(slow+1))^2; kama += a (close - kama). It
/// starts at the last close of the first window.
/// Units: price. Warm after `window` candles.
/// Source: Kaufman (1995), Smarter Trading.
class KAMA {
 public:
  static constexpr std::array<std::string_view, 1> names = {"kama"};

  explicit KAMA(Index window = 10, Index fast = 2, Index slow = 30)
      : before_(window),
        path_(window),
        window_(window),
        missing_(window),
        fast_(2 / (static_cast<double>(internal::checked_window("KAMA", fast)) + 1)),
        slow_(2 / (static_cast<double>(internal::checked_window("KAMA", slow)) + 1)) {}

  double push(const Candle& c) noexcept {
    const double before = before_.push(c.close);
    if (has_close_) path_.push(std::abs(c.close - close_));
    close_ = c.close;
    has_close_ = true;
    if (missing_ > 0) {
      average_ = c.close;
      --missing_;
    } else {
      const double efficiency = internal::ratio_or(0, std::abs(c.close - before), path_.value());
      const double rate = efficiency * (fast_ - slow_) + slow_;
      average_ += rate * rate * (c.close - average_);
    }
    return missing_ == 0 ? average_ : internal::undefined;
  }

  void state(StateBytes& bytes) {
    bytes(before_, path_);
    bytes.within(missing_, 0, window_);
    bytes(has_close_);
    bytes.finite(close_, average_);
  }

 private:
  Delay before_;
  RollingSum path_;
  Index window_;
  Index missing_;  ///< candles until it is warm
  double fast_;
  double slow_;
  bool has_close_ = false;
  double close_ = 0;
  double average_ = 0;
};

/// Returns of the close, in percent.
/// Numbers: the change since the candle before, its logarithm ln(close / previous close), and the
/// change since the first candle (warm at once; it depends on where the series starts).
class Returns {
 public:
  static constexpr std::array<std::string_view, 3> names = {"dr", "dlr", "cr"};

  std::array<double, 3> push(const Candle& c) noexcept {
    std::array<double, 3> values = internal::all_undefined<3>();
    if (!has_close_) first_ = c.close;
    if (has_close_) {
      values[0] = 100 * (c.close - close_) / close_;
      values[1] = 100 * internal::log_ratio(c.close, close_);
    }
    values[2] = 100 * (c.close - first_) / first_;
    close_ = c.close;
    has_close_ = true;
    return values;
  }

  void state(StateBytes& bytes) { bytes(has_close_).finite(first_, close_); }

 private:
  bool has_close_ = false;
  double first_ = 0;
  double close_ = 0;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
