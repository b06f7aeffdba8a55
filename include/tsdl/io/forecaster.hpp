// Model files of forecasters: weights, configuration, task, the recipe of a panel, and the widths
// of intervals, in one safetensors file.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/data/panel_prepare.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/io/panel_json.hpp"
#include "tsdl/nn/forecast_factory.hpp"
#include "tsdl/task/conformal.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A forecaster with what its file holds beside it.
template <class Scalar>
struct LoadedForecaster {
  AnyModel<Scalar> model;
  PanelRecipe recipe;
  std::uint64_t seed = 0;
  std::optional<IntervalWidths> widths{};  ///< in the windows' normalised units
  /// Scores of calibration windows in the same units, n x H x K: intervals of a stream start from
  /// them.
  std::vector<double> scores{};
};

/// What a calibration gives.
struct Calibration {
  IntervalWidths widths;
  std::vector<double> scores;  ///< n x H x K
};

namespace internal {

inline constexpr const char* intervals_key = "tsdl.intervals";
inline constexpr const char* scores_name = "calibration.scores";
/// The scores that a file holds: those of windows evenly chosen from all, as many as a stream
/// starts from.
inline constexpr Index most_scores = 500;

/// Reads the scores of a file, if it has any.
inline std::vector<double> scores_of(TensorFile& file, Index size) {
  const auto found = file.tensors().find(scores_name);
  if (found == file.tensors().end()) return {};
  const std::vector<Index> shape = found->second.shape;
  if (shape.size() != 2 || shape[1] != size || shape[0] < 1 || shape[0] > most_scores)
    throw FormatError(file.path(), ": tensor '", scores_name, "': shape ", shape_text(shape),
                      " found, up to ", most_scores, " x ", size, " expected");
  std::vector<double> scores(static_cast<std::size_t>(shape[0] * size));
  file.copy_to(scores_name, std::span<const Index>(shape), std::span<double>(scores));
  return scores;
}

/// Throws: OptionError when an option of the model is not what its recipe asks for.
inline void check_options(const Config& model, const PanelRecipe& recipe) {
  const auto require = [&](const char* option, Index expected) {
    if (model.contains(option) && model.index(option) != expected)
      throw OptionError("a model whose ", option, " is ", model.index(option), ", but a recipe of ",
                        expected);
  };
  require("inputs", recipe.inputs);
  require("horizon", recipe.horizon);
  require("length", recipe.length);
  require("future", recipe.future_count());
  require("statics", std::ssize(recipe.static_columns));
  if (model.contains("normalise") && model.text("normalise") != to_string(recipe.normalise))
    throw OptionError("a model of windows normalised by ", model.text("normalise"),
                      ", but a recipe of ", to_string(recipe.normalise));
  std::vector<double> sizes;
  for (const Index size : recipe.category_sizes()) sizes.push_back(static_cast<double>(size));
  if (model.contains("category_sizes") && model.numbers("category_sizes") != sizes)
    throw OptionError("a model whose categories have other entries than the recipe's");
  if (model.contains("segment") && !recipe.forecasts_inputs())
    throw OptionError("a model that forecasts each column that it reads, but a recipe of others");
}

/// Throws: FormatError, OptionError when model, task and recipe do not fit each other.
template <class Scalar>
void check_forecaster(const std::string& path, const LoadedForecaster<Scalar>& loaded) {
  const PanelRecipe& recipe = loaded.recipe;
  const Task task = loaded.model.task();
  const Index targets = recipe.horizon * std::ssize(recipe.targets);
  if (task->classes() != 0 || task->targets() != targets)
    throw FormatError(path, ": a task of ", task->targets(), " numbers, but a recipe of ", targets);
  task.check_outputs(loaded.model.outputs());
  check_options(loaded.model.describe(), recipe);
  if (loaded.widths && (loaded.widths->steps != recipe.horizon ||
                        loaded.widths->targets != std::ssize(recipe.targets)))
    throw FormatError(path, ": intervals of ", loaded.widths->steps, " steps and ",
                      loaded.widths->targets, " targets");
  if (loaded.widths.has_value() == loaded.scores.empty())
    throw FormatError(path,
                      ": widths of intervals and the scores of their calibration go together");
}

}  // namespace internal

/// Writes a model file, completely or not at all. Throws: Error when it cannot be written;
/// DataError, before anything is, when a weight is not finite.
template <Model M>
void save_forecaster(const std::filesystem::path& path, const M& model, const PanelRecipe& recipe,
                     const std::optional<Calibration>& calibration, std::uint64_t seed) {
  TensorFile file = internal::model_file(path, model, seed);
  file.metadata[internal::panel_key] = internal::to_text(internal::panel_recipe_to_json(recipe));
  if (calibration) {
    Config config("intervals");
    calibration->widths.describe(config);
    file.metadata[internal::intervals_key] = internal::to_text(internal::config_to_json(config));
    const Index size = calibration->widths.steps * calibration->widths.targets;
    const std::span<const double> all(calibration->scores);
    const Index samples = std::ssize(all) / size, n = std::min(samples, internal::most_scores);
    std::vector<float> kept;
    for (Index i = 0; i < n; ++i) {
      const auto one = all.subspan(static_cast<std::size_t>(i * samples / n * size),
                                   static_cast<std::size_t>(size));
      for (const double score : one) kept.push_back(static_cast<float>(score));
    }
    file.add(internal::scores_name, {n, size}, std::span<const float>(kept));
  }
  write_safetensors(path, file);
}

/// Reads such a file. Throws: Error when it cannot be read; FormatError when it is no such file, or
/// its parts contradict each other.
template <class Scalar, class List = Forecasters<Scalar>>
LoadedForecaster<Scalar> load_forecaster(const std::filesystem::path& path) {
  TensorFile file = read_safetensors(path);
  if (!file.metadata.contains(internal::panel_key))
    throw FormatError(file.path(),
                      ": no forecaster of a panel: the program predict and load_model read it");
  const internal::FileHeader header = internal::file_header(file, false);
  return internal::blaming_file(file, [&] {
    const Task task = make_task(*header.task);
    internal::check_sizes(file, model_tensors<Scalar, List>(header.model));
    LoadedForecaster<Scalar> loaded{
        make_model<Scalar, List>(header.model, header.seed),
        internal::read_metadata(file, internal::panel_key, internal::panel_recipe_from_json)};
    loaded.seed = header.seed;
    loaded.model.set_task(task);
    if (file.metadata.contains(internal::intervals_key))
      loaded.widths =
          internal::read_metadata(file, internal::intervals_key, [](const internal::Json& json) {
            return IntervalWidths::from(internal::config_from_json(json));
          });
    loaded.scores =
        internal::scores_of(file, loaded.recipe.horizon * std::ssize(loaded.recipe.targets));
    internal::check_forecaster(file.path(), loaded);
    const IncompatibleKeys keys = load_state_dict(loaded.model, file, {.strict = false});
    for (const std::vector<std::string>* names : {&keys.missing_keys, &keys.unexpected_keys})
      for (const std::string& name : *names)
        if (name != internal::scores_name)
          throw FormatError(file.path(), ": tensor '", name,
                            "': ", names == &keys.missing_keys ? "missing" : "not expected");
    return loaded;
  });
}

/// A fingerprint of data, recipe, model and training options; `more` adds what only the program
/// knows, such as the options of its callbacks.
template <class Scalar, class Trainer>
std::string fingerprint(const PreparedPanel<Scalar>& data, const Trainer& trainer,
                        std::string_view more = {}) {
  Fingerprint result;
  result.add(internal::to_text(internal::panel_recipe_to_json(data.recipe)));
  for (const PanelWindows<Scalar>* part : {&data.train, &data.validation})
    result.add(std::span<const Index>(part->ends()));
  result.add(data.train.data().values.values.span());
  result.add(internal::to_text(internal::config_to_json(trainer.model().describe())));
  result.add(internal::to_text(internal::config_to_json(trainer.task()->describe())));
  result.add(internal::to_text(internal::trainer_options_to_json(trainer.options())));
  return result.add(more).text();
}

/// The Checkpoint of a forecaster: writes `best` whenever the monitored loss is the best so far,
/// and `last_state` after every epoch. Either may be empty.
struct ForecasterCheckpoint {
  std::filesystem::path best{};
  PanelRecipe recipe{};
  std::filesystem::path last_state{};
  std::string fingerprint{};
};

namespace internal {

template <class Trainer>
class ForecasterCheckpointCallback final : public Callback {
 public:
  ForecasterCheckpointCallback(const ForecasterCheckpoint& options, Trainer& trainer)
      : options_(options), trainer_(trainer) {}

  void on_epoch_complete(const TrainerState& state) override {
    if (state.improved && !options_.best.empty())
      save_forecaster(options_.best, trainer_.model(), options_.recipe, std::nullopt,
                      trainer_.options().seed);
    if (!options_.last_state.empty() && state.status != Status::diverged)
      save_training_state(options_.last_state, trainer_, options_.fingerprint);
  }

 private:
  ForecasterCheckpoint options_;
  Trainer& trainer_;
};

}  // namespace internal

template <class Trainer>
std::unique_ptr<Callback> make_callback(const ForecasterCheckpoint& options, Trainer& trainer) {
  return std::make_unique<internal::ForecasterCheckpointCallback<Trainer>>(options, trainer);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
