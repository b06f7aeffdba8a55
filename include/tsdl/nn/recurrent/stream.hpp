// Runs a stack on one live sequence, one column at a time.
//
// A step of one sample is bound by the latency of the previous step and by reading the weights. A
// stream therefore keeps a copy of the weights in its own order: in the narrowest vectors that hold
// all hidden units and, on request, at half the width. With sizes known at compile time, a small
// step has no loops.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/recurrent/packs.hpp"
#include "tsdl/nn/recurrent/stack.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Carries h, and an LSTM's c, from one column to the next. After n columns of finite numbers its
/// state has the bits that RecurrentStack::forward gives for the sequence of these n columns.
///   Weight         the cell's Scalar, or BFloat16 with a cell of float: half the memory to read.
///                  The bits are then those of a stack whose weights were rounded to BFloat16;
///                  biases and arithmetic stay float.
///   Input, Hidden  sizes, if known at compile time: fewer instructions and, for up to W / 2 hidden
///                  units, narrower vectors.
template <class Cell, class Weight = typename Cell::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
class RecurrentStream {
 public:
  using Scalar = typename Cell::Scalar;
  static constexpr bool half_width = std::is_same_v<Weight, BFloat16>;
  static_assert(std::is_same_v<Weight, Scalar> || (half_width && std::is_same_v<Scalar, float>),
                "weights are the cell's Scalar, or BFloat16 where that is float");

  /// Starts from zero states, with a copy of the stack's current weights. Copies of the stream
  /// share it.
  /// Throws: ShapeError for a bidirectional stack, whose reverse direction begins at the end, and
  /// for a stack of other sizes than Input and Hidden; Error when parameters were visited and not
  /// repacked.
  explicit RecurrentStream(const RecurrentStack<Cell>& stack) : RecurrentStream(stack, true) {}

  /// For an owner that keeps the stack and passes it to each push. The streams of one stack then
  /// share its packed weights, if they read weights in the stack's own order. Throws: as the
  /// constructor.
  static RecurrentStream borrowing(const RecurrentStack<Cell>& stack) {
    return RecurrentStream(stack, !as_stack);
  }

  /// Runs one step and returns the top layer's h, valid until the next push or reset.
  /// Shapes: x I; the result H. Allocates nothing.
  std::span<const Scalar> push(const Scalar* x) noexcept {
    const FloatModeGuard guard;
    return push(x, guard);
  }
  /// push() under a guard that the caller holds, which spares a small step reading the processor's
  /// mode: that waits for the step before.
  std::span<const Scalar> push(const Scalar* x, const FloatModeGuard&) noexcept {
    return run(x, own_weights());
  }

  /// push() for a stream that borrowing() made. The caller holds a FloatModeGuard.
  std::span<const Scalar> push(const RecurrentStack<Cell>& stack, const Scalar* x) noexcept {
    if constexpr (as_stack)
      return run(x, weights_of(stack));
    else
      return run(x, own_weights());
  }

  /// Does the part of the next push that does not need its column, W_hh h of all layers: call it
  /// after the result of a push has been used, and the next one is that much faster. Changes no
  /// result, unless the weights of a borrowed stack change before that push. Allocates nothing.
  void prepare() noexcept {
    const FloatModeGuard guard;
    multiply_h(own_weights());
  }

  /// prepare() for a stream that borrowing() made.
  void prepare(const RecurrentStack<Cell>& stack) noexcept {
    const FloatModeGuard guard;
    if constexpr (as_stack)
      multiply_h(weights_of(stack));
    else
      multiply_h(own_weights());
  }

  void state(StateBytes& bytes) {
    for (Level& level : levels_) bytes.finite(level.h[now_], level.cells);
    bytes(descending_);
    prepared_ = false;
  }

  /// Back to zero states.
  void reset() noexcept {
    for (Level& level : levels_) {
      std::fill(level.h[now_].begin(), level.h[now_].end(), Scalar{0});
      std::fill(level.cells.begin(), level.cells.end(), Scalar{0});
    }
    prepared_ = false;
  }

 private:
  static constexpr bool known = Hidden != Eigen::Dynamic;
  static constexpr Index W = known ? kernels::fewest_lanes<Scalar>(Hidden) : Cell::W;
  using StepCell = typename Cell::template WithLanes<W>;
  using Packed = std::conditional_t<half_width, kernels::BFloat16Pair, Scalar>;
  using Above = kernels::Size<known ? round_up(Hidden, W) : Eigen::Dynamic>;

  /// Whether this stream reads weights in the order of the stack's own packs.
  static constexpr bool as_stack = !known && !half_width;

  /// The weights that a step of one layer reads.
  struct View {
    const Packed* weights;
    const Scalar* bias;
  };
  struct LevelWeights {
    Buffer<Packed> weights;
    Buffer<Scalar> bias;
  };
  /// h[now_] is the state; a step writes the other, and the two change places.
  struct Level {
    Buffer<Scalar> h[2], cells, over_h;
  };

  static constexpr Index padded(Index H) noexcept { return round_up(H, W); }

  RecurrentStream(const RecurrentStack<Cell>& stack, bool keep)
      : inputs_(stack.options().input_size), hidden_(stack.options().hidden_size) {
    const RecurrentOptions& options = stack.options();
    stack.check_packed();
    if (stack.directions() != 1)
      throw ShapeError(Cell::name, " stream: a bidirectional network cannot be streamed");
    if (options.input_size != inputs_ || options.hidden_size != hidden_)
      throw ShapeError(Cell::name, " stream: expected ", Index{inputs_}, " inputs and ",
                       Index{hidden_}, " hidden units, got ", options.input_size, " and ",
                       options.hidden_size);
    const Index Hp = padded(hidden_);
    std::vector<LevelWeights> weights;
    for (Index l = 0; l < options.num_layers; ++l) {
      Level& level = levels_.emplace_back();
      for (Buffer<Scalar>& buffer : level.h) buffer.assign(Hp, Scalar{0});
      level.cells.assign(Hp * Cell::cell_vectors, Scalar{0});
      level.over_h.assign(Hp * Cell::gates, Scalar{0});
      if (!keep) continue;
      const auto& layer = stack.layer(l);
      ForwardPack<StepCell> pack(
          l == 0 ? InputLayout{1, inputs_, inputs_} : InputLayout{1, hidden_, Hp}, hidden_);
      pack.derive(layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh);
      LevelWeights& own = weights.emplace_back();
      keep_weights(own.weights, pack);
      own.bias = std::move(pack.bias);
    }
    if (keep) weights_ = std::make_shared<const std::vector<LevelWeights>>(std::move(weights));
  }

  auto own_weights() const noexcept {
    return [this](std::size_t l) noexcept {
      const LevelWeights& own = (*weights_)[l];
      return View{own.weights.data(), own.bias.data()};
    };
  }
  static auto weights_of(const RecurrentStack<Cell>& stack) noexcept {
    return [&stack](std::size_t l) noexcept {
      const auto& pack = stack.layer(static_cast<Index>(l)).forward_pack();
      return View{pack.weights.data(), pack.bias.data()};
    };
  }

  template <class WeightsOf>
  void multiply_h(const WeightsOf& weights_of) noexcept {
    if (prepared_ || levels_.empty()) return;
    kernels::prepare<StepCell>(step(levels_.front(), weights_of(0), inputs_));
    for (std::size_t l = 1; l < levels_.size(); ++l)
      kernels::prepare<StepCell>(step(levels_[l], weights_of(l), Above(padded(hidden_))));
    prepared_ = true;
  }

  template <class WeightsOf>
  std::span<const Scalar> run(const Scalar* x, const WeightsOf& weights_of) noexcept {
    if (levels_.empty()) return {};  // moved from
    const Index next = 1 - now_;
    run(step(levels_.front(), weights_of(0), inputs_), x);
    for (std::size_t l = 1; l < levels_.size(); ++l)
      run(step(levels_[l], weights_of(l), Above(padded(hidden_))), levels_[l - 1].h[next].data());
    now_ = next;
    descending_ = !descending_;
    prepared_ = false;
    return {levels_.back().h[now_].data(), static_cast<std::size_t>(hidden_)};
  }

  template <class Step>
  static void run(Step step, const Scalar* x) noexcept {
    step.x = x;
    StepCell::forward(step);
  }

  /// A step of one layer, without its x.
  template <class Inputs>
  auto step(Level& level, const View& weights, const Inputs& inputs) noexcept {
    using Panels = kernels::Size<known ? round_up(Hidden, W) / W : Eigen::Dynamic>;
    return kernels::StreamStep<Scalar, Packed, Inputs, kernels::Size<Hidden>, Panels>{
        .inputs = inputs,
        .hidden = hidden_,
        .panels = Panels(padded(hidden_) / W),
        .descending = descending_,
        .x = nullptr,
        .h_prev = level.h[now_].data(),
        .cells_prev = level.cells.data(),
        .weights = weights.weights,
        .bias = weights.bias,
        .over_h = level.over_h.data(),
        .prepared = prepared_,
        .h = level.h[1 - now_].data(),
        .cells = level.cells.data()};
  }

  /// Takes the weights of `pack`. At half the width, two successive rows of x or of h are
  /// interleaved as pairs.
  static void keep_weights(Buffer<Packed>& weights, ForwardPack<StepCell>& pack) {
    if constexpr (!half_width) {
      weights = std::move(pack.weights);
    } else {
      constexpr Index width = ForwardPack<StepCell>::gate_width;
      const Index I = pack.inputs().columns(), H = pack.hidden();
      weights.resize(pack.panels() * width *
                     (kernels::packed_rows<Packed>(I) + kernels::packed_rows<Packed>(H)));
      const Scalar* row = pack.weights.data();
      Packed* out = weights.data();
      for (Index p = 0; p < pack.panels(); ++p)
        for (const Index rows : {I, H})
          for (Index k = 0; k < rows; k += 2) {
            for (Index n = 0; n < width; ++n)
              *out++ = {BFloat16(row[n]), BFloat16(k + 1 < rows ? row[width + n] : Scalar{0})};
            row += std::min(Index{2}, rows - k) * width;
          }
    }
  }

  kernels::Size<Input> inputs_;
  kernels::Size<Hidden> hidden_;
  std::shared_ptr<const std::vector<LevelWeights>> weights_;  ///< null when borrowed
  std::vector<Level> levels_;
  Index now_ = 0;
  bool descending_ = false;
  bool prepared_ = false;  ///< over_h of all levels belongs to their h
};

}  // namespace TSDL_ABI
}  // namespace tsdl
