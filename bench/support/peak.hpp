// The machine's own limit, measured beside what is compared with it: fused multiply-adds that touch
// nothing but registers.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <tsdl/kernels/simd.hpp>

namespace bench {

using tsdl::Index;

/// Operations per second of independent chains of fused multiply-adds on one thread, in about a
/// millisecond. A multiply-add counts as two.
template <class Scalar>
double fma_peak() {
  using V = tsdl::kernels::Vec<Scalar>;
  constexpr Index rows = tsdl::kernels::vector_registers == 32 ? 6 : 3, rounds = 40'000;
  const V factor(static_cast<Scalar>(0.999)), term(static_cast<Scalar>(0.001));
  V sum[rows][4];
  for (auto& row : sum) std::fill_n(row, 4, V(Scalar{1}));
  const auto start = std::chrono::steady_clock::now();
  for (Index round = 0; round < rounds; ++round) {
    TSDL_UNROLL
    for (Index i = 0; i < rows; ++i) {
      TSDL_UNROLL
      for (Index j = 0; j < 4; ++j)
        sum[i][j] = tsdl::kernels::multiply_add(sum[i][j], factor, term);
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  for (auto& row : sum) benchmark::DoNotOptimize(row);
  return 2.0 * static_cast<double>(rounds * rows * 4 * tsdl::kernels::lanes<Scalar>) /
         seconds.count();
}

/// Runs the benchmark's loop and sets its counters: how long one of `cells` takes, and for
/// `operations` an iteration, where it counts them, how many a second and which share of the peak
/// that is. The peak is that of the moment, before and after: a shared machine's clock changes.
template <class Scalar, class Work>
void measure(benchmark::State& state, double cells, double operations, const Work& work) {
  const double before = fma_peak<Scalar>();
  const auto start = std::chrono::steady_clock::now();
  for ([[maybe_unused]] auto _ : state) {
    work();
    benchmark::ClobberMemory();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double each = seconds.count() / static_cast<double>(state.iterations());
  state.counters["ns_each"] = each / cells * 1e9;
  if (operations == 0) return;
  state.counters["GFLOPs"] = operations / each / 1e9;
  state.counters["of_peak"] = operations / each / std::max(before, fma_peak<Scalar>());
}

}  // namespace bench
