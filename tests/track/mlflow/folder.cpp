// The folder that MLflow opens: every rule of the format, what is refused, several processes at
// once, and PyYAML as a second reader where it is installed.
#include "tsdl/track/mlflow/folder.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "support/files.hpp"
#include "support/mlflow_store.hpp"

namespace {

using test::contains;
using test::FolderRun;
using test::message_of;
using test::Store;
using test::TemporaryDirectory;
using tsdl::MLflowFolder;
using tsdl::RunStatus;
using Texts = std::vector<tsdl::TrackedText>;
using Metrics = std::vector<tsdl::TrackedMetric>;
using Files = std::map<std::string, std::string>;

constexpr std::int64_t first_moment = 1'700'000'000'000;

/// Every question for the time gets the next millisecond; ids count up from `id`.
tsdl::MLflowFolderOptions options(const std::filesystem::path& directory, std::uint64_t id = 0x1f) {
  return {.directory = directory,
          .now = [now = first_moment]() mutable { return now++; },
          .user = "ada",
          .random = [next = id]() mutable { return next++; }};
}

FolderRun only_run(const std::filesystem::path& root, const std::string& experiment) {
  const Store store = test::read_store(root);
  const auto& runs = store.named(experiment).runs;
  REQUIRE(runs.size() == 1);
  return runs.begin()->second;
}

bool matches(const std::string& text, const char* pattern) {
  return std::regex_match(text, std::regex(pattern));
}

}  // namespace

TEST_CASE("MLflow folder: every rule of the format, in an experiment of two runs, one killed") {
  const TemporaryDirectory directory;
  const auto root = directory / "ml runs";
  test::write_bytes(directory / "history.csv", "epoch,loss\n1,0.5\n");

  MLflowFolder one(options(root));
  CHECK(one.location().empty());
  one.start(
      {.experiment = "candles", .name = "first", .params = {{"lr", "0.001"}, {"opt/beta", ""}}});
  one.log_params(Texts{{"lr", "0.001"}, {"text", "two\nlines\n"}});
  one.set_tags(Texts{{"mlflow.note.content", "a"}, {"git", "1"}});
  one.set_tags(Texts{{"git", "2"}});
  one.log_metrics(Metrics{{"loss", 0.5, 1}, {"val/auc", 0.1 + 0.2, 1}, {"loss", 0.25, 2}});
  one.log_metrics(
      Metrics{{"loss", std::nan(""), 3}, {"loss", HUGE_VAL, 4}, {"loss", -HUGE_VAL, -5}});
  one.log_artifact(directory / "history.csv");
  one.log_artifact(directory / "history.csv", "tables/csv");
  one.end(RunStatus::finished);

  MLflowFolder two(options(root, 0xabcdef0123456789u));
  two.start(
      {.experiment = "candles",
       .name = "",
       .tags = {{"mlflow.user", "eve"}, {"mlflow.source.type", "JOB"}, {"mlflow.runName", "t"}}});
  two.end(RunStatus::killed);

  const Store store = test::read_store(root);
  REQUIRE(store.experiments.size() == 2);
  REQUIRE(store.experiments.contains("0"));
  const auto& fallback = store.experiments.at("0");
  const auto& experiment = store.named("candles");
  const std::string id = experiment.meta.text.at("experiment_id");
  REQUIRE(experiment.runs.size() == 2);
  const std::string run_id = "000000000000001f0000000000000020";
  REQUIRE(experiment.runs.contains(run_id));
  const FolderRun& run = experiment.runs.at(run_id);
  const FolderRun& killed = experiment.runs.at("abcdef0123456789abcdef012345678a");
  const auto meta = [&](const char* key) { return run.meta.text.at(key); };
  const auto is = [](const FolderRun& of, const char* key, const char* raw) {
    return of.meta.raw.at(key) == raw;
  };
  const std::string uri = "file://" + std::regex_replace(root.string(), std::regex(" "), "%20");

  const struct {
    const char* rule;
    bool holds;
  } rules[] = {
      {".trash is there", std::filesystem::is_directory(root / ".trash")},
      {"nothing unfinished stays", store.left_behind == 0},
      {"experiment 0 is Default", fallback.meta.text.at("name") == "Default"},
      {"Default has no runs", fallback.runs.empty()},
      {"other ids have 18 digits", matches(id, "[1-9][0-9]{17}")},
      {"experiment: its id is its folder", std::filesystem::is_directory(root / id)},
      {"experiment: its id is quoted", experiment.meta.raw.at("experiment_id") == '"' + id + '"'},
      {"experiment 0: its id is quoted", fallback.meta.raw.at("experiment_id") == "\"0\""},
      {"experiment: active", experiment.meta.raw.at("lifecycle_stage") == "active"},
      {"experiment: location", experiment.meta.text.at("artifact_location") == uri + "/" + id},
      {"experiment: a location is file:///", uri.starts_with("file:///")},
      {"experiment: milliseconds",
       matches(experiment.meta.raw.at("creation_time"), "17000000000[0-9]{2}")},
      {"experiment: never updated",
       experiment.meta.raw.at("last_update_time") == experiment.meta.raw.at("creation_time")},
      {"run: id of 32 hex digits is its folder", run.folder.filename() == run_id},
      {"run: location() is its folder", one.location() == run.folder.string()},
      {"run: id", meta("run_id") == run_id && meta("run_uuid") == run_id},
      {"run: its id is quoted", run.meta.raw.at("run_id").starts_with('"')},
      {"run: experiment", run.meta.raw.at("experiment_id") == '"' + id + '"'},
      {"run: artifact_uri", meta("artifact_uri") == uri + "/" + id + "/" + run_id + "/artifacts"},
      {"run: active", is(run, "lifecycle_stage", "active")},
      {"run: not deleted", is(run, "deleted_time", "null")},
      {"run: no entry point", is(run, "entry_point_name", "''")},
      {"run: no source name", is(run, "source_name", "''")},
      {"run: no source version", is(run, "source_version", "''")},
      {"run: source type LOCAL", is(run, "source_type", "4")},
      {"run: no tags in meta", is(run, "tags", "[]")},
      {"run: name", meta("run_name") == "first"},
      {"run: user", meta("user_id") == "ada"},
      {"run: FINISHED is 3", is(run, "status", "3")},
      {"run: start", matches(meta("start_time"), "17000000000[0-9]{2}")},
      {"run: end", matches(meta("end_time"), "17000000000[0-9]{2}")},
      {"run: ends after it starts", meta("end_time") > meta("start_time")},
      {"killed run: KILLED is 5", is(killed, "status", "5")},
      {"killed run: it ended", matches(killed.meta.raw.at("end_time"), "17000000000[0-9]{2}")},
      {"killed run: named by its tag", killed.meta.text.at("run_name") == "t"},
      {"folders are there though empty",
       std::filesystem::is_directory(killed.folder / "params") &&
           std::filesystem::is_directory(killed.folder / "metrics") &&
           std::filesystem::is_directory(killed.folder / "artifacts")},
      {"params: the value and no newline",
       run.params == Files{{"lr", "0.001"}, {"opt/beta", ""}, {"text", "two\nlines\n"}}},
      {"tags: also the run's name, the last value",
       run.tags == Files{{"mlflow.runName", "first"},
                         {"mlflow.user", "ada"},
                         {"mlflow.source.type", "LOCAL"},
                         {"mlflow.note.content", "a"},
                         {"git", "2"}}},
      {"tags: the caller's win",
       killed.tags ==
           Files{{"mlflow.runName", "t"}, {"mlflow.user", "eve"}, {"mlflow.source.type", "JOB"}}},
      {"metrics: a file for each key", run.metrics.size() == 2},
      {"metrics: shortest text that reads back",
       matches(run.metrics.at("val/auc").at(0), "17000000000[0-9]{2} 0.30000000000000004 1")},
      {"artifacts: copied",
       run.artifacts == Files{{"history.csv", "epoch,loss\n1,0.5\n"},
                              {"tables/csv/history.csv", "epoch,loss\n1,0.5\n"}}},
      {"nothing else in the run's folder",
       std::distance(std::filesystem::directory_iterator(run.folder), {}) == 5},
  };
  for (const auto& rule : rules) {
    INFO(rule.rule);
    CHECK(rule.holds);
  }
  const std::vector<std::string>& loss = run.metrics.at("loss");
  REQUIRE(loss.size() == 5);
  const std::string moment = loss[0].substr(0, 13), later = loss[2].substr(0, 13);
  CHECK(later > moment);
  CHECK(loss == std::vector<std::string>{moment + " 0.5 1", moment + " 0.25 2", later + " nan 3",
                                         later + " inf 4", later + " -inf -5"});
}

TEST_CASE("MLflow folder: running is 1, failed is 4, a name is made up, renaming is kept") {
  const TemporaryDirectory directory;
  MLflowFolder tracker(options(directory.path(), 0x12345678'00000000u));
  tracker.start({});
  FolderRun run = only_run(directory.path(), "Default");
  CHECK(run.meta.raw.at("status") == "1");
  CHECK(run.meta.raw.at("end_time") == "null");
  CHECK(run.meta.text.at("run_name") == "run-12345678");
  CHECK(run.tags.at("mlflow.runName") == "run-12345678");
  CHECK(run.folder.parent_path().filename() == "0");

  tracker.set_tags(Texts{{"mlflow.runName", "a \"new\" one\n"}});
  run = only_run(directory.path(), "Default");
  CHECK(run.meta.text.at("run_name") == "a \"new\" one\n");
  CHECK(run.tags.at("mlflow.runName") == "a \"new\" one\n");

  // Someone renames the run in MLflow meanwhile, which writes meta.yaml its own way.
  const auto meta = run.folder / "meta.yaml";
  std::string text = test::read_bytes(meta);
  const std::size_t at = text.find("run_name: ");
  text.replace(at, text.find('\n', at) - at, "run_name: 'theirs:\n\n  on two lines'");
  test::write_bytes(meta, text);
  tracker.end(RunStatus::failed);
  text = test::read_bytes(meta);
  CHECK(contains(text, "\nrun_name: 'theirs:\n\n  on two lines'\n"));
  CHECK(contains(text, "\nstatus: 4\n"));
  CHECK_FALSE(contains(text, "end_time: null"));
}

TEST_CASE("MLflow folder: what is refused leaves everything as it was") {
  const TemporaryDirectory directory;
  const auto root = directory / "mlruns";
  const auto refused = [&](const tsdl::RunInfo& info) {
    MLflowFolder tracker(options(root));
    return message_of<tsdl::DataError>([&] { tracker.start(info); });
  };
  CHECK(contains(refused({.experiment = "", .name = ""}), "no name"));
  CHECK(contains(refused({.experiment = "\xff", .name = ""}), "UTF-8"));
  CHECK(contains(refused({.experiment = std::string(501, 'e'), .name = ""}), "501 characters"));
  CHECK(contains(refused({.name = "", .params = {{"a@b", "1"}}}), "parameter 'a@b'"));
  CHECK(contains(refused({.name = "", .params = {{"../x", "1"}}}), "parameter '../x'"));
  CHECK(contains(refused({.name = "", .params = {{"a", "1"}, {"b", "1"}, {"a", "2"}}}), "'1'"));
  CHECK(contains(refused({.name = "", .params = {{"a", std::string(501, 'x')}}}),
                 "parameter 'a' has 501"));
  CHECK(contains(refused({.name = "", .params = {{"a", "\xc3"}}}), "parameter 'a' is not UTF-8"));
  CHECK(
      contains(refused({.name = "", .tags = {{"a", std::string(5001, 'x')}}}), "tag 'a' has 5001"));
  CHECK(contains(refused({.name = "", .tags = {{"/a", "1"}}}), "tag '/a'"));
  CHECK(contains(refused({.name = "x", .tags = {{"mlflow.runName", "y"}}}), "mlflow.runName"));
  CHECK_FALSE(std::filesystem::exists(root));
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   auto o = options(root);
                   o.user = "\xff";
                   MLflowFolder tracker(o);
                 }),
                 "user"));

  MLflowFolder tracker(options(root));
  const auto before_start = [&](const auto& action) {
    CHECK(contains(message_of<tsdl::Error>(action), "no run has been started"));
  };
  before_start([&] { tracker.log_params({}); });
  before_start([&] { tracker.set_tags({}); });
  before_start([&] { tracker.log_metrics({}); });
  before_start([&] { tracker.log_artifact("x"); });
  before_start([&] { tracker.register_model("m", "x"); });
  before_start([&] { tracker.end(RunStatus::finished); });
  tracker.start({.name = "", .params = {{"a", std::string(500, 'x')}, {"b", "1"}}});
  CHECK(contains(message_of<tsdl::Error>([&] { tracker.start({}); }), "started already"));
  const auto files = test::files_below(root);

  const auto data_error = [&](const auto& action) { return message_of<tsdl::DataError>(action); };
  const Texts changed{{"c", "3"}, {"b", "2"}}, bad_tag{{"good", "1"}, {"a=b", "1"}};
  const Metrics bad_metric{{"good", 1, 1}, {"..", 1, 1}};
  CHECK(contains(data_error([&] { tracker.log_params(changed); }), "parameter 'b'"));
  CHECK(contains(data_error([&] { tracker.set_tags(bad_tag); }), "tag 'a=b'"));
  CHECK(contains(data_error([&] { tracker.log_metrics(bad_metric); }), "metric '..'"));
  test::write_bytes(directory / "f", "x");
  for (const char* bad : {"..", "/", "a/../b", "../a", "a//b", "a/"})
    CHECK(contains(data_error([&] { tracker.log_artifact(directory / "f", bad); }), "artifact"));
  CHECK(
      contains(message_of<tsdl::Error>([&] { tracker.log_artifact(directory / "none"); }), "none"));
  CHECK(contains(message_of<tsdl::Error>([&] { tracker.log_artifact(root / "0"); }), "is no file"));
  CHECK(contains(data_error([&] { tracker.register_model("m", "none"); }), "not been logged"));
  for (const char* bad : {"", ".", "..", "a/b", "a:b", "a%b"})
    CHECK(contains(data_error([&] { tracker.register_model(bad, "f"); }), "model"));
  CHECK(test::files_below(root) == files);

  // A key cannot be a file and a folder at once: the disk says so.
  CHECK_THROWS_AS(tracker.log_params(Texts{{"b/c", "1"}}), tsdl::Error);
  CHECK_THROWS_AS(tracker.log_metrics(Metrics{{"x/y", 1, 1}, {"x", 1, 1}}), tsdl::Error);
  tracker.log_params(Texts{{"c", "3"}});  // it was not half logged
  CHECK(only_run(root, "Default").params.at("c") == "3");

  tracker.end(RunStatus::finished);
  CHECK(contains(message_of<tsdl::Error>([&] { tracker.end(RunStatus::failed); }), "has ended"));
  CHECK(contains(message_of<tsdl::Error>([&] { tracker.log_metrics({}); }), "has ended"));
  CHECK(contains(message_of<tsdl::Error>([&] { MLflowFolder(options(root)).start({}); }),
                 "a run of this id is there already"));
  test::write_bytes(directory / "file", "");
  CHECK(contains(
      message_of<tsdl::Error>([&] { MLflowFolder(options(directory / "file")).start({}); }),
      (directory / "file").string()));
}

TEST_CASE("MLflow folder: metrics grow by whole lines over many pages") {
  const TemporaryDirectory directory;
  MLflowFolder tracker(options(directory.path()));
  tracker.start({});
  std::vector<std::string> lines;
  for (int i = 0; i < 900; ++i) {
    // Also many lines at once, more than a page.
    const int n = i == 500 ? 400 : 1 + i % 3;
    Metrics batch;
    for (int k = 0; k < n; ++k) {
      batch.push_back({"m", 1.0 / (i + k + 1), i});
      lines.push_back(tsdl::internal::metric_text(batch.back().value) + " " + std::to_string(i));
    }
    tracker.log_metrics(batch);
  }
  const auto run = only_run(directory.path(), "Default");
  const auto& stored = run.metrics.at("m");
  REQUIRE(stored.size() == lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) CHECK(stored[i].substr(14) == lines[i]);
  CHECK(std::distance(std::filesystem::directory_iterator(run.folder), {}) == 5);
}

TEST_CASE("MLflow folder: experiments are found by name, also MLflow's own, unless deleted") {
  const TemporaryDirectory directory;
  const auto root = directory.path();
  auto experiment_of = [&, id = std::uint64_t{1}](const std::string& name) mutable {
    MLflowFolder tracker(options(root, id += 2));
    tracker.start({.experiment = name, .name = ""});
    return std::filesystem::path(tracker.location()).parent_path().filename().string();
  };
  const auto make = [&](const std::string& id, const std::string& lines) {
    std::filesystem::create_directories(root / id);
    test::write_bytes(root / id / "meta.yaml", lines);
  };
  const std::string a = experiment_of("a");
  CHECK(experiment_of("a") == a);
  CHECK(experiment_of("b") != a);
  CHECK(experiment_of("Default") == "0");

  make("111111111111111111",
       "creation_time: 5\nexperiment_id: '111111111111111111'\nname: 'it''s'\n");
  make("222222222222222222", "creation_time: 6\nexperiment_id: '222222222222222222'\nname: it's\n");
  make("333333333333333333", "creation_time: 6\nexperiment_id: '333333333333333333'\nname: it's\n");
  make("444444444444444444", "creation_time: 7\nexperiment_id: '444444444444444445'\nname: it's\n");
  make("555555555555555555",
       "creation_time: 8\nexperiment_id: '555555555555555555'\nlifecycle_stage: deleted\nname: "
       "it's\n");
  std::filesystem::create_directory(root / "666666666666666666");
  CHECK(experiment_of("it's") == "222222222222222222");  // the newest, then the smallest id

  // A renamed experiment keeps the folder that its old name leads to.
  const auto rename = [&](const std::string& id, const std::string& from, const std::string& to) {
    std::string meta = test::read_bytes(root / id / "meta.yaml");
    meta.replace(meta.find("name: \"" + from + '"'), from.size() + 8, "name: \"" + to + '"');
    test::write_bytes(root / id / "meta.yaml", meta);
  };
  rename(a, "a", "z");
  CHECK(experiment_of("z") == a);
  const std::string again = experiment_of("a");
  CHECK(again != a);
  CHECK(experiment_of("a") == again);
  // Also when it is in the trash, under its new name.
  rename(again, "a", "y");
  std::filesystem::rename(root / again, root / ".trash" / again);
  const std::string third = experiment_of("a");
  CHECK(third != again);
  CHECK(third != a);
}

TEST_CASE("MLflow folder: an experiment that was deleted in MLflow keeps its name") {
  const TemporaryDirectory directory;
  const auto root = directory.path();
  auto start = [&, id = std::uint64_t{1}](const std::string& name) mutable {
    MLflowFolder tracker(options(root, id += 2));
    tracker.start({.experiment = name, .name = ""});
    return std::filesystem::path(tracker.location()).parent_path();
  };
  const auto refused = [&](const std::string& name) {
    const auto files = test::files_below(root);
    const std::string message = message_of<tsdl::Error>([&] { start(name); });
    CHECK(test::files_below(root) == files);
    return message;
  };
  const auto a = start("a"), trash = root / ".trash" / a.filename();
  const std::string meta = test::read_bytes(a / "meta.yaml");
  std::string deleted = meta;
  deleted.replace(deleted.find("active"), 6, "deleted");

  test::write_bytes(a / "meta.yaml", deleted);  // as MLflow does it, in this order
  CHECK(contains(refused("a"), "the experiment 'a' (" + a.filename().string() + ") is deleted"));
  std::filesystem::rename(a, trash);
  CHECK(contains(refused("a"), "the experiment 'a' (" + a.filename().string() + ") is deleted"));
  CHECK(start("b") != a);  // others are free

  std::filesystem::rename(trash, a);  // restored
  test::write_bytes(a / "meta.yaml", meta);
  CHECK(start("a") == a);
  std::filesystem::rename(a, trash);
  std::filesystem::remove_all(trash);  // gone for good
  CHECK(start("a") == a);

  start("Default");
  std::filesystem::rename(root / "0", root / ".trash" / "0");
  CHECK(contains(refused("Default"), "'Default' (0) is deleted"));
}

TEST_CASE("MLflow folder: a relative directory, its parents missing, with a slash at its end") {
  const TemporaryDirectory directory;
  const int status = test::status_of_child([&] {
    std::filesystem::current_path(directory.path());
    MLflowFolder tracker(options("a/./b/"));
    tracker.start({});
    const std::string expected = directory.path().string() + "/a/b/0/";
    return tracker.location().starts_with(expected) ? 0 : 1;
  });
  CHECK(status == 0);
  const std::string uri = only_run(directory / "a" / "b", "Default").meta.text.at("artifact_uri");
  CHECK(uri.starts_with("file://" + directory.path().string() + "/a/b/0/"));
}

TEST_CASE("MLflow folder: models are registered in versions") {
  const TemporaryDirectory directory;
  const auto root = directory / "ml";
  test::write_bytes(directory / "m.safetensors", "weights");
  MLflowFolder one(options(root, 1)), two(options(root, 5));
  for (MLflowFolder* tracker : {&one, &two}) {
    tracker->start({});
    tracker->log_artifact(directory / "m.safetensors", "model");
  }
  one.log_artifact(directory / "m.safetensors", "more/deep");
  one.register_model("up or down", "model/m.safetensors");
  one.register_model("other", "more");
  two.register_model("up or down", "model/m.safetensors");
  std::filesystem::create_directory(root / "models" / "up or down" / "version-7");
  test::write_bytes(root / "models" / "up or down" / "version-7" / "meta.yaml", "x");
  two.register_model("up or down", "model/m.safetensors");
  std::filesystem::remove_all(root / "models" / "up or down" / "version-7");

  const Store store = test::read_store(root);
  REQUIRE(store.models.size() == 2);
  const auto& model = store.models.at("up or down");
  CHECK(model.meta.text.at("name") == "up or down");
  CHECK(model.meta.raw.at("aliases") == "{}");
  CHECK(model.meta.raw.at("description") == "null");
  REQUIRE(model.versions.size() == 3);
  CHECK(model.versions.contains(8));
  CHECK(store.models.at("other").versions.size() == 1);
  const auto& first = model.versions.at(1).text;
  const auto& second = model.versions.at(2).text;
  CHECK(first.at("run_id") == std::filesystem::path(one.location()).filename());
  CHECK(second.at("run_id") == std::filesystem::path(two.location()).filename());
  CHECK(first.at("source") == "file://" + one.location() + "/artifacts/model");
  CHECK(first.at("storage_location") == first.at("source"));
  CHECK(second.at("version") == "2");
  CHECK(model.versions.at(2).raw.at("version") == "2");
  CHECK(first.at("name") == "up or down");
  CHECK(first.at("status") == "READY");
  CHECK(first.at("current_stage") == "None");
  CHECK(model.meta.text.at("last_updated_timestamp") ==
        model.versions.at(8).text.at("creation_timestamp"));
}

TEST_CASE("MLflow folder: processes that start at once share experiments and number versions") {
  for (int round = 0; round < 8; ++round) {
    const TemporaryDirectory directory;
    const auto root = directory / "ml";
    test::write_bytes(directory / "f", "x");
    void* shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    auto* ready = new (shared) std::atomic<int>(0);
    constexpr int processes = 6;
    std::vector<pid_t> children;
    for (int i = 0; i < processes; ++i) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        int status = 1;
        try {
          ++*ready;
          while (*ready < processes) std::this_thread::yield();
          MLflowFolder tracker({.directory = root});
          tracker.start({.experiment = "shared", .name = ""});
          tracker.log_artifact(directory / "f", "model");
          tracker.register_model("m", "model/f");
          tracker.end(RunStatus::finished);
          status = 0;
        } catch (...) {
        }
        ::_exit(status);
      }
      children.push_back(child);
    }
    for (const pid_t child : children) {
      int status = 1;
      ::waitpid(child, &status, 0);
      CHECK(status == 0);
    }
    ::munmap(shared, 4096);
    const Store store = test::read_store(root);
    CHECK(store.experiments.size() == 2);
    CHECK(store.named("shared").runs.size() == processes);
    CHECK(store.models.at("m").versions.size() == processes);
    CHECK(store.models.at("m").versions.rbegin()->first == processes);
    CHECK(store.left_behind == 0);
  }
}
