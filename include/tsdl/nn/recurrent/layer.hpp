// One recurrent layer in one direction: parameters, packs, and the loops over time of a tile.
//
// The layer owns its parameters and, beside them, what repack() derives from them
// (recurrent_packs.hpp). Everything that a pass computes lives in a Cache of the caller's. A cell
// (kernels/cell.hpp) supplies the arithmetic of one step; time, direction, tiles and weight
// gradients are here, once for all cells.
//
//   symbol      shape                       meaning
//   s           0 ... steps - 1             a step in the order in which this direction runs
//   t           s, or T - 1 - s in reverse  its place in time
//   tile        <= 16 samples               what one thread carries through all steps, unless
//                                           threads share the units of each
//                                           (nn/recurrent/stack.hpp)
//   G, S, C                                 a cell's gates, slots and cell_vectors
//   saved       [tile][s][P][b][S][W]       gates, by forward; backward leaves da in their place
//   cells       [tile][s][P][b][C][W]       the cell's state beside h (LSTM: c, tanh(c))
//   dweights    [P][I + H][G][W]            the gradient in the order of the forward pack
//   dbias       [tile][P][S][W]             the biases' gradients
//   projection  [column][P][G][W]           the chains over x, where they are made ahead
//   dcolumns    [tile][column][P][G][W]     da summed over the windows that share a column
//
// Where windows overlap, their columns stand on one line (core/sequence.hpp) and there are fewer of
// them than T * B. Then W_ih x is made once a column, and dW_ih is one product over columns, after
// the da of each were summed. Made ahead or in the step, a chain has the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/kernels/cell.hpp"
#include "tsdl/kernels/gemm.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/parameter.hpp"
#include "tsdl/nn/recurrent/cache.hpp"
#include "tsdl/nn/recurrent/packs.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One layer in one direction; a RecurrentStack is made of them.
template <class Cell>
class RecurrentLayer {
 public:
  using Scalar = typename Cell::Scalar;
  using Cache = DirectionCache<Scalar>;
  using Packs = RecurrentPacks<Cell>;
  static constexpr Index W = Cell::W;
  static constexpr Index gate_width = Packs::gate_width, slot_width = Packs::slot_width;

  Parameter<Scalar> weight_ih, weight_hh, bias_ih, bias_hh;

  RecurrentLayer(const std::string& prefix, Index layer, bool reverse, InputLayout inputs, Index H)
      : weight_ih(
            Parameter<Scalar>::matrix(internal::tensor_name(prefix, "weight_ih", layer, reverse),
                                      Cell::gates * H, inputs.values())),
        weight_hh(Parameter<Scalar>::matrix(
            internal::tensor_name(prefix, "weight_hh", layer, reverse), Cell::gates * H, H)),
        bias_ih(Parameter<Scalar>::vector(internal::tensor_name(prefix, "bias_ih", layer, reverse),
                                          Cell::gates * H)),
        bias_hh(Parameter<Scalar>::vector(internal::tensor_name(prefix, "bias_hh", layer, reverse),
                                          Cell::gates * H)),
        packs_(inputs, H),
        reverse_(reverse) {}

  Index hidden() const noexcept { return packs_.hidden(); }
  Index panels() const noexcept { return packs_.panels(); }
  Index padded_hidden() const noexcept { return panels() * W; }  ///< Hp
  const InputLayout& inputs() const noexcept { return packs_.inputs(); }

  template <class F>
  void visit(F&& f) {
    f(weight_ih);
    f(weight_hh);
    f(bias_ih);
    f(bias_hh);
  }

  template <class F>
  void visit(F&& f) const {
    f(weight_ih);
    f(weight_hh);
    f(bias_ih);
    f(bias_hh);
  }

  /// Derives the packs from the parameters.
  void repack() noexcept { packs_.derive(weight_ih, weight_hh, bias_ih, bias_hh); }

  const ForwardPack<Cell>& forward_pack() const noexcept { return packs_.forward; }

  /// Makes room for what a backward pass writes and reads. Allocates: the first time.
  void need_gradients() {
    visit([](Parameter<Scalar>& parameter) { parameter.need_gradient(); });
    if (packs_.need_transposed()) packs_.derive_transposed(weight_ih, weight_hh);
  }

  /// Sizes the cache for a pass over x and clears the initial state. Allocates: when it must grow.
  void prepare(Cache& cache, const Sequence<const Scalar>& x, Extent extent, bool training) const {
    cache.extent = extent;
    cache.choose_columns(shared_columns(x), kernels::register_rows);
    // Room also for the small batches that may follow a large one.
    const Index small = extent.T * std::min(extent.B, kernels::register_rows - 1);
    cache.projection.resize(std::max(cache.columns.count, small) * panels() * gate_width);
    cache.training = training;
    cache.has_initial = false;
    const Index state = extent.tile() * panels() * W;  // of one tile, one step
    const Index blocks = extent.tiles() * (training ? extent.steps : Index{1});
    cache.cells.resize(blocks * state * Cell::cell_vectors);
    cache.initial_cells.assign(extent.tiles() * state * Cell::cell_vectors, Scalar{0});
    cache.h0.assign(extent.B * padded_hidden(), Scalar{0});
    if (training) cache.saved.resize(blocks * state * Cell::slots);
  }

  /// Sets the state before the first step. Shapes: h0, c0 B x H, dense; either may be null.
  void set_initial_state(Cache& cache, const Scalar* h0, const Scalar* c0) const noexcept {
    cache.has_initial = true;
    for (Index b = 0; b < cache.extent.B; ++b)
      for (Index unit = 0; unit < hidden(); ++unit) {
        if (h0) cache.h0[b * padded_hidden() + unit] = h0[b * hidden() + unit];
        if (Cell::cell_vectors > 0 && c0)
          cache.initial_cells[cell_offset(cache, b, unit) * Cell::cell_vectors * W + unit % W] =
              c0[b * hidden() + unit];
      }
  }

  /// The chains over x are made ahead in this many tasks, before any step is run.
  Index projection_tasks(const Cache& cache) const noexcept {
    return (cache.columns.count + columns_per_task - 1) / columns_per_task;
  }

  void project(Cache& cache, const Sequence<const Scalar>& x, Index task) const noexcept {
    const Index first = task * columns_per_task, unit = cache.columns.unit;
    project(cache, first, x.data + first * unit, unit,
            std::min(columns_per_task, cache.columns.count - first));
  }

  /// The same for `count` columns, `stride` apart, as columns `first` ... of the projection.
  void project(Cache& cache, Index first, const Scalar* x, Index stride,
               Index count) const noexcept {
    kernels::project<Cell::gates, Scalar>(
        {cache.projection.data() + first * panels() * gate_width, x, stride, count,
         inputs().columns(), panels(), packs_.forward.weights.data(), inputs().columns() + hidden(),
         packs_.forward.bias.data(), Cell::slots});
  }

  /// Runs all steps of one tile. y: the layer's output, at this direction's columns.
  void forward_tile(Cache& cache, const Sequence<const Scalar>& x, const Sequence<Scalar>& y,
                    Index tile) const noexcept {
    kernels::ForwardStep<Scalar> step = steps_of(cache, x, y, tile);
    for (Index s = 0; s < cache.extent.steps; ++s) forward_step(step, cache, x, y, tile, s);
  }

  /// What all steps of a tile are given.
  kernels::ForwardStep<Scalar> steps_of(const Cache& cache, const Sequence<const Scalar>& x,
                                        const Sequence<Scalar>& y, Index tile) const noexcept {
    kernels::ForwardStep<Scalar> step{};
    step.samples = cache.extent.samples(tile);
    step.tile = cache.extent.tile();
    step.inputs = inputs().columns();
    step.hidden = hidden();
    step.panels = panels();
    step.weights = packs_.forward.weights.data();
    step.bias = packs_.forward.bias.data();
    step.x_stride = x.sample_stride;
    step.projected_stride = cache.columns.sample * panels() * gate_width;
    step.h_stride = y.sample_stride;
    return step;
  }

  /// Runs step s of one tile: the panels that `step`, made by steps_of, names.
  void forward_step(kernels::ForwardStep<Scalar>& step, Cache& cache,
                    const Sequence<const Scalar>& x, const Sequence<Scalar>& y, Index tile,
                    Index s) const noexcept {
    const Extent& e = cache.extent;
    const Index b = e.first(tile), t = time(e, s);
    const Index block = state_block(cache) * Cell::cell_vectors;
    step.descending = s % 2 != 0;
    step.x = x.column(t, b);
    if (cache.columns.count > 0)
      step.projected = cache.projection.data() +
                       (cache.first_column + cache.columns.at(t, b)) * panels() * gate_width;
    step.h = y.column(t, b);
    set_previous(step, cache, y, s, b);
    step.cells_prev = s == 0 ? cache.initial_cells.data() + tile * block
                             : cache.cells.data() + cache.cells_block(tile, s - 1) * block;
    step.cells = cache.cells.data() + cache.cells_block(tile, s) * block;
    step.saved = cache.training ? saved(cache, tile, s) : nullptr;
    Cell::forward(step);
  }

  /// Writes the state after the last step. Shapes: h, c B x H, dense; either may be null.
  void final_state(const Cache& cache, const Sequence<const Scalar>& y, Scalar* h,
                   Scalar* c) const noexcept {
    const Extent& e = cache.extent;
    const Index block = state_block(cache) * Cell::cell_vectors;
    for (Index b = 0; b < e.B; ++b) {
      const Index tile = b / Extent::max_tile;
      const Scalar* cells = cache.cells.data() + cache.cells_block(tile, e.steps - 1) * block;
      for (Index unit = 0; unit < hidden(); ++unit) {
        if (h) h[b * hidden() + unit] = y.column(time(e, e.steps - 1), b)[unit];
        const Index inside = cell_offset(cache, b, unit) - tile * panels() * e.tile();
        if (Cell::cell_vectors > 0 && c)
          c[b * hidden() + unit] = cells[inside * Cell::cell_vectors * W + unit % W];
      }
    }
  }

  /// Clears, or sets, the gradients that enter after the last step. Shapes: dh_n, dc_n B x H.
  void start_backward(Cache& cache, const Scalar* dh_n, const Scalar* dc_n) const {
    const Extent& e = cache.extent;
    cache.dh.assign(e.B * padded_hidden(), Scalar{0});
    if (Cell::cell_vectors > 0) cache.dc.assign(e.tiles() * state_block(cache), Scalar{0});
    cache.dweights.resize(panels() * (inputs().columns() + hidden()) * gate_width);
    cache.dbias.assign(e.tiles() * panels() * slot_width, Scalar{0});
    if (cache.shared)
      cache.dcolumns.assign(e.tiles() * cache.tile_columns() * panels() * gate_width, Scalar{0});
    for (Index b = 0; b < e.B && (dh_n || dc_n); ++b)
      for (Index unit = 0; unit < hidden(); ++unit) {
        if (dh_n) cache.dh[b * padded_hidden() + unit] = dh_n[b * hidden() + unit];
        if (Cell::cell_vectors > 0 && dc_n)
          cache.dc[cell_offset(cache, b, unit) * W + unit % W] = dc_n[b * hidden() + unit];
      }
  }

  /// Runs all steps of one tile backward, and leaves da in place of the gates. y: this direction's
  /// output. dy: its gradient at the times in [from, to); elsewhere it is zero.
  void backward_tile(Cache& cache, const Sequence<const Scalar>& y,
                     const Sequence<const Scalar>& dy, Index from, Index to,
                     Index tile) const noexcept {
    const Extent& e = cache.extent;
    const Index b = e.first(tile), Hp = padded_hidden();
    const Index block = state_block(cache) * Cell::cell_vectors;
    kernels::BackwardStep<Scalar> step{};
    step.samples = e.samples(tile);
    step.tile = e.tile();
    step.panels = panels();
    step.dh = cache.dh.data() + b * Hp;
    step.dh_above_stride = dy.sample_stride;
    if (Cell::cell_vectors > 0) step.dc = cache.dc.data() + tile * state_block(cache);
    for (Index s = e.steps; s-- > 0;) {
      const Index t = time(e, s);
      step.dh_above = from <= t && t < to ? dy.column(t, b) : nullptr;
      step.saved = saved(cache, tile, s);
      set_previous(step, cache, y, s, b);
      step.cells = cache.cells.data() + cache.cells_block(tile, s) * block;
      step.cells_prev = s == 0 ? cache.initial_cells.data() + tile * block
                               : cache.cells.data() + cache.cells_block(tile, s - 1) * block;
      Cell::backward(step);
      add_to_sums(cache, tile, t, step.saved);
      // dh_prev = W_hh^T da, and what the cell left in dh when h_prev enters h beside the products
      constexpr auto start = Cell::h_enters ? kernels::Start::previous : kernels::Start::zero;
      kernels::multiply(start, step.dh, Hp, gate_rows(cache, tile, s, Packs::first_h_slot),
                        packs_.weights_hh_transposed.data(), static_cast<const Scalar*>(nullptr),
                        step.samples, Hp);
    }
  }

  /// Writes the gradient of the initial state. Shapes: dh0, dc0 B x H; either may be null.
  void initial_gradient(const Cache& cache, Scalar* dh0, Scalar* dc0) const noexcept {
    for (Index b = 0; b < cache.extent.B; ++b)
      for (Index unit = 0; unit < hidden(); ++unit) {
        if (dh0) dh0[b * hidden() + unit] = cache.dh[b * padded_hidden() + unit];
        if (Cell::cell_vectors > 0 && dc0)
          dc0[b * hidden() + unit] = cache.dc[cell_offset(cache, b, unit) * W + unit % W];
      }
  }

  /// dx (=, or += when `add`) W_ih^T da at time t of one tile, if this direction ran that step.
  void input_gradient(const Cache& cache, const Sequence<Scalar>& dx, Index t, Index tile,
                      bool add) const noexcept {
    const Extent& e = cache.extent;
    const Index s = reverse_ ? e.T - 1 - t : t, b = e.first(tile), samples = e.samples(tile);
    if (s >= e.steps) return;
    kernels::multiply(add ? kernels::Start::previous : kernels::Start::zero, dx.column(t, b),
                      dx.sample_stride, gate_rows(cache, tile, s, 0),
                      packs_.weights_ih_transposed.data(), static_cast<const Scalar*>(nullptr),
                      samples, dx.inputs);
  }

  /// Weight gradients are cut into tasks of so many panels times so many rows of the pack.
  static constexpr Index panels_per_task = 2, rows_per_task = 128, columns_per_task = 24;

  Index weight_gradient_tasks() const noexcept {
    return (panels() + panels_per_task - 1) / panels_per_task * chunks();
  }

  /// One task: its part of dW_ih, dW_hh and the biases' gradients, summed over all steps and
  /// samples in constant order, then added to the parameters' gradients.
  void weight_gradient(Cache& cache, const Sequence<const Scalar>& x,
                       const Sequence<const Scalar>& y, Index task) noexcept {
    const Index first = task / chunks() * panels_per_task, chunk = task % chunks();
    const Panels part{first, std::min(first + panels_per_task, panels())};
    const Index I = inputs().columns(), H = hidden();
    if (chunk < input_chunks()) {
      const Index k = chunk * rows_per_task, count = std::min(rows_per_task, I - k);
      clear(cache, part, k, count);
      if (cache.shared)
        add_shared_products(cache, x, k, part, count);
      else
        add_products(cache, x, k, 0, k, part, 0, count);
      for (Index p = part.begin; p < part.end; ++p)
        for (Index i = k; i < k + count;) {  // runs of columns that are no padding
          const Index inside = i % inputs().padded,
                      run = std::min(k + count - i, inputs().padded - inside);
          packs_.add_gradient(weight_ih, i / inputs().padded * inputs().width + inside,
                              row(cache, p, i), std::min(run, inputs().width - inside), p,
                              Cell::x_slot, 0);
          i += run;
        }
    } else if (chunk + 1 < chunks()) {
      const Index k = (chunk - input_chunks()) * rows_per_task;
      const Index count = std::min(rows_per_task, H - k);
      clear(cache, part, I + k, count);
      if (cache.has_initial) {
        const Sequence<const Scalar> h0{
            cache.h0.data(), padded_hidden(), cache.extent.T, cache.extent.B, 0, padded_hidden()};
        add_products(cache, h0, k, 0, I + k, part, Packs::first_h_slot, count, 1);
      }
      add_products(cache, y, k, 1, I + k, part, Packs::first_h_slot, count);
      for (Index p = part.begin; p < part.end; ++p)
        packs_.add_gradient(weight_hh, k, row(cache, p, I + k), count, p, Cell::h_slot,
                            Packs::first_h_slot);
    } else {
      for (Index tile = 0; tile < cache.extent.tiles(); ++tile)
        for (Index p = part.begin; p < part.end; ++p) {
          const Scalar* sums = cache.dbias.data() + (tile * panels() + p) * slot_width;
          packs_.add_gradient(bias_ih, 0, sums, 1, p, Cell::x_slot, 0);
          packs_.add_gradient(bias_hh, 0, sums, 1, p, Cell::h_slot, 0);
        }
    }
  }

 private:
  Index time(const Extent& e, Index s) const noexcept { return reverse_ ? e.T - 1 - s : s; }
  Index input_chunks() const noexcept {
    return (inputs().columns() + rows_per_task - 1) / rows_per_task;
  }
  Index chunks() const noexcept {
    return input_chunks() + (hidden() + rows_per_task - 1) / rows_per_task + 1;
  }
  struct Panels {
    Index begin, end;
  };
  /// From panel to panel of the packed gradient.
  Index panel_stride() const noexcept { return (inputs().columns() + hidden()) * gate_width; }
  /// Row k of panel p of it.
  Scalar* row(Cache& cache, Index p, Index k) const noexcept {
    return cache.dweights.data() + p * panel_stride() + k * gate_width;
  }
  void clear(Cache& cache, Panels part, Index k, Index count) const noexcept {
    for (Index p = part.begin; p < part.end; ++p)
      std::fill_n(row(cache, p, k), count * gate_width, Scalar{0});
  }
  /// Values of one vector per unit in one tile and step.
  Index state_block(const Cache& cache) const noexcept {
    return panels() * cache.extent.tile() * W;
  }
  /// The place of (sample, unit's panel) among [tile][P][b].
  Index cell_offset(const Cache& cache, Index b, Index unit) const noexcept {
    const Index tile = b / Extent::max_tile;
    return (tile * panels() + unit / W) * cache.extent.tile() + b - cache.extent.first(tile);
  }
  Scalar* saved(Cache& cache, Index tile, Index s) const noexcept {
    return cache.saved.data() + (tile * cache.extent.steps + s) * state_block(cache) * Cell::slots;
  }
  const Scalar* saved(const Cache& cache, Index tile, Index s) const noexcept {
    return saved(const_cast<Cache&>(cache), tile, s);
  }
  /// h before step s of the samples from b on.
  template <class Step>
  void set_previous(Step& step, const Cache& cache, const Sequence<const Scalar>& y, Index s,
                    Index b) const noexcept {
    const Index Hp = padded_hidden();
    step.h_prev = s == 0 ? cache.h0.data() + b * Hp : y.column(time(cache.extent, s - 1), b);
    step.h_prev_stride = s == 0 ? Hp : y.sample_stride;
  }
  /// da of one tile and step, `gates` slots from `slot` on, as the left operand of a product over
  /// (p, slot, lane).
  kernels::Rows<Scalar> gate_rows(const Cache& cache, Index tile, Index s,
                                  Index slot) const noexcept {
    return {saved(cache, tile, s) + slot * W, slot_width, panels(), gate_width,
            cache.extent.tile() * slot_width};
  }
  /// da of one tile and panel, from step s and `slot` on, as columns over (step, sample).
  kernels::Columns<Scalar> gate_columns(const Cache& cache, Index tile, Index s, Index p,
                                        Index slot) const noexcept {
    return {saved(cache, tile, s) + p * cache.extent.tile() * slot_width + slot * W,
            state_block(cache) * Cell::slots, slot_width};
  }
  /// While da of step t of one tile is at hand: adds it to the biases' gradients and, where columns
  /// are shared, to those of its columns.
  void add_to_sums(Cache& cache, Index tile, Index t, const Scalar* da) const noexcept {
    const Extent& e = cache.extent;
    Scalar* bias = cache.dbias.data() + tile * panels() * slot_width;
    for (Index p = 0; p < panels(); ++p)
      kernels::add_rows<Cell::slots>(bias + p * slot_width, da + p * e.tile() * slot_width,
                                     slot_width, e.samples(tile));
    if (!cache.shared) return;
    const Index stride = panels() * gate_width;
    Scalar* columns =
        cache.dcolumns.data() + (tile * cache.tile_columns() + cache.columns.at(t, 0)) * stride;
    for (Index p = 0; p < panels(); ++p)
      kernels::add_each<Cell::gates>(columns + p * gate_width, cache.columns.sample * stride,
                                     da + p * e.tile() * slot_width, slot_width, e.samples(tile));
  }
  /// Rows k ... of `part` += sum over the columns of x, k ... of each, times what its windows' da
  /// add up to.
  void add_shared_products(Cache& cache, const Sequence<const Scalar>& x, Index k, Panels part,
                           Index count) const noexcept {
    const Extent& e = cache.extent;
    const Index stride = panels() * gate_width, columns = cache.tile_columns();
    for (Index tile = 0; tile < e.tiles(); ++tile) {
      const Scalar* sums = cache.dcolumns.data() + tile * columns * stride;
      const Index reached = cache.columns.at(e.T - 1, e.samples(tile) - 1) + 1;
      kernels::add_outer<Cell::gates, Scalar>(
          {part.end - part.begin,
           row(cache, part.begin, k),
           panel_stride(),
           {sums + part.begin * gate_width, stride, 0},
           gate_width},
          {x.column(0, e.first(tile)) + k, cache.columns.unit, 0}, reached, Index{1}, count);
    }
  }
  /// Rows `to` ... of `part` += sum over steps s >= `lag` of left(s - lag)[k ...] times da(s),
  /// `gates` slots from `slot` on.
  void add_products(Cache& cache, const Sequence<const Scalar>& left, Index k, Index lag, Index to,
                    Panels part, Index slot, Index count, Index steps = -1) const noexcept {
    const Extent& e = cache.extent;
    if (steps < 0) steps = e.steps - lag;
    if (steps == 0) return;
    for (Index tile = 0; tile < e.tiles(); ++tile) {
      const kernels::Columns<Scalar> a{left.column(time(e, 0), e.first(tile)) + k,
                                       reverse_ ? -left.step_stride : left.step_stride,
                                       left.sample_stride};
      kernels::add_outer<Cell::gates, Scalar>(
          {part.end - part.begin, row(cache, part.begin, to), panel_stride(),
           gate_columns(cache, tile, lag, part.begin, slot), e.tile() * slot_width},
          a, steps, e.samples(tile), count);
    }
  }

  Packs packs_;
  bool reverse_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
