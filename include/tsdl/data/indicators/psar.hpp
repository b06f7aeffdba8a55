// Wilder's parabolic stop and reverse.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Parabolic stop and reverse (SAR), as two lines that are always defined.
/// Equations: in an up-trend sar += a (extreme - sar), extreme the highest high of the trend; where
/// the low of two candles ago is below it, sar drops to that low, else to the last candle's low
/// where that is below. A new extreme raises a by `step`, up to `largest_step`. A low below sar
/// ends the trend: sar becomes its extreme, a becomes `step`, and the down-trend, the mirror image,
/// begins. Numbers: the line below and the line above the price; 1 on the first candle of an
/// up-trend, of a down-trend, else 0. The line on the side of the trend is its sar. The other line
/// is the extreme, where the sar of the next trend will start, so that both lines are continuous
/// through a reversal. Units: price. Warm from the third candle on.
/// Source: Wilder (1978), New Concepts in Technical Trading Systems.
class PSAR {
 public:
  static constexpr std::array<std::string_view, 4> names = {
      "psar_up", "psar_down", "psar_up_indicator", "psar_down_indicator"};

  /// Throws: ShapeError when not 0 < step <= largest_step.
  explicit PSAR(double step = 0.02, double largest_step = 0.2)
      : step_(step), largest_step_(largest_step), rate_(step) {
    if (!(is_finite(step) && !is_nan(largest_step) && step > 0 && step <= largest_step))
      throw ShapeError("PSAR: expected 0 < step <= largest_step, found ", step, " and ",
                       largest_step);
  }

  std::array<double, 4> push(const Candle& c) noexcept {
    const bool is_warm = rows_ >= 2;
    if (rows_ == 0) {
      highest_ = c.high;
      lowest_ = c.low;
    }
    if (rows_ < 2) {
      sar_ = c.close;
      ++rows_;
    }
    const bool was_up = is_up_;
    if (is_warm) is_up_ ? follow_up(c) : follow_down(c);
    const bool is_first = is_warm && (rows_ == 2 || is_up_ != was_up);
    if (is_warm && rows_ == 2) ++rows_;
    before_ = std::exchange(last_, c);
    if (!is_warm) return internal::all_undefined<4>();
    const double first = is_first ? 1 : 0;
    if (is_up_) return {sar_, highest_, first, 0};
    return {lowest_, sar_, 0, first};
  }

  void state(StateBytes& bytes) {
    bytes.within(rate_, step_, largest_step_);
    bytes(is_up_);
    bytes.finite(sar_, highest_, lowest_);
    bytes(before_, last_);
    bytes.within(rows_, 0, 3);
  }

 private:
  void follow_up(const Candle& c) noexcept {
    sar_ += rate_ * (highest_ - sar_);
    if (c.low < sar_) {
      sar_ = highest_;
      lowest_ = c.low;
      rate_ = step_;
      is_up_ = false;
      return;
    }
    if (c.high > highest_) {
      highest_ = c.high;
      rate_ = std::min(rate_ + step_, largest_step_);
    }
    if (before_.low < sar_)
      sar_ = before_.low;
    else if (last_.low < sar_)
      sar_ = last_.low;
  }

  void follow_down(const Candle& c) noexcept {
    sar_ += rate_ * (lowest_ - sar_);
    if (c.high > sar_) {
      sar_ = lowest_;
      highest_ = c.high;
      rate_ = step_;
      is_up_ = true;
      return;
    }
    if (c.low < lowest_) {
      lowest_ = c.low;
      rate_ = std::min(rate_ + step_, largest_step_);
    }
    if (before_.high > sar_)
      sar_ = before_.high;
    else if (last_.high > sar_)
      sar_ = last_.high;
  }

  double step_;
  double largest_step_;
  double rate_;
  bool is_up_ = true;
  double sar_ = 0;
  double highest_ = 0;  ///< the extreme of an up-trend
  double lowest_ = 0;   ///< the extreme of a down-trend
  Candle before_{};     ///< the candle before the last one
  Candle last_{};
  int rows_ = 0;  ///< candles so far, up to 3
};

}  // namespace TSDL_ABI
}  // namespace tsdl
