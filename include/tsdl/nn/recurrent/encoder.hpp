// Recurrent layers as the encoder of a network, and the networks made with them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/nn/network.hpp"
#include "tsdl/nn/recurrent/input_projection.hpp"
#include "tsdl/nn/recurrent/sliding.hpp"
#include "tsdl/nn/recurrent/stack.hpp"
#include "tsdl/nn/recurrent/stream.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of a recurrent network. With pooling attention and an input projection it is Qlib's
/// ALSTM (and its GRU).
struct ClassifierOptions {
  Index input_size = 0;       ///< I
  Index hidden_size = 128;    ///< H
  Index num_layers = 2;       ///< L
  double dropout = 0.0;       ///< between layers, in training only; none with one layer
  double head_dropout = 0.0;  ///< before the linear layer, in training only
  Pooling pooling = Pooling::last;
  Index outputs = 1;  ///< K; without a task, 1 is one logit of two classes, more are K classes
  Init init = Init::pytorch;
  std::optional<Index> attention_size{};  ///< A of pooling attention; without: half of its columns
  double attention_dropout = 0.0;         ///< of pooling attention: before tanh, in training only
  bool input_projection = false;          ///< the layers read tanh(Linear(I, H)) of the input

  /// The options of the recurrent layers.
  RecurrentOptions recurrent(Index directions) const noexcept {
    return {.input_size = input_projection ? hidden_size : input_size,
            .hidden_size = hidden_size,
            .num_layers = num_layers,
            .bidirectional = directions == 2,
            .dropout = dropout,
            .init = init};
  }
  HeadOptions head() const noexcept {
    return {.outputs = outputs,
            .pooling = pooling,
            .head_dropout = head_dropout,
            .init = init,
            .attention_size = attention_size,
            .attention_dropout = attention_dropout};
  }
};

/// A RecurrentStack in one or two directions, as an encoder. Its parameters are those of an nn.LSTM
/// named `lstm`, or an nn.GRU named `gru`; with an input projection, those of an nn.Linear(I, H)
/// named `input` come first.
template <class Cell, Index Directions>
class RecurrentEncoder : public RecurrentStack<Cell> {
 public:
  using Stack = RecurrentStack<Cell>;
  using typename Stack::Scalar;
  /// What a pass keeps: of the stack, and of the input projection.
  struct Cache : Stack::Cache {
    typename InputProjection<Scalar>::Cache projection;
  };
  using NetworkOptions = ClassifierOptions;
  static constexpr bool takes_lengths = true;

  /// Draws initial weights from the seed. Throws: ShapeError, OptionError when an option is out of
  /// range.
  explicit RecurrentEncoder(const ClassifierOptions& options, std::uint64_t seed = 0)
      : Stack(options.recurrent(Directions), seed, prefix()) {
    if (options.input_projection)
      projection_.emplace(options.input_size, options.hidden_size, seed, options.init);
  }
  explicit RecurrentEncoder(const Config& config, std::uint64_t seed = 0)
      : RecurrentEncoder(options_from(config), seed) {}

  /// "lstm", "gru", "bilstm", "bigru".
  static std::string kind() { return std::string(Directions == 2 ? "bi" : "") + Cell::prefix; }

  Index input_size() const noexcept {
    return projection_ ? projection_->in() : this->options().input_size;
  }
  using Stack::output_size;
  static Index output_size(const Config& config) {
    return Directions * config.index("hidden_size");
  }
  bool is_causal() const noexcept { return Directions == 1; }
  Index dropout_layers() const noexcept { return this->options().num_layers; }

  void describe(Config& config) const {
    const RecurrentOptions& o = this->options();
    config.kind = kind();
    config.options["input_size"] = input_size();
    config.options["hidden_size"] = o.hidden_size;
    config.options["num_layers"] = o.num_layers;
    config.options["dropout"] = o.dropout;
    if (projection_) config.options["input_projection"] = true;
  }
  static std::vector<TensorShape> tensors(const Config& config) {
    const ClassifierOptions options = options_from(config);
    const RecurrentOptions o = options.recurrent(Directions);
    o.check(Cell::name);
    const Index H = o.hidden_size, rows = Cell::gates * H;
    std::vector<TensorShape> all;
    if (options.input_projection) all = InputProjection<Scalar>::tensors(options.input_size, H);
    for (Index l = 0; l < o.num_layers; ++l)
      for (Index d = 0; d < Directions; ++d) {
        const auto add = [&](const char* what, std::vector<Index> shape) {
          all.push_back({internal::tensor_name(prefix(), what, l, d == 1), std::move(shape)});
        };
        add("weight_ih", {rows, l == 0 ? o.input_size : Directions * H});
        add("weight_hh", {rows, H});
        add("bias_ih", {rows});
        add("bias_hh", {rows});
      }
    return all;
  }
  ClassifierOptions network_options(const HeadOptions& head) const noexcept {
    const RecurrentOptions& o = this->options();
    return {.input_size = input_size(),
            .hidden_size = o.hidden_size,
            .num_layers = o.num_layers,
            .dropout = o.dropout,
            .head_dropout = head.head_dropout,
            .pooling = head.pooling,
            .outputs = head.outputs,
            .init = head.init,
            .attention_size = head.attention_size,
            .attention_dropout = head.attention_dropout,
            .input_projection = projection_.has_value()};
  }

  template <class F>
  void visit(F&& f) {
    if (projection_) projection_->visit(f);
    Stack::visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    if (projection_) projection_->visit(f);
    Stack::visit(f);
  }
  void repack() noexcept {
    if (projection_) projection_->repack();
    Stack::repack();
  }
  void zero_gradients() noexcept {
    if (projection_) projection_->zero_gradients();
    Stack::zero_gradients();
  }
  void check_packed() const {
    if (projection_) projection_->check_packed();
    Stack::check_packed();
  }

  using Stack::backward;
  using Stack::forward;
  Encoded<Scalar> forward(const Sequence<const Scalar>& x, Cache& cache,
                          const EncoderPass& pass) const {
    ForwardOptions<Scalar> options;
    options.steps = pass.steps;
    options.training = pass.pass.training;
    options.dropout = pass.pass.dropout;
    options.keys = pass.keys;
    options.lengths = pass.lengths;
    if (!projection_) {
      Stack::forward(x, cache, options);
    } else {
      check_packed();
      const FloatModeGuard guard;
      Stack::forward(
          projection_->forward(Cell::name, x, cache.projection, pass.lengths, pass.pass.training),
          cache, options);
    }
    return this->encoded(cache);
  }
  void check_backward(const Sequence<const Scalar>& x, const Cache& cache,
                      const Upstream<Scalar>& dy, const Sequence<Scalar>& dx) const {
    if (!projection_) return Stack::check_backward(x, cache, backward_options(dy, dx));
    projection_->check_backward(Cell::name, x, cache.projection, dx);
    Stack::check_backward(cache.projection.columns, cache, backward_options(dy, {}));
  }
  void backward(const Sequence<const Scalar>& x, Cache& cache, const Upstream<Scalar>& dy,
                const Sequence<Scalar>& dx) {
    if (!projection_) return Stack::backward(x, cache, backward_options(dy, dx));
    check_backward(x, cache, dy, dx);
    const FloatModeGuard guard;
    Stack::backward(cache.projection.columns, cache,
                    backward_options(dy, projection_->gradient(cache.projection)));
    projection_->backward(x, cache.projection, dx);
  }

  /// How it runs on a live series: over the last T columns again.
  class Window {
   public:
    Window(const RecurrentEncoder& encoder, Index T, Steps steps)
        : rows_(encoder, T, steps), projected_(encoder.projected_size()) {}
    void push(const RecurrentEncoder& encoder, const Scalar* x) noexcept {
      rows_.push(encoder, encoder.project(projected_, x));
    }
    Encoded<Scalar> run(const RecurrentEncoder& encoder) noexcept { return rows_.run(encoder); }
    void state(StateBytes& bytes) { rows_.state(bytes); }
    void restore(const RecurrentEncoder& encoder) noexcept { rows_.restore(encoder); }

   private:
    SlidingStack<Cell> rows_;
    Buffer<Scalar> projected_;
  };

  /// How it runs with its state carried. With an input projection, Input is what the layers read:
  /// Hidden.
  template <class Weight, Index Input, Index Hidden>
  class Carried {
    using Stream = RecurrentStream<Cell, Weight, Input, Hidden>;

   public:
    static Carried borrowing(const RecurrentEncoder& encoder) { return Carried(encoder); }
    std::span<const Scalar> push(const RecurrentEncoder& encoder, const Scalar* x) noexcept {
      return stream_.push(encoder, encoder.project(projected_, x));
    }
    void prepare(const RecurrentEncoder& encoder) noexcept { stream_.prepare(encoder); }
    void reset() noexcept { stream_.reset(); }
    void state(StateBytes& bytes) { stream_.state(bytes); }

   private:
    explicit Carried(const RecurrentEncoder& encoder)
        : stream_(Stream::borrowing(encoder)), projected_(encoder.projected_size()) {
      encoder.check_packed();
    }
    Stream stream_;
    Buffer<Scalar> projected_;
  };

 private:
  Index projected_size() const noexcept { return projection_ ? projection_->out() : 0; }
  /// What the layers read of a live series' row x.
  const Scalar* project(Buffer<Scalar>& projected, const Scalar* x) const noexcept {
    if (!projection_) return x;
    projection_->apply(projected.data(), x);
    return projected.data();
  }

  static std::string prefix() { return std::string(Cell::prefix) + "."; }

  static ClassifierOptions options_from(const Config& config) {
    if (config.kind != kind())
      throw OptionError("expected a model of kind ", kind(), ", got ", config.kind);
    config.refuse_others({"input_size", "hidden_size", "num_layers", "dropout", "head_dropout",
                          "pooling", "outputs", "init", "attention_size", "attention_dropout",
                          "input_projection"});
    return {
        .input_size = config.index("input_size"),
        .hidden_size = config.index("hidden_size"),
        .num_layers = config.index("num_layers"),
        .dropout = config.number("dropout"),
        .init = init_from(config.text("init")),
        .input_projection = config.contains("input_projection") && config.flag("input_projection")};
  }

  static BackwardOptions<Scalar> backward_options(const Upstream<Scalar>& dy,
                                                  const Sequence<Scalar>& dx) noexcept {
    BackwardOptions<Scalar> options;
    options.dy = dy.dy;
    options.steps = dy.steps;
    options.dx = dx;
    return options;
  }

  std::optional<InputProjection<Scalar>> projection_;
};

template <class Cell, Index Directions>
using RecurrentNetwork = Network<RecurrentEncoder<Cell, Directions>>;

template <class Scalar>
using LSTMClassifier = RecurrentNetwork<LSTMCell<Scalar>, 1>;
template <class Scalar>
using BiLSTMClassifier = RecurrentNetwork<LSTMCell<Scalar>, 2>;
template <class Scalar>
using GRUClassifier = RecurrentNetwork<GRUCell<Scalar>, 1>;
template <class Scalar>
using BiGRUClassifier = RecurrentNetwork<GRUCell<Scalar>, 2>;

}  // namespace TSDL_ABI
}  // namespace tsdl
