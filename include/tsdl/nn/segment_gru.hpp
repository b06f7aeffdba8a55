// SegmentGRU: a forecast by a GRU over the segments of a window, each channel by itself (SegRNN).
//
//   x'    the window, normalised                            in T / w segments of w values
//   e_s = relu(Linear(x'_s))                                s = 1 ... T / w
//   h   = the last state of a GRU over e_1 ... e_{T/w}
//   y_m = Linear(dropout(GRU([position_m ; channel_c], h)))   m = 1 ... H / w
//
// The steps of the decoder are one step each of the same GRU (nn/segment_decoder.hpp).
//
// Source: Lin et al. 2023, "SegRNN: Segment Recurrent Neural Network for Long-Term Time Series
// Forecasting" (arXiv 2308.11200).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tsdl/core/parallel.hpp"
#include "tsdl/core/window_norm.hpp"
#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/recurrent/stack.hpp"
#include "tsdl/nn/segment_decoder.hpp"
#include "tsdl/nn/segment_options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A Model: the H steps that follow a window of T steps, of each of C channels, Q numbers each. Its
/// outputs are in the window's normalised units (core/window_norm.hpp): whoever reads them restores
/// them. Parameters are named embed, gru, position, channel, predict; embeddings start from N(0,
/// 1), the rest as in PyTorch. Reads `past` of a batch, and its keys.
///
///   symbol     shape           meaning
///   x          C x T x B       past
///   outputs    K x B           [H][C][Q] of a sample
///   n, S       B * C, T / w    samples of one channel each, [b][c]; segments of the past
///   pieces     [S][n][w]       normalised segments
///   embedded   [S][n][d]
template <class ScalarType>
class SegmentGRU : public ModelBase<ScalarType> {
 public:
  using Scalar = ScalarType;
  using Options = SegmentOptions;

  /// Everything that a pass computes. A reused cache stops allocating.
  struct Cache {
    Buffer<Scalar> pieces, embedded, dembedded;
    typename GRU<Scalar>::Cache gru;
    typename SegmentDecoder<Scalar>::Cache decoder;
    typename Linear<Scalar>::Cache linear;
    Index B = 0;
    bool ready = false;  ///< a training pass has run, and backward has not consumed it
  };

  /// Draws all weights from the seed. Throws: ShapeError, OptionError when an option is out of
  /// range.
  explicit SegmentGRU(const SegmentOptions& options, std::uint64_t seed = 0)
      : ModelBase<Scalar>((options.check(), options.outputs())),
        options_(options),
        embed_(options.segment, options.hidden_size, seed, "embed.", options.init, first_stream),
        gru_({.input_size = options.hidden_size,
              .hidden_size = options.hidden_size,
              .init = options.init},
             seed, "gru."),
        decoder_(options, seed, first_stream + 2) {
    decoder_.repack(gru_);
  }

  /// From a configuration that describe() made. Throws: also OptionError when an option is missing
  /// or unknown.
  explicit SegmentGRU(const Config& config, std::uint64_t seed = 0)
      : SegmentGRU(SegmentOptions::from(config), seed) {}

  const SegmentOptions& options() const noexcept { return options_; }
  Index inputs() const noexcept { return options_.inputs; }
  Index outputs() const noexcept { return options_.outputs(); }
  Index parameter_count() const { return tsdl::parameter_count(*this); }

  /// The name of this kind of model in files.
  static std::string kind() { return SegmentOptions::kind(); }
  Config describe() const { return options_.describe(); }
  /// The tensors of a model with this configuration, in the order of visit(). Throws: as the
  /// constructor.
  static std::vector<TensorShape> tensors(const Config& config) {
    return SegmentOptions::from(config).tensors();
  }

  /// Calls f(Parameter&) for each tensor. Call repack() afterwards, or use update()
  /// (nn/module.hpp) instead.
  template <class F>
  void visit(F&& f) {
    embed_.visit(f);
    gru_.visit(f);
    decoder_.visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    embed_.visit(f);
    gru_.visit(f);
    decoder_.visit(f);
  }

  /// Derives what passes read from the parameters; every update and load ends with this call.
  void repack() noexcept {
    embed_.repack();
    gru_.repack();
    decoder_.repack(gru_);
  }

  void zero_gradients() noexcept {
    embed_.zero_gradients();
    gru_.zero_gradients();
    decoder_.zero_gradients();
  }

  /// Computes the outputs of B windows, a view into the cache. Shapes: batch.past C x T x B; the
  /// result K x B. Allocates: when the cache must grow. Safe to call concurrently with separate
  /// caches.
  /// Throws: ShapeError when past has other than C inputs and T steps, or no sample; OptionError
  /// when dropout has no key, or samples have lengths; Error when parameters were visited and not
  /// repacked.
  Outputs<Scalar> forward(const Batch<Scalar>& batch, Cache& cache, const Pass& pass = {}) const {
    check_past(batch.past);
    if (!batch.lengths.empty())
      throw OptionError("SegmentGRU: its windows have one length, and these have their own");
    if (pass.training && options_.dropout > 0) internal::check_dropout_key(pass.dropout);
    embed_.check_packed();
    gru_.check_packed();
    decoder_.check_packed();
    const FloatModeGuard guard;
    cache.ready = false;
    cache.B = batch.size();
    embed(batch.past, cache);
    gru_.forward(embedded(cache), cache.gru, {.steps = Steps::last, .training = pass.training});
    const Scalar* outputs =
        decoder_.forward(gru_.layer(0), last_state(cache), batch, cache.decoder, pass);
    cache.ready = pass.training;
    return {outputs, options_.outputs(), batch.size()};
  }

  /// Back-propagates the gradient of the outputs of the last training pass. `batch` is the batch of
  /// that pass. Shapes: doutputs [B][K]. Accumulates: parameter gradients. Throws: Error without a
  /// training pass; ShapeError when the batch or the cache is not of that pass.
  void backward(const Batch<Scalar>& batch, Cache& cache, const Scalar* doutputs) {
    if (!cache.ready)
      throw Error("SegmentGRU::backward: no training pass is there to go back through");
    const Index n = batch.size() * inputs(), columns = n * options_.input_segments();
    if (batch.size() != cache.B || cache.embedded.size() != columns * options_.hidden_size ||
        cache.pieces.size() != columns * options_.segment ||
        cache.decoder.outputs.size() != batch.size() * outputs())
      throw ShapeError("SegmentGRU::backward: the cache is of another model or another batch");
    const FloatModeGuard guard;
    cache.ready = false;
    cache.dembedded.resize(cache.embedded.size());
    BackwardOptions<Scalar> back;
    back.dy =
        decoder_.backward(gru_.layer_gradients(0), last_state(cache), doutputs, cache.decoder);
    back.steps = Steps::last;
    back.dx = Sequence<Scalar>::dense(cache.dembedded.data(), options_.hidden_size,
                                      options_.input_segments(), n);
    gru_.backward(embedded(cache), cache.gru, back);
    for (Index i = 0; i < cache.embedded.size(); ++i)
      cache.dembedded[i] = cache.embedded[i] > 0 ? cache.dembedded[i] : Scalar{0};
    embed_.backward(nullptr, cache.dembedded.data(), cache.pieces.data(), columns, cache.linear);
  }

 private:
  static constexpr std::uint64_t first_stream = 1u << 20;  // far above the streams of the GRU

  void check_past(const Sequence<const Scalar>& x) const {
    if (x.inputs != options_.inputs || x.steps != options_.length || x.batch < 1)
      throw ShapeError("SegmentGRU::forward: expected ", options_.inputs,
                       " inputs, T = ", options_.length, " and a sample or more, got ", x.inputs,
                       " inputs, T = ", x.steps, ", B = ", x.batch);
  }

  Sequence<const Scalar> embedded(const Cache& cache) const noexcept {
    const Index d = options_.hidden_size, n = cache.B * inputs();
    return {cache.embedded.data(), d, options_.input_segments(), n, n * d, d};
  }
  /// The columns of the encoder's last step.
  Sequence<const Scalar> last_state(const Cache& cache) const {
    Sequence<const Scalar> h = gru_.encoded(cache.gru).columns;
    h.data = h.column(h.steps - 1, 0);
    h.steps = 1;
    return h;
  }

  /// Normalises and embeds the segments of x, a window a task.
  void embed(const Sequence<const Scalar>& x, Cache& cache) const {
    const Index C = inputs(), w = options_.segment, d = options_.hidden_size, n = x.batch * C;
    cache.pieces.resize(n * options_.length);
    cache.embedded.resize(n * options_.input_segments() * d);
    const double work = static_cast<double>(n * options_.length) * static_cast<double>(2 * d + 20);
    internal::parallel_for(x.batch, work, [&](Index b) noexcept {
      const FloatModeGuard task_guard;
      for (Index c = 0; c < C; ++c) {
        const WindowScale scale = window_scale(options_.normalise, x, b, c);
        for (Index t = 0; t < x.steps; ++t)
          cache.pieces[(t / w * n + b * C + c) * w + t % w] =
              static_cast<Scalar>(scale.normalised(static_cast<double>(x.column(t, b)[c])));
      }
      for (Index s = 0; s < options_.input_segments(); ++s) {
        const Index first = s * n + b * C;
        Scalar* to = cache.embedded.data() + first * d;
        embed_.apply(to, cache.pieces.data() + first * w, C);
        for (Index i = 0; i < C * d; ++i) to[i] = to[i] < 0 ? Scalar{0} : to[i];
      }
    });
  }

  SegmentOptions options_;
  Linear<Scalar> embed_;
  GRU<Scalar> gru_;
  SegmentDecoder<Scalar> decoder_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
