// One step of a recurrent cell on a tile of samples: its arguments, and the loops over its units.
//
// A cell (lstm_cell.hpp, gru_cell.hpp) is a struct of constants and two functions, forward and
// backward of one step; nn/recurrent/layer.hpp is the loop around them, the same for every cell.
//
//   gates          row blocks of PyTorch's weight matrices: i f g o, or r z n
//   slots          vectors saved per unit: forward's gates, overwritten by gradients da
//   x_slot[gate]   the slot whose da is the gradient of the gate's sum over x
//   h_slot[gate]   the same over h. An LSTM adds the two; a GRU's n keeps them apart
//   cell_vectors   vectors of state beside h: an LSTM's c and tanh(c)
//   passing        values of the slots, 0 or 1, for steps past a sample's end: by them a step of
//                  backward makes every da 0, and leaves dc as it is, and dh too if h_enters
//   h_enters       whether h depends on h_prev other than through the products. Then backward
//                  leaves that part of dh_prev in dh, and the product W_hh^T da is added to it
//
// The sums over x fill slots 0 ... gates - 1 and those over h the last `gates` slots, so that
// either operand of a product is one run of adjacent vectors.
//
//   symbol          shape (one tile, one step)      meaning
//   saved           [P][tile][slots][W]             gates; backward leaves da in their place
//   cells           [P][tile][cell_vectors][W]      the state beside h
//   weights         [P][I + H][gates][W]            W_ih above W_hh, columns in order of slots
//   bias            [P][slots][W]
//   h, h_prev, dh   one column per sample           padded to Hp = P * W units
//   over_x          [P][gates][W] of a sample       bias + W_ih x
//   over_h          [P][gates][W] of a sample       W_hh h_prev, with the biases of h's own slots
//
// A pre-activation is over_x + over_h, two sums that do not wait for each other: over_x may be
// computed for all steps at once, and over_h before x is known. Each is one chain of fused
// multiply-adds by ascending k or, where it is short and its latency counts, two chains of the even
// and the odd k (chains_of). This order is the same for every batch, tile and path, and so are the
// bits.
//
// P panels of W hidden units cover H; units beyond H have zero weights and biases, so their h stays
// exactly 0 and so do their gradients.
#pragma once

#include <algorithm>
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
  const Scalar* projected;  ///< over_x, if project() computed it, or null
  Index projected_stride;   ///< from sample to sample
  const Scalar* h_prev;
  Index h_prev_stride;
  bool from_zero;  ///< h_prev is zero: no product is needed
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
  static constexpr Index h_prev_stride = 0, h_stride = 0;
  static constexpr Scalar* saved = nullptr;
  Inputs inputs;  ///< a Size, like the next two
  Hidden hidden;
  Panels panels;
  bool descending;
  const Scalar *x, *h_prev, *cells_prev;
  const Weight* weights;
  const Scalar* bias;
  Scalar* over_h;
  bool prepared;  ///< over_h is that of h_prev
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
  Scalar* dbias;  ///< [group][P][slots][W] += da, of bias_group samples each
};

/// The samples whose da one sum of the biases' gradients covers. Tiles have whole groups, so that
/// the sums do not depend on the tiles.
inline constexpr Index bias_group = 4;

/// Calls f(p, b, sums) for each panel and sample of a step, f adds its da to `sums`, and adds the
/// sums of each group of samples to the biases' gradients.
template <class Cell, class F>
TSDL_INLINE void for_each_unit(const BackwardStep<typename Cell::Scalar>& s, const F& f) noexcept {
  using V = typename Cell::Vec;
  for (Index p = 0; p < s.panels; ++p)
    for (Index group = 0; group * bias_group < s.samples; ++group) {
      Array<V, Cell::slots> sums;
      TSDL_UNROLL
      for (Index v = 0; v < Cell::slots; ++v) sums[v] = V(typename Cell::Scalar{0});
      const Index end = std::min(s.samples, (group + 1) * bias_group);
      for (Index b = group * bias_group; b < end; ++b) f(p, b, sums);
      typename Cell::Scalar* out = s.dbias + (group * s.panels + p) * Cell::slots * Cell::W;
      TSDL_UNROLL
      for (Index v = 0; v < Cell::slots; ++v)
        store(out + v * Cell::W, V(load_as<V>(out + v * Cell::W) + sums[v]));
    }
}

/// Stores da in the place of a unit's gates, and adds it to `sums`.
template <std::size_t N, class V>
TSDL_INLINE void put_gradient(typename V::value_type* gate, const V (&da)[N],
                              V (&sums)[N]) noexcept {
  TSDL_UNROLL
  for (std::size_t v = 0; v < N; ++v) {
    store(gate + v * V::size, da[v]);
    sums[v] = sums[v] + da[v];
  }
}

/// Calls f(M, Q, p, b) for register blocks of the M samples from b on and the Q panels from p on,
/// both compile-time numbers, until a step is covered. A single sample takes two panels at once:
/// one panel has too few chains to keep the multipliers busy.
template <class Cell, class Step, class F>
TSDL_INLINE void for_each_block(const Step& s, const F& f) noexcept {
  constexpr std::integral_constant<Index, 1> one{};
  constexpr std::integral_constant<Index, 2> two{};
  const Index at_once = s.samples == 1 ? 2 : 1;
  const Index panels = s.panels - s.first_panel;
  for (Index i = 0; i < panels; i += at_once) {
    const Index p = s.first_panel + (s.descending ? (panels - 1 - i) / at_once * at_once : i);
    if constexpr (!Step::one_sample) {
      if (s.samples > 1) {
        for_each_rows<rows_of<Cell::gates>>(
            s.samples, [&](auto M, Index b) TSDL_INLINE_LAMBDA { f(M, one, p, b); });
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

/// The stride from panel to panel of a step's weights.
template <class Cell, class Step>
TSDL_INLINE Index panel_stride(const Step& s) noexcept {
  using Weight = typename Step::Weight;
  return (packed_rows<Weight>(s.inputs) + packed_rows<Weight>(s.hidden)) * Cell::gates * Cell::W;
}

/// Where the sums of Q panels start: over_x from the biases of x's slots, over_h from those that no
/// slot of x has, else from zero.
template <class Cell, Index Q>
TSDL_INLINE void start_sums(Block<typename Cell::Vec, Q, Cell::gates>& start,
                            const typename Cell::Scalar* bias, bool over_h) noexcept {
  using V = typename Cell::Vec;
  constexpr Index first_h_slot = Cell::slots - Cell::gates;
  TSDL_UNROLL
  for (Index q = 0; q < Q; ++q) {
    TSDL_UNROLL
    for (Index v = 0; v < Cell::gates; ++v) {
      const bool zero = over_h && first_h_slot + v < Cell::gates;
      const Index slot = q * Cell::slots + (over_h ? first_h_slot + v : v);
      start[q][v] = zero ? V(typename Cell::Scalar{0}) : load_as<V>(bias + slot * Cell::W);
    }
  }
}

/// Where the sums of a block of samples and panels are.
template <class Scalar>
struct SumsView {
  const Scalar* over_x;
  Index panel_stride, sample_stride;  ///< of over_x
  Scalar* over_h;                     ///< [panel][sample][gates][W]; may be overwritten
  const Scalar* x(Index q, Index m) const noexcept {
    return over_x + q * panel_stride + m * sample_stride;
  }
};

/// The sums of a block of M samples and Q panels, over x and over h.
template <class Cell, Index M, Index Q>
class BlockSums {
 public:
  using Scalar = typename Cell::Scalar;

  /// Computes them for the panels from p on and the samples from b on.
  template <class Step>
  TSDL_INLINE BlockSums(const Step& s, Index p, Index b) noexcept
      : view_{own_x_, M * gate_width, gate_width, over_h_} {
    if (s.projected)
      view_ = {s.projected + b * s.projected_stride + p * gate_width, gate_width,
               s.projected_stride, over_h_};
    const Index stride = kernels::panel_stride<Cell>(s);
    for (const bool h : {false, true}) {  // one loop for both: half the code to compile
      if (!h && s.projected) continue;
      Block<typename Cell::Vec, Q, Cell::gates> start;
      start_sums<Cell, Q>(start, s.bias + p * Cell::slots * Cell::W, h);
      sum_rows<M, Cell::gates, Q>(h ? over_h_ : own_x_, gate_width, start,
                                  h ? s.h_prev + b * s.h_prev_stride : s.x + b * s.x_stride,
                                  h ? s.h_prev_stride : s.x_stride,
                                  s.weights + p * stride + (h ? s.inputs * gate_width : 0),
                                  h ? s.from_zero ? Index{0} : s.hidden : s.inputs, stride);
    }
  }

  const SumsView<Scalar>& view() const noexcept { return view_; }

 private:
  static constexpr Index gate_width = Cell::gates * Cell::W;
  alignas(64) Array<Scalar, Q * M * gate_width> own_x_, over_h_;
  SumsView<Scalar> view_;
};

/// Computes over_h of one sample for Q panels.
template <class Cell, Index Q, class Step>
TSDL_INLINE void sum_over_h(Block<typename Cell::Vec, Q, Cell::gates>& acc, const Step& s,
                            Index p) noexcept {
  constexpr Index gate_width = Cell::gates * Cell::W;
  const Index stride = panel_stride<Cell>(s);
  const auto* weights =
      s.weights + p * stride + packed_rows<typename Step::Weight>(s.inputs) * gate_width;
  start_sums<Cell, Q>(acc, s.bias + p * Cell::slots * Cell::W, true);
  sum_terms<1, Cell::gates, Q>(acc, s.h_prev, 0, weights, s.hidden, stride);
}

/// Computes over_h of one sample's next step, before its x is known.
template <class Cell, class Step>
void prepare(const Step& s) noexcept {
  constexpr Index gate_width = Cell::gates * Cell::W;
  for_each_block<Cell>(s, [&](auto, auto Q, Index p, Index) TSDL_INLINE_LAMBDA {
    Block<typename Cell::Vec, Q(), Cell::gates> acc;
    sum_over_h<Cell, Q()>(acc, s, p);
    store_all(s.over_h + p * gate_width, gate_width, acc);
  });
}

/// The sums of one sample for Q panels, over x and over h.
template <class Cell, Index Q, class Step>
TSDL_INLINE void sum_both(Block<typename Cell::Vec, Q, Cell::gates>& over_x,
                          Block<typename Cell::Vec, Q, Cell::gates>& over_h, const Step& s,
                          Index p) noexcept {
  const Index stride = panel_stride<Cell>(s);
  start_sums<Cell, Q>(over_x, s.bias + p * Cell::slots * Cell::W, false);
  sum_terms<1, Cell::gates, Q>(over_x, s.x, 0, s.weights + p * stride, s.inputs, stride);
  if (!s.prepared) return sum_over_h<Cell, Q>(over_h, s, p);
  TSDL_UNROLL
  for (Index q = 0; q < Q; ++q) load_all(over_h[q], s.over_h + (p + q) * Cell::gates * Cell::W);
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

namespace internal {

/// The columns j ... of a projection, M of them, for panel p.
template <Index M, Index V, class Scalar>
TSDL_INLINE void project_block(const Projection<Scalar>& s, Index p, Index j) noexcept {
  constexpr Index W = lanes<Scalar>, width = V * W;
  Block<Vec<Scalar>, 1, V> start;
  load_all(start[0], s.bias + p * s.bias_vectors * W);
  sum_rows<M, V, 1>(s.out + (j * s.panels + p) * width, s.panels * width, start,
                    s.x + j * s.x_stride, s.x_stride, s.weights + p * s.weight_rows * width,
                    s.inputs);
}

}  // namespace internal

/// Computes over_x of many columns at once, V vectors a panel: the same bits as within a step.
template <Index V, class Scalar>
void project(const Projection<Scalar>& s) noexcept {
  for (Index p = 0; p < s.panels; ++p)
    for_each_rows<rows_of<V>>(
        s.count, [&](auto M, Index j) noexcept { internal::project_block<M(), V>(s, p, j); });
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
