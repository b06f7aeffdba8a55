// The AdamW update of one tensor in one pass, and the sum of squares that clipping needs.
#pragma once

#include <cstddef>

#include "tsdl/kernels/simd.hpp"

TSDL_INTRINSICS_BEGIN

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// The scalars of one update, computed in double.
struct AdamWStep {
  double gradient_scale;  ///< from clipping
  double keep;            ///< 1 - lr * weight_decay
  double beta1, beta2;
  double step_size;             ///< lr / (1 - beta1^t)
  double inverse_v_correction;  ///< 1 / sqrt(1 - beta2^t)
  double eps;
};

namespace internal {

template <class Scalar>
struct AdamWLanes {
  using V = Vec<Scalar>;
  explicit AdamWLanes(const AdamWStep& s) noexcept
      : scale(cast(s.gradient_scale)),
        keep(cast(s.keep)),
        rest1(cast(1.0 - s.beta1)),
        beta2(cast(s.beta2)),
        rest2(cast(1.0 - s.beta2)),
        step_size(cast(s.step_size)),
        correction(cast(s.inverse_v_correction)),
        eps(cast(s.eps)) {}

  TSDL_INLINE void operator()(V& p, V& m, V& v, const V& gradient) const noexcept {
    const V g = gradient * scale;
    m = multiply_add(rest1, V(g - m), m);
    v = multiply_add(V(rest2 * g), g, V(beta2 * v));
    p = p * keep - divide(step_size * m, multiply_add(square_root(v), correction, eps));
  }

  static V cast(double x) noexcept { return V(static_cast<Scalar>(x)); }
  V scale, keep, rest1, beta2, rest2, step_size, correction, eps;
};

}  // namespace internal

/// p *= 1 - lr * wd;  m += (1 - b1)(g - m);  v = b2 v + (1 - b2) g^2;
/// p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps).
/// All four arrays start on a vector boundary, as a Buffer does.
/// Source: Loshchilov and Hutter 2019, as in torch.optim.AdamW.
template <class Scalar>
void adamw(Scalar* p, Scalar* m, Scalar* v, const Scalar* gradient, Index size,
           const AdamWStep& step) noexcept {
  constexpr Index W = lanes<Scalar>;
  const internal::AdamWLanes<Scalar> update(step);
  Index i = 0;
  for (; i + W <= size; i += W) {
    Vec<Scalar> pi = load(p + i), mi = load(m + i), vi = load(v + i);
    update(pi, mi, vi, load(gradient + i));
    store(p + i, pi);
    store(m + i, mi);
    store(v + i, vi);
  }
  if (const Index rest = size - i; rest > 0) {
    Vec<Scalar> pi = load_partial(p + i, rest), mi = load_partial(m + i, rest),
                vi = load_partial(v + i, rest);
    update(pi, mi, vi, load_partial(gradient + i, rest));
    store_partial(p + i, pi, rest);
    store_partial(m + i, mi, rest);
    store_partial(v + i, vi, rest);
  }
}

/// The sum of squares, in double, over sixteen running sums in constant order.
template <class Scalar>
double sum_of_squares(const Scalar* values, Index size) noexcept {
  constexpr Index sums = 16;
  double sum[sums] = {};
  Index i = 0;
  for (; i + sums <= size; i += sums)
    for (Index j = 0; j < sums; ++j)
      sum[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  for (Index j = 0; i + j < size; ++j)
    sum[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  double total = 0.0;
  for (const double part : sum) total += part;
  return total;
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
TSDL_INTRINSICS_END
