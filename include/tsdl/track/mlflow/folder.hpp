// A tracker that writes MLflow's folder format, for `mlflow ui --backend-store-uri DIRECTORY`.
//
//   DIRECTORY/.trash/                        deleted by MLflow's users
//   DIRECTORY/<experiment>/meta.yaml         "0" is Default, others have 18 digits
//   DIRECTORY/<experiment>/<run>/meta.yaml   32 hex digits; beside it artifacts/, and params/,
//                                            tags/ and metrics/ with one file per key
//   DIRECTORY/models/<name>/meta.yaml        and beside it version-<n>/meta.yaml
//
// No file or folder that MLflow lists is ever incomplete, whenever the process is killed. Files are
// renamed into place from the top of the run's folder, which MLflow does not list; folders from
// DIRECTORY/*.trash, which it skips. A kill in between can leave such a file or folder behind: it
// is never read, and may be removed. meta.yaml and artifacts are synced to the disk; params, tags
// and metrics are not, and a power cut may lose the last of them.
//
// Source: https://mlflow.org/docs/latest/tracking.html, and the reading code of MLflow's file
// store.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tsdl/core/file.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/track/mlflow/disk.hpp"
#include "tsdl/track/mlflow/folder_files.hpp"
#include "tsdl/track/mlflow/rules.hpp"
#include "tsdl/track/mlflow/text.hpp"
#include "tsdl/track/tracker.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline std::uint64_t random_bits() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace internal

/// Where an MLflowFolder writes, and the functions that give it time and random numbers.
struct MLflowFolderOptions {
  std::filesystem::path directory = "mlruns";  ///< holds the experiments; created if missing
  Clock now = system_milliseconds;
  std::string user = internal::user_name();
  std::function<std::uint64_t()> random = internal::random_bits;  ///< two draws make a run's id
};

/// Writes a run in MLflow's folder format. Values of params have at most 500 characters, values of
/// tags 5000, and all text is UTF-8. Several processes may write runs in one folder, also of one
/// experiment. Throws: DataError, before anything is written; Error when the disk fails, or when
/// the experiment was deleted in MLflow: it keeps its name in the trash.
class MLflowFolder final : public Tracker {
 public:
  explicit MLflowFolder(MLflowFolderOptions options) : options_(std::move(options)) {
    internal::check_text("MLflowFolder: user", options_.user, 256);
  }

  void start(const RunInfo& run) override {
    if (!folder_.empty()) throw Error("MLflowFolder: a run has been started already");
    rules_ = internal::RunRules(run);
    std::error_code code;
    root_ = std::filesystem::absolute(options_.directory, code).lexically_normal();
    if (code) throw Error(options_.directory.string(), ": ", code.message());
    if (!root_.has_filename()) root_ = root_.parent_path();
    run_id_ = run.key;
    if (run_id_.empty()) draw_run_id();
    const std::map<std::string, std::string> tags = tags_of(run);
    make_root();
    const std::filesystem::path folder = root_ / experiment_of(run.experiment) / run_id_;
    const auto fill = [&](const Path& here) {
      internal::make_run_folders(here);
      write_params(here, run.params);
      for (const auto& [key, value] : tags) internal::place_text(here, here / "tags" / key, value);
      write_file(here / "meta.yaml",
                 internal::run_meta({.folder = folder,
                                     .name = tags.at("mlflow.runName"),
                                     .user = options_.user,
                                     .start_time = std::to_string(options_.now())}));
    };
    const bool goes_on = !run.key.empty() && internal::is_there(folder);
    if (goes_on)
      go_on(folder, run);
    else if (!place_folder(folder, fill))
      throw Error(folder.string(), ": a run of this id is there already");
    folder_ = folder;
  }

  void log_params(std::span<const TrackedText> params) override {
    need_run();
    rules_.check(params, {});
    write_params(folder_, params);
  }

  void set_tags(std::span<const TrackedText> tags) override {
    need_run();
    rules_.check({}, tags);
    for (const TrackedText& tag : tags) {
      internal::place_text(folder_, folder_ / "tags" / tag.key, tag.value);
      if (tag.key == "mlflow.runName")
        change(folder_ / "meta.yaml", {{"run_name", internal::yaml_text(tag.value)}});
    }
  }

  void log_metrics(std::span<const TrackedMetric> metrics) override {
    need_run();
    internal::RunRules::check(metrics);
    write_metrics(folder_, metrics, options_.now());
  }

  void log_artifact(const std::filesystem::path& file, const std::string& directory = {}) override {
    need_run();
    const std::string path = internal::RunRules::artifact_path(file, directory);
    std::error_code none;
    if (!std::filesystem::is_regular_file(file, none)) throw Error(file.string(), ": is no file");
    std::ifstream in(file, std::ios::binary);
    if (!in) throw Error(file.string(), ": cannot be read");
    const std::filesystem::path unfinished = folder_ / "artifact";
    AtomicFile copy(unfinished);
    std::vector<char> block(1u << 16);
    while (in.read(block.data(), std::ssize(block)), in.gcount() > 0)
      copy.write(block.data(), static_cast<std::size_t>(in.gcount()));
    if (in.bad()) throw Error(file.string(), ": cannot be read");
    copy.commit();
    internal::move_file(unfinished, folder_ / "artifacts" / path);
    rules_.logged_artifact(path);
  }

  void register_model(const std::string& model, const std::string& artifact) override {
    need_run();
    const internal::ModelFolder found = rules_.model_folder(model, artifact);
    if (!found.described) describe(found);
    rules_.registered(found);

    const std::filesystem::path models = root_ / "models", folder = models / model;
    make_directories(models);
    const std::string now = std::to_string(options_.now());
    if (!internal::is_there(folder))
      place_folder(folder, [&](const std::filesystem::path& here) {
        write_file(here / "meta.yaml", internal::yaml_map({{"aliases", "{}"},
                                                           {"creation_timestamp", now},
                                                           {"description", "null"},
                                                           {"last_updated_timestamp", now},
                                                           {"name", internal::yaml_text(model)}}));
      });
    std::int64_t number = internal::latest_version(folder) + 1;
    while (!place_folder(folder / ("version-" + std::to_string(number)), [&](const auto& here) {
      write_file(here / "meta.yaml",
                 internal::version_meta(model, folder_ / "artifacts" / found.folder, run_id_,
                                        number, now));
    }))
      ++number;  // another process has taken it
    change(folder / "meta.yaml", {{"last_updated_timestamp", now}});
  }

  void log_child(const ChildRun& child) override {
    need_run();
    const ChildRun one = internal::checked_child(child, options_.now());
    auto tags = internal::first_tags({.name = one.name, .tags = one.tags}, options_.user);
    tags.emplace("mlflow.runName", one.name);
    tags[internal::parent_tag] = run_id_;
    const Path folder = folder_.parent_path() / internal::child_key(run_id_, one.id);
    if (internal::is_there(folder)) return;
    place_folder(folder, [&](const Path& here) {
      internal::make_run_folders(here);
      for (const TrackedText& param : one.params)
        internal::place_text(here, here / "params" / param.key, param.value);
      for (const auto& [key, value] : tags) internal::place_text(here, here / "tags" / key, value);
      write_metrics(here, one.metrics, one.end_time);
      write_file(here / "meta.yaml",
                 internal::run_meta({.folder = folder,
                                     .name = tags.at("mlflow.runName"),
                                     .user = options_.user,
                                     .start_time = std::to_string(one.start_time),
                                     .end_time = std::to_string(one.end_time),
                                     .status = internal::status_number(one.status)}));
    });
  }

  void end(RunStatus status) override {
    need_run();
    change(folder_ / "meta.yaml", {{"status", internal::status_number(status)},
                                   {"end_time", std::to_string(options_.now())}});
    ended_ = true;
  }

  std::string location() const override { return folder_.string(); }

 private:
  using Path = std::filesystem::path;

  void need_run() const {
    if (folder_.empty()) throw Error("MLflowFolder: no run has been started");
    if (ended_) throw Error("MLflowFolder: the run has ended");
  }

  void draw_run_id() {
    run_id_.clear();
    for (int half = 0; half < 2; ++half) {
      const std::uint64_t bits = options_.random();
      for (int shift = 60; shift >= 0; shift -= 4)
        run_id_ += internal::hex_digits[(bits >> shift) & 15u];
    }
  }

  std::map<std::string, std::string> tags_of(const RunInfo& run) const {
    std::map<std::string, std::string> tags = internal::first_tags(run, options_.user);
    std::string& name = tags["mlflow.runName"];
    if (name.empty()) name = run.name.empty() ? "run-" + run_id_.substr(0, 8) : run.name;
    return tags;
  }

  /// Writes the MLmodel file of a folder of artifacts.
  void describe(const internal::ModelFolder& model) const {
    const Path unfinished = folder_ / "MLmodel";
    write_file(unfinished,
               internal::mlmodel_text(model.folder, model.data, run_id_, options_.now()));
    internal::move_file(unfinished, folder_ / "artifacts" / model.folder / "MLmodel");
  }

  /// Goes on with a run that is there. Throws: before anything is written, Error when it was
  /// deleted in MLflow, DataError when it has another value for a parameter.
  void go_on(const Path& folder, const RunInfo& run) {
    const std::string meta = internal::whole_file(folder / "meta.yaml");
    if (internal::yaml_value(meta, "lifecycle_stage") == "deleted")
      throw Error(folder.string(), ": this run is deleted in MLflow: restore it, or take another");
    for (const std::string& key : internal::files_below(folder / "params"))
      rules_.logged({key, internal::whole_file(folder / "params" / key)});
    for (const std::string& path : internal::files_below(folder / "artifacts"))
      rules_.logged_artifact(path);
    rules_.check(run.params, {});
    write_params(folder, run.params);
    for (const auto& [key, value] : internal::first_tags(run, options_.user))
      internal::place_text(folder, folder / "tags" / key, value);
    change(folder / "meta.yaml", {{"status", "1"}, {"end_time", "null"}});
  }

  static void write_metrics(const Path& folder, std::span<const TrackedMetric> metrics,
                            std::int64_t time) {
    std::map<std::string, std::string> lines;
    for (const TrackedMetric& metric : metrics)
      lines[metric.key] += std::to_string(time) + " " + internal::metric_text(metric.value) + " " +
                           std::to_string(metric.step) + "\n";
    for (const auto& [key, text] : lines)
      internal::place_lines(folder, folder / "metrics" / key, text);
  }

  void write_params(const Path& folder, std::span<const TrackedText> params) {
    for (const TrackedText& param : params) {
      if (rules_.has(param)) continue;
      internal::place_text(folder, folder / "params" / param.key, param.value);
      rules_.logged(param);
    }
  }

  /// internal::place_folder, through a folder beside the experiments.
  template <class Fill>
  bool place_folder(const Path& target, const Fill& fill) const {
    const Path aside = root_ / (run_id_ + "." + internal::unique_digits() + ".trash");
    return internal::place_folder(aside, target, fill);
  }

  /// Replaces values in a meta.yaml, keeping everything else, which MLflow's user may have changed.
  static void change(const Path& file,
                     std::initializer_list<std::pair<const char*, std::string>> values) {
    std::string text = internal::whole_file(file);
    for (const auto& [key, value] : values) text = internal::yaml_changed(text, key, value);
    write_file(file, text);
  }

  void make_root() const {
    make_directories(root_ / ".trash");
    if (!internal::is_there(root_ / "0") && !internal::is_there(root_ / ".trash" / "0"))
      make_experiment("0", "Default");
  }

  bool make_experiment(const std::string& id, const std::string& name) const {
    const std::string now = std::to_string(options_.now());
    return place_folder(root_ / id, [&](const Path& here) {
      write_file(here / "meta.yaml",
                 internal::yaml_map(
                     {{"artifact_location", internal::yaml_text(internal::file_uri(root_ / id))},
                      {"creation_time", now},
                      {"experiment_id", internal::yaml_text(id)},
                      {"last_update_time", now},
                      {"lifecycle_stage", "active"},
                      {"name", internal::yaml_text(name)}}));
    });
  }

  struct Experiment {
    std::int64_t created;
    bool active;
  };

  /// The experiment of this id and name in root_ or in its trash; nothing when it is not there.
  static std::optional<Experiment> experiment_in(const Path& parent, const std::string& id,
                                                 const std::string& name) {
    std::error_code none;
    const Path meta = parent / id / "meta.yaml";
    if (!std::filesystem::is_regular_file(meta, none)) return {};
    const std::string text = internal::whole_file(meta);
    if (internal::yaml_value(text, "name") != name ||
        internal::yaml_value(text, "experiment_id") != id)
      return {};
    const std::string time = internal::yaml_value(text, "creation_time").value_or("");
    Experiment found{0,
                     internal::yaml_value(text, "lifecycle_stage").value_or("active") == "active"};
    std::from_chars(time.data(), time.data() + time.size(), found.created);
    return found;
  }

  /// The id of the experiment of that name, which is created if it does not exist. The id is a
  /// function of the name, so that two processes which create it at once agree. Throws: Error when
  /// there is only a deleted one.
  std::string experiment_of(const std::string& name) const {
    std::pair<std::int64_t, std::string> found;  // of several the newest, as in MLflow
    std::string deleted;
    for (const std::string& id : internal::names_in(root_)) {
      const auto known = experiment_in(root_, id, name);
      if (known && !known->active) deleted = id;
      if (!known || !known->active) continue;
      const bool newer =
          known->created > found.first || (known->created == found.first && id < found.second);
      if (found.second.empty() || newer) found = {known->created, id};
    }
    if (!found.second.empty()) return found.second;
    for (const std::string& id : internal::names_in(root_ / ".trash"))
      if (experiment_in(root_ / ".trash", id, name)) deleted = id;
    if (!deleted.empty())
      throw Error(root_.string(), ": the experiment '", name, "' (", deleted,
                  ") is deleted there: ",
                  "restore it in MLflow, or remove it from .trash, or take another name");
    RandomStream ids(Fingerprint().add(name).value());
    while (true) {
      const std::string id =
          std::to_string(100'000'000'000'000'000u + ids.below(900'000'000'000'000'000u));
      if (internal::is_there(root_ / ".trash" / id)) continue;
      if (make_experiment(id, name) || experiment_in(root_, id, name)) return id;
    }
  }

  MLflowFolderOptions options_;
  std::filesystem::path root_, folder_;  // folder_: the run's; empty before it starts
  std::string run_id_;
  internal::RunRules rules_;
  bool ended_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
