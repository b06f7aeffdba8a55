// Ichimoku lines and cloud.
#pragma once

#include <array>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/indicators/rolling.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Ichimoku lines, without the shift of a chart.
/// Equations: line(n) = (highest high + lowest low of n candles) / 2; conversion = line(9),
/// base = line(26), a = (conversion + base) / 2, b = line(52).
/// Numbers: conversion, base, a, b. Units: price.
class Ichimoku {
 public:
  static constexpr std::array<std::string_view, 4> names = {"ichimoku_conv", "ichimoku_base",
                                                            "ichimoku_a", "ichimoku_b"};

  explicit Ichimoku(Index conversion = 9, Index base = 26, Index span = 52)
      : conversion_(conversion), base_(base), span_(span) {}

  std::array<double, 4> push(const Candle& c) noexcept {
    const double conversion = conversion_.push(c);
    const double base = base_.push(c);
    return {conversion, base, (conversion + base) / 2, span_.push(c)};
  }

  void state(StateBytes& bytes) { bytes(conversion_, base_, span_); }

 private:
  class Line {
   public:
    explicit Line(Index window) : highest_(window), lowest_(window) {}
    double push(const Candle& c) noexcept {
      const double highest = highest_.push(c.high);
      return (highest + lowest_.push(c.low)) / 2;
    }

    void state(StateBytes& bytes) { bytes(highest_, lowest_); }

   private:
    RollingMax highest_;
    RollingMin lowest_;
  };

  Line conversion_;
  Line base_;
  Line span_;
};

/// The Ichimoku cloud as a chart draws it under a candle: a and b of `shift` candles ago.
/// Numbers: a, b. Units: price. Warm `shift` candles after Ichimoku's own.
class IchimokuCloud {
 public:
  static constexpr std::array<std::string_view, 2> names = {"visual_ichimoku_a",
                                                            "visual_ichimoku_b"};

  explicit IchimokuCloud(Index conversion = 9, Index base = 26, Index span = 52, Index shift = 26)
      : lines_(conversion, base, span), a_(shift), b_(shift) {}

  std::array<double, 2> push(const Candle& c) noexcept {
    const auto [conversion, base, a, b] = lines_.push(c);
    return {a_.push(a), b_.push(b)};
  }

  void state(StateBytes& bytes) { bytes(lines_, a_, b_); }

 private:
  Ichimoku lines_;
  Delay a_;
  Delay b_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
