// What one direction of one recurrent layer runs on, and what it and a stack of them keep between
// forward and backward. Shapes of the buffers: nn/recurrent/layer.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/dropout.hpp"
#include "tsdl/nn/recurrent/options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How a layer's input columns are laid out: `segments` runs of `width` values, each padded to
/// `padded`. The first layer reads the caller's columns (one run, no padding); a later one reads
/// the padded output of each direction below it.
struct InputLayout {
  Index segments, width, padded;
  Index columns() const noexcept { return segments * padded; }  ///< as stored
  Index values() const noexcept { return segments * width; }    ///< as PyTorch counts them
};

/// What a pass is run on: T steps of B samples, of which this direction runs the first `steps`.
struct Extent {
  Index T = 0, B = 0, steps = 0;
  static constexpr Index max_tile = 16;
  Index tile() const noexcept { return std::min(B, max_tile); }
  Index tiles() const noexcept { return (B + max_tile - 1) / max_tile; }
  Index first(Index tile_index) const noexcept { return tile_index * max_tile; }
  Index samples(Index tile_index) const noexcept {
    return std::min(max_tile, B - first(tile_index));
  }
};

/// What one direction of one layer keeps between forward and backward.
template <class Scalar>
struct DirectionCache {
  Extent extent;
  bool training = false;     ///< forward kept what backward needs
  bool has_initial = false;  ///< an initial state was given, so h0 contributes to dW_hh
  SharedColumns columns;     ///< of the input, when the chains over x are made ahead
  Index first_column = 0;    ///< where those columns begin in the projection
  bool shared = false;       ///< several (t, b) share a column, and so a term of dW_ih
  Buffer<Scalar> saved, cells, initial_cells, h0, dh, dc, dweights, dbias, projection, dcolumns;

  /// Decides whether the chains over x are made ahead: where columns are shared, or where `B` is
  /// too small to fill a register block, which columns of all steps do. A pass of one step
  /// gains nothing from it.
  void choose_columns(const SharedColumns& of_x, Index register_rows) noexcept {
    const bool whole = of_x.count > 0 && extent.steps == extent.T;
    shared = whole && of_x.count < extent.T * extent.B;
    columns = shared || (whole && extent.B < register_rows) ? of_x : SharedColumns{};
  }
  /// Distinct columns that one tile's samples reach.
  Index tile_columns() const noexcept { return columns.at(extent.T - 1, extent.tile() - 1) + 1; }
  /// The block of cells of one tile and step: without training there is one a tile.
  Index cells_block(Index tile, Index s) const noexcept {
    return training ? tile * extent.steps + s : tile;
  }
};

/// What a stack keeps between forward and backward, and what it works in. Reused, it stops
/// allocating.
template <class Scalar>
struct StackCache {
  /// Of one layer.
  struct Layer {
    DirectionCache<Scalar> direction[2];
    Buffer<Scalar> output;   ///< [T][B][D * Hp]
    Buffer<Scalar> dropped;  ///< the same after dropout: what the next layer reads in training
    Buffer<Scalar> dinput;   ///< the gradient of this layer's input, where it is not the caller's
    Buffer<std::uint8_t> kept;
  };
  std::vector<Layer> layers;
  Buffer<Scalar> upstream;  ///< the gradient of the top layer's output, padded
  Index T = 0, B = 0;
  Steps steps = Steps::all;
  bool want_h_n = false;
  bool dropped = false;  ///< layers but the first read what dropout left
  bool ready = false;    ///< a training pass went forward and backward has not consumed it
};

namespace internal {

/// Dropout on the outputs of layer l: what the next layer reads. Threads take steps.
template <class Scalar>
void drop_outputs(StackCache<Scalar>& cache, Index l, double p, const ForwardOptions<Scalar>& how,
                  Index D, Index H, Index Hp) {
  auto& layer = cache.layers[static_cast<std::size_t>(l)];
  const Index T = cache.T, B = cache.B;
  layer.kept.resize(T * B * D * Hp);
  const Philox philox(how.dropout.seed, dropout_stream + how.dropout.update);
  parallel_for(T, 20.0 * static_cast<double>(T * B * D * H), [&](Index t) noexcept {
    for (Index b = 0; b < B; ++b) {
      const Index at = (t * B + b) * D * Hp;
      dropout_column(layer.dropped.data() + at, layer.kept.data() + at, layer.output.data() + at,
                     philox, p, l, t, sample_key(how.keys, b), D, H, Hp);
    }
  });
}

/// Copies the gradient of a stack's output into aligned, padded columns: one a sample, or one per
/// (t, b). No data where there is none.
template <class Scalar>
Sequence<const Scalar> padded_upstream(StackCache<Scalar>& cache,
                                       const BackwardOptions<Scalar>& how, Index D, Index H,
                                       Index Hp) {
  if (!how.dy.data) return {};
  const bool per_step = how.steps == Steps::all && how.dy.step_stride != 0;
  const Index steps = per_step ? cache.T : 1, column = D * Hp;
  cache.upstream.assign(steps * cache.B * column, Scalar{0});
  for (Index t = 0; t < steps; ++t)
    for (Index b = 0; b < cache.B; ++b)
      for (Index d = 0; d < D; ++d)
        std::copy_n(how.dy.column(t, b) + d * H, H,
                    cache.upstream.data() + ((t * cache.B + b) * D + d) * Hp);
  return {cache.upstream.data(),
          column,
          cache.T,
          cache.B,
          per_step ? cache.B * column : Index{0},
          column};
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
