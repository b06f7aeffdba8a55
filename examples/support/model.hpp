// What the options of a training program make of prepared data: task, model and trainer's options.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data.hpp"
#include "options.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

using Model = tsdl::AnyModel<float>;

inline tsdl::Task task_of(const TrainOptions& o, const tsdl::Prepared<float>& data) {
  if (o.class_weights == "none") return task_of(o.data, data);
  const auto classes = std::ssize(data.recipe.class_values);
  const std::vector<double> weights = tsdl::balanced_class_weights(data.train.targets(), classes);
  if (data.outputs() > 1) return tsdl::Classes{.count = classes, .weights = weights};
  return tsdl::Binary{weights[1] / weights[0]};
}

inline Model make_model(const TrainOptions& o, const tsdl::Prepared<float>& data,
                        const tsdl::Task& task) {
  if (o.is_transformer())
    return tsdl::TransformerNetwork<float>({.input_size = data.inputs(),
                                            .hidden_size = o.hidden,
                                            .heads = o.heads,
                                            .feed_forward = o.feed_forward,
                                            .num_layers = o.layers,
                                            .dropout = o.dropout,
                                            .activation = tsdl::activation_from(o.activation),
                                            .norm_first = o.norm_first,
                                            .causal = o.causal,
                                            .final_norm = o.final_norm,
                                            .head_dropout = o.head_dropout.value_or(o.dropout),
                                            .pooling = tsdl::pooling_from(o.data.pooling),
                                            .outputs = task->outputs(),
                                            .init = tsdl::init_from(o.init),
                                            .attention_size = o.attention_size,
                                            .attention_dropout = o.attention_dropout},
                                           o.seed);
  return tsdl::make_classifier<float>(o.model,
                                      {.input_size = data.inputs(),
                                       .hidden_size = o.hidden,
                                       .num_layers = o.layers,
                                       .dropout = o.dropout,
                                       .head_dropout = o.head_dropout.value_or(o.dropout),
                                       .pooling = tsdl::pooling_from(o.data.pooling),
                                       .outputs = task->outputs(),
                                       .init = tsdl::init_from(o.init),
                                       .attention_size = o.attention_size,
                                       .attention_dropout = o.attention_dropout,
                                       .input_projection = o.input_projection},
                                      o.seed);
}

inline tsdl::TrainerOptions trainer_options(const TrainOptions& o, const tsdl::Task& task) {
  return {.optimizer = {.lr = o.lr, .weight_decay = o.weight_decay.value_or(0)},
          .batch_size = o.batch_size,
          .max_epochs = o.max_epochs,
          .clip_norm = o.clip_norm,
          .shuffle = o.shuffle,
          .shuffle_batches = o.shuffle_batches,
          .task = task,
          .seed = o.seed};
}

/// A kind of model as people write it.
inline std::string model_name(const std::string& kind) {
  if (kind == "lstm") return "LSTM";
  if (kind == "gru") return "GRU";
  if (kind == "transformer") return "Transformer";
  return kind == "bilstm" ? "BiLSTM" : "BiGRU";
}

}  // namespace examples
