// What the options of a training program make of prepared data: task, model and trainer's options.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data.hpp"
#include "models.hpp"
#include "options.hpp"
#include "tsdl/train/calibrate.hpp"
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

/// The network that the options ask for. Defined in models.cpp.
/// Throws: tsdl::OptionError, tsdl::ShapeError when an option is out of range.
Model make_model(const TrainOptions& o, const tsdl::Prepared<float>& data, const tsdl::Task& task);

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

/// Fits the temperature that --calibrate asks for. Returns whether it does.
inline bool calibrate(Model& model, const TrainOptions& o, const tsdl::Prepared<float>& data) {
  if (!o.calibrate) return false;
  model.set_task(model.task().with_temperature(tsdl::fit_temperature(model, data.validation)));
  return true;
}

/// A kind of model as people write it.
inline std::string model_name(const std::string& kind) {
  if (kind == "lstm") return "LSTM";
  if (kind == "gru") return "GRU";
  if (kind == "transformer") return "Transformer";
  return kind == "bilstm" ? "BiLSTM" : "BiGRU";
}

}  // namespace examples
