// How the predictions of several models are averaged, told in outputs: tasks of classes average
// probabilities and give the logits of the mean, quantiles average quantiles (task/quantiles.hpp).
// Tasks whose predictions are linear in their outputs average these (task/task.hpp).
//
//   w_m    weight of model m, sum 1      x_mk   its output k      z_k   the combined output
//
// Two classes, p_m = sigmoid(x_m), P = sum_m w_m p_m, Q = sum_m w_m (1 - p_m):
//
//   z         = log P - log Q
//   dz / dx_m = w_m p_m / P (1 - p_m) + w_m (1 - p_m) / Q p_m
//   dz / dw_m = p_m / P - (1 - p_m) / Q
//
// K classes, p_mk = softmax(x_m)_k, P_k = sum_m w_m p_mk, r_mk = w_m p_mk / P_k:
//
//   z_k          = log P_k
//   dz_k / dx_mj = r_mk ([j = k] - p_mj)
//   dz_k / dw_m  = p_mk / P_k
//
// All of it is done on logarithms, so that no probability is rounded to 0 or 1 on the way.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tsdl/task/loss.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// log(exp(a) + exp(b)); -infinity is the logarithm of 0. NaN when either is.
inline double log_add(double a, double b) noexcept {
  if (is_nan(a) || is_nan(b)) return nan_of<double>;
  const double high = std::max(a, b), low = std::min(a, b);
  if (same_value(low, -std::numeric_limits<double>::infinity())) return high;
  return high + std::log1p(std::exp(low - high));
}

/// log(sum over k of exp(x[k])).
inline double log_sum_exp(const double* x, Index K) noexcept {
  const double top = *std::max_element(x, x + K);
  double sum = 0;
  for (Index k = 0; k < K; ++k) sum += std::exp(x[k] - top);
  return top + std::log(sum);
}

/// log P and log Q of two classes.
struct LogOdds {
  double positive, negative;
};

inline LogOdds log_odds(const MemberOutputs& members) noexcept {
  const double nothing = -std::numeric_limits<double>::infinity();
  LogOdds all{nothing, nothing};
  for (Index m = 0; m < members.count; ++m) {
    if (!(members.weights[m] > 0)) continue;
    const double w = std::log(members.weights[m]), x = members.outputs[m];
    all.positive = log_add(all.positive, w - softplus(-x));
    all.negative = log_add(all.negative, w - softplus(x));
  }
  return all;
}

inline double combine_two_classes(const MemberOutputs& members) noexcept {
  const LogOdds all = log_odds(members);
  return all.positive - all.negative;
}

inline void combine_two_classes_backward(const MemberOutputs& members, double dz, double* dx,
                                         double* dw) noexcept {
  const LogOdds all = log_odds(members);
  for (Index m = 0; m < members.count; ++m) {
    const double x = members.outputs[m], w = members.weights[m];
    const double of_positive = std::exp(-softplus(-x) - all.positive);  // p / P
    const double of_negative = std::exp(-softplus(x) - all.negative);   // (1 - p) / Q
    dx[m] = dz * w * (of_positive * sigmoid(-x) + of_negative * sigmoid(x));
    if (dw) dw[m] += dz * (of_positive - of_negative);
  }
}

inline void combine_classes(const MemberOutputs& members, Index K, double* z) noexcept {
  std::fill_n(z, K, -std::numeric_limits<double>::infinity());
  for (Index m = 0; m < members.count; ++m) {
    if (!(members.weights[m] > 0)) continue;
    const double* x = members.outputs + m * K;
    const double to_log = std::log(members.weights[m]) - log_sum_exp(x, K);
    for (Index k = 0; k < K; ++k) z[k] = log_add(z[k], x[k] + to_log);
  }
}

inline void combine_classes_backward(const MemberOutputs& members, Index K, const double* z,
                                     const double* dz, double* dx, double* dw) noexcept {
  for (Index m = 0; m < members.count; ++m) {
    const double* x = members.outputs + m * K;
    const double w = members.weights[m];
    double* const its = dx + m * K;
    const double total = log_sum_exp(x, K);
    double sum = 0;
    for (Index k = 0; k < K; ++k) {
      its[k] = dz[k] * std::exp(x[k] - total - z[k]);  // dz_k p_mk / P_k
      sum += its[k];
    }
    if (dw) dw[m] += sum;
    for (Index k = 0; k < K; ++k) its[k] = w * (its[k] - std::exp(x[k] - total) * sum);
  }
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
