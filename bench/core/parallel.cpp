// From how much work on threads pay: a product cut into tasks, on one thread and on all of them,
// when they have just worked (they still spin), after a pause (they sleep), and while something
// else keeps one core busy. This is what parallel_threshold in core/parallel.hpp rests on. And how
// long a helper takes to begin, which the time that it spins in core/thread_pool.hpp rests on.
#include "tsdl/core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <thread>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/kernels/product.hpp"

namespace {

using tsdl::Index;
namespace kernels = tsdl::kernels;

constexpr Index rows = kernels::register_rows, depth = 64, tasks = 16;
constexpr Index width = kernels::panel_width<float>;
constexpr double operations_a_tile = 2.0 * rows * depth * width;

/// `tiles` register blocks of work, in `tasks` tasks. Returns microseconds.
double run(Index tiles, double operations, const tsdl::Buffer<float>& a,
           const tsdl::Buffer<float>& packed, tsdl::Buffer<float>& out) {
  const auto start = std::chrono::steady_clock::now();
  tsdl::internal::parallel_for(tasks, operations, [&](Index task) noexcept {
    for (Index i = tiles * task / tasks; i < tiles * (task + 1) / tasks; ++i)
      kernels::multiply<kernels::panel_vectors, float>(
          kernels::Start::zero, out.data() + task * rows * width, width,
          {a.data(), depth, 1, depth, 0}, packed.data(), nullptr, rows, width);
  });
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

/// Microseconds from the begin of a region to the first part on another thread; 0 where none came.
double until_help(bool slept) {
  if (slept) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto start = std::chrono::steady_clock::now();
  std::atomic<double> helped{0};
  const auto now = [&] {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
        .count();
  };
  tsdl::internal::parallel_team(2, [&](Index thread, Index) noexcept {
    if (thread > 0) helped = now();
    while (thread == 0 && helped == 0 && now() < 1000) {
    }
  });
  return helped;
}

double mean(const std::vector<double>& times) {
  return std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
}

double median(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
  return times[times.size() / 2];
}

}  // namespace

int main() {
  tsdl::Buffer<float> a(rows * depth), packed(depth * width), out(tasks * rows * width);
  const double all = 1e30;  // any number of operations that is surely worth it
  std::printf("%d threads, microseconds: medians; beside a busy core means\n\n",
              tsdl::thread_count());
  std::printf("%12s %10s %16s %16s %12s %12s\n", "operations", "one", "all, they spin",
              "all, they slept", "one, busy", "all, busy");
  for (Index tiles = 16; tiles <= 16384; tiles *= 2) {
    std::vector<double> one, spinning, slept, busy_one, busy_all;
    for (int round = 0; round < 101; ++round) {
      one.push_back(run(tiles, 0.0, a, packed, out));
      run(tiles, all, a, packed, out);
      spinning.push_back(run(tiles, all, a, packed, out));
    }
    for (int round = 0; round < 15; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      run(tiles, 0.0, a, packed, out);  // this core is awake
      slept.push_back(run(tiles, all, a, packed, out));
    }
    std::atomic<bool> ends{false};
    std::thread busy([&] {
      while (!ends) {
      }
    });
    // Long enough that helpers are tried again, and again left out.
    for (auto* times : {&busy_one, &busy_all}) {
      double sum = 0;
      while (sum < 300e3) {
        times->push_back(run(tiles, times == &busy_one ? 0.0 : all, a, packed, out));
        sum += times->back();
      }
    }
    ends = true;
    busy.join();
    std::printf("%12.2g %10.1f %16.1f %16.1f %12.1f %12.1f\n",
                operations_a_tile * static_cast<double>(tiles), median(one), median(spinning),
                median(slept), mean(busy_one), mean(busy_all));
  }
  std::vector<double> spinning, slept;
  for (int round = 0; round < 101; ++round) spinning.push_back(until_help(false));
  for (int round = 0; round < 51; ++round) slept.push_back(until_help(true));
  std::printf("\nUntil a helper begins: %.1f when it spins, %.1f when it slept\n", median(spinning),
              median(slept));
}
