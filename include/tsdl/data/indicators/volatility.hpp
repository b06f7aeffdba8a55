// Indicators of volatility: channels around the price, ranges and drawdowns.
#pragma once

#include <array>
#include <cmath>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Where the close lies in a channel, 0 at its low to 1 at its high; 0.5 where it has no width.
inline double channel_position(double close, double low, double high) noexcept {
  return ratio_or(0.5, close - low, high - low);
}

/// The numbers of a band around the price: its three lines, its width in percent of the middle,
/// where the close lies in it, and whether the close is above it and below it, 1 or 0.
inline std::array<double, 7> band(double close, double low, double middle, double high) noexcept {
  return {middle,
          high,
          low,
          (high - low) / middle * 100,
          channel_position(close, low, high),
          close > high ? 1.0 : 0.0,
          close < low ? 1.0 : 0.0};
}

}  // namespace internal

/// Bollinger bands: the average close, and `width` standard deviations (divided by n) above and
/// below it.
/// Numbers: middle, high and low band (prices); their width in percent of the middle; the close's
/// position, 0 at the low band, 1 at the high, 0.5 where the window is flat; 1 where the close is
/// above the high band, 1 where it is below the low one, else 0.
class BollingerBands {
 public:
  static constexpr std::array<std::string_view, 7> names = {"bbm", "bbh",  "bbl", "bbw",
                                                            "bbp", "bbhi", "bbli"};

  explicit BollingerBands(Index window = 20, double width = 2) : close_(window), width_(width) {}

  std::array<double, 7> push(const Candle& c) noexcept {
    close_.push(c.close);
    if (!close_.is_warm()) return internal::all_undefined<7>();
    const double middle = close_.mean();
    const double distance = width_ * close_.deviation();
    const double high = middle + distance;
    const double low = middle - distance;
    return internal::band(c.close, low, middle, high);
  }

  void state(StateBytes& bytes) { bytes(close_); }

 private:
  RollingDeviation close_;
  double width_;
};

/// Keltner's original channel: averages of the typical price and of lines one range around it.
/// Equations: over the window, middle = mean (h + l + c) / 3, high = mean (4h - 2l + c) / 3,
/// low = mean (4l - 2h + c) / 3.
/// Numbers: as BollingerBands.
class KeltnerChannel {
 public:
  static constexpr std::array<std::string_view, 7> names = {"kcc", "kch",  "kcl", "kcw",
                                                            "kcp", "kchi", "kcli"};

  explicit KeltnerChannel(Index window = 20) : middle_(window), high_(window), low_(window) {}

  std::array<double, 7> push(const Candle& c) noexcept {
    // In differences from the close, so that the lines of a flat candle are exactly its price.
    const double above = c.high - c.close;
    const double below = c.close - c.low;
    const double middle = middle_.push(c.close + (above - below) / 3);
    const double high = high_.push(c.close + (4 * above + 2 * below) / 3);
    const double low = low_.push(c.close - (4 * below + 2 * above) / 3);
    if (!middle_.is_warm()) return internal::all_undefined<7>();
    return internal::band(c.close, low, middle, high);
  }

  void state(StateBytes& bytes) { bytes(middle_, high_, low_); }

 private:
  RollingMean middle_;
  RollingMean high_;
  RollingMean low_;
};

/// Donchian channel: the lowest low and the highest high of the window.
/// Numbers: low, high and the middle between them (prices); their distance in percent of the
/// average close; the close's position, 0 at the low, 1 at the high, 0.5 where they are equal.
class DonchianChannel {
 public:
  static constexpr std::array<std::string_view, 5> names = {"dcl", "dch", "dcm", "dcw", "dcp"};

  explicit DonchianChannel(Index window = 20) : low_(window), high_(window), close_(window) {}

  std::array<double, 5> push(const Candle& c) noexcept {
    const double low = low_.push(c.low);
    const double high = high_.push(c.high);
    const double close = close_.push(c.close);
    if (!close_.is_warm()) return internal::all_undefined<5>();
    return {low, high, low + (high - low) / 2, (high - low) / close * 100,
            internal::channel_position(c.close, low, high)};
  }

  void state(StateBytes& bytes) { bytes(low_, high_, close_); }

 private:
  RollingMin low_;
  RollingMax high_;
  RollingMean close_;
};

/// Average true range: Wilder's average of the true range; the first candle's is high - low.
/// Units: price.
class ATR {
 public:
  static constexpr std::array<std::string_view, 1> names = {"atr"};

  explicit ATR(Index window = 14) : average_(window) {}

  double push(const Candle& c) noexcept {
    const double range = has_close_ ? internal::true_range(c, close_) : c.high - c.low;
    close_ = c.close;
    has_close_ = true;
    return average_.push(range);
  }

  void state(StateBytes& bytes) { bytes(has_close_).finite(close_)(average_); }

 private:
  bool has_close_ = false;
  double close_ = 0;
  WilderAverage average_;
};

/// Martin's ulcer index: the root mean square of the window's drawdowns, each in percent of the
/// highest close of the window that ends at it (near the start, of the candles there are).
/// Range: 0 to 100.
class UlcerIndex {
 public:
  static constexpr std::array<std::string_view, 1> names = {"ui"};

  explicit UlcerIndex(Index window = 14) : highest_(window), squares_(window) {}

  double push(const Candle& c) noexcept {
    highest_.push(c.close);
    const double drawdown = 100 * (c.close - highest_.partial()) / highest_.partial();
    return std::sqrt(squares_.push(drawdown * drawdown));
  }

  void state(StateBytes& bytes) { bytes(highest_, squares_); }

 private:
  RollingMax highest_;
  RollingMean squares_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
