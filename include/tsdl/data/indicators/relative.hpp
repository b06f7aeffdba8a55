// Indicators made comparable across prices, volumes and years.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"
#include "tsdl/data/indicators/volatility.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// An indicator each of whose numbers x is replaced by `Rule::relate(x, x of the candle before)`. A
/// Rule takes each candle first (push) and may have numbers of its own; it gives NaN while it is
/// not warm.
template <Indicator Inner, class Rule>
class Relative {
  static constexpr std::size_t count = Inner::names.size();

 public:
  static constexpr auto names = Inner::names;
  static constexpr bool needs_volume =
      internal::needs_volume<Inner>() || internal::needs_volume<Rule>();

  explicit Relative(Inner inner, Rule rule = Rule{})
      : inner_(std::move(inner)), rule_(std::move(rule)) {
    before_.fill(internal::undefined);
  }

  auto push(const Candle& c) noexcept {
    rule_.push(c);
    std::array<double, count> values = internal::as_array(inner_.push(c));
    for (std::size_t i = 0; i < count; ++i)
      values[i] = rule_.relate(std::exchange(before_[i], values[i]), values[i]);
    if constexpr (count == 1)
      return values[0];
    else
      return values;
  }

  void state(StateBytes& bytes) { bytes(inner_, rule_, before_); }

 private:
  Inner inner_;
  Rule rule_;
  std::array<double, count> before_;
};

namespace internal {

/// The ATR of 10 candles, but at least a millionth of the close: in a market that stands still the
/// ATR is a rounding error, by which nothing may be divided.
class RangeUnit {
 public:
  void push(const Candle& c) noexcept {
    if (const double atr = atr_.push(c); !is_nan(atr)) range_ = std::max(atr, 1e-6 * c.close);
  }
  double value() const noexcept { return range_; }

  void state(StateBytes& bytes) { bytes(atr_, range_); }

 private:
  ATR atr_{10};
  double range_ = undefined;
};

/// The mean volume of 20 candles.
class VolumeUnit {
 public:
  void push(const Candle& c) noexcept { volume_.push(c.volume); }
  /// x over the mean volume, 0 where the mean is 0; NaN while it is not warm.
  double share(double x) const noexcept {
    const double mean = volume_.value();
    return !is_nan(mean) && mean <= 0 ? 0 : x / mean;
  }

  void state(StateBytes& bytes) { bytes(volume_); }

 private:
  RollingMean volume_{20};
};

struct DistanceToClose {
  double close = undefined;
  void push(const Candle& c) noexcept { close = c.close; }
  double relate(double, double x) const noexcept { return (x - close) / close; }
};

struct ShareOfClose {
  double close = undefined;
  void push(const Candle& c) noexcept { close = c.close; }
  double relate(double, double x) const noexcept { return x / close; }
};

struct ShareOfATR {
  RangeUnit range;
  void push(const Candle& c) noexcept { range.push(c); }
  void state(StateBytes& bytes) { bytes(range); }
  double relate(double, double x) const noexcept { return x / range.value(); }
};

struct ChangeToVolume {
  static constexpr bool needs_volume = true;
  VolumeUnit volume;
  void push(const Candle& c) noexcept { volume.push(c); }
  void state(StateBytes& bytes) { bytes(volume); }
  double relate(double before, double x) const noexcept { return volume.share(x - before); }
};

struct LogChange {
  void push(const Candle&) noexcept {}
  void state(StateBytes&) {}
  double relate(double before, double x) const noexcept { return 100 * log_ratio(x, before); }
};

struct ShareOfTurnover {
  static constexpr bool needs_volume = true;
  RangeUnit range;
  VolumeUnit volume;
  void push(const Candle& c) noexcept {
    range.push(c);
    volume.push(c);
  }
  void state(StateBytes& bytes) { bytes(range, volume); }
  double relate(double, double x) const noexcept { return volume.share(x) / range.value(); }
};

}  // namespace internal

/// Prices as distance from the close, in parts of it: (x - close) / close.
template <Indicator I>
auto to_close(I prices) {
  return Relative<I, internal::DistanceToClose>(std::move(prices));
}

/// Sizes in parts of the close: x / close.
template <Indicator I>
auto over_close(I sizes) {
  return Relative<I, internal::ShareOfClose>(std::move(sizes));
}

/// Price differences in units of the ATR of 10 candles, but at least a millionth of the close.
template <Indicator I>
auto over_atr(I differences) {
  return Relative<I, internal::ShareOfATR>(std::move(differences));
}

/// Running totals of volume: the last candle's change, in units of the mean volume of 20 candles; 0
/// where the mean is 0.
template <Indicator I>
auto change_over_volume(I totals) {
  return Relative<I, internal::ChangeToVolume>(std::move(totals));
}

/// An index above 0: its logarithmic change since the candle before, in percent.
template <Indicator I>
auto log_change(I index) {
  return Relative<I, internal::LogChange>(std::move(index));
}

/// Price differences times volume, in units of the same ATR times the same mean volume.
template <Indicator I>
auto over_turnover(I products) {
  return Relative<I, internal::ShareOfTurnover>(std::move(products));
}

/// Ease of movement without units, and its simple average: how far the middle of the range moved,
/// in units of the ATR of 10 candles, times the range in the same units, over the volume in units
/// of the mean volume of 20; 0 where there is no volume. A volume counts as at least a hundredth of
/// the mean, so that a nearly empty candle does not outweigh all others.
class RelativeEaseOfMovement {
 public:
  static constexpr std::array<std::string_view, 2> names = {"em", "sma_em"};
  static constexpr bool needs_volume = true;

  explicit RelativeEaseOfMovement(Index window = 14) : average_(window) {}

  std::array<double, 2> push(const Candle& c) noexcept {
    range_.push(c);
    volume_.push(c);
    double em = internal::undefined;
    if (const double volume = volume_.share(c.volume); !is_nan(volume)) {
      const double moved = ((c.high - previous_->high) + (c.low - previous_->low)) / 2;
      const double box = (moved / range_.value()) * ((c.high - c.low) / range_.value());
      em = volume > 0 ? box / std::max(volume, 0.01) : 0;
      average_.push(em);
    }
    previous_.set(c);
    return {em, average_.value()};
  }

  void state(StateBytes& bytes) { bytes(range_, volume_, previous_, average_); }

 private:
  internal::RangeUnit range_;
  internal::VolumeUnit volume_;
  internal::Previous previous_;
  RollingMean average_;
};

/// The candle itself without units.
/// Equations: ln(price / previous close) / the mean, over the window, of ln(max(high, previous
/// close) / min(low, previous close)); 0 where the mean is 0. Numbers: open, high, low, close.
/// Range: -window to window. Warm after window + 1 candles.
class RelativeCandle {
 public:
  static constexpr std::array<std::string_view, 4> names = {"open", "high", "low", "close"};

  explicit RelativeCandle(Index window = 20) : range_(window) {}

  std::array<double, 4> push(const Candle& c) noexcept {
    std::array<double, 4> values = internal::all_undefined<4>();
    if (has_close_) {
      range_.push(internal::log_ratio(std::max(c.high, close_), std::min(c.low, close_)));
      // Open and close may lie outside low and high by a rounding error (see validate).
      const double prices[] = {std::clamp(c.open, c.low, c.high), c.high, c.low,
                               std::clamp(c.close, c.low, c.high)};
      if (range_.is_warm())
        for (std::size_t i = 0; i < 4; ++i)
          values[i] = internal::ratio_or(0, internal::log_ratio(prices[i], close_), range_.value());
    }
    close_ = c.close;
    has_close_ = true;
    return values;
  }

  void state(StateBytes& bytes) { bytes(has_close_).finite(close_)(range_); }

 private:
  bool has_close_ = false;
  double close_ = 0;
  RollingMean range_;
};

/// ln(1 + volume / its mean over the window); 0 where the mean is 0. Range: 0 to ln(1 + window).
class RelativeVolume {
 public:
  static constexpr std::array<std::string_view, 1> names = {"volume"};
  static constexpr bool needs_volume = true;

  explicit RelativeVolume(Index window = 20) : mean_(window) {}

  double push(const Candle& c) noexcept {
    const double mean = mean_.push(c.volume);
    return mean_.is_warm() ? std::log1p(internal::ratio_or(0, c.volume, mean))
                           : internal::undefined;
  }

  void state(StateBytes& bytes) { bytes(mean_); }

 private:
  RollingMean mean_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
