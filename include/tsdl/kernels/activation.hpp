// Gate activations as policies: a value, and the derivative written in terms of that value.
//
// Both functions are one exponential and one division. With y = n ln 2 + r, |r| <= ln(2) / 2,
//
//   exp(y) = 2^n (1 + t)             t = r + r^2 q(r), q a polynomial
//   sigmoid(x) = E / (1 + E)         E = exp(x)
//   tanh(x) = E / (E + 2)            E = expm1(2 |x|) = 2^n t + (2^n - 1), with the sign of x
//
// so that tanh has t's relative error near 0, and sigmoid has exp's relative error far below 0. The
// coefficients of q and their errors: tests/goldens/exp_coefficients.py.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tsdl/kernels/simd.hpp"

TSDL_INTRINSICS_BEGIN
namespace tsdl {
inline namespace TSDL_ABI {

namespace kernels::internal {

template <class Scalar>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Integer = std::int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr float bias = 0x1.8p23f + 127;  ///< n + bias has n's exponent as its low bits
  static constexpr float log2_e = 0x1.715476p0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float vanishing = -88.0f;  ///< exp of it is below the normal numbers: gives 0
  static constexpr float saturated = 9.1f;    ///< tanh is 1 from here on, sigmoid from twice this
  static constexpr std::array<float, 5> accurate = {0.5f, 0.16666577f, 0.041666555f, 0.0083631791f,
                                                    0.0013926184f};
  static constexpr std::array<float, 3> fast = {0.5f, 0.16741914f, 0.041792011f};
};

template <>
struct ExpConstants<double> {
  using Integer = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr double bias = 0x1.8p52 + 1023;
  static constexpr double log2_e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42fefa38p-1,
                          ln2_low = 0x1.ef35793c7673p-45;
  static constexpr double vanishing = -709.1;
  static constexpr double saturated = 20.0;
  static constexpr std::array<double, 10> accurate = {
      0.50000000000000010221,     0.16666666666666667453,   0.041666666666624127873,
      0.0083333333333300618325,   0.0013888888917213716901, 0.00019841269863053616878,
      0.000024801521295954375131, 2.7557268459997064772e-6, 2.7620088445409748161e-7,
      2.5100385495510319078e-8};
  static constexpr std::array<double, 5> fast = {0.5, 0.16666576989698775683,
                                                 0.041666554617204574203, 0.0083631790527225773704,
                                                 0.0013926183587713494542};
};

/// exp(y) = scale * (1 + t), of N vectors at once: the operations of one chain wait for each other,
/// and N interleaved chains keep the multipliers busy.
/// Range: from ExpConstants::vanishing to its negative; NaN goes into t.
template <class V, std::size_t N, std::size_t Terms>
TSDL_INLINE void exponential(const V (&y)[N], V (&scale)[N], V (&t)[N],
                             const std::array<typename V::value_type, Terms>& q) noexcept {
  using C = ExpConstants<typename V::value_type>;
  using Bits = xsimd::batch<typename C::Integer, typename V::arch_type>;
  V n[N], r[N], r_squared[N];
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    const V biased = opaque(multiply_add(y[j], V(C::log2_e), V(C::bias)));  // rounds to n + bias
    n[j] = biased - V(C::bias);
    scale[j] = std::bit_cast<V>(std::bit_cast<Bits>(biased) << C::mantissa_bits);
  }
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) r[j] = multiply_add(n[j], V(-C::ln2_high), y[j]);
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    r[j] = multiply_add(n[j], V(-C::ln2_low), r[j]);
    r_squared[j] = r[j] * r[j];
  }
  // t = r + r^2 (q0 + q1 r) + r^4 (the rest, in pairs): two chains that do not wait for each other.
  constexpr std::size_t last = (Terms - 1) / 2 * 2;
  V high[N];
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    high[j] = last + 1 < Terms ? multiply_add(V(q[Terms - 1]), r[j], V(q[last])) : V(q[last]);
    t[j] = multiply_add(r_squared[j], multiply_add(V(q[1]), r[j], V(q[0])), r[j]);
  }
  TSDL_UNROLL
  for (std::size_t k = last; k > 2; k -= 2) {
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j)
      high[j] = multiply_add(high[j], r_squared[j], multiply_add(V(q[k - 1]), r[j], V(q[k - 2])));
  }
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j)
    t[j] = multiply_add(V(r_squared[j] * r_squared[j]), high[j], t[j]);
}

/// f, or NaN where x is NaN. Needed under -ffast-math only: compilers then swap the operands of min
/// and max, and a bound replaces NaN.
template <class V>
TSDL_INLINE V keep_nan(const V& f, [[maybe_unused]] const V& x) noexcept {
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
  using C = ExpConstants<typename V::value_type>;
  using Bits = xsimd::batch<typename C::Integer, typename V::arch_type>;
  constexpr auto magnitude = std::numeric_limits<typename C::Integer>::max();
  constexpr auto infinity = magnitude >> C::mantissa_bits << C::mantissa_bits;
  const Bits above = Bits(infinity) - (std::bit_cast<Bits>(opaque(x)) & Bits(magnitude));
  // Where the difference is negative all bits become 1, a NaN.
  return opaque(std::bit_cast<V>(std::bit_cast<Bits>(f) | (above >> (8 * sizeof(infinity) - 1))));
#else
  return f;
#endif
}

}  // namespace kernels::internal

/// The logistic function and the hyperbolic tangent, by one exponential and one division each;
/// Precision sets how exact these are. Saturates; NaN in, NaN out. A value depends neither on its
/// lane nor on its neighbours.
template <class Precision>
struct ExpActivation {
  /// In place: sigmoid of the first S of N vectors, tanh of the others.
  template <std::size_t S, std::size_t N, class V>
  static TSDL_INLINE void apply(V (&x)[N]) noexcept {
    using Scalar = typename V::value_type;
    using C = kernels::internal::ExpConstants<Scalar>;
    const V one(Scalar{1});
    V y[N], scale[N], t[N];
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      if (j < S) {
        y[j] = kernels::at_least(V(C::vanishing), kernels::at_most(V(2 * C::saturated), x[j]));
      } else {
        y[j] = kernels::at_most(V(C::saturated), V(xsimd::abs(x[j])));
        y[j] = y[j] + y[j];
      }
    }
    kernels::internal::exponential(y, scale, t, Precision::template coefficients<Scalar>());
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      // E, and E + 1 or E + 2, are each made from scale and t, so that neither waits.
      const V e = kernels::multiply_add(scale[j], t[j], j < S ? scale[j] : V(scale[j] - one));
      const V ratio = Precision::ratio(e, kernels::multiply_add(scale[j], t[j], V(scale[j] + one)));
      x[j] = kernels::internal::keep_nan(j < S ? ratio : V(xsimd::copysign(ratio, x[j])), x[j]);
    }
  }
  /// d sigmoid(x) / dx where y = sigmoid(x).
  template <class V>
  static TSDL_INLINE V sigmoid_slope(const V& y) noexcept {
    return y * (V(typename V::value_type{1}) - y);
  }
  /// d tanh(x) / dx where y = tanh(x).
  template <class V>
  static TSDL_INLINE V tanh_slope(const V& y) noexcept {
    return V(typename V::value_type{1}) - y * y;
  }
};

namespace kernels::internal {

struct AccuratePrecision {
  template <class Scalar>
  static constexpr auto coefficients() noexcept {
    return ExpConstants<Scalar>::accurate;
  }
  template <class V>
  static TSDL_INLINE V ratio(const V& a, const V& b) noexcept {
    return divide(a, b);
  }
};

struct FastPrecision {
  template <class Scalar>
  static constexpr auto coefficients() noexcept {
    return ExpConstants<Scalar>::fast;
  }
  /// An approximate reciprocal and a Newton step.
  template <class V>
  static TSDL_INLINE V ratio(const V& a, const V& b) noexcept {
    const V inverse = approximate_reciprocal(b);
    return a * (inverse * (V(typename V::value_type{2}) - b * inverse));
  }
};

}  // namespace kernels::internal

/// Largest error: 5 ulp, in float and in double, where the result is a normal number; below that
/// the smallest normal number.
using Accurate = ExpActivation<kernels::internal::AccuratePrecision>;

/// Largest error: 1e-5 absolute in float, 1e-7 in double. Results near 0 have no relative accuracy.
using Fast = ExpActivation<kernels::internal::FastPrecision>;

/// For tests: the identity in place of both functions. A network is then a polynomial of its
/// inputs, so a test can check wiring, gate order and direction of time almost exactly.
struct LinearGates {
  template <std::size_t S, std::size_t N, class V>
  static TSDL_INLINE void apply(V (&)[N]) noexcept {}
  template <class V>
  static TSDL_INLINE V sigmoid_slope(const V&) noexcept {
    return V(typename V::value_type{1});
  }
  template <class V>
  static TSDL_INLINE V tanh_slope(const V&) noexcept {
    return V(typename V::value_type{1});
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl

TSDL_INTRINSICS_END
