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
#include "tsdl/kernels/outer.hpp"
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

  /// How the work is split: the panels and the rows of the pack of a task. Large tasks read less;
  /// no sum depends on them.
  struct Split {
    Index panels = 2, rows = 128;

    /// Two tasks or more for each thread, where that is possible.
    static Split between(Index threads, const Layer& layer, Index directions) noexcept {
      Split split;
      if (layer.panels() >= 32) split = {8, 512};
      while (directions * split.tasks(layer) < 2 * threads && split.rows > 32) split.rows /= 2;
      while (directions * split.tasks(layer) < 2 * threads && split.panels > 1) split.panels /= 2;
      return split;
    }

    Index tasks(const Layer& layer) const noexcept {
      return (layer.panels() + panels - 1) / panels * chunks(layer);
    }
    /// A layer's weights in chunks of rows: first those of W_ih, then W_hh, then one for the
    /// biases.
    Index input_chunks(const Layer& layer) const noexcept {
      return (layer.inputs().columns() + rows - 1) / rows;
    }
    Index chunks(const Layer& layer) const noexcept {
      return input_chunks(layer) + (layer.hidden() + rows - 1) / rows + 1;
    }
  };

  /// Sums the da of each column of one panel, of all windows that share it, in order of time and
  /// sample. For all panels, before add().
  void sum_columns(Index p) const noexcept {
    if (!cache_.shared) return;
    const Extent& e = cache_.extent;
    const Index stride = layer_.panels() * gate_width, sample = cache_.columns.sample * stride;
    Scalar* sums = cache_.dcolumns.data() + p * gate_width;
    for (Index column = 0; column < cache_.columns.count; ++column)
      std::fill_n(sums + column * stride, gate_width, Scalar{0});
    for (Index t = 0; t < e.T; ++t)
      for (Index tile = 0; tile < e.tiles(); ++tile) {
        const auto da = layer_.gate_columns(cache_, tile, layer_.time(e, t), p, 0);
        kernels::add_each<Cell::gates>(sums + cache_.columns.at(t, e.first(tile)) * stride, sample,
                                       da.data, da.sample_stride, e.samples(tile));
      }
  }

  /// Runs one task: its part of dW_ih, dW_hh and the biases' gradients.
  void add(const Split& split, Index task) const noexcept {
    const Index chunks = split.chunks(layer_), inputs = split.input_chunks(layer_);
    const Index first = task / chunks * split.panels, chunk = task % chunks;
    const Panels part{first, std::min(first + split.panels, layer_.panels())};
    if (chunk < inputs)
      add_ih(part, chunk * split.rows, split.rows);
    else if (chunk + 1 < chunks)
      add_hh(part, (chunk - inputs) * split.rows, split.rows);
    else
      add_biases(part);
  }

 private:
  static constexpr Index gate_width = Layer::gate_width, slot_width = Layer::slot_width;

  struct Panels {
    Index begin, end;
  };

  void add_ih(Panels part, Index k, Index rows) const noexcept {
    const InputLayout& inputs = layer_.inputs();
    const Index count = std::min(rows, inputs.columns() - k);
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

  void add_hh(Panels part, Index k, Index rows) const noexcept {
    const Index I = layer_.inputs().columns(), Hp = layer_.padded_hidden();
    const Index count = std::min(rows, layer_.hidden() - k);
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
    const Index sums = cache_.dbias.size() / (layer_.panels() * slot_width);
    for (Index i = 0; i < sums; ++i)
      for (Index p = part.begin; p < part.end; ++p) {
        const Scalar* sum = cache_.dbias.data() + (i * layer_.panels() + p) * slot_width;
        layer_.packs().add_gradient(layer_.bias_ih, 0, sum, 1, p, Cell::x_slot, 0);
        layer_.packs().add_gradient(layer_.bias_hh, 0, sum, 1, p, Cell::h_slot, 0);
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
    const Index stride = layer_.panels() * gate_width;
    const SharedColumns& columns = cache_.columns;
    for (Index first = 0; first < columns.count; first += columns.run)
      kernels::add_outer<Cell::gates, Scalar>(
          {part.end - part.begin,
           row(part.begin, k),
           panel_stride(),
           {cache_.dcolumns.data() + first * stride + part.begin * gate_width, stride, 0},
           gate_width},
          {x_.data + columns.offset(first) + k, columns.unit, 0},
          std::min(columns.run, columns.count - first), Index{1}, count);
  }

  /// Rows `to` ... of `part` += sum over steps s >= `lag` of left(s - lag)[k ...] times da(s),
  /// `gates` slots from `slot` on. Goes by groups of samples of one size, whatever the tiles.
  void sum(const Columns& left, Index k, Index lag, Index to, Panels part, Index slot, Index count,
           Index steps = -1) const noexcept {
    const Extent& e = cache_.extent;
    if (steps < 0) steps = e.steps - lag;
    if (steps == 0) return;
    const Index tile_stride = layer_.saved(cache_, 1, 0) - layer_.saved(cache_, 0, 0);
    for (Index b = 0; b < e.B; b += Extent::group) {
      const kernels::Columns<Scalar> a{left.column(layer_.time(e, 0), b) + k,
                                       layer_.is_reverse() ? -left.step_stride : left.step_stride,
                                       left.sample_stride};
      auto d = layer_.gate_columns(cache_, b / e.tile_size, lag, part.begin, slot);
      d.data += b % e.tile_size * slot_width;
      d.tile = e.tile_size;
      d.tile_stride = tile_stride;
      kernels::add_outer<Cell::gates, Scalar>(
          {part.end - part.begin, row(part.begin, to), panel_stride(), d, e.tile() * slot_width}, a,
          steps, std::min(Extent::group, e.B - b), count);
    }
  }

  Layer& layer_;
  Cache& cache_;
  Columns x_, y_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
