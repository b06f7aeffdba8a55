// The layout of packed weights: where an element of a matrix stands, and how rows and columns get
// there.
//
// A K x N matrix is packed once per update into panels of V vectors, narrower where fewer are left:
//   [panel][k][vector][W],   column n = (first vector of the panel + vector) * W + lane,
// so that a product (gemm.hpp, product.hpp) reads it strictly forward, one aligned load per vector.
#pragma once

#include <algorithm>
#include <type_traits>

#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// Vectors in a full panel: as many as leave registers for rows enough to keep the multipliers
/// busy.
inline constexpr Index panel_vectors = vector_registers == 32 ? 4 : 2;

template <class Scalar>
inline constexpr Index panel_width = panel_vectors* lanes<Scalar>;

/// Vectors in the next panel when `left` vectors are left, in a pack whose full panels have `most`.
constexpr Index vectors_of_panel(Index left, Index most) noexcept {
  return left >= most ? most : left >= 2 ? std::min<Index>(most, 2) : 1;
}

/// Calls f(V, first vector) for the panels of N columns, V a std::integral_constant.
template <class Scalar, class F>
TSDL_INLINE void for_each_panel(Index N, const F& f) noexcept {
  const Index all = (N + lanes<Scalar> - 1) / lanes<Scalar>;
  for (Index first = 0; first < all;) {
    const Index vectors = vectors_of_panel(all - first, panel_vectors);
    if (vectors == 1)
      f(std::integral_constant<Index, 1>{}, first);
    else if (vectors == 2)
      f(std::integral_constant<Index, 2>{}, first);
    else if constexpr (panel_vectors == 4)
      f(std::integral_constant<Index, 4>{}, first);
    first += vectors;
  }
}

/// Values in the pack of a K x N matrix.
template <class Scalar>
constexpr Index packed_size(Index K, Index N) noexcept {
  return K * round_up(N, lanes<Scalar>);
}

/// The offset of element (k, n) of a K x N matrix in its pack.
template <class Scalar, Index V = panel_vectors>
constexpr Index packed_offset(Index K, Index N, Index k, Index n) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Index all = round_up(N, W) / W, vector = n / W;
  Index first = vector / V * V, vectors = vectors_of_panel(all - first, V);
  if (vector - first >= vectors) {  // the last panel, of one vector after one of two
    first += vectors;
    vectors = 1;
  }
  return (K * first + k * vectors + vector - first) * W + n % W;
}

/// Packs `count` adjacent values as rows k0, k0 + 1, ... of column n.
template <Index V = panel_vectors, class Scalar>
void pack_column(Scalar* packed, Index K, Index N, Index k0, Index n, const Scalar* values,
                 Index count) noexcept {
  const Index first = packed_offset<Scalar, V>(K, N, k0, n);
  const Index stride = packed_offset<Scalar, V>(K, N, k0 + 1, n) - first;
  Scalar* out = packed + first;
  for (Index i = 0; i < count; ++i) out[i * stride] = values[i];
}

/// Packs `count` adjacent values as columns n0, n0 + 1, ... of row k.
template <class Scalar>
void pack_row(Scalar* packed, Index K, Index N, Index k, Index n0, const Scalar* values,
              Index count) noexcept {
  for (Index done = 0; done < count;) {
    const Index n = n0 + done;
    const Index run = std::min(count - done, lanes<Scalar> - n % lanes<Scalar>);
    std::copy_n(values + done, run, packed + packed_offset<Scalar>(K, N, k, n));
    done += run;
  }
}

/// out[c * out_stride + r] = in[r * in_stride + c] for r < rows <= W, c < columns.
template <class Scalar>
void transpose(Scalar* out, Index out_stride, const Scalar* in, Index in_stride, Index rows,
               Index columns) noexcept {
  for (Index c = 0; c < columns; ++c)
    for (Index r = 0; r < rows; ++r) out[c * out_stride + r] = in[r * in_stride + c];
}

/// out[r * out_stride + c] += in[c * in_stride + r] for r < rows <= W, c < columns.
template <class Scalar>
void add_transposed(Scalar* out, Index out_stride, const Scalar* in, Index in_stride, Index rows,
                    Index columns) noexcept {
  for (Index c = 0; c < columns; ++c)
    for (Index r = 0; r < rows; ++r) out[r * out_stride + c] += in[c * in_stride + r];
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
