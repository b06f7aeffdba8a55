// Notation that every other file uses: the index type, Eigen types, assertions, exact comparisons.
#pragma once

// GCC 12 warns of uninitialised registers in vector intrinsics (its bug 105593) wherever they are
// inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>

#include "tsdl/version.hpp"

/// Checks a condition that only a bug in tsdl or a broken precondition can violate. Replace it by
/// defining TSDL_ASSERT before the first include, in the whole program; it is off under NDEBUG.
/// Units with and without it can be linked together: the linker then keeps either version of an
/// inline function.
#ifndef TSDL_ASSERT
#include <cassert>
#define TSDL_ASSERT(condition) assert(condition)
#endif

namespace tsdl {
inline namespace TSDL_ABI {

// Notation, in code, comments and tests:
//   T steps, B batch, I inputs, H hidden units, L layers, D directions, W lanes of a SIMD vector;
//   gates i f g o; a gradient is d + name.

using Eigen::Index;

template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
template <class Scalar>
using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;
template <class Scalar>
using RowMajorMatrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The least multiple of `unit` that is not below `n`.
constexpr Index round_up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

namespace internal {

/// The product of sizes that are not negative, or the largest Index where it would overflow.
constexpr Index saturated_product(Index a, Index b) noexcept {
  constexpr Index most = std::numeric_limits<Index>::max();
  return b != 0 && a > most / b ? most : a * b;
}
template <class... More>
constexpr Index saturated_product(Index a, Index b, Index c, More... more) noexcept {
  return saturated_product(saturated_product(a, b), c, more...);
}
/// More values than this are refused: their bytes could not be counted.
inline constexpr Index most_values = Index{1} << 58;

/// NaN and infinity. Under -ffast-math they are variables: it lets newer compilers drop a NaN
/// constant, with the code that would have returned it.
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#define TSDL_CONSTANT constinit
#else
#define TSDL_CONSTANT constexpr
#endif
template <class Scalar>
inline TSDL_CONSTANT Scalar nan_of = std::numeric_limits<Scalar>::quiet_NaN();
template <class Scalar>
inline TSDL_CONSTANT Scalar infinity_of = std::numeric_limits<Scalar>::infinity();
#undef TSDL_CONSTANT

/// The bits of a number without its sign. Under -ffast-math newer compilers conclude that the bits
/// of an infinity or NaN cannot occur; the assembly hides where the bits come from.
constexpr std::uint64_t magnitude_bits(const double& x) noexcept {
  auto bits = std::bit_cast<std::uint64_t>(x);
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
  if (!std::is_constant_evaluated()) __asm__("" : "+r"(bits));
#endif
  return bits & 0x7fffffffffffffffu;
}

}  // namespace internal

/// Whether `x` is neither infinite nor NaN, by its bits: -ffast-math deletes std::isfinite.
constexpr bool is_finite(const double& x) noexcept {
  return internal::magnitude_bits(x) < 0x7ff0000000000000u;
}

/// Whether `x` is NaN, by its bits.
constexpr bool is_nan(const double& x) noexcept {
  return internal::magnitude_bits(x) > 0x7ff0000000000000u;
}

/// a == b, where an exact comparison is meant: of counts, classes and whole numbers in a double, of
/// a value with its copy or with a sentinel. The standard library compares, so that -Wfloat-equal
/// still finds the comparisons that are not meant.
constexpr bool same_value(double a, double b) noexcept { return std::equal_to<double>{}(a, b); }

/// Whether `x` is exactly 0 or -0.
constexpr bool is_zero(double x) noexcept { return same_value(x, 0.0); }

}  // namespace TSDL_ABI
}  // namespace tsdl
