// How fast features are made: whole sets, one indicator at a time, and the latency of one push.
//
// bench_features [--benchmark_...]   runs the benchmarks; times are of this thread's processor time
// bench_features --write DIRECTORY   writes the candles, and some rows of every indicator's
// numbers,
//                                    for features_pandas.py to time and to check
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <tsdl/data/features.hpp>
#include <vector>

namespace {

using tsdl::Candle;
using tsdl::Candles;
using tsdl::Index;

constexpr Index candle_count = 1'000'000;
constexpr Index written_step = 17;  // coprime with the windows, so that all their phases are met

/// A random walk of one-minute candles: calm, usual and wild spells; volume grows with the range.
Candles random_walk() {
  std::mt19937_64 random(86);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  constexpr std::array<double, 3> volatilities = {0.0003, 0.0008, 0.0025};
  Candles candles;
  candles.has_volume = true;
  double close = 100;
  double volatility = volatilities[1];
  for (Index row = 0; row < candle_count; ++row) {
    if (uniform(random) < 1.0 / 500) volatility = volatilities[random() % volatilities.size()];
    Candle candle;
    candle.time = row * 60'000;
    candle.open = close;
    close *= std::exp(volatility * normal(random));
    candle.close = close;
    const double wick = volatility / 2;
    candle.high = std::max(candle.open, close) * std::exp(wick * std::abs(normal(random)));
    candle.low = std::min(candle.open, close) * std::exp(-wick * std::abs(normal(random)));
    const double range = std::log(candle.high / candle.low) / volatility;
    candle.volume = std::round(1000 * (0.2 + range) * std::exp(0.3 * normal(random)));
    candles.rows.push_back(candle);
  }
  return candles;
}

const Candles& candles() {
  static const Candles all = random_walk();
  return all;
}

/// Calls visit(name, indicator) for each indicator that pandas can do over whole columns, with the
/// parameters of set ta86. Left out are PSAR and KAMA: each of their values needs the one before.
template <class Visit>
void visit_indicators(const Visit& visit) {
  visit("RSI", tsdl::RSI(14));
  visit("Bollinger", tsdl::BollingerBands(20, 2));
  visit("MACD", tsdl::MACD(26, 12, 9));
  visit("ATR", tsdl::ATR(10));
  visit("Stochastic", tsdl::Stochastic(14, 3));
  visit("CCI", tsdl::CCI(20, 0.015));
  visit("SMA", tsdl::SMA(26));
  visit("EMA", tsdl::EMA(26));
  visit("Keltner", tsdl::KeltnerChannel(10));
  visit("Donchian", tsdl::DonchianChannel(20));
  visit("UlcerIndex", tsdl::UlcerIndex(14));
  visit("Vortex", tsdl::Vortex(14));
  visit("TRIX", tsdl::TRIX(15));
  visit("MassIndex", tsdl::MassIndex(9, 25));
  visit("DPO", tsdl::DPO(20));
  visit("KST", tsdl::KST());
  visit("Ichimoku", tsdl::Ichimoku(9, 26, 52));
  visit("IchimokuCloud", tsdl::IchimokuCloud(9, 26, 52, 26));
  visit("STC", tsdl::STC(50, 23, 10, 3, 3));
  visit("ADX", tsdl::ADX(14));
  visit("Aroon", tsdl::Aroon(25));
  visit("StochasticRSI", tsdl::StochasticRSI(14, 3, 3));
  visit("TSI", tsdl::TSI(25, 13));
  visit("Ultimate", tsdl::UltimateOscillator(7, 14, 28));
  visit("WilliamsR", tsdl::WilliamsR(14));
  visit("Awesome", tsdl::AwesomeOscillator(5, 34));
  visit("ROC", tsdl::ROC(12));
  visit("PPO", tsdl::PPO(26, 12, 9));
  visit("PVO", tsdl::PVO(26, 12, 9));
  visit("ADI", tsdl::AccumulationDistribution());
  visit("OBV", tsdl::OnBalanceVolume());
  visit("CMF", tsdl::ChaikinMoneyFlow(20));
  visit("ForceIndex", tsdl::ForceIndex(13));
  visit("EaseOfMovement", tsdl::EaseOfMovement(14));
  visit("VPT", tsdl::VolumePriceTrend());
  visit("VWAP", tsdl::VWAP(14));
  visit("MFI", tsdl::MoneyFlowIndex(14));
  visit("NVI", tsdl::NegativeVolumeIndex());
  visit("Returns", tsdl::Returns());
}

/// Does nothing: what remains is reading a candle and writing a number.
struct Nothing {
  static constexpr std::array<std::string_view, 1> names = {"nothing"};
  double push(const Candle& c) noexcept { return c.close; }
};

/// An average and nothing else: each value waits for the one before it, whatever the instruction
/// set.
struct OneAverage {
  static constexpr std::array<std::string_view, 1> names = {"average"};
  double push(const Candle& c) noexcept { return average += 0.1 * (c.close - average); }
  double average = 0;
};

void report(benchmark::State& state, Index columns) {
  using benchmark::Counter;
  const auto count = static_cast<double>(candle_count);
  state.counters["columns"] = static_cast<double>(columns);
  state.counters["s_per_candle"] =
      Counter(count, Counter::kIsIterationInvariantRate | Counter::kInvert);
  state.counters["candle_columns_per_s"] =
      Counter(count * static_cast<double>(columns), Counter::kIsIterationInvariantRate);
}

void engineer_set(benchmark::State& state, const std::string& name) {
  for (auto _ : state) {
    const auto series = tsdl::engineer_features(candles(), name);
    benchmark::DoNotOptimize(series.values.data());
  }
  report(state, tsdl::feature_set(name).features());
}

template <tsdl::Indicator I>
void push_indicator(benchmark::State& state, const I& fresh) {
  constexpr std::size_t columns = I::names.size();
  const std::vector<Candle>& rows = candles().rows;
  std::vector<double> values(columns * rows.size());
  for (auto _ : state) {
    I indicator = fresh;
    double* next = values.data();
    for (const Candle& candle : rows)
      for (const double value : tsdl::internal::as_array(indicator.push(candle))) *next++ = value;
    benchmark::DoNotOptimize(values.data());
    benchmark::ClobberMemory();
  }
  report(state, columns);
}

using Clock = std::chrono::steady_clock;

double nanoseconds(Clock::duration time) {
  return std::chrono::duration<double, std::nano>(time).count();
}

double quantile(std::vector<double>& values, double part) {
  const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

/// What two readings of the clock with nothing between them are apart, at the median.
double clock_cost() {
  std::vector<double> costs(100'001);
  for (double& cost : costs) {
    const auto start = Clock::now();
    cost = nanoseconds(Clock::now() - start);
  }
  return quantile(costs, 0.5);
}

/// Reads the clock around every single push, and takes the clock's own cost from the result.
void push_latency(benchmark::State& state, const std::string& name) {
  const tsdl::FeatureSet& set = tsdl::feature_set(name);
  std::vector<double> row(static_cast<std::size_t>(set.features()));
  std::vector<double> times(candles().rows.size());
  for (auto _ : state) {
    tsdl::FeatureStream stream(set);
    double* time = times.data();
    for (const Candle& candle : candles().rows) {
      const auto start = Clock::now();
      stream.push(candle, row);
      benchmark::DoNotOptimize(row.data());
      benchmark::ClobberMemory();
      *time++ = nanoseconds(Clock::now() - start);
    }
  }
  const double cost = clock_cost();
  state.counters["clock_ns"] = cost;
  state.counters["median_ns"] = quantile(times, 0.5) - cost;
  state.counters["p99_ns"] = quantile(times, 0.99) - cost;
}

void register_benchmarks() {
  const auto add = [](const std::string& name, auto run) {
    return benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMillisecond);
  };
  const auto add_indicator = [&](const char* name, const auto& indicator) {
    add(name, [indicator](benchmark::State& state) {
      push_indicator(state, indicator);
    })->MinTime(0.2);
  };
  visit_indicators(add_indicator);
  add_indicator("Nothing", Nothing());
  add_indicator("OneAverage", OneAverage());
  for (const std::string set : {"ta86", "hybrid", "technical23"})
    add(set, [set](benchmark::State& state) { engineer_set(state, set); })->Iterations(1);
  add("push_ta86", [](benchmark::State& state) { push_latency(state, "ta86"); })->Iterations(1);
}

void write_doubles(std::ofstream& file, const std::vector<double>& values) {
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(double)));
}

/// candles.bin: open, high, low, close, volume of each candle. columns.txt: the names of the
/// indicators' numbers. columns.bin: those numbers of every `written_step`-th candle.
void write_files(const std::filesystem::path& directory) {
  tsdl::FeatureSet set("all");
  visit_indicators([&](const char*, const auto& indicator) { set.add(indicator); });
  std::ofstream names, input, output;
  for (auto* file : {&names, &input, &output})
    file->exceptions(std::ios::failbit | std::ios::badbit);
  names.open(directory / "columns.txt");
  for (const std::string& name : set.names()) names << name << '\n';
  input.open(directory / "candles.bin", std::ios::binary);
  output.open(directory / "columns.bin", std::ios::binary);
  tsdl::FeatureStream stream(set);
  std::vector<double> row(static_cast<std::size_t>(set.features()));
  for (Index i = 0; i < candle_count; ++i) {
    const Candle& c = candles()[i];
    write_doubles(input, {c.open, c.high, c.low, c.close, c.volume});
    stream.push(c, row);
    if (i % written_step == 0) write_doubles(output, row);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::strcmp(argv[1], "--write") == 0) {
      write_files(argv[2]);
      return 0;
    }
    register_benchmarks();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_features: %s\n", error.what());
    return 2;
  }
}
