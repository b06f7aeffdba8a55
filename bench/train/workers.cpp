// What training several models at once gains: the time of MODELS models of network B on 1, 2, ...
// workers, each on one thread, over the time of the same models one after the other, on one thread
// and on all. The rounds take turns; medians.
//
// bench_workers [MODELS [ROUNDS]]   16 and 5 when none is given
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tsdl/lstm.hpp>
#include <tsdl/train/workers.hpp>
#include <vector>

#include "../peers/work.hpp"

namespace {

using tsdl::Index;
using Model = tsdl::LSTMClassifier<float>;

constexpr Index batch = 32, updates = 20;

/// One model's training: updates on the same windows, as in a trial of a search.
void train(Index seed) {
  const peers::Network& network = peers::network_b;
  const std::vector<float> series = peers::series(network, network.steps + batch - 1);
  const tsdl::Sequence<const float> x(series.data(), network.inputs, network.steps, batch,
                                      network.inputs, network.inputs);
  std::vector<float> labels;
  for (const int label : peers::labels(network, batch)) labels.push_back(static_cast<float>(label));
  Model model({.input_size = network.inputs,
               .hidden_size = network.hidden,
               .num_layers = network.layers,
               .dropout = 0.2,
               .outputs = network.outputs},
              static_cast<std::uint64_t>(seed));
  tsdl::Trainer<Model> trainer(model, {.optimizer = {.lr = 1e-5}});
  for (Index i = 0; i < updates; ++i) trainer.step(x, labels);
}

double seconds(Index workers, Index models) {
  const auto start = std::chrono::steady_clock::now();
  if (workers == 0)
    for (Index model = 0; model < models; ++model) train(model);
  else
    tsdl::for_each_job(workers, models, [](Index model, Index) { train(model); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const Index models = argc > 1 ? std::atol(argv[1]) : 16,
              rounds = argc > 2 ? std::atol(argv[2]) : 5;
  if (models < 1 || rounds < 1) {
    std::fputs("usage: bench_workers [MODELS [ROUNDS]]\n", stderr);
    return 2;
  }
  const Index cores = tsdl::thread_count();
  std::vector<Index> workers = {0};  // 0: one after the other, on all threads
  for (Index count = 1; count < cores; count *= 2) workers.push_back(count);
  workers.push_back(cores);
  std::vector<std::vector<double>> times(workers.size());
  for (Index round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < workers.size(); ++i)
      times[i].push_back(seconds(workers[i], models));
  const double one = median(times[1]);
  std::printf("%td models of network B, %td updates of %td windows each, median of %td rounds\n\n",
              models, updates, batch, rounds);
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const std::string name = workers[i] == 0
                                 ? "one after the other, " + std::to_string(cores) + " threads"
                                 : std::to_string(workers[i]) + " workers";
    std::printf("%-34s %8.3f s  %.3f of one worker\n", name.c_str(), median(times[i]),
                median(times[i]) / one);
  }
}
