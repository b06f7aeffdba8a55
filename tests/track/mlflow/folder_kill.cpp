// kill -9 at any moment of a run: what MLflow would list is whole, and holds what was logged.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "support/mlflow_store.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/track/mlflow/folder.hpp"

namespace {

using test::FolderRun;
using test::Store;
using test::TemporaryDirectory;

/// What a child has finished doing, in memory that outlives it.
struct Progress {
  std::atomic<bool> started{false};
  std::atomic<int> metrics{0}, params{0}, tags{0}, artifacts{0}, models{0};
};

class SharedProgress {
 public:
  SharedProgress()
      : memory_(::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    REQUIRE(memory_ != MAP_FAILED);
    reset();
  }
  ~SharedProgress() { ::munmap(memory_, sizeof(Progress)); }
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;
  void reset() { now_ = new (memory_) Progress; }
  Progress& operator*() const { return *now_; }
  Progress* operator->() const { return now_; }

 private:
  void* memory_;
  Progress* now_ = nullptr;
};

std::string param_value(int i) { return std::string(static_cast<std::size_t>(i % 50), 'p'); }
double metric_value(int i) { return 1.0 / (i + 3); }
std::string artifact(int i) { return std::string(20'000, static_cast<char>('a' + i % 26)); }

/// Logs without end. `only_metrics`: nothing that is synced, so that thousands of lines fit between
/// two kills.
[[noreturn]] void log_forever(const std::filesystem::path& root, const std::filesystem::path& files,
                              bool only_metrics, Progress& progress) {
  try {
    tsdl::MLflowFolder tracker({.directory = root});
    tracker.start({.experiment = "killed",
                   .name = "name",
                   .params = {{"given", "1"}, {"deep/er", "2"}},
                   .tags = {{"given", "3"}}});
    progress.started = true;
    for (int i = 0;; ++i) {
      const std::vector<tsdl::TrackedMetric> metrics = {{"m/loss", metric_value(i), i},
                                                        {"other", 0.5, i}};
      tracker.log_metrics(metrics);
      ++progress.metrics;
      if (only_metrics) continue;
      const std::string key = "k" + std::to_string(i);
      tracker.log_params(std::vector<tsdl::TrackedText>{{key, param_value(i)}});
      ++progress.params;
      tracker.set_tags(std::vector<tsdl::TrackedText>{{"same", std::to_string(i)}});
      ++progress.tags;
      if (i % 3 != 0) continue;
      test::write_bytes(files / key, artifact(i));
      tracker.log_artifact(files / key, "saved/" + key);
      ++progress.artifacts;
      tracker.register_model("model", "saved/" + key + "/" + key);
      ++progress.models;
    }
  } catch (...) {
  }
  ::_exit(1);
}

void check_metrics(const FolderRun& run, const Progress& progress) {
  for (const char* key : {"m/loss", "other"}) {
    const bool loss = key[0] == 'm';
    const auto at = run.metrics.find(key);
    const int lines = at == run.metrics.end() ? 0 : static_cast<int>(at->second.size());
    CHECK(lines >= progress.metrics);
    CHECK(lines <= progress.metrics + 1);
    for (int i = 0; i < lines; ++i)
      if (const std::string line = at->second[static_cast<std::size_t>(i)].substr(14);
          line !=
          tsdl::internal::metric_text(loss ? metric_value(i) : 0.5) + " " + std::to_string(i))
        FAIL_CHECK(key << " " << i << ": " << line);
  }
}

void check_rest(const FolderRun& run, const Progress& progress) {
  int params = 0, artifacts = 0;
  for (const auto& [key, value] : run.params) {
    if (key == "given" || key == "deep/er") continue;
    CHECK(value == param_value(std::stoi(key.substr(1))));
    ++params;
  }
  CHECK(run.params.at("given") == "1");
  CHECK(run.params.at("deep/er") == "2");
  CHECK(params >= progress.params);
  CHECK(params <= progress.params + 1);
  CHECK(run.tags.at("given") == "3");
  CHECK(run.tags.at("mlflow.runName") == "name");
  CHECK(run.tags.at("mlflow.source.type") == "LOCAL");
  if (progress.tags > 0) CHECK(std::stoi(run.tags.at("same")) >= progress.tags - 1);
  CHECK(run.tags.size() == (run.tags.contains("same") ? 5 : 4));
  int described = 0;
  for (const auto& [path, bytes] : run.artifacts) {
    if (path.ends_with("/MLmodel")) {
      CHECK(test::contains(bytes,
                           "\n    data: \"k" + std::to_string(std::stoi(path.substr(7))) + '"'));
      CHECK(bytes.ends_with("\"\n"));
      ++described;
      continue;
    }
    CHECK(bytes == artifact(std::stoi(path.substr(7))));
    ++artifacts;
  }
  CHECK(described >= progress.models);
  CHECK(described <= progress.models + 1);
  CHECK(artifacts >= progress.artifacts);
  CHECK(artifacts <= progress.artifacts + 1);
  CHECK(run.meta.raw.at("status") == "1");
  CHECK(run.meta.raw.at("end_time") == "null");
  CHECK(run.meta.text.at("run_name") == "name");
}

/// Kills a child after a moment, then reads everything.
void kill_once(const std::filesystem::path& root, const std::filesystem::path& files,
               SharedProgress& progress, bool only_metrics, bool from_start, useconds_t moment) {
  progress.reset();
  const bool fresh = !std::filesystem::exists(root);
  const std::size_t runs_before = fresh ? 0 : test::read_store(root).named("killed").runs.size();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) log_forever(root, files, only_metrics, *progress);
  while (!from_start && !progress->started) ::usleep(100);
  ::usleep(moment);
  ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  if (!std::filesystem::exists(root / ".trash")) {
    CHECK_FALSE(progress->started);
    return;
  }

  const Store store = test::read_store(root);
  if (fresh) CHECK(store.left_behind <= 1);
  std::size_t runs = 0;
  for (const auto& [id, experiment] : store.experiments) {
    CHECK(experiment.meta.text.at("experiment_id") == id);
    if (experiment.meta.text.at("name") != "killed") CHECK(experiment.runs.empty());
    runs += experiment.runs.size();
  }
  CHECK(runs >= runs_before + (progress->started ? 1 : 0));
  CHECK(runs <= runs_before + 1);
  if (!fresh || runs == 0) return;
  const FolderRun run = store.named("killed").runs.begin()->second;
  check_metrics(run, *progress);
  check_rest(run, *progress);
  const auto model = store.models.find("model");
  const int versions =
      model == store.models.end() ? 0 : static_cast<int>(model->second.versions.size());
  CHECK(versions >= progress->models);
  CHECK(versions <= progress->models + 1);
}

}  // namespace

TEST_CASE("MLflow folder: kill -9 at any moment leaves whole files, and what was logged") {
  SharedProgress progress;
  tsdl::RandomStream random(11);
  const auto up_to = [&](std::uint64_t microseconds) {
    return static_cast<useconds_t>(random.below(microseconds));
  };
  for (int i = 0; i < 150; ++i) {
    const TemporaryDirectory directory;
    const bool from_start = i % 3 == 0, only_metrics = i % 3 == 1;
    CAPTURE(i);
    kill_once(directory / "ml", directory.path(), progress, only_metrics, from_start,
              up_to(from_start ? 12'000 : 20'000));
  }
}

TEST_CASE("MLflow folder: runs after a killed one go on in the same experiment") {
  SharedProgress progress;
  tsdl::RandomStream random(12);
  const TemporaryDirectory directory;
  tsdl::MLflowFolder({.directory = directory / "ml"}).start({.experiment = "killed", .name = ""});
  for (int i = 0; i < 30; ++i)
    kill_once(directory / "ml", directory.path(), progress, false, true,
              static_cast<useconds_t>(random.below(8'000)));
  tsdl::MLflowFolder last({.directory = directory / "ml"});
  last.start({.experiment = "killed", .name = "after"});
  last.end(tsdl::RunStatus::finished);
  const Store store = test::read_store(directory / "ml");
  CHECK(store.experiments.size() == 2);
  CHECK(store.named("killed").runs.size() >= 2);
}
