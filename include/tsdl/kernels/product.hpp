// Products of whole rows with packed weights, as large as they come:
//
//   out[j][n] = start[n] + sum_k a[j][k] * B[k][n]
//
// where j runs over samples, k over the dimension that is summed, n over lanes. Each out[j][n] is
// one chain of fused multiply-adds by ascending k, as in gemm.hpp, however the product is cut up.
//
// A product of many columns reads its rows once for each panel. They are copied first, a part that
// stays in the first cache, into the order in which a register block reads them.
#pragma once

#include <algorithm>

#include "tsdl/kernels/gemm.hpp"
#include "tsdl/kernels/pack.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// The left operand of a product. Row j has K = blocks * length values: `blocks` runs of `length`
/// adjacent values, `block_stride` apart; the first run is at data + j * stride.
template <class Scalar>
struct Rows {
  const Scalar* data;
  Index stride;
  Index blocks;
  Index length;
  Index block_stride;
};

/// What a product's accumulators start from.
enum class Start { zero, bias, previous };

namespace internal {

/// The rows that the accumulators of one panel start from or are stored to, `stride` values apart.
template <class Value>
struct PanelRows {
  Value* data;
  Index stride;
  PanelRows from(Index j) const noexcept { return {data + j * stride, stride}; }
};

/// The row that Start::zero starts every row from.
template <class Scalar>
alignas(64) inline constexpr Scalar zeros[4 * lanes<Scalar>] = {};

/// Rows as they are, or copied: the rows of a register block by turns, value by value.
template <class Scalar>
struct LeftRows : Rows<Scalar> {
  bool copied;
  /// The rows from j on, where a register block begins.
  LeftRows from(Index j) const noexcept {
    LeftRows rows = *this;
    rows.data += j * (copied ? this->length : this->stride);
    return rows;
  }
};

/// One register block: M rows of V vectors. `start`, `out` and `a` begin at its first row.
template <Index M, Index V, class Scalar>
TSDL_INLINE void product_rows(PanelRows<const Scalar> start, PanelRows<Scalar> out,
                              const LeftRows<Scalar>& a, const Scalar* panel) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Index stride = a.copied ? 1 : a.stride, step = a.copied ? M : 1;
  Block<Vec<Scalar>, M, V> acc;
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[m][v] = load_unaligned(start.data + m * start.stride + v * W);
  }
  for (Index block = 0; block < a.blocks; ++block)
    for (Index k = 0; k < a.length; ++k) {
      Array<Vec<Scalar>, V> b;
      TSDL_UNROLL
      for (Index v = 0; v < V; ++v)
        b[v] = load_once<M, Vec<Scalar>>(panel + ((block * a.length + k) * V + v) * W);
      add_products<M, V, 1>(acc, 0, a.data + block * a.block_stride + k * step, stride, b);
    }
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) store_unaligned(out.data + m * out.stride + v * W, acc[m][v]);
  }
}

/// J rows of one panel of V vectors. All rows go through a part of the panel that stays in a cache
/// before they go on.
template <Index V, class Scalar>
void multiply_panel(PanelRows<const Scalar> start, PanelRows<Scalar> out, LeftRows<Scalar> rows,
                    const Scalar* panel, Index J) noexcept {
  constexpr Index most = 256;
  const bool one = rows.blocks == 1;
  const Index all = one ? rows.length : rows.blocks;
  const Index fit = one ? most : std::max(Index{1}, most / rows.length);
  const Index part = J > rows_of<V> && !rows.copied ? fit : all;
  for (Index done = 0; done < all; done += part) {
    (one ? rows.length : rows.blocks) = std::min(part, all - done);
    for_each_rows<rows_of<V>>(J, [&](auto M, Index j) noexcept {
      product_rows<M(), V>(start.from(j), out.from(j), rows.from(j), panel);
    });
    panel += rows.blocks * rows.length * V * lanes<Scalar>;
    rows.data += one ? part : part * rows.block_stride;
    start = {out.data, out.stride};
  }
}

/// The same for a panel of `vectors` vectors, at most V.
template <Index V, class Scalar>
void multiply_panel(Index vectors, PanelRows<const Scalar> start, PanelRows<Scalar> out,
                    const LeftRows<Scalar>& rows, const Scalar* panel, Index J) noexcept {
  if constexpr (V > 1)
    if (vectors < V) return multiply_panel<V / 2>(vectors, start, out, rows, panel, J);
  multiply_panel<V>(start, out, rows, panel, J);
}

/// The last panel of a product whose rows end inside a vector. It is computed in a buffer of whole
/// vectors, from which the valid columns are copied.
template <Index V, class Scalar>
void multiply_edge(Index vectors, PanelRows<const Scalar> start, PanelRows<Scalar> out,
                   const LeftRows<Scalar>& rows, const Scalar* panel, Index J,
                   Index columns) noexcept {
  constexpr Index at_once = rows_of<1>;
  alignas(64) Array<Scalar, at_once * V * lanes<Scalar>> whole = {};
  const PanelRows<Scalar> through{whole, vectors * lanes<Scalar>};
  for (Index j = 0; j < J; j += at_once) {
    const Index count = std::min(at_once, J - j);
    const bool previous = start.data == out.data;
    for (Index m = 0; previous && m < count; ++m)
      std::copy_n(start.from(j + m).data, columns, through.from(m).data);
    multiply_panel<V>(vectors, previous ? PanelRows<const Scalar>{whole, through.stride} : start,
                      through, rows.from(j), panel, count);
    for (Index m = 0; m < count; ++m)
      std::copy_n(through.from(m).data, columns, out.from(j + m).data);
  }
}

/// The panels of columns from ... N - 1, for terms k ... of K, as many as `rows` have.
template <Index V, class Scalar>
void multiply_panels(Start start, Scalar* out, Index out_stride, const LeftRows<Scalar>& rows,
                     const Scalar* packed, Index k, Index K, const Scalar* bias, Index J,
                     Index from, Index N) noexcept {
  constexpr Index W = lanes<Scalar>;
  for (Index n = from; n < N;) {
    const Index vectors = vectors_of_panel((round_up(N, W) - n) / W, V), columns = N - n;
    const Scalar* panel = packed + K * n + k * vectors * W;
    const PanelRows<Scalar> to{out + n, out_stride};
    PanelRows<const Scalar> begin{zeros<Scalar>, 0};
    if (start == Start::bias) begin.data = bias + n;
    if (start == Start::previous) begin = {to.data, to.stride};
    if (columns >= vectors * W)
      multiply_panel<V>(vectors, begin, to, rows, panel, J);
    else
      multiply_edge<V>(vectors, begin, to, rows, panel, J, columns);
    n += vectors * W;
  }
}

/// Copies terms k ... k + count - 1 of J rows into the order of blocks of M rows.
template <Index M, class Scalar>
void copy_rows(Scalar* copy, const Rows<Scalar>& rows, Index J, Index k, Index count) noexcept {
  for_each_rows<M>(J, [&](auto size, Index j) noexcept {
    constexpr Index block = size();
    Scalar* to = copy + j * count;
    for (Index done = 0; done < count;) {
      const Index at = k + done, inside = at % rows.length;
      const Index run = std::min(count - done, rows.length - inside);
      const Scalar* from =
          rows.data + j * rows.stride + at / rows.length * rows.block_stride + inside;
      for (Index i = 0; i < run; ++i) {
        for (Index m = 0; m < block; ++m) *to++ = from[m * rows.stride + i];
      }
      done += run;
    }
  });
}

}  // namespace internal

/// out[j][n] = start + sum_k rows[j][k] * B[k][n].
/// Shapes: out J rows of N values, `out_stride` apart; packed K x N; bias (Start::bias only) N
/// values padded to a multiple of W. Memory beyond column N is neither read nor written.
/// V: vectors in a full panel of the pack, 4, 2 or 1; a smaller V compiles faster.
template <Index V = panel_vectors, class Scalar>
void multiply(Start start, Scalar* out, Index out_stride, const Rows<Scalar>& rows,
              const Scalar* packed, const Scalar* bias, Index J, Index N) noexcept {
  constexpr Index width = V * lanes<Scalar>, M = rows_of<V>;
  constexpr Index most_rows = 24, most_terms = 128;  // 12 KB of floats
  const Index K = rows.blocks * rows.length;
  Index copied = 0;  // columns: those of whole panels, where there are enough of them
  if (J >= M && K >= most_terms && N >= 4 * width) {
    copied = N / width * width;
    alignas(64) Array<Scalar, most_rows * most_terms> copy;
    for (Index k = 0; k < K; k += most_terms)
      for (Index j = 0; j < J; j += most_rows) {
        const Index count = std::min(most_rows, J - j), terms = std::min(most_terms, K - k);
        Rows<Scalar> part = rows;
        part.data += j * rows.stride;
        internal::copy_rows<M>(copy, part, count, k, terms);
        internal::multiply_panels<V, Scalar>(k == 0 ? start : Start::previous, out + j * out_stride,
                                             out_stride, {{copy, 0, 1, terms, 0}, true}, packed, k,
                                             K, bias, count, 0, copied);
      }
  }
  internal::multiply_panels<V, Scalar>(start, out, out_stride, {rows, false}, packed, 0, K, bias, J,
                                       copied, N);
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
