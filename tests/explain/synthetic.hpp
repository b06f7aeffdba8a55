// A series whose label hangs on one column at one lag, and networks that have learnt it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/training.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/nn/transformer/encoder.hpp"
#include "tsdl/train/trainer.hpp"

namespace test {

/// The label of a row is whether column `telling` was positive `lag` rows before; all columns are
/// drawn alike, and column `constant` holds one number.
struct Telling {
  static constexpr Index features = 4, telling = 2, lag = 3, constant = 1, length = 8;
  static constexpr float constant_value = 0.3f;

  explicit Telling(std::uint64_t seed, Index rows = 900)
      : toy(make_toy<float>(rows, features, seed, [](double) { return 0.0; })) {
    toy.length = length;
    for (Index row = 0; row < rows; ++row) {
      toy.series->column(row)[constant] = constant_value;
      const Index told = std::max<Index>(0, row - lag);
      toy.labels[static_cast<std::size_t>(row)] = toy.series->column(told)[telling] > 0 ? 1 : 0;
    }
  }
  tsdl::Windows<float> train() const { return toy.windows(length - 1, 600); }
  tsdl::Windows<float> held_out() const { return toy.windows(700, 150); }

  Toy<float> toy;
};

/// A small network of any kind, recurrent or transformer, with these options; a transformer has two
/// heads and gelu.
inline tsdl::AnyModel<float> small_network(const std::string& kind,
                                           const tsdl::ClassifierOptions& o,
                                           std::uint64_t seed = 0) {
  if (kind != "transformer") return tsdl::make_classifier<float>(kind, o, seed);
  return tsdl::TransformerNetwork<float>({.input_size = o.input_size,
                                          .hidden_size = o.hidden_size,
                                          .heads = 2,
                                          .feed_forward = 2 * o.hidden_size,
                                          .num_layers = o.num_layers,
                                          .dropout = o.dropout,
                                          .activation = tsdl::FeedForwardActivation::gelu,
                                          .head_dropout = o.head_dropout,
                                          .pooling = o.pooling,
                                          .outputs = o.outputs},
                                         seed);
}

/// A network of this kind, trained on the series. Sets its accuracy on the windows held out.
inline tsdl::AnyModel<float> trained_on(const Telling& data, const std::string& kind,
                                        std::uint64_t seed, double& accuracy) {
  auto model = small_network(
      kind, {.input_size = Telling::features, .hidden_size = 8, .num_layers = 1}, seed);
  tsdl::Trainer trainer(
      model, {.optimizer = {.lr = 0.02}, .max_epochs = 15, .shuffle = true, .seed = seed});
  trainer.fit(data.train(), data.held_out());
  accuracy = tsdl::evaluate(model, data.held_out()).accuracy;
  return model;
}

/// Where the largest value is.
inline Index first_of(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

}  // namespace test
