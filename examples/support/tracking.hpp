// Runs recorded for MLflow, by option: in a folder, or on a server.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "logging.hpp"
#include "names.hpp"
#include "options.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/track/mlflow/rules.hpp"
#include "tsdl/track/tracker.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

inline constexpr const char* tracking_group = "Tracking";

inline void add_tracking(CLI::App& app, TrackingOptions& o) {
  const char* group = tracking_group;
  app.add_option("--tracking", o.target,
                 "Record the run for MLflow: in a folder, which\n"
                 "mlflow ui --backend-store-uri DIR shows, or on a\n"
                 "server, http(s)://... Off without it:\n"
                 "MLFLOW_TRACKING_URI is not read. A server gets\n"
                 "MLFLOW_TRACKING_USERNAME, _PASSWORD or _TOKEN")
      ->type_name("DIR|URL")
      ->group(group);
  app.add_option("--experiment", o.experiment, "The experiment that the run belongs to")
      ->group(group);
  app.add_option("--run-name", o.run_name, "Name of the run, for people")->group(group);
  app.add_option("--register", o.model_name, "Register the model as a new version of this name")
      ->type_name("NAME")
      ->group(group);
}

/// Throws: tsdl::OptionError when an option was given that has no effect without a tracker, or that
/// the tracker would only refuse when the training is over.
inline void check_tracking_options(const TrackingOptions& o) {
  if (!o.target.empty()) {
    try {
      if (!o.model_name.empty()) tsdl::check_model_name(o.model_name);
    } catch (const tsdl::DataError& error) {
      throw tsdl::OptionError("--register: ", error.what());
    }
    return;
  }
  const auto refuse = [](const char* option) {
    throw tsdl::OptionError(option, " has no effect without --tracking");
  };
  if (o.experiment != "Default") refuse("--experiment");
  if (!o.run_name.empty()) refuse("--run-name");
  if (!o.model_name.empty()) refuse("--register");
}

/// The commit that is checked out where `directory` lies, 40 hexadecimal digits; empty where there
/// is none. Reads git's own files: HEAD, the branch it names, packed-refs.
inline std::string git_commit(std::filesystem::path directory) {
  namespace fs = std::filesystem;
  const auto first_line = [](const fs::path& file) {
    std::string line;
    std::ifstream in(file);
    std::getline(in, line);
    return line;
  };
  const auto is_commit = [](std::string_view text) {
    return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos;
  };
  const auto target = [](const std::string& line, std::string_view prefix) {
    return line.starts_with(prefix) ? line.substr(prefix.size()) : std::string();
  };
  std::error_code code;
  fs::path git;
  for (directory = fs::absolute(directory, code);; directory = directory.parent_path()) {
    git = directory / ".git";
    if (fs::exists(git, code)) break;
    if (directory == directory.parent_path()) return {};
  }
  if (fs::is_regular_file(git, code)) git = directory / target(first_line(git), "gitdir: ");
  const std::string head = first_line(git / "HEAD");
  if (is_commit(head)) return head;
  const std::string branch = target(head, "ref: ");
  if (branch.empty()) return {};
  // A work tree of its own has its HEAD there, and its branches with the others.
  const std::string common = first_line(git / "commondir");
  const fs::path refs = common.empty() ? git : git / common;
  if (const std::string commit = first_line(refs / branch); is_commit(commit)) return commit;
  std::ifstream packed(refs / "packed-refs");
  for (std::string line; std::getline(packed, line);)
    if (line.size() > 41 && line.substr(41) == branch && is_commit(line.substr(0, 40)))
      return line.substr(0, 40);
  return {};
}

/// Every option of an app with its value, given or default: what a tracker shows as parameters.
/// Longer values than every MLflow takes are cut.
inline std::vector<tsdl::TrackedText> option_values(const CLI::App& app) {
  constexpr std::size_t longest = 500;
  std::vector<tsdl::TrackedText> values;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option == app.get_help_ptr()) continue;
    std::string value;
    if (option->count() == 0) value = option->get_default_str();
    const bool flag = option->get_expected_max() == 0;
    if (flag) value = option->count() > 0 && option->as<bool>() ? "true" : "false";
    if (!flag)
      for (const std::string& part : option->results()) value += (value.empty() ? "" : ",") + part;
    if (value.size() > longest) {
      value.resize(longest - 3);
      while (!value.empty() && (static_cast<unsigned char>(value.back()) & 0xc0) == 0x80)
        value.pop_back();  // not in the middle of a character
      if (!value.empty() && static_cast<unsigned char>(value.back()) >= 0x80) value.pop_back();
      value += "...";
    }
    values.push_back({option->get_lnames().front(), value});
  }
  return values;
}

/// The folder or server that the options name. `spool` takes what a server has not been sent yet;
/// `on_problem` may be called from another thread. Defined in tracking.cpp, the one place that
/// compiles the client. Throws: tsdl::Error when the address is none.
std::unique_ptr<tsdl::Tracker> make_tracker(const TrackingOptions& o,
                                            const std::filesystem::path& spool,
                                            std::function<void(const std::string&)> on_problem);

/// A run as it is tracked, from its start to one of its ends. Without --tracking it does nothing.
/// What goes wrong after the start is reported once and never stops the run. A run that is left
/// without end(), by an exception, ends as FAILED.
class TrackedRun {
 public:
  /// `run_name` is what the run is called where the options give no name; `out` takes the spool.
  TrackedRun(TrackingOptions options, const CLI::App& app, const std::string& run_name,
             std::filesystem::path out, Log& log)
      : options_(std::move(options)), app_(app), out_(std::move(out)), log_(log) {
    if (options_.run_name.empty()) options_.run_name = run_name;
  }
  TrackedRun(const TrackedRun&) = delete;
  TrackedRun& operator=(const TrackedRun&) = delete;
  ~TrackedRun() {
    if (running_) end(tsdl::RunStatus::failed, {});
  }

  /// `key`: of a run that is gone on with where it is there (tsdl::RunInfo::key). `varying`:
  /// options that are no parameters of such a run, as another part of it may have other values.
  /// Throws: tsdl::Error when the folder cannot be used or the address is none; tsdl::DataError
  /// when a run of this key in a folder has other parameters.
  void start(const std::string& key = {}, const std::vector<std::string>& varying = {}) {
    if (options_.target.empty()) return;
    tracker_ = make_tracker(options_, out_ / "tracking-spool",
                            [this](const std::string& what) { add(what); });
    tsdl::RunInfo run{.experiment = options_.experiment,
                      .name = options_.run_name,
                      .params = option_values(app_),
                      .tags = {{"mlflow.source.name", app_.get_name()},
                               {"mlflow.source.type", "LOCAL"},
                               {"tsdl.version", tsdl::version},
                               {"tsdl.instruction_set", tsdl::instruction_set},
                               {"tsdl.threads", std::to_string(tsdl::thread_count())}},
                      .key = key};
    std::erase_if(run.params, [&](const tsdl::TrackedText& param) {
      return std::find(varying.begin(), varying.end(), param.key) != varying.end();
    });
    std::error_code code;
    if (const std::string commit = git_commit(std::filesystem::current_path(code)); !commit.empty())
      run.tags.push_back({"mlflow.source.git.commit", commit});
    tracker_->start(run);
    running_ = true;
  }

  /// Adds the callback that logs each epoch.
  template <class Trainer>
  void attach(Trainer& trainer) {
    if (tracker_)
      trainer.add(tsdl::Tracking{tracker_.get(), [this](const std::string& what) { add(what); }});
  }

  void log_metrics(const std::vector<tsdl::TrackedMetric>& metrics) {
    guarded([&] { tracker_->log_metrics(metrics); });
  }

  /// Records a trial that is over below this run, once however often it is recorded.
  void log_child(const tsdl::ChildRun& child) {
    guarded([&] { tracker_->log_child(child); });
  }

  void set_tags(const std::vector<tsdl::TrackedText>& tags) {
    guarded([&] { tracker_->set_tags(tags); });
  }

  /// Keeps the files that are there, registers `model`, one of them, if that was asked for and the
  /// run is finished, and ends the run. A registered model is kept in the directory `model` as
  /// well: MLflow downloads directories.
  void end(tsdl::RunStatus status, const std::vector<std::filesystem::path>& files,
           const std::filesystem::path& model = {}) noexcept {
    if (!running_) return;
    running_ = false;
    std::error_code code;
    for (const std::filesystem::path& file : files)
      if (std::filesystem::exists(file, code)) guarded([&] { tracker_->log_artifact(file); });
    if (status == tsdl::RunStatus::finished && !options_.model_name.empty())
      guarded([&] {
        tracker_->log_artifact(model, "model");
        tracker_->register_model(options_.model_name, "model/" + model.filename().string());
      });
    guarded([&] { tracker_->end(status); });
    report();
  }

  /// Says what has gone wrong since the last call. From the thread that may write to the terminal.
  void report() noexcept {
    std::vector<std::string> problems;
    {
      const std::lock_guard lock(mutex_);
      problems.swap(problems_);
    }
    for (const std::string& what : problems) log_.warn("tracking: " + what);
  }

  /// Where the run can be looked at, as far as that is known.
  std::string location() const { return tracker_ ? tracker_->location() : std::string(); }
  bool running() const noexcept { return running_; }

 private:
  void add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    problems_.push_back(what);
  }

  template <class Work>
  void guarded(const Work& work) noexcept {
    if (!tracker_) return;
    try {
      work();
    } catch (const std::exception& error) {
      if (!std::exchange(failed_, true)) add(error.what());
    }
  }

  TrackingOptions options_;
  const CLI::App& app_;
  std::filesystem::path out_;
  Log& log_;
  std::mutex mutex_;
  std::vector<std::string> problems_;
  std::unique_ptr<tsdl::Tracker> tracker_;  // after what its threads use
  bool running_ = false, failed_ = false;
};

}  // namespace examples
