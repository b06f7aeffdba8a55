// One translation unit of the program that mixes flags, compiled once for each instruction set:
// candles from text, features, training and predictions, each number written with all its bits.
#include <cstdio>
#include <exception>
#include <tsdl/bilstm.hpp>

extern "C" int TSDL_TEST_PART(const char* candles_text, std::FILE* out) try {
  std::fprintf(out, "%s\n", tsdl::instruction_set);
  const tsdl::Candles candles = tsdl::parse_candles(candles_text, "candles");
  const auto data = tsdl::prepare<float>(
      candles, {.features = "technical23", .length = 8, .label = tsdl::RangeLabel{}},
      {.validation = 0.2, .test = 0.2});
  tsdl::BiLSTMClassifier<float> model({.input_size = data.inputs(),
                                       .hidden_size = 5,
                                       .dropout = 0.1,
                                       .pooling = tsdl::Pooling::mean},
                                      7);
  tsdl::Trainer trainer(model,
                        {.optimizer = tsdl::AdamW{.lr = 0.01}, .batch_size = 16, .max_epochs = 2});
  trainer.add(tsdl::ReduceLROnPlateau{.patience = 1});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  for (const tsdl::EpochRecord& epoch : history.epochs)
    std::fprintf(out, "epoch %td: %a %a %a\n", epoch.epoch, epoch.train_loss, epoch.validation.loss,
                 epoch.gradient_norm);
  const tsdl::Matrix<double> probabilities = tsdl::predict(model, data.test);
  for (tsdl::Index i = 0; i < probabilities.size(); ++i)
    std::fprintf(out, "%a\n", probabilities.data()[i]);
  try {
    tsdl::parse_candles("time,open,high,low,close\n2020-01-02,1,1,1,nan\n", "bad");
  } catch (const tsdl::DataError& error) {
    std::fprintf(out, "%s\n", error.what());
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
