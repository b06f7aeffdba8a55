// The common model: an encoder, a pooling and a linear layer. Windows in, outputs out.
//
//   x         I x T x B      a window's rows
//   y         E x T x B      the encoder's columns, E = output_size()
//   pooled    P x B          the pooling's rows; P x (T B) where every step is read. P is E, or 2 E
//                            where the pooling is attention
//   outputs   K x B          W pooled + b
//
// Template arguments: the encoder, and a pooling of your own; all else is chosen at run time.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/nn/head_options.hpp"
#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/network_streams.hpp"
#include "tsdl/nn/pooling.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The encoder's NetworkOptions, one struct for a whole network, if it has them.
template <class E>
struct NetworkOptionsOf {
  struct None {};
  using type = None;
};
template <class E>
requires requires { typename E::NetworkOptions; }
struct NetworkOptionsOf<E> {
  using type = typename E::NetworkOptions;
};

}  // namespace internal

/// An encoder, a pooling and a linear layer. The parameters are the encoder's, the pooling's if it
/// has any, and those of a torch.nn.Linear named `fc`.
template <Encoder EncoderType, PoolingModule PoolingType>
class Network : public ModelBase<typename EncoderType::Scalar> {
 public:
  using typename ModelBase<typename EncoderType::Scalar>::Scalar;
  using Options = typename internal::NetworkOptionsOf<EncoderType>::type;
  /// Whether the pooling is one of the library's, and whether it has parameters.
  static constexpr bool is_standard = std::is_same_v<PoolingType, StandardPooling<Scalar>>;
  static constexpr bool learns_pooling = Module<PoolingType>;

  /// Everything that a pass computes. A reused cache stops allocating.
  struct Cache {
    typename EncoderType::Cache encoder;
    typename PoolingType::Cache pooling;
    typename Linear<Scalar>::Cache linear;
    Encoded<Scalar> encoded;  ///< the encoder's output in the last pass
    Buffer<Scalar> pooled, dpooled, outputs;
    Buffer<std::uint8_t> kept;  ///< the mask of head_dropout
    bool ready = false;         ///< a training pass has run, and backward has not consumed it
  };

  /// Draws the head's initial weights from the seed.
  /// Throws: ShapeError, OptionError when an option is out of range; OptionError when every step is
  /// read of an encoder that is not causal, because it would see the targets of earlier steps.
  Network(EncoderType encoder, const HeadOptions& head,
          std::uint64_t seed = 0) requires(is_standard)
      : Network(std::move(encoder), head, seed, [&](Index width) {
          return PoolingType(head.pooling, width, head.attention(), seed);
        }) {}

  /// With your own pooling.
  Network(EncoderType encoder, PoolingType pooling, const HeadOptions& head, std::uint64_t seed = 0)
      : Network(std::move(encoder), head, seed, [&](Index) { return std::move(pooling); }) {}

  /// From one struct of options, if the encoder has such a struct. Draws all weights from the seed.
  explicit Network(const Options& options, std::uint64_t seed = 0) requires
      std::constructible_from<EncoderType, const Options&, std::uint64_t>
      : Network((options.head().check(), EncoderType(options, seed)), options.head(), seed) {}

  /// From what describe() made. Throws: also OptionError when an option is missing or unknown.
  explicit Network(const Config& config, std::uint64_t seed = 0) requires
      std::constructible_from<EncoderType, const Config&, std::uint64_t>
      : Network(EncoderType(config, seed), HeadOptions::from(config), seed, [&](Index width) {
        if constexpr (std::constructible_from<PoolingType, const Config&, Index, std::uint64_t>)
          return PoolingType(config, width, seed);
        else
          return PoolingType(config, width);
      }) {}

  const EncoderType& encoder() const noexcept { return encoder_; }
  const PoolingType& pooling() const noexcept { return pooling_; }
  const Linear<Scalar>& linear() const noexcept { return linear_; }
  const HeadOptions& head() const noexcept { return head_; }
  Options options() const requires requires(const EncoderType& e, const HeadOptions& h) {
    e.network_options(h);
  }
  { return encoder_.network_options(head_); }
  Index inputs() const noexcept { return encoder_.input_size(); }
  Index outputs() const noexcept { return head_.outputs; }
  Index target_steps(Index T) const noexcept {
    if constexpr (requires { pooling_.rows(T); })
      return pooling_.rows(T);
    else
      return 1;
  }

  Config describe() const {
    Config config;
    encoder_.describe(config);
    head_.describe(config);
    pooling_.describe(config);
    return config;
  }

  /// The name of this kind of model in files, if the encoder has a static kind().
  static std::string kind() requires requires { EncoderType::kind(); }
  { return EncoderType::kind(); }

  /// The tensors of a network with this configuration, in the order of visit(). Throws: as the
  /// constructor.
  static std::vector<TensorShape> tensors(const Config& config) requires(is_standard&& requires {
    EncoderType::tensors(config);
  }) {
    std::vector<TensorShape> all = EncoderType::tensors(config);
    const Index K = config.index("outputs"), width = EncoderType::output_size(config);
    for (TensorShape& tensor : PoolingType::tensors(config, width))
      all.push_back(std::move(tensor));
    all.push_back({"fc.weight", {K, PoolingType::output_size(config, width)}});
    all.push_back({"fc.bias", {K}});
    return all;
  }

  /// Calls f(Parameter&) for each tensor, in the order of PyTorch's state_dict. Call repack()
  /// afterwards, or use update() (nn/module.hpp) instead.
  template <class F>
  void visit(F&& f) {
    encoder_.visit(f);
    if constexpr (learns_pooling) pooling_.visit(f);
    linear_.visit(f);
  }

  template <class F>
  void visit(F&& f) const {
    encoder_.visit(f);
    if constexpr (learns_pooling) pooling_.visit(f);
    linear_.visit(f);
  }

  /// Derives the packed weights from the parameters; every update and load ends with this call.
  void repack() noexcept {
    encoder_.repack();
    if constexpr (learns_pooling) pooling_.repack();
    linear_.repack();
  }

  void zero_gradients() noexcept {
    encoder_.zero_gradients();
    if constexpr (learns_pooling) pooling_.zero_gradients();
    linear_.zero_gradients();
  }

  Index parameter_count() const { return tsdl::parameter_count(*this); }

  /// Computes the outputs of B windows, a view into the cache. Shapes: batch.past I x T x B; the
  /// result K x B, or K x (T B) where every step is read.
  /// Allocates: when the cache must grow. Safe to call concurrently with separate caches.
  /// Throws: ShapeError when x has no steps, no samples or another number of inputs, or the encoder
  /// returned columns of other sizes than it declares; OptionError when dropout has no key, or
  /// lengths are given that a part does not take; Error when parameters were not repacked.
  Outputs<Scalar> forward(const Batch<Scalar>& batch, Cache& cache, const Pass& pass = {}) const {
    const FloatModeGuard guard;
    const bool drops = pass.training && head_.head_dropout > 0;
    if (drops || (pass.training && pooling_dropout() > 0))
      internal::check_dropout_key(pass.dropout);
    linear_.check_packed();
    if constexpr (requires { pooling_.check_packed(); }) pooling_.check_packed();
    internal::check_takes_lengths<EncoderType, PoolingType>(batch, target_steps(batch.past.steps));
    const EncoderPass wanted{pooling_.steps(), pass, batch.keys, batch.lengths};
    const Encoded<Scalar> y = encoder_.forward(batch.past, cache.encoder, wanted);
    check_columns(y, batch.past);
    cache.encoded = y;
    cache.ready = pass.training;
    const Index rows = target_steps(batch.past.steps) * batch.size(), K = head_.outputs;
    cache.pooled.resize(rows * linear_.in());
    cache.outputs.resize(rows * K);
    const PoolingPass pooling_pass{pass, batch.keys, mask_layer() + 1};
    if constexpr (requires {
                    pooling_.forward(cache.pooled.data(), y, cache.pooling, pooling_pass);
                  })
      pooling_.forward(cache.pooled.data(), y, cache.pooling, pooling_pass);
    else
      pooling_.forward(cache.pooled.data(), y, cache.pooling);
    if (drops) drop(cache, pass.dropout, batch, rows);
    linear_.apply(cache.outputs.data(), cache.pooled.data(), rows);
    return {cache.outputs.data(), K, rows};
  }

  /// Back-propagates the gradient of the outputs of the last training pass. `batch` is the batch of
  /// that pass. Shapes: doutputs [rows][K]; dx dense. Accumulates: parameter gradients. Assigns:
  /// dx, if given. Throws: Error without a training pass; ShapeError when batch or cache are not of
  /// that pass of this network.
  void backward(const Batch<Scalar>& batch, Cache& cache, const Scalar* doutputs,
                const Sequence<Scalar>& dx = {}) {
    const FloatModeGuard guard;
    const Index rows = target_steps(batch.past.steps) * batch.size();
    if (!cache.ready)
      throw Error("Network::backward: no training pass is there to go back through");
    if (cache.pooled.size() != rows * linear_.in() || cache.outputs.size() != rows * outputs() ||
        (head_.head_dropout > 0 && cache.kept.size() != cache.pooled.size()))
      throw ShapeError("Network::backward: the cache is of another network or another batch");
    cache.dpooled.resize(rows * linear_.in());
    if constexpr (requires(Upstream<Scalar> dy) {
                    encoder_.check_backward(batch.past, cache.encoder, dy, dx);
                  })
      encoder_.check_backward(batch.past, cache.encoder, {}, dx);
    if constexpr (requires { pooling_.check_backward(cache.encoded, cache.pooling); })
      pooling_.check_backward(cache.encoded, cache.pooling);
    cache.ready = false;
    linear_.backward(cache.dpooled.data(), doutputs, cache.pooled.data(), rows, cache.linear);
    if (head_.head_dropout > 0)
      internal::dropout_gradient(cache.dpooled.data(), cache.kept.data(), head_.head_dropout,
                                 cache.dpooled.size());
    encoder_.backward(batch.past, cache.encoder,
                      pooling_.backward(cache.dpooled.data(), cache.encoded, cache.pooling), dx);
  }

  /// The attention weights of the last forward, [B][T]: how much of each step the head read; 0 in
  /// padded steps. Empty for another pooling. Units: a sample's weights sum to 1.
  std::span<const Scalar> attention(const Cache& cache) const noexcept {
    if constexpr (requires { cache.pooling.weights.span(); }) {
      // A cache that served a network with attention holds that network's weights.
      if constexpr (is_standard)
        if (!pooling_.attention()) return {};
      return cache.pooling.weights.span();
    } else {
      return {};
    }
  }

 private:
  static constexpr std::uint64_t linear_stream = 1u << 20;  // far above the streams of the layers

  template <class MakePooling>
  Network(EncoderType encoder, const HeadOptions& head, std::uint64_t seed,
          const MakePooling& make_pooling)
      : ModelBase<Scalar>(head.outputs),
        head_((head.check(), head)),
        encoder_(std::move(encoder)),
        pooling_(make_pooling(encoder_.output_size())),
        linear_(pooling_.output_size(), head.outputs, seed, "fc.", head.init, linear_stream) {
    if constexpr (is_standard) {  // of a file, from its options
      head_.pooling = pooling_.kind();
      if (const auto* attention = pooling_.attention()) {
        head_.attention_size = attention->size();
        head_.attention_dropout = attention->dropout();
      }
    }
    if (target_steps(2) != 1 && !encoder_.is_causal())
      throw OptionError(
          "Network: pooling each needs a causal encoder, and this one reads the rows after a step");
  }

  void check_columns(const Encoded<Scalar>& y, const Sequence<const Scalar>& x) const {
    if (y.segments * y.width != encoder_.output_size() || y.columns.steps != x.steps ||
        y.columns.batch != x.batch)
      throw ShapeError("Network: the encoder gave columns of ", y.segments * y.width,
                       " values, T = ", y.columns.steps, ", B = ", y.columns.batch, "; expected ",
                       encoder_.output_size(), ", T = ", x.steps, ", B = ", x.batch);
  }

  /// The layer number of the head's dropout masks: one past the encoder's layers. The pooling's is
  /// the next one.
  Index mask_layer() const noexcept {
    if constexpr (requires { encoder_.dropout_layers(); })
      return encoder_.dropout_layers();
    else
      return 0;
  }

  double pooling_dropout() const noexcept {
    if constexpr (requires { pooling_.dropout(); })
      return pooling_.dropout();
    else
      return 0;
  }

  void drop(Cache& cache, DropoutKey key, const Batch<Scalar>& batch, Index rows) const noexcept {
    const Index width = linear_.in(), B = batch.size();
    cache.kept.resize(rows * width);
    const Philox philox(key.seed, internal::dropout_stream + key.update);
    for (Index r = 0; r < rows; ++r) {
      Scalar* row = cache.pooled.data() + r * width;
      internal::dropout_column(row, cache.kept.data() + r * width, row, philox, head_.head_dropout,
                               mask_layer(), r / B, sample_key(batch.keys, r % B), Index{1}, width,
                               width);
    }
  }

  HeadOptions head_;
  EncoderType encoder_;
  PoolingType pooling_;
  Linear<Scalar> linear_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
