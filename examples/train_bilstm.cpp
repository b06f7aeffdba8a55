// Trains a bidirectional LSTM on candles or on a table of your own columns, and tests it.
//
// support/presets.hpp has its defaults, and support/train.cpp does the work. Read it from the
// bottom up: options and data, model and trainer, callbacks and test.
#include "support/presets.hpp"
#include "support/train.hpp"

int main(int argc, char** argv) {
  return examples::train_program(
      {"train_bilstm", "Train a BiLSTM on candles: out comes a model file that predict reads."},
      examples::bilstm_preset(), argc, argv);
}
