// Runs recorded where teams look at them: the interface of a tracker, and the callback that feeds
// it.
//
// A tracker takes what a run is (parameters, tags), what it measures (metrics by step) and what it
// leaves behind (files). Words and rules are MLflow's
// (https://mlflow.org/docs/latest/tracking.html). track/mlflow/folder.hpp writes MLflow's folder
// format; track/mlflow/rest.hpp speaks to a server.
#pragma once

#include <cstdint>
#include <ctime>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/train/callbacks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A name and a text: a parameter or a tag. The key may hold letters, digits, '_', '-', '.', ' ',
/// ':' and '/'; anything else, and a path that would leave its folder, is refused.
struct TrackedText {
  std::string key;
  std::string value;
};

/// A figure at a step; steps of training are epochs.
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

/// What is known of a run when it starts.
struct RunInfo {
  std::string experiment = "Default";
  std::string name{};                 ///< of the run, for people; need not be unique
  std::vector<TrackedText> params{};  ///< every option
  std::vector<TrackedText> tags{};
};

/// Milliseconds since 1970, which is how MLflow counts time.
using Clock = std::function<std::int64_t()>;

inline std::int64_t system_milliseconds() {
  std::timespec now{};
  std::timespec_get(&now, TIME_UTC);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

/// Records one run. Called from one thread: start, then anything, then end. Throws: DataError when
/// a key is not a key; Error when the target cannot be used (a server that cannot be reached is not
/// that: see track/mlflow/rest.hpp).
class Tracker {
 public:
  virtual ~Tracker() = default;
  /// Begins the run: the first call.
  virtual void start(const RunInfo& run) = 0;
  /// Adds parameters.
  virtual void log_params(std::span<const TrackedText> params) = 0;
  /// Sets tags, over those that are there.
  virtual void set_tags(std::span<const TrackedText> tags) = 0;
  /// All at one moment, that of the call.
  virtual void log_metrics(std::span<const TrackedMetric> metrics) = 0;
  /// Copies the file as it is now to `directory` among the run's artifacts ("": at their top).
  virtual void log_artifact(const std::filesystem::path& file,
                            const std::string& directory = {}) = 0;
  /// Registers an artifact of this run, named by its path among them, as a new version of `model`.
  virtual void register_model(const std::string& model, const std::string& artifact) = 0;
  /// Ends the run: the last call.
  virtual void end(RunStatus status) = 0;
  /// Where the run can be looked at: a folder or an address; empty while that is not known.
  virtual std::string location() const = 0;
};

/// Logs each epoch of a training run: losses, learning rate, gradient norm and validation metrics
/// at step = epoch. What is undefined is left out. start() and end() of the tracker are the
/// caller's.
///
/// A tracker that throws does not stop the training: `on_problem` is told once, and nothing more is
/// sent.
struct Tracking {
  Tracker* tracker = nullptr;
  std::function<void(const std::string&)> on_problem{};
};

/// The metrics of one epoch, by the names under which they are tracked.
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

/// A template, as a program that does not track need not compile it.
template <class Options = Tracking>
class TrackingCallback final : public Callback {
 public:
  explicit TrackingCallback(Options options) : options_(std::move(options)) {
    if (!options_.tracker) throw Error("Tracking: no tracker was given");
  }
  void on_epoch_complete(const TrainerState& state) override {
    guarded([&] { options_.tracker->log_metrics(tracked_metrics(state.history.back())); });
  }
  /// Best values, as tags of a run cannot be compared and metrics can.
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
