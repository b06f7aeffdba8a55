// The pieces of a recurrent layer, and steps of a stream, for bench/cells.
//
// bench_cells CELL INPUTS PASSES HIDDEN,... BATCH,...
//
// CELL is lstm or gru. One thread. It goes through all sizes PASSES times, so that a slow spell of
// a shared machine meets a size once. Prints a line a time:
//
//   layer  H B with|alone PIECE  seconds a step  operations a step  the FMA peak
//   stream H compiled|any loop|paused  seconds a step  operations a step  the FMA peak
//
// PIECE is forward, training (forward that saves what backward needs), backward or weights. `with`
// has the input product and its gradients, `alone` has not. The peak is in operations a second, the
// larger of those measured before and after.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <tsdl/core/float_mode.hpp>
#include <tsdl/nn/recurrent/stream.hpp>
#include <vector>

#include "../support/pause.hpp"
#include "../support/peak.hpp"
#include "cell_layer.hpp"

namespace {

using bench::Index;

struct Options {
  Index inputs, passes;
  std::vector<Index> hidden, batch;
};

constexpr double budget = 0.015;    // seconds of repeats in a pass, at least
constexpr std::size_t repeats = 5;  // the same in number
constexpr int pauses = 700;

/// The seconds that work() takes.
template <class Work>
double seconds(const Work& work) {
  const auto start = bench::Clock::now();
  work();
  return bench::seconds_since(start);
}

/// What reading the clock adds to seconds().
double clock_cost() {
  std::vector<double> times(1001);
  for (double& time : times) time = seconds([] {});
  return bench::median(times);
}

/// Prints the medians of several pieces' times, all of `steps` steps.
template <std::size_t N>
class Table {
 public:
  Table(Index steps, double operations)
      : steps_(static_cast<double>(steps)), operations_(operations) {}

  bool wants_more() const { return times_[0].size() < repeats || sum_ < budget; }
  void add(std::size_t piece, double time) {
    times_[piece].push_back(time - clock_);
    sum_ += time;
  }
  void print(const std::string& what, const char* const (&pieces)[N]) {
    const double peak = std::max(before_, bench::fma_peak<float>(1));
    for (std::size_t i = 0; i < N; ++i)
      std::printf("%s %s %.6g %.6g %.6g\n", what.c_str(), pieces[i],
                  bench::median(times_[i]) / steps_, operations_, peak);
    std::fflush(stdout);
  }

 private:
  double steps_, operations_, sum_ = 0;
  double clock_ = clock_cost(), before_ = bench::fma_peak<float>(1);
  std::vector<double> times_[N];
};

/// A layer's pieces, in the order of training, so that each finds the caches as it does there.
template <class Cell>
void layer(const Options& options, Index H, Index B, bool with_inputs) {
  const Index steps = std::clamp<Index>((Index{1} << 17) / (H * B), 8, 64);
  bench::CellLayer<Cell> layer(options.inputs, H, B, steps, with_inputs);
  const std::string what =
      "layer " + std::to_string(H) + ' ' + std::to_string(B) + (with_inputs ? " with" : " alone");
  Table<1> inference(steps, layer.operations());
  layer.start(false);
  layer.forward();
  while (inference.wants_more()) {
    layer.start(false);
    inference.add(0, seconds([&] { layer.forward(); }));
  }
  inference.print(what, {"forward"});
  Table<3> training(steps, layer.operations());
  layer.start(true);
  layer.forward();
  while (training.wants_more()) {
    layer.start(true);
    training.add(0, seconds([&] { layer.forward(); }));
    layer.start_backward();
    training.add(1, seconds([&] { layer.backward(); }));
    training.add(2, seconds([&] { layer.weight_gradient(); }));
  }
  training.print(what, {"training", "backward", "weights"});
}

/// Steps of one sample, h carried.
template <class Cell, Index Inputs, Index Hidden>
void stream(const Options& options, Index H, const char* sizes) {
  constexpr Index columns = 64;
  const Index I = options.inputs;
  const tsdl::RecurrentStack<Cell> stack({.input_size = I, .hidden_size = H});
  tsdl::RecurrentStream<Cell, float, Inputs, Hidden> stream(stack);
  const std::vector<float> series = [&] {
    std::vector<float> values(static_cast<std::size_t>(columns * I));
    tsdl::RandomStream random(1);
    for (float& value : values) value = static_cast<float>(random.normal());
    return values;
  }();
  const tsdl::FloatModeGuard guard;
  Index next = 0;
  const auto push = [&] {
    const auto h = stream.push(series.data() + next * I, guard);
    next = (next + 1) % columns;
    benchmark::DoNotOptimize(h.data());
    benchmark::ClobberMemory();
  };
  const double operations = 2.0 * static_cast<double>(Cell::gates * H * (I + H));
  const std::string what = "stream " + std::to_string(H) + ' ' + sizes;
  constexpr Index calls = 1024;
  const auto loop = [&] {
    for (Index i = 0; i < calls; ++i) push();
  };
  Table<1> table(calls, operations);
  loop();
  while (table.wants_more()) table.add(0, seconds(loop));
  table.print(what, {"loop"});
  const double before = bench::fma_peak<float>(1);
  const double paused = bench::time_paused(pauses, push, [&] { stream.prepare(); });
  std::printf("%s paused %.6g %.6g %.6g\n", what.c_str(), paused, operations,
              std::max(before, bench::fma_peak<float>(1)));
  std::fflush(stdout);
}

template <class Cell, Index H>
void streams(const Options& options) {
  constexpr Index compiled_inputs = 23;
  if (std::find(options.hidden.begin(), options.hidden.end(), H) == options.hidden.end()) return;
  if (options.inputs == compiled_inputs) stream<Cell, compiled_inputs, H>(options, H, "compiled");
  stream<Cell, Eigen::Dynamic, Eigen::Dynamic>(options, H, "any");
}

template <class Cell>
void pass(const Options& options) {
  for (const bool with_inputs : {true, false})
    for (const Index H : options.hidden)
      for (const Index B : options.batch) layer<Cell>(options, H, B, with_inputs);
  streams<Cell, 8>(options);
  streams<Cell, 16>(options);
  streams<Cell, 32>(options);
  streams<Cell, 64>(options);
  streams<Cell, 128>(options);
}

std::vector<Index> numbers(const char* list) {
  std::vector<Index> out;
  std::istringstream in(list);
  for (std::string number; std::getline(in, number, ',');)
    out.push_back(std::atoll(number.c_str()));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const bool gru = argc > 1 && std::strcmp(argv[1], "gru") == 0;
  if (argc != 6 || (!gru && std::strcmp(argv[1], "lstm") != 0)) {
    std::fprintf(stderr, "usage: bench_cells lstm|gru INPUTS PASSES HIDDEN,... BATCH,...\n");
    return 2;
  }
  const Options options{std::atoll(argv[2]), std::atoll(argv[3]), numbers(argv[4]),
                        numbers(argv[5])};
  const tsdl::FloatModeGuard guard;  // settled outside of the steps, as a stack does
  for (Index i = 0; i < options.passes; ++i)
    gru ? pass<tsdl::GRUCell<float>>(options) : pass<tsdl::LSTMCell<float>>(options);
}
