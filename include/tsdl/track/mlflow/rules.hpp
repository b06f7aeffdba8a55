// What MLflow would refuse, refused where it is logged: the same in a folder as on a server.
//
// Limits are the strictest of MLflow 1.30 to 3.11. A server's refusal would come long after the
// call, and stay in the spool.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/track/mlflow/text.hpp"
#include "tsdl/track/tracker.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Throws: DataError unless `model` can name a registered model: text of at most 200 characters,
/// without '/', ':' and '%'.
inline void check_model_name(const std::string& model) {
  internal::check_text("model", model, 200);
  internal::check_inner_path("model", model);
  if (model.find_first_of("/:%") != std::string::npos)
    throw DataError("model '", model, "' may not hold '/', ':' or '%'");
}

namespace internal {

inline std::string user_name() {
  for (const char* variable : {"LOGNAME", "USER"})
    if (const char* name = std::getenv(variable); name && *name) return name;
  return "unknown";
}

/// The folder of artifacts that is registered as a model, and what in it is the model.
struct ModelFolder {
  std::string folder;  ///< its path among the artifacts
  std::string data;    ///< a file in it; ".": all of it
  bool described;      ///< it has a file MLmodel
};

/// The rules for one run, and what they need to know of it. Throws: DataError.
class RunRules {
 public:
  RunRules() = default;
  explicit RunRules(const RunInfo& run) {
    if (run.experiment.empty()) throw DataError("MLflow: the experiment has no name");
    check_text("experiment", run.experiment, 500);
    check_text("name of the run", run.name, 5000);
    check(run.params, run.tags);
    if (!run.key.empty() &&
        (run.key.size() != 32 || run.key.find_first_not_of(hex_digits) != std::string::npos))
      throw DataError("key of the run: expected 32 hexadecimal digits, not '", run.key, "'");
    for (const TrackedText& tag : run.tags)
      if (tag.key == "mlflow.runName" && !run.name.empty() && tag.value != run.name)
        throw DataError("tag 'mlflow.runName' is '", tag.value, "' for a run named '", run.name,
                        "'");
  }

  /// A key must be valid, and a parameter keeps its value.
  void check(std::span<const TrackedText> params, std::span<const TrackedText> tags) const {
    auto known = params_;
    for (const TrackedText& param : params) {
      check_key("parameter", param.key);
      check_text("parameter '" + param.key + "'", param.value, 500);
      const std::string& value = known.emplace(param.key, param.value).first->second;
      if (value != param.value)
        throw DataError("parameter '", param.key, "' has the value '", value,
                        "', it cannot become '", param.value, "'");
    }
    for (const TrackedText& tag : tags) {
      check_key("tag", tag.key);
      check_text("tag '" + tag.key + "'", tag.value, 5000);
    }
  }
  static void check(std::span<const TrackedMetric> metrics) {
    for (const TrackedMetric& metric : metrics) check_key("metric", metric.key);
  }

  bool has(const TrackedText& param) const { return params_.contains(param.key); }
  void logged(const TrackedText& param) { params_.emplace(param.key, param.value); }

  /// The path that a file gets among the artifacts.
  static std::string artifact_path(const std::filesystem::path& file,
                                   const std::string& directory) {
    const std::string name = file.filename().string();
    std::string path = directory.empty() ? name : directory + "/" + name;
    check_inner_path("artifact", path);
    return path;
  }
  void logged_artifact(const std::string& path) { artifacts_.insert(path); }

  /// The folder to register for an artifact, which is a file in it or the folder itself.
  ModelFolder model_folder(const std::string& model, const std::string& artifact) const {
    check_model_name(model);
    check_inner_path("artifact", artifact);
    const std::size_t slash = artifact.rfind('/');
    ModelFolder found{artifact, ".", false};
    if (artifacts_.contains(artifact)) {
      if (slash == std::string::npos)
        throw DataError("artifact '", artifact, "' is in no directory: MLflow can only download a ",
                        "directory as a model, so log it in one");
      found = {artifact.substr(0, slash), artifact.substr(slash + 1), false};
    } else if (const auto inner = artifacts_.lower_bound(artifact + "/");
               inner == artifacts_.end() || !inner->starts_with(artifact + "/")) {
      throw DataError("artifact '", artifact, "' has not been logged");
    }
    const auto before = models_.find(found.folder);
    if (before != models_.end() && before->second != found.data)
      throw DataError("artifact '", artifact, "': '", found.folder, "' is registered for '",
                      before->second, "': another model needs another directory");
    found.described = artifacts_.contains(found.folder + "/MLmodel");
    return found;
  }
  void registered(const ModelFolder& model) {
    if (!model.described) models_.emplace(model.folder, model.data);
  }

 private:
  std::map<std::string, std::string> params_;
  std::set<std::string> artifacts_;
  std::map<std::string, std::string> models_;  ///< what an MLmodel of ours says, by folder
};

/// A child with its rules checked and its defaults filled in. Throws: DataError.
inline ChildRun checked_child(ChildRun child, std::int64_t now) {
  check_text("id of the child", child.id, 200);
  if (child.id.empty()) throw DataError("child: it has no id");
  if (child.name.empty()) child.name = child.id;
  RunRules(RunInfo{.name = child.name, .params = child.params, .tags = child.tags});
  RunRules::check(child.metrics);
  if (child.end_time == 0) child.end_time = now;
  if (child.start_time == 0) child.start_time = child.end_time;
  if (child.start_time < 0 || child.end_time < child.start_time)
    throw DataError("child '", child.id, "': it ends at ", child.end_time, ", before its start at ",
                    child.start_time);
  return child;
}

/// The key of a child, by that of the run whose child it is.
inline std::string child_key(const std::string& parent, const std::string& id) {
  return derived_run_key(parent + "/" + id);
}

inline const char* status_name(RunStatus status) {
  return status == RunStatus::finished ? "FINISHED"
         : status == RunStatus::failed ? "FAILED"
                                       : "KILLED";
}

/// The tag that names a run's parent by its id. Source: MLflow's mlflow_tags.py.
inline constexpr const char* parent_tag = "mlflow.parentRunId";

/// The tags of a new run: the caller's, and those that MLflow expects.
inline std::map<std::string, std::string> first_tags(const RunInfo& run, const std::string& user) {
  std::map<std::string, std::string> tags;
  for (const TrackedText& tag : run.tags) tags[tag.key] = tag.value;
  tags.emplace("mlflow.user", user);
  tags.emplace("mlflow.source.type", "LOCAL");
  return tags;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
