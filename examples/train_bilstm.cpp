// Trains a bidirectional LSTM on candles or on a table of your own columns, and tests it.
//
// These are its defaults; support/train.cpp does the work. Read train() there from the bottom up:
// options, data, model, trainer with callbacks, test.
#include "support/train.hpp"

int main(int argc, char** argv) {
  const examples::TrainOptions preset{
      .data = {.features = "hybrid",
               .label = "range",
               .seq_len = 50,
               .validation = 0.15,
               .test = 0.15,
               .pooling = "last"},
      .model = "bilstm",
      .init = "pytorch",
      .hidden = 32,
      .layers = 2,
      .dropout = 0.2,
      .head_dropout = 0,
      .max_epochs = 100,
      .optimizer = "adamw",
      .lr = 3e-4,
      .patience = 10,
      .reduce_lr_patience = 5,
      .seed = 1,
      .details = "short",
  };
  return examples::train_program(
      {"train_bilstm", "Train a BiLSTM on candles: out comes a model file that predict reads."},
      preset, argc, argv);
}
