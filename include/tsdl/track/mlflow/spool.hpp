// The spool: a folder on disk that keeps each run until the MLflow server has it.
//
//   SPOOL/<run key>/run.json      the run: server, experiment, name, start; complete or absent
//   SPOOL/<run key>/items.jsonl   the logged items, in order, one JSON per line; locked while
//   written
//   SPOOL/<run key>/artifacts/    files as they were when they were logged
//   SPOOL/<run key>/sent.jsonl    the run's id on the server, and how much the server has confirmed
//
// Every item has a fixed key, time, step and value, and the run has its key as a tag, by which it
// is looked up before it is created: what the server has is known from what it holds. So a lost
// confirmation only costs a question, and a server that has lost the run gets it again. A last line
// that a killed process left incomplete is dropped. No password or token is ever written here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/line_file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/track/mlflow/client.hpp"
#include "tsdl/track/mlflow/rules.hpp"
#include "tsdl/track/tracker.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Thrown for a spool folder that a living process still writes or sends.
class SpoolBusy : public Error {
  using Error::Error;
};

namespace internal {

inline std::string json_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

/// A metric's value is a number, or "NaN", "Infinity", "-Infinity".
inline nlohmann::json metric_json(const TrackedMetric& metric, std::int64_t timestamp) {
  nlohmann::json value = metric.value;
  if (is_nan(metric.value))
    value = "NaN";
  else if (!is_finite(metric.value))
    value = metric.value > 0 ? "Infinity" : "-Infinity";
  return {{"key", metric.key}, {"value", value}, {"timestamp", timestamp}, {"step", metric.step}};
}

}  // namespace internal

/// The description of a run, before anything is logged.
struct SpooledRun {
  std::string uri;
  std::string experiment;
  std::string name;
  std::int64_t start_time = 0;
  std::string key = new_run_key();
};

/// How much of a run a server has confirmed. Items are named by their offset in items.jsonl.
struct SpoolProgress {
  std::string uri;  ///< the address of the server
  MLflowRun run;    ///< empty: not known to exist yet
  std::int64_t sent = 0;
  std::map<std::int64_t, std::string> refused{};  ///< items that were skipped, with the reason
};

/// The folders of runs in `path`: `path` itself, or the folders in it.
inline std::vector<std::filesystem::path> spooled_runs(const std::filesystem::path& path) {
  if (std::filesystem::exists(path / "run.json")) return {path};
  std::vector<std::filesystem::path> runs;
  std::error_code code;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator entry(path, code); !code && entry != end;
       entry.increment(code))
    if (!entry->path().filename().string().starts_with('.') &&
        std::filesystem::exists(entry->path() / "run.json"))
      runs.push_back(entry->path());
  if (code) throw Error(path.string(), ": cannot be read: ", code.message());
  std::sort(runs.begin(), runs.end());
  return runs;
}

/// The folder of one run, which this process has locked. append() and add_artifact() may run in
/// other threads than the rest. Throws: Error when the disk fails.
class MLflowSpool {
 public:
  using Json = nlohmann::json;

  /// Creates a folder in the spool, named by the run's key, or goes on with that folder. Throws:
  /// SpoolBusy.
  static MLflowSpool create(const std::filesystem::path& root, const SpooledRun& run) {
    const std::filesystem::path hidden = root / (".new-" + run.key), folder = root / run.key;
    if (std::filesystem::exists(folder / "run.json")) {
      MLflowSpool spool = take_over(folder);
      spool.set_uri(run.uri);
      return spool;
    }
    make_directories(hidden / "artifacts");
    const Json json = {{"format", 1},          {"uri", run.uri},
                       {"run_key", run.key},   {"experiment", run.experiment},
                       {"run_name", run.name}, {"start_time", run.start_time}};
    write_file(hidden / "run.json", internal::json_line(json));
    MLflowSpool spool(hidden, run);
    std::error_code code;
    std::filesystem::rename(hidden, folder, code);
    if (code) throw Error(folder.string(), ": cannot be made: ", code.message());
    spool.folder_ = folder;
    return spool;
  }

  /// Takes over the folder of a process that no longer runs. A run that the process did not end
  /// counts as killed after its last metric. Throws: SpoolBusy; FormatError when run.json is
  /// invalid.
  static MLflowSpool open(const std::filesystem::path& folder) {
    MLflowSpool spool = take_over(folder);
    if (!spool.ended()) spool.append(end_line("KILLED", spool.last_time()));
    return spool;
  }

  const std::filesystem::path& folder() const noexcept { return folder_; }
  const SpooledRun& run() const noexcept { return run_; }
  const SpoolProgress& progress() const noexcept { return progress_; }

  // The items of items.jsonl.
  static std::string text_line(const char* kind, const std::string& key, const std::string& value) {
    return internal::json_line({{kind, {{"key", key}, {"value", value}}}});
  }
  static std::string metric_line(const std::string& key, double value, std::int64_t timestamp,
                                 std::int64_t step) {
    return internal::json_line({{"metric", internal::metric_json({key, value, step}, timestamp)}});
  }
  static std::string artifact_line(const std::string& path, const std::string& file) {
    return internal::json_line({{"artifact", {{"path", path}, {"file", file}}}});
  }
  static std::string model_line(const std::string& model, const std::string& artifact,
                                std::int64_t timestamp) {
    return internal::json_line(
        {{"model", {{"name", model}, {"artifact", artifact}, {"timestamp", timestamp}}}});
  }
  /// A run that is over, whose parent is this one; `tags` are all that it gets.
  static std::string child_line(const ChildRun& child, const std::string& key,
                                const std::map<std::string, std::string>& tags) {
    std::map<std::string, std::string> params;
    for (const TrackedText& param : child.params) params.emplace(param.key, param.value);
    const auto texts = [](const std::map<std::string, std::string>& values) {
      Json list = Json::array();
      for (const auto& [name, value] : values) list.push_back({{"key", name}, {"value", value}});
      return list;
    };
    Json metrics = Json::array();
    for (const TrackedMetric& metric : child.metrics)
      metrics.push_back(internal::metric_json(metric, child.end_time));
    return internal::json_line({{"child",
                                 {{"key", key},
                                  {"name", child.name},
                                  {"status", internal::status_name(child.status)},
                                  {"start_time", child.start_time},
                                  {"end_time", child.end_time},
                                  {"params", texts(params)},
                                  {"tags", texts(tags)},
                                  {"metrics", metrics}}}});
  }
  static std::string end_line(const std::string& status, std::int64_t end_time) {
    return internal::json_line({{"end", {{"status", status}, {"end_time", end_time}}}});
  }

  void append(std::string_view lines) { items_.append(lines); }
  void sync() const { items_.sync(); }

  /// Copies a file as it is now. Returns the name of the copy.
  std::string add_artifact(const std::filesystem::path& file) {
    const std::string name = std::to_string(artifacts_++);
    std::error_code code;
    if (!std::filesystem::copy_file(file, folder_ / "artifacts" / name, code) || code)
      throw Error(file.string(), ": cannot be copied: ", code.message());
    return name;
  }
  std::filesystem::path artifact(const std::string& name) const {
    return folder_ / "artifacts" / name;
  }

  /// Whole lines of items from `offset` on; empty: none yet.
  std::string items(std::int64_t offset) const {
    return items_.read(offset, internal::LineFile::chunk);
  }

  /// Whether the run's end is among the items.
  bool ended() const {
    const Json last = Json::parse(items_.last_line(256), nullptr, false);
    return last.is_object() && last.contains("end");
  }

  /// Switches to another server, which has nothing of the run yet.
  void set_uri(const std::string& uri) {
    if (uri == progress_.uri) return;
    note({{"uri", uri}});
    progress_ = {uri, {}, 0, {}};
  }
  void found_run(const MLflowRun& run) {
    progress_.run = run;
    note({{"experiment_id", run.experiment_id},
          {"run_id", run.run_id},
          {"artifact_uri", run.artifact_uri}});
  }
  /// The server does not have the run any more: all of it is to be sent again.
  void lost_run() {
    note({{"uri", progress_.uri}});
    progress_ = {progress_.uri, {}, 0, {}};
  }
  void confirm(std::int64_t offset) {
    progress_.sent = offset;
    note({{"sent", offset}});
  }
  void refuse(std::int64_t item, const std::string& why) {
    progress_.refused[item] = why;
    note({{"refused", item}, {"why", why}});
  }
  void accept(std::int64_t item) {
    progress_.refused.erase(item);
    note({{"accepted", item}});
  }

  /// The number of items that the server has not accepted.
  std::size_t left() const {
    std::size_t lines = progress_.refused.size();
    std::int64_t at = progress_.sent;
    for (std::string text = items(at); !text.empty(); text = items(at)) {
      lines += static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
      at += static_cast<std::int64_t>(text.size());
    }
    return lines;
  }

  /// Removes the folder, and SPOOL when nothing else is in it. The object cannot be used
  /// afterwards.
  void remove() {
    const std::filesystem::path hidden = folder_.parent_path() / (".sent-" + run_.key);
    std::error_code ignored;
    std::filesystem::rename(folder_, hidden, ignored);
    std::filesystem::remove_all(ignored ? folder_ : hidden, ignored);
    std::filesystem::remove(folder_.parent_path(), ignored);
  }

 private:
  MLflowSpool(std::filesystem::path folder, SpooledRun run)
      : folder_(std::move(folder)),
        run_(std::move(run)),
        items_(locked(folder_)),
        sent_(folder_ / "sent.jsonl") {
    progress_.uri = run_.uri;
  }

  static MLflowSpool take_over(const std::filesystem::path& folder) {
    MLflowSpool spool(folder, read_run(folder));
    spool.items_.drop_torn_line();
    spool.sent_.drop_torn_line();
    spool.read_progress();
    while (std::filesystem::exists(spool.artifact(std::to_string(spool.artifacts_))))
      ++spool.artifacts_;
    return spool;
  }

  static internal::LineFile locked(const std::filesystem::path& folder) {
    internal::LineFile items(folder / "items.jsonl");
    if (items.lock() != internal::Lock::taken)
      throw SpoolBusy(folder.string(), ": a process that is still running has this run");
    return items;
  }

  static SpooledRun read_run(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "run.json";
    std::ifstream in(path, std::ios::binary);
    if (!in) throw Error(path.string(), ": cannot be read");
    const Json json = Json::parse(in, nullptr, false);
    try {
      if (json.at("format") != 1) throw FormatError(path.string(), ": of a later version");
      return {json.at("uri"), json.at("experiment"), json.at("run_name"), json.at("start_time"),
              json.at("run_key")};
    } catch (const Json::exception&) {
      throw FormatError(path.string(), ": not what a tracker writes");
    }
  }

  void read_progress() {
    std::ifstream lines(folder_ / "sent.jsonl", std::ios::binary);
    for (std::string line; std::getline(lines, line);) replay(Json::parse(line, nullptr, false));
  }

  /// A line that cannot be read counts as not written: the step that it confirms is repeated.
  void replay(const Json& line) try {
    if (line.contains("uri")) progress_ = {line.at("uri"), {}, 0, {}};
    if (line.contains("run_id"))
      progress_.run = {line.at("experiment_id"), line.at("run_id"), line.at("artifact_uri")};
    if (line.contains("sent")) progress_.sent = line.at("sent");
    if (line.contains("refused")) progress_.refused[line.at("refused")] = line.at("why");
    if (line.contains("accepted")) progress_.refused.erase(line.at("accepted").get<std::int64_t>());
  } catch (const Json::exception&) {
  }

  /// The time of the last metric; the start time when there is none.
  std::int64_t last_time() const {
    std::int64_t time = run_.start_time;
    std::ifstream lines(folder_ / "items.jsonl", std::ios::binary);
    for (std::string line; std::getline(lines, line);) {
      const Json json = Json::parse(line, nullptr, false);
      if (!json.is_object() || !json.contains("metric")) continue;
      const Json at =
          json.at("metric").is_object() ? json.at("metric").value("timestamp", Json()) : Json();
      if (at.is_number_integer()) time = at.get<std::int64_t>();
    }
    return time;
  }

  void note(const Json& line) { sent_.append(internal::json_line(line)); }

  std::filesystem::path folder_;
  SpooledRun run_;
  internal::LineFile items_;
  internal::LineFile sent_;
  SpoolProgress progress_;
  int artifacts_ = 0;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
