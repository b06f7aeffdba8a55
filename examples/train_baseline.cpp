// Trains an LSTM or GRU on candles, on a table of your own columns or on synthetic candles.
//
// These are its defaults: three classes, no early stopping, and a report of each class.
// support/train.cpp does the work.
#include "support/train.hpp"

int main(int argc, char** argv) {
  const examples::TrainOptions preset{
      .data = {.features = "technical23",
               .label = "threshold",
               .seq_len = 60,
               .validation = 0.2,
               .test = 0,
               .pooling = "final"},
      .model = "lstm",
      .init = "orthogonal",
      .hidden = 64,
      .layers = 2,
      .dropout = 0.2,
      .head_dropout = {},  // as dropout
      .max_epochs = 5,
      .optimizer = "adam",
      .patience = 0,
      .reduce_lr_patience = 0,
      .seed = 42,
      .details = "full",
  };
  return examples::train_program(
      {"train_baseline",
       "Train an LSTM or GRU on candles: out comes a model file that predict reads."},
      preset, argc, argv);
}
