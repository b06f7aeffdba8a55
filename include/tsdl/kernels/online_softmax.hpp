// A softmax over time, and the sum that it weighs, one step at a time: a live series adds its
// steps as they come, and a batch adds the same steps in the same order, with the same bits.
//
//   m_t = max(m_{t-1}, s_t)
//   c_t = exp(m_{t-1} - m_t)          1 unless s_t is the largest so far
//   p_t = exp(s_t - m_t)
//   l_t = c_t l_{t-1} + p_t           sum_k exp(s_k - m_t)
//   u_t = c_t u_{t-1} + p_t y_t       sum_k exp(s_k - m_t) y_k
//
// After T steps u / l is sum_t a_t y_t with a = softmax(s), and a_t = exp(s_t - m_T) / l_T. All but
// scores and y are doubles, since a live series adds steps for days.
//
// Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax" (arXiv
// 1805.02867).
#pragma once

#include <algorithm>
#include <limits>

#include "tsdl/core/types.hpp"
#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// exp(x) for x <= 0; NaN in, NaN out. Largest error: 5 ulp, or the smallest
/// normal number. A value does not depend on its lane.
template <class V>
TSDL_INLINE V exp_of_negative(const V& x) noexcept {
  V y[1] = {x};
  internal::exp_of_negative(y);
  return y[0];
}

/// The same of one double.
inline double exp_of_negative(double x) noexcept {
  alignas(64) double lane[lanes<double>];
  store(lane, exp_of_negative(Vec<double>(x)));
  return lane[0];
}

/// a' b of n values. Sums: a chain per lane, and then the lanes.
template <class Scalar>
Scalar dot(const Scalar* a, const Scalar* b, Index n) noexcept {
  constexpr Index W = lanes<Scalar>;
  Vec<Scalar> sum(Scalar{0});
  Index i = 0;
  for (; i + W <= n; i += W) sum = multiply_add(load_unaligned(a + i), load_unaligned(b + i), sum);
  if (i < n) sum = multiply_add(load_partial(a + i, n - i), load_partial(b + i, n - i), sum);
  return sum_of_lanes(sum);
}

/// The maximum and the sum of the scores so far. It begins without any.
struct OnlineSoftmax {
  double maximum = std::numeric_limits<double>::lowest();  ///< m
  double sum = 0;                                          ///< l

  /// c_t and p_t.
  struct Step {
    double keep, weight;
  };

  /// Takes the score of the next step.
  Step add(double score) noexcept {
    Step step{1, 1};
    if (score > maximum) {
      step.keep = exp_of_negative(maximum - score);
      maximum = score;
    } else {
      step.weight = exp_of_negative(score - maximum);
    }
    alignas(64) double lane[lanes<double>];
    using V = Vec<double>;
    store(lane, multiply_add(V(step.keep), V(sum), V(step.weight)));
    sum = lane[0];
    return step;
  }

  /// a_t of the softmax over the steps so far, in place of their n scores. Range: 0 to 1.
  template <class Scalar>
  void weigh(Scalar* scores, Index n) const noexcept {
    constexpr Index W = lanes<double>;
    alignas(64) Array<double, W> lane;
    for (Index t = 0; t < n; t += W) {
      const Index count = std::min(W, n - t);
      for (Index i = 0; i < W; ++i)
        lane[i] = i < count ? static_cast<double>(scores[t + i]) - maximum : 0.0;
      store(lane, divide(exp_of_negative(load(lane)), Vec<double>(sum)));
      for (Index i = 0; i < count; ++i) scores[t + i] = static_cast<Scalar>(lane[i]);
    }
  }
};

/// u = c u + p y, of n values.
template <class Scalar>
void add_weighted(double* u, const Scalar* y, Index n, const OnlineSoftmax::Step& step) noexcept {
  constexpr Index W = lanes<double>;
  alignas(64) Array<double, W> wide;
  const Vec<double> keep(step.keep), weight(step.weight);
  const auto sum = [&](const Vec<double>& before) TSDL_INLINE_LAMBDA {
    return Vec<double>(multiply_add(weight, load(wide), Vec<double>(keep * before)));
  };
  Index i = 0;
  for (; i + W <= n; i += W) {
    for (Index j = 0; j < W; ++j) wide[j] = static_cast<double>(y[i + j]);
    store_unaligned(u + i, sum(load_unaligned(u + i)));
  }
  if (i == n) return;
  for (Index j = 0; j < W; ++j) wide[j] = i + j < n ? static_cast<double>(y[i + j]) : 0.0;
  store_partial(u + i, sum(load_partial(u + i, n - i)), n - i);
}

/// y = u / l, of n values.
template <class Scalar>
void divide_by_sum(Scalar* y, const double* u, Index n, double sum) noexcept {
  for (Index i = 0; i < n; ++i) y[i] = static_cast<Scalar>(u[i] / sum);
}

/// h = tanh(z) in place, and the score v' h. Shapes: z and v aligned, n a multiple of W; padding is
/// 0 in both.
template <class Scalar>
Scalar additive_score(Scalar* z, const Scalar* v, Index n) noexcept {
  constexpr Index W = lanes<Scalar>;
  Vec<Scalar> sum(Scalar{0});
  Index i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {  // two vectors hide the latency of each other's chains
    Vec<Scalar> h[2] = {load(z + i), load(z + i + W)};
    Accurate::tanh(h);
    store(z + i, h[0]);
    store(z + i + W, h[1]);
    sum = multiply_add(h[0], load(v + i), sum);
    sum = multiply_add(h[1], load(v + i + W), sum);
  }
  for (; i < n; i += W) {
    Vec<Scalar> h[1] = {load(z + i)};
    Accurate::tanh(h);
    store(z + i, h[0]);
    sum = multiply_add(h[0], load(v + i), sum);
  }
  return sum_of_lanes(sum);
}

/// Goes back through additive_score, where ds is the score's gradient: in place of h, its gradient
/// dz = ds v (1 - h^2). Accumulates: dv += ds h, db += dz. Shapes: as additive_score.
template <class Scalar>
void additive_score_gradient(Scalar* h, Scalar* dv, const Scalar* v, Scalar ds, Index n) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Vec<Scalar> slope(ds);
  for (Index i = 0; i < n; i += W) {
    const Vec<Scalar> tanh = load(h + i);
    store(dv + i, multiply_add(slope, tanh, load(dv + i)));
    store(h + i, Vec<Scalar>(slope * load(v + i) * Accurate::tanh_slope(tanh)));
  }
}

/// tanh of n values, in place, wherever they begin.
template <class Scalar>
void tanh_of(Scalar* x, Index n) noexcept {
  constexpr Index W = lanes<Scalar>;
  Index i = 0;
  for (; i + W <= n; i += W) {
    Vec<Scalar> y[1] = {load_unaligned(x + i)};
    Accurate::tanh(y);
    store_unaligned(x + i, y[0]);
  }
  if (i == n) return;
  Vec<Scalar> y[1] = {load_partial(x + i, n - i)};
  Accurate::tanh(y);
  store_partial(x + i, y[0], n - i);
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
