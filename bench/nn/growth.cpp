// How the cost of a training step grows with steps, batch and hidden units, what memory it takes
// beside a formula, and what a cell state that decays into denormals costs.
//
// bench_growth   one thread; medians of several runs; a bar is the time of one column (a sample at
//                a step), so bars of one length mean a cost in proportion to T, or to B
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <tsdl/bilstm.hpp>
#include <vector>

#include "../support/operations.hpp"

namespace {

using tsdl::Index;

template <class F>
double seconds(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class F>
double median_seconds(const F& f, int runs = 9) {
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) times.push_back(seconds(f));
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<std::size_t>(runs / 2)];
}

struct Shape {
  tsdl::ClassifierOptions options;
  Index T, B;
};

/// A model and B consecutive windows to train it on.
template <class Model>
class Training {
 public:
  explicit Training(const Shape& shape)
      : model_(shape.options, 1),
        trainer_(model_, {.optimizer = {.lr = 1e-5}}),
        series_(shape.options.input_size * (shape.T + shape.B - 1)),
        labels_(static_cast<std::size_t>(shape.B)) {
    tsdl::RandomStream random(2);
    for (float& value : series_) value = static_cast<float>(random.uniform(-1.0, 1.0));
    const Index I = shape.options.input_size;
    view_ = {series_.data(), I, shape.T, shape.B, I, I};
    step();
  }
  void step() { trainer_.step(view_, labels_); }

 private:
  Model model_;
  tsdl::Trainer<Model> trainer_;
  tsdl::Buffer<float> series_;
  std::vector<float> labels_;
  tsdl::Sequence<const float> view_;
};

using LSTM = tsdl::LSTMClassifier<float>;
using BiLSTM = tsdl::BiLSTMClassifier<float>;

/// The two-layer LSTM of the examples, sized.
Shape lstm(Index hidden, Index T, Index B) {
  return {{.input_size = 23, .hidden_size = hidden, .num_layers = 2, .dropout = 0.2, .outputs = 3},
          T,
          B};
}

void print_row(Index size, double time, double columns, double operations) {
  const double each = time / columns * 1e6;
  const auto bar = static_cast<std::size_t>(std::clamp(each * 10.0, 1.0, 60.0));
  std::printf("%6td %10.3f %12.3f %10.1f  %s\n", size, time * 1e3, each, operations / time / 1e9,
              std::string(bar, '#').c_str());
}

/// Of the products of a training step on consecutive windows.
double operations(const Shape& s) {
  const tsdl::ClassifierOptions& o = s.options;
  return bench::needed_operations(
      {peers::Kind::train, {o.input_size, o.hidden_size, o.num_layers, 1, s.T, o.outputs}, s.B});
}

template <class Sizes, class Make>
void sweep(const char* what, const Sizes& sizes, const Make& make) {
  std::printf("\n%s\n%6s %10s %12s %10s\n", what, "", "ms a step", "us a column", "GFLOP/s");
  for (const Index size : sizes) {
    const Shape shape = make(size);
    Training<LSTM> training(shape);
    print_row(size, median_seconds([&] { training.step(); }),
              static_cast<double>(shape.T * shape.B), operations(shape));
  }
}

/// Bytes in use by way of malloc.
double in_use() {
  const auto info = ::mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// What a training step keeps, in floats: with Hp the hidden units rounded up to vectors, B' the
/// batch to tiles, S slots and C cell vectors of a cell (LSTM 4 and 2, GRU 4 and 0), G gates, D
/// directions of which the top layer's reverse one runs a single step,
///   T B' Hp (S + C)            a direction that runs all steps
///   T B Hp D                   a layer: its output, and above the first its input's gradient
///   T B Hp D 5/4               a layer under dropout: what the next one reads, and the mask
///   G Hp (T + B)(1 + tiles)    a direction of the first layer, where windows share columns
///   G Hp T min(B, 5)           a direction of a further layer, for small batches
///   8 parameters               values, gradients, two moments, the best ones, packs
double formula_bytes(const Shape& s, Index D, Index parameters) {
  constexpr Index W = tsdl::kernels::lanes<float>, S = 4, C = 2, G = 4, tile = 16;
  const Index L = s.options.num_layers;
  const Index Hp = tsdl::round_up(s.options.hidden_size, W);
  const Index rows = s.B > tile ? tsdl::round_up(s.B, tile) : s.B, tiles = (s.B + tile - 1) / tile;
  const Index full = L * D - (D - 1);
  Index floats = s.T * rows * Hp * (S + C) * full + s.T * s.B * Hp * D * (2 * L - 1);
  if (s.options.dropout > 0) floats += s.T * s.B * Hp * D * (L - 1) * 5 / 4;
  floats += D * G * Hp * (s.T + s.B) * (1 + tiles);
  floats += (full - D) * G * Hp * s.T * std::min(s.B, tsdl::kernels::register_rows - 1);
  return 4.0 * static_cast<double>(floats + 8 * parameters);
}

template <class Model>
void print_memory(const char* name, const Shape& shape) {
  const double before = in_use();
  const auto training = std::make_unique<Training<Model>>(shape);
  const double measured = in_use() - before;
  const Model model(shape.options);
  const double formula =
      formula_bytes(shape, model.encoder().directions(), model.parameter_count());
  std::printf("%-28s %8.2f MB, by the formula %8.2f MB, %+.1f%%\n", name, measured / 1e6,
              formula / 1e6, (formula / measured - 1) * 100);
}

/// A stream that forgets 0.2% of c at a step: after one small input c is a denormal from step 1,900
/// to the end, unless the library flushes it to zero.
void print_denormals() {
  constexpr Index H = 64;
  tsdl::LSTM<float> stack({.input_size = 1, .hidden_size = H}, 1);
  stack.visit([](tsdl::Parameter<float>& parameter) {
    std::fill(parameter.value.begin(), parameter.value.end(), 0.0f);
    if (parameter.name == "weight_ih_l0") std::fill_n(parameter.value.data() + 2 * H, H, 1.0f);
    if (parameter.name == "bias_ih_l0")
      std::fill_n(parameter.value.data() + H, H, std::log(0.998f / 0.002f));
  });
  stack.repack();
  const auto time_steps = [&](float first, float later) {
    tsdl::RecurrentStream<tsdl::LSTMCell<float>> stream(stack);
    return median_seconds([&] {
      stream.reset();
      stream.push(&first);
      for (int i = 0; i < 10'000; ++i) stream.push(&later);
    });
  };
  const double usual = time_steps(1.0f, 1.0f), decaying = time_steps(1e-36f, 0.0f);
  std::printf("\n10,000 steps with c near 1: %.2f ms; decaying from 5e-37: %.2f ms, %.2f times\n",
              usual * 1e3, decaying * 1e3, decaying / usual);
}

}  // namespace

int main() {
  tsdl::set_thread_count(1);
  std::printf("A training step of a two-layer LSTM, 23 inputs, %s\n", tsdl::instruction_set);
  sweep("T, with B = 32, H = 64", std::vector<Index>{15, 30, 60, 120, 240, 480},
        [](Index T) { return lstm(64, T, 32); });
  sweep("B, with T = 60, H = 64", std::vector<Index>{1, 2, 4, 8, 16, 32, 64, 128, 256},
        [](Index B) { return lstm(64, 60, B); });
  sweep("H, with T = 60, B = 32", std::vector<Index>{8, 16, 32, 64, 128, 256, 512},
        [](Index H) { return lstm(H, 60, 32); });
  std::printf("\nMemory of model, optimizer and training step\n");
  print_memory<LSTM>("LSTM 23, 64 x 2, T 60, B 32", lstm(64, 60, 32));
  print_memory<LSTM>("LSTM 23, 64 x 2, T 60, B 256", lstm(64, 60, 256));
  const Shape a{{.input_size = 86, .hidden_size = 128, .num_layers = 2, .dropout = 0.2}, 50, 32};
  print_memory<BiLSTM>("BiLSTM 86, 128 x 2, T 50, B 32", a);
  print_denormals();
}
