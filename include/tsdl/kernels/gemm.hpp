// Matrix products on packed weights (pack.hpp), which every layer's forward and backward pass uses.
//
// Two products cover a network:
//   multiply      out[j][n] = start[n] + sum_k a[j][k] * B[k][n]      (forward, dh_prev, dx)
//   add_outer     dB[k][n] += sum_j a[j][k] * d[j][n]                 (weight gradients)
// where j runs over samples or over (step, sample), k over the dimension that is summed, n over
// lanes.
//
// B is packed. A register block keeps M rows by V vectors of sums in registers: it reads B strictly
// forward, one aligned load per vector, and broadcasts a[j][k]. Each out[j][n] is one chain of
// fused multiply-adds by ascending k; it depends neither on M nor on V nor on the other rows of the
// block.
#pragma once

#include <algorithm>
#include <type_traits>

#include "tsdl/kernels/bfloat16.hpp"
#include "tsdl/kernels/pack.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// Rows in a full register block: 4 * M accumulators, one operand, and a broadcast or two.
inline constexpr Index register_rows = vector_registers == 32 ? 6 : 2;

/// Calls f(M, j) for the register blocks that cover rows 0 ... count - 1: full ones, and then
/// blocks of 4, 2 and 1 rows, so that few sizes are compiled. M is a std::integral_constant.
template <Index M = register_rows, class F>
TSDL_INLINE void for_each_rows(Index count, const F& f, Index j = 0) noexcept {
  for (; j + M <= count; j += M) f(std::integral_constant<Index, M>{}, j);
  if constexpr (M > 1) for_each_rows<(M > 4 ? 4 : M / 2)>(count, f, j);
}

/// A size that is known at compile time.
template <Index N>
struct Size {
  static constexpr Index known = N;
  constexpr explicit Size(Index) noexcept {}
  constexpr operator Index() const noexcept { return N; }
};
/// A size that is not.
template <>
struct Size<Eigen::Dynamic> {
  static constexpr Index known = 0;
  Index value;
  constexpr explicit Size(Index n) noexcept : value(n) {}
  constexpr operator Index() const noexcept { return value; }
};

namespace internal {

/// Whether a product over `Count` rows of `vectors` is unrolled: the count is known and small.
template <class Count, Index vectors>
inline constexpr bool without_loop = false;
template <Index N, Index vectors>
inline constexpr bool without_loop<Size<N>, vectors> =
    N != Eigen::Dynamic&& N <= 64 && N* vectors <= 256;

/// acc[q * M + m][v] += a[m] * b[v], where b belongs to panel q.
template <Index M, Index V, Index Q, class Batch>
TSDL_INLINE void add_products(Block<Batch, Q * M, V>& acc, Index q,
                              const typename Batch::value_type* a, Index a_stride,
                              const Array<Batch, V>& b) noexcept {
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    const Batch broadcast(a[m * a_stride]);
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v)
      acc[q * M + m][v] = multiply_add(broadcast, b[v], acc[q * M + m][v]);
  }
}

}  // namespace internal

/// The inner loop, over Q panels at once, which are `panel_stride` values apart.
/// Equations: for k < K, an Index or a Size,
///   acc[q * M + m][v] = multiply_add(a[m * a_stride + k], panel[q][k][v], acc[q * M + m][v])
template <Index M, Index V, Index Q = 1, class Batch, class Count>
TSDL_INLINE void multiply_rows(Block<Batch, Q * M, V>& acc, const typename Batch::value_type* a,
                               Index a_stride, const typename Batch::value_type* panel,
                               const Count& K, Index panel_stride = 0) noexcept {
  constexpr Index W = Batch::size;
  const auto row = [&](Index k) TSDL_INLINE_LAMBDA {
    TSDL_UNROLL
    for (Index q = 0; q < Q; ++q) {
      Array<Batch, V> b;
      TSDL_UNROLL
      for (Index v = 0; v < V; ++v)
        b[v] = load_as<Batch>(panel + q * panel_stride + (k * V + v) * W);
      internal::add_products<M, V, Q>(acc, q, a + k, a_stride, b);
    }
  };
  if constexpr (internal::without_loop<Count, Q * V>) {
    _Pragma("GCC unroll 64") for (Index k = 0; k < Count::known; ++k) row(k);
  } else {
    for (Index k = 0; k < K; ++k) row(k);
  }
}

/// The same with panels of bfloat16 weights.
template <Index M, Index V, Index Q = 1, class Batch, class Count>
TSDL_INLINE void multiply_rows(Block<Batch, Q * M, V>& acc, const float* a, Index a_stride,
                               const BFloat16Pair* panel, const Count& K,
                               Index panel_stride = 0) noexcept {
  constexpr Index W = Batch::size;
  const Index pairs = K / 2;
  for (Index pair = 0; pair < pairs + K % 2; ++pair) {
    TSDL_UNROLL
    for (Index q = 0; q < Q; ++q) {
      Array<Batch, V> even, odd;
      TSDL_UNROLL
      for (Index v = 0; v < V; ++v)
        split_halves(&(panel + q * panel_stride + (pair * V + v) * W)->bits, even[v], odd[v]);
      internal::add_products<M, V, Q>(acc, q, a + 2 * pair, a_stride, even);
      if (pair < pairs) internal::add_products<M, V, Q>(acc, q, a + 2 * pair + 1, a_stride, odd);
    }
  }
}

/// The left operand of a product. Row j has K = blocks * length values: `blocks` runs of `length`
/// adjacent values, `block_stride` apart; the first run is at data + j * stride.
template <class Scalar>
struct Rows {
  const Scalar* data;
  Index stride;
  Index blocks;
  Index length;
  Index block_stride;
  /// The rows from j on.
  Rows from(Index j) const noexcept {
    return {data + j * stride, stride, blocks, length, block_stride};
  }
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
alignas(64) inline constexpr Scalar zeros[panel_width<Scalar>] = {};

/// One register block: M rows of V vectors. `start`, `out` and `a` begin at its first row.
template <Index M, Index V, class Scalar>
TSDL_INLINE void product_rows(PanelRows<const Scalar> start, PanelRows<Scalar> out,
                              const Rows<Scalar>& a, const Scalar* panel) noexcept {
  constexpr Index W = lanes<Scalar>;
  Block<Vec<Scalar>, M, V> acc;
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[m][v] = load_unaligned(start.data + m * start.stride + v * W);
  }
  for (Index block = 0; block < a.blocks; ++block)
    multiply_rows<M, V>(acc, a.data + block * a.block_stride, a.stride,
                        panel + block * a.length * V * W, a.length);
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) store_unaligned(out.data + m * out.stride + v * W, acc[m][v]);
  }
}

/// J rows of one panel of V vectors.
template <Index V, class Scalar>
void multiply_panel(PanelRows<const Scalar> start, PanelRows<Scalar> out, const Rows<Scalar>& rows,
                    const Scalar* panel, Index J) noexcept {
  for_each_rows(J, [&](auto M, Index j) noexcept {
    product_rows<M(), V>(start.from(j), out.from(j), rows.from(j), panel);
  });
}

/// The same for a panel of `vectors` vectors, at most V.
template <Index V, class Scalar>
void multiply_panel(Index vectors, PanelRows<const Scalar> start, PanelRows<Scalar> out,
                    const Rows<Scalar>& rows, const Scalar* panel, Index J) noexcept {
  if constexpr (V > 1)
    if (vectors < V) return multiply_panel<V / 2>(vectors, start, out, rows, panel, J);
  multiply_panel<V>(start, out, rows, panel, J);
}

/// The last panel of a product whose rows end inside a vector. It is computed in a buffer of whole
/// vectors, from which the valid columns are copied.
template <Index V, class Scalar>
void multiply_edge(Index vectors, PanelRows<const Scalar> start, PanelRows<Scalar> out,
                   const Rows<Scalar>& rows, const Scalar* panel, Index J, Index columns) noexcept {
  alignas(64) Array<Scalar, register_rows * V * lanes<Scalar>> whole = {};
  const PanelRows<Scalar> through{whole, vectors * lanes<Scalar>};
  for (Index j = 0; j < J; j += register_rows) {
    const Index count = std::min(register_rows, J - j);
    const bool previous = start.data == out.data;
    for (Index m = 0; previous && m < count; ++m)
      std::copy_n(start.from(j + m).data, columns, through.from(m).data);
    multiply_panel<V>(vectors, previous ? PanelRows<const Scalar>{whole, through.stride} : start,
                      through, rows.from(j), panel, count);
    for (Index m = 0; m < count; ++m)
      std::copy_n(through.from(m).data, columns, out.from(j + m).data);
  }
}

}  // namespace internal

/// out[j][n] = start + sum_k rows[j][k] * B[k][n].
/// Shapes: out J rows of N values, `out_stride` apart; packed K x N; bias (Start::bias only) N
/// values padded to a multiple of W. Memory beyond column N is neither read nor written.
/// V: vectors in a full panel of the pack, 4, 2 or 1; a smaller V compiles faster.
template <Index V = panel_vectors, class Scalar>
void multiply(Start start, Scalar* out, Index out_stride, const Rows<Scalar>& rows,
              const Scalar* packed, const Scalar* bias, Index J, Index N) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Index K = rows.blocks * rows.length;
  for (Index n = 0; n < N;) {
    const Index vectors = vectors_of_panel((round_up(N, W) - n) / W, V), columns = N - n;
    const Scalar* panel = packed + K * n;
    const internal::PanelRows<Scalar> to{out + n, out_stride};
    internal::PanelRows<const Scalar> from{internal::zeros<Scalar>, 0};
    if (start == Start::bias) from.data = bias + n;
    if (start == Start::previous) from = {to.data, to.stride};
    if (columns >= vectors * W)
      internal::multiply_panel<V>(vectors, from, to, rows, panel, J);
    else
      internal::multiply_edge<V>(vectors, from, to, rows, panel, J, columns);
    n += vectors * W;
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

/// Columns that one chain of a weight gradient covers before it is added to memory. Constant, so
/// that sums do not depend on the number of threads; summing in two levels keeps float's error
/// small.
inline constexpr Index outer_block = 64;

namespace internal {

template <Index M, Index V, class Scalar>
TSDL_INLINE void outer_rows(Scalar* out, const Columns<Scalar>& a, const Columns<Scalar>& d,
                            Index steps, Index samples) noexcept {
  constexpr Index W = lanes<Scalar>;
  Block<Vec<Scalar>, M, V> acc;
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[m][v] = Vec<Scalar>(Scalar{0});
  }
  for (Index t = 0; t < steps; ++t) {
    const Scalar* left = a.data + t * a.step_stride;
    const Scalar* right = d.data + t * d.step_stride;
    for (Index b = 0; b < samples; ++b, left += a.sample_stride, right += d.sample_stride) {
      Array<Vec<Scalar>, V> r;
      TSDL_UNROLL
      for (Index v = 0; v < V; ++v) r[v] = load(right + v * W);
      TSDL_UNROLL
      for (Index m = 0; m < M; ++m) {
        const Vec<Scalar> broadcast(left[m]);
        TSDL_UNROLL
        for (Index v = 0; v < V; ++v) acc[m][v] = multiply_add(broadcast, r[v], acc[m][v]);
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

/// The right operand of a weight gradient, panel by panel, and the sums.
template <class Scalar>
struct OuterPanels {
  Index count;
  Scalar* out;  ///< [K][V][W] for each panel: its part of a packed gradient
  Index out_stride;
  Columns<Scalar> d;  ///< V vectors a column, aligned
  Index d_stride;     ///< from panel to panel
};

/// dB[k][n] += sum over (t, b) of a[t][b][k] * d[t][b][n]. Shapes: a has K adjacent values a
/// column. All panels use a block of columns before the next block is read, since `a` is far larger
/// than a cache.
template <Index V = panel_vectors, class Scalar>
void add_outer(const OuterPanels<Scalar>& panels, const Columns<Scalar>& a, Index steps,
               Index samples, Index K) noexcept {
  const Index steps_at_once = std::max(Index{1}, outer_block / samples);
  for (Index t = 0; t < steps; t += steps_at_once)
    for (Index p = 0; p < panels.count; ++p) {
      Columns<Scalar> right = panels.d;
      right.data += t * right.step_stride + p * panels.d_stride;
      for_each_rows(K, [&](auto M, Index k) noexcept {
        Columns<Scalar> left = a;
        left.data += t * left.step_stride + k;
        internal::outer_rows<M(), V>(panels.out + p * panels.out_stride + k * V * lanes<Scalar>,
                                     left, right, std::min(steps_at_once, steps - t), samples);
      });
    }
}

/// sum[n] += sum over b of d[b][n], V vectors wide: the gradient of a bias.
template <Index V, class Scalar>
void add_rows(Scalar* sum, const Scalar* d, Index d_stride, Index samples) noexcept {
  constexpr Index W = lanes<Scalar>;
  Array<Vec<Scalar>, V> acc;
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

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
