// What the files of MLflow's folder format say of a run and of a model's version.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/track/mlflow/disk.hpp"
#include "tsdl/track/mlflow/text.hpp"
#include "tsdl/track/tracker.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

inline void make_run_folders(const std::filesystem::path& folder) {
  for (const char* part : {"metrics", "params", "tags", "artifacts"})
    make_directories(folder / part);
}

/// The files below a folder by their paths from there, with '/'. Throws: Error.
inline std::vector<std::string> files_below(const std::filesystem::path& folder) {
  std::vector<std::string> files;
  std::error_code code;
  const std::filesystem::recursive_directory_iterator end;
  for (std::filesystem::recursive_directory_iterator at(folder, code); !code && at != end;
       at.increment(code))
    if (!at->is_directory(code))
      files.push_back(at->path().lexically_relative(folder).generic_string());
  if (code) throw Error(path_text(folder), ": cannot be listed: ", code.message());
  return files;
}

inline const char* status_number(RunStatus status) {
  return status == RunStatus::finished ? "3" : status == RunStatus::failed ? "4" : "5";
}

/// What a run's meta.yaml says of it: by default, that it is running.
struct RunMeta {
  std::filesystem::path folder;  ///< where it will be, named by its id
  std::string name;
  std::string user;
  std::string start_time;
  std::string end_time = "null";
  std::string status = "1";
};

inline std::string run_meta(const RunMeta& run) {
  const std::string id = run.folder.filename().string();
  return yaml_map({{"artifact_uri", yaml_text(file_uri(run.folder / "artifacts"))},
                   {"deleted_time", "null"},
                   {"end_time", run.end_time},
                   {"entry_point_name", "''"},
                   {"experiment_id", yaml_text(run.folder.parent_path().filename().string())},
                   {"lifecycle_stage", "active"},
                   {"run_id", yaml_text(id)},
                   {"run_name", yaml_text(run.name)},
                   {"run_uuid", yaml_text(id)},
                   {"source_name", "''"},
                   {"source_type", "4"},
                   {"source_version", "''"},
                   {"start_time", run.start_time},
                   {"status", run.status},
                   {"tags", "[]"},
                   {"user_id", yaml_text(run.user)}});
}

/// `source`: the folder of the artifacts that are the model.
inline std::string version_meta(const std::string& model, const std::filesystem::path& source,
                                const std::string& run_id, std::int64_t number,
                                const std::string& now) {
  const std::string uri = yaml_text(file_uri(source));
  return yaml_map({{"aliases", "[]"},
                   {"creation_timestamp", now},
                   {"current_stage", "None"},
                   {"description", "null"},
                   {"last_updated_timestamp", now},
                   {"name", yaml_text(model)},
                   {"run_id", yaml_text(run_id)},
                   {"run_link", "null"},
                   {"source", uri},
                   {"status", "READY"},
                   {"status_message", "null"},
                   {"storage_location", uri},
                   {"user_id", "null"},
                   {"version", std::to_string(number)}});
}

/// The highest version in the folder of a model; 0 when there is none.
inline std::int64_t latest_version(const std::filesystem::path& folder) {
  std::int64_t latest = 0;
  for (const std::string& name : names_in(folder)) {
    std::int64_t number = 0;
    if (name.starts_with("version-"))
      std::from_chars(name.data() + 8, name.data() + name.size(), number);
    latest = std::max(latest, number);
  }
  return latest;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
