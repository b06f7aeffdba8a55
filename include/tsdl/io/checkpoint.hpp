// Model files: one safetensors file with everything that a prediction needs: weights,
// configuration, task, recipe and seed. The Checkpoint callback writes it during training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "tsdl/core/system.hpp"
#include "tsdl/io/json.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/io/state_dict.hpp"
#include "tsdl/io/training_state.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/task/make_task.hpp"
#include "tsdl/train/trainer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The metadata of a model file.
struct ModelInfo {
  Config model;
  Config task;
  Recipe recipe;
  std::uint64_t seed = 0;
};

/// A model, with the recipe and the seed from its file.
template <class M>
struct LoadedModel {
  M model;
  Recipe recipe;
  std::uint64_t seed;
};

namespace internal {

inline constexpr const char* format_key = "tsdl.format";
inline constexpr const char* model_key = "tsdl.model";
inline constexpr const char* task_key = "tsdl.task";
inline constexpr const char* recipe_key = "tsdl.recipe";
inline constexpr const char* seed_key = "tsdl.seed";
inline constexpr const char* panel_key = "tsdl.panel";  ///< instead of a recipe (forecaster.hpp)

/// The task of a file of format 1, which has classes, or numbers without a scale.
inline Task task_of_format_1(const Config& model, const Recipe& recipe) {
  const Index outputs = model.index("outputs");
  return recipe.regression ? Task(Regression{.targets = outputs}) : default_task(outputs);
}

/// Throws: FormatError when a task has other targets or classes than the recipe.
inline void check_task(const std::string& path, const TaskKind& task, const Recipe& recipe) {
  const bool numbers = task.classes() == 0;
  const auto* columns = std::get_if<ColumnTargets>(&recipe.label);
  const Index targets = columns ? std::ssize(columns->columns) : Index{1};
  if (numbers != recipe.regression)
    throw FormatError(path, ": a task of kind ", task.describe().kind, ", but a recipe of ",
                      recipe.regression ? "numbers" : "classes");
  if (numbers && task.targets() != targets)
    throw FormatError(path, ": a task of ", task.targets(), " targets, but a recipe of ", targets);
  if (!numbers && task.classes() != std::ssize(recipe.class_values))
    throw FormatError(path, ": a task of ", task.classes(), " classes, but a recipe of ",
                      recipe.class_values.size());
}

/// Reads an entry of a file's metadata with use(json). Throws: FormatError when it is missing, or
/// for any error of `use`.
template <class Use>
auto read_metadata(const TensorFile& file, const char* key, const Use& use) {
  return parse_metadata(file.path(), key, file.metadata_at(key), use);
}

/// What models and forecasters have in their files alike.
struct FileHeader {
  Config model;
  std::optional<Config> task;  ///< none: a file of format 1
  std::uint64_t seed;
};

/// Throws: FormatError when the file is of another format than 2 or, if `from_1`, 1.
inline FileHeader file_header(const TensorFile& file, bool from_1) {
  const std::string& format = file.metadata_at(format_key);
  const bool is_1 = from_1 && format == "1";
  if (!is_1 && format != "2")
    throw FormatError(file.path(), ": metadata 'tsdl.format': expected ", from_1 ? "1 or 2" : "2",
                      ", got ", printable(format));
  FileHeader header{read_metadata(file, model_key, config_from_json), std::nullopt,
                    read_metadata(file, seed_key, seed_from_json)};
  if (!is_1) header.task = read_metadata(file, task_key, config_from_json);
  return header;
}

inline ModelInfo model_info(const TensorFile& file) {
  if (file.metadata.contains(panel_key))
    throw FormatError(file.path(),
                      ": a forecaster of a panel: the program forecast and "
                      "load_forecaster read it");
  const FileHeader header = file_header(file, true);
  const Recipe recipe = read_metadata(file, recipe_key, recipe_from_json);
  const Config task = header.task ? *header.task : read_metadata(file, model_key, [&](const Json&) {
    return task_of_format_1(header.model, recipe)->describe();
  });
  return {header.model, task, recipe, header.seed};
}

/// Runs `load`, in which a size or an option that does not fit is a fault of the file.
template <class Load>
auto blaming_file(const TensorFile& file, const Load& load) {
  try {
    return with_memory(file.path(), load);
  } catch (const ShapeError& error) {
    throw FormatError(file.path(), ": ", error.what());
  } catch (const OptionError& error) {
    throw FormatError(file.path(), ": ", error.what());
  }
}

/// Refuses a file that has not the tensors of its own configuration, before anything is allocated
/// from its sizes.
inline void check_sizes(const TensorFile& file, const std::vector<TensorShape>& tensors) {
  for (const TensorShape& tensor : tensors) {
    const auto found = file.tensors().find(tensor.name);
    if (found == file.tensors().end())
      throw FormatError(file.path(), ": tensor '", tensor.name, "': missing");
    if (found->second.shape != tensor.shape)
      throw FormatError(file.path(), ": tensor '", tensor.name, "': shape ",
                        shape_text(tensor.shape), " expected, ", shape_text(found->second.shape),
                        " found");
  }
}

}  // namespace internal

namespace internal {

/// A file with a model's configuration, task, seed and weights. Throws: DataError when a weight is
/// not finite.
template <Model M>
TensorFile model_file(const std::filesystem::path& path, const M& model, std::uint64_t seed) {
  TensorFile file(path_text(path));
  file.metadata[format_key] = "2";
  file.metadata[model_key] = to_text(config_to_json(model.describe()));
  file.metadata[task_key] = to_text(config_to_json(model.task()->describe()));
  file.metadata[seed_key] = std::to_string(seed);
  model.visit([&](const Parameter<typename M::Scalar>& parameter) {
    for (const auto weight : parameter.value)
      if (!is_finite(static_cast<double>(weight)))
        throw DataError(path_text(path), ": not written: tensor '", parameter.name,
                        "' holds a weight of ", weight);
    file.add(parameter.name, parameter.shape(), parameter.value.span());
  });
  return file;
}

}  // namespace internal

/// Writes a model file, completely or not at all. Equal models and recipes give equal bytes.
/// Throws: Error when it cannot be written; DataError, before anything is, when a weight is not
/// finite.
template <Model M>
void save_model(const std::filesystem::path& path, const M& model, const Recipe& recipe,
                std::uint64_t seed) {
  TensorFile file = internal::model_file(path, model, seed);
  file.metadata[internal::recipe_key] = internal::to_text(internal::recipe_to_json(recipe));
  write_safetensors(path, file);
}

/// Reads the metadata of a model file, without its weights. Throws: Error when it cannot be read;
/// FormatError when it is not a model file.
inline ModelInfo read_model_info(const std::filesystem::path& path) {
  return internal::model_info(read_safetensors(path));
}

namespace internal {

template <class M, class Make>
LoadedModel<M> load_checked(TensorFile& file, ModelInfo info, const std::optional<Task>& own_task,
                            const Make& make) {
  const Task task = own_task ? *own_task : make_task(info.task);
  if (own_task && (*own_task)->describe() != info.task)
    throw OptionError("a task of kind ", info.task.kind, ", which is not the one that was given");
  check_task(file.path(), *task, info.recipe);
  LoadedModel<M> loaded{make(info.model, info.seed), std::move(info.recipe), info.seed};
  if (loaded.model.inputs() != std::ssize(loaded.recipe.columns))
    throw ShapeError("a model of ", loaded.model.inputs(), " inputs, but ",
                     loaded.recipe.columns.size(), " columns");
  task.check_outputs(loaded.model.outputs());
  loaded.model.set_task(task);
  load_state_dict(loaded.model, file);
  return loaded;
}

/// Makes the model with `make(config, seed)`, then loads the file's weights and task.
template <class M, class Make>
LoadedModel<M> load_from(TensorFile& file, ModelInfo info, const std::optional<Task>& own_task,
                         const Make& make) {
  return blaming_file(file, [&] { return load_checked<M>(file, std::move(info), own_task, make); });
}

}  // namespace internal

/// Reads a model file. M is made from (Config, seed) and refuses a configuration of another kind.
/// Your own kind of task must be given, because the file has only its name.
/// Throws: Error when the file cannot be read; FormatError when it is not a model file, holds
/// another kind of model or task, or its tensors do not match its configuration.
template <Model M>
LoadedModel<M> load_model(const std::filesystem::path& path,
                          const std::optional<Task>& task = std::nullopt) {
  TensorFile file = read_safetensors(path);
  return internal::load_from<M>(file, internal::model_info(file), task,
                                [&](const Config& config, std::uint64_t seed) {
                                  if constexpr (requires { M::tensors(config); })
                                    internal::check_sizes(file, M::tensors(config));
                                  return M(config, seed);
                                });
}

/// Reads a model file of any kind in the list (nn/factory.hpp). Throws: as load_model.
template <class Scalar, class List = Models<Scalar>>
LoadedModel<AnyModel<Scalar>> load_any_model(const std::filesystem::path& path) {
  TensorFile file = read_safetensors(path);
  return internal::load_from<AnyModel<Scalar>>(file, internal::model_info(file), std::nullopt,
                                               [&](const Config& config, std::uint64_t seed) {
                                                 internal::check_sizes(
                                                     file, model_tensors<Scalar, List>(config));
                                                 return make_model<Scalar, List>(config, seed);
                                               });
}

/// Writes the model file `best`, unless that is empty, whenever the monitored loss is the best so
/// far. If `last_state` is not empty, it also writes, after every epoch of a run that has not
/// diverged, everything that resuming needs.
struct Checkpoint {
  std::filesystem::path best{};
  Recipe recipe{};
  std::filesystem::path last_state{};
  std::string fingerprint{};  ///< of data and options; resume() refuses a state with any other
};

namespace internal {

/// Refers to its trainer, which owns the callback and never moves.
template <class Trainer>
class CheckpointCallback final : public Callback {
 public:
  CheckpointCallback(const Checkpoint& options, Trainer& trainer)
      : options_(options), trainer_(trainer) {}

  void on_epoch_complete(const TrainerState& state) override {
    if (state.improved && !options_.best.empty())
      save_model(options_.best, trainer_.model(), options_.recipe, trainer_.options().seed);
    // A run that has diverged cannot go on: the state of the epoch before stays.
    if (!options_.last_state.empty() && state.status != Status::diverged)
      save_training_state(options_.last_state, trainer_, options_.fingerprint);
  }

 private:
  Checkpoint options_;
  Trainer& trainer_;
};

}  // namespace internal

template <class Trainer>
std::unique_ptr<Callback> make_callback(const Checkpoint& options, Trainer& trainer) {
  return std::make_unique<internal::CheckpointCallback<Trainer>>(options, trainer);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
