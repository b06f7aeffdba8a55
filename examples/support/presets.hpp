// The defaults of the training programs.
#pragma once

#include "options.hpp"

namespace examples {

/// Of train_bilstm and tune: two classes, early stopping, a test part.
inline TrainOptions bilstm_preset() {
  return {
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
}

/// Of train_baseline: three classes, no early stopping, and a report of each class.
inline TrainOptions baseline_preset() {
  return {
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
}

}  // namespace examples
