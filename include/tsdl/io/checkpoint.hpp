// Model files: one safetensors file holds weights, configuration, recipe and seed, and is all that
// a prediction needs. Also the Checkpoint callback, which writes it during training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "tsdl/io/json.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/io/state_dict.hpp"
#include "tsdl/io/training_state.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/train/trainer.hpp"

namespace tsdl::inline TSDL_ABI {

/// What a model file says beside its weights.
struct ModelInfo {
  std::string kind;  ///< "lstm", "gru", "bilstm", "bigru"
  ClassifierOptions options;
  Recipe recipe;
  std::uint64_t seed = 0;
};

/// A model and what it was trained with.
template <class Model>
struct LoadedModel {
  Model model;
  Recipe recipe;
  std::uint64_t seed;
};

namespace internal {

inline constexpr const char* format_key = "tsdl.format";
inline constexpr const char* model_key = "tsdl.model";
inline constexpr const char* recipe_key = "tsdl.recipe";
inline constexpr const char* seed_key = "tsdl.seed";

inline ModelInfo model_info(const TensorFile& file) {
  const std::string& format = file.metadata_at(format_key);
  if (format != "1")
    throw FormatError(file.path(), ": metadata 'tsdl.format': expected 1, got ", format);
  ModelInfo info;
  const auto read = [&](const char* key, const auto& use) {
    parse_metadata(file.path(), key, file.metadata_at(key), [&](const Json& json) {
      use(json);
      return 0;
    });
  };
  read(model_key, [&](const Json& json) {
    info.kind = json.at("kind").get<std::string>();
    info.options = options_from_json(json);
  });
  read(recipe_key, [&](const Json& json) { info.recipe = recipe_from_json(json); });
  read(seed_key, [&](const Json& json) { info.seed = seed_from_json(json); });
  return info;
}

/// Refuses a configuration that the file's own tensors do not bear out, before anything is
/// allocated on its word.
template <class Model>
void check_sizes(const TensorFile& file, const ModelInfo& info) {
  const ClassifierOptions& o = info.options;
  o.recurrent(Model::directions).check("tsdl.model");
  if (o.input_size != std::ssize(info.recipe.columns))
    throw ShapeError("input_size of ", o.input_size, ", but ", info.recipe.columns.size(),
                     " columns");
  const auto require = [&](const std::string& name, std::vector<Index> shape) {
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end())
      throw FormatError(file.path(), ": tensor '", name, "': missing");
    if (found->second.shape != shape)
      throw FormatError(file.path(), ": tensor '", name, "': shape ", shape_text(shape),
                        " expected, ", shape_text(found->second.shape), " found");
  };
  const Index H = o.hidden_size, rows = Model::gates * H;
  const std::string prefix = Model::cell_name() + ".weight_";
  require(prefix + "ih_l0", {rows, o.input_size});
  for (Index l = 0; l < o.num_layers; ++l) require(prefix + "hh_l" + std::to_string(l), {rows, H});
  require("fc.weight", {o.outputs, Model::directions * H});
}

}  // namespace internal

/// Writes a model file, whole or not at all. Equal models and recipes give equal bytes.
/// Throws: Error when it cannot be written.
template <class Model>
void save_model(const std::filesystem::path& path, const Model& model, const Recipe& recipe,
                std::uint64_t seed) {
  using Scalar = typename Model::Scalar;
  TensorFile file(path.string());
  file.metadata[internal::format_key] = "1";
  file.metadata[internal::model_key] =
      internal::to_text(internal::options_to_json(Model::kind(), model.options()));
  file.metadata[internal::recipe_key] = internal::to_text(internal::recipe_to_json(recipe));
  file.metadata[internal::seed_key] = std::to_string(seed);
  model.visit([&](const Parameter<Scalar>& parameter) {
    file.add(parameter.name, parameter.shape(), parameter.value.span());
  });
  write_safetensors(path, file);
}

/// What a model file says of itself, without its weights' values being used.
/// Throws: Error when it cannot be read; FormatError when it is not a model file.
inline ModelInfo read_model_info(const std::filesystem::path& path) {
  return internal::model_info(read_safetensors(path));
}

namespace internal {

template <class Model>
LoadedModel<Model> load_from(TensorFile& file, ModelInfo info) {
  try {
    check_sizes<Model>(file, info);
    LoadedModel<Model> loaded{Model(info.options, info.seed), std::move(info.recipe), info.seed};
    load_state_dict(loaded.model, file);
    return loaded;
  } catch (const ShapeError& error) {
    throw FormatError(file.path(), ": ", error.what());
  }
}

}  // namespace internal

/// Reads a model file. Throws: Error when it cannot be read; FormatError when it is not a model
/// file, holds another kind of model, or its tensors are not those that its configuration asks for.
template <class Model>
LoadedModel<Model> load_model(const std::filesystem::path& path) {
  TensorFile file = read_safetensors(path);
  ModelInfo info = internal::model_info(file);
  if (info.kind != Model::kind())
    throw FormatError(path.string(), ": expected a model of kind ", Model::kind(), ", got ",
                      info.kind);
  return internal::load_from<Model>(file, std::move(info));
}

/// Reads a model file of any kind. Throws: as load_model.
template <class Scalar>
LoadedModel<AnyClassifier<Scalar>> load_classifier(const std::filesystem::path& path) {
  TensorFile file = read_safetensors(path);
  const ModelInfo info = internal::model_info(file);
  std::optional<LoadedModel<AnyClassifier<Scalar>>> result;
  if (!internal::with_kind<Scalar>(info.kind, [&]<class Model>(internal::ModelType<Model>) {
        auto loaded = internal::load_from<Model>(file, info);
        result.emplace(LoadedModel<AnyClassifier<Scalar>>{std::move(loaded.model),
                                                          std::move(loaded.recipe), loaded.seed});
      }))
    throw FormatError(path.string(), ": a model of kind '", info.kind, "' is not known; expected ",
                      classifier_kinds<Scalar>());
  return *std::move(result);
}

/// Writes the model file whenever the monitored loss is the best so far, and, when `last_state` is
/// not empty, all that resuming needs after every epoch.
struct Checkpoint {
  std::filesystem::path best;
  Recipe recipe;
  std::filesystem::path last_state{};
  std::string fingerprint{};  ///< of data and options; resume() refuses a state with another one
};

namespace internal {

template <class Model>
class CheckpointCallback final : public Callback {
 public:
  CheckpointCallback(const Checkpoint& options, Trainer<Model>& trainer)
      : options_(options), trainer_(trainer) {}

  void on_epoch_complete(const TrainerState& state) override {
    if (state.improved)
      save_model(options_.best, trainer_.model(), options_.recipe, trainer_.options().seed);
    if (!options_.last_state.empty())
      save_training_state(options_.last_state, trainer_, options_.fingerprint);
  }

 private:
  Checkpoint options_;
  Trainer<Model>& trainer_;
};

}  // namespace internal

template <class Model>
std::unique_ptr<Callback> make_callback(const Checkpoint& options, Trainer<Model>& trainer) {
  return std::make_unique<internal::CheckpointCallback<Model>>(options, trainer);
}

}  // namespace tsdl::inline TSDL_ABI
