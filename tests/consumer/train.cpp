// The first translation unit: makes candles, trains on them and prints what predict.cpp finds.
#include <cmath>
#include <cstdio>
#include <tsdl/bilstm.hpp>

#include "predict.hpp"

namespace {

/// Prices that rise for four candles and fall for four, so that the direction can be learnt.
tsdl::Candles zigzag(tsdl::Index rows) {
  tsdl::Candles candles;
  candles.has_volume = true;
  double close = 100;
  for (tsdl::Index row = 0; row < rows; ++row) {
    const double open = close;
    close *= row % 8 < 4 ? 1.01 : 1 / 1.01;
    candles.rows.push_back({.time = row * 86400000,
                            .open = open,
                            .high = std::fmax(open, close) * 1.001,
                            .low = std::fmin(open, close) * 0.999,
                            .close = close,
                            .volume = 1000});
  }
  return candles;
}

}  // namespace

int main() {
  const auto data = tsdl::prepare<float>(
      zigzag(400), {.features = "ohlcv", .length = 8, .label = tsdl::DirectionLabel{}},
      {.validation = 0.2, .test = 0.2});
  tsdl::BiLSTMClassifier<float> model(
      {.input_size = data.inputs(), .hidden_size = 8, .num_layers = 1}, 1);
  const double before = accuracy(model, data.test);
  tsdl::Trainer trainer(model,
                        {.optimizer = tsdl::AdamW{.lr = 0.02}, .batch_size = 16, .max_epochs = 15});
  trainer.add(tsdl::EarlyStopping{.patience = 15});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  std::printf("tsdl %s (%s)\n", tsdl::version, tsdl::instruction_set);
  std::printf("%s after %zu epochs\n", tsdl::to_string(history.status), history.epochs.size());
  std::printf("accuracy %.3f, was %.3f\n", accuracy(model, data.test), before);
  return 0;
}
