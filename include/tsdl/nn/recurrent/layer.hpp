// One recurrent layer in one direction: the loops over time for a tile of samples, forward and
// backward.
//
// The layer owns its parameters and the packs that repack() derives from them (weights.hpp, which
// also gives the layout of the cache). Everything that a pass computes lives in a Cache that the
// caller owns. A cell (kernels/cell.hpp) supplies the arithmetic of one step; time, direction and
// tiles are handled here for all cells.
//
// Overlapping windows share columns (SharedColumns in core/sequence.hpp), so there are fewer
// distinct columns than T * B. W_ih x is then computed once per column (the projection), and dW_ih
// is one product over columns, after the da of each column have been summed. A projection has the
// same bits whether it is computed ahead of the steps or within a step.
//
// Where samples have lengths, a tile runs their padded steps along with the others' own, and the
// results are then replaced:
//
//   forward    h = 0 (in reverse h0, until all steps have run)    c = c_prev
//   backward   da = 0    dh_prev = dh    dc_prev = dc
//
// so that the reverse direction begins at a sample's own last step, with its initial state.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tsdl/core/sequence.hpp"
#include "tsdl/kernels/cell.hpp"
#include "tsdl/kernels/outer.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/nn/recurrent/weights.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One layer in one direction; a RecurrentStack is made of them.
template <class Cell>
class RecurrentLayer : public LayerWeights<Cell> {
 public:
  using Weights = LayerWeights<Cell>;
  using typename Weights::Cache;
  using typename Weights::Packs;
  using typename Weights::Scalar;
  using Weights::gate_rows, Weights::is_reverse;
  using Weights::hidden, Weights::panels, Weights::padded_hidden, Weights::inputs, Weights::packs;
  using Weights::time, Weights::state_block, Weights::cell_offset, Weights::saved;
  using Weights::W, Weights::gate_width, Weights::slot_width;
  using Weights::Weights;

  /// Sizes the cache for a pass over x and clears the initial state. Allocates: when the cache must
  /// grow.
  void prepare(Cache& cache, const Sequence<const Scalar>& x, Extent extent,
               std::span<const Index> lengths, bool training) const {
    cache.extent = extent;
    cache.lengths.resize(std::ssize(lengths));
    std::copy(lengths.begin(), lengths.end(), cache.lengths.begin());
    cache.choose_columns(shared_columns(x), kernels::register_rows);
    // Leave room for small batches after a large one: they project ahead.
    const Index small = extent.T * std::min(extent.B, kernels::register_rows - 1);
    cache.projection.resize(std::max(cache.columns.count, small) * panels() * gate_width);
    cache.training = training;
    cache.choose_cell_blocks();
    cache.has_initial = false;
    const Index state = extent.tile() * panels() * W;  // of one tile, one step
    cache.cells.resize(extent.tiles() * cache.cell_blocks * state * Cell::cell_vectors);
    cache.initial_cells.assign(extent.tiles() * state * Cell::cell_vectors, Scalar{0});
    cache.h0.assign(extent.B * padded_hidden(), Scalar{0});
    if (training) cache.saved.resize(extent.tiles() * extent.steps * state * Cell::slots);
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

  /// The number of tasks that compute the projections ahead of all steps.
  static constexpr Index columns_per_task = 24;
  Index projection_tasks(const Cache& cache) const noexcept {
    return (cache.columns.count + columns_per_task - 1) / columns_per_task;
  }

  void project(Cache& cache, const Sequence<const Scalar>& x, Index task) const noexcept {
    const SharedColumns& columns = cache.columns;
    const Index last = std::min((task + 1) * columns_per_task, columns.count);
    for (Index first = task * columns_per_task; first < last;) {
      const Index count = std::min(last - first, columns.run - first % columns.run);
      project(cache, first, x.data + columns.offset(first), columns.unit, count);
      first += count;
    }
  }

  /// Projects `count` columns, `stride` values apart, into columns `first` ... of the projection.
  void project(Cache& cache, Index first, const Scalar* x, Index stride,
               Index count) const noexcept {
    kernels::project<Cell::gates, Scalar>(
        {cache.projection.data() + first * panels() * gate_width, x, stride, count,
         inputs().columns(), panels(), packs().forward.weights.data(),
         inputs().columns() + hidden(), packs().forward.bias.data(), Cell::slots});
  }

  /// Runs all steps of one tile. y: the layer's output, at this direction's columns.
  void forward_tile(Cache& cache, const Sequence<const Scalar>& x, const Sequence<Scalar>& y,
                    Index tile) const noexcept {
    kernels::ForwardStep<Scalar> step = steps_of(cache, x, y, tile);
    for (Index s = 0; s < cache.extent.steps; ++s) forward_step(step, cache, x, y, tile, s);
  }

  /// The arguments that all steps of a tile share.
  kernels::ForwardStep<Scalar> steps_of(const Cache& cache, const Sequence<const Scalar>& x,
                                        const Sequence<Scalar>& y, Index tile) const noexcept {
    kernels::ForwardStep<Scalar> step{};
    step.samples = cache.extent.samples(tile);
    step.tile = cache.extent.tile();
    step.inputs = inputs().columns();
    step.hidden = hidden();
    step.panels = panels();
    step.weights = packs().forward.weights.data();
    step.bias = packs().forward.bias.data();
    step.x_stride = x.sample_stride;
    step.projected_stride = cache.columns.sample * panels() * gate_width;
    step.h_stride = y.sample_stride;
    return step;
  }

  /// Runs step s of one tile, for the panels set in `step`, which steps_of() made.
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
    step.from_zero = s == 0 && !cache.has_initial;
    set_previous(step, cache, y, s, b);
    step.cells_prev = s == 0 ? cache.initial_cells.data() + tile * block
                             : cache.cells.data() + cache.cells_block(tile, s - 1) * block;
    step.cells = cache.cells.data() + cache.cells_block(tile, s) * block;
    step.saved = cache.training ? saved(cache, tile, s) : nullptr;
    const Index live = cache.live_samples(tile, t);
    if (live > 0) Cell::forward(step);
    if (live < step.samples) pass_padding(step, cache, b, t);
  }

  /// In reverse, the column past a sample's end holds h0 while steps run, and zeros otherwise.
  void set_padding(const Cache& cache, const Sequence<Scalar>& y, bool to_h0) const noexcept {
    if (!is_reverse() || !cache.has_initial) return;
    const Index Hp = padded_hidden();
    for (Index b = 0; b < cache.lengths.size(); ++b)
      for (Index t = cache.lengths[b]; t < cache.extent.T; ++t)
        if (to_h0)
          std::copy_n(cache.h0.data() + b * Hp, Hp, y.column(t, b));
        else
          std::fill_n(y.column(t, b), Hp, Scalar{0});
  }

  /// Writes the state after the last step. Shapes: h, c B x H, dense; either may be null.
  void final_state(const Cache& cache, const Sequence<const Scalar>& y, Scalar* h,
                   Scalar* c) const noexcept {
    const Extent& e = cache.extent;
    const Index block = state_block(cache) * Cell::cell_vectors;
    for (Index b = 0; b < e.B; ++b) {
      const Index tile = b / e.tile_size;
      const Index last = time(e, e.steps - 1) -
                         (is_reverse() ? 0 : e.T - sample_length(cache.lengths.span(), b, e.T));
      const Scalar* cells = cache.cells.data() + cache.cells_block(tile, e.steps - 1) * block;
      for (Index unit = 0; unit < hidden(); ++unit) {
        if (h) h[b * hidden() + unit] = y.column(last, b)[unit];
        const Index inside = cell_offset(cache, b, unit) - tile * panels() * e.tile();
        if (Cell::cell_vectors > 0 && c)
          c[b * hidden() + unit] = cells[inside * Cell::cell_vectors * W + unit % W];
      }
    }
  }

  /// Sets the gradients that enter after the last step, zero where null, and clears the sums.
  /// Shapes: dh_n, dc_n B x H.
  void start_backward(Cache& cache, const Scalar* dh_n, const Scalar* dc_n) const {
    const Extent& e = cache.extent;
    cache.dh.assign(e.B * padded_hidden(), Scalar{0});
    if (Cell::cell_vectors > 0) cache.dc.assign(e.tiles() * state_block(cache), Scalar{0});
    cache.dweights.resize(panels() * (inputs().columns() + hidden()) * gate_width);
    const Index groups = (e.B + kernels::bias_group - 1) / kernels::bias_group;
    cache.dbias.assign(groups * panels() * slot_width, Scalar{0});
    if (cache.shared) cache.dcolumns.resize(cache.columns.count * panels() * gate_width);
    for (Index b = 0; b < e.B && (dh_n || dc_n); ++b)
      for (Index unit = 0; unit < hidden(); ++unit) {
        if (dh_n) cache.dh[b * padded_hidden() + unit] = dh_n[b * hidden() + unit];
        if (Cell::cell_vectors > 0 && dc_n)
          cache.dc[cell_offset(cache, b, unit) * W + unit % W] = dc_n[b * hidden() + unit];
      }
  }

  /// Runs all steps of one tile backward and replaces the saved gates by da. y: this direction's
  /// output. dy: the gradient of y at times in [from, to); it is zero at other times. Without
  /// `to_initial` the gradient of the initial state is not computed.
  void backward_tile(Cache& cache, const Sequence<const Scalar>& y,
                     const Sequence<const Scalar>& dy, Index from, Index to, Index tile,
                     bool to_initial) const noexcept {
    const Extent& e = cache.extent;
    const Index b = e.first(tile), Hp = padded_hidden();
    const Index block = state_block(cache) * Cell::cell_vectors;
    kernels::BackwardStep<Scalar> step{};
    step.samples = e.samples(tile);
    step.tile = e.tile();
    step.panels = panels();
    step.dh = cache.dh.data() + b * Hp;
    step.dh_above_stride = dy.sample_stride;
    step.dbias = cache.dbias.data() + b / kernels::bias_group * panels() * slot_width;
    if (Cell::cell_vectors > 0) step.dc = cache.dc.data() + tile * state_block(cache);
    for (Index s = e.steps; s-- > 0;) {
      const Index t = time(e, s);
      step.dh_above = from <= t && t < to ? dy.column(t, b) : nullptr;
      step.saved = saved(cache, tile, s);
      set_previous(step, cache, y, s, b);
      step.cells = cache.cells.data() + cache.cells_block(tile, s) * block;
      step.cells_prev = s == 0 ? cache.initial_cells.data() + tile * block
                               : cache.cells.data() + cache.cells_block(tile, s - 1) * block;
      const Index live = cache.live_samples(tile, t);
      if (live == 0) {
        std::fill_n(step.saved, state_block(cache) * Cell::slots, Scalar{0});
        continue;
      }
      Cell::backward(step);
      if (s == 0 && !to_initial) return;
      // dh_prev = W_hh^T da, plus what the cell left in dh if h_prev also enters h directly
      auto start = Cell::h_enters ? kernels::Start::previous : kernels::Start::zero;
      if (!Cell::h_enters && live < step.samples) {  // dh of the padded samples stays
        start = kernels::Start::previous;
        for (Index i = 0; i < step.samples; ++i)
          if (t < cache.lengths[b + i]) std::fill_n(step.dh + i * Hp, Hp, Scalar{0});
      }
      kernels::multiply(start, step.dh, Hp, gate_rows(cache, tile, s, Packs::first_h_slot),
                        packs().weights_hh_transposed.data(), static_cast<const Scalar*>(nullptr),
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

  /// dx = W_ih^T da (+= if `add`) at time t of one tile, if this direction ran that step.
  void input_gradient(const Cache& cache, const Sequence<Scalar>& dx, Index t, Index tile,
                      bool add) const noexcept {
    const Extent& e = cache.extent;
    const Index s = is_reverse() ? e.T - 1 - t : t, b = e.first(tile), samples = e.samples(tile);
    if (s >= e.steps) return;
    kernels::multiply(add ? kernels::Start::previous : kernels::Start::zero, dx.column(t, b),
                      dx.sample_stride, gate_rows(cache, tile, s, 0),
                      packs().weights_ih_transposed.data(), static_cast<const Scalar*>(nullptr),
                      samples, dx.inputs);
  }

 private:
  /// Replaces what step computed for the samples from b on that have no time t.
  void pass_padding(const kernels::ForwardStep<Scalar>& step, const Cache& cache, Index b,
                    Index t) const noexcept {
    const Index width = (step.panels - step.first_panel) * W, first = step.first_panel * W;
    for (Index i = 0; i < step.samples; ++i) {
      if (t < cache.lengths[b + i]) continue;
      Scalar* h = step.h + i * step.h_stride + first;
      if (is_reverse() && cache.has_initial)
        std::copy_n(cache.h0.data() + (b + i) * padded_hidden() + first, width, h);
      else
        std::fill_n(h, width, Scalar{0});
      for (Index p = step.first_panel; p < step.panels; ++p) {
        const Index unit = (p * step.tile + i) * W;
        std::copy_n(step.cells_prev + unit * Cell::cell_vectors, W * Cell::cell_vectors,
                    step.cells + unit * Cell::cell_vectors);
        for (Index slot = 0; step.saved && slot < Cell::slots; ++slot)
          std::fill_n(step.saved + (unit * Cell::slots) + slot * W, W,
                      static_cast<Scalar>(Cell::passing[static_cast<std::size_t>(slot)]));
      }
    }
  }

  /// Sets h_prev to the state before step s, for the samples from b on.
  template <class Step>
  void set_previous(Step& step, const Cache& cache, const Sequence<const Scalar>& y, Index s,
                    Index b) const noexcept {
    const Index Hp = padded_hidden();
    step.h_prev = s == 0 ? cache.h0.data() + b * Hp : y.column(time(cache.extent, s - 1), b);
    step.h_prev_stride = s == 0 ? Hp : y.sample_stride;
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
