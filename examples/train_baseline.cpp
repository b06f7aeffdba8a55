// Trains an LSTM or GRU on candles, on a table of your own columns or on synthetic candles.
//
// support/presets.hpp has its defaults, and support/train.cpp does the work.
#include "support/presets.hpp"
#include "support/train.hpp"

int main(int argc, char** argv) {
  return examples::train_program(
      {"train_baseline",
       "Train an LSTM or GRU on candles: out comes a model file that predict reads."},
      examples::baseline_preset(), argc, argv);
}
