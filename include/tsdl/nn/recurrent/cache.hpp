// What a recurrent layer and a stack of layers keep between forward and backward. Shapes of the
// buffers: nn/recurrent/weights.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
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
/// `padded`. The first layer reads x (one run, no padding); a later layer reads the padded output
/// of each direction of the layer below.
struct InputLayout {
  Index segments, width, padded;
  Index columns() const noexcept { return segments * padded; }  ///< as stored
  Index values() const noexcept { return segments * width; }    ///< as PyTorch counts them
};

/// The size of a pass: T steps of B samples, in tiles of 16, 8 or 4 samples, and of 64 or 32 too
/// where the weights are larger than a core's own cache. This direction runs its first `steps`
/// steps.
struct Extent {
  Index T = 0, B = 0, steps = 0;
  Index tile_size = group;

  /// Sums over samples go by groups of so many, whatever the tiles.
  static constexpr Index group = 16;
  static constexpr Index most_samples = 4 * group;

  /// The tile size by which `threads` are done first with `directions` tasks a tile. A smaller tile
  /// reads each weight more often: its samples take longer, as if there were one more, or two where
  /// the weights are larger than a core's own cache.
  static constexpr Index best_tile(Index B, Index directions, Index threads,
                                   bool weights_are_far) noexcept {
    const Index most = weights_are_far ? most_samples : group;
    if (threads <= 1) return most;
    Index best = 0, least = 0;
    for (Index size = most; size >= group / 4; size /= 2) {
      const Index tasks = directions * ((B + size - 1) / size);
      const Index cost = (tasks + threads - 1) / threads *
                         std::min(size < most ? size + (weights_are_far ? 2 : 1) : size, B);
      if (best != 0 && 10 * cost >= 9 * least) continue;  // it must pay
      best = size;
      least = cost;
    }
    return best;
  }

  Index tile() const noexcept { return std::min(B, tile_size); }
  Index tiles() const noexcept { return (B + tile_size - 1) / tile_size; }
  Index first(Index tile_index) const noexcept { return tile_index * tile_size; }
  Index samples(Index tile_index) const noexcept {
    return std::min(tile_size, B - first(tile_index));
  }
};

/// What one direction of one layer keeps between forward and backward.
template <class Scalar>
struct DirectionCache {
  Extent extent;
  bool training = false;     ///< forward kept what backward needs
  bool has_initial = false;  ///< an initial state was given, so h0 contributes to dW_hh
  SharedColumns columns;     ///< of the input, when its projections are computed ahead
  Index first_column = 0;    ///< where these columns begin in the projection
  bool shared = false;       ///< several (t, b) share a column, hence a term of dW_ih
  Buffer<Index> lengths;     ///< of each sample; empty: all T
  Index cell_blocks = 1;     ///< blocks of cells a tile
  Buffer<Scalar> saved, cells, initial_cells, h0, dh, dc, dweights, dbias, projection, dcolumns;

  /// Decides whether the input's projections are computed ahead of the steps: where columns are
  /// shared, or where B samples do not fill the register rows but the columns of all steps do. A
  /// pass of one step gains nothing from projecting ahead.
  void choose_columns(const SharedColumns& of_x, Index register_rows) noexcept {
    const bool whole = of_x.count > 0 && extent.steps == extent.T;
    shared = whole && of_x.count < extent.T * extent.B;
    columns = shared || (whole && extent.B < register_rows) ? of_x : SharedColumns{};
  }
  /// Chooses the number of blocks of cells that a tile has: one for each step in training, and
  /// otherwise one, or two in turns, so that the cells of samples that have ended can stay.
  void choose_cell_blocks() noexcept {
    cell_blocks = training ? extent.steps : lengths.empty() ? Index{1} : Index{2};
  }
  /// The index of the block of cells of one tile and step.
  Index cells_block(Index tile, Index s) const noexcept {
    return tile * cell_blocks + s % cell_blocks;
  }
  /// The samples of a tile for which time t is no padding.
  Index live_samples(Index tile, Index t) const noexcept {
    const Index samples = extent.samples(tile);
    if (lengths.empty()) return samples;
    const Index* length = lengths.data() + extent.first(tile);
    return std::count_if(length, length + samples, [&](Index n) { return t < n; });
  }
};

/// The kind and sizes of a stack, by which a cache knows for which stack it was filled.
struct StackShape {
  std::string_view cell;
  Index inputs = 0, hidden = 0, layers = 0, directions = 0, gates = 0;
  bool operator==(const StackShape&) const = default;

  /// Operations to multiply `columns` columns of `rows` values by a layer's weights in all
  /// directions; a multiply-add counts as two.
  double operations(Index columns, Index rows) const noexcept {
    return 2.0 * static_cast<double>(columns * directions) *
           static_cast<double>(gates * hidden * rows);
  }
  /// Operations of a pass of T steps of B samples through layer l.
  double operations(Index l, Index T, Index B) const noexcept {
    return operations(T * B, (l == 0 ? inputs : directions * hidden) + hidden);
  }
  /// The size of the tiles of that pass, in which `live` directions run all steps.
  Index tile_size(Index l, Index live, Index T, Index B) const noexcept {
    const bool alone = operations(l, T, B) < internal::parallel_threshold;
    const Index rows = (l == 0 ? inputs : directions * hidden) + hidden;
    constexpr Index near = Index{1} << 18;  // weights of one direction: 1 MB of floats
    return Extent::best_tile(B, live, alone ? 1 : thread_count(), gates * hidden * rows > near);
  }
  /// More than the values that a cache keeps for a column, of `slots` values a unit.
  Index widest(Index slots) const noexcept {
    return std::max(inputs, 2 * slots * directions * (hidden + slots));
  }
};

/// What a stack keeps between forward and backward, and its scratch buffers. A reused cache stops
/// allocating.
template <class Scalar>
struct StackCache {
  /// The part of one layer.
  struct Layer {
    DirectionCache<Scalar> direction[2];
    Buffer<Scalar> output;   ///< [T][B][D * Hp]
    Buffer<Scalar> dropped;  ///< output after dropout, which the next layer reads in training
    Buffer<Scalar> dinput;   ///< gradient of this layer's input, except the first layer's
    Buffer<std::uint8_t> kept;
  };
  std::vector<Layer> layers;
  Buffer<Scalar> upstream;  ///< the gradient of the top layer's output, padded
  Buffer<Index> lengths;    ///< of each sample; empty: all T
  Buffer<Scalar> input;     ///< x with zeros for padded steps, in training with lengths
  StackShape shape;         ///< of the stack that ran the last forward
  Index T = 0, B = 0;
  Steps steps = Steps::all;
  bool want_h_n = false;
  bool dropped = false;  ///< layers after the first read `dropped`, not `output`
  bool ready = false;    ///< a training forward has run, and backward has not consumed it

  /// The input of layer l: x, or the outputs of layer l - 1, `width` values a column, after dropout
  /// in training.
  Sequence<const Scalar> input_of(const Sequence<const Scalar>& x, Index l, Index width) const {
    if (l == 0 && input.empty()) return x;
    if (l == 0) return Sequence<const Scalar>::dense(input.data(), x.inputs, T, B);
    const Layer& below = layers[static_cast<std::size_t>(l - 1)];
    return Sequence<const Scalar>::dense((dropped ? below.dropped : below.output).data(), width, T,
                                         B);
  }
  /// Keeps the lengths of a pass over x, none where all are T. In training x is copied with zeros
  /// in its padding, because weight gradients are products over all steps.
  void set_lengths(std::span<const Index> its_lengths, const Sequence<const Scalar>& x,
                   bool training) {
    const bool any = std::any_of(its_lengths.begin(), its_lengths.end(),
                                 [&](Index length) { return length < x.steps; });
    lengths.resize(any ? x.batch : 0);
    std::copy_n(its_lengths.begin(), lengths.size(), lengths.begin());
    input.resize(any && training ? x.steps * x.batch * x.inputs : 0);
    Scalar* to = input.data();
    for (Index t = 0; t < x.steps && !input.empty(); ++t)
      for (Index b = 0; b < x.batch; ++b, to += x.inputs)
        if (t < lengths[b])
          std::copy_n(x.column(t, b), x.inputs, to);
        else
          std::fill_n(to, x.inputs, Scalar{0});
  }
  /// The number of steps that direction d of layer l must run.
  Index live_steps(Index l, Index d) const noexcept {
    const bool only_first = l + 1 == shape.layers && d == 1 && steps == Steps::last && !want_h_n;
    return only_first && lengths.empty() ? 1 : T;
  }
};

namespace internal {

/// Applies dropout to the outputs of layer l, which the next layer reads. Threads share the steps.
template <class Scalar>
void drop_outputs(StackCache<Scalar>& cache, Index l, double p,
                  const ForwardOptions<Scalar>& options, Index D, Index H, Index Hp) {
  auto& layer = cache.layers[static_cast<std::size_t>(l)];
  const Index T = cache.T, B = cache.B;
  layer.kept.resize(T * B * D * Hp);
  const Philox philox(options.dropout.seed, dropout_stream + options.dropout.update);
  parallel_for(T, 20.0 * static_cast<double>(T * B * D * H), [&](Index t) noexcept {
    for (Index b = 0; b < B; ++b) {
      const Index at = (t * B + b) * D * Hp;
      dropout_column(layer.dropped.data() + at, layer.kept.data() + at, layer.output.data() + at,
                     philox, p, l, t, sample_key(options.keys, b), D, H, Hp);
    }
  });
}

/// Whether a gradient that enters at `steps` enters direction d of a sample of `length` steps at
/// time t.
inline bool enters(Steps steps, Index t, Index d, Index length) noexcept {
  if (steps == Steps::all) return t < length;
  return t == (steps == Steps::each_direction_end && d == 1 ? 0 : length - 1);
}

/// Copies the gradient of a stack's output into aligned, padded columns: one per sample, or one per
/// (t, b) where each step has its own or samples have lengths; then columns that it does not enter
/// are 0. The result has no data if there is no gradient.
template <class Scalar>
Sequence<const Scalar> padded_upstream(StackCache<Scalar>& cache,
                                       const BackwardOptions<Scalar>& options, Index D, Index H,
                                       Index Hp) {
  if (!options.dy.data) return {};
  const bool per_step = options.steps == Steps::all && options.dy.step_stride != 0;
  const bool masked = !cache.lengths.empty();
  const Index steps = per_step || masked ? cache.T : 1, column = D * Hp;
  cache.upstream.assign(steps * cache.B * column, Scalar{0});
  for (Index t = 0; t < steps; ++t)
    for (Index b = 0; b < cache.B; ++b)
      for (Index d = 0; d < D; ++d)
        if (!masked || enters(options.steps, t, d, cache.lengths[b]))
          std::copy_n(options.dy.column(per_step ? t : 0, b) + d * H, H,
                      cache.upstream.data() + ((t * cache.B + b) * D + d) * Hp);
  return {cache.upstream.data(),
          column,
          cache.T,
          cache.B,
          steps > 1 ? cache.B * column : Index{0},
          column};
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
