// How far a fast average is above a slow one, in percent: of prices and of volumes.
#pragma once

#include <array>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// How far a number's fast exponential average is above its slow one, in percent; the exponential
/// average of that line; and their difference. The line is 0 where the slow average is 0 or has
/// decayed below 1e-90.
class PercentageOscillator {
 public:
  PercentageOscillator(Index slow, Index fast, Index signal)
      : slow_(slow), fast_(fast), signal_(signal) {}

  std::array<double, 3> push(double x) noexcept {
    slow_.push(x);
    fast_.push(x);
    if (!slow_.is_warm() || !fast_.is_warm()) return all_undefined<3>();
    const double line = 100 * decayed_ratio_or(0, fast_.value() - slow_.value(), slow_.value());
    const double signal = signal_.push(line);
    return {line, signal, line - signal};
  }

  void state(StateBytes& bytes) { bytes(slow_, fast_, signal_); }

 private:
  ExponentialAverage slow_;
  ExponentialAverage fast_;
  ExponentialAverage signal_;
};

}  // namespace internal

/// Percentage price oscillator: MACD in percent of the slow average.
/// Numbers: line, its signal, the difference of the two.
class PPO {
 public:
  static constexpr std::array<std::string_view, 3> names = {"ppo", "ppo_signal", "ppo_hist"};

  explicit PPO(Index slow = 26, Index fast = 12, Index signal = 9)
      : oscillator_(slow, fast, signal) {}

  std::array<double, 3> push(const Candle& c) noexcept { return oscillator_.push(c.close); }

  void state(StateBytes& bytes) { bytes(oscillator_); }

 private:
  internal::PercentageOscillator oscillator_;
};

/// Percentage volume oscillator: the same for volume; 0 where the slow average is 0.
class PVO {
 public:
  static constexpr std::array<std::string_view, 3> names = {"pvo", "pvo_signal", "pvo_hist"};
  static constexpr bool needs_volume = true;

  explicit PVO(Index slow = 26, Index fast = 12, Index signal = 9)
      : oscillator_(slow, fast, signal) {}

  std::array<double, 3> push(const Candle& c) noexcept { return oscillator_.push(c.volume); }

  void state(StateBytes& bytes) { bytes(oscillator_); }

 private:
  internal::PercentageOscillator oscillator_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
