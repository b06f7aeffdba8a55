// What the options of the program forecast make of prepared data: task, model, trainer's options.
#pragma once

#include <string>

#include "forecast_data.hpp"
#include "training.hpp"
#include "tsdl/io/forecaster.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

using Forecaster = tsdl::AnyModel<float>;

inline tsdl::ForecasterCheckpoint checkpoint_of(const PanelData& data, const RunFiles& files,
                                                const std::string& fingerprint) {
  return {files.best(), data.recipe, files.last(), fingerprint};
}

/// Numbers in the windows' normalised units.
inline tsdl::Task forecast_task(const ForecastRun& o, const tsdl::PanelRecipe& recipe) {
  const tsdl::Index targets = recipe.horizon * std::ssize(recipe.targets);
  if (!o.quantiles.empty())
    return tsdl::Quantiles{.levels = o.quantiles, .targets = targets, .scale = {}};
  tsdl::Regression regression{.targets = targets, .scale = {}};
  if (o.loss == "mae") regression.loss = tsdl::MAE{};
  if (o.loss == "huber") regression.loss = tsdl::Huber{};
  return regression;
}

inline Forecaster make_forecaster(const ForecastRun& o, const tsdl::PanelRecipe& r,
                                  const tsdl::Task& task) {
  if (o.model == "segments") {
    if (!r.forecasts_inputs())
      throw tsdl::OptionError(
          "--model segments forecasts every column that it reads, in their order (",
          tsdl::internal::joined(r.columns),
          "): give --target and --past-columns alike, or neither");
    return tsdl::SegmentGRU<float>({.inputs = r.inputs,
                                    .length = r.length,
                                    .horizon = r.horizon,
                                    .segment = o.segment,
                                    .hidden_size = o.hidden,
                                    .outputs_per_step = task->outputs() / task->targets(),
                                    .dropout = o.dropout,
                                    .normalise = r.normalise},
                                   o.seed);
  }
  const tsdl::ForecastOptions options{.inputs = r.inputs,
                                      .future = r.future_count(),
                                      .horizon = r.horizon,
                                      .outputs = task->outputs(),
                                      .statics = std::ssize(r.static_columns),
                                      .category_sizes = r.category_sizes(),
                                      .embedding_size = o.embedding,
                                      .normalise = r.normalise,
                                      .hidden_size = o.hidden,
                                      .num_layers = o.layers,
                                      .dropout = o.dropout,
                                      .head_dropout = o.head_dropout,
                                      .unknown_share = o.unknown_share};
  if (o.model == "lstm") return tsdl::ForecastNetwork<tsdl::LSTMCell<float>>(options, o.seed);
  return tsdl::ForecastNetwork<tsdl::GRUCell<float>>(options, o.seed);
}

inline tsdl::TrainerOptions forecast_trainer(const ForecastRun& o, const tsdl::Task& task) {
  return {.optimizer = {.lr = o.lr, .weight_decay = o.weight_decay},
          .batch_size = o.batch_size,
          .max_epochs = o.max_epochs,
          .clip_norm = o.clip_norm,
          .shuffle = true,
          .task = task,
          .seed = o.seed};
}

inline std::string forecaster_name(const std::string& model) {
  return model == "segments" ? "segment GRU" : model == "lstm" ? "LSTM" : "GRU";
}

}  // namespace examples
