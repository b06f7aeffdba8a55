// Whole networks, each with its share of the machine's FMA peak: a training step, batch inference,
// one window and one streaming step of what bench/compare times beside the peers (peers/work.hpp).
//
// bench_networks [--benchmark_...]   names are those of bench/compare; GFLOPs and of_peak count the
//                                    products that are really needed (support/operations.hpp), and
//                                    the peak is that of as many threads
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <tsdl/core/parallel.hpp>

#include "../peers/tsdl_work.hpp"
#include "../support/operations.hpp"
#include "../support/peak.hpp"

namespace {

using peers::Index, peers::Work;

void run(benchmark::State& state, const Work& work) {
  const auto threads = static_cast<int>(state.range(0));
  tsdl::set_thread_count(threads);
  const std::unique_ptr<peers::Job> job = peers::make_tsdl(work);
  job->call();  // allocates
  bench::measure<float>(
      state, bench::needed_operations(work), [&] { job->call(); }, threads);
  const char* unit = work.kind == peers::Kind::stream ? "steps_per_s" : "windows_per_s";
  state.counters[unit] = benchmark::Counter(static_cast<double>(work.batch),
                                            benchmark::Counter::kIsIterationInvariantRate);
}

/// On one thread and, where there are as many, on `most`.
void add(const std::string& name, const Work& work, int most) {
  auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), run, work)
                        ->UseRealTime()
                        ->ArgName("threads")
                        ->Arg(1);
  if (most > 1 && tsdl::thread_count() >= most) benchmark->Arg(most);
  if (work.kind != peers::Kind::stream) benchmark->Unit(benchmark::kMillisecond);
}

void register_benchmarks() {
  // One window is the same view as a dense batch.
  for (const char* kind : {"train_", "infer_", "window_"})
    for (const char* network : {"a", "b", "g", "t", "tm"})
      for (const char* input : {"", "_dense"}) {
        const std::string name = std::string(kind) + network + input;
        const Work work = peers::find_work(name).value();
        if (work.batch > 1 || !work.dense) add(name, work, 2);
      }
  for (const bool gru : {false, true})
    for (const Index H : {8, 16, 32, 64, 128}) {
      const std::string size = std::to_string(H);
      Work work = peers::find_work("stream_" + size).value();
      work.network.gru = gru;
      const std::string name = (gru ? "stream_gru_" : "stream_") + size;
      add(name, work, 1);
      work.half_width = true;
      add(name + "_half", work, 1);
    }
}

}  // namespace

int main(int argc, char** argv) {
  register_benchmarks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
