// The state of an unfinished run as a file: written after each epoch, read to continue with the
// same bits.
//
// Tensors: weights.*, best.*, m.*, v.* in the model's own type, state.* as F64 numbers, history as
// an F64 matrix of one row per epoch. The metadata has a version and a fingerprint of data and
// options.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/fingerprint.hpp"
#include "tsdl/io/json.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/train/trainer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr const char* state_key = "tsdl.training_state";
inline constexpr const char* fingerprint_key = "tsdl.fingerprint";
/// Version 2 has callbacks by key, and every figure in the history. Version 1 was that of tsdl 0.1.
inline constexpr const char* state_version = "2";

inline Json trainer_options_to_json(const TrainerOptions& options) {
  const AdamW& adamw = options.optimizer;
  Json groups = Json::array();
  for (const ParameterGroup& group : adamw.groups)
    groups.push_back({group.name, group.weight_decay.value_or(adamw.weight_decay), group.lr_scale});
  return {{"lr", adamw.lr},
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
}

/// Writes each number as a tensor, or reads it back. A reader that does not commit only checks that
/// everything is present.
class TensorArchive final : public StateArchive {
 public:
  enum class Mode { write, check, commit };
  TensorArchive(TensorFile& file, Mode mode) : file_(file), mode_(mode) {}

  void number(const std::string& name, double& value) override {
    if (mode_ == Mode::write) {
      file_.add("state." + name, {}, std::span<const double>(&value, 1));
      return;
    }
    double stored = 0;
    file_.copy_to("state." + name, {}, std::span<double>(&stored, 1));
    if (mode_ == Mode::commit) value = stored;
  }

 private:
  TensorFile& file_;
  Mode mode_;
};

inline void archive(StateArchive& archive, TrainerState& state) {
  archive.integer("epoch", state.epoch);
  archive.integer("batches", state.batches);
  archive.number("learning_rate", state.learning_rate);
  archive.number("best_loss", state.best_loss);
  archive.integer("best_epoch", state.best_epoch);
  archive.integer("skipped_steps", state.skipped_steps);
  archive.integer("skipped_in_a_row", state.skipped_in_a_row);
  archive.integer("stop", state.stop);
  archive.integer("status", state.status);
}

/// A row of the history: the training record, then every validation figure.
inline constexpr Index history_columns = 6 + std::ssize(all_figures);

inline std::vector<double> history_row(const EpochRecord& e) {
  std::vector<double> row = {static_cast<double>(e.epoch),
                             e.learning_rate,
                             e.gradient_norm,
                             e.train_loss,
                             static_cast<double>(e.skipped_steps),
                             static_cast<double>(e.validation.count)};
  for (const Figure& figure : all_figures) row.push_back(e.validation.*figure.value);
  return row;
}

inline EpochRecord history_record(const double* row) {
  EpochRecord e;
  e.epoch = static_cast<Index>(row[0]);
  e.learning_rate = row[1];
  e.gradient_norm = row[2];
  e.train_loss = row[3];
  e.skipped_steps = static_cast<Index>(row[4]);
  e.validation.count = static_cast<Index>(row[5]);
  row += 6;
  for (const Figure& figure : all_figures) e.validation.*figure.value = *row++;
  return e;
}

/// Calls use(name, shape, buffer) for every buffer of the model's size.
template <class Trainer, class Use>
void for_each_state_tensor(Trainer& trainer, const Use& use) {
  using Scalar = typename Trainer::Scalar;
  std::size_t i = 0;
  trainer.model().visit([&](Parameter<Scalar>& parameter) {
    auto& moments = trainer.optimizer().moments()[i];
    use("weights." + parameter.name, parameter.shape(), parameter.value);
    use("best." + parameter.name, parameter.shape(), trainer.best_weights()[i]);
    use("m." + parameter.name, parameter.shape(), moments.m);
    use("v." + parameter.name, parameter.shape(), moments.v);
    ++i;
  });
  trainer.model().repack();
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
  return result.add(more).text();
}

/// Writes everything that resume() needs, completely or not at all. Throws: Error when it cannot be
/// written.
template <class Trainer>
void save_training_state(const std::filesystem::path& path, Trainer& trainer,
                         const std::string& fingerprint) {
  using Scalar = typename Trainer::Scalar;
  TensorFile file(path.string());
  file.metadata[internal::state_key] = internal::state_version;
  file.metadata[internal::fingerprint_key] = fingerprint;
  internal::for_each_state_tensor(
      trainer, [&](const std::string& name, std::vector<Index> shape, Buffer<Scalar>& values) {
        file.add(name, std::move(shape), std::span<const Scalar>(values.span()));
      });
  internal::TensorArchive writer(file, internal::TensorArchive::Mode::write);
  internal::archive(writer, trainer.state());
  std::uint64_t steps = trainer.optimizer().steps();
  writer.integer("optimizer.steps", steps);
  trainer.archive(writer);
  std::vector<double> history;
  for (const EpochRecord& record : trainer.state().history) {
    const std::vector<double> row = internal::history_row(record);
    history.insert(history.end(), row.begin(), row.end());
  }
  file.add("history",
           {static_cast<Index>(trainer.state().history.size()), internal::history_columns},
           std::span<const double>(history));
  write_safetensors(path, file);
}

/// Restores a trainer, its model and its callbacks to the state of the file's run; fit() then
/// continues to the bits of an uninterrupted run. Add the same callbacks first. Changes everything
/// or nothing.
/// Throws: Error when the file cannot be read or was written with other data or options;
/// FormatError when it is not such a file or does not match the model and callbacks.
template <class Trainer>
void resume(const std::filesystem::path& path, Trainer& trainer, const std::string& fingerprint) {
  using Scalar = typename Trainer::Scalar;
  using Mode = internal::TensorArchive::Mode;
  TensorFile file = read_safetensors(path);
  const std::string& state_version = file.metadata_at(internal::state_key);
  if (state_version == "1")
    throw FormatError(path.string(),
                      ": a training state of tsdl 0.1 (version 1), which this version (",
                      internal::state_version,
                      ") cannot go on from: start the run anew, or finish it with tsdl 0.1");
  if (state_version != internal::state_version)
    throw FormatError(path.string(), ": metadata 'tsdl.training_state': expected ",
                      internal::state_version, ", got ", internal::printable(state_version));
  if (file.metadata_at(internal::fingerprint_key) != fingerprint)
    throw Error(path.string(),
                ": cannot be resumed: it was written with other data or options (fingerprint ",
                file.metadata_at(internal::fingerprint_key), ", this run's is ", fingerprint, ")");
  std::vector<Buffer<Scalar>> tensors;
  std::as_const(trainer.model()).visit([&](const Parameter<Scalar>& parameter) {
    for (const char* kind : {"weights.", "best.", "m.", "v."})
      file.copy_to(kind + parameter.name, parameter.shape(),
                   tensors.emplace_back(parameter.size()).span());
  });
  const auto read = [&](Mode mode) {
    internal::TensorArchive reader(file, mode);
    internal::archive(reader, trainer.state());
    std::uint64_t steps = trainer.optimizer().steps();
    reader.integer("optimizer.steps", steps);
    trainer.optimizer().set_steps(steps);
    trainer.archive(reader);
  };
  read(Mode::check);
  const auto rows = file.tensors().find("history");
  if (rows == file.tensors().end() || rows->second.shape.size() != 2)
    throw FormatError(path.string(), ": tensor 'history': missing or not a matrix");
  const Index epochs = rows->second.shape[0];
  Buffer<double> history(epochs * internal::history_columns);
  file.copy_to("history", {epochs, internal::history_columns}, history.span());
  file.refuse_unused();

  read(Mode::commit);
  trainer.state().history.clear();
  for (Index i = 0; i < epochs; ++i)
    trainer.state().history.push_back(
        internal::history_record(history.data() + i * internal::history_columns));
  trainer.restored();
  auto next = tensors.begin();
  internal::for_each_state_tensor(trainer, [&](const std::string&, const std::vector<Index>&,
                                               Buffer<Scalar>& values) { values.swap(*next++); });
}

}  // namespace TSDL_ABI
}  // namespace tsdl
