// What tests of tracking on a server share: a small run that uses everything, and whether a server
// holds it, each item once.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/files.hpp"
#include "support/mlflow_server.hpp"
#include "tsdl/track/mlflow/rest.hpp"

// A process of several threads that forks and then starts threads is more than ThreadSanitizer
// follows.
#if defined(__SANITIZE_THREAD__)
#define TSDL_TEST_NO_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSDL_TEST_NO_FORK 1
#endif
#endif

namespace test {

inline constexpr int small_epochs = 4;

inline tsdl::RunInfo small_run() {
  return {.experiment = "trial & error",
          .name = "first",
          .params = {{"lr", "0.001"}, {"note", "caf\xc3\xa9 \"quoted\"\n#1"}},
          .tags = {{"tsdl.version", "0.1"}, {"tsdl.simd", "avx2"}}};
}

/// All of a run but its start and its end.
inline void log_small_run(tsdl::Tracker& tracker, const TemporaryDirectory& directory) {
  for (int epoch = 1; epoch <= small_epochs; ++epoch) {
    const std::vector<tsdl::TrackedMetric> metrics = {
        {"train_loss", 1.0 / epoch, epoch},
        {"odd", epoch == 1 ? std::nan("") : epoch * std::numeric_limits<double>::infinity(),
         epoch}};
    tracker.log_metrics(metrics);
  }
  const std::vector<tsdl::TrackedText> more = {{"batch_size", "32"}, {"empty", ""}};
  tracker.log_params(more);
  write_bytes(directory / "best.bin", std::string(100000, 'w'));
  tracker.log_artifact(directory / "best.bin", "model");
  write_bytes(directory / "best.bin", "written again, after it was logged");
  const std::vector<tsdl::TrackedText> stage = {{"stage", "trained"}};
  tracker.set_tags(stage);
  tracker.register_model("direction", "model/best.bin");
}

/// `clock`: what the run's clock always said.
inline void check_small_run(const Stored& stored, std::int64_t clock,
                            const std::string& status = "FINISHED") {
  const auto runs = stored.active();
  REQUIRE(runs.size() == 1);
  const StoredRun& run = runs[0];
  CHECK(run.experiment_id == stored.experiments.at("trial & error"));
  CHECK(run.name == "first");
  CHECK(run.status == status);
  CHECK(run.start_time == clock);
  CHECK(run.end_time == clock);
  CHECK(run.params == std::map<std::string, std::string>{{"lr", "0.001"},
                                                         {"note", "caf\xc3\xa9 \"quoted\"\n#1"},
                                                         {"batch_size", "32"},
                                                         {"empty", ""}});
  for (const auto& [key, value] :
       {std::pair{"tsdl.version", "0.1"}, {"tsdl.simd", "avx2"}, {"stage", "trained"}}) {
    REQUIRE(run.tags.contains(key));
    CHECK(run.tags.at(key) == value);
  }
  REQUIRE(run.metrics.size() == 2 * small_epochs);
  for (int epoch = 1; epoch <= small_epochs; ++epoch) {
    const auto at = static_cast<std::size_t>(2 * epoch - 2);
    CHECK((run.metrics[at] == StoredMetric{"train_loss", Json(1.0 / epoch).dump(), clock, epoch}));
    CHECK((run.metrics[at + 1] ==
           StoredMetric{"odd", epoch == 1 ? "\"NaN\"" : "\"Infinity\"", clock, epoch}));
  }
  REQUIRE(run.artifacts.size() == 2);
  CHECK((run.artifacts.at("model/best.bin") == std::string(100000, 'w')));
  CHECK(run.artifacts.at("model/MLmodel") ==
        tsdl::internal::mlmodel_text("model", "best.bin", run.id, clock));
  REQUIRE(stored.models.contains("direction"));
  REQUIRE(stored.models.at("direction").size() == 1);
  CHECK(stored.models.at("direction")[0].run_id == run.id);
  CHECK(stored.models.at("direction")[0].source.ends_with(run.id + "/artifacts/model"));
}

/// The files of models:/NAME/VERSION by their paths, got from a server as MLflow's client gets
/// them. Throws: runtime_error where that would fail.
inline std::map<std::string, std::string> downloaded(const std::string& uri,
                                                     const std::string& name, int version) {
  httplib::Client http(uri);
  const auto get = [&](const std::string& path) {
    const auto answer = http.Get("/api/2.0/" + path);
    if (!answer || answer->status != 200)
      throw std::runtime_error(path + ": " + (answer ? answer->body : "no answer"));
    return answer->body;
  };
  const std::string place = Json::parse(get("mlflow/model-versions/get-download-uri?name=" + name +
                                            "&version=" + std::to_string(version)))
                                .at("artifact_uri");
  const std::string scheme = "mlflow-artifacts:/";
  if (!place.starts_with(scheme)) throw std::runtime_error("not served: " + place);
  const std::string root = place.substr(scheme.size());
  std::map<std::string, std::string> files;
  std::vector<std::string> folders = {""};
  while (!folders.empty()) {
    const std::string folder = folders.back();
    folders.pop_back();
    const Json listed = Json::parse(get("mlflow-artifacts/artifacts?path=" + root + folder));
    if (!listed.contains("files")) throw std::runtime_error("not a directory: " + root + folder);
    for (const Json& file : listed["files"]) {
      const std::string path = folder + "/" + file.at("path").get<std::string>();
      if (file.at("is_dir"))
        folders.push_back(path);
      else
        files[path.substr(1)] = get("mlflow-artifacts/artifacts/" + root + path);
    }
  }
  return files;
}

/// Everything that the server holds, as one text to compare.
inline std::string text_of(const Stored& stored) {
  std::string text;
  for (const StoredRun& run : stored.runs) {
    text += run.id + run.name + run.status + std::to_string(run.end_time) + "\n";
    for (const auto* texts : {&run.tags, &run.params, &run.artifacts})
      for (const auto& [key, value] : *texts) text += key + "=" + value + "\n";
    for (const StoredMetric& metric : run.metrics)
      text += metric.key + metric.value + " " + std::to_string(metric.timestamp) + " " +
              std::to_string(metric.step) + "\n";
  }
  for (const auto& [name, versions] : stored.models)
    text += name + std::to_string(versions.size()) + "\n";
  return text;
}

/// Sends what is in `spool`, as examples/track_upload does, but tries each request up to `tries`
/// times, each time as a process that knows only what is on disk. Returns what was told last.
inline std::string upload_all(const std::filesystem::path& spool, const std::string& uri,
                              int tries = 1) {
  std::string told;
  if (!std::filesystem::exists(spool)) return told;
  for (const auto& folder : tsdl::spooled_runs(spool)) {
    for (int left = tries; left > 0; --left) {
      tsdl::MLflowSpool open = tsdl::MLflowSpool::open(folder);
      if (!uri.empty()) open.set_uri(uri);
      tsdl::MLflowClient client(open.progress().uri);
      tsdl::MLflowUpload upload(open, client);
      try {
        while (upload.step()) left = tries;
      } catch (const tsdl::MLflowError& error) {
        told = error.what();
        continue;
      }
      if (!upload.complete()) return open.progress().refused.begin()->second;
      open.remove();
      told.clear();
      break;
    }
  }
  return told;
}

}  // namespace test
