// The products of weight gradients:
//
//   dB[k][n] += sum_j a[j][k] * d[j][n]
//
// where j runs over (step, sample), k over the rows of packed weights (pack.hpp), n over lanes; and
// the sums of columns that biases' gradients are.
//
// As in gemm.hpp a register block keeps M rows by V vectors of sums in registers. A chain of
// multiply-adds covers a block of columns, in order of step and sample, and is then added to
// memory.
#pragma once

#include <algorithm>
#include <limits>

#include "tsdl/kernels/gemm.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// A grid of columns, (step, sample): column (t, b) starts at data + t * step_stride + b *
/// sample_stride. A negative step stride runs time backwards. Where samples stand in tiles, b
/// counts within one, and tile b / tile begins tile_stride after the one before.
template <class Scalar>
struct Columns {
  const Scalar* data;
  Index step_stride;
  Index sample_stride;
  Index tile = std::numeric_limits<Index>::max(), tile_stride = 0;
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
    const Scalar* tile = d.data + t * d.step_stride;
    for (Index rest = samples; rest > 0; rest -= d.tile, tile += d.tile_stride) {
      const Scalar* right = tile;
      const Index count = std::min(rest, d.tile);
      for (Index b = 0; b < count; ++b, left += a.sample_stride, right += d.sample_stride) {
        Array<Vec<Scalar>, V> r;
        TSDL_UNROLL
        for (Index v = 0; v < V; ++v) r[v] = load_once<M, Vec<Scalar>>(right + v * W);
        TSDL_UNROLL
        for (Index m = 0; m < M; ++m) {
          const Vec<Scalar> broadcast(left[m]);
          TSDL_UNROLL
          for (Index v = 0; v < V; ++v) acc[m][v] = multiply_add(broadcast, r[v], acc[m][v]);
        }
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

/// Copies `rows` rows of a block of columns: for each register block of M rows, column by column.
template <Index M, class Scalar>
void copy_columns(Scalar* copy, const Columns<Scalar>& a, Index steps, Index samples,
                  Index rows) noexcept {
  for_each_rows<M>(rows, [&](auto size, Index k) noexcept {
    constexpr Index block = size();
    Scalar* to = copy + k * steps * samples;
    for (Index t = 0; t < steps; ++t)
      for (Index b = 0; b < samples; ++b, to += block) {
        const Scalar* from = a.data + t * a.step_stride + b * a.sample_stride + k;
        for (Index m = 0; m < block; ++m) to[m] = from[m];
      }
  });
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
/// than a cache; where many panels do, some rows of it are copied first into the order in which
/// register blocks read them.
template <Index V = panel_vectors, class Scalar>
void add_outer(const OuterPanels<Scalar>& panels, const Columns<Scalar>& a, Index steps,
               Index samples, Index K) noexcept {
  constexpr Index some = 64;  // rows of a copy
  alignas(64) Array<Scalar, some * outer_block> copy;
  const Index steps_at_once = std::max(Index{1}, outer_block / samples);
  const bool copies = panels.count > 3 && samples <= outer_block;
  const Index rows = copies ? some : K;
  for (Index t = 0; t < steps; t += steps_at_once)
    for (Index k = 0; k < K; k += rows) {
      const Index count = std::min(steps_at_once, steps - t), height = std::min(rows, K - k);
      Columns<Scalar> left = a;
      left.data += t * left.step_stride + k;
      if (copies) internal::copy_columns<rows_of<V>>(copy, left, count, samples, height);
      for (Index p = 0; p < panels.count; ++p) {
        Columns<Scalar> right = panels.d;
        right.data += t * right.step_stride + p * panels.d_stride;
        if (samples == 1) right = {right.data, 0, right.step_stride};  // one loop in place of two
        Scalar* out = panels.out + p * panels.out_stride + k * V * lanes<Scalar>;
        for_each_rows<rows_of<V>>(height, [&](auto M, Index j) noexcept {
          Columns<Scalar> some_rows{left.data + j, left.step_stride, left.sample_stride};
          if (copies) some_rows = {copy + j * count * samples, samples * M, M};
          if (samples == 1) some_rows.sample_stride = some_rows.step_stride;
          internal::outer_rows<M(), V>(out + j * V * lanes<Scalar>, some_rows, right,
                                       samples == 1 ? 1 : count, samples == 1 ? count : samples);
        });
      }
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
