// Notation that every other file uses: the index type, Eigen at the surface, assertions.
#pragma once

// GCC 12 takes the registers of vector intrinsics for not initialised (its bug 105593), in whatever
// inlines them.
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
#include <limits>
#include <type_traits>

#include "tsdl/version.hpp"

/// Checks a condition that only a bug in tsdl or a broken precondition can violate. Replace it by
/// defining TSDL_ASSERT before the first include, in all of a program; it is off under NDEBUG.
/// Units with it and without may be linked together: of a function that both have, one is taken.
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

/// NaN and infinity. Under -ffast-math they are variables: newer compilers take a constant that
/// cannot occur for one that nobody asks for, and leave out what would have returned it.
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

/// The bits of a number, the sign's left out. Under -ffast-math newer compilers conclude that those
/// of an infinity or NaN cannot occur, unless they are hidden from them.
constexpr std::uint64_t magnitude_bits(const double& x) noexcept {
  auto bits = std::bit_cast<std::uint64_t>(x);
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
  if (!std::is_constant_evaluated()) __asm__("" : "+r"(bits));
#endif
  return bits & 0x7fffffffffffffffu;
}

}  // namespace internal

/// Whether `x` is neither infinite nor NaN. Looks at the bits: -ffast-math deletes std::isfinite.
constexpr bool is_finite(const double& x) noexcept {
  return internal::magnitude_bits(x) < 0x7ff0000000000000u;
}

/// Whether `x` is NaN, by its bits.
constexpr bool is_nan(const double& x) noexcept {
  return internal::magnitude_bits(x) > 0x7ff0000000000000u;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
