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
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/track/mlflow/client.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Thrown for a spool folder that a living process still writes or sends.
class SpoolBusy : public Error {
  using Error::Error;
};

namespace internal {

/// A file of lines to which only whole lines are appended.
class LineFile {
 public:
  explicit LineFile(std::filesystem::path path)
      : path_(std::move(path)), file_(path_, OpenFor::appending_or_new) {
    if (!file_.is_open()) fail("cannot be opened");
  }

  /// Returns false when another open file holds the lock, or the opened file has been removed
  /// since.
  bool lock() {
    if (file_.lock() != Lock::taken) return false;
    const std::optional<FileState> state = file_.state();
    return state && state->is_linked;
  }

  std::int64_t size() const {
    const std::optional<FileState> state = file_.state();
    if (!state) fail("cannot be read");
    return state->size;
  }

  /// Throws: Error when the disk is full or fails; none of `lines` is then kept.
  void append(std::string_view lines) {
    const std::int64_t before = size();
    if (file_.write(lines.data(), lines.size())) return;
    const std::string why = last_error_text();
    cut(before);
    throw Error(path_text(path_), ": cannot be written: ", why);
  }

  /// Whole lines from `offset` on: about `bytes` of them, but at least one if there is one.
  std::string read(std::int64_t offset, std::size_t bytes) const {
    std::string text;
    for (;;) {
      const std::size_t before = text.size();
      text.resize(before + bytes);
      const std::ptrdiff_t got =
          file_.read_at(text.data() + before, bytes, offset + static_cast<std::int64_t>(before));
      if (got < 0) fail("cannot be read");
      text.resize(before + static_cast<std::size_t>(got));
      const std::size_t end = text.rfind('\n');
      if (end != std::string::npos) return text.substr(0, end + 1);
      if (got == 0) return {};
    }
  }

  /// Removes everything after the last line end.
  void drop_torn_line() {
    std::int64_t end = 0;
    for (std::string text = read(0, chunk); !text.empty(); text = read(end, chunk))
      end += static_cast<std::int64_t>(text.size());
    if (end != size()) cut(end);
  }

  /// The last line; empty when there is none, or it is longer than `bytes`.
  std::string last_line(std::int64_t bytes) const {
    const std::int64_t from = std::max<std::int64_t>(size() - bytes, 0);
    std::string text = read(from, static_cast<std::size_t>(bytes));
    const std::size_t before =
        text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
    if (before != std::string::npos) return text.substr(before + 1);
    return from == 0 ? text : std::string();
  }

  void sync() const { file_.sync(); }

  static constexpr std::size_t chunk = 1u << 18;

 private:
  void cut(std::int64_t bytes) {
    if (!file_.resize(bytes)) fail("cannot be cut");
  }
  [[noreturn]] void fail(const char* what) const {
    throw Error(path_text(path_), ": ", what, ": ", last_error_text());
  }

  std::filesystem::path path_;
  SystemFile file_;
};

inline std::string new_run_key() {
  static constexpr char digits[] = "0123456789abcdef";
  std::random_device random;
  std::string key;
  for (int i = 0; i < 32; ++i) key += digits[random() % 16];
  return key;
}

inline std::string json_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace internal

/// The description of a run, before anything is logged.
struct SpooledRun {
  std::string uri;
  std::string experiment;
  std::string name;
  std::int64_t start_time = 0;
  std::string key = internal::new_run_key();
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

  /// Creates a folder in the spool, named by the run's key.
  static MLflowSpool create(const std::filesystem::path& root, const SpooledRun& run) {
    const std::filesystem::path hidden = root / (".new-" + run.key), folder = root / run.key;
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
    MLflowSpool spool(folder, read_run(folder));
    spool.items_.drop_torn_line();
    spool.sent_.drop_torn_line();
    spool.read_progress();
    if (!spool.ended()) spool.append(end_line("KILLED", spool.last_time()));
    return spool;
  }

  const std::filesystem::path& folder() const noexcept { return folder_; }
  const SpooledRun& run() const noexcept { return run_; }
  const SpoolProgress& progress() const noexcept { return progress_; }

  // The items of items.jsonl. A metric's value is a number, or "NaN", "Infinity", "-Infinity".
  static std::string text_line(const char* kind, const std::string& key, const std::string& value) {
    return internal::json_line({{kind, {{"key", key}, {"value", value}}}});
  }
  static std::string metric_line(const std::string& key, double value, std::int64_t timestamp,
                                 std::int64_t step) {
    Json number = value;
    if (is_nan(value))
      number = "NaN";
    else if (!is_finite(value))
      number = value > 0 ? "Infinity" : "-Infinity";
    return internal::json_line(
        {{"metric", {{"key", key}, {"value", number}, {"timestamp", timestamp}, {"step", step}}}});
  }
  static std::string artifact_line(const std::string& path, const std::string& file) {
    return internal::json_line({{"artifact", {{"path", path}, {"file", file}}}});
  }
  static std::string model_line(const std::string& model, const std::string& artifact,
                                std::int64_t timestamp) {
    return internal::json_line(
        {{"model", {{"name", model}, {"artifact", artifact}, {"timestamp", timestamp}}}});
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

  static internal::LineFile locked(const std::filesystem::path& folder) {
    internal::LineFile items(folder / "items.jsonl");
    if (!items.lock())
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
