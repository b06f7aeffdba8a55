// Scaled dot-product attention of one head of one sample, forward and backward.
//
//   P = softmax(Q K^T / sqrt(s))     over the keys 0 ... n - 1, or of row r where causal up to its
//                                    own step, n - m + r
//   A = P' V                         P' = P, or P after dropout
//
//   dP' = dA V^T       dV = P'^T dA
//   dS  = P (dP - sum over a row of P dP) / sqrt(s)
//   dQ  = dS K         dK = dS^T Q
//
//   symbol          shape      meaning
//   Q, A, dQ, dA    [m][s]     m queries: the last m of n steps
//   K, V, dK, dV    [n][s]     n keys
//   P, dP, dS       [m][np]    np: n, padded to whole vectors; 0 beyond n, and where causal beyond
//                              step n - m + r
//
// Q, K, V, A and their gradients are runs of s adjacent values in rows `stride` apart, a head's
// part of a wider row. Each product is product.hpp's or outer.hpp's, on operands packed in scratch:
// an element's bits depend on neither m nor the other rows, as long as these are finite. (Products
// run over all n steps, also where causal: a V or K that is not finite reaches every row, because
// 0 * NaN is NaN.)
//
// Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.1.
#pragma once

#include <algorithm>
#include <cmath>

#include "tsdl/kernels/outer.hpp"
#include "tsdl/kernels/pack.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/kernels/softmax.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// The sizes of one head.
struct AttentionShape {
  Index keys;     ///< n
  Index queries;  ///< m
  Index size;     ///< s
  bool causal = false;
};

/// Runs of s adjacent values, `stride` apart.
template <class Value>
struct HeadRows {
  Value* data;
  Index stride;
};

/// Values of scratch, aligned, that the functions below need: forward, and backward.
template <class Scalar>
constexpr Index attention_scratch(const AttentionShape& shape) noexcept {
  return std::max(packed_size<Scalar>(shape.size, shape.keys),
                  packed_size<Scalar>(shape.keys, shape.size));
}
template <class Scalar>
constexpr Index attention_backward_scratch(const AttentionShape& shape) noexcept {
  return std::max(packed_size<Scalar>(shape.size, shape.keys),
                  packed_size<Scalar>(shape.keys, shape.size)) +
         packed_size<Scalar>(shape.queries, shape.size) +
         packed_size<Scalar>(shape.keys, shape.size);
}

namespace internal {

/// The pack of K rows of N values.
template <class Scalar>
void pack_rows(Scalar* packed, const HeadRows<const Scalar>& rows, Index K, Index N) noexcept {
  constexpr Index W = lanes<Scalar>;
  for_each_panel<Scalar>(N, [&](auto V, Index first) noexcept {
    for (Index k = 0; k < K; ++k)
      for (Index v = first; v < first + V(); ++v, packed += W) {
        const Scalar* from = rows.data + k * rows.stride + v * W;
        store(packed, (v + 1) * W <= N ? load_unaligned(from) : load_partial(from, N - v * W));
      }
  });
}

/// to[k * to_stride + n] = from[n * from_stride + k], for a square of as many rows as 16 bytes hold
/// values. to is aligned to those.
template <class Scalar>
TSDL_INLINE void transpose_square(Scalar* to, Index to_stride, const Scalar* from,
                                  Index from_stride) noexcept {
  constexpr Index N = 16 / sizeof(Scalar);
  using V = SizedVec<Scalar, N>;
  Array<V, N> rows, zipped;
  TSDL_UNROLL
  for (Index n = 0; n < N; ++n) rows[n] = V::load_unaligned(from + n * from_stride);
  TSDL_UNROLL
  for (Index distance = 1; distance < N; distance *= 2) {  // each turn zips rows N / 2 apart
    TSDL_UNROLL
    for (Index n = 0; n < N / 2; ++n) {
      zipped[2 * n] = xsimd::zip_lo(rows[n], rows[n + N / 2]);
      zipped[2 * n + 1] = xsimd::zip_hi(rows[n], rows[n + N / 2]);
    }
    TSDL_UNROLL
    for (Index n = 0; n < N; ++n) rows[n] = zipped[n];
  }
  TSDL_UNROLL
  for (Index k = 0; k < N; ++k) rows[k].store_aligned(to + k * to_stride);
}

/// The pack of the transposed of N rows of K values: K x N.
template <class Scalar>
void pack_transposed(Scalar* packed, const HeadRows<const Scalar>& rows, Index K,
                     Index N) noexcept {
  constexpr Index W = lanes<Scalar>, at_once = 16 / sizeof(Scalar);
  for_each_panel<Scalar>(N, [&](auto V, Index first) noexcept {
    constexpr Index width = V() * W;
    for (Index n = 0; n < width; n += at_once) {
      const Index row = first * W + n;
      const Scalar* from = rows.data + row * rows.stride;
      Scalar* to = packed + n;
      Index done = 0;
      if (row + at_once <= N)
        for (; done + at_once <= K; done += at_once)
          transpose_square(to + done * width, width, from + done, rows.stride);
      for (Index r = 0; r < at_once; ++r)
        for (Index k = done; k < K; ++k)
          to[k * width + r] = row + r < N ? from[r * rows.stride + k] : Scalar{0};
    }
    packed += K * width;
  });
}

/// rows = the K rows of N values of a pack.
template <class Scalar>
void unpack_rows(const HeadRows<Scalar>& rows, const Scalar* packed, Index K, Index N) noexcept {
  constexpr Index W = lanes<Scalar>;
  for_each_panel<Scalar>(N, [&](auto V, Index first) noexcept {
    for (Index k = 0; k < K; ++k)
      for (Index v = first; v < first + V(); ++v, packed += W) {
        Scalar* to = rows.data + k * rows.stride + v * W;
        if ((v + 1) * W <= N)
          store_unaligned(to, load(packed));
        else
          std::copy_n(packed, N - v * W, to);
      }
  });
}

/// out = a^T d, both packed: a [J][a_stride] of K values, d the pack of J rows of N values, out
/// that of K rows.
template <class Scalar>
void transposed_product(Scalar* out, const Scalar* a, Index a_stride, const Scalar* d, Index J,
                        Index K, Index N) noexcept {
  std::fill_n(out, packed_size<Scalar>(K, N), Scalar{0});
  for_each_panel<Scalar>(N, [&](auto V, Index first) noexcept {
    const Index panel = first * lanes<Scalar>;
    add_outer<V(), Scalar>({1, out + K * panel, 0, {d + J * panel, V() * lanes<Scalar>, 0}, 0},
                           {a, a_stride, 0}, J, Index{1}, K);
  });
}

}  // namespace internal

/// The factor of the scores, 1 / sqrt(s).
template <class Scalar>
Scalar attention_factor(Index size) noexcept {
  return static_cast<Scalar>(1.0 / std::sqrt(static_cast<double>(size)));
}

/// P = softmax(Q K^T / sqrt(s)). Shapes: P [m][np], aligned; scratch of attention_scratch. Largest
/// error: that of softmax and of a chain of s products.
template <class Scalar>
void attention_weights(Scalar* P, const HeadRows<const Scalar>& q, const HeadRows<const Scalar>& k,
                       const AttentionShape& shape, Scalar* scratch) noexcept {
  const Index n = shape.keys, m = shape.queries, padded = round_up(n, lanes<Scalar>);
  internal::pack_transposed(scratch, k, shape.size, n);
  multiply(Start::zero, P, padded, {q.data, q.stride, 1, shape.size, 0}, scratch,
           static_cast<const Scalar*>(nullptr), m, padded);
  const Scalar c = attention_factor<Scalar>(shape.size);
  for (Index r = 0; r < m; ++r)
    softmax(P + r * padded, shape.causal ? n - m + r + 1 : n, padded, c);
}

/// A = P' V. Shapes: as attention_weights. Largest error from q, k and v on, where their values are
/// at most 1: 100 eps, with eps the distance from 1 to the next number.
template <class Scalar>
void attention_values(const HeadRows<Scalar>& a, const Scalar* P, const HeadRows<const Scalar>& v,
                      const AttentionShape& shape, Scalar* scratch) noexcept {
  const Index n = shape.keys, padded = round_up(n, lanes<Scalar>);
  internal::pack_rows(scratch, v, n, shape.size);
  multiply(Start::zero, a.data, a.stride, {P, padded, 1, n, 0}, scratch,
           static_cast<const Scalar*>(nullptr), shape.queries, shape.size);
}

/// dP' = dA V^T and dV = P'^T dA. dv may be v. Shapes: dP [m][np], aligned; scratch of
/// attention_backward_scratch. Largest error: as attention_values, where dA too is at most 1.
template <class Scalar>
void attention_values_backward(Scalar* dP, const HeadRows<Scalar>& dv,
                               const HeadRows<const Scalar>& da, const Scalar* P,
                               const HeadRows<const Scalar>& v, const AttentionShape& shape,
                               Scalar* scratch) noexcept {
  const Index n = shape.keys, m = shape.queries, s = shape.size;
  const Index padded = round_up(n, lanes<Scalar>);
  Scalar* da_pack = scratch + packed_size<Scalar>(s, n);
  Scalar* dv_pack = da_pack + packed_size<Scalar>(m, s);
  internal::pack_transposed(scratch, v, s, n);
  multiply(Start::zero, dP, padded, {da.data, da.stride, 1, s, 0}, scratch,
           static_cast<const Scalar*>(nullptr), m, padded);
  internal::pack_rows(da_pack, da, m, s);
  internal::transposed_product(dv_pack, P, padded, da_pack, m, n, s);
  internal::unpack_rows(dv, dv_pack, n, s);
}

/// From dP, which becomes dS, to dQ and dK; they may be q and k. Shapes and
/// largest error: as above.
template <class Scalar>
void attention_weights_backward(const HeadRows<Scalar>& dq, const HeadRows<Scalar>& dk, Scalar* dP,
                                const Scalar* P, const HeadRows<const Scalar>& q,
                                const HeadRows<const Scalar>& k, const AttentionShape& shape,
                                Scalar* scratch) noexcept {
  const Index n = shape.keys, m = shape.queries, s = shape.size;
  const Index padded = round_up(n, lanes<Scalar>);
  Scalar* q_pack = scratch + packed_size<Scalar>(n, s);
  Scalar* dk_pack = q_pack + packed_size<Scalar>(m, s);
  const Scalar c = attention_factor<Scalar>(s);
  for (Index r = 0; r < m; ++r) softmax_backward(dP + r * padded, P + r * padded, padded, c);
  internal::pack_rows(scratch, k, n, s);
  internal::pack_rows(q_pack, q, m, s);
  internal::transposed_product(dk_pack, dP, padded, q_pack, m, n, s);
  multiply(Start::zero, dq.data, dq.stride, {dP, padded, 1, n, 0}, scratch,
           static_cast<const Scalar*>(nullptr), m, s);
  internal::unpack_rows(dk, dk_pack, n, s);
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
