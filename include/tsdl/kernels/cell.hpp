// What a recurrent cell is given for one step of a tile of samples, and how it walks over it.
//
// A cell (lstm_cell.hpp, gru_cell.hpp) is a struct of constants and two functions, forward and
// backward of one step; nn/recurrent.hpp is the loop around them, the same for every cell.
//
//   gates          row blocks of PyTorch's weight matrices: i f g o, or r z n
//   slots          vectors saved per unit: forward's gates, overwritten by gradients da
//   x_slot[gate]   the slot whose da is the gradient of the gate's chain over x
//   h_slot[gate]   the same over h. An LSTM has one chain a gate; a GRU's n has two
//   cell_vectors   vectors of state beside h: an LSTM's c and tanh(c)
//   h_enters       whether h_prev enters h beside the products: then backward leaves that part of
//                  dh_prev in dh, and the product W_hh^T da is added to it
//
// The chains over x fill slots 0 ... gates - 1 and those over h the last `gates` slots, so that
// either operand of a product is one run of adjacent vectors.
//
//   symbol          shape (one tile, one step)      meaning
//   saved           [P][tile][slots][W]             gates; backward leaves da in their place
//   cells           [P][tile][cell_vectors][W]      the state beside h
//   weights         [P][I + H][gates][W]            W_ih above W_hh, columns in order of slots
//   bias            [P][slots][W]
//   h, h_prev, dh   one column a sample             padded to Hp = P * W units
//
// P panels of W hidden units cover H; units beyond H have zero weights and biases, so their h stays
// exactly 0 and so do their gradients.
#pragma once

#include "tsdl/kernels/gemm.hpp"

namespace tsdl::inline TSDL_ABI::kernels {

template <class Scalar>
struct ForwardStep {
  Index samples, tile;  ///< samples in this tile, and its capacity
  Index inputs, hidden, panels;
  const Scalar* x;
  Index x_stride;           ///< from sample to sample
  const Scalar* projected;  ///< the chains over x as project() left them; null: not made
  Index projected_stride;   ///< from sample to sample
  const Scalar* h_prev;
  Index h_prev_stride;
  const Scalar* cells_prev;
  const Scalar* weights;
  const Scalar* bias;
  Scalar* h;
  Index h_stride;
  Scalar* cells;  ///< may be cells_prev, when nothing is saved
  Scalar* saved;  ///< null: not saved
};

template <class Scalar>
struct BackwardStep {
  Index samples, tile, panels;
  const Scalar* h_prev;
  Index h_prev_stride;
  const Scalar* cells_prev;
  const Scalar* cells;
  Scalar* dh;  ///< [sample][Hp]; in: dL/dh from step t + 1; out: see h_enters
  const Scalar* dh_above;
  Index dh_above_stride;  ///< null when nothing above reads this step
  Scalar* dc;             ///< in and out: [P][tile][W], for a cell with a state beside h
  Scalar* saved;          ///< in: gates; out: da
};

/// Calls f(M, p, b) for panel p and the M samples from b on, M a compile-time number, until a
/// step's samples are covered.
template <class F>
TSDL_INLINE void for_each_tile(Index panels, Index samples, const F& f) noexcept {
  for (Index p = 0; p < panels; ++p)
    for_each_rows(samples, [&](auto M, Index b) noexcept { f(M, p, b); });
}

/// Starts the chains of M samples from a bias of V vectors.
template <Index M, Index V, class Scalar>
TSDL_INLINE void start_chains(Vec<Scalar> (&acc)[M][V], const Scalar* bias) noexcept {
  TSDL_UNROLL
  for (Index v = 0; v < V; ++v) {
    const Vec<Scalar> start = load(bias + v * lanes<Scalar>);
    TSDL_UNROLL
    for (Index m = 0; m < M; ++m) acc[m][v] = start;
  }
}

/// The chains over x of M samples: bias, then x by ascending k; or what project() made of them.
template <Index M, Index V, class Scalar>
TSDL_INLINE void chains_over_x(Vec<Scalar> (&acc)[M][V], const ForwardStep<Scalar>& s,
                               const Scalar* panel, const Scalar* bias, Index p, Index b) noexcept {
  constexpr Index W = lanes<Scalar>;
  if (!s.projected) {
    start_chains(acc, bias);
    multiply_tile<M, V>(acc, s.x + b * s.x_stride, s.x_stride, panel, s.inputs);
    return;
  }
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v)
      acc[m][v] = load(s.projected + (b + m) * s.projected_stride + (p * V + v) * W);
  }
}

/// What project() is given: `count` columns, x_stride apart.
template <class Scalar>
struct Projection {
  Scalar* out;  ///< [count][P][V][W]
  const Scalar* x;
  Index x_stride, count, inputs, panels;
  const Scalar* weights;  ///< [P][weight_rows][V][W], x's rows first
  Index weight_rows;
  const Scalar* bias;  ///< [P][bias_vectors][W], those over x first
  Index bias_vectors;
};

namespace internal {

template <Index M, Index V, class Scalar>
TSDL_INLINE void project_tile(const Projection<Scalar>& s, Index p, Index c) noexcept {
  constexpr Index W = lanes<Scalar>;
  Vec<Scalar> acc[M][V];
  start_chains(acc, s.bias + p * s.bias_vectors * W);
  multiply_tile<M, V>(acc, s.x + c * s.x_stride, s.x_stride, s.weights + p * s.weight_rows * V * W,
                      s.inputs);
  TSDL_UNROLL
  for (Index m = 0; m < M; ++m) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) store(s.out + (((c + m) * s.panels + p) * V + v) * W, acc[m][v]);
  }
}

}  // namespace internal

/// The chains over x of many columns at once, V vectors a panel. A step that starts from them gives
/// the bits of one that makes them itself.
template <Index V, class Scalar>
void project(const Projection<Scalar>& s) noexcept {
  for_each_tile(s.panels, s.count, [&](auto M, Index p, Index c) noexcept {
    internal::project_tile<M(), V>(s, p, c);
  });
}

/// dL/dh of one sample and panel: from step t + 1 and from above.
template <class Scalar>
TSDL_INLINE Vec<Scalar> incoming(const BackwardStep<Scalar>& s, Index p, Index b) noexcept {
  constexpr Index W = lanes<Scalar>;
  const Vec<Scalar> dh = load(s.dh + (b * s.panels + p) * W);
  return s.dh_above ? dh + load(s.dh_above + b * s.dh_above_stride + p * W) : dh;
}

}  // namespace tsdl::inline TSDL_ABI::kernels
