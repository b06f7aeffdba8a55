// A stream: a model is trained, then fed candle by candle, as a live process would be, and takes up
// again where it was stopped.
//
//   live sp500-daily.csv
#include <cstdio>
#include <memory>
#include <tsdl/gru.hpp>
#include <tsdl/serve/streaming.hpp>

int main(int argc, char** argv) try {
  const tsdl::Candles candles = tsdl::read_candles(argc > 1 ? argv[1] : "sp500-daily.csv");
  const auto data = tsdl::prepare<float>(candles, {.features = "technical23", .length = 20},
                                         {.validation = 0.15});
  tsdl::GRUClassifier<float> trained({.input_size = data.inputs(), .hidden_size = 16}, /*seed=*/1);
  tsdl::Trainer trainer(trained, {.optimizer = {.lr = 3e-4}, .max_epochs = 3, .task = data.task()});
  trainer.fit(data.train, data.validation);

  // Streams of one model share its weights. Each remembers its own features and window.
  const auto model = std::make_shared<const tsdl::GRUClassifier<float>>(trained);
  tsdl::StreamingPredictor stream(model, data.recipe);
  std::size_t ready = 0;
  for (const tsdl::Candle& candle : candles.rows) {
    const tsdl::Prediction prediction = stream.push(candle);  // allocates nothing, throws nothing
    if (prediction)
      ++ready;
    else if (prediction.status == tsdl::Prediction::Status::refused)
      std::printf("refused: %s\n", stream.fault().c_str());
  }
  std::printf("%zu candles, %zu predictions: the first ones warm up\n", candles.rows.size(), ready);

  // What it remembers, as bytes for a file: another stream of the model goes on from there.
  tsdl::StreamingPredictor restarted(model, data.recipe);
  restarted.restore(stream.snapshot());
  tsdl::Candle next = candles.rows.back();
  for (int day = 1; day <= 3; ++day) {
    next.time += 24 * 60 * 60 * 1000;
    next.high *= 1.01;
    const double here = stream.push(next).values[0], there = restarted.push(next).values[0];
    std::printf("probability of a wide range tomorrow: %.4f, restarted %.4f\n", here, there);
  }
} catch (const tsdl::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
