// Our side of bench/forecast: trains a SegmentGRU, and says how long a step takes.
//
//   bench_forecast SERIES ROWS CHANNELS LENGTH HORIZON BATCH THREADS
//
// SERIES: a file of ROWS x CHANNELS floats. For each line with a number n from its standard input
// it trains n steps and answers with milliseconds a step: windows drawn at random, forward, mean
// squared error, backward, Adam.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <utility>
#include <vector>

#include "tsdl/nn/segment_gru.hpp"
#include "tsdl/optim/adamw.hpp"

namespace {

using tsdl::Index;

struct Sizes {
  Index rows, channels, length, horizon, batch;
};

class Training {
 public:
  Training(std::vector<float> series, const Sizes& sizes)
      : series_(std::move(series)),
        sizes_(sizes),
        model_({.inputs = sizes.channels, .length = sizes.length, .horizon = sizes.horizon}),
        optimizer_(model_, tsdl::AdamW{.weight_decay = 0.0}),
        x_(sizes.length * sizes.batch * sizes.channels),
        dy_(sizes.batch * model_.outputs()),
        first_(static_cast<std::size_t>(sizes.batch)) {}

  void step() {
    const auto [rows, C, T, H, B] = sizes_;
    for (Index b = 0; b < B; ++b) {
      const auto starts = static_cast<std::uint64_t>(rows - T - H + 1);
      const auto first = static_cast<Index>(random_.below(starts));
      first_[static_cast<std::size_t>(b)] = first;
      for (Index t = 0; t < T; ++t)
        std::copy_n(series_.data() + (first + t) * C, C, x_.data() + (t * B + b) * C);
    }
    const auto x = tsdl::Sequence<const float>::dense(x_.data(), C, T, B);
    const auto y = model_.forward(x, cache_, {.training = true, .dropout = {1, update_++}});
    const float scale = 2.0f / static_cast<float>(y.size());
    for (Index b = 0; b < B; ++b) {
      const float* target = series_.data() + (first_[static_cast<std::size_t>(b)] + T) * C;
      const float* last = target - C;  // outputs are in the window's normalised units
      for (Index h = 0; h < H; ++h)
        for (Index c = 0; c < C; ++c) {
          const Index i = (b * H + h) * C + c;
          dy_[i] = scale * (y.data()[i] - (target[h * C + c] - last[c]));
        }
    }
    model_.zero_gradients();
    model_.backward(x, cache_, dy_.data());
    optimizer_.step(model_, 1e-3, 1.0);
  }

 private:
  std::vector<float> series_;
  Sizes sizes_;
  tsdl::SegmentGRU<float> model_;
  tsdl::Optimizer<float> optimizer_;
  tsdl::SegmentGRU<float>::Cache cache_;
  tsdl::Buffer<float> x_, dy_;
  std::vector<Index> first_;
  tsdl::RandomStream random_{1};
  std::uint64_t update_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 8) return 2;
  const auto number = [&](int i) { return std::strtoll(arguments[i], nullptr, 10); };
  const Sizes sizes{number(2), number(3), number(4), number(5), number(6)};
  tsdl::set_thread_count(static_cast<int>(number(7)));
  std::vector<float> series(static_cast<std::size_t>(sizes.rows * sizes.channels));
  std::ifstream file(arguments[1], std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(series.data()),
                 static_cast<std::streamsize>(series.size() * sizeof(float))))
    return 1;
  Training training(std::move(series), sizes);
  for (int steps = 0; std::cin >> steps;) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < steps; ++i) training.step();
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    std::cout << taken.count() / steps << std::endl;
  }
}
