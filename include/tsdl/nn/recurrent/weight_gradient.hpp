// The weight gradients of one direction of a layer, from the da that its backward pass left in the
// cache.
//
//   dW_ih += sum_t da_t x_t^T    dW_hh += sum_t da_t h_{t-1}^T    db += sum_t da_t
//
// A task is some panels of units times some rows of the pack. It sums over all steps and samples in
// a fixed order. Where windows share columns, dW_ih is one product over columns, after the da of
// each column have been summed. Shapes: nn/recurrent/weights.hpp.
#pragma once

#include <algorithm>

#include "tsdl/core/sequence.hpp"
#include "tsdl/kernels/gemm.hpp"
#include "tsdl/nn/recurrent/weights.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Adds the gradients of one layer's weights to its parameters, after backward_tile() has run on
/// all tiles of the cache.
template <class Cell>
class WeightGradient {
 public:
  using Layer = LayerWeights<Cell>;
  using Scalar = typename Cell::Scalar;
  using Cache = typename Layer::Cache;
  using Packs = typename Layer::Packs;
  using Columns = Sequence<const Scalar>;

  /// x: the layer's input. y: its output, at this direction's columns.
  WeightGradient(Layer& layer, Cache& cache, const Columns& x, const Columns& y) noexcept
      : layer_(layer), cache_(cache), x_(x), y_(y) {}

  /// The size of a task, in panels and in rows of the pack.
  static constexpr Index panels_per_task = 2, rows_per_task = 128;

  static Index tasks(const Layer& layer) noexcept {
    return (layer.panels() + panels_per_task - 1) / panels_per_task * chunks(layer);
  }

  /// Runs one task: its part of dW_ih, dW_hh and the biases' gradients.
  void add(Index task) const noexcept {
    const Index first = task / chunks(layer_) * panels_per_task, chunk = task % chunks(layer_);
    const Panels part{first, std::min(first + panels_per_task, layer_.panels())};
    if (chunk < input_chunks(layer_))
      add_ih(part, chunk * rows_per_task);
    else if (chunk + 1 < chunks(layer_))
      add_hh(part, (chunk - input_chunks(layer_)) * rows_per_task);
    else
      add_biases(part);
  }

 private:
  static constexpr Index gate_width = Layer::gate_width, slot_width = Layer::slot_width;

  /// A layer's weights in chunks of rows: first those of W_ih, then W_hh, then one for the biases.
  static Index input_chunks(const Layer& layer) noexcept {
    return (layer.inputs().columns() + rows_per_task - 1) / rows_per_task;
  }
  static Index chunks(const Layer& layer) noexcept {
    return input_chunks(layer) + (layer.hidden() + rows_per_task - 1) / rows_per_task + 1;
  }
  struct Panels {
    Index begin, end;
  };

  void add_ih(Panels part, Index k) const noexcept {
    const InputLayout& inputs = layer_.inputs();
    const Index count = std::min(rows_per_task, inputs.columns() - k);
    clear(part, k, count);
    if (cache_.shared)
      sum_shared(k, part, count);
    else
      sum(x_, k, 0, k, part, 0, count);
    for (Index p = part.begin; p < part.end; ++p)
      for (Index i = k; i < k + count;) {  // runs of columns between the padding
        const Index inside = i % inputs.padded,
                    run = std::min(k + count - i, inputs.padded - inside);
        layer_.packs().add_gradient(layer_.weight_ih, i / inputs.padded * inputs.width + inside,
                                    row(p, i), std::min(run, inputs.width - inside), p,
                                    Cell::x_slot, 0);
        i += run;
      }
  }

  void add_hh(Panels part, Index k) const noexcept {
    const Index I = layer_.inputs().columns(), Hp = layer_.padded_hidden();
    const Index count = std::min(rows_per_task, layer_.hidden() - k);
    const Extent& e = cache_.extent;
    clear(part, I + k, count);
    if (cache_.has_initial)
      sum(Columns(cache_.h0.data(), Hp, e.T, e.B, 0, Hp), k, 0, I + k, part, Packs::first_h_slot,
          count, 1);
    sum(y_, k, 1, I + k, part, Packs::first_h_slot, count);
    for (Index p = part.begin; p < part.end; ++p)
      layer_.packs().add_gradient(layer_.weight_hh, k, row(p, I + k), count, p, Cell::h_slot,
                                  Packs::first_h_slot);
  }

  void add_biases(Panels part) const noexcept {
    for (Index tile = 0; tile < cache_.extent.tiles(); ++tile)
      for (Index p = part.begin; p < part.end; ++p) {
        const Scalar* sums = cache_.dbias.data() + (tile * layer_.panels() + p) * slot_width;
        layer_.packs().add_gradient(layer_.bias_ih, 0, sums, 1, p, Cell::x_slot, 0);
        layer_.packs().add_gradient(layer_.bias_hh, 0, sums, 1, p, Cell::h_slot, 0);
      }
  }

  /// The stride from panel to panel of the packed gradient.
  Index panel_stride() const noexcept {
    return (layer_.inputs().columns() + layer_.hidden()) * gate_width;
  }
  /// Row k of panel p of the packed gradient.
  Scalar* row(Index p, Index k) const noexcept {
    return cache_.dweights.data() + p * panel_stride() + k * gate_width;
  }
  void clear(Panels part, Index k, Index count) const noexcept {
    for (Index p = part.begin; p < part.end; ++p)
      std::fill_n(row(p, k), count * gate_width, Scalar{0});
  }

  /// Rows k ... of `part` += sum over the distinct columns of x of column[k ...] times its summed
  /// da.
  void sum_shared(Index k, Panels part, Index count) const noexcept {
    const Extent& e = cache_.extent;
    const Index stride = layer_.panels() * gate_width, columns = cache_.tile_columns();
    for (Index tile = 0; tile < e.tiles(); ++tile) {
      const Scalar* sums = cache_.dcolumns.data() + tile * columns * stride;
      const Index reached = cache_.columns.at(e.T - 1, e.samples(tile) - 1) + 1;
      kernels::add_outer<Cell::gates, Scalar>(
          {part.end - part.begin,
           row(part.begin, k),
           panel_stride(),
           {sums + part.begin * gate_width, stride, 0},
           gate_width},
          {x_.column(0, e.first(tile)) + k, cache_.columns.unit, 0}, reached, Index{1}, count);
    }
  }

  /// Rows `to` ... of `part` += sum over steps s >= `lag` of left(s - lag)[k ...] times da(s),
  /// `gates` slots from `slot` on.
  void sum(const Columns& left, Index k, Index lag, Index to, Panels part, Index slot, Index count,
           Index steps = -1) const noexcept {
    const Extent& e = cache_.extent;
    if (steps < 0) steps = e.steps - lag;
    if (steps == 0) return;
    for (Index tile = 0; tile < e.tiles(); ++tile) {
      const kernels::Columns<Scalar> a{left.column(layer_.time(e, 0), e.first(tile)) + k,
                                       layer_.is_reverse() ? -left.step_stride : left.step_stride,
                                       left.sample_stride};
      kernels::add_outer<Cell::gates, Scalar>(
          {part.end - part.begin, row(part.begin, to), panel_stride(),
           layer_.gate_columns(cache_, tile, lag, part.begin, slot), e.tile() * slot_width},
          a, steps, e.samples(tile), count);
    }
  }

  Layer& layer_;
  Cache& cache_;
  Columns x_, y_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
