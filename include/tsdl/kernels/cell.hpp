// One step of a recurrent cell on a tile of samples: its arguments, and the loops over its units.
//
// A cell (lstm_cell.hpp, gru_cell.hpp) is a struct of constants and two functions, forward and
// backward of one step; nn/recurrent/layer.hpp is the loop around them, the same for every cell.
//
//   gates          row blocks of PyTorch's weight matrices: i f g o, or r z n
//   slots          vectors saved per unit: forward's gates, overwritten by gradients da
//   x_slot[gate]   the slot whose da is the gradient of the gate's chain over x
//   h_slot[gate]   the same over h. An LSTM has one chain per gate; a GRU's n has two
//   cell_vectors   vectors of state beside h: an LSTM's c and tanh(c)
//   h_enters       whether h depends on h_prev other than through the products. Then backward
//                  leaves that part of dh_prev in dh, and the product W_hh^T da is added to it
//
// The chains over x fill slots 0 ... gates - 1 and those over h the last `gates` slots, so that
// either operand of a product is one run of adjacent vectors.
//
//   symbol          shape (one tile, one step)      meaning
//   saved           [P][tile][slots][W]             gates; backward leaves da in their place
//   cells           [P][tile][cell_vectors][W]      the state beside h
//   weights         [P][I + H][gates][W]            W_ih above W_hh, columns in order of slots
//   bias            [P][slots][W]
//   h, h_prev, dh   one column per sample           padded to Hp = P * W units
//
// P panels of W hidden units cover H; units beyond H have zero weights and biases, so their h stays
// exactly 0 and so do their gradients.
#pragma once

#include <cstddef>
#include <type_traits>

#include "tsdl/kernels/gemm.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// One step forward of a tile of samples.
template <class Scalar_>
struct ForwardStep {
  using Scalar = Scalar_;
  using Weight = Scalar;
  static constexpr bool one_sample = false;
  static constexpr Index panels_known = 0;
  Index samples, tile;  ///< samples in this tile, and its capacity
  Index inputs, hidden;
  Index first_panel, panels;  ///< runs panels first_panel ... panels - 1
  bool descending;  ///< the order of panels; steps alternate, so that the weights which the step
                    ///< before used last are still cached
  const Scalar* x;
  Index x_stride;           ///< from sample to sample
  const Scalar* projected;  ///< the chains over x that project() computed, or null
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

/// The same for one sample of a stream, which saves nothing. Sizes may be known at compile time,
/// and weights may be bfloat16.
template <class Scalar_, class Weight_, class Inputs, class Hidden, class Panels>
struct StreamStep {
  using Scalar = Scalar_;
  using Weight = Weight_;
  static constexpr bool one_sample = true;
  static constexpr Index panels_known = Panels::known;
  static constexpr Index samples = 1, tile = 1, first_panel = 0;
  static constexpr Index x_stride = 0, projected_stride = 0, h_prev_stride = 0, h_stride = 0;
  static constexpr const Scalar* projected = nullptr;
  static constexpr Scalar* saved = nullptr;
  Inputs inputs;  ///< a Size, like the next two
  Hidden hidden;
  Panels panels;
  bool descending;
  const Scalar *x, *h_prev, *cells_prev;
  const Weight* weights;
  const Scalar* bias;
  Scalar *h, *cells;
};

/// One step backward of a tile of samples.
template <class Scalar>
struct BackwardStep {
  Index samples, tile, panels;
  const Scalar* h_prev;
  Index h_prev_stride;
  const Scalar* cells_prev;
  const Scalar* cells;
  Scalar* dh;              ///< [sample][Hp]; in: dL/dh from step t + 1; out: see h_enters
  const Scalar* dh_above;  ///< null when nothing above reads this step
  Index dh_above_stride;
  Scalar* dc;     ///< in and out: [P][tile][W], for a cell with a state beside h
  Scalar* saved;  ///< in: gates; out: da
};

/// Calls f(M, Q, p, b) for register blocks of the M samples from b on and the Q panels from p on,
/// both compile-time numbers, until a step is covered. A single sample takes two panels at once:
/// one panel has too few chains to keep the multipliers busy.
template <class Step, class F>
TSDL_INLINE void for_each_block(const Step& s, const F& f) noexcept {
  constexpr std::integral_constant<Index, 1> one{};
  constexpr std::integral_constant<Index, 2> two{};
  const Index at_once = s.samples == 1 ? 2 : 1;
  const Index panels = s.panels - s.first_panel;
  for (Index i = 0; i < panels; i += at_once) {
    const Index p = s.first_panel + (s.descending ? (panels - 1 - i) / at_once * at_once : i);
    if constexpr (!Step::one_sample) {
      if (s.samples > 1) {
        for_each_rows(s.samples, [&](auto M, Index b) TSDL_INLINE_LAMBDA { f(M, one, p, b); });
        continue;
      }
    }
    const bool pair = p + 1 < s.panels;
    if constexpr (Step::panels_known != 1)
      if (pair) f(one, two, p, Index{0});
    if constexpr (Step::panels_known == 0 || Step::panels_known % 2 == 1)
      if (!pair) f(one, one, p, Index{0});
  }
}

/// Starts the chains of M samples from a bias of V vectors.
template <Index M, Index V, Index Q = 1, class Batch>
TSDL_INLINE void start_chains(Block<Batch, Q * M, V>& acc, const typename Batch::value_type* bias,
                              Index bias_stride = 0) noexcept {
  TSDL_UNROLL
  for (Index q = 0; q < Q; ++q) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v) {
      const auto start =
          load_as<Batch>(bias + q * bias_stride + v * static_cast<Index>(Batch::size));
      TSDL_UNROLL
      for (Index m = 0; m < M; ++m) acc[q * M + m][v] = start;
    }
  }
}

/// The stride from panel to panel of a step's weights.
template <Index V, class Batch, class Step>
TSDL_INLINE Index panel_stride(const Step& s) noexcept {
  using Weight = typename Step::Weight;
  return (packed_rows<Weight>(s.inputs) + packed_rows<Weight>(s.hidden)) * V *
         static_cast<Index>(Batch::size);
}

/// Starts the chains of M samples and Q panels: from the projected chains over x where the step has
/// them, else from the biases of the panels from p on.
template <Index M, Index V, Index Q, class Batch, class Step>
TSDL_INLINE void start_chains(Block<Batch, Q * M, V>& acc, const Step& s,
                              const typename Batch::value_type* bias, Index bias_stride, Index p,
                              Index b) noexcept {
  if (!s.projected) return start_chains<M, V, Q>(acc, bias, bias_stride);
  TSDL_UNROLL
  for (Index j = 0; j < Q * M; ++j) {
    TSDL_UNROLL
    for (Index v = 0; v < V; ++v)
      acc[j][v] = load_as<Batch>(s.projected + (b + j % M) * s.projected_stride +
                                 ((p + j / M) * V + v) * static_cast<Index>(Batch::size));
  }
}

/// Continues the chains over x, by ascending k.
template <Index M, Index V, Index Q, class Batch, class Step>
TSDL_INLINE void chains_over_x(Block<Batch, Q * M, V>& acc, const Step& s, Index p,
                               Index b) noexcept {
  const Index stride = panel_stride<V, Batch>(s);
  multiply_rows<M, V, Q>(acc, s.x + b * s.x_stride, s.x_stride, s.weights + p * stride, s.inputs,
                         stride);
}

/// Continues them over h, by ascending k.
template <Index M, Index V, Index Q, class Batch, class Step>
TSDL_INLINE void chains_over_h(Block<Batch, Q * M, V>& acc, const Step& s, Index p,
                               Index b) noexcept {
  const Index stride = panel_stride<V, Batch>(s),
              first = packed_rows<typename Step::Weight>(s.inputs);
  multiply_rows<M, V, Q>(acc, s.h_prev + b * s.h_prev_stride, s.h_prev_stride,
                         s.weights + p * stride + first * V * static_cast<Index>(Batch::size),
                         s.hidden, stride);
}

/// Continues them over x, unless that part is projected, and then over h.
template <Index M, Index V, Index Q, class Batch, class Step>
TSDL_INLINE void chains_over_both(Block<Batch, Q * M, V>& acc, const Step& s, Index p,
                                  Index b) noexcept {
  if constexpr (Step::one_sample) {
    chains_over_x<M, V, Q>(acc, s, p, b);
    chains_over_h<M, V, Q>(acc, s, p, b);
  } else {
    // One loop for both, which halves the code to compile.
    const Index stride = panel_stride<V, Batch>(s);
    const auto* weights = s.weights + p * stride;
    for (const bool over_h : {false, true}) {
      const auto* from = over_h ? s.h_prev : s.x;
      const Index from_stride = over_h ? s.h_prev_stride : s.x_stride;
      const Index rows = over_h ? s.hidden : s.inputs;
      if (over_h || !s.projected)
        multiply_rows<M, V, Q>(acc, from + b * from_stride, from_stride, weights, rows, stride);
      weights += rows * V * static_cast<Index>(Batch::size);
    }
  }
}

/// Stores the vectors of a register block, one after the other.
template <std::size_t N, std::size_t V, class Batch>
TSDL_INLINE void store_all(typename Batch::value_type* aligned, const Batch (&acc)[N][V]) noexcept {
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    TSDL_UNROLL
    for (std::size_t v = 0; v < V; ++v) store(aligned + (j * V + v) * Batch::size, acc[j][v]);
  }
}

/// Loads the vectors that store_all stored.
template <std::size_t N, std::size_t V, class Batch>
TSDL_INLINE void load_all(Batch (&acc)[N][V], const typename Batch::value_type* aligned) noexcept {
  TSDL_UNROLL
  for (std::size_t j = 0; j < N; ++j) {
    TSDL_UNROLL
    for (std::size_t v = 0; v < V; ++v)
      acc[j][v] = load_as<Batch>(aligned + (j * V + v) * Batch::size);
  }
}

/// The arguments of project(): `count` columns, x_stride apart.
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

/// Computes the chains over x of many columns at once, V vectors a panel. A step that starts from
/// them gives the same bits as one that computes them itself.
template <Index V, class Scalar>
void project(const Projection<Scalar>& s) noexcept {
  constexpr Index width = V * lanes<Scalar>;
  const Rows<Scalar> columns{s.x, s.x_stride, 1, s.inputs, 0};
  for (Index p = 0; p < s.panels; ++p)
    internal::multiply_panel<V, Scalar>({s.bias + p * s.bias_vectors * lanes<Scalar>, 0},
                                        {s.out + p * width, s.panels * width}, columns,
                                        s.weights + p * s.weight_rows * width, s.count);
}

/// dL/dh of one sample and panel: from step t + 1 and from above.
template <class Batch>
TSDL_INLINE Batch incoming(const BackwardStep<typename Batch::value_type>& s, Index p,
                           Index b) noexcept {
  constexpr Index W = Batch::size;
  const auto dh = load_as<Batch>(s.dh + (b * s.panels + p) * W);
  return s.dh_above ? dh + load_as<Batch>(s.dh_above + b * s.dh_above_stride + p * W) : dh;
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
