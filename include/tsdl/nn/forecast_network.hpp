// A recurrent forecaster: the past of a window, what is known of the series and of the rows to come
// in, all steps of all targets out.
//
//   past        I x T x B    columns before `first_future` normalised by window
//   x           E x T x B    past, then statics and embeddings, the same at every step
//   h           D x B        the encoder's last step
//   outputs     K x B        W [h ; future] + b, the F x H future step by step
//
// The outputs are in the windows' normalised units: what reads them undoes that
// (PanelWindows::restore).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/window_norm.hpp"
#include "tsdl/nn/embedding.hpp"
#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of a ForecastNetwork.
struct ForecastOptions {
  Index inputs = 0;                         ///< I: columns of the past
  Index future = 0;                         ///< F: the last of them, known of the forecast rows too
  Index horizon = 1;                        ///< H: rows of the future
  Index outputs = 1;                        ///< K: all outputs of a sample
  Index statics = 0;                        ///< numbers of a series
  std::vector<Index> category_sizes{};      ///< entries of each category, the unknown one included
  Index embedding_size = 8;                 ///< numbers per category
  WindowNorm normalise = WindowNorm::none;  ///< of the columns that are not known beforehand
  Index hidden_size = 128;
  Index num_layers = 1;
  double dropout = 0.0;       ///< between layers, in training only
  double head_dropout = 0.0;  ///< before the linear layer, in training only
  /// The share of samples whose category is taken for the unknown one in training, so that the
  /// unknown entry is learnt.
  double unknown_share = 0.05;
  Init init = Init::pytorch;

  /// Throws: ShapeError when a size is out of range, OptionError when a share is.
  void check() const {
    for (const Index size : {inputs, horizon, outputs, embedding_size})
      if (size < 1 || size > RecurrentOptions::max_size)
        throw ShapeError("ForecastNetwork: sizes must be 1 to ", RecurrentOptions::max_size,
                         ", not ", size);
    if (future < 0 || future > inputs || statics < 0 || statics > RecurrentOptions::max_size)
      throw ShapeError("ForecastNetwork: ", future, " columns known beforehand of ", inputs,
                       ", and ", statics, " statics");
    for (const Index size : category_sizes)
      if (size < 1) throw ShapeError("ForecastNetwork: a category of ", size, " entries");
    for (const double share : {head_dropout, unknown_share})
      if (!(is_finite(share) && share >= 0 && share < 1))
        throw OptionError(
            "ForecastNetwork: dropout and unknown_share must be at least 0 and below "
            "1, not ",
            share);
  }
  /// E: what the encoder reads at a step.
  Index step_size() const noexcept {
    return inputs + statics + std::ssize(category_sizes) * embedding_size;
  }
};

/// See the head of this file. Reads: Batch::future where there are such columns, statics and
/// categories likewise. The parameters are those of an nn.LSTM named `lstm` or an nn.GRU named
/// `gru`, of an nn.Embedding for each category, named `embedding.0` and so on, and of an nn.Linear
/// named `fc`.
template <class Cell>
class ForecastNetwork : public ModelBase<typename Cell::Scalar> {
 public:
  using Scalar = typename Cell::Scalar;
  using Encoder = RecurrentEncoder<Cell, 1>;

  /// Everything that a pass computes. A reused cache stops allocating.
  struct Cache {
    typename Encoder::Cache encoder;
    typename Linear<Scalar>::Cache linear;
    Buffer<Scalar> steps, dsteps;    ///< [T][B][E]
    Buffer<Scalar> pooled, dpooled;  ///< [B][D + F H]
    Buffer<Scalar> outputs, facts;   ///< facts: [B] statics and embeddings
    Buffer<Index> entries;           ///< [B] categories, some taken for unknown in training
    Buffer<std::uint8_t> kept;
    bool ready = false;
  };

  /// Draws all weights from the seed. Throws: ShapeError, OptionError when an option is out of
  /// range.
  explicit ForecastNetwork(const ForecastOptions& options, std::uint64_t seed = 0)
      : ModelBase<Scalar>(options.outputs),
        options_((options.check(), options)),
        encoder_(encoder_options(options), seed),
        linear_(encoder_.output_size() + options.future * options.horizon, options.outputs, seed,
                "fc.", options.init, linear_stream) {
    for (std::size_t c = 0; c < options.category_sizes.size(); ++c)
      embeddings_.emplace_back(options.category_sizes[c], options.embedding_size, seed,
                               internal::concatenate("embedding.", c, '.'),
                               embedding_stream + static_cast<std::uint64_t>(c));
  }
  /// From a configuration that describe() made. Throws: also OptionError when an option is missing
  /// or unknown.
  explicit ForecastNetwork(const Config& config, std::uint64_t seed = 0)
      : ForecastNetwork(options_from(config), seed) {}

  /// "forecast_lstm" or "forecast_gru".
  static std::string kind() { return std::string("forecast_") + Cell::prefix; }
  const ForecastOptions& options() const noexcept { return options_; }
  Index inputs() const noexcept { return options_.inputs; }
  Index outputs() const noexcept { return options_.outputs; }

  Config describe() const {
    const ForecastOptions& o = options_;
    std::vector<double> sizes;
    for (const Index size : o.category_sizes) sizes.push_back(static_cast<double>(size));
    return Config(kind(), {{"inputs", o.inputs},
                           {"future", o.future},
                           {"horizon", o.horizon},
                           {"outputs", o.outputs},
                           {"statics", o.statics},
                           {"category_sizes", std::move(sizes)},
                           {"embedding_size", o.embedding_size},
                           {"normalise", std::string(to_string(o.normalise))},
                           {"hidden_size", o.hidden_size},
                           {"num_layers", o.num_layers},
                           {"dropout", o.dropout},
                           {"head_dropout", o.head_dropout},
                           {"unknown_share", o.unknown_share},
                           {"init", to_string(o.init)}});
  }

  /// The tensors of a network with this configuration, in the order of visit(). Throws: as the
  /// constructor.
  static std::vector<TensorShape> tensors(const Config& config) {
    const ForecastOptions o = options_from(config);
    o.check();
    std::vector<TensorShape> all =
        Encoder::tensors(Config(Encoder::kind(), {{"input_size", o.step_size()},
                                                  {"hidden_size", o.hidden_size},
                                                  {"num_layers", o.num_layers},
                                                  {"dropout", o.dropout},
                                                  {"init", to_string(o.init)}}));
    for (std::size_t c = 0; c < o.category_sizes.size(); ++c)
      all.push_back({internal::concatenate("embedding.", c, ".weight"),
                     {o.category_sizes[c], o.embedding_size}});
    all.push_back({"fc.weight", {o.outputs, o.hidden_size + o.future * o.horizon}});
    all.push_back({"fc.bias", {o.outputs}});
    return all;
  }

  template <class F>
  void visit(F&& f) {
    encoder_.visit(f);
    for (Embedding<Scalar>& embedding : embeddings_) embedding.visit(f);
    linear_.visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    encoder_.visit(f);
    for (const Embedding<Scalar>& embedding : embeddings_) embedding.visit(f);
    linear_.visit(f);
  }
  void repack() noexcept {
    encoder_.repack();
    linear_.repack();
  }
  void zero_gradients() noexcept {
    encoder_.zero_gradients();
    for (Embedding<Scalar>& embedding : embeddings_) embedding.zero_gradients();
    linear_.zero_gradients();
  }

  /// Computes the outputs of B windows, a view into the cache. Safe to call concurrently with
  /// separate caches. Allocates: when the cache must grow.
  /// Throws: ShapeError when a view that is read is missing or has other sizes, or a category is
  /// not in its table; OptionError when dropout has no key, or samples have lengths; Error when
  /// parameters were visited and
  /// not repacked.
  Outputs<Scalar> forward(const Batch<Scalar>& batch, Cache& cache, const Pass& pass = {}) const {
    const FloatModeGuard guard;
    check(batch);
    linear_.check_packed();
    const bool draws = options_.head_dropout > 0 || !embeddings_.empty();
    if (pass.training && draws) internal::check_dropout_key(pass.dropout);
    const Index T = batch.past.steps, B = batch.size();
    write_steps(batch, cache, pass);
    const auto x = Sequence<const Scalar>::dense(cache.steps.data(), options_.step_size(), T, B);
    const Encoded<Scalar> y =
        encoder_.forward(x, cache.encoder, EncoderPass{Steps::last, pass, batch.keys, {}});
    cache.ready = pass.training;
    const Index D = encoder_.output_size(), width = linear_.in();
    cache.pooled.resize(B * width);
    cache.outputs.resize(B * options_.outputs);
    for (Index b = 0; b < B; ++b) {
      Scalar* row = cache.pooled.data() + b * width;
      std::copy_n(y.segment(T - 1, b, 0), D, row);
      for (Index h = 0; options_.future > 0 && h < options_.horizon; ++h)
        std::copy_n(batch.future.column(h, b), options_.future, row + D + h * options_.future);
    }
    if (pass.training && options_.head_dropout > 0) drop(cache, pass.dropout, batch);
    linear_.apply(cache.outputs.data(), cache.pooled.data(), B);
    return {cache.outputs.data(), options_.outputs, B};
  }

  /// Back-propagates the gradient of the outputs of the last training pass of this batch.
  /// Accumulates: parameter gradients. Throws: Error without a training pass; ShapeError when the
  /// batch is another one.
  void backward(const Batch<Scalar>& batch, Cache& cache, const Scalar* doutputs) {
    const FloatModeGuard guard;
    const Index T = batch.past.steps, B = batch.size(), width = linear_.in();
    const Index D = encoder_.output_size(), E = options_.step_size();
    if (!cache.ready)
      throw Error("ForecastNetwork::backward: no training pass is there to go back through");
    if (cache.pooled.size() != B * width || cache.steps.size() != T * B * E)
      throw ShapeError("ForecastNetwork::backward: the cache is of another batch");
    cache.ready = false;
    cache.dpooled.resize(B * width);
    linear_.backward(cache.dpooled.data(), doutputs, cache.pooled.data(), B, cache.linear);
    if (options_.head_dropout > 0)  // the rows' first D values were dropped
      for (Index b = 0; b < B; ++b)
        internal::dropout_gradient(cache.dpooled.data() + b * width, cache.kept.data() + b * D,
                                   options_.head_dropout, D);
    const auto x = Sequence<const Scalar>::dense(cache.steps.data(), E, T, B);
    Sequence<Scalar> dx{};
    if (!embeddings_.empty()) {
      cache.dsteps.resize(T * B * E);
      dx = Sequence<Scalar>::dense(cache.dsteps.data(), E, T, B);
    }
    const Sequence<const Scalar> dy{cache.dpooled.data(), D, T, B, 0, width};
    encoder_.backward(x, cache.encoder, Upstream<Scalar>{dy, Steps::last}, dx);
    embedding_gradients(cache, dx);
  }

 private:
  static constexpr std::uint64_t linear_stream = 1u << 20, embedding_stream = 1u << 21;

  static ClassifierOptions encoder_options(const ForecastOptions& o) noexcept {
    return {.input_size = o.step_size(),
            .hidden_size = o.hidden_size,
            .num_layers = o.num_layers,
            .dropout = o.dropout,
            .init = o.init};
  }
  static ForecastOptions options_from(const Config& config) {
    if (config.kind != kind())
      throw OptionError("expected a model of kind ", kind(), ", got ", config.kind);
    config.refuse_others({"inputs", "future", "horizon", "outputs", "statics", "category_sizes",
                          "embedding_size", "normalise", "hidden_size", "num_layers", "dropout",
                          "head_dropout", "unknown_share", "init"});
    std::vector<Index> sizes;
    for (const double size : config.numbers("category_sizes")) {
      if (!(size >= 1 && size <= 1e7)) throw OptionError("a category of ", size, " entries");
      sizes.push_back(static_cast<Index>(size));
    }
    return {.inputs = config.index("inputs"),
            .future = config.index("future"),
            .horizon = config.index("horizon"),
            .outputs = config.index("outputs"),
            .statics = config.index("statics"),
            .category_sizes = std::move(sizes),
            .embedding_size = config.index("embedding_size"),
            .normalise = window_norm_from(config.text("normalise")),
            .hidden_size = config.index("hidden_size"),
            .num_layers = config.index("num_layers"),
            .dropout = config.number("dropout"),
            .head_dropout = config.number("head_dropout"),
            .unknown_share = config.number("unknown_share"),
            .init = init_from(config.text("init"))};
  }

  void check(const Batch<Scalar>& batch) const {
    const auto require = [&](const char* what, const auto& view, Index inputs, Index steps) {
      if (inputs == 0) return;
      if (!view.data || view.inputs != inputs || view.steps != steps || view.batch != batch.size())
        throw ShapeError("ForecastNetwork: expected ", what, " of ", inputs, " x ", steps, " x ",
                         batch.size(), ", got ", view.data ? view.inputs : 0, " x ", view.steps,
                         " x ", view.batch);
    };
    const Index C = std::ssize(embeddings_);
    if (!batch.lengths.empty())
      throw OptionError("ForecastNetwork: its windows have one length, and these have their own");
    require("a past", batch.past, options_.inputs, std::max(batch.past.steps, Index{1}));
    require("a future", batch.future, options_.future, options_.horizon);
    require("statics", batch.statics, options_.statics, 1);
    require("categories", batch.categories, C, 1);
    for (Index b = 0; b < batch.size(); ++b)
      for (Index c = 0; c < C; ++c)
        if (const Index entry = batch.categories.column(0, b)[c];
            entry < 0 || entry >= options_.category_sizes[static_cast<std::size_t>(c)])
          throw ShapeError("ForecastNetwork: entry ", entry, " of a category of ",
                           options_.category_sizes[static_cast<std::size_t>(c)]);
  }

  /// Which entry a sample's category is taken for.
  Index entry_of(const Batch<Scalar>& batch, Index b, Index c, const Pass& pass) const noexcept {
    const Index entry = batch.categories.column(0, b)[c];
    if (!pass.training || !(options_.unknown_share > 0)) return entry;
    const Philox philox(pass.dropout.seed, internal::dropout_stream + pass.dropout.update);
    const std::uint32_t draw = philox(static_cast<std::uint32_t>(c), sample_key(batch.keys, b), 0,
                                      static_cast<std::uint32_t>(encoder_.dropout_layers() + 1))[0];
    return static_cast<double>(draw) < options_.unknown_share * 0x1p32 ? 0 : entry;
  }

  void write_steps(const Batch<Scalar>& batch, Cache& cache, const Pass& pass) const {
    const ForecastOptions& o = options_;
    const Index T = batch.past.steps, B = batch.size(), E = o.step_size(), own = E - o.inputs;
    const Index C = std::ssize(embeddings_);
    cache.steps.resize(T * B * E);
    cache.facts.resize(B * own);
    cache.entries.resize(B * C);
    for (Index b = 0; b < B; ++b) {
      Scalar* facts = cache.facts.data() + b * own;
      if (o.statics > 0) std::copy_n(batch.statics.column(0, b), o.statics, facts);
      for (Index c = 0; c < C; ++c) {
        const Index entry = entry_of(batch, b, c, pass);
        cache.entries[b * C + c] = entry;
        embeddings_[static_cast<std::size_t>(c)].forward(facts + o.statics + c * o.embedding_size,
                                                         entry);
      }
      for (Index t = 0; t < T; ++t) {
        Scalar* to = cache.steps.data() + (t * B + b) * E;
        std::copy_n(batch.past.column(t, b), o.inputs, to);
        std::copy_n(facts, own, to + o.inputs);
      }
      if (o.normalise == WindowNorm::none) continue;
      for (Index i = 0; i < o.inputs - o.future; ++i) {
        const WindowScale scale = window_scale(o.normalise, batch.past, b, i);
        for (Index t = 0; t < T; ++t) {
          Scalar& x = cache.steps[(t * B + b) * E + i];
          x = static_cast<Scalar>(scale.normalised(static_cast<double>(x)));
        }
      }
    }
  }

  /// Drops units of h, not of the future.
  void drop(Cache& cache, DropoutKey key, const Batch<Scalar>& batch) const {
    const Index D = encoder_.output_size(), width = linear_.in();
    cache.kept.resize(batch.size() * D);
    const Philox philox(key.seed, internal::dropout_stream + key.update);
    for (Index b = 0; b < batch.size(); ++b) {
      Scalar* row = cache.pooled.data() + b * width;
      internal::dropout_column(row, cache.kept.data() + b * D, row, philox, options_.head_dropout,
                               encoder_.dropout_layers(), Index{0}, sample_key(batch.keys, b),
                               Index{1}, D, D);
    }
  }

  /// An embedding enters every step: its gradient is the sum over t, then over samples.
  void embedding_gradients(Cache& cache, const Sequence<Scalar>& dx) {
    const Index C = std::ssize(embeddings_), S = options_.embedding_size;
    if (C == 0) return;
    for (Embedding<Scalar>& embedding : embeddings_) embedding.need_gradients();
    cache.facts.resize(std::max(cache.facts.size(), C * S));
    for (Index b = 0; b < dx.batch; ++b) {
      Scalar* sum = cache.facts.data();
      std::fill_n(sum, C * S, Scalar{0});
      for (Index t = 0; t < dx.steps; ++t) {
        const Scalar* step = dx.column(t, b) + options_.inputs + options_.statics;
        for (Index i = 0; i < C * S; ++i) sum[i] += step[i];
      }
      for (Index c = 0; c < C; ++c)
        embeddings_[static_cast<std::size_t>(c)].backward(sum + c * S, cache.entries[b * C + c]);
    }
  }

  ForecastOptions options_;
  Encoder encoder_;
  Linear<Scalar> linear_;
  std::vector<Embedding<Scalar>> embeddings_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
