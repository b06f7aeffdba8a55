// MLflow's folder format, read by other means than it is written: everything that MLflow would list
// must be there, whole, and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/files.hpp"

namespace test {

/// A meta.yaml of one line for each key.
struct Meta {
  std::map<std::string, std::string> raw;   ///< as written
  std::map<std::string, std::string> text;  ///< without quotes and escapes
};

struct FolderRun {
  std::filesystem::path folder;
  Meta meta;
  std::map<std::string, std::string> params, tags, artifacts;
  std::map<std::string, std::vector<std::string>> metrics;  ///< their lines
};

struct FolderExperiment {
  Meta meta;
  std::map<std::string, FolderRun> runs;
};

struct FolderModel {
  Meta meta;
  std::map<std::int64_t, Meta> versions;
};

struct Store {
  std::map<std::string, FolderExperiment> experiments;
  std::map<std::string, FolderModel> models;
  std::size_t left_behind = 0;  ///< folders of unfinished work, which MLflow passes over

  /// The one experiment of that name.
  const FolderExperiment& named(const std::string& name) const {
    const FolderExperiment* found = nullptr;
    for (const auto& [id, experiment] : experiments) {
      if (experiment.meta.text.at("name") != name) continue;
      if (found) throw std::runtime_error("two experiments are named " + name);
      found = &experiment;
    }
    if (!found) throw std::runtime_error("no experiment is named " + name);
    return *found;
  }
};

inline std::string unquoted(const std::string& raw) {
  if (raw == "''") return {};
  if (!raw.starts_with('"')) {
    if (!std::regex_match(raw, std::regex(R"([A-Za-z0-9]+|\[\]|\{\})")))
      throw std::runtime_error("not plain YAML: " + raw);
    return raw;
  }
  std::string text;
  std::size_t i = 1;
  for (; i < raw.size() && raw[i] != '"'; ++i) {
    if (raw[i] != '\\') {
      text += raw[i];
    } else if (raw.at(++i) == 'U') {
      const unsigned long point = std::stoul(raw.substr(i + 1, 8), nullptr, 16);
      if (point > 0x7f) throw std::runtime_error("this reader knows ASCII escapes only");
      text += static_cast<char>(point);
      i += 8;
    } else {
      text += raw[i];
    }
  }
  if (i + 1 != raw.size()) throw std::runtime_error("a string does not end where its line does");
  return text;
}

inline Meta read_meta(const std::filesystem::path& folder, const std::set<std::string>& keys) {
  const std::string path = (folder / "meta.yaml").string();
  std::string bytes = read_bytes(path);
  Meta meta;
  std::set<std::string> found;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n'), colon = bytes.find(": ");
    if (end == bytes.npos || colon > end) throw std::runtime_error(path + " has a cut line");
    const std::string key = bytes.substr(0, colon);
    const std::string raw = bytes.substr(colon + 2, end - colon - 2);
    if (!found.insert(key).second) throw std::runtime_error(path + " has twice " + key);
    meta.raw[key] = raw;
    meta.text[key] = unquoted(raw);
    bytes.erase(0, end + 1);
  }
  if (found != keys) throw std::runtime_error(path + " has other keys than it should");
  return meta;
}

/// Every file below a folder, by its path from there.
inline std::map<std::string, std::string> files_below(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).string()] = read_bytes(entry.path());
  return files;
}

inline FolderRun read_run(const std::filesystem::path& folder) {
  FolderRun run;
  run.folder = folder;
  run.meta = read_meta(
      folder, {"artifact_uri", "deleted_time", "end_time", "entry_point_name", "experiment_id",
               "lifecycle_stage", "run_id", "run_name", "run_uuid", "source_name", "source_type",
               "source_version", "start_time", "status", "tags", "user_id"});
  run.params = files_below(folder / "params");
  run.tags = files_below(folder / "tags");
  run.artifacts = files_below(folder / "artifacts");
  static const std::regex line(R"(\d+ (nan|-?inf|-?[0-9][0-9.e+-]*) -?\d+)");
  for (const auto& [key, text] : files_below(folder / "metrics")) {
    if (!text.ends_with('\n')) throw std::runtime_error("metric " + key + " has a cut line");
    for (std::size_t from = 0; from < text.size(); from = text.find('\n', from) + 1) {
      const std::string one = text.substr(from, text.find('\n', from) - from);
      if (!std::regex_match(one, line)) throw std::runtime_error("metric " + key + ": " + one);
      run.metrics[key].push_back(one);
    }
  }
  return run;
}

inline Store read_store(const std::filesystem::path& root) {
  Store store;
  if (!std::filesystem::is_empty(root / ".trash")) throw std::runtime_error(".trash is not empty");
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory()) throw std::runtime_error("a file beside the experiments: " + name);
    if (name == ".trash") continue;
    if (name.ends_with(".trash")) {
      ++store.left_behind;
    } else if (name == "models") {
      for (const auto& model : std::filesystem::directory_iterator(entry)) {
        FolderModel& stored = store.models[model.path().filename().string()];
        stored.meta = read_meta(model, {"aliases", "creation_timestamp", "description",
                                        "last_updated_timestamp", "name"});
        for (const auto& part : std::filesystem::directory_iterator(model)) {
          const std::string file = part.path().filename().string();
          if (!part.is_directory()) continue;
          if (!file.starts_with("version-")) throw std::runtime_error("a model has a " + file);
          stored.versions[std::stoll(file.substr(8))] = read_meta(
              part, {"aliases", "creation_timestamp", "current_stage", "description",
                     "last_updated_timestamp", "name", "run_id", "run_link", "source", "status",
                     "status_message", "storage_location", "user_id", "version"});
        }
      }
    } else {
      if (!std::regex_match(name, std::regex("0|[1-9][0-9]{17}")))
        throw std::runtime_error("not the id of an experiment: " + name);
      FolderExperiment& experiment = store.experiments[name];
      experiment.meta = read_meta(entry, {"artifact_location", "creation_time", "experiment_id",
                                          "last_update_time", "lifecycle_stage", "name"});
      for (const auto& run : std::filesystem::directory_iterator(entry))
        if (run.is_directory())
          experiment.runs[run.path().filename().string()] = read_run(run.path());
    }
  }
  return store;
}

}  // namespace test
