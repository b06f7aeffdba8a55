// The kernels of a recurrent step, one by one, each with its share of the machine's FMA peak: the
// step forward (the product with h and the gates), the step backward (the gates' gradients and
// dh_prev), the weight gradient; then activations and AdamW.
//
// bench_kernels [--benchmark_...]   one thread; arguments are H/B; ns_each is the time of a unit of
//                                   a sample and step, of a value, of a parameter
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <tsdl/core/buffer.hpp>
#include <tsdl/core/float_mode.hpp>
#include <tsdl/core/random.hpp>
#include <tsdl/kernels/adamw.hpp>
#include <tsdl/kernels/gru_cell.hpp>
#include <tsdl/kernels/lstm_cell.hpp>
#include <utility>

#include "../support/peak.hpp"

namespace {

using bench::Index;
using tsdl::Buffer;
namespace kernels = tsdl::kernels;

constexpr Index most_samples = 16;  // of one tile, as in nn/recurrent/layer.hpp
constexpr Index steps = 8;          // one after another, as in a sequence: their gates are written

Buffer<float> random_values(Index size, double bound = 0.1) {
  Buffer<float> values(size);
  tsdl::RandomStream random(static_cast<std::uint64_t>(size), 1);
  for (float& value : values) value = static_cast<float>(random.uniform(-bound, bound));
  return values;
}

/// What a layer of H units holds for `steps` steps of B samples, in tiles.
template <class Cell>
struct Layer {
  static constexpr Index W = Cell::W;
  Layer(Index hidden, Index batch)
      : H(hidden),
        B(batch),
        P(tsdl::round_up(hidden, W) / W),
        tile(std::min(batch, most_samples)),
        tiles((batch + most_samples - 1) / most_samples),
        weights(random_values(P * H * Cell::gates * W)),
        transposed(random_values(P * Cell::gates * W * P * W)),
        bias(random_values(P * Cell::slots * W)),
        projected(random_values(B * P * Cell::gates * W)),
        h(random_values((steps + 1) * B * P * W)),
        cells(random_values((steps + 1) * tiles * tile * P *
                            std::max<Index>(1, Cell::cell_vectors) * W)),
        saved(random_values(steps * tiles * tile * P * Cell::slots * W, 0.5)),
        dh(random_values(B * P * W)),
        dc(random_values(tiles * tile * P * W)) {}

  Index samples(Index i) const { return std::min(tile, B - i * tile); }
  float* state(Index i, Index s) {
    return cells.data() + (i * (steps + 1) + s) * P * tile * Cell::cell_vectors * W;
  }
  float* gates(Index i, Index s) {
    return saved.data() + (i * steps + s) * P * tile * Cell::slots * W;
  }

  /// Step s of tile i: the product with h and the gates, or the gates alone.
  void forward(Index i, Index s, bool training) {
    kernels::ForwardStep<float> step{};
    step.samples = samples(i);
    step.tile = tile;
    step.hidden = H;
    step.panels = P;
    step.projected = projected.data() + i * tile * P * Cell::gates * W;
    step.projected_stride = P * Cell::gates * W;
    step.h_prev = h.data() + (s * B + i * tile) * P * W;
    step.h_prev_stride = step.h_stride = P * W;
    step.cells_prev = state(i, s);
    step.weights = weights.data();
    step.bias = bias.data();
    step.h = h.data() + ((s + 1) * B + i * tile) * P * W;
    step.cells = state(i, s + 1);
    step.saved = training ? gates(i, s) : nullptr;
    Cell::forward(step);
  }

  void backward(Index i, Index s) {
    kernels::BackwardStep<float> step{};
    step.samples = samples(i);
    step.tile = tile;
    step.panels = P;
    step.h_prev = h.data() + (s * B + i * tile) * P * W;
    step.h_prev_stride = P * W;
    step.cells_prev = state(i, s);
    step.cells = state(i, s + 1);
    step.dh = dh.data() + i * tile * P * W;
    step.dc = dc.data() + i * tile * P * W;
    step.saved = gates(i, s);
    Cell::backward(step);
  }

  void dh_prev(Index i, Index s) {
    constexpr Index slot_width = Cell::slots * W, gate_width = Cell::gates * W;
    kernels::multiply(Cell::h_enters ? kernels::Start::previous : kernels::Start::zero,
                      dh.data() + i * tile * P * W, P * W,
                      kernels::Rows<float>{gates(i, s) + (Cell::slots - Cell::gates) * W,
                                           slot_width, P, gate_width, tile * slot_width},
                      transposed.data(), static_cast<const float*>(nullptr), samples(i), P * W);
  }

  void weight_gradient(Index i, Index p, float* rows) {
    constexpr Index slot_width = Cell::slots * W;
    kernels::add_outer<Cell::gates, float>(
        {1, rows, 0, {gates(i, 0) + p * tile * slot_width, P * tile * slot_width, slot_width}, 0},
        {h.data() + i * tile * P * W, B * P * W, P * W}, steps, samples(i), H);
  }

  double product() const { return static_cast<double>(2 * Cell::gates * H * H * B * steps); }

  Index H, B, P, tile, tiles;
  Buffer<float> weights, transposed, bias, projected, h, cells, saved, dh, dc;
};

/// Calls f(tile, step) for the steps of every tile, first to last or back.
template <class Cell, class F>
void each_step(const Layer<Cell>& layer, bool back, const F& f) {
  for (Index i = 0; i < layer.tiles; ++i)
    for (Index s = 0; s < steps; ++s) f(i, back ? steps - 1 - s : s);
}

/// Times work(), and sets the counter of how long one of `cells` takes.
template <class Scalar, class Work>
void time_each(benchmark::State& state, double cells, double operations, const Work& work) {
  state.counters["ns_each"] = bench::measure<Scalar>(state, operations, work) / cells * 1e9;
}

/// Times work(layer).
template <class Cell, class Work>
void run(benchmark::State& state, bool products, const Work& work) {
  const tsdl::FloatModeGuard guard;
  Layer<Cell> layer(state.range(0), state.range(1));
  time_each<float>(state, static_cast<double>(layer.H * layer.B * steps),
                   products ? layer.product() : 0.0, [&] { work(layer); });
}

template <class Cell, bool Training>
void step_forward(benchmark::State& state) {
  run<Cell>(state, true, [](Layer<Cell>& layer) {
    each_step(layer, false, [&](Index i, Index s) { layer.forward(i, s, Training); });
  });
}

/// The gates without the product: H units, none of which is read by the next step.
template <class Cell>
void gates_forward(benchmark::State& state) {
  run<Cell>(state, false, [](Layer<Cell>& layer) {
    const Index H = std::exchange(layer.H, 0);
    each_step(layer, false, [&](Index i, Index s) { layer.forward(i, s, false); });
    layer.H = H;
  });
}

template <class Cell>
void gates_backward(benchmark::State& state) {
  run<Cell>(state, false, [](Layer<Cell>& layer) {
    each_step(layer, true, [&](Index i, Index s) { layer.backward(i, s); });
  });
}

template <class Cell>
void step_backward(benchmark::State& state) {
  run<Cell>(state, true, [](Layer<Cell>& layer) {
    each_step(layer, true, [&](Index i, Index s) {
      layer.backward(i, s);
      layer.dh_prev(i, s);
    });
  });
}

template <class Cell>
void dh_prev(benchmark::State& state) {
  run<Cell>(state, true, [](Layer<Cell>& layer) {
    each_step(layer, true, [&](Index i, Index s) { layer.dh_prev(i, s); });
  });
}

template <class Cell>
void weight_gradient(benchmark::State& state) {
  Buffer<float> rows(state.range(0) * Cell::gates * Cell::W);
  run<Cell>(state, true, [&](Layer<Cell>& layer) {
    for (Index p = 0; p < layer.P; ++p)
      for (Index i = 0; i < layer.tiles; ++i) layer.weight_gradient(i, p, rows.data());
  });
}

/// One activation over a buffer in L1, four vectors side by side.
template <class Activation, bool Tanh, class Scalar>
void activation(benchmark::State& state) {
  constexpr Index size = 1024, W = kernels::lanes<Scalar>;
  Buffer<Scalar> x(size), y(size);
  for (Index i = 0; i < size; ++i) x[i] = static_cast<Scalar>(0.02 * static_cast<double>(i) - 10);
  time_each<Scalar>(state, static_cast<double>(size), 0.0, [&] {
    for (Index i = 0; i < size; i += 4 * W) {
      kernels::Vec<Scalar> values[4];
      for (Index j = 0; j < 4; ++j) values[j] = kernels::load(x.data() + i + j * W);
      Activation::template apply<(Tanh ? 0 : 4)>(values);
      for (Index j = 0; j < 4; ++j) kernels::store(y.data() + i + j * W, values[j]);
    }
  });
}

/// The update of a tensor of range(0) parameters, and the norm that clipping needs.
void adamw(benchmark::State& state) {
  const Index size = state.range(0);
  Buffer<float> p = random_values(size), m = random_values(size), g = random_values(size), v(size);
  const kernels::AdamWStep step{.gradient_scale = 0.5,
                                .keep = 0.99999,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .step_size = 1e-3,
                                .inverse_v_correction = 1.0,
                                .eps = 1e-8};
  time_each<float>(state, static_cast<double>(size), 0.0, [&] {
    benchmark::DoNotOptimize(kernels::sum_of_squares(g.data(), size));
    kernels::adamw(p.data(), m.data(), v.data(), g.data(), size, step);
  });
}

using LSTM = tsdl::LSTMCell<float>;
using GRU = tsdl::GRUCell<float>;

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (const Index H : {8, 16, 32, 64, 128, 256, 512})
    for (const Index B : {1, 4, 16, 32, 256}) benchmark->Args({H, B});
}

BENCHMARK(step_forward<LSTM, false>)->Apply(sizes);
BENCHMARK(step_forward<LSTM, true>)->Apply(sizes);
BENCHMARK(step_forward<GRU, false>)->Apply(sizes);
BENCHMARK(step_forward<GRU, true>)->Apply(sizes);
BENCHMARK(step_backward<LSTM>)->Apply(sizes);
BENCHMARK(step_backward<GRU>)->Apply(sizes);
BENCHMARK(dh_prev<LSTM>)->Apply(sizes);
BENCHMARK(dh_prev<GRU>)->Apply(sizes);
BENCHMARK(weight_gradient<LSTM>)->Apply(sizes);
BENCHMARK(weight_gradient<GRU>)->Apply(sizes);
BENCHMARK(gates_forward<LSTM>)->Args({128, 32});
BENCHMARK(gates_forward<GRU>)->Args({128, 32});
BENCHMARK(gates_backward<LSTM>)->Args({128, 32});
BENCHMARK(gates_backward<GRU>)->Args({128, 32});
BENCHMARK(activation<tsdl::Accurate, false, float>);
BENCHMARK(activation<tsdl::Accurate, true, float>);
BENCHMARK(activation<tsdl::Fast, false, float>);
BENCHMARK(activation<tsdl::Fast, true, float>);
BENCHMARK(activation<tsdl::Accurate, false, double>);
BENCHMARK(activation<tsdl::Accurate, true, double>);
BENCHMARK(adamw)->Arg(56'259)->Arg(616'961);

}  // namespace

BENCHMARK_MAIN();
