// Gate activations as policies: a value, and the derivative written in terms of that value.
#pragma once

#include "tsdl/kernels/simd.hpp"

TSDL_INTRINSICS_BEGIN
namespace tsdl::inline TSDL_ABI {

/// The logistic function and the hyperbolic tangent. Saturates; NaN in, NaN out.
/// Largest error: in float 4e-7 absolute, in double 1e-15 absolute, over the whole range.
struct Accurate {
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> sigmoid(const kernels::Vec<Scalar>& x) noexcept {
    const kernels::Vec<Scalar> one(Scalar{1});
    return one / (one + xsimd::exp(-x));
  }
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> tanh(const kernels::Vec<Scalar>& x) noexcept {
    return xsimd::tanh(x);
  }
  /// d sigmoid(x) / dx where y = sigmoid(x).
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> sigmoid_slope(const kernels::Vec<Scalar>& y) noexcept {
    return y * (kernels::Vec<Scalar>(Scalar{1}) - y);
  }
  /// d tanh(x) / dx where y = tanh(x).
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> tanh_slope(const kernels::Vec<Scalar>& y) noexcept {
    return kernels::Vec<Scalar>(Scalar{1}) - y * y;
  }
};

/// The identity in place of both functions: with it a network is a polynomial of its inputs, so a
/// test can check wiring, gate order and direction of time almost exactly. For tests.
struct LinearGates {
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> sigmoid(const kernels::Vec<Scalar>& x) noexcept {
    return x;
  }
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> tanh(const kernels::Vec<Scalar>& x) noexcept {
    return x;
  }
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> sigmoid_slope(const kernels::Vec<Scalar>&) noexcept {
    return kernels::Vec<Scalar>(Scalar{1});
  }
  template <class Scalar>
  static TSDL_INLINE kernels::Vec<Scalar> tanh_slope(const kernels::Vec<Scalar>&) noexcept {
    return kernels::Vec<Scalar>(Scalar{1});
  }
};

}  // namespace tsdl::inline TSDL_ABI

TSDL_INTRINSICS_END
