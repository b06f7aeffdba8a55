// GELU and ReLU with their derivatives: the activations between a Transformer's feed-forward
// layers.
//
//   gelu(x)  = x Phi(x)                 Phi, phi: the standard normal distribution and density
//   gelu'(x) = Phi(x) + x phi(x)
//
// One exponential serves both. With a = |x|, E = exp(-x^2 / 2), t = (a - k) / (a + k),
//
//   phi(x) = E / sqrt(2 pi)             Q(a) = E p(t) / (1 + c a)
//   Phi(x) = x < 0 ? Q(a) : 1 - Q(a)
//
// where p is a polynomial: its coefficients and their error: tests/goldens/gelu_coefficients.py.
// Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415), the exact form that is PyTorch's default.
#pragma once

#include <array>
#include <cstddef>

#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/simd.hpp"

TSDL_INTRINSICS_BEGIN
namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

namespace internal {

template <class Scalar>
struct NormalTail;

template <>
struct NormalTail<float> {
  static constexpr std::array<float, 12> p = {0.396524691f,    -0.111442325f,    0.0360757685f,
                                              0.00853874138f,  -0.0195877868f,   0.0126512655f,
                                              -0.00388953209f, -0.000104254323f, 0.000496430024f,
                                              -7.75786923e-5f, -4.26604782e-5f,  1.10643499e-5f};
};

template <>
struct NormalTail<double> {
  static constexpr std::array<double, 24> p = {
      0.39652469346826951623,      -0.11144232617091171686,     0.036075558847397389368,
      0.008538809775295223094,     -0.01958530912140427536,     0.012650458887172494903,
      -0.003900390454315502388,    -0.00010073570506500523378,  0.00051848079832836793583,
      -0.000084655210966315236142, -0.000064552716158592776694, 0.000017926509927928745009,
      0.000010040274589148095374,  -2.9121673753250796661e-6,   -1.9570237034308374516e-6,
      3.6587297567491551694e-7,    4.2155740084422465046e-7,    -1.0773052459129758676e-8,
      -8.6087892905401820329e-8,   -1.25103689645788749e-8,     1.3864465513124454045e-8,
      4.1949662891749394412e-9,    -1.2464030195633182328e-9,   -5.4202477070243299699e-10};
};

/// N vectors: phi(x), and Phi(x).
template <std::size_t N, class V>
TSDL_INLINE void normal_distribution(const V (&x)[N], V (&density)[N], V (&below)[N]) noexcept {
  using Scalar = typename V::value_type;
  using C = ExpConstants<Scalar>;
  constexpr auto& p = NormalTail<Scalar>::p;
  const V one(Scalar{1}), k(Scalar{4}), c(static_cast<Scalar>(0.8));
  V a[N], y[N], scale[N], e[N], t[N], squared[N], tail[N], ratio[N];
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    // Where Q is below the normal numbers, any a will do.
    a[j] = at_most(V(Scalar{40}), V(xsimd::abs(x[j])));
    y[j] = at_least(V(C::vanishing), V(x[j] * x[j] * V(static_cast<Scalar>(-0.5))));
  }
  exponential<false, N>(y, scale, e, AccuratePrecision::exp<Scalar>());
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    e[j] = multiply_add(scale[j], e[j], scale[j]);
    const V first = a[j] + k, second = multiply_add(c, a[j], one);
    const V both = divide(one, V(first * second));  // one division in place of two
    t[j] = (a[j] - k) * second * both;
    ratio[j] = e[j] * first * both;
    squared[j] = t[j] * t[j];
    tail[j] = multiply_add(V(p[p.size() - 1]), t[j], V(p[p.size() - 2]));
  }
  static_assert(p.size() % 2 == 0);
  TSDL_UNROLL
  for (std::size_t i = p.size() - 2; i > 0; i -= 2) {  // pairs of terms, as in exponential
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j)
      tail[j] = multiply_add(tail[j], squared[j], multiply_add(V(p[i - 1]), t[j], V(p[i - 2])));
  }
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    const V q = ratio[j] * tail[j];
    density[j] = keep_nan(V(e[j] * V(static_cast<Scalar>(0.39894228040143267794))), x[j]);
    below[j] = keep_nan(V(xsimd::select(x[j] < V(Scalar{0}), q, V(one - q))), x[j]);
  }
}

}  // namespace internal

/// y = gelu(x), and slope = gelu'(x) unless null. Shapes: count values, a multiple of W, aligned; y
/// and slope may be x. Largest error: 2e-7 max(1, |x|) in float, 5e-16 max(1, |x|) in double.
template <class Scalar>
void gelu(Scalar* y, Scalar* slope, const Scalar* x, Index count) noexcept {
  using V = Vec<Scalar>;
  constexpr Index W = lanes<Scalar>;
  const auto some = [&]<std::size_t N>(std::integral_constant<std::size_t, N>, Index i) {
    V value[N], density[N], below[N];
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) value[j] = load(x + i + static_cast<Index>(j) * W);
    internal::normal_distribution<N>(value, density, below);
    TSDL_UNROLL
    for (std::size_t j = 0; j < N; ++j) {
      const Index at = i + static_cast<Index>(j) * W;
      store(y + at, V(value[j] * below[j]));
      if (slope) store(slope + at, multiply_add(value[j], density[j], below[j]));
    }
  };
  Index i = 0;
  for (; i + 2 * W <= count; i += 2 * W) some(std::integral_constant<std::size_t, 2>{}, i);
  if (i < count) some(std::integral_constant<std::size_t, 1>{}, i);
}

/// y = max(0, x), and slope = 1 where x > 0, else 0, unless null. Exact; NaN in, NaN out. Shapes:
/// as gelu.
template <class Scalar>
void relu(Scalar* y, Scalar* slope, const Scalar* x, Index count) noexcept {
  using V = Vec<Scalar>;
  const V zero(Scalar{0}), one(Scalar{1});
  for (Index i = 0; i < count; i += lanes<Scalar>) {
    const V value = load(x + i);
    if (slope) store(slope + i, V(xsimd::select(value > zero, one, zero)));
    store(y + i, internal::keep_nan(at_least(zero, value), value));
  }
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl

TSDL_INTRINSICS_END
