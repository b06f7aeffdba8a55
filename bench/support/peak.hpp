// The machine's own limit, measured beside what is compared with it: fused multiply-adds that touch
// nothing but registers.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <tsdl/core/parallel.hpp>
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

/// The most that `threads` threads together reached in a few tries: one may be interrupted. They
/// are the team of the library's parallel regions, so that no other one is woken.
template <class Scalar>
double fma_peak(int threads) {
  double most = 0;
  for (int i = 0; i < 4; ++i) {
    std::atomic<double> sum{0};
    tsdl::internal::parallel_team(threads,
                                  [&](Index, Index) noexcept { sum += fma_peak<Scalar>(); });
    most = std::max(most, sum.load());
  }
  return most;
}

/// Runs the benchmark's loop and, for `operations` an iteration, where it counts them, sets the
/// counters of how many a second and which share of the peak of so many threads that is. The peak
/// is that of the moment, before and after: a shared machine's clock changes. Returns the seconds
/// of an iteration.
template <class Scalar, class Work>
double measure(benchmark::State& state, double operations, const Work& work, int threads = 1) {
  const double before = fma_peak<Scalar>(threads);
  const auto start = std::chrono::steady_clock::now();
  for ([[maybe_unused]] auto _ : state) {
    work();
    benchmark::ClobberMemory();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double each = seconds.count() / static_cast<double>(state.iterations());
  if (operations == 0) return each;
  state.counters["GFLOPs"] = operations / each / 1e9;
  state.counters["of_peak"] = operations / each / std::max(before, fma_peak<Scalar>(threads));
  return each;
}

}  // namespace bench
