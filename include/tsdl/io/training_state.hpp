// The state of an unfinished run as a file: written after each epoch, read to continue with the
// same bits.
//
// Tensors: weights.*, best.*, m.*, v.* in the model's own type, state.* as F64 numbers, history as
// an F64 matrix of one row per epoch. The metadata has a version, a fingerprint of data and
// options, and a checksum.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/io/json.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/train/trainer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr const char* state_key = "tsdl.training_state";
inline constexpr const char* fingerprint_key = "tsdl.fingerprint";
inline constexpr const char* checksum_key = "tsdl.checksum";
/// Version 2 has callbacks by key, and every figure in the history. Version 1 was that of tsdl 0.1.
inline constexpr const char* state_version = "2";

inline Json trainer_options_to_json(const TrainerOptions& options) {
  const AdamW& adamw = options.optimizer;
  Json groups = Json::array();
  for (const ParameterGroup& group : adamw.groups)
    groups.push_back({group.name, group.weight_decay.value_or(adamw.weight_decay), group.lr_scale});
  Json json = {{"lr", adamw.lr},
               {"beta1", adamw.beta1},
               {"beta2", adamw.beta2},
               {"eps", adamw.eps},
               {"weight_decay", adamw.weight_decay},
               {"groups", std::move(groups)},
               {"batch_size", options.batch_size},
               {"max_epochs", options.max_epochs},
               {"clip_norm", options.clip_norm},
               {"shuffle", options.shuffle},
               {"restore_best", options.restore_best},
               {"max_skipped_in_a_row", options.max_skipped_in_a_row},
               {"seed", options.seed}};
  if (options.shuffle_batches) json["shuffle_batches"] = true;  // not in older files
  return json;
}

/// A digest of everything in a file except the checksum itself: against bits that have changed, not
/// against a writer who means harm.
inline std::string checksum(const TensorFile& file) {
  Fingerprint print;
  for (const auto& [key, text] : file.metadata) {
    if (key == checksum_key) continue;
    print.add_text(key).add_text(text);
  }
  for (const auto& [name, tensor] : file.tensors()) {
    print.add_text(name)
        .add_text(shape_text(tensor.shape))
        .add(&tensor.dtype, sizeof(tensor.dtype))
        .add(std::span(tensor.bytes));
  }
  return print.text();
}

/// Values as tensors of a file. A reader first checks that everything is there and keeps it, then
/// restores it: so a file that lacks one value changes none.
class TensorArchive final : public StateArchive {
 public:
  TensorArchive(TensorFile& file, Pass pass) : file_(file), pass_(pass) {}

  double exchange(const std::string& name, double value) override {
    if (pass_ == Pass::write)
      file_.add(name, {}, std::span<const double>(&value, 1));
    else
      file_.copy_to(name, {}, std::span<double>(&value, 1));
    return value;
  }
  void exchange(const std::string& name, const std::vector<Index>& shape, Buffer<float>& values,
                const NumberRange& range) override {
    exchange_tensor(name, shape, values, range, floats_);
  }
  void exchange(const std::string& name, const std::vector<Index>& shape, Buffer<double>& values,
                const NumberRange& range) override {
    exchange_tensor(name, shape, values, range, doubles_);
  }
  std::vector<double> exchange(const std::string& name, Index columns,
                               const std::vector<double>& values) override {
    if (pass_ == Pass::write) {
      file_.add(name, {std::ssize(values) / columns, columns}, std::span<const double>(values));
      return values;
    }
    const auto found = file_.tensors().find(name);
    if (found == file_.tensors().end() || found->second.shape.size() != 2)
      throw FormatError(file_.path(), ": tensor '", name, "': missing or not a matrix");
    const std::vector<Index> shape = {found->second.shape[0], columns};
    const auto size = checked_product(shape);
    std::vector<double> stored(size && file_.refusal(name, shape) == std::nullopt
                                   ? static_cast<std::size_t>(*size)
                                   : std::size_t{0});
    file_.copy_to(name, std::span<const Index>(shape), std::span<double>(stored));
    return stored;
  }
  Pass pass() const noexcept override { return pass_; }
  std::string where(const std::string& name) const override {
    return file_.path() + ": tensor " + quoted_name(name);
  }
  void restore() noexcept { pass_ = Pass::restore; }

 private:
  template <class Scalar>
  void exchange_tensor(const std::string& name, const std::vector<Index>& shape,
                       Buffer<Scalar>& values, const NumberRange& range,
                       std::map<std::string, Buffer<Scalar>>& checked) {
    if (pass_ == Pass::write) {
      file_.add(name, shape, std::span<const Scalar>(values.span()));
    } else if (pass_ == Pass::check) {
      Buffer<Scalar>& stored = checked[name];
      stored.resize(values.size());
      file_.copy_to(name, std::span<const Index>(shape), stored.span());
      for (Index i = 0; i < stored.size(); ++i)
        if (const auto value = static_cast<double>(stored[i]); !range.contains(value))
          refuse(name, concatenate("value ", i, ": ", outside(range, value)));
    } else {
      values.swap(checked.at(name));
    }
  }

  TensorFile& file_;
  Pass pass_;
  std::map<std::string, Buffer<float>> floats_;
  std::map<std::string, Buffer<double>> doubles_;
};

}  // namespace internal

namespace internal {

/// Adds what a loss of your own computes, which its name does not tell.
inline void add_loss(Fingerprint& print, const TaskKind& task) {
  constexpr Index samples = 8;
  std::vector<double> outputs(static_cast<std::size_t>(samples * task.outputs()));
  std::vector<double> targets(static_cast<std::size_t>(samples * task.targets()));
  std::vector<double> slopes(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    outputs[i] = static_cast<double>(i * 7 % 16) / 4 - 2;
  for (std::size_t i = 0; i < targets.size(); ++i)
    targets[i] = static_cast<double>(i * 5 % 16) / 4 - 1.5;
  const LossSum loss = task.loss(outputs.data(), targets.data(), samples, slopes.data());
  print.add(std::span<const double>(&loss.sum, 1)).add(std::span<const double>(slopes));
}

}  // namespace internal

/// A fingerprint of data, recipe, model and training options; `more` adds what only the program
/// knows, such as the options of its callbacks.
template <class Scalar, class Trainer>
std::string fingerprint(const Prepared<Scalar>& data, const Trainer& trainer,
                        std::string_view more = {}) {
  Fingerprint result;
  result.add(internal::to_text(internal::recipe_to_json(data.recipe)));
  for (const Windows<Scalar>* part : {&data.train, &data.validation, &data.test}) {
    result.add(std::span<const Index>(part->ends()));
    const std::vector<double> targets = part->targets();
    result.add(std::span<const double>(targets));
  }
  result.add(data.train.series().values.span());
  result.add(internal::to_text(internal::config_to_json(trainer.model().describe())));
  result.add(internal::to_text(internal::config_to_json(trainer.task()->describe())));
  result.add(internal::to_text(internal::trainer_options_to_json(trainer.options())));
  if (trainer.task()->describe().kind == "custom") internal::add_loss(result, *trainer.task());
  return result.add(more).text();
}

/// Writes everything that resume() needs, completely or not at all. Throws: Error when it cannot be
/// written.
template <class Trainer>
void save_training_state(const std::filesystem::path& path, Trainer& trainer,
                         const std::string& fingerprint) {
  TensorFile file(internal::path_text(path));
  file.metadata[internal::state_key] = internal::state_version;
  file.metadata[internal::fingerprint_key] = fingerprint;
  internal::TensorArchive writer(file, StateArchive::Pass::write);
  trainer.archive(writer);
  file.metadata[internal::checksum_key] = internal::checksum(file);
  write_safetensors(path, file);
}

/// Restores a trainer, its model and its callbacks to the state of the file's run; fit() then
/// continues to the bits of an uninterrupted run. Add the same callbacks first. Changes everything
/// or nothing.
/// Throws: Error when the file cannot be read or was written with other data or options;
/// FormatError when it is not such a file, is damaged, does not match the model and callbacks, or
/// has a number that no run can have.
template <class Trainer>
void resume(const std::filesystem::path& path, Trainer& trainer, const std::string& fingerprint) {
  TensorFile file = read_safetensors(path);
  const std::string& state_version = file.metadata_at(internal::state_key);
  if (state_version == "1")
    throw FormatError(internal::path_text(path),
                      ": a training state of tsdl 0.1 (version 1), which this version (",
                      internal::state_version,
                      ") cannot go on from: start the run anew, or finish it with tsdl 0.1");
  if (state_version != internal::state_version)
    throw FormatError(internal::path_text(path), ": metadata 'tsdl.training_state': expected ",
                      internal::state_version, ", got ", internal::printable(state_version));
  if (file.metadata_at(internal::fingerprint_key) != fingerprint)
    throw Error(internal::path_text(path),
                ": cannot be resumed: it was written with other data or options (fingerprint ",
                file.metadata_at(internal::fingerprint_key), ", this run's is ", fingerprint, ")");
  const auto written = file.metadata.find(internal::checksum_key);  // older files have none
  if (written != file.metadata.end() && written->second != internal::checksum(file))
    throw FormatError(internal::path_text(path),
                      ": damaged: its contents do not have its checksum");
  internal::TensorArchive reader(file, StateArchive::Pass::check);
  internal::with_memory(internal::path_text(path), [&] { trainer.archive(reader); });
  file.refuse_unused();
  reader.restore();
  trainer.archive(reader);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
