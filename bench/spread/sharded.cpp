// Training by two processes of one thread each against one process of two threads, on the same two
// cores: the updates of a BiLSTM of train_bilstm's kind at batch 256, in three widths. Both ways
// take turns of a third of a second, so that what else runs on the machine slows both; the other
// process sleeps while one trains alone.
//
// mpirun -n 2 --bind-to none bench_spread [ROUNDS]   15 when none is given
//
// With mpirun -n N for another power of two, it is N processes against N threads.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <tsdl/bilstm.hpp>
#include <vector>

#include "tsdl/core/random.hpp"
#include "tsdl/spread/mpi.hpp"
#include "tsdl/spread/sharded_stepper.hpp"

namespace {

using tsdl::Index;
using Model = tsdl::BiLSTMClassifier<float>;

constexpr Index inputs = 12, length = 48, batch = 256;

tsdl::Windows<float> random_windows() {
  constexpr Index rows = 4096;
  std::vector<std::string> names(inputs);
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = std::to_string(i);
  auto series =
      std::make_shared<tsdl::Series<float>>(tsdl::Series<float>::sized(std::move(names), rows));
  tsdl::RandomStream random(1);
  for (float& value : series->values) value = static_cast<float>(random.normal());
  std::vector<Index> ends;
  std::vector<float> labels;
  for (Index row = length - 1; row < rows; ++row) {
    ends.push_back(row);
    labels.push_back(random.uniform() < 0.5 ? 0.0f : 1.0f);
  }
  return {series, length, 1, std::move(ends), labels};
}

/// Windows per second over `updates` updates.
template <class Stepper>
double speed(Stepper& stepper, const tsdl::Windows<float>& windows, Index updates, Index& update) {
  const auto begin = std::chrono::steady_clock::now();
  for (Index i = 0; i < updates; ++i) {
    const Index first = update * 97 % (windows.size() - batch);
    stepper.step(windows, {first, batch, {}},
                 {.learning_rate = 1e-4,
                  .clip_norm = 1,
                  .dropout = {.seed = 1, .update = static_cast<std::uint64_t>(++update)}});
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(updates * batch) / time.count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

void compare(tsdl::Communicator& ranks, const tsdl::Windows<float>& windows, Index hidden,
             int rounds) {
  const auto R = static_cast<int>(ranks.size());
  const tsdl::ClassifierOptions options{
      .input_size = inputs, .hidden_size = hidden, .num_layers = 2, .dropout = 0.2};
  Model one(options, 1), shared(options, 1);
  tsdl::LocalStepper<Model> local(one, {});
  tsdl::ShardedStepper<Model> sharded(shared, {}, ranks.size(), ranks);
  Index local_update = 0, sharded_update = 0;
  std::vector<double> threads, processes, ratios;
  // As many updates as take a third of a second, by the first rank's count.
  Index updates = 2;
  for (int round = -1; round < rounds; ++round) {
    double alone = 0;
    ranks.barrier();
    if (ranks.rank() == 0) {
      tsdl::set_thread_count(R);
      alone = speed(local, windows, updates, local_update);
    }
    ranks.barrier();
    tsdl::set_thread_count(1);
    const double together = speed(sharded, windows, updates, sharded_update);
    if (round < 0) {  // allocates
      updates = std::max(updates, static_cast<Index>(together / batch / 3));
      updates = std::stol(ranks.broadcast(std::to_string(updates)));
      continue;
    }
    threads.push_back(alone);
    processes.push_back(together);
    ratios.push_back(together / alone);
  }
  if (ranks.rank() != 0) return;
  std::sort(ratios.begin(), ratios.end());
  std::printf("| %6ld | %12.0f | %14.0f | %.3f (%.3f to %.3f) |\n", static_cast<long>(hidden),
              median(threads), median(processes), median(ratios), ratios.front(), ratios.back());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto ranks = tsdl::connect_ranks();
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15;
  if (ranks->size() < 2) {
    std::fprintf(stderr, "bench_spread: start it by mpirun -n 2 --bind-to none\n");
    return 2;
  }
  if (ranks->rank() == 0)
    std::printf(
        "| hidden | %ld threads/s | %ld processes/s | ratio, medians of %d |\n"
        "|---|---|---|---|\n",
        static_cast<long>(ranks->size()), static_cast<long>(ranks->size()), rounds);
  const tsdl::Windows<float> windows = random_windows();
  for (const Index hidden : {32, 64, 128}) compare(*ranks, windows, hidden, rounds);
  return 0;
}
