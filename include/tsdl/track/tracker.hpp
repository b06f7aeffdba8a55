// The interface of an experiment tracker, and the callback that feeds it.
//
// A tracker records a run's parameters and tags, its metrics by step, and its files. Terms and
// rules are MLflow's (https://mlflow.org/docs/latest/tracking.html). track/mlflow/folder.hpp writes
// MLflow's folder format; track/mlflow/rest.hpp sends to a server.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/train/callbacks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A parameter or a tag: a key and a text. The key may hold letters, digits, '_', '-', '.', ' ' and
/// '/'. Any other character, and a path that would leave its folder, is refused.
struct TrackedText {
  std::string key;
  std::string value;
};

/// A metric at a step; steps of training are epochs.
struct TrackedMetric {
  std::string key;
  double value = 0;
  std::int64_t step = 0;
};

/// How a run ended.
enum class RunStatus {
  finished,
  failed,  ///< it threw, or its loss diverged
  killed   ///< it was interrupted
};

/// What is known about a run when it starts.
struct RunInfo {
  std::string experiment = "Default";
  std::string name{};                 ///< the run's name, for people; need not be unique
  std::vector<TrackedText> params{};  ///< every option
  std::vector<TrackedText> tags{};
  /// 32 hexadecimal digits, as new_run_key() draws them; empty: drawn. Where the experiment has a
  /// run of this key, the tracker goes on with that run: it is running again, keeps what was logged
  /// and its name, and takes no other value for a parameter that it has. A run that was deleted in
  /// MLflow is refused in a folder; on a server, another one is made.
  std::string key{};
};

/// A run that is over: one trial of a study, whose run is the tracker's.
struct ChildRun {
  std::string id;      ///< tells it from the tracker's other children: the number of the trial
  std::string name{};  ///< empty: the id
  std::vector<TrackedText> params{};
  std::vector<TrackedText> tags{};
  std::vector<TrackedMetric> metrics{};
  std::int64_t start_time = 0;  ///< milliseconds since 1970; 0: end_time
  std::int64_t end_time = 0;    ///< also that of the metrics; 0: now
  RunStatus status = RunStatus::finished;
};

/// A key of a run that no other run has.
inline std::string new_run_key() {
  static constexpr char digits[] = "0123456789abcdef";
  std::random_device random;
  std::string key;
  for (int i = 0; i < 32; ++i) key += digits[random() % 16];
  return key;
}

/// The key that belongs to a text: always the same.
inline std::string derived_run_key(std::string_view text) {
  return Fingerprint().add(text).text() + Fingerprint().add("tsdl").add(text).text();
}

/// The time in milliseconds since 1970, MLflow's unit.
using Clock = std::function<std::int64_t()>;

inline std::int64_t system_milliseconds() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count();
}

/// Records one run. Call from one thread: start, then anything, then end. Throws: DataError when
/// something is refused; Error when the target cannot be used (a server that cannot be reached does
/// not throw: see track/mlflow/rest.hpp).
class Tracker {
 public:
  virtual ~Tracker() = default;
  /// Starts the run: the first call.
  virtual void start(const RunInfo& run) = 0;
  /// Adds parameters. Another value for one that is logged is refused.
  virtual void log_params(std::span<const TrackedText> params) = 0;
  /// Sets tags, replacing those of the same key.
  virtual void set_tags(std::span<const TrackedText> tags) = 0;
  /// Logs metrics, all with the time of the call.
  virtual void log_metrics(std::span<const TrackedMetric> metrics) = 0;
  /// Copies the file as it is now to `directory` among the run's artifacts ("": to their root).
  virtual void log_artifact(const std::filesystem::path& file,
                            const std::string& directory = {}) = 0;
  /// Registers a directory of this run's artifacts as a new version of `model`. `artifact` is the
  /// path of that directory, or of the file in it that is the model. MLflow downloads it as
  /// models:/NAME/VERSION. A file MLmodel, which says what the model is, is added where none was
  /// logged. Refused: what was not logged, a file in no directory, and two models in one directory.
  virtual void register_model(const std::string& model, const std::string& artifact) = 0;
  /// Records a run that is over as a child of this one, with its tag mlflow.parentRunId: at any
  /// time before end(), and in any order. A child of this id that is recorded already stays as it
  /// is, so that a run which is gone on with (RunInfo::key) may record all its children again.
  virtual void log_child(const ChildRun& child) = 0;
  /// Ends the run: the last call.
  virtual void end(RunStatus status) = 0;
  /// Where the run can be viewed: a folder or an address; empty while that is not known.
  virtual std::string location() const = 0;
};

/// Logs each epoch of a training run: losses, learning rate, gradient norm and validation metrics
/// at step = epoch, without those that are undefined. The caller calls start() and end() of the
/// tracker.
///
/// A tracker that throws does not stop the training: `on_problem` is called once, and nothing more
/// is sent.
struct Tracking {
  Tracker* tracker = nullptr;
  std::function<void(const std::string&)> on_problem{};
};

/// The metrics of one epoch, under their tracked names.
inline std::vector<TrackedMetric> tracked_metrics(const EpochRecord& epoch) {
  std::vector<TrackedMetric> metrics;
  const auto add = [&](const char* key, double value) {
    if (is_finite(value)) metrics.push_back({key, value, epoch.epoch});
  };
  add("train_loss", epoch.train_loss);
  add("learning_rate", epoch.learning_rate);
  add("gradient_norm", epoch.gradient_norm);
  add("skipped_steps", static_cast<double>(epoch.skipped_steps));
  if (epoch.validation.count == 0) return metrics;
  for (const Figure& figure : all_figures)
    add(internal::concatenate("validation_", figure.name).c_str(), epoch.validation.*figure.value);
  return metrics;
}

namespace internal {

/// A template, so that a program without tracking does not compile it.
template <class Options = Tracking>
class TrackingCallback final : public Callback {
 public:
  explicit TrackingCallback(Options options) : options_(std::move(options)) {
    if (!options_.tracker) throw Error("Tracking: no tracker was given");
  }
  void on_epoch_complete(const TrainerState& state) override {
    guarded([&] { options_.tracker->log_metrics(tracked_metrics(state.history.back())); });
  }
  /// The best values, as metrics, since a run's tags cannot be compared.
  void on_end(const TrainerState& state) override {
    if (state.best_epoch == 0) return;
    guarded([&] {
      const std::vector<TrackedMetric> best = {
          {"best_epoch", static_cast<double>(state.best_epoch), state.best_epoch},
          {"best_loss", state.best_loss, state.best_epoch}};
      options_.tracker->log_metrics(best);
    });
  }

 private:
  template <class Work>
  void guarded(const Work& work) {
    if (given_up_) return;
    try {
      work();
    } catch (const std::exception& error) {
      given_up_ = true;
      if (options_.on_problem) options_.on_problem(error.what());
    }
  }

  Options options_;
  bool given_up_ = false;
};

}  // namespace internal

template <class Trainer>
std::unique_ptr<Callback> make_callback(const Tracking& options, Trainer&) {
  return std::make_unique<internal::TrackingCallback<>>(options);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
