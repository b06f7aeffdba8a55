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

#include <unistd.h>

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
#include "tsdl/track/mlflow/text.hpp"
#include "tsdl/track/tracker.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline std::string user_name() {
  for (const char* variable : {"LOGNAME", "USER"})
    if (const char* name = std::getenv(variable); name && *name) return name;
  return "unknown";
}

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

/// Writes a run in MLflow's folder format. Values of params have at most 6000 characters, values of
/// tags 5000, and all text is UTF-8. Logging another value for a parameter is refused. Keys with
/// ':' need MLflow 2.16 or later. Several processes may write runs in one folder, also of one
/// experiment. Throws: DataError, before anything is written; Error when the disk fails.
class MLflowFolder final : public Tracker {
 public:
  explicit MLflowFolder(MLflowFolderOptions options) : options_(std::move(options)) {
    internal::check_text("MLflowFolder: user", options_.user, 256);
  }

  void start(const RunInfo& run) override {
    if (!folder_.empty()) throw Error("MLflowFolder: a run has been started already");
    internal::check_text("experiment", run.experiment, 500);
    if (run.experiment.empty()) throw DataError("MLflowFolder: the experiment has no name");
    params_.clear();
    check(run.params, run.tags);
    std::error_code code;
    root_ = std::filesystem::absolute(options_.directory, code).lexically_normal();
    if (code) throw Error(options_.directory.string(), ": ", code.message());
    if (!root_.has_filename()) root_ = root_.parent_path();
    draw_run_id();
    const std::map<std::string, std::string> tags = tags_of(run);
    make_root();
    const std::filesystem::path folder = root_ / experiment_of(run.experiment) / run_id_;
    const bool placed = place_folder(folder, [&](const std::filesystem::path& here) {
      for (const char* part : {"metrics", "params", "tags", "artifacts"})
        make_directories(here / part);
      write_params(here, run.params);
      for (const auto& [key, value] : tags) internal::place_text(here, here / "tags" / key, value);
      write_file(here / "meta.yaml", run_meta(folder, tags.at("mlflow.runName")));
    });
    if (!placed) throw Error(folder.string(), ": a run of this id is there already");
    folder_ = folder;
  }

  void log_params(std::span<const TrackedText> params) override {
    need_run();
    check(params, {});
    write_params(folder_, params);
  }

  void set_tags(std::span<const TrackedText> tags) override {
    need_run();
    check({}, tags);
    for (const TrackedText& tag : tags) {
      internal::place_text(folder_, folder_ / "tags" / tag.key, tag.value);
      if (tag.key == "mlflow.runName")
        change(folder_ / "meta.yaml", {{"run_name", internal::yaml_text(tag.value)}});
    }
  }

  void log_metrics(std::span<const TrackedMetric> metrics) override {
    need_run();
    for (const TrackedMetric& metric : metrics) internal::check_key("metric", metric.key);
    const std::string now = std::to_string(options_.now());
    std::map<std::string, std::string> lines;
    for (const TrackedMetric& metric : metrics)
      lines[metric.key] += now + " " + internal::metric_text(metric.value) + " " +
                           std::to_string(metric.step) + "\n";
    for (const auto& [key, text] : lines)
      internal::place_lines(folder_, folder_ / "metrics" / key, text);
  }

  void log_artifact(const std::filesystem::path& file, const std::string& directory = {}) override {
    need_run();
    const std::string name = file.filename().string();
    internal::check_inner_path("artifact", directory.empty() ? name : directory + "/" + name);
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
    internal::move_file(unfinished, folder_ / "artifacts" / directory / name);
  }

  void register_model(const std::string& model, const std::string& artifact) override {
    need_run();
    internal::check_text("model", model, 200);
    internal::check_inner_path("model", model);
    if (model.find_first_of("/:%") != std::string::npos)
      throw DataError("model '", model, "' may not hold '/', ':' or '%'");
    internal::check_inner_path("artifact", artifact);
    if (!internal::is_there(folder_ / "artifacts" / artifact))
      throw DataError("artifact '", artifact, "' has not been logged");

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
    std::int64_t number = latest_version(folder) + 1;
    while (!place_folder(folder / ("version-" + std::to_string(number)), [&](const auto& here) {
      write_file(here / "meta.yaml", version_meta(model, artifact, number, now));
    }))
      ++number;  // another process has taken it
    change(folder / "meta.yaml", {{"last_updated_timestamp", now}});
  }

  void end(RunStatus status) override {
    need_run();
    const char* number = status == RunStatus::finished ? "3"
                         : status == RunStatus::failed ? "4"
                                                       : "5";
    change(folder_ / "meta.yaml",
           {{"status", number}, {"end_time", std::to_string(options_.now())}});
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

  /// The tags of a new run: the caller's and those that MLflow expects.
  std::map<std::string, std::string> tags_of(const RunInfo& run) const {
    std::map<std::string, std::string> tags;
    for (const TrackedText& tag : run.tags) tags[tag.key] = tag.value;
    tags.emplace("mlflow.user", options_.user);
    tags.emplace("mlflow.source.type", "LOCAL");
    std::string& name = tags["mlflow.runName"];
    if (name.empty()) name = run.name;
    if (!run.name.empty() && name != run.name)
      throw DataError("tag 'mlflow.runName' is '", name, "' for a run named '", run.name, "'");
    if (name.empty()) name = "run-" + run_id_.substr(0, 8);
    internal::check_text("name of the run", name, 5000);
    return tags;
  }

  void check(std::span<const TrackedText> params, std::span<const TrackedText> tags) const {
    auto known = params_;
    for (const TrackedText& param : params) {
      internal::check_key("parameter", param.key);
      internal::check_text("parameter '" + param.key + "'", param.value, 6000);
      const std::string& value = known.emplace(param.key, param.value).first->second;
      if (value != param.value)
        throw DataError("parameter '", param.key, "' has the value '", value,
                        "', it cannot become '", param.value, "'");
    }
    for (const TrackedText& tag : tags) {
      internal::check_key("tag", tag.key);
      internal::check_text("tag '" + tag.key + "'", tag.value, 5000);
    }
  }

  void write_params(const Path& folder, std::span<const TrackedText> params) {
    for (const TrackedText& param : params) {
      if (params_.contains(param.key)) continue;
      internal::place_text(folder, folder / "params" / param.key, param.value);
      params_.emplace(param.key, param.value);
    }
  }

  /// internal::place_folder, through a folder beside the experiments.
  template <class Fill>
  bool place_folder(const Path& target, const Fill& fill) const {
    const Path aside = root_ / (run_id_ + "." + std::to_string(::getpid()) + ".trash");
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

  /// When the experiment of this id and name was created; nothing when it does not exist or is
  /// deleted.
  std::optional<std::int64_t> created(const std::string& id, const std::string& name) const {
    std::error_code none;
    const Path meta = root_ / id / "meta.yaml";
    if (!std::filesystem::is_regular_file(meta, none)) return {};
    const std::string text = internal::whole_file(meta);
    if (internal::yaml_value(text, "name") != name ||
        internal::yaml_value(text, "experiment_id") != id ||
        internal::yaml_value(text, "lifecycle_stage").value_or("active") != "active")
      return {};
    const std::string time = internal::yaml_value(text, "creation_time").value_or("");
    std::int64_t made = 0;
    std::from_chars(time.data(), time.data() + time.size(), made);
    return made;
  }

  /// The id of the experiment of that name, which is created if it does not exist. The id is a
  /// function of the name, so that two processes which create it at once agree.
  std::string experiment_of(const std::string& name) const {
    std::pair<std::int64_t, std::string> found;  // of several the newest, as in MLflow
    for (const std::string& id : internal::names_in(root_)) {
      const auto made = created(id, name);
      if (!made) continue;
      const bool newer = *made > found.first || (*made == found.first && id < found.second);
      if (found.second.empty() || newer) found = {*made, id};
    }
    if (!found.second.empty()) return found.second;
    RandomStream ids(Fingerprint().add(name).value());
    while (true) {
      const std::string id =
          std::to_string(100'000'000'000'000'000u + ids.below(900'000'000'000'000'000u));
      if (internal::is_there(root_ / ".trash" / id)) continue;
      if (make_experiment(id, name) || created(id, name)) return id;
    }
  }

  std::string run_meta(const Path& folder, const std::string& name) const {
    using internal::yaml_text;
    return internal::yaml_map(
        {{"artifact_uri", yaml_text(internal::file_uri(folder / "artifacts"))},
         {"deleted_time", "null"},
         {"end_time", "null"},
         {"entry_point_name", "''"},
         {"experiment_id", yaml_text(folder.parent_path().filename().string())},
         {"lifecycle_stage", "active"},
         {"run_id", yaml_text(run_id_)},
         {"run_name", yaml_text(name)},
         {"run_uuid", yaml_text(run_id_)},
         {"source_name", "''"},
         {"source_type", "4"},
         {"source_version", "''"},
         {"start_time", std::to_string(options_.now())},
         {"status", "1"},
         {"tags", "[]"},
         {"user_id", yaml_text(options_.user)}});
  }

  std::string version_meta(const std::string& model, const std::string& artifact,
                           std::int64_t number, const std::string& now) const {
    const std::string source =
        internal::yaml_text(internal::file_uri(folder_ / "artifacts" / artifact));
    return internal::yaml_map({{"aliases", "[]"},
                               {"creation_timestamp", now},
                               {"current_stage", "None"},
                               {"description", "null"},
                               {"last_updated_timestamp", now},
                               {"name", internal::yaml_text(model)},
                               {"run_id", internal::yaml_text(run_id_)},
                               {"run_link", "null"},
                               {"source", source},
                               {"status", "READY"},
                               {"status_message", "null"},
                               {"storage_location", source},
                               {"user_id", "null"},
                               {"version", std::to_string(number)}});
  }

  static std::int64_t latest_version(const Path& folder) {
    std::int64_t latest = 0;
    for (const std::string& name : internal::names_in(folder)) {
      std::int64_t number = 0;
      if (name.starts_with("version-"))
        std::from_chars(name.data() + 8, name.data() + name.size(), number);
      latest = std::max(latest, number);
    }
    return latest;
  }

  MLflowFolderOptions options_;
  std::filesystem::path root_, folder_;  // folder_: the run's; empty before it starts
  std::string run_id_;
  std::map<std::string, std::string> params_;
  bool ended_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
