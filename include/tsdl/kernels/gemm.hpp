// Matrix products on packed weights: the tile that every layer's forward and backward pass runs in.
//
// Two products cover a network:
//   multiply      out[j][n] = start[n] + sum_k a[j][k] * B[k][n]      (forward, dh_prev, dx)
//   add_outer     dB[k][n] += sum_j a[j][k] * d[j][n]                 (weight gradients)
// where j runs over samples or over (step, sample), k over what is contracted, n over lanes.
//
// B is packed once per update into panels of up to four vectors:
//   [panel][k][vector][W],   column n = (panel * 4 + vector) * W + lane,
// so that a tile of M samples by four vectors reads it strictly forward, one aligned load per
// vector, while a[j][k] is broadcast. Each out[j][n] is one chain of fused multiply-adds by
// ascending k; it depends neither on M nor on which samples share the tile.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tsdl/kernels/simd.hpp"

namespace tsdl::inline TSDL_ABI::kernels {

/// Vectors in a panel: the four gates of an LSTM, and enough to hide the latency of a load.
inline constexpr Index panel_vectors = 4;

template <class Scalar>
inline constexpr Index panel_width = panel_vectors* lanes<Scalar>;

/// Samples in a register tile: 4 * M accumulators, one operand, and a broadcast or two.
inline constexpr Index tile_samples = vector_registers == 32 ? 6 : 2;

/// Values in the pack of a K x N matrix.
template <class Scalar>
constexpr Index packed_size(Index K, Index N) noexcept {
  return K * round_up(N, lanes<Scalar>);
}

/// Where element (k, n) of a K x N matrix stands in its pack.
template <class Scalar>
constexpr Index packed_offset(Index K, Index N, Index k, Index n) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Index panel = n / panel_width<Scalar>;
  const Index first = panel * panel_width<Scalar>;
  const Index vectors = std::min(panel_vectors, (round_up(N, W) - first) / W);
  return K * first + k * vectors * W + (n - first);
}

/// Packs `count` adjacent values as rows k0, k0 + 1, ... of column n.
template <class Scalar>
void pack_column(Scalar* packed, Index K, Index N, Index k0, Index n, const Scalar* values,
                 Index count) noexcept {
  Scalar* out = packed + packed_offset<Scalar>(K, N, k0, n);
  const Index stride = packed_offset<Scalar>(K, N, k0 + 1, n) - packed_offset<Scalar>(K, N, k0, n);
  for (Index i = 0; i < count; ++i) out[i * stride] = values[i];
}

/// Packs `count` adjacent values as columns n0, n0 + 1, ... of row k.
template <class Scalar>
void pack_row(Scalar* packed, Index K, Index N, Index k, Index n0, const Scalar* values,
              Index count) noexcept {
  for (Index done = 0; done < count;) {
    const Index n = n0 + done;
    const Index run = std::min(count - done, round_up(n + 1, panel_width<Scalar>) - n);
    std::copy_n(values + done, run, packed + packed_offset<Scalar>(K, N, k, n));
    done += run;
  }
}

/// The inner loop: acc[m][v] = fma(a[m * a_stride + k], panel[k][v], acc[m][v]) for k = 0 ... K
/// - 1.
template <Index M, Index V, class Scalar>
TSDL_INLINE void multiply_tile(Vec<Scalar> (&acc)[M][V], const Scalar* a, Index a_stride,
                               const Scalar* panel, Index K) noexcept {
  constexpr Index W = lanes<Scalar>;
  for (Index k = 0; k < K; ++k, panel += V * W) {
    Vec<Scalar> b[V];
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) b[v] = load(panel + v * W);
    TSDL_UNROLL
    for (Index m = 0; m < M; ++m) {
      const Vec<Scalar> broadcast(a[m * a_stride + k]);
      TSDL_UNROLL
      for (Index v = 0; v < V; ++v) acc[m][v] = fma(broadcast, b[v], acc[m][v]);
    }
  }
}

/// The left operand of a product: row j is `blocks` runs of `length` adjacent values,
/// `block_stride` apart, the first at data + j * stride; together they are its K = blocks * length
/// values.
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

/// One tile: rows j ... j + M - 1, vectors n / W ... n / W + V - 1.
template <Index M, Index V, class Scalar>
TSDL_INLINE void product_tile(Start start, Scalar* out, Index out_stride, const Rows<Scalar>& rows,
                              Index j, const Scalar* panel, const Scalar* bias, Index n,
                              Index N) noexcept {
  constexpr Index W = lanes<Scalar>;
  Vec<Scalar> acc[M][V];
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) {
      const Index column = n + v * W;
      const Scalar* old = out + (j + m) * out_stride + column;
      if (start == Start::zero)
        acc[m][v] = Vec<Scalar>(Scalar{0});
      else if (start == Start::bias)
        acc[m][v] = load(bias + column);
      else
        acc[m][v] = column + W <= N ? load_unaligned(old) : load_partial(old, N - column);
    }
  }
  for (Index block = 0; block < rows.blocks; ++block)
    multiply_tile<M, V>(acc, rows.data + j * rows.stride + block * rows.block_stride, rows.stride,
                        panel + block * rows.length * V * W, rows.length);
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) {
      const Index column = n + v * W;
      Scalar* to = out + (j + m) * out_stride + column;
      if (column + W <= N)
        store_unaligned(to, acc[m][v]);
      else
        store_partial(to, acc[m][v], N - column);
    }
  }
}

}  // namespace internal

/// out[j][n] = start + sum_k rows[j][k] * B[k][n].
/// Shapes: out J rows of N values, `out_stride` apart; packed K x N; bias (Start::bias only) N
/// values padded to a multiple of W. Memory beyond column N is neither read nor written.
template <class Scalar>
void multiply(Start start, Scalar* out, Index out_stride, const Rows<Scalar>& rows,
              const Scalar* packed, const Scalar* bias, Index J, Index N) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Index K = rows.blocks * rows.length;
  for (Index n = 0; n < N; n += panel_width<Scalar>) {
    const Index vectors = std::min(panel_vectors, (round_up(N, W) - n) / W);
    with_constant<panel_vectors>(vectors, [&](auto V) noexcept {
      for (Index j = 0; j < J; j += tile_samples)
        with_constant<tile_samples>(std::min(tile_samples, J - j), [&](auto M) noexcept {
          internal::product_tile<M(), V()>(start, out, out_stride, rows, j, packed + K * n, bias, n,
                                           N);
        });
    });
  }
}

/// A grid of columns, (step, sample): column (t, b) starts at data + t * step_stride + b *
/// sample_stride. A negative step stride runs time backwards.
template <class Scalar>
struct Columns {
  const Scalar* data;
  Index step_stride;
  Index sample_stride;
};

/// Columns that one chain of a weight gradient runs over before it is added to memory. Constant, so
/// that sums do not depend on the number of threads; two levels keep float's error small.
inline constexpr Index outer_block = 256;

namespace internal {

template <Index M, Index V, class Scalar>
TSDL_INLINE void outer_tile(Scalar* out, const Columns<Scalar>& a, const Columns<Scalar>& d,
                            Index steps, Index samples) noexcept {
  constexpr Index W = lanes<Scalar>;
  Vec<Scalar> acc[M][V];
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[m][v] = Vec<Scalar>(Scalar{0});
  }
  for (Index t = 0; t < steps; ++t) {
    const Scalar* left = a.data + t * a.step_stride;
    const Scalar* right = d.data + t * d.step_stride;
    for (Index b = 0; b < samples; ++b, left += a.sample_stride, right += d.sample_stride) {
      Vec<Scalar> r[V];
      TSDL_UNROLL
      for (Index v = 0; v < V; ++v) r[v] = load(right + v * W);
      TSDL_UNROLL
      for (Index m = 0; m < M; ++m) {
        const Vec<Scalar> broadcast(left[m]);
        TSDL_UNROLL
        for (Index v = 0; v < V; ++v) acc[m][v] = fma(broadcast, r[v], acc[m][v]);
      }
    }
  }
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) {
      Scalar* to = out + (m * V + v) * W;
      store(to, load(to) + acc[m][v]);
    }
  }
}

}  // namespace internal

/// dB[k][n] += sum over (t, b) of a[t][b][k] * d[t][b][n], for one panel of d (V vectors, aligned).
/// Shapes: out [K][V][W], the panel's part of a packed gradient; a has K adjacent values a column.
template <Index V = panel_vectors, class Scalar>
void add_outer(Scalar* out, Columns<Scalar> a, Columns<Scalar> d, Index steps, Index samples,
               Index K) noexcept {
  const Index steps_at_once = std::max(Index{1}, outer_block / samples);
  for (Index t = 0; t < steps; t += steps_at_once) {
    const Index count = std::min(steps_at_once, steps - t);
    const Columns<Scalar> right{d.data + t * d.step_stride, d.step_stride, d.sample_stride};
    for (Index k = 0; k < K; k += tile_samples) {
      const Columns<Scalar> left{a.data + t * a.step_stride + k, a.step_stride, a.sample_stride};
      with_constant<tile_samples>(std::min(tile_samples, K - k), [&](auto M) noexcept {
        internal::outer_tile<M(), V>(out + k * V * lanes<Scalar>, left, right, count, samples);
      });
    }
  }
}

/// sum[n] += sum over b of d[b][n], V vectors wide: the gradient of a bias.
template <Index V, class Scalar>
void add_rows(Scalar* sum, const Scalar* d, Index d_stride, Index samples) noexcept {
  constexpr Index W = lanes<Scalar>;
  Vec<Scalar> acc[V];
  TSDL_UNROLL
  for (Index v = 0; v < V; ++v) acc[v] = Vec<Scalar>(Scalar{0});
  for (Index b = 0; b < samples; ++b, d += d_stride) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[v] = acc[v] + load(d + v * W);
  }
  TSDL_UNROLL
  for (Index v = 0; v < V; ++v) store(sum + v * W, Vec<Scalar>(load(sum + v * W) + acc[v]));
}

/// out[b][n] += d[b][n], V vectors wide.
template <Index V, class Scalar>
void add_each(Scalar* out, Index out_stride, const Scalar* d, Index d_stride,
              Index samples) noexcept {
  constexpr Index W = lanes<Scalar>;
  for (Index b = 0; b < samples; ++b, out += out_stride, d += d_stride) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v)
      store(out + v * W, Vec<Scalar>(load(out + v * W) + load(d + v * W)));
  }
}

}  // namespace tsdl::inline TSDL_ABI::kernels
