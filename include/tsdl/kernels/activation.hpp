// Gate activations as policies: a value, and the derivative written in terms of that value.
//
// Both functions are one exponential and one division, which two gates of a unit can share. With
// y = n ln 2 + r, |r| <= ln(2) / 2,
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
  static constexpr float log2_e = 0x1.715476p0f, ln2 = 0x1.62e43p-1f;
  static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;  ///< their sum is ln 2
  static constexpr float vanishing = -88.0f;  ///< exp of it is below the normal numbers: gives 0
  static constexpr float saturated = 9.1f;    ///< tanh is 1 from here on, sigmoid from twice this
  static constexpr std::array<float, 4> accurate_exp = {0.49999231f, 0.16667115f, 0.041890157f,
                                                        0.0083125202f};
  static constexpr std::array<float, 5> accurate_expm1 = {0.5f, 0.16666577f, 0.041666555f,
                                                          0.0083631791f, 0.0013926184f};
  static constexpr std::array<float, 3> fast = {0.5f, 0.16741914f, 0.041792011f};
};

template <>
struct ExpConstants<double> {
  using Integer = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr double bias = 0x1.8p52 + 1023;
  static constexpr double log2_e = 0x1.71547652b82fep0, ln2 = 0x1.62e42fefa39efp-1;
  static constexpr double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
  static constexpr double vanishing = -709.1;
  static constexpr double saturated = 20.0;
  static constexpr std::array<double, 10> accurate_expm1 = {
      0.50000000000000010221,     0.16666666666666667453,   0.041666666666624127873,
      0.0083333333333300618325,   0.0013888888917213716901, 0.00019841269863053616878,
      0.000024801521295954375131, 2.7557268459997064772e-6, 2.7620088445409748161e-7,
      2.5100385495510319078e-8};
  static constexpr auto accurate_exp = accurate_expm1;
  static constexpr std::array<double, 5> fast = {0.5, 0.16666576989698775683,
                                                 0.041666554617204574203, 0.0083631790527225773704,
                                                 0.0013926183587713494542};
};

/// exp(y) = scale * (1 + t) with y = x, or y = 2 x for tanh, of N vectors at once: the operations
/// of one chain wait for each other, and N interleaved chains keep the multipliers busy. Range of
/// y: from ExpConstants::vanishing to its negative, for tanh from 0; NaN goes into t.
template <bool Tanh, std::size_t N, class V, std::size_t Terms>
TSDL_INLINE void exponential(const V* x, V* scale, V* t,
                             const std::array<typename V::value_type, Terms>& q) noexcept {
  using C = ExpConstants<typename V::value_type>;
  using Bits = xsimd::batch<typename C::Integer, typename V::arch_type>;
  if constexpr (N > 0) {
    V n[N], r[N], r_squared[N];
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      // Rounds to n + bias.
      const V biased = opaque(multiply_add(x[j], V(Tanh ? 2 * C::log2_e : C::log2_e), V(C::bias)));
      n[j] = biased - V(C::bias);
      scale[j] = std::bit_cast<V>(std::bit_cast<Bits>(biased) << C::mantissa_bits);
    }
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      // Where tanh's n is so large that n times the error of a rounded ln 2 is seen in exp(y), tanh
      // is 1 less a small multiple of 1 / exp(y).
      if constexpr (Tanh)
        r[j] = multiply_add(n[j], V(-C::ln2), V(x[j] + x[j]));
      else
        r[j] = multiply_add(n[j], V(-C::ln2_low), multiply_add(n[j], V(-C::ln2_high), x[j]));
      r_squared[j] = r[j] * r[j];
    }
    // q in pairs of terms, which do not wait for each other: (q0 + q1 r) + r^2 ((q2 + q3 r) + ...)
    constexpr std::size_t last = (Terms - 1) / 2 * 2;
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j)
      t[j] = last + 1 < Terms ? multiply_add(V(q[Terms - 1]), r[j], V(q[last])) : V(q[last]);
    TSDL_UNROLL
    for (std::size_t k = last; k > 0; k -= 2) {
      TSDL_UNROLL
      for (std::size_t j = 0; j < N; ++j)
        t[j] = multiply_add(t[j], r_squared[j], multiply_add(V(q[k - 1]), r[j], V(q[k - 2])));
    }
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) t[j] = multiply_add(t[j], r_squared[j], r[j]);
  }
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

/// In place: exp(x) of N vectors, x <= 0; 0 below the normal numbers. NaN in, NaN out.
template <std::size_t N, class V>
TSDL_INLINE void exp_of_negative(V (&x)[N]) noexcept {
  using C = ExpConstants<typename V::value_type>;
  V bounded[N], scale[N], t[N];
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) bounded[j] = at_least(V(C::vanishing), x[j]);
  exponential<false, N>(bounded, scale, t, C::accurate_exp);
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) x[j] = keep_nan(multiply_add(scale[j], t[j], scale[j]), x[j]);
}

}  // namespace kernels::internal

/// The logistic function and the hyperbolic tangent, by one exponential each, and one division for
/// one or two of them; Precision sets how exact these are. Saturates; NaN in, NaN out. A value does
/// not depend on its lane.
template <class Precision>
struct ExpActivation {
  /// In place, the gates of one unit: sigmoid of the first S of N vectors, tanh of the others.
  /// Gates j and j + N / 2 share a division, so that NaN in one is NaN in both, and a saturated
  /// gate may be one rounding below 1.
  template <std::size_t S, std::size_t N, class V>
  static TSDL_INLINE void gates(V (&x)[N]) noexcept {
    static_assert(N % 2 == 0);
    V e[N], d[N];
    fractions<S>(x, e, d);
    TSDL_UNROLL
    for (std::size_t j = 0; j < N / 2; ++j) {
      const V both = Precision::reciprocal(V(d[j] * d[j + N / 2]));
      const V first = e[j] * d[j + N / 2], second = e[j + N / 2] * d[j];
      e[j] = first * both;
      e[j + N / 2] = second * both;
    }
    finish<S>(x, e);
  }

  /// In place: tanh of N vectors, each by itself.
  template <std::size_t N, class V>
  static TSDL_INLINE void tanh(V (&x)[N]) noexcept {
    alone<0>(x);
  }
  /// In place: sigmoid of N vectors, each by itself.
  template <std::size_t N, class V>
  static TSDL_INLINE void sigmoid(V (&x)[N]) noexcept {
    alone<N>(x);
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

 private:
  template <std::size_t S, std::size_t N, class V>
  static TSDL_INLINE void alone(V (&x)[N]) noexcept {
    V e[N], d[N];
    fractions<S>(x, e, d);
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) e[j] = Precision::ratio(e[j], d[j]);
    finish<S>(x, e);
  }

  /// Sigmoid of the first S vectors, and tanh of the others' magnitudes, as e / d.
  template <std::size_t S, std::size_t N, class V>
  static TSDL_INLINE void fractions(const V (&x)[N], V (&e)[N], V (&d)[N]) noexcept {
    using Scalar = typename V::value_type;
    using C = kernels::internal::ExpConstants<Scalar>;
    const V one(Scalar{1});
    V y[N], scale[N], t[N];
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      if (j < S)
        y[j] = kernels::at_least(V(C::vanishing), kernels::at_most(V(2 * C::saturated), x[j]));
      else
        y[j] = kernels::at_most(V(C::saturated), V(xsimd::abs(x[j])));
    }
    kernels::internal::exponential<false, S>(y, scale, t, Precision::template exp<Scalar>());
    kernels::internal::exponential<true, N - S>(y + S, scale + S, t + S,
                                                Precision::template expm1<Scalar>());
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      // E, and E + 1 or E + 2, are each made from scale and t, so that neither waits.
      e[j] = kernels::multiply_add(scale[j], t[j], j < S ? scale[j] : V(scale[j] - one));
      d[j] = kernels::multiply_add(scale[j], t[j], V(scale[j] + one));
    }
  }

  template <std::size_t S, std::size_t N, class V>
  static TSDL_INLINE void finish(V (&x)[N], const V (&value)[N]) noexcept {
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j)
      x[j] =
          kernels::internal::keep_nan(j < S ? value[j] : V(xsimd::copysign(value[j], x[j])), x[j]);
  }
};

namespace kernels::internal {

struct AccuratePrecision {
  template <class Scalar>
  static constexpr auto exp() noexcept {
    return ExpConstants<Scalar>::accurate_exp;
  }
  template <class Scalar>
  static constexpr auto expm1() noexcept {
    return ExpConstants<Scalar>::accurate_expm1;
  }
  template <class V>
  static TSDL_INLINE V ratio(const V& a, const V& b) noexcept {
    return divide(a, b);
  }
  template <class V>
  static TSDL_INLINE V reciprocal(const V& a) noexcept {
    return divide(V(typename V::value_type{1}), a);
  }
};

struct FastPrecision {
  template <class Scalar>
  static constexpr auto exp() noexcept {
    return ExpConstants<Scalar>::fast;
  }
  template <class Scalar>
  static constexpr auto expm1() noexcept {
    return ExpConstants<Scalar>::fast;
  }
  template <class V>
  static TSDL_INLINE V ratio(const V& a, const V& b) noexcept {
    return a * reciprocal(b);
  }
  /// An approximation and a Newton step.
  template <class V>
  static TSDL_INLINE V reciprocal(const V& a) noexcept {
    const V inverse = approximate_reciprocal(a);
    return inverse * (V(typename V::value_type{2}) - a * inverse);
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
  static TSDL_INLINE void gates(V (&)[N]) noexcept {}
  template <std::size_t N, class V>
  static TSDL_INLINE void tanh(V (&)[N]) noexcept {}
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
