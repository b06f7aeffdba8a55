// Weights of half the width: bfloat16, the upper half of a float.
//
// Arithmetic stays in float. Half-width weights halve the memory that is read, and a step of one
// sample waits for memory when its weights do not fit the first-level cache. Two rows of a pack
// share a vector of words, so that one shift and one mask give both numbers.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A floating-point number with 8 bits of exponent and 8 of precision.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  /// Rounds to the nearest, ties to even; a value that is too large becomes infinite, NaN stays
  /// NaN.
  explicit constexpr BFloat16(float value) noexcept : bits(0) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = word + 0x7fffu + ((word >> 16) & 1u);
    bits = static_cast<std::uint16_t>(nan ? (word >> 16) | 0x40u : rounded >> 16);
  }
  explicit constexpr operator float() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

namespace kernels {

/// The weights of two rows in one column: the even row's in the low half.
struct BFloat16Pair {
  std::uint32_t bits;
  constexpr BFloat16Pair(BFloat16 even, BFloat16 odd) noexcept
      : bits(even.bits | static_cast<std::uint32_t>(odd.bits) << 16) {}
  constexpr BFloat16Pair() noexcept : bits(0) {}
};

/// The number of rows of a pack that hold k rows of weights.
template <class Weight>
constexpr Index packed_rows(Index k) noexcept {
  return std::is_same_v<Weight, BFloat16Pair> ? (k + 1) / 2 : k;
}

}  // namespace kernels

}  // namespace TSDL_ABI
}  // namespace tsdl
