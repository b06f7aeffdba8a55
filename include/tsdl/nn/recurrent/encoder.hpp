// Recurrent layers as the encoder of a network, and the networks made with them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/nn/network.hpp"
#include "tsdl/nn/recurrent/sliding.hpp"
#include "tsdl/nn/recurrent/stack.hpp"
#include "tsdl/nn/recurrent/stream.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of a recurrent network.
struct ClassifierOptions {
  Index input_size = 0;       ///< I
  Index hidden_size = 128;    ///< H
  Index num_layers = 2;       ///< L
  double dropout = 0.0;       ///< between layers, in training only; none with one layer
  double head_dropout = 0.0;  ///< before the linear layer, in training only
  Pooling pooling = Pooling::last;
  Index outputs = 1;  ///< K; without a task, 1 is one logit of two classes, more are K classes
  Init init = Init::pytorch;

  /// The options of the recurrent layers.
  RecurrentOptions recurrent(Index directions) const noexcept {
    return {.input_size = input_size,
            .hidden_size = hidden_size,
            .num_layers = num_layers,
            .bidirectional = directions == 2,
            .dropout = dropout,
            .init = init};
  }
  HeadOptions head() const noexcept {
    return {.outputs = outputs, .pooling = pooling, .head_dropout = head_dropout, .init = init};
  }
};

/// A RecurrentStack in one or two directions, as an encoder. Its parameters are those of an nn.LSTM
/// named `lstm`, or an nn.GRU named `gru`.
template <class Cell, Index Directions>
class RecurrentEncoder : public RecurrentStack<Cell> {
 public:
  using Stack = RecurrentStack<Cell>;
  using typename Stack::Cache;
  using typename Stack::Scalar;
  using NetworkOptions = ClassifierOptions;
  static constexpr bool takes_lengths = true;

  /// Draws initial weights from the seed. Throws: ShapeError, OptionError when an option is out of
  /// range.
  explicit RecurrentEncoder(const ClassifierOptions& options, std::uint64_t seed = 0)
      : Stack(options.recurrent(Directions), seed, prefix()) {}
  explicit RecurrentEncoder(const Config& config, std::uint64_t seed = 0)
      : RecurrentEncoder(options_from(config), seed) {}

  /// "lstm", "gru", "bilstm", "bigru".
  static std::string kind() { return std::string(Directions == 2 ? "bi" : "") + Cell::prefix; }

  Index input_size() const noexcept { return this->options().input_size; }
  using Stack::output_size;
  static Index output_size(const Config& config) {
    return Directions * config.index("hidden_size");
  }
  bool is_causal() const noexcept { return Directions == 1; }
  Index dropout_layers() const noexcept { return this->options().num_layers; }

  void describe(Config& config) const {
    const RecurrentOptions& o = this->options();
    config.kind = kind();
    config.options["input_size"] = o.input_size;
    config.options["hidden_size"] = o.hidden_size;
    config.options["num_layers"] = o.num_layers;
    config.options["dropout"] = o.dropout;
  }
  static std::vector<TensorShape> tensors(const Config& config) {
    const RecurrentOptions o = options_from(config).recurrent(Directions);
    o.check(Cell::name);
    const Index H = o.hidden_size, rows = Cell::gates * H;
    std::vector<TensorShape> all;
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
    return {.input_size = o.input_size,
            .hidden_size = o.hidden_size,
            .num_layers = o.num_layers,
            .dropout = o.dropout,
            .head_dropout = head.head_dropout,
            .pooling = head.pooling,
            .outputs = head.outputs,
            .init = head.init};
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
    Stack::forward(x, cache, options);
    return this->encoded(cache);
  }
  void check_backward(const Sequence<const Scalar>& x, const Cache& cache,
                      const Upstream<Scalar>& dy, const Sequence<Scalar>& dx) const {
    Stack::check_backward(x, cache, backward_options(dy, dx));
  }
  void backward(const Sequence<const Scalar>& x, Cache& cache, const Upstream<Scalar>& dy,
                const Sequence<Scalar>& dx) {
    Stack::backward(x, cache, backward_options(dy, dx));
  }

  /// How it runs on a live series: over the last T columns again, or with its state carried.
  using Window = SlidingStack<Cell>;
  template <class Weight, Index Input, Index Hidden>
  using Carried = RecurrentStream<Cell, Weight, Input, Hidden>;

 private:
  static std::string prefix() { return std::string(Cell::prefix) + "."; }

  static ClassifierOptions options_from(const Config& config) {
    if (config.kind != kind())
      throw OptionError("expected a model of kind ", kind(), ", got ", config.kind);
    config.refuse_others({"input_size", "hidden_size", "num_layers", "dropout", "head_dropout",
                          "pooling", "outputs", "init"});
    return {.input_size = config.index("input_size"),
            .hidden_size = config.index("hidden_size"),
            .num_layers = config.index("num_layers"),
            .dropout = config.number("dropout"),
            .init = init_from(config.text("init"))};
  }

  static BackwardOptions<Scalar> backward_options(const Upstream<Scalar>& dy,
                                                  const Sequence<Scalar>& dx) noexcept {
    BackwardOptions<Scalar> options;
    options.dy = dy.dy;
    options.steps = dy.steps;
    options.dx = dx;
    return options;
  }
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
