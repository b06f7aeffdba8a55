// Layer normalisation of rows of adjacent values, forward and backward.
//
//   mean = sum_i x_i / d         rstd = 1 / sqrt(sum_i (x_i - mean)^2 / d + eps)
//   n_i  = (x_i - mean) rstd     y_i  = gamma_i n_i + beta_i
//
//   g_i       = dy_i gamma_i
//   dx_i      = rstd (g_i - sum_j g_j / d - n_i sum_j g_j n_j / d)
//   dgamma_i += dy_i n_i         dbeta_i += dy_i        over the rows, ascending
//
//   symbol        shape     meaning
//   x, y, n, ...  [J][dp]   J rows; dp: d, padded to whole vectors; x is 0 beyond d
//   gamma, beta   [dp]      0 beyond d
//
// Sums run over vectors of lanes, then over the lanes: a row's bits depend on no other row.
// Source: Ba, Kiros and Hinton 2016 (arXiv 1607.06450); torch.nn.LayerNorm.
#pragma once

#include <cmath>

#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// PyTorch's default.
inline constexpr double norm_eps = 1e-5;

/// What a layer normalisation reads and writes. All rows are aligned.
template <class Scalar>
struct NormRows {
  Scalar* y;
  Scalar* normalised;   ///< n, for the backward pass; may be null
  Scalar* rstd;         ///< [J]; may be null
  const Scalar* x;      ///< may be y
  const Scalar* added;  ///< x + added is normalised; may be null
  const Scalar* gamma;
  const Scalar* beta;
};

/// y = gamma n + beta. Shapes: x and added must be 0 beyond d; y and n are 0 there. Largest error:
/// 4 eps ((1 + |mean| rstd) (1 + max|n|) max|gamma| + |beta|), beside that of x + added, with eps
/// the distance from 1 to the next number, for d up to 1,000.
template <class Scalar>
void layer_norm(const NormRows<Scalar>& rows, Index J, Index d) noexcept {
  using V = Vec<Scalar>;
  constexpr Index W = lanes<Scalar>;
  const Index dp = round_up(d, W), whole = d / W * W;
  const auto inside = first_lanes<V>(d - whole);
  const V zero(Scalar{0});
  const Scalar count = static_cast<Scalar>(d);
  for (Index j = 0; j < J; ++j) {
    Scalar* y = rows.y + j * dp;
    const Scalar* x = rows.x + j * dp;
    V sum = zero;
    if (rows.added) {
      const Scalar* added = rows.added + j * dp;
      for (Index i = 0; i < dp; i += W) {
        const V value = load(x + i) + load(added + i);
        store(y + i, value);
        sum = sum + value;
      }
      x = y;
    } else {
      for (Index i = 0; i < dp; i += W) sum = sum + load(x + i);
    }
    const V mean(sum_of_lanes(sum) / count);
    V squares = zero;
    for (Index i = 0; i < whole; i += W) {
      const V centred = load(x + i) - mean;
      squares = multiply_add(centred, centred, squares);
    }
    if (whole < dp) {
      const V centred = xsimd::select(inside, V(load(x + whole) - mean), zero);
      squares = multiply_add(centred, centred, squares);
    }
    const Scalar variance = sum_of_lanes(squares) / count;
    const Scalar rstd = Scalar{1} / std::sqrt(variance + static_cast<Scalar>(norm_eps));
    if (rows.rstd) rows.rstd[j] = rstd;
    const V factor(rstd);
    for (Index i = 0; i < dp; i += W) {
      V n = (load(x + i) - mean) * factor;
      if (i == whole) n = xsimd::select(inside, n, zero);
      if (rows.normalised) store(rows.normalised + j * dp + i, n);
      store(y + i, multiply_add(load(rows.gamma + i), n, load(rows.beta + i)));
    }
  }
}

/// What the backward pass reads and writes. All rows are aligned.
template <class Scalar>
struct NormGradients {
  Scalar* dx;      ///< may be dy; its values beyond d are unspecified
  Scalar* dgamma;  ///< [dp]
  Scalar* dbeta;   ///< [dp]
  const Scalar* dy;
  const Scalar* normalised;
  const Scalar* rstd;
  const Scalar* gamma;
};

/// Assigns: dx. Accumulates: dgamma, dbeta. The values of dy beyond d are not used. Largest error,
/// where dy and gamma are about 1: 200 eps rstd (1 + |mean| rstd) of dx, and 400 eps of dgamma and
/// dbeta of three rows.
template <class Scalar>
void layer_norm_backward(const NormGradients<Scalar>& rows, Index J, Index d) noexcept {
  using V = Vec<Scalar>;
  constexpr Index W = lanes<Scalar>;
  const Index dp = round_up(d, W);
  const Scalar count = static_cast<Scalar>(d);
  for (Index j = 0; j < J; ++j) {
    Scalar* dx = rows.dx + j * dp;
    const Scalar *dy = rows.dy + j * dp, *n = rows.normalised + j * dp;
    V sum(Scalar{0}), products(Scalar{0});
    for (Index i = 0; i < dp; i += W) {
      const V gradient = load(dy + i), its = load(n + i), g = gradient * load(rows.gamma + i);
      sum = sum + g;
      products = multiply_add(g, its, products);
      store(rows.dgamma + i, multiply_add(gradient, its, load(rows.dgamma + i)));
      store(rows.dbeta + i, V(load(rows.dbeta + i) + gradient));
    }
    const V mean(sum_of_lanes(sum) / count), slope(sum_of_lanes(products) / count);
    const V factor(rows.rstd[j]);
    for (Index i = 0; i < dp; i += W) {
      const V g = load(dy + i) * load(rows.gamma + i);
      store(dx + i, V((g - mean - load(n + i) * slope) * factor));
    }
  }
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
