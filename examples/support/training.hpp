// What a training program does with a trainer: callbacks, resuming, display, an orderly stop.
#pragma once

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "display.hpp"
#include "logging.hpp"
#include "names.hpp"
#include "report.hpp"
#include "signals.hpp"
#include "tracking.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

/// The files of a run, all in one directory.
struct RunFiles {
  std::filesystem::path out{};

  std::filesystem::path best() const { return out / "best.safetensors"; }
  std::filesystem::path last() const { return out / "last.state.safetensors"; }
  std::filesystem::path history() const { return out / "history.csv"; }
  std::filesystem::path chart() const { return out / "loss.svg"; }
  std::filesystem::path report() const { return out / "report.html"; }
  std::filesystem::path config() const { return out / "config.toml"; }
  std::filesystem::path log() const { return out / "train.log"; }
};

struct TrainingOptions {
  RunFiles files{};
  tsdl::Index patience = 10;  ///< epochs without improvement before stopping; 0: no early stopping
  /// Epochs without improvement before the learning rate is halved; 0: never.
  tsdl::Index reduce_lr_patience = 5;
  std::optional<tsdl::ExponentialDecay> decay{};
  tsdl::Index shards = 1;
  bool resume = false;
  /// Whether to end the run after this batch; by all processes of a run alike.
  std::function<bool()> stop = [] { return StopSignals::requested() != 0; };
  std::string subject{}, subtitle{};    ///< what is trained on what, and how, in words
  std::string ending{};                 ///< how it ended; empty: as the history says
  TextLines summary{};                  ///< of data, model and training
  std::string test_option{};            ///< which option, with a value, keeps windows for the test
  bool explain = false;                 ///< the report says what the outputs hang on
  bool by_class = false;                ///< each class, and macro F1, are printed at the end
  std::vector<TrackedFigure> beside{};  ///< of baselines on the validation windows
  std::string config{};                 ///< what config.toml shall hold
  std::function<void()> on_start{};     ///< called once the run begins, before its first epoch
};

/// What callbacks do, for the fingerprint of a run. A rate that is halved after five epochs, or
/// never, is told by what the callback saves.
inline std::string callback_text(const TrainingOptions& o) {
  std::string text = "patience " + std::to_string(o.patience);
  if (o.reduce_lr_patience != 0 && o.reduce_lr_patience != 5)
    text += ", reduce-lr-patience " + std::to_string(o.reduce_lr_patience);
  if (o.shards != 1) text += ", shards " + std::to_string(o.shards);
  if (o.decay)
    text += ", decay " + format_exact(o.decay->factor) + " after " +
            std::to_string(o.decay->constant_epochs);
  return text;
}

/// What keeps the best model and the state of a run. Programs of other data overload it.
inline tsdl::Checkpoint checkpoint_of(const tsdl::Prepared<float>& data, const RunFiles& files,
                                      const std::string& fingerprint) {
  return {files.best(), data.recipe, files.last(), fingerprint};
}

/// Adds the callbacks that decide how a run goes on.
template <class Trainer>
void add_rules(Trainer& trainer, const TrainingOptions& o) {
  if (o.reduce_lr_patience > 0)
    trainer.add(tsdl::ReduceLROnPlateau{.factor = 0.5, .patience = o.reduce_lr_patience});
  if (o.decay) trainer.add(*o.decay);
  if (o.patience > 0) trainer.add(tsdl::EarlyStopping{.patience = o.patience});
  trainer.add(tsdl::StopWhen{o.stop});
}

/// run_training for a process that is not the first of a run: it writes nothing and says nothing.
template <class Trainer, class Data>
tsdl::History follow_training(Trainer& trainer, const Data& data, const TrainingOptions& o) {
  const std::string print = fingerprint(data, trainer, callback_text(o));
  add_rules(trainer, o);
  if (o.resume && std::filesystem::exists(o.files.last()))
    tsdl::resume(o.files.last(), trainer, print);
  return trainer.fit(data.train, data.validation);
}

/// Trains to the end, to a signal, or until a callback stops it; files and tracker follow each
/// epoch. Of an earlier run, nothing is replaced before the first one is finished. Throws: what the
/// trainer and its callbacks throw; tsdl::Error when --resume finds another run.
template <class Trainer, class Data>
tsdl::History run_training(Trainer& trainer, const Data& data, const TrainingOptions& o,
                           TrackedRun& tracked, Log& log) {
  const std::string print = fingerprint(data, trainer, callback_text(o));
  Display display({.out = o.files.out,
                   .title = "Loss of " + o.subject,
                   .subtitle = o.subtitle,
                   .max_epochs = trainer.options().max_epochs,
                   .windows = data.train.size(),
                   .figures = trainer.task()->figures(),
                   .beside = o.beside});
  add_rules(trainer, o);
  trainer.add(checkpoint_of(data, o.files, print));
  trainer.add(tsdl::Observer{.on_batch = [&](const auto& state) { display.batch(state); },
                             .on_epoch =
                                 [&](const tsdl::TrainerState& state) {
                                   const tsdl::EpochRecord& e = state.history.back();
                                   const tsdl::Figure& figure =
                                       tsdl::figure_of(trainer.task()->figures().front());
                                   const std::string name =
                                       "validation_" + std::string(figure.name);
                                   log.info("epoch", {{"epoch", e.epoch},
                                                      {"train_loss", e.train_loss},
                                                      {"validation_loss", e.validation.loss},
                                                      {name, e.validation.*figure.value},
                                                      {"learning_rate", e.learning_rate},
                                                      {"gradient_norm", e.gradient_norm},
                                                      {"best", state.improved}});
                                   display.clear();
                                   tracked.report();
                                   // An earlier run's would stand beside this one's files.
                                   std::error_code code;
                                   std::filesystem::remove(o.files.report(), code);
                                   if (state.epoch == 1)
                                     tsdl::write_file(o.files.config(), o.config);
                                   display.epoch(state);
                                 }});

  if (o.resume && std::filesystem::exists(o.files.last())) {
    tsdl::resume(o.files.last(), trainer, print);
    say("resumed", "after epoch " + std::to_string(trainer.state().epoch));
    tsdl::write_file(o.files.config(), o.config);
  } else if (o.resume) {
    say("resumed", "nothing: no epoch was finished, so from the start");
  }
  if (o.on_start) o.on_start();
  std::puts("");
  tracked.start();
  tracked.attach(trainer);
  for (const tsdl::EpochRecord& record : trainer.state().history)
    tracked.log_metrics(tsdl::tracked_metrics(record));
  display.begin(trainer.state());
  tsdl::History history = trainer.fit(data.train, data.validation);
  display.clear();
  print_ending(history);
  return history;
}

/// How a tracker calls the end of a run.
inline tsdl::RunStatus run_status(tsdl::Status status) noexcept {
  if (status == tsdl::Status::interrupted) return tsdl::RunStatus::killed;
  return status == tsdl::Status::diverged ? tsdl::RunStatus::failed : tsdl::RunStatus::finished;
}

/// 0; 1 when the loss diverged; as a shell counts a signal when one ended the run.
inline int exit_status(tsdl::Status status) noexcept {
  if (status == tsdl::Status::interrupted) return 128 + StopSignals::requested();
  return status == tsdl::Status::diverged ? 1 : 0;
}

/// Ends a tracked run with the files of the run, and says where it can be looked at.
inline void end_tracking(TrackedRun& tracked, tsdl::Status status, const RunFiles& files) {
  tracked.end(run_status(status),
              {files.best(), files.history(), files.chart(), files.report(), files.config()},
              files.best());
  const std::string location = tracked.location();
  if (!location.empty()) std::printf("tracking %s\n", location.c_str());
}

/// Where the files are.
inline void print_files(const RunFiles& files) {
  std::printf("\nmodel    %s\nhistory  %s\nchart    %s\n", files.best().c_str(),
              files.history().c_str(), files.chart().c_str());
  std::error_code code;
  if (std::filesystem::exists(files.report(), code))
    std::printf("report   %s\n", files.report().c_str());
}

/// Figures at the end of a run, as a tracker names them: the model's, and those of baselines that
/// the task gives.
inline std::vector<tsdl::TrackedMetric> final_metrics(const std::string& prefix,
                                                      const Evaluation& e, tsdl::Index step) {
  std::vector<tsdl::TrackedMetric> metrics;
  const auto add = [&](const std::string& key, double value) {
    if (is_finite(value)) metrics.push_back({prefix + key, value, step});
  };
  add("loss", e.metrics.loss);
  for (const std::string_view name : e.figures)
    add(std::string(name), e.metrics.*tsdl::figure_of(name).value);
  add("macro_f1", e.macro_f1);
  for (const BaselineResult& baseline : e.baselines) {
    if (e.task == "classes" && baseline.name == "constant") continue;  // majority_accuracy
    add(baseline.name + "_loss", baseline.metrics.loss);
    for (const std::string_view name : e.figures)
      if (name != "majority_accuracy")
        add(baseline.name + '_' + std::string(name), baseline.metrics.*tsdl::figure_of(name).value);
    if (baseline.gain) add(baseline.name + "_gain", baseline.gain->mean);
  }
  return metrics;
}

}  // namespace examples
