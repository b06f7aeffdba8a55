// From features to batches: labels, the scaler, which rows end a window, batches of them copied and
// as views.
//
// bench_windows [--benchmark_...]   one thread; /N is the number of rows of 86 features or, of a
//                                   batch, of windows of 50 rows; bytes are those read, each
//                                   counted once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <tsdl/core/random.hpp>
#include <tsdl/data/features.hpp>
#include <tsdl/data/labels.hpp>
#include <tsdl/data/standard_scaler.hpp>
#include <tsdl/data/synthetic.hpp>
#include <tsdl/data/windows.hpp>
#include <utility>
#include <vector>

namespace {

using tsdl::Index;

constexpr Index length = 50, batch_rows = 20'000;

/// Candles of so many rows, made once.
const tsdl::Candles& candles(Index rows) {
  static std::map<Index, tsdl::Candles> made;
  const auto found = made.find(rows);
  if (found != made.end()) return found->second;
  return made.emplace(rows, tsdl::synthetic_candles(rows)).first->second;
}

/// Their features, the first rows not warm yet.
const tsdl::Series<double>& features(Index rows) {
  static std::map<Index, tsdl::Series<double>> made;
  const auto found = made.find(rows);
  if (found != made.end()) return found->second;
  return made.emplace(rows, tsdl::engineer_features(candles(rows), "ta86")).first->second;
}

/// The same as a network reads them.
std::shared_ptr<const tsdl::Series<float>> scaled(Index rows) {
  tsdl::StandardScaler scaler;
  scaler.fit(features(rows));
  return std::make_shared<tsdl::Series<float>>(scaler.transform<float>(features(rows)));
}

benchmark::Counter rate(double each, benchmark::Counter::OneK one_k) {
  return {each, benchmark::Counter::kIsIterationInvariantRate, one_k};
}

void report(benchmark::State& state, const char* unit, Index count, std::size_t bytes) {
  using benchmark::Counter;
  state.counters[unit] = rate(static_cast<double>(count), Counter::kIs1000);
  if (bytes > 0) state.counters["bytes_per_s"] = rate(static_cast<double>(bytes), Counter::kIs1024);
}

template <class Label>
void labels(benchmark::State& state) {
  const tsdl::Candles& from = candles(state.range(0));
  for (auto _ : state) {
    const tsdl::Labels made = tsdl::make_labels(from, Label{});
    benchmark::DoNotOptimize(made.values.data());
  }
  report(state, "rows_per_s", from.size(), from.rows.size() * sizeof(tsdl::Candle));
}

void scaler_fit(benchmark::State& state) {
  const tsdl::Series<double>& series = features(state.range(0));
  for (auto _ : state) {
    tsdl::StandardScaler scaler;
    scaler.fit(series);
    benchmark::DoNotOptimize(scaler.mean().data());
  }
  report(state, "rows_per_s", series.rows, series.values.span().size_bytes());
}

void scaler_transform(benchmark::State& state) {
  const tsdl::Series<double>& series = features(state.range(0));
  tsdl::StandardScaler scaler;
  scaler.fit(series);
  for (auto _ : state) {
    const auto result = scaler.transform<float>(series);
    benchmark::DoNotOptimize(result.values.data());
  }
  report(state, "rows_per_s", series.rows, series.values.span().size_bytes());
}

/// Which rows end a window, by the whole series and a label a row, and the set of windows.
void windows(benchmark::State& state) {
  const auto series = scaled(state.range(0));
  const auto targets = std::make_shared<const tsdl::Targets>(
      tsdl::Targets{1, tsdl::make_labels(candles(series->rows), tsdl::RangeLabel{}).values, {}});
  for (auto _ : state) {
    std::vector<Index> ends = tsdl::window_ends<float>(*series, targets->values, length, 1);
    const tsdl::Windows<float> set(series, length, 1, std::move(ends), targets);
    benchmark::DoNotOptimize(set.ends().data());
  }
  report(state, "rows_per_s", series->rows, series->values.span().size_bytes());
}

tsdl::Windows<float> all_windows() {
  const auto series = scaled(batch_rows);
  return {series, length, 1, tsdl::window_ends<float>(*series, {}, length, 1), {}};
}

/// Batches of windows in a random order, as a shuffled epoch takes them.
void shuffled_batch(benchmark::State& state) {
  const tsdl::Windows<float> set = all_windows();
  std::vector<Index> order(static_cast<std::size_t>(set.size()));
  std::iota(order.begin(), order.end(), Index{0});
  tsdl::RandomStream random(0);
  tsdl::shuffle(order, random);
  const auto count = static_cast<std::size_t>(state.range(0));
  tsdl::Buffer<float> scratch;
  std::size_t first = 0;
  for (auto _ : state) {
    const auto batch = set.gather(std::span<const Index>(order).subspan(first, count), scratch);
    benchmark::DoNotOptimize(batch.data);
    benchmark::ClobberMemory();
    first = first + 2 * count <= order.size() ? first + count : 0;
  }
  report(state, "windows_per_s", state.range(0), scratch.span().size_bytes());
}

/// Batches of consecutive windows: nothing is copied.
void consecutive_batch(benchmark::State& state) {
  const tsdl::Windows<float> set = all_windows();
  const Index count = state.range(0);
  tsdl::Buffer<float> scratch;
  Index first = 0;
  for (auto _ : state) {
    const auto batch = set.batch(first, count, scratch);
    benchmark::DoNotOptimize(batch.data);
    first = first + 2 * count <= set.size() ? first + count : 0;
  }
  report(state, "windows_per_s", count, 0);
}

void rows(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(5'000)->Arg(100'000)->Unit(benchmark::kMillisecond);
}

BENCHMARK(labels<tsdl::RangeLabel>)->Apply(rows);
BENCHMARK(labels<tsdl::DirectionLabel>)->Apply(rows);
BENCHMARK(labels<tsdl::ThresholdLabel>)->Apply(rows);
BENCHMARK(labels<tsdl::TripleBarrierLabel>)->Apply(rows);
BENCHMARK(scaler_fit)->Apply(rows);
BENCHMARK(scaler_transform)->Apply(rows);
BENCHMARK(windows)->Apply(rows);
BENCHMARK(shuffled_batch)->Arg(32)->Arg(256);
BENCHMARK(consecutive_batch)->Arg(32)->Arg(256);

}  // namespace

BENCHMARK_MAIN();
