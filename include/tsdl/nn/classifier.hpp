// Recurrent layers, a pooling and a linear layer: windows in, logits out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/pooling.hpp"
#include "tsdl/nn/stack.hpp"

namespace tsdl::inline TSDL_ABI {

/// What a Classifier is built from.
struct ClassifierOptions {
  Index input_size = 0;       ///< I
  Index hidden_size = 128;    ///< H
  Index num_layers = 2;       ///< L
  double dropout = 0.0;       ///< between layers, in training only
  double head_dropout = 0.0;  ///< before the linear layer, in training only
  Pooling pooling = Pooling::last;
  Index outputs = 1;  ///< 1: one logit, two classes; K > 1: K logits, K classes
  Init init = Init::pytorch;

  /// Those of the recurrent layers.
  RecurrentOptions recurrent(Index directions) const noexcept {
    return {.input_size = input_size,
            .hidden_size = hidden_size,
            .num_layers = num_layers,
            .bidirectional = directions == 2,
            .dropout = dropout,
            .init = init};
  }
};

/// A classifier over a recurrent cell, in one direction or two. Its parameters are those of the
/// PyTorch module that has an nn.LSTM named `lstm`, or an nn.GRU named `gru`, and an nn.Linear
/// named `fc`.
template <class Cell, Index Directions>
class Classifier {
 public:
  using Scalar = typename Cell::Scalar;
  using CellType = Cell;
  using Logits = Eigen::Map<const Matrix<Scalar>>;

  /// Everything that a pass computes. Reused, it stops allocating.
  struct Cache {
    StackCache<Scalar> stack;
    typename Linear<Scalar>::Cache linear;
    Buffer<Scalar> pooled, dpooled, logits;
    Buffer<std::uint8_t> kept;  ///< by head_dropout
  };

  /// Initial weights follow from the seed. Throws: ShapeError when an option is out of range.
  explicit Classifier(const ClassifierOptions& options, std::uint64_t seed = 0)
      : options_(options),
        stack_(checked(options).recurrent(Directions), seed, std::string(Cell::prefix) + "."),
        linear_(Directions * options.hidden_size, options.outputs, options.init,
                RandomStream(seed, linear_stream), RandomStream(seed, linear_stream + 1), "fc.") {}

  const ClassifierOptions& options() const noexcept { return options_; }

  const RecurrentStack<Cell>& recurrent() const noexcept { return stack_; }
  const Linear<Scalar>& linear() const noexcept { return linear_; }

  /// The architecture's name in model files: "lstm", "gru", "bilstm", "bigru".
  static std::string kind() { return std::string(Directions == 2 ? "bi" : "") + Cell::prefix; }
  static std::string cell_name() { return Cell::prefix; }
  static constexpr Index gates = Cell::gates;
  static constexpr Index directions = Directions;

  /// Calls f(Parameter&) for each tensor, in the order of PyTorch's state_dict. After changing
  /// values call repack().
  template <class F>
  void visit(F&& f) {
    stack_.visit(f);
    linear_.visit(f);
  }

  template <class F>
  void visit(F&& f) const {
    stack_.visit(f);
    linear_.visit(f);
  }

  /// Derives the packs from the parameters; every update and load ends with it.
  void repack() noexcept {
    stack_.repack();
    linear_.repack();
  }

  void zero_gradients() noexcept {
    stack_.zero_gradients();
    linear_.zero_gradients();
  }

  Index parameter_count() const {
    Index count = 0;
    visit([&](const Parameter<Scalar>& parameter) { count += parameter.size(); });
    return count;
  }

  /// Logits of B windows. Shapes: x is I x T x B; the result outputs x B, and lives in the cache.
  /// Allocates: when the cache must grow. Safe to call concurrently with separate caches.
  /// Throws: ShapeError when x has no steps, no samples or another number of inputs.
  Logits forward(const Sequence<const Scalar>& x, Cache& cache) const {
    return run(x, cache, false, {});
  }

  /// The same with dropout, keeping what backward needs.
  Logits forward_training(const Sequence<const Scalar>& x, Cache& cache, DropoutKey key) const {
    return run(x, cache, true, key);
  }

  /// Goes back from the gradient of the logits of the last forward_training. x is what that was
  /// given. Shapes: dlogits [B][outputs]. Accumulates: parameter gradients.
  void backward(const Sequence<const Scalar>& x, Cache& cache, const Scalar* dlogits,
                Sequence<Scalar> dx = {}) {
    const kernels::DenormalGuard guard;
    const Index width = linear_.in();
    cache.dpooled.resize(cache.stack.B * width);
    BackwardOptions<Scalar> how;
    how.dy = {cache.dpooled.data(), width, cache.stack.T, cache.stack.B, 0, width};
    how.steps = cache.stack.steps;
    how.dx = dx;
    stack_.check_backward(x, cache.stack, how);
    linear_.backward(cache.dpooled.data(), dlogits, cache.pooled.data(), x.batch, cache.linear);
    if (options_.head_dropout > 0)
      internal::dropout_gradient(cache.dpooled.data(), cache.kept.data(), options_.head_dropout,
                                 cache.dpooled.size());
    internal::unpool(cache.dpooled.data(), width, cache.stack, options_.pooling);
    stack_.backward(x, cache.stack, how);
  }

 private:
  static constexpr std::uint64_t linear_stream = 1u << 20;  // far from the layers' own streams

  Logits run(const Sequence<const Scalar>& x, Cache& cache, bool training, DropoutKey key) const {
    const kernels::DenormalGuard guard;
    ForwardOptions<Scalar> how;
    how.steps = internal::steps_read_by(options_.pooling);
    how.training = training;
    how.dropout = key;
    stack_.forward(x, cache.stack, how);
    cache.pooled.resize(x.batch * linear_.in());
    cache.logits.resize(x.batch * options_.outputs);
    internal::pool(cache.pooled.data(), stack_, cache.stack, options_.pooling);
    if (training && options_.head_dropout > 0) drop(cache, key, x.batch);
    linear_.forward(cache.logits.data(), cache.pooled.data(), x.batch);
    return {cache.logits.data(), options_.outputs, x.batch};
  }

  /// head_dropout: the masks of a layer after the last, at t = 0.
  void drop(Cache& cache, DropoutKey key, Index B) const noexcept {
    const Index width = linear_.in();
    cache.kept.resize(B * width);
    const Philox philox(key.seed, internal::dropout_stream + key.update);
    for (Index b = 0; b < B; ++b) {
      Scalar* row = cache.pooled.data() + b * width;
      internal::dropout_column(row, cache.kept.data() + b * width, row, philox,
                               options_.head_dropout, options_.num_layers, Index{0}, b, Index{1},
                               width, width);
    }
  }

  static const ClassifierOptions& checked(const ClassifierOptions& options) {
    const double p = options.head_dropout;
    if (!(is_finite(p) && p >= 0.0 && p < 1.0))
      throw ShapeError("Classifier: head_dropout must be at least 0 and below 1, not ", p);
    return options;
  }

  ClassifierOptions options_;
  RecurrentStack<Cell> stack_;
  Linear<Scalar> linear_;
};

template <class Scalar>
using LSTMClassifier = Classifier<LSTMCell<Scalar>, 1>;
template <class Scalar>
using BiLSTMClassifier = Classifier<LSTMCell<Scalar>, 2>;
template <class Scalar>
using GRUClassifier = Classifier<GRUCell<Scalar>, 1>;
template <class Scalar>
using BiGRUClassifier = Classifier<GRUCell<Scalar>, 2>;

}  // namespace tsdl::inline TSDL_ABI
