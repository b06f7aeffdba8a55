// Indicators of the direction of a trend: how far highs and lows move, and how recent the extremes
// are.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Vortex indicator.
/// Equations: pos = sum |high - previous low| / sum of true ranges over the window, neg = sum |low
/// - previous high| / the same sum; both are 1 where nothing moved. Numbers: pos, neg, pos - neg.
/// Warm after window + 1 candles.
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

/// Wilder's average directional index and directional indicators, in percent.
/// Equations: up = high - previous high, down = previous low - low; a candle's +DM is up where up >
/// down and up > 0, else 0; its -DM is the reverse. +DI and -DI are Wilder's averages of these over
/// Wilder's average of the true range; DX = |+DI - -DI| / (+DI + -DI); ADX is Wilder's average of
/// DX. A quotient with a denominator of 0, or decayed below 1e-90, is 0.
/// Numbers: adx (warm after 2 window candles), +DI, -DI (warm after window + 1).
/// Source: Wilder (1978), New Concepts in Technical Trading Systems.
class ADX {
 public:
  static constexpr std::array<std::string_view, 3> names = {"adx", "adx_pos", "adx_neg"};

  explicit ADX(Index window = 14) : range_(window), up_(window), down_(window), index_(window) {}

  std::array<double, 3> push(const Candle& c) noexcept {
    if (previous_) {
      const double up = c.high - previous_->high;
      const double down = previous_->low - c.low;
      range_.push(internal::true_range(c, previous_->close));
      up_.push(internal::chosen(up > down, std::max(0.0, up), 0));
      down_.push(internal::chosen(down > up, std::max(0.0, down), 0));
    }
    previous_.set(c);
    if (!range_.is_warm()) return internal::all_undefined<3>();
    const double pos = 100 * internal::decayed_ratio_or(0, up_.value(), range_.value());
    const double neg = 100 * internal::decayed_ratio_or(0, down_.value(), range_.value());
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

/// Chande's Aroon: how recent the highest high and the lowest low of window + 1 candles are.
/// Numbers: up and down, 100 for the newest candle, 0 for the oldest (of equal extremes the oldest
/// counts), and up - down.
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

  void state(StateBytes& bytes) {
    bytes(highest_, lowest_);
    bytes.count(count_);
  }

 private:
  struct Peak {
    /// A price, and the row at which it was.
    struct Value {
      double height = 0;
      Index row = 0;
      void state(StateBytes& bytes) {
        bytes(height);
        bytes.count(row);
      }
    };
    static constexpr bool weighs = false;
    static Value join(const Value& older, const Value& newer, Index, Index, double) noexcept {
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
