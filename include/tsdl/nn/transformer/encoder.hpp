// A Transformer as the encoder of a network: a linear input, sinusoidal positions, and layers equal
// to torch.nn.TransformerEncoderLayer.
//
//   h_t = W_in x_t + b_in + position_t         y = layer_L(... layer_1(h)), then final_norm's norm
//
//   dW_in += sum_{t, b} dh_t x_t^T             dx_t = W_in^T dh_t
//
//   symbol   shape        meaning
//   x        I x T x B    a window's rows
//   h, y     d x T x B    columns
//
// A thread takes one sample through all layers, forward and backward: what it works on stays in its
// caches. Weight gradients: nn/transformer/weight_gradient.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/nn/network.hpp"
#include "tsdl/nn/transformer/cache.hpp"
#include "tsdl/nn/transformer/checks.hpp"
#include "tsdl/nn/transformer/layer.hpp"
#include "tsdl/nn/transformer/options.hpp"
#include "tsdl/nn/transformer/stream.hpp"
#include "tsdl/nn/transformer/weight_gradient.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// An Encoder. Parameters: input.weight, input.bias, and those of a torch.nn.TransformerEncoder
/// named `encoder`, in the order of its state_dict. Steps that the pooling does not read are not
/// computed: under Steps::last the last layer runs for one step. A sample with a length is computed
/// as if it had no other steps, and its padded columns are 0.
template <class ScalarType>
class TransformerEncoder {
 public:
  using Scalar = ScalarType;
  using Cache = TransformerCache<Scalar>;
  using Layer = TransformerLayer<Scalar>;
  using NetworkOptions = TransformerOptions;
  static constexpr bool takes_lengths = true;

  /// Draws initial weights from the seed. Throws: ShapeError, OptionError when an option is out of
  /// range.
  explicit TransformerEncoder(const TransformerOptions& options, std::uint64_t seed = 0)
      : options_((options.check(), options)),
        weight_(Parameter<Scalar>::matrix("input.weight", options.hidden_size, options.input_size)),
        bias_(Parameter<Scalar>::vector("input.bias", options.hidden_size)),
        input_(options.input_size, options.hidden_size),
        norm_("encoder.norm.", options.hidden_size) {
    const FloatModeGuard guard;
    std::uint64_t stream = 0;
    if (options.init == Init::pytorch) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(options.input_size));
      internal::fill_uniform(weight_, bound, RandomStream(seed, stream));
      internal::fill_uniform(bias_, bound, RandomStream(seed, stream + 1));
    } else {
      internal::fill_xavier(weight_, RandomStream(seed, stream));
    }
    stream += 2;
    for (Index l = 0; l < options.num_layers; ++l) {
      layers_.emplace_back(options, layer_prefix(l));
      layers_.back().init_weights(options.init, seed, stream);
    }
    repack();
  }
  /// From a configuration that describe() made. Throws: also OptionError when an option is missing
  /// or unknown.
  explicit TransformerEncoder(const Config& config, std::uint64_t seed = 0)
      : TransformerEncoder(options_from(config), seed) {}

  static std::string kind() { return "transformer"; }
  const TransformerOptions& options() const noexcept { return options_; }
  Index input_size() const noexcept { return options_.input_size; }
  Index output_size() const noexcept { return options_.hidden_size; }
  static Index output_size(const Config& config) { return config.index("hidden_size"); }
  bool is_causal() const noexcept { return options_.causal; }
  Index dropout_layers() const noexcept {
    return options_.num_layers * LayerDropout::places(options_.heads);
  }

  void describe(Config& config) const {
    config.kind = kind();
    options_.describe(config);
  }
  static std::vector<TensorShape> tensors(const Config& config) {
    const TransformerOptions o = options_from(config);
    o.check();
    const Index d = o.hidden_size, F = o.feed_forward;
    std::vector<TensorShape> all{{"input.weight", {d, o.input_size}}, {"input.bias", {d}}};
    for (Index l = 0; l < o.num_layers; ++l) {
      const auto add = [&](const char* what, std::vector<Index> shape) {
        all.push_back({layer_prefix(l) + what, std::move(shape)});
      };
      add("self_attn.in_proj_weight", {3 * d, d});
      add("self_attn.in_proj_bias", {3 * d});
      add("self_attn.out_proj.weight", {d, d});
      add("self_attn.out_proj.bias", {d});
      add("linear1.weight", {F, d});
      add("linear1.bias", {F});
      add("linear2.weight", {d, F});
      add("linear2.bias", {d});
      for (const char* norm : {"norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"})
        add(norm, {d});
    }
    if (o.final_norm)
      for (const char* norm : {"encoder.norm.weight", "encoder.norm.bias"})
        all.push_back({norm, {d}});
    return all;
  }
  TransformerOptions network_options(const HeadOptions& head) const noexcept {
    TransformerOptions all = options_;
    all.head_dropout = head.head_dropout;
    all.pooling = head.pooling;
    all.outputs = head.outputs;
    all.init = head.init;
    all.attention_size = head.attention_size;
    all.attention_dropout = head.attention_dropout;
    return all;
  }

  /// For a stream that takes one row at a time: one layer; h of a row at a position; and
  /// final_norm's norm of a column in place, where there is one.
  const Layer& layer(Index l) const noexcept { return layers_[static_cast<std::size_t>(l)]; }
  void embed_row(Scalar* h, const Scalar* x, const Scalar* position) const noexcept {
    embed(h, {x, options_.input_size, 1, 1, 0, 0}, position, Index{0}, Index{1});
  }
  void normalise_row(Scalar* y) const noexcept {
    if (options_.final_norm)
      kernels::layer_norm<Scalar>(
          {y, nullptr, nullptr, y, nullptr, norm_.gamma.data(), norm_.beta.data()}, Index{1},
          options_.hidden_size);
  }

  /// Calls f(Parameter&) for each tensor in PyTorch's order. Call repack() afterwards, or use
  /// update() (nn/module.hpp) instead.
  template <class F>
  void visit(F&& f) {
    packed_ = false;
    visit_all(*this, f);
  }
  template <class F>
  void visit(F&& f) const {
    visit_all(*this, f);
  }
  void zero_gradients() noexcept {
    visit_all(*this, [](Parameter<Scalar>& parameter) { parameter.zero_gradient(); });
  }
  void repack() noexcept {
    if (layers_.empty()) return;  // moved from
    input_.derive(weight_.value.data(), bias_.value.data());
    for (Layer& layer : layers_) layer.repack();
    norm_.repack();
    packed_ = true;
  }
  /// Creates what a backward pass needs; backward calls this too. Allocates: the first time.
  void need_gradients() {
    if (layers_.empty()) return;
    visit_all(*this, [](Parameter<Scalar>& parameter) { parameter.need_gradient(); });
    if (input_.need_transposed()) input_.derive(weight_.value.data(), bias_.value.data());
    for (Layer& layer : layers_) layer.need_gradients();
  }
  /// Throws: Error when parameters were visited and repack() was not called, or the encoder was
  /// moved from.
  void check_packed() const {
    if (layers_.empty()) throw Error("Transformer: it was moved from, and has no layers");
    internal::check_packed(packed_, "Transformer");
  }

  /// Computes the columns of x, which must stay alive and unchanged until backward has run. Shapes:
  /// x I x T x B. Allocates: when the cache must grow. Safe to call concurrently with separate
  /// caches. Throws: ShapeError when x has no steps, no samples or another number of inputs, or
  /// lengths are not one for each sample, 1 to T; OptionError when dropout has no key; Error when
  /// parameters were visited and not repacked.
  Encoded<Scalar> forward(const Sequence<const Scalar>& x, Cache& cache,
                          const EncoderPass& pass = {}) const {
    check_packed();
    internal::check_transformer_input(x, options_, pass.lengths);
    if (pass.pass.training && options_.dropout > 0) internal::check_dropout_key(pass.pass.dropout);
    const FloatModeGuard guard;
    cache.prepare(options_, x.steps, x.batch, pass);
    const Philox philox(pass.pass.dropout.seed,
                        internal::dropout_stream + pass.pass.dropout.update);
    internal::for_each_sample(x.batch, operations(cache), [&](Index b, Index thread) noexcept {
      forward_sample(x, cache, b, thread, {philox, options_.dropout, 0, sample_key(pass.keys, b)});
    });
    const Index dp = cache.dp();
    Encoded<Scalar> y({cache.output.data(), dp, x.steps, x.batch, dp, x.steps * dp}, Index{1},
                      options_.hidden_size, dp, Index{1});
    y.lengths = cache.lengths.span();
    cache.ready = pass.pass.training;
    return y;
  }

  /// Checks the arguments of backward. Throws: as backward.
  void check_backward(const Sequence<const Scalar>& x, const Cache& cache,
                      const Upstream<Scalar>& dy, const Sequence<Scalar>& dx) const {
    check_packed();
    internal::check_transformer_backward(x, cache, options_, dy, dx);
  }

  /// The backward pass of the last training forward, which it consumes. Accumulates: parameter
  /// gradients. Assigns: dx, 0 in padded steps. Throws: Error without a training forward, or when
  /// parameters were visited and not repacked; ShapeError when a size is wrong, dx is not dense, or
  /// gradients enter at steps that forward did not compute.
  void backward(const Sequence<const Scalar>& x, Cache& cache, const Upstream<Scalar>& dy,
                const Sequence<Scalar>& dx) {
    check_backward(x, cache, dy, dx);
    need_gradients();
    const FloatModeGuard guard;
    cache.ready = false;
    cache.prepare_scratch(true);
    const auto sums = internal::GroupSums<Scalar>::of(options_);
    constexpr Index group = internal::gradient_group;
    const Index groups = (x.batch + group - 1) / group;
    constexpr Index most = internal::gradient_groups;
    cache.sums.resize(std::min(groups, most) * sums.size());
    for (Index first = 0; first < groups; first += most) {
      const Index count = std::min(most, groups - first);
      internal::for_each_sample(count, 2 * operations(cache), [&](Index i, Index thread) noexcept {
        Scalar* its = cache.sums.data() + i * sums.size();
        std::fill_n(its, sums.size(), Scalar{0});
        const Index g = first + i;
        for (Index b = g * group; b < std::min((g + 1) * group, x.batch); ++b)
          backward_sample(its, x, cache, dy, dx, b, thread);
      });
      add_gradients(cache.sums.data(), count, sums);
    }
  }

  /// How it runs on a live series with its state carried, if it is causal. Sizes and weights are
  /// those of the encoder.
  template <class Weight, Index Input, Index Hidden>
  requires(std::is_same_v<Weight, Scalar>&& Input == Eigen::Dynamic &&
           Hidden == Eigen::Dynamic) using Carried = TransformerStream<Scalar>;

 private:
  static constexpr Index W = kernels::lanes<Scalar>;

  static std::string layer_prefix(Index l) {
    return internal::concatenate("encoder.layers.", l, ".");
  }
  static TransformerOptions options_from(const Config& config) {
    if (config.kind != kind())
      throw OptionError("expected a model of kind ", kind(), ", got ", config.kind);
    config.refuse_others({"input_size", "hidden_size", "heads", "feed_forward", "num_layers",
                          "dropout", "activation", "norm_first", "causal", "final_norm",
                          "head_dropout", "pooling", "outputs", "init", "attention_size",
                          "attention_dropout"});
    return TransformerOptions::from(config);
  }

  template <class Self, class F>
  static void visit_all(Self& self, F&& f) {
    f(self.weight_);
    f(self.bias_);
    for (auto& layer : self.layers_) layer.visit(f);
    if (!self.options_.final_norm) return;
    f(self.norm_.weight);
    f(self.norm_.bias);
  }

  /// Floating-point operations of a forward pass, about.
  double operations(const Cache& cache) const noexcept {
    const auto d = static_cast<double>(options_.hidden_size);
    const auto T = static_cast<double>(cache.T), F = static_cast<double>(options_.feed_forward);
    return static_cast<double>(options_.num_layers) * T * static_cast<double>(cache.B) *
           (8 * d * d + 4 * d * F + 4 * T * d);
  }

  void forward_sample(const Sequence<const Scalar>& x, Cache& cache, Index b, Index thread,
                      LayerDropout dropout) const noexcept {
    const Index n = cache.length(b), dp = cache.dp(), L = options_.num_layers;
    const bool training = cache.training;
    LayerScratch<Scalar> scratch = cache.scratch_of(thread, cache.shape(0, n), false);
    LayerRows<Scalar> rows;
    if (training) rows = cache.rows(0, b);
    Scalar* h = training ? rows.x : scratch.columns[0];
    embed(h, x, cache.positions.data(), b, n);
    for (Index l = 0; l < L; ++l) {
      const LayerShape s = cache.shape(l, n);
      if (training)
        rows = cache.rows(l, b);
      else
        LayerRows<Scalar>::lay_out(rows, cache.rows_of(thread), nullptr, s);
      rows.x = h;
      const bool top = l + 1 == L;
      Scalar* y = top        ? cache.output_rows(b, s.m)
                  : training ? cache.rows(l + 1, b).x
                             : scratch.columns[(l + 1) % 2];
      dropout.place = l * LayerDropout::places(options_.heads);
      layers_[static_cast<std::size_t>(l)].forward(y, rows, s, scratch, dropout);
      h = y;
    }
    const Index m = cache.live(L - 1, n);
    if (options_.final_norm)
      kernels::layer_norm<Scalar>(
          {h, training ? cache.final_normalised.data() + b * cache.T * dp : nullptr,
           training ? cache.final_rstd.data() + b * cache.T : nullptr, h, nullptr,
           norm_.gamma.data(), norm_.beta.data()},
          m, options_.hidden_size);
    std::fill_n(h + m * dp, (cache.T - n) * dp, Scalar{0});
  }

  /// h_t = W_in x_t + (b_in + position_t), of n rows.
  void embed(Scalar* h, const Sequence<const Scalar>& x, const Scalar* positions, Index b,
             Index n) const noexcept {
    const Index dp = round_up(options_.hidden_size, W);
    for (Index t = 0; t < n; ++t)
      for (Index i = 0; i < dp; i += W)
        kernels::store(h + t * dp + i, kernels::Vec<Scalar>(kernels::load(input_.bias() + i) +
                                                            kernels::load(positions + t * dp + i)));
    kernels::multiply(kernels::Start::previous, h, dp,
                      {x.column(0, b), x.step_stride, 1, x.inputs, 0}, input_.pack(),
                      static_cast<const Scalar*>(nullptr), n, dp);
  }

  /// Adds the sample's weight gradients to the sums of its group.
  void backward_sample(Scalar* sums, const Sequence<const Scalar>& x, Cache& cache,
                       const Upstream<Scalar>& upstream, const Sequence<Scalar>& dx, Index b,
                       Index thread) const noexcept {
    const auto at = internal::GroupSums<Scalar>::of(options_);
    const Index n = cache.length(b), dp = cache.dp(), d = options_.hidden_size;
    const Index L = options_.num_layers, m = cache.live(L - 1, n);
    LayerScratch<Scalar> scratch = cache.scratch_of(thread, cache.shape(0, n), true);
    Scalar* dy = scratch.columns[0];
    for (Index r = 0; r < m; ++r) {
      const Scalar* from = upstream.at(n - m + r, b, n);
      std::fill_n(dy + r * dp, dp, Scalar{0});
      if (from) std::copy_n(from, d, dy + r * dp);
    }
    if (options_.final_norm) {
      Scalar* gradients = sums + at.of_norm();
      kernels::layer_norm_backward<Scalar>(
          {dy, gradients, gradients + dp, dy, cache.final_normalised.data() + b * cache.T * dp,
           cache.final_rstd.data() + b * cache.T, norm_.gamma.data()},
          m, d);
    }
    for (Index l = L; l-- > 0;) {
      const LayerShape s = cache.shape(l, n);
      LayerRows<Scalar> rows = cache.rows(l, b);
      Scalar* out = dy == scratch.columns[0] ? scratch.columns[1] : scratch.columns[0];
      Scalar* its = sums + at.of_layer(l);
      layers_[static_cast<std::size_t>(l)].backward(out, dy, rows, s, scratch, its,
                                                    options_.dropout);
      at.layer.add(its, rows, s, scratch);
      dy = out;
    }
    at.input.add(sums + at.of_input(), dy, x.column(0, b), x.step_stride, n);
    if (!dx.data) return;
    kernels::multiply(kernels::Start::zero, dx.column(0, b), dx.step_stride, {dy, dp, 1, dp, 0},
                      input_.transposed(), static_cast<const Scalar*>(nullptr), n, dx.inputs);
    for (Index t = n; t < cache.T; ++t) std::fill_n(dx.column(t, b), dx.inputs, Scalar{0});
  }

  void add_gradients(const Scalar* sums, Index groups,
                     const internal::GroupSums<Scalar>& at) noexcept {
    const Index dp = round_up(options_.hidden_size, W), stride = at.size();
    for (Index l = 0; l < options_.num_layers; ++l)
      at.layer.add_to(layers_[static_cast<std::size_t>(l)], sums + at.of_layer(l), groups, stride);
    for (Index g = 0; g < groups; ++g) {
      const Scalar* norm = sums + g * stride + at.of_norm();
      if (options_.final_norm) norm_.add_gradients(norm, norm + dp);
      at.input.add_to(weight_, bias_, sums + g * stride + at.of_input());
    }
  }

  TransformerOptions options_;
  Parameter<Scalar> weight_, bias_;
  LinearPack<Scalar> input_;
  std::vector<Layer> layers_;
  NormWeights<Scalar> norm_;  ///< used with final_norm
  bool packed_ = false;
};

template <class Scalar>
using TransformerNetwork = Network<TransformerEncoder<Scalar>>;

}  // namespace TSDL_ABI
}  // namespace tsdl
