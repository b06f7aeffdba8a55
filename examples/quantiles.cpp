// Quantiles: between which two values will the return of the next five days lie, four times of
// five?
//
//   quantiles sp500-daily.csv
#include <cstdio>
#include <tsdl/gru.hpp>

int main(int argc, char** argv) try {
  const tsdl::Candles candles = tsdl::read_candles(argc > 1 ? argv[1] : "sp500-daily.csv");
  const auto data = tsdl::prepare<float>(
      candles,
      {.features = "technical23", .length = 30, .label = tsdl::ColumnTargets{{"close_return"}, 5}},
      {.validation = 0.15, .test = 0.15});

  // Three quantiles of one target: three outputs, which cannot cross.
  const tsdl::Task task = data.quantiles({0.1, 0.5, 0.9});
  tsdl::GRUClassifier<float> model(
      {.input_size = data.inputs(), .hidden_size = 16, .outputs = task->outputs()}, /*seed=*/1);
  tsdl::Trainer trainer(model, {.optimizer = {.lr = 3e-4}, .max_epochs = 15, .task = task});
  trainer.add(tsdl::EarlyStopping{.patience = 4});
  trainer.fit(data.train, data.validation);

  const tsdl::Metrics test = tsdl::evaluate(model, data.test);
  std::printf("test: pinball loss %.5f; %.1f%% of the returns lie in the interval of 80%%\n",
              test.pinball, 100 * test.coverage);

  // Calm days and wild ones get intervals of their own.
  const tsdl::Matrix<double> q = tsdl::predict(model, data.test);  // 3 x windows
  tsdl::Index narrow = 0, wide = 0;
  for (tsdl::Index i = 0; i < q.cols(); ++i) {
    if (q(2, i) - q(0, i) < q(2, narrow) - q(0, narrow)) narrow = i;
    if (q(2, i) - q(0, i) > q(2, wide) - q(0, wide)) wide = i;
  }
  for (const tsdl::Index i : {narrow, wide})
    std::printf("after %s: from %+.2f%% to %+.2f%%, median %+.2f%%\n",
                tsdl::format_time(data.times[static_cast<std::size_t>(data.test.end_row(i))])
                    .substr(0, 10)
                    .c_str(),
                100 * q(0, i), 100 * q(2, i), 100 * q(1, i));
} catch (const tsdl::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
