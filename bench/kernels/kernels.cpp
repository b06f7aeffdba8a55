// Activations and AdamW, by themselves. The cells' products and gates: bench/cells.
//
// bench_kernels [--benchmark_...]   one thread; ns_each is the time of a value or a parameter
#include <benchmark/benchmark.h>

#include <cstdint>
#include <tsdl/core/buffer.hpp>
#include <tsdl/core/random.hpp>
#include <tsdl/kernels/activation.hpp>
#include <tsdl/kernels/adamw.hpp>

#include "../support/peak.hpp"

namespace {

using bench::Index;
using tsdl::Buffer;
namespace kernels = tsdl::kernels;

Buffer<float> random_values(Index size) {
  Buffer<float> values(size);
  tsdl::RandomStream random(static_cast<std::uint64_t>(size), 1);
  for (float& value : values) value = static_cast<float>(random.uniform(-0.1, 0.1));
  return values;
}

/// Times work(), and sets the counter of how long one of `values` takes.
template <class Scalar, class Work>
void time_each(benchmark::State& state, Index values, const Work& work) {
  state.counters["ns_each"] =
      bench::measure<Scalar>(state, 0.0, work) / static_cast<double>(values) * 1e9;
}

/// One activation over a buffer in L1, four vectors side by side.
template <class Activation, bool Tanh, class Scalar>
void activation(benchmark::State& state) {
  constexpr Index size = 1024, W = kernels::lanes<Scalar>;
  Buffer<Scalar> x(size), y(size);
  for (Index i = 0; i < size; ++i) x[i] = static_cast<Scalar>(0.02 * static_cast<double>(i) - 10);
  time_each<Scalar>(state, size, [&] {
    for (Index i = 0; i < size; i += 4 * W) {
      kernels::Vec<Scalar> values[4];
      for (Index j = 0; j < 4; ++j) values[j] = kernels::load(x.data() + i + j * W);
      if constexpr (Tanh)
        Activation::tanh(values);
      else
        Activation::sigmoid(values);
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
  time_each<float>(state, size, [&] {
    benchmark::DoNotOptimize(kernels::sum_of_squares(g.data(), size));
    kernels::adamw(p.data(), m.data(), v.data(), g.data(), size, step);
  });
}

BENCHMARK(activation<tsdl::Accurate, false, float>);
BENCHMARK(activation<tsdl::Accurate, true, float>);
BENCHMARK(activation<tsdl::Fast, false, float>);
BENCHMARK(activation<tsdl::Fast, true, float>);
BENCHMARK(activation<tsdl::Accurate, false, double>);
BENCHMARK(activation<tsdl::Accurate, true, double>);
BENCHMARK(adamw)->Arg(56'259)->Arg(616'961);

}  // namespace

BENCHMARK_MAIN();
