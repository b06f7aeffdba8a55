// What a Transformer's pass computes, and the rows of a sample in it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/nn/positions.hpp"
#include "tsdl/nn/transformer/options.hpp"
#include "tsdl/nn/transformer/rows.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Everything that a pass of a TransformerEncoder computes. A reused cache stops allocating.
///
///   symbol        shape            meaning
///   output        [B][T][dp]       the encoder's columns
///   layers        [L][B][stride]   training: a sample's LayerRows, every one at a multiple of the
///                                  stride, whatever its length
///   sums          [up to 16][size] backward: nn/transformer/weight_gradient.hpp
template <class Scalar>
struct TransformerCache {
  static constexpr Index W = kernels::lanes<Scalar>;

  TransformerOptions of{};  ///< the options of the encoder that filled it
  Index T = 0, B = 0;
  Steps steps = Steps::all;
  Buffer<Index> lengths;  ///< empty: all T
  bool training = false;  ///< the pass keeps all that backward reads
  bool ready = false;     ///< a training pass has run, and backward has not consumed it
  bool drops = false;

  Buffer<Scalar> positions;  ///< [T or more][dp]
  Buffer<Scalar> output;
  std::vector<Buffer<Scalar>> layers;
  std::vector<Buffer<std::uint8_t>> masks;
  Buffer<Scalar> final_normalised, final_rstd;  ///< of final_norm, [B][T][dp] and [B][T]
  std::vector<Buffer<Scalar>> scratch;          ///< one per thread
  std::vector<Buffer<std::uint8_t>> byte_scratch;
  Index rows_offset = 0;
  Buffer<Scalar> sums;

  Index dp() const noexcept { return round_up(of.hidden_size, W); }
  Index length(Index b) const noexcept { return sample_length(lengths.span(), b, T); }
  /// The steps that layer l computes of n.
  Index live(Index l, Index n) const noexcept {
    return steps == Steps::all || l + 1 < of.num_layers ? n : Index{1};
  }
  LayerShape shape(Index l, Index n) const noexcept {
    LayerShape shape = LayerShape::of<Scalar>(of, n, live(l, n), training);
    shape.drops = training && drops;
    return shape;
  }
  /// The last `count` rows that are read of sample b's output.
  Scalar* output_rows(Index b, Index count) noexcept {
    return output.data() + (b * T + length(b) - count) * dp();
  }

  /// The rows of sample b in layer l, of a training pass.
  LayerRows<Scalar> rows(Index l, Index b) noexcept {
    const auto i = static_cast<std::size_t>(l);
    LayerRows<Scalar> rows;
    LayerRows<Scalar>::lay_out(rows, layers[i].data() + b * (layers[i].size() / B),
                               drops ? masks[i].data() + b * (masks[i].size() / B) : nullptr,
                               shape(l, length(b)));
    return rows;
  }

  LayerScratch<Scalar> scratch_of(Index thread, const LayerShape& shape, bool backward) noexcept {
    const auto i = static_cast<std::size_t>(thread);
    LayerScratch<Scalar> its;
    LayerScratch<Scalar>::lay_out(its, scratch[i].data(), byte_scratch[i].data(), shape, backward);
    return its;
  }

  /// Without training: where the rows of a layer stand in a thread's scratch.
  Scalar* rows_of(Index thread) noexcept {
    return scratch[static_cast<std::size_t>(thread)].data() + rows_offset;
  }

  /// Sizes what forward needs. Allocates: when it must grow.
  void prepare(const TransformerOptions& options, Index its_T, Index its_B,
               const EncoderPass& pass) {
    ready = false;
    if (of.hidden_size != options.hidden_size) positions.resize(0);
    of = options;
    T = its_T;
    B = its_B;
    steps = pass.steps == Steps::all ? Steps::all : Steps::last;
    lengths.resize(std::ssize(pass.lengths));
    std::copy(pass.lengths.begin(), pass.lengths.end(), lengths.begin());
    training = pass.pass.training;
    drops = training && of.dropout > 0;
    output.resize(B * T * dp());
    internal::fill_positions(positions, T, of.hidden_size);
    const auto L = static_cast<std::size_t>(of.num_layers);
    layers.resize(L);
    masks.resize(L);
    if (training) {
      for (std::size_t l = 0; l < L; ++l) {
        const auto [values, bytes] = LayerRows<Scalar>::size(shape(static_cast<Index>(l), T));
        layers[l].resize(B * values);
        masks[l].resize(B * bytes);
      }
      if (of.final_norm) {
        final_normalised.resize(B * T * dp());
        final_rstd.resize(B * T);
      }
    }
    prepare_scratch(false);
  }

  /// Room for each thread: a LayerScratch and, without training, the rows of one layer after it.
  void prepare_scratch(bool backward) {
    const auto threads = static_cast<std::size_t>(std::min<Index>(B, thread_count()));
    if (scratch.size() < threads) {
      scratch.resize(threads);
      byte_scratch.resize(threads);
    }
    const LayerShape largest = shape(0, T);
    auto [values, bytes] = LayerScratch<Scalar>::size(largest, backward);
    rows_offset = values;
    if (!training) values += LayerRows<Scalar>::size(largest).first;
    for (std::size_t i = 0; i < threads; ++i) {
      scratch[i].resize(values);
      byte_scratch[i].resize(bytes);
    }
  }
};

namespace internal {

/// Calls task(b, thread) for each of B samples, on as many threads as come, when there are enough
/// `operations`.
template <class Task>
void for_each_sample(Index B, double operations, const Task& task) noexcept {
  if (B == 1 || operations < parallel_threshold) {
    for (Index b = 0; b < B; ++b) task(b, Index{0});
    return;
  }
  std::atomic<Index> next{0};
  parallel_team(B, [&](Index thread, Index) noexcept {
    const FloatModeGuard guard;
    for (Index b = next.fetch_add(1); b < B; b = next.fetch_add(1)) task(b, thread);
  });
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
