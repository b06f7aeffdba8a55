// How training and inference would scale on cores that this machine does not have: one thread runs
// the tasks that the threads would share, times each, and the critical path is computed from these
// times (scaling/tsdl/core/parallel.hpp). What it leaves out: that cores share a third-level cache,
// memory and a power budget.
//
// bench_scaling [THREADS...]   1 2 4 8 16 when none is given
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tsdl/bilstm.hpp>
#include <vector>

#include "../peers/work.hpp"

namespace {

using tsdl::Index;

/// Milliseconds of call() on the modelled threads: the median of some runs.
template <class Call>
double modelled_ms(int threads, const Call& call) {
  tsdl::set_thread_count(threads);
  call();  // allocates
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) {
    tsdl::modelled_threads.reset();
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;
    times.push_back(all.count() - tsdl::modelled_threads.run + tsdl::modelled_threads.modelled);
  }
  std::nth_element(times.begin(), times.begin() + 4, times.end());
  return times[4] * 1e3;
}

template <class Call>
void print_row(const std::string& name, const std::vector<int>& threads, const Call& call) {
  std::printf("| %-18s |", name.c_str());
  double one = 0;
  for (const int count : threads) {
    const double ms = modelled_ms(count, call);
    if (one == 0) one = ms;
    std::printf(" %8.3f ms, %5.2fx |", ms, one / ms);
    std::fflush(stdout);
  }
  std::printf("\n");
}

template <class Model>
void scale(const std::string& name, const peers::Network& network, Index batch,
           const std::vector<int>& threads) {
  const std::vector<float> series = peers::series(network, network.steps + batch - 1);
  const tsdl::Sequence<const float> x(series.data(), network.inputs, network.steps, batch,
                                      network.inputs, network.inputs);
  std::vector<float> labels;
  for (const int label : peers::labels(network, batch)) labels.push_back(static_cast<float>(label));
  Model model({.input_size = network.inputs,
               .hidden_size = network.hidden,
               .num_layers = network.layers,
               .dropout = 0.2,
               .outputs = network.outputs});
  tsdl::Trainer<Model> trainer(model, {.optimizer = {.lr = 1e-5}});
  typename Model::Cache cache;
  const std::string size = name + ", batch " + std::to_string(batch);
  print_row("train " + size, threads, [&] { trainer.step(x, labels); });
  print_row("infer " + size, threads, [&] { model.forward(x, cache); });
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> threads;
  for (int i = 1; i < argc; ++i) threads.push_back(std::atoi(argv[i]));
  if (threads.empty()) threads = {1, 2, 4, 8, 16};
  if (*std::min_element(threads.begin(), threads.end()) < 1) {
    std::fputs("usage: bench_scaling [THREADS...]\n", stderr);
    return 2;
  }
  std::printf(
      "Modelled: the critical path of the measured tasks, %.1f us a parallel region\n\n| %-18s |",
      tsdl::modelled_threads.region_seconds * 1e6, "threads");
  for (const int count : threads) std::printf(" %19d |", count);
  std::printf("\n");
  for (const Index batch : {32, 256}) {
    scale<tsdl::BiLSTMClassifier<float>>("A", peers::network_a, batch, threads);
    scale<tsdl::LSTMClassifier<float>>("B", peers::network_b, batch, threads);
    scale<tsdl::GRUClassifier<float>>("G", peers::network_g, batch, threads);
  }
}
