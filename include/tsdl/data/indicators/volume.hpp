// Indicators of volume. All need candles with volume.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Where the close lies in the candle's range, -1 at the low to 1 at the high; 0 without a range.
inline double close_location(const Candle& c) noexcept {
  return ratio_or(0, (c.close - c.low) - (c.high - c.close), c.high - c.low);
}

}  // namespace internal

/// Accumulation/distribution: the running total of volume times where the close lies in the range.
/// Equations: adi += v ((c - l) - (h - c)) / (h - l); a candle without range adds 0.
/// Units: volume; the level depends on where the series starts. Warm at once.
class AccumulationDistribution {
 public:
  static constexpr std::array<std::string_view, 1> names = {"adi"};
  static constexpr bool needs_volume = true;

  double push(const Candle& c) noexcept {
    total_ += internal::close_location(c) * c.volume;
    return total_;
  }

  void state(StateBytes& bytes) { bytes.finite(total_); }

 private:
  double total_ = 0;
};

/// On-balance volume: adds the volume of a candle that closes no lower than the one before, else
/// subtracts it. The first candle's volume is added.
/// Units: volume; the level depends on where the series starts. Warm at once.
class OnBalanceVolume {
 public:
  static constexpr std::array<std::string_view, 1> names = {"obv"};
  static constexpr bool needs_volume = true;

  double push(const Candle& c) noexcept {
    total_ += previous_ && c.close < previous_->close ? -c.volume : c.volume;
    previous_.set(c);
    return total_;
  }

  void state(StateBytes& bytes) { bytes(previous_).finite(total_); }

 private:
  internal::Previous previous_;
  double total_ = 0;
};

/// Chaikin money flow.
/// Equations: sum of v ((c - l) - (h - c)) / (h - l) over the window / sum of v.
/// Range: -1 to 1; 0 where the window has no volume.
class ChaikinMoneyFlow {
 public:
  static constexpr std::array<std::string_view, 1> names = {"cmf"};
  static constexpr bool needs_volume = true;

  explicit ChaikinMoneyFlow(Index window = 20) : flow_(window), volume_(window) {}

  double push(const Candle& c) noexcept {
    const double flow = flow_.push(internal::close_location(c) * c.volume);
    const double volume = volume_.push(c.volume);
    return volume_.is_warm() ? internal::ratio_or(0, flow, volume) : internal::undefined;
  }

  void state(StateBytes& bytes) { bytes(flow_, volume_); }

 private:
  RollingSum flow_;
  RollingSum volume_;
};

/// Elder's force index: the exponential average of (close - previous close) volume.
/// Units: price times volume. Warm after span + 1 candles.
class ForceIndex {
 public:
  static constexpr std::array<std::string_view, 1> names = {"fi"};
  static constexpr bool needs_volume = true;

  explicit ForceIndex(Index span = 13) : average_(span) {}

  double push(const Candle& c) noexcept {
    if (previous_) average_.push((c.close - previous_->close) * c.volume);
    previous_.set(c);
    return average_.value();
  }

  void state(StateBytes& bytes) { bytes(previous_, average_); }

 private:
  internal::Previous previous_;
  ExponentialAverage average_;
};

/// Arms' ease of movement and its simple average.
/// Equations: em = 10^8 ((h - h') + (l - l')) (h - l) / (2 v), where primes mark the candle before;
/// 0 where there is no volume. Units: price squared per volume.
class EaseOfMovement {
 public:
  static constexpr std::array<std::string_view, 2> names = {"em", "sma_em"};
  static constexpr bool needs_volume = true;

  explicit EaseOfMovement(Index window = 14) : average_(window) {}

  std::array<double, 2> push(const Candle& c) noexcept {
    double em = internal::undefined;
    if (previous_) {
      const double moved = (c.high - previous_->high) + (c.low - previous_->low);
      em = internal::ratio_or(0, moved * (c.high - c.low), 2 * c.volume) * 1e8;
      average_.push(em);
    }
    previous_.set(c);
    return {em, average_.value()};
  }

  void state(StateBytes& bytes) { bytes(previous_, average_); }

 private:
  internal::Previous previous_;
  RollingMean average_;
};

/// Volume-price trend: the running total of volume times the close's relative change.
/// Units: volume; the level depends on where the series starts. Warm from the second candle on.
class VolumePriceTrend {
 public:
  static constexpr std::array<std::string_view, 1> names = {"vpt"};
  static constexpr bool needs_volume = true;

  double push(const Candle& c) noexcept {
    const bool is_warm = static_cast<bool>(previous_);
    if (is_warm) total_ += c.volume * ((c.close - previous_->close) / previous_->close);
    previous_.set(c);
    return is_warm ? total_ : internal::undefined;
  }

  void state(StateBytes& bytes) { bytes(previous_).finite(total_); }

 private:
  internal::Previous previous_;
  double total_ = 0;
};

/// Volume-weighted average of the typical price (h + l + c) / 3 over a rolling window; the plain
/// average where the window has no volume. Units: price.
class VWAP {
 public:
  static constexpr std::array<std::string_view, 1> names = {"vwap"};
  static constexpr bool needs_volume = true;

  explicit VWAP(Index window = 14) : turnover_(window), volume_(window), price_(window) {}

  double push(const Candle& c) noexcept {
    const double price = internal::typical_price(c);
    const double plain = price_.push(price);
    const double turnover = turnover_.push(price * c.volume);
    const double volume = volume_.push(c.volume);
    return volume > 0 ? turnover / volume : plain;
  }

  void state(StateBytes& bytes) { bytes(turnover_, volume_, price_); }

 private:
  RollingSum turnover_;
  RollingSum volume_;
  RollingMean price_;
};

/// Money flow index: the share of turnover on candles whose typical price rose.
/// Equations: 100 p / (p + n), with p and n the window's sums of typical price times volume where
/// the typical price is above (p) or below (n) that of the candle before.
/// Range: 0 to 100; 50 where there is no flow.
class MoneyFlowIndex {
 public:
  static constexpr std::array<std::string_view, 1> names = {"mfi"};
  static constexpr bool needs_volume = true;

  explicit MoneyFlowIndex(Index window = 14) : up_(window), down_(window) {}

  double push(const Candle& c) noexcept {
    const double price = internal::typical_price(c);
    const double before = previous_ ? internal::typical_price(*previous_) : price;
    const double flow = price * c.volume;
    const double up = up_.push(internal::chosen(price > before, flow, 0));
    const double down = down_.push(internal::chosen(price < before, flow, 0));
    previous_.set(c);
    return up_.is_warm() ? 100 * internal::ratio_or(0.5, up, up + down) : internal::undefined;
  }

  void state(StateBytes& bytes) { bytes(previous_, up_, down_); }

 private:
  internal::Previous previous_;
  RollingSum up_;
  RollingSum down_;
};

/// Negative volume index: starts at 1000 and follows the close on candles whose volume fell.
/// Range: above 0; it stays within 1e-300 and 1e300. The level depends on where the series starts.
class NegativeVolumeIndex {
 public:
  static constexpr std::array<std::string_view, 1> names = {"nvi"};
  static constexpr bool needs_volume = true;

  double push(const Candle& c) noexcept {
    if (previous_) {
      const double change = (c.close - previous_->close) / previous_->close;
      const double growth = internal::chosen(c.volume < previous_->volume, 1 + change, 1);
      index_ = std::clamp(index_ * growth, 1e-300, 1e300);
    }
    previous_.set(c);
    return index_;
  }

  void state(StateBytes& bytes) { bytes(previous_).within(index_, 1e-300, 1e300); }

 private:
  internal::Previous previous_;
  double index_ = 1000;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
