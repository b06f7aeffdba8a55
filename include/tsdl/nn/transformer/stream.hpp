// Runs a causal Transformer on one live series, one row at a time: the keys and values of the rows
// so far stay in memory for a number of rows that is given beforehand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/nn/positions.hpp"
#include "tsdl/nn/transformer/layer.hpp"
#include "tsdl/nn/transformer/options.hpp"
#include "tsdl/nn/transformer/rows.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

template <class ScalarType>
class TransformerEncoder;  // nn/transformer/encoder.hpp, which includes this

/// After n rows its column has the bits that TransformerEncoder::forward gives at step n of the
/// sequence of these n rows. Every call must be given the same encoder, unchanged.
template <class ScalarType>
class TransformerStream {
 public:
  using Scalar = ScalarType;
  using Encoder = TransformerEncoder<Scalar>;

  /// Allocates: only here. Throws: OptionError when the encoder is not causal; ShapeError when
  /// max_steps is below 1 or memory does not hold that; Error when parameters were visited and not
  /// repacked.
  TransformerStream(const Encoder& encoder, Index max_steps)
      : most_(max_steps),
        row_(2 * round_up(encoder.options().hidden_size, kernels::lanes<Scalar>)) {
    const TransformerOptions& o = encoder.options();
    encoder.check_packed();
    if (!o.causal)
      throw OptionError(
          "Transformer stream: only a causal one can go on from row to row; run the window again");
    // Of each row: keys and values of every layer, its position, and a head's packs and weights.
    const Index widest = (2 * o.num_layers + 4) * (o.hidden_size + 64);
    if (max_steps < 1 || internal::saturated_product(max_steps, widest) > internal::most_values)
      throw ShapeError(
          "Transformer stream: max_steps, the rows whose keys and values are kept, must "
          "be 1 or more, as memory holds, not ",
          max_steps);
    const LayerShape largest = shape(o, max_steps);
    internal::fill_positions(positions_, max_steps, o.hidden_size);
    keys_.resize(static_cast<std::size_t>(o.num_layers));
    for (Buffer<Scalar>& keys : keys_) keys.assign(max_steps * row_, Scalar{0});
    rows_.assign(LayerRows<Scalar>::size(largest).first, Scalar{0});
    scratch_.assign(LayerScratch<Scalar>::size(largest, false).first, Scalar{0});
  }

  /// For a Network, which keeps the encoder. Throws: as the constructor.
  static TransformerStream borrowing(const Encoder& encoder, Index max_steps) {
    return {encoder, max_steps};
  }

  Index max_steps() const noexcept { return most_; }
  Index steps() const noexcept { return steps_; }
  /// Whether the next push will be refused.
  bool is_full() const noexcept { return steps_ == most_; }

  /// Takes the next row, x of I values, and returns its column, d values, valid until the next
  /// call; nothing, and changes nothing, when the memory for keys and values is full. Allocates
  /// nothing.
  std::span<const Scalar> push(const Encoder& encoder, const Scalar* x) noexcept {
    if (is_full()) return {};
    const FloatModeGuard guard;
    const TransformerOptions& o = encoder.options();
    const LayerShape s = shape(o, steps_ + 1);
    LayerRows<Scalar> rows;
    LayerScratch<Scalar> scratch;
    LayerRows<Scalar>::lay_out(rows, rows_.data(), nullptr, s);
    LayerScratch<Scalar>::lay_out(scratch, scratch_.data(), nullptr, s, false);
    Scalar *h = scratch.columns[0], *y = scratch.columns[1];
    encoder.embed_row(h, x, positions_.data() + steps_ * s.dp);
    for (std::size_t l = 0; l < keys_.size(); ++l) {
      rows.kv = keys_[l].data();
      encoder.layer(static_cast<Index>(l)).step(y, h, rows, s, scratch);
      std::swap(h, y);
    }
    encoder.normalise_row(h);
    ++steps_;
    return {h, static_cast<std::size_t>(o.hidden_size)};
  }

  void reset() noexcept {
    // A state holds all rows, and they must be finite.
    for (Buffer<Scalar>& keys : keys_) std::fill_n(keys.data(), steps_ * row_, Scalar{0});
    steps_ = 0;
  }
  void state(StateBytes& bytes) {
    bytes.within(steps_, 0, most_);
    for (Buffer<Scalar>& keys : keys_) bytes.finite(keys);
  }

 private:
  /// Of the push of row n - 1.
  static LayerShape shape(const TransformerOptions& o, Index n) noexcept {
    LayerShape shape = LayerShape::of<Scalar>(o, n, 1, false);
    shape.carried = true;
    return shape;
  }

  Index most_, steps_ = 0;
  Index row_;                         ///< values that a layer keeps of a row
  Buffer<Scalar> positions_;          ///< [max_steps][dp]
  std::vector<Buffer<Scalar>> keys_;  ///< [L][max_steps][2][dp]
  Buffer<Scalar> rows_, scratch_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
