// The inner loops of matrix products on packed weights (pack.hpp), which the steps of cells use:
//
//   out[j][n] = start[n] + sum_k a[j][k] * B[k][n]
//
// where j runs over samples, k over the dimension that is summed, n over lanes. Products of any
// size are in product.hpp, those of weight gradients in outer.hpp.
//
// B is packed. A register block keeps M rows by V vectors of sums in registers: it reads B strictly
// forward, one aligned load per vector, and broadcasts a[j][k]. Each out[j][n] is one chain of
// fused multiply-adds by ascending k, or two in the short sums of a recurrent step (chains_of); it
// depends neither on M nor on V nor on the other rows of the block.
#pragma once

#include <type_traits>

#include "tsdl/kernels/bfloat16.hpp"
#include "tsdl/kernels/pack.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// Rows in a full register block of four vectors: 4 * M accumulators, one operand, and a broadcast
/// or two.
inline constexpr Index register_rows = vector_registers == 32 ? 6 : 2;

/// The same for blocks of V vectors: of fewer vectors there are more rows, so that eight chains or
/// more keep the multipliers busy.
template <Index V>
inline constexpr Index rows_of = vector_registers == 32 ? (V > 1 ? 6 : 12)
                                 : V > 3                ? 2
                                 : V > 2                ? 4
                                 : V > 1                ? 6
                                                        : 8;

/// Calls f(M, j) for the register blocks that cover rows 0 ... count - 1: full ones of M rows, and
/// then blocks of 4, 2 and 1 rows, so that few sizes are compiled; 8 rows are 4 and 4, which are
/// faster than 6 and 2. In the call M is a std::integral_constant.
template <Index M, class F>
TSDL_INLINE void for_each_rows(Index count, const F& f, Index j = 0) noexcept {
  for (; j + M <= count && !(M == 6 && count - j == 8); j += M)
    f(std::integral_constant<Index, M>{}, j);
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

/// A vector that M rows use. GCC would load it again for each of them, and a processor loads no
/// more vectors a cycle than it multiplies.
template <Index M, class Batch>
TSDL_INLINE Batch load_once(const typename Batch::value_type* aligned) noexcept {
  return M > 1 ? opaque(load_as<Batch>(aligned)) : load_as<Batch>(aligned);
}

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

/// Every one of M rows begins at the row of its panel.
template <Index M, Index V, Index Q, class Batch>
TSDL_INLINE void repeat_rows(Block<Batch, Q * M, V>& acc,
                             const Block<Batch, Q, V>& start) noexcept {
  TSDL_UNROLL
  for (Index j = 0; j < Q * M; ++j) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[j][v] = start[j / M][v];
  }
}

}  // namespace internal

/// Stores the rows of a register block, `stride` values apart.
template <std::size_t N, std::size_t V, class Batch>
TSDL_INLINE void store_all(typename Batch::value_type* aligned, Index stride,
                           const Batch (&acc)[N][V]) noexcept {
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    TSDL_UNROLL
    for (std::size_t v = 0; v < V; ++v)
      store(aligned + static_cast<Index>(j) * stride + v * Batch::size, acc[j][v]);
  }
}

/// Loads one row.
template <std::size_t V, class Batch>
TSDL_INLINE void load_all(Batch (&row)[V], const typename Batch::value_type* aligned) noexcept {
  TSDL_UNROLL
  for (std::size_t v = 0; v < V; ++v) row[v] = load_as<Batch>(aligned + v * Batch::size);
}

template <std::size_t N, std::size_t V, class Batch>
TSDL_INLINE void clear_all(Batch (&acc)[N][V]) noexcept {
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    TSDL_UNROLL
    for (std::size_t v = 0; v < V; ++v) acc[j][v] = Batch(typename Batch::value_type{0});
  }
}

/// Row r of Q panels of weights, which are `panel_stride` values apart, and the term that it holds:
/// acc[q * M + m][v] = multiply_add(a[m * a_stride + r], panel[q][r][v], acc[q * M + m][v])
template <Index M, Index V, Index Q, class Batch>
TSDL_INLINE void add_packed_row(Block<Batch, Q * M, V>& acc, Block<Batch, Q * M, V>&,
                                const typename Batch::value_type* a, Index a_stride,
                                const typename Batch::value_type* panel, Index r, Index,
                                Index panel_stride) noexcept {
  TSDL_UNROLL
  for (Index q = 0; q < Q; ++q) {
    Array<Batch, V> b;
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v)
      b[v] = internal::load_once<M, Batch>(panel + q * panel_stride +
                                           (r * V + v) * static_cast<Index>(Batch::size));
    internal::add_products<M, V, Q>(acc, q, a + r, a_stride, b);
  }
}

/// The same where a row holds two terms as bfloat16: 2r goes to `even` and, if it is below `terms`,
/// 2r + 1 to `odd`.
template <Index M, Index V, Index Q, class Batch>
TSDL_INLINE void add_packed_row(Block<Batch, Q * M, V>& even, Block<Batch, Q * M, V>& odd,
                                const float* a, Index a_stride, const BFloat16Pair* panel, Index r,
                                Index terms, Index panel_stride) noexcept {
  TSDL_UNROLL
  for (Index q = 0; q < Q; ++q) {
    Array<Batch, V> low, high;
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v)
      split_halves(
          &(panel + q * panel_stride + (r * V + v) * static_cast<Index>(Batch::size))->bits, low[v],
          high[v]);
    internal::add_products<M, V, Q>(even, q, a + 2 * r, a_stride, low);
    if (2 * r + 1 < terms) internal::add_products<M, V, Q>(odd, q, a + 2 * r + 1, a_stride, high);
  }
}

/// The inner loop, over Q panels at once, which are `panel_stride` values apart.
/// Equations: for k < K, an Index or a Size,
///   acc[q * M + m][v] = multiply_add(a[m * a_stride + k], panel[q][k][v], acc[q * M + m][v])
template <Index M, Index V, Index Q = 1, class Batch, class Weight, class Count>
TSDL_INLINE void multiply_rows(Block<Batch, Q * M, V>& acc, const typename Batch::value_type* a,
                               Index a_stride, const Weight* panel, const Count& K,
                               Index panel_stride = 0) noexcept {
  for (Index r = 0; r < packed_rows<Weight>(K); ++r)
    add_packed_row<M, V, Q>(acc, acc, a, a_stride, panel, r, K, panel_stride);
}

/// The chains that a sum of K terms is made in: one, or where the sum is so short that a step would
/// wait for it two, of the even terms and of the odd ones.
constexpr Index chains_of(Index K) noexcept { return K > 16 ? 1 : 2; }

/// multiply_rows by chains_of(K) chains, of which the second begins at zero: side by side where the
/// registers hold both.
template <Index M, Index V, Index Q, class Batch, class Weight, class Count>
TSDL_INLINE void sum_terms(Block<Batch, Q * M, V>& acc, const typename Batch::value_type* a,
                           Index a_stride, const Weight* panel, const Count& K,
                           Index panel_stride) noexcept {
  if (chains_of(K) == 1) return multiply_rows<M, V, Q>(acc, a, a_stride, panel, K, panel_stride);
  constexpr bool row_of_two = packed_rows<Weight>(2) == 1;
  constexpr bool together = row_of_two || 2 * Q * M * V + V < vector_registers;
  Block<Batch, Q * M, V> odd;
  clear_all(odd);
  const auto add = [&](auto& sums, auto& others, Index r) TSDL_INLINE_LAMBDA {
    if (r < packed_rows<Weight>(K))
      add_packed_row<M, V, Q>(sums, others, a, a_stride, panel, r, K, panel_stride);
  };
  const auto pair = [&](Index i) TSDL_INLINE_LAMBDA {
    if constexpr (row_of_two) return add(acc, odd, i);
    add(acc, acc, 2 * i);
    if constexpr (together) add(odd, odd, 2 * i + 1);
  };
  if constexpr (internal::without_loop<Count, Q * V>) {
    constexpr Index pairs = (Count::known + 1) / 2;
    _Pragma("GCC unroll 64") for (Index i = 0; i < pairs; ++i) pair(i);
  } else {
    for (Index i = 0; i < (K + 1) / 2; ++i) pair(i);
  }
  if constexpr (!together)
    for (Index r = 1; r < K; r += 2) add(odd, odd, r);
  TSDL_UNROLL
  for (Index j = 0; j < Q * M; ++j) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) acc[j][v] = acc[j][v] + odd[j][v];
  }
}

/// The sums of M rows and Q panels, each begun at its panel's row of `start`.
/// Shapes: out Q * M rows of V vectors, out_stride apart.
template <Index M, Index V, Index Q, class Batch>
TSDL_INLINE void sum_rows(typename Batch::value_type* out, Index out_stride,
                          const Block<Batch, Q, V>& start, const typename Batch::value_type* a,
                          Index a_stride, const typename Batch::value_type* panel, Index K,
                          Index panel_stride = 0) noexcept {
  static_assert(M == 1 || Q == 1);
  if (chains_of(K) == 1) {
    Block<Batch, Q * M, V> acc;
    internal::repeat_rows<M, V, Q>(acc, start);
    multiply_rows<M, V, Q>(acc, a, a_stride, panel, K, panel_stride);
    store_all(out, out_stride, acc);
    return;
  }
  constexpr Index some = M > 1 ? M / 2 : M;  // two chains of all rows would need more registers
  for (Index m = 0; m < M; m += some) {
    Block<Batch, Q * some, V> acc;
    internal::repeat_rows<some, V, Q>(acc, start);
    sum_terms<some, V, Q>(acc, a + m * a_stride, a_stride, panel, K, panel_stride);
    store_all(out + m * out_stride, out_stride, acc);
  }
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
