// A whole LSTM or GRU over a Sequence, layers times directions: forward and backward.
//
// Layer l reads the outputs of layer l - 1, both directions side by side, after dropout in
// training. In a layer, a thread takes a direction and a tile of samples and runs all steps without
// a barrier. The top layer runs only steps that are read: under last-step pooling, its reverse
// direction runs one step, t = T - 1, and the gradient of its recurrent weights is exactly zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/kernels/gru_cell.hpp"
#include "tsdl/kernels/lstm_cell.hpp"
#include "tsdl/nn/dropout.hpp"
#include "tsdl/nn/recurrent/checks.hpp"
#include "tsdl/nn/recurrent/layer.hpp"
#include "tsdl/nn/recurrent/options.hpp"
#include "tsdl/nn/recurrent/run_layer.hpp"
#include "tsdl/nn/recurrent/weight_gradient.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

template <class Cell>
class SlidingStack;  // nn/recurrent/sliding.hpp

/// Layers of one cell in one or two directions. LSTM and GRU are aliases.
template <class Cell>
class RecurrentStack {
 public:
  using Scalar = typename Cell::Scalar;
  using Cache = StackCache<Scalar>;
  using Forward = ForwardOptions<Scalar>;
  using Backward = BackwardOptions<Scalar>;
  using Layer = RecurrentLayer<Cell>;

  /// Draws initial weights from the seed. Tensor names are PyTorch's, after `prefix`.
  /// Throws: ShapeError, OptionError when an option is out of range.
  explicit RecurrentStack(const RecurrentOptions& options, std::uint64_t seed = 0,
                          const std::string& prefix = "")
      : options_(options) {
    options_.check(Cell::name);
    const Index D = directions(), H = options_.hidden_size;
    for (Index l = 0; l < options_.num_layers; ++l)
      for (Index d = 0; d < D; ++d) {
        const Index padded = round_up(H, Layer::W), I = options_.input_size;
        const InputLayout inputs = l == 0 ? InputLayout{1, I, I} : InputLayout{D, H, padded};
        layers_.emplace_back(prefix, l, d == 1, inputs, H);
      }
    std::uint64_t stream = 0;
    for (Layer& layer : layers_) layer.initialise(options_.init, seed, stream);
    repack();
  }

  const RecurrentOptions& options() const noexcept { return options_; }
  Index directions() const noexcept { return options_.bidirectional ? 2 : 1; }
  Index output_size() const noexcept { return directions() * options_.hidden_size; }

  /// One layer in one direction; its packs are current after repack().
  const Layer& layer(Index l, Index d = 0) const noexcept { return at(l, d); }
  /// The same for a caller that adds to its gradients, and changes no values.
  Layer& layer_gradients(Index l, Index d = 0) noexcept { return at(l, d); }

  /// Calls f(Parameter&) for each tensor in PyTorch's order. Call repack() afterwards, or use
  /// update() (nn/module.hpp) instead. A const stack hands out const parameters.
  template <class F>
  void visit(F&& f) {
    packed_ = false;
    for (Layer& layer : layers_) layer.visit(f);
  }

  template <class F>
  void visit(F&& f) const {
    for (const Layer& layer : layers_) layer.visit(f);
  }

  void zero_gradients() noexcept {
    for (Layer& layer : layers_)
      layer.visit([](Parameter<Scalar>& parameter) { parameter.zero_gradient(); });
  }

  /// Creates what a backward pass needs; backward calls this too. Allocates: the first time.
  void need_gradients() {
    for (Layer& layer : layers_) layer.need_gradients();
  }

  /// Derives the packs from the parameters; forward and backward need current packs.
  void repack() noexcept {
    double size = 0;
    std::as_const(*this).visit(
        [&](const Parameter<Scalar>& parameter) { size += static_cast<double>(parameter.size()); });
    const Index panels = layers_.empty() ? 0 : at(0, 0).panels();
    internal::parallel_for(std::ssize(layers_) * panels, repack_operations * size,
                           [&](Index i) noexcept {
                             layers_[static_cast<std::size_t>(i / panels)].repack(i % panels);
                           });
    packed_ = true;
  }

  /// Runs the stack over x, which must stay alive and unchanged until backward has run. Afterwards
  /// encoded(), output() and final_state() read the cache. Shapes: x I x T x B.
  /// Allocates: when the cache must grow. Safe to call concurrently with separate caches.
  /// Throws: ShapeError when x has no steps, no samples or another number of inputs, or lengths are
  /// not one for each sample, 1 to T; OptionError when dropout has no key; Error when parameters
  /// were visited and not repacked.
  void forward(const Sequence<const Scalar>& x, Cache& cache, const Forward& options = {}) const {
    check_packed();
    internal::check_input(Cell::name, x, shape(), Cell::slots * Layer::W);
    internal::check_cell_state<Cell>("forward", "c0", options.c0);
    internal::check_lengths(Cell::name, options.lengths, x.steps, x.batch);
    if (drops(options)) internal::check_dropout_key(options.dropout);
    const FloatModeGuard guard;
    prepare(cache, x, options);
    run(cache, x, options);
  }

  /// Throws: Error when parameters were visited and repack() was not called, or the stack was moved
  /// from.
  void check_packed() const {
    if (layers_.empty()) throw Error(Cell::name, ": it was moved from, and has no layers");
    internal::check_packed(packed_, Cell::name);
  }

  /// The columns of the top layer from the last forward, both directions side by side. Throws:
  /// Error without a forward; ShapeError when the cache is another stack's.
  Encoded<Scalar> encoded(const Cache& cache) const {
    internal::check_cache(Cell::name, "encoded", cache, shape());
    const Index D = directions();
    Encoded<Scalar> y(
        Sequence<const Scalar>::dense(cache.layers.back().output.data(), width(), cache.T, cache.B),
        D, options_.hidden_size, width() / D, 1);
    y.lengths = cache.lengths.span();
    return y;
  }

  /// The output of the top layer: H values of direction d at (t, b), valid at the steps requested.
  /// Throws: as encoded; ShapeError when there is no such column.
  Eigen::Map<const Vector<Scalar>> output(const Cache& cache, Index t, Index b, Index d) const {
    internal::check_cache(Cell::name, "output", cache, shape());
    internal::check_column(Cell::name, cache, t, b, d);
    const Buffer<Scalar>& out = cache.layers.back().output;
    return {out.data() + (t * cache.B + b) * width() + d * at(0, 0).padded_hidden(),
            options_.hidden_size};
  }

  /// Writes h_n and c_n. Shapes: L * D x B x H, as in PyTorch; either may be null.
  /// Throws: as encoded; Error unless the last forward had want_h_n; ShapeError when c_n is
  /// requested and the cell has no cell state.
  void final_state(const Cache& cache, Scalar* h_n, Scalar* c_n) const {
    internal::check_cache(Cell::name, "final_state", cache, shape());
    if (!cache.want_h_n)
      throw Error(Cell::name, "::final_state: forward was not asked for them: .want_h_n = true");
    internal::check_cell_state<Cell>("final_state", "c_n", c_n);
    const Index D = directions();
    for (Index l = 0; l < options_.num_layers; ++l)
      for (Index d = 0; d < D; ++d) {
        const auto& saved = cache.layers[static_cast<std::size_t>(l)];
        const Index state = (l * D + d) * cache.B * options_.hidden_size;
        at(l, d).final_state(
            saved.direction[d],
            columns(const_cast<Buffer<Scalar>&>(saved.output), cache.T, cache.B, d),
            internal::offset(h_n, state), internal::offset(c_n, state));
      }
  }

  /// Checks the arguments of backward. Throws: as backward.
  void check_backward(const Sequence<const Scalar>& x, const Cache& cache,
                      const Backward& options) const {
    check_packed();
    internal::check_input(Cell::name, x, shape(), Cell::slots * Layer::W);
    internal::check_cell_state<Cell>("backward", "dc_n", options.dc_n);
    internal::check_cell_state<Cell>("backward", "dc0", options.dc0);
    internal::check_backward(Cell::name, x, cache, options, shape(), output_size());
  }

  /// Back-propagation through time (Werbos 1990) of the last training forward, which it consumes.
  /// Accumulates: parameter gradients. Assigns: dx, dh0, dc0. x: the view given to forward.
  /// Throws: Error without a training forward, or when parameters were visited and not repacked;
  /// ShapeError when a size is wrong, dx is not dense, or gradients enter at a step not run.
  void backward(const Sequence<const Scalar>& x, Cache& cache, const Backward& options) {
    check_backward(x, cache, options);
    need_gradients();
    const FloatModeGuard guard;
    const Index L = options_.num_layers, D = directions(), H = options_.hidden_size;
    const Index T = cache.T, B = cache.B, Hp = width() / D;
    cache.ready = false;
    Sequence<const Scalar> dy = internal::padded_upstream(cache, options, D, H, Hp);
    for (Index l = L; l-- > 0;) {
      auto& saved = cache.layers[static_cast<std::size_t>(l)];
      const bool top = l + 1 == L;
      set_padding(cache, l, true);
      for (Index d = 0; d < D; ++d) {
        const Index state = (l * D + d) * B * H;
        at(l, d).start_backward(saved.direction[d], internal::offset(options.dh_n, state),
                                internal::offset(options.dc_n, state));
      }
      const Extent extent = saved.direction[0].extent;
      const double work = shape().operations(l, T, B);
      internal::parallel_for(D * extent.tiles(), work, [&](Index task) noexcept {
        const FloatModeGuard task_guard;
        const Index d = task % D, tile = task / D;
        const bool some = top && (!dy.data || cache.lengths.empty());
        const auto [from, to] = some ? options.entry(T, d) : std::pair<Index, Index>{0, T};
        Sequence<const Scalar> above = dy;
        above.data = dy.data ? dy.data + d * Hp : nullptr;
        at(l, d).backward_tile(saved.direction[d], columns(saved.output, T, B, d), above, from, to,
                               tile, options.dh0 != nullptr);
      });
      for (Index d = 0; d < D; ++d) {
        const Index state = (l * D + d) * B * H;
        at(l, d).initial_gradient(saved.direction[d], internal::offset(options.dh0, state),
                                  internal::offset(options.dc0, state));
      }
      add_weight_gradients(saved, cache.input_of(x, l, width()), l, T, B);
      set_padding(cache, l, false);
      if (l > 0) {
        saved.dinput.resize(T * B * width());
        const auto dinput = Sequence<Scalar>::dense(saved.dinput.data(), width(), T, B);
        input_gradient(saved, dinput, l, T);
        if (cache.dropped)
          internal::dropout_gradient(saved.dinput.data(),
                                     cache.layers[static_cast<std::size_t>(l - 1)].kept.data(),
                                     options_.dropout, saved.dinput.size());
        dy = dinput;
      } else if (options.dx.data) {
        input_gradient(saved, options.dx, l, T);
      }
    }
  }

 private:
  friend class SlidingStack<Cell>;

  /// Whether run() may use other threads, and whether it projects the first layer's input.
  struct Run {
    bool threads = true, project_first = true;
  };

  StackShape shape() const noexcept {
    return {Cell::name,          options_.input_size, options_.hidden_size,
            options_.num_layers, directions(),        Cell::gates};
  }

  bool drops(const Forward& options) const noexcept {
    return options.training && options_.dropout > 0 && options_.num_layers > 1;
  }

  /// Sizes the cache for a pass over x and sets the initial states.
  void prepare(Cache& cache, const Sequence<const Scalar>& x, const Forward& options) const {
    const Index L = options_.num_layers, D = directions(), H = options_.hidden_size;
    cache.layers.resize(static_cast<std::size_t>(L));
    cache.shape = shape();
    cache.T = x.steps;
    cache.B = x.batch;
    cache.steps = options.steps;
    cache.want_h_n = options.want_h_n;
    cache.dropped = drops(options);
    cache.ready = options.training;
    cache.set_lengths(options.lengths, x, options.training);
    for (Index l = 0; l < L; ++l) {
      auto& saved = cache.layers[static_cast<std::size_t>(l)];
      const Index values = x.steps * x.batch * D * round_up(H, Layer::W);
      saved.output.resize(values);
      if (cache.dropped && l + 1 < L) saved.dropped.resize(values);
      const Index live = D == 2 && cache.live_steps(l, 1) == x.steps ? 2 : 1;
      const Index tile = shape().tile_size(l, live, x.steps, x.batch);
      for (Index d = 0; d < D; ++d) {
        const Index state = (l * D + d) * x.batch * H;
        at(l, d).prepare(saved.direction[d], cache.input_of(x, l, width()),
                         {x.steps, x.batch, cache.live_steps(l, d), tile}, cache.lengths.span(),
                         options.training);
        if (options.h0 || options.c0)
          at(l, d).set_initial_state(saved.direction[d], internal::offset(options.h0, state),
                                     internal::offset(options.c0, state));
      }
    }
  }

  /// Runs the layers in turn on a prepared cache.
  void run(Cache& cache, const Sequence<const Scalar>& x, const Forward& options,
           const Run& run = {}) const {
    const Index D = directions();
    for (Index l = 0; l < options_.num_layers; ++l) {
      auto& saved = cache.layers[static_cast<std::size_t>(l)];
      const Sequence<const Scalar> input = cache.input_of(x, l, width());
      const DirectionCache<Scalar>& first = saved.direction[0];
      if (l > 0 || run.project_first) {
        const Index tasks = at(l, 0).projection_tasks(first);
        const double work = shape().operations(first.columns.count, at(l, 0).inputs().columns());
        internal::parallel_for(D * tasks, run.threads ? work : 0, [&](Index task) noexcept {
          const FloatModeGuard task_guard;
          const Index d = task / tasks;
          at(l, d).project(saved.direction[d], input, task % tasks);
        });
      }
      run_steps(saved, input, l, run.threads);
      if (cache.dropped && l + 1 < options_.num_layers)
        internal::drop_outputs(cache, l, options_.dropout, options, D, options_.hidden_size,
                               at(l, 0).padded_hidden());
    }
  }

  Layer& at(Index l, Index d) noexcept {
    return layers_[static_cast<std::size_t>(l * directions() + d)];
  }
  const Layer& at(Index l, Index d) const noexcept {
    return layers_[static_cast<std::size_t>(l * directions() + d)];
  }

  /// The values of a layer's output column: D * Hp.
  Index width() const noexcept { return directions() * at(0, 0).padded_hidden(); }

  /// Columns of direction d in a [T][B][D * Hp] buffer.
  Sequence<Scalar> columns(Buffer<Scalar>& buffer, Index T, Index B, Index d) const noexcept {
    const Index Hp = at(0, 0).padded_hidden();
    return {buffer.data() + d * Hp, Hp, T, B, B * width(), width()};
  }

  /// Sets the padded columns of a layer's outputs: to zeros, or to h0 while steps run backward.
  void set_padding(Cache& cache, Index l, bool to_h0) const noexcept {
    auto& saved = cache.layers[static_cast<std::size_t>(l)];
    for (Index d = 0; d < directions() && !cache.lengths.empty(); ++d)
      at(l, d).set_padding(saved.direction[d], columns(saved.output, cache.T, cache.B, d), to_h0);
  }

  /// Runs all steps of one layer.
  void run_steps(typename Cache::Layer& saved, const Sequence<const Scalar>& x, Index l,
                 bool use_threads) const {
    const Index D = directions(), T = x.steps, B = x.batch;
    const Index inputs = saved.direction[0].columns.count > 0 ? 0 : at(l, 0).inputs().columns();
    const double work = use_threads ? shape().operations(T * B, inputs + options_.hidden_size) : 0;
    internal::run_layer(std::span<const Layer>(&at(l, 0), static_cast<std::size_t>(D)), saved, x,
                        work, [&](Index d) noexcept { return columns(saved.output, T, B, d); });
  }

  void input_gradient(typename Cache::Layer& saved, const Sequence<Scalar>& dx, Index l, Index T) {
    const Extent extent = saved.direction[0].extent;
    internal::parallel_for(T * extent.tiles(), shape().operations(l, T, extent.B),
                           [&](Index task) noexcept {
                             const FloatModeGuard task_guard;
                             const Index t = task % T, tile = task / T;
                             for (Index d = 0; d < directions(); ++d)
                               at(l, d).input_gradient(saved.direction[d], dx, t, tile, d > 0);
                           });
  }

  void add_weight_gradients(typename Cache::Layer& saved, const Sequence<const Scalar>& input,
                            Index l, Index T, Index B) {
    using Gradient = WeightGradient<Cell>;
    const Index D = directions();
    const auto split = Gradient::Split::between(thread_count(), at(l, 0), D);
    const Index tasks = split.tasks(at(l, 0));
    const Index panels = saved.direction[0].shared ? at(l, 0).panels() : 0;
    const double work = shape().operations(l, T, B);
    const auto gradient = [&](Index d) noexcept {
      return Gradient(at(l, d), saved.direction[d], input, columns(saved.output, T, B, d));
    };
    internal::parallel_for(D * panels, work, [&](Index task) noexcept {
      const FloatModeGuard task_guard;
      gradient(task / panels).sum_columns(task % panels);
    });
    internal::parallel_for(D * tasks, work, [&](Index task) noexcept {
      const FloatModeGuard task_guard;
      gradient(task / tasks).add(split, task % tasks);
    });
  }

  /// Cost per parameter, in operations of a product.
  static constexpr double repack_operations = 100;

  RecurrentOptions options_;
  std::vector<Layer> layers_;
  bool packed_ = false;
};

/// A single or stacked LSTM in one or two directions: torch.nn.LSTM.
template <class Scalar, class Activation = Accurate>
using LSTM = RecurrentStack<LSTMCell<Scalar, Activation>>;

/// A single or stacked GRU in one or two directions: torch.nn.GRU. Refuses c0, c_n, dc_n and dc0.
template <class Scalar, class Activation = Accurate>
using GRU = RecurrentStack<GRUCell<Scalar, Activation>>;

}  // namespace TSDL_ABI
}  // namespace tsdl
