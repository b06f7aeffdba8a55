// The concept of an indicator: a small object that takes candles one at a time and gives numbers.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>

#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/rolling.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A copyable object with
/// static constexpr std::array<std::string_view, N> names: the names of its N numbers,
/// push(const Candle&) noexcept: takes the next candle and gives a double where N is 1, else a
/// It may have `static constexpr bool needs_volume = true`, and a `state(StateBytes&)`; without the
/// latter it can be part of a snapshot only if it is trivially copyable. Candles are valid (see
/// validate) and ascend in time; a copy is also given made-up ones, by which feature sets are told
/// apart. Allocates: in the constructor only.
template <class T>
concept Indicator = std::copyable<T> && requires(T indicator, const Candle& candle) {
  { T::names.size() } -> std::convertible_to<std::size_t>;
  { indicator.push(candle) }
  noexcept;
};

namespace internal {

template <class T>
constexpr bool needs_volume() noexcept {
  if constexpr (requires { T::needs_volume; })
    return T::needs_volume;
  else
    return false;
}

/// An indicator's numbers as an array, for any N.
inline std::array<double, 1> as_array(double value) noexcept { return {value}; }
template <std::size_t N>
std::array<double, N> as_array(const std::array<double, N>& values) noexcept {
  return values;
}

/// N numbers that are not warm yet.
template <std::size_t N>
std::array<double, N> all_undefined() noexcept {
  std::array<double, N> values;
  values.fill(undefined);
  return values;
}

/// The candle before the newest one.
class Previous {
 public:
  explicit operator bool() const noexcept { return has_candle_; }
  const Candle& operator*() const noexcept { return candle_; }
  const Candle* operator->() const noexcept { return &candle_; }
  void set(const Candle& candle) noexcept {
    candle_ = candle;
    has_candle_ = true;
  }

  void state(StateBytes& bytes) {
    bytes(has_candle_, candle_);
    bytes.require(!has_candle_ || !find_fault(candle_, false), "a candle that is valid");
  }

 private:
  bool has_candle_ = false;
  Candle candle_{};
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
