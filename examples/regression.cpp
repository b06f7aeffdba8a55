// A regression: how far will the price range tomorrow? On candles, with features of the library.
//
//   regression sp500-daily.csv
#include <cmath>
#include <cstdio>
#include <tsdl/gru.hpp>

int main(int argc, char** argv) try {
  const tsdl::Candles candles = tsdl::read_candles(argc > 1 ? argv[1] : "sp500-daily.csv");

  // A table of features, and one of targets beside it: the logarithm of each day's range.
  tsdl::Table table;
  table.features = tsdl::engineer_features(candles, tsdl::feature_set("ta86_relative"));
  table.targets = tsdl::Series<double>::sized({"log_range"}, table.features.rows);
  for (tsdl::Index row = 0; row < table.targets.rows; ++row) {
    const tsdl::Candle& candle = candles.rows[static_cast<std::size_t>(row)];
    table.time.push_back(candle.time);
    table.targets.column(row)[0] = std::log((candle.high - candle.low) / candle.close + 1e-4);
  }

  // Windows of 30 rows; the target is the range of the row after. Its scale is fitted on training
  // rows.
  const auto data = tsdl::prepare<float>(
      table, {.length = 30, .label = tsdl::ColumnTargets{.columns = {"log_range"}, .ahead = 1}},
      {.validation = 0.15, .test = 0.15});

  tsdl::GRUClassifier<float> model({.input_size = data.inputs(), .hidden_size = 32}, /*seed=*/1);
  tsdl::Trainer trainer(model, {.optimizer = {.lr = 3e-4}, .max_epochs = 10, .task = data.task()});
  trainer.add(tsdl::EarlyStopping{.patience = 3});
  const tsdl::History history = trainer.fit(data.train, data.validation);

  const tsdl::Metrics test = tsdl::evaluate(model, data.test);
  std::printf("%td epochs, best was epoch %td\n", std::ssize(history.epochs), history.best_epoch);
  std::printf("test: R2 %.3f, mean error %.3f, %.2f of that of yesterday's range\n", test.r2,
              test.mae, test.mase);
  const tsdl::Matrix<double> forecast = tsdl::predict(model, data.test);  // 1 x windows
  std::printf("last window: range of %.2f%% of the price expected\n",
              100 * (std::exp(forecast(0, forecast.cols() - 1)) - 1e-4));
} catch (const tsdl::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
