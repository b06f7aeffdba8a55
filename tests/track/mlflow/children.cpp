// A study as a parent run and its trials as children, in a folder and on a server: each once,
// though the study is killed and gone on with, the server is away, or answers are lost.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/mlflow_store.hpp"
#include "track/mlflow/helpers.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/track/mlflow/folder.hpp"

namespace {

using namespace std::chrono_literals;
using test::contains;
using test::Fault;
using test::FolderRun;
using test::message_of;
using test::MLflowLoopback;
using test::Stored;
using test::StoredRun;
using test::TemporaryDirectory;
using Metrics = std::vector<tsdl::TrackedMetric>;

constexpr std::int64_t noon = 1700000000123;
const std::string key = "0123456789abcdef0123456789abcdef";

tsdl::RunInfo study() {
  return {.experiment = "trial & error",
          .name = "study",
          .params = {{"trials", "20"}},
          .tags = {{"tsdl.study", "fingerprint"}},
          .key = key};
}

double loss_of(int trial, int fold) { return 1.0 / (trial + fold + 1); }

tsdl::ChildRun trial(int i) {
  return {.id = std::to_string(i),
          .name = "trial " + std::to_string(i),
          .params = {{"lr", std::to_string(i)}, {"model", "gru"}},
          .tags = {{"kind", "trial"}},
          .metrics = {{"loss", loss_of(i, 0), 0}, {"loss", loss_of(i, 1), 1}, {"mean", 0.5, 0}},
          .start_time = noon + i,
          .end_time = noon + 100 + i,
          .status = i % 3 == 2 ? tsdl::RunStatus::failed : tsdl::RunStatus::finished};
}

void log_trials(tsdl::Tracker& tracker, int first, int last) {
  for (int i = first; i < last; ++i) tracker.log_child(trial(i));
}

void finish(tsdl::Tracker& tracker) {
  tracker.log_metrics(Metrics{{"best_loss", 0.25, 7}});
  tracker.end(tsdl::RunStatus::finished);
}

/// The folder's parent, which is checked to be the only one and to have `trials` whole children.
FolderRun check_folder(const std::filesystem::path& root, int trials,
                       const std::string& status = "3") {
  const auto runs = test::read_store(root).named("trial & error").runs;
  REQUIRE(runs.contains(key));
  CHECK(std::ssize(runs) == trials + 1);
  CHECK(runs.at(key).meta.raw.at("status") == status);
  CHECK(runs.at(key).meta.text.at("run_id") == key);
  CHECK(runs.at(key).tags.at("tsdl.study") == "fingerprint");
  CHECK_FALSE(runs.at(key).tags.contains("mlflow.parentRunId"));
  std::set<std::string> names;
  for (const auto& [id, run] : runs) {
    if (id == key) continue;
    const int i = std::stoi(run.params.at("lr"));
    CAPTURE(i);
    CHECK(names.insert(run.meta.text.at("run_name")).second);
    CHECK(run.meta.text.at("run_name") == "trial " + std::to_string(i));
    CHECK(run.meta.text.at("run_id") == id);
    CHECK(run.meta.raw.at("status") == (i % 3 == 2 ? "4" : "3"));
    CHECK(run.meta.raw.at("start_time") == std::to_string(noon + i));
    CHECK(run.meta.raw.at("end_time") == std::to_string(noon + 100 + i));
    CHECK(run.params.size() == 2);
    CHECK(run.params.at("model") == "gru");
    CHECK(run.tags.at("mlflow.parentRunId") == key);
    CHECK(run.tags.at("mlflow.runName") == "trial " + std::to_string(i));
    CHECK(run.tags.at("kind") == "trial");
    const std::string time = std::to_string(noon + 100 + i) + " ";
    CHECK(run.metrics == std::map<std::string, std::vector<std::string>>{
                             {"loss",
                              {time + tsdl::internal::metric_text(loss_of(i, 0)) + " 0",
                               time + tsdl::internal::metric_text(loss_of(i, 1)) + " 1"}},
                             {"mean", {time + "0.5 0"}}});
  }
  return runs.at(key);
}

/// The same of a server; what it has of the parent.
StoredRun check_server(const Stored& stored, int trials, const std::string& status = "FINISHED") {
  const std::vector<StoredRun> runs = stored.active();
  CHECK(std::ssize(runs) == trials + 1);
  const auto parent = std::find_if(runs.begin(), runs.end(), [](const StoredRun& run) {
    return run.tags.at("tsdl.run_key") == key;
  });
  REQUIRE(parent != runs.end());
  CHECK(parent->name == "study");
  CHECK(parent->status == status);
  CHECK(parent->tags.at("tsdl.study") == "fingerprint");
  CHECK(parent->params == std::map<std::string, std::string>{{"trials", "20"}});
  std::set<std::string> names;
  for (const StoredRun& run : runs) {
    if (run.id == parent->id) continue;
    const int i = std::stoi(run.params.at("lr"));
    CAPTURE(i);
    CHECK(names.insert(run.name).second);
    CHECK(run.name == "trial " + std::to_string(i));
    CHECK(run.experiment_id == parent->experiment_id);
    CHECK(run.status == (i % 3 == 2 ? "FAILED" : "FINISHED"));
    CHECK(run.start_time == noon + i);
    CHECK(run.end_time == noon + 100 + i);
    CHECK(run.params ==
          std::map<std::string, std::string>{{"lr", std::to_string(i)}, {"model", "gru"}});
    CHECK(run.tags.at("mlflow.parentRunId") == parent->id);
    CHECK(run.tags.at("kind") == "trial");
    std::vector<test::StoredMetric> metrics = run.metrics, expected;
    for (const auto& [name, value, step] : trial(i).metrics)
      expected.push_back({name, test::Json(value).dump(), noon + 100 + i, step});
    std::sort(metrics.begin(), metrics.end());
    std::sort(expected.begin(), expected.end());
    CHECK(metrics == expected);
  }
  return *parent;
}

tsdl::MLflowServerOptions options_for(const std::string& uri, const std::filesystem::path& spool) {
  return {.uri = uri,
          .spool = spool,
          .access = {},
          .gather = 1ms,
          .first_retry = 1ms,
          .longest_retry = 4ms,
          .clock = [] { return noon; }};
}

std::function<Fault(int)> lost_answers(unsigned seed) {
  return [seed](int n) {
    const auto draw = std::mt19937(seed * 100003 + static_cast<unsigned>(n))() % 10;
    return draw < 3 ? Fault::drop_after : draw < 4 ? Fault::unavailable : Fault::none;
  };
}

}  // namespace

TEST_CASE("MLflow children: a study in a folder, gone on with, has parent and trials once") {
  const TemporaryDirectory directory;
  const auto root = directory / "ml";
  const auto folder = [&](std::int64_t now) {
    return std::make_unique<tsdl::MLflowFolder>(
        tsdl::MLflowFolderOptions{.directory = root, .now = [now] { return now; }});
  };
  {
    const auto tracker = folder(noon);
    tracker->start(study());
    log_trials(*tracker, 0, 5);
    tracker->log_metrics(Metrics{{"trials_done", 5, 5}});
    test::write_bytes(directory / "best.bin", "weights");
    tracker->log_artifact(directory / "best.bin", "model");
    check_folder(root, 5, "1");
    tracker->end(tsdl::RunStatus::killed);
  }
  const FolderRun killed = check_folder(root, 5, "5");
  CHECK(killed.meta.raw.at("end_time") == std::to_string(noon));

  const auto tracker = folder(noon + 1000);
  tsdl::RunInfo again = study();
  again.name = "another name";
  again.params.push_back({"seed", "1"});
  again.tags.push_back({"more", "tags"});
  tracker->start(again);
  const FolderRun running = check_folder(root, 5, "1");
  CHECK(running.meta.raw.at("end_time") == "null");
  CHECK(running.meta.raw.at("start_time") == std::to_string(noon));
  CHECK(running.meta.text.at("run_name") == "study");
  CHECK(running.tags.at("mlflow.runName") == "study");
  CHECK(running.tags.at("more") == "tags");
  CHECK(running.params == std::map<std::string, std::string>{{"trials", "20"}, {"seed", "1"}});
  log_trials(*tracker, 0, 8);  // five of them again, with other figures:
  tsdl::ChildRun other = trial(1);
  other.metrics = {{"loss", 77, 0}};
  tracker->log_child(other);
  tracker->register_model("direction", "model/best.bin");
  finish(*tracker);
  const FolderRun finished = check_folder(root, 8);
  CHECK(finished.meta.raw.at("end_time") == std::to_string(noon + 1000));
  CHECK(finished.metrics == std::map<std::string, std::vector<std::string>>{
                                {"trials_done", {std::to_string(noon) + " 5 5"}},
                                {"best_loss", {std::to_string(noon + 1000) + " 0.25 7"}}});
  CHECK(test::read_store(root).left_behind == 0);

  // What cannot be gone on with is refused, and nothing changes.
  again.params[0].value = "21";
  again.tags[0].value = "other";
  CHECK(message_of<tsdl::DataError>([&] { folder(noon)->start(again); }) ==
        "parameter 'trials' has the value '20', it cannot become '21'");
  check_folder(root, 8);
  const auto meta = finished.folder / "meta.yaml";
  test::write_bytes(
      meta, tsdl::internal::yaml_changed(test::read_bytes(meta), "lifecycle_stage", "deleted"));
  CHECK(contains(message_of<tsdl::Error>([&] { folder(noon)->start(study()); }),
                 "this run is deleted in MLflow: restore it, or take another"));
}

TEST_CASE("MLflow children: runs of drawn keys, and the keys of texts") {
  const TemporaryDirectory directory;
  std::set<std::string> parents;
  for (int i = 0; i < 2; ++i) {
    tsdl::MLflowFolder tracker({.directory = directory / "ml"});
    tracker.start({.experiment = "e", .name = "one"});
    tracker.log_child({.id = "a/b: any text"});
    finish(tracker);
  }
  const auto runs = test::read_store(directory / "ml").named("e").runs;
  CHECK(runs.size() == 4);
  for (const auto& [id, run] : runs)
    if (run.tags.contains("mlflow.parentRunId")) {
      CHECK(run.meta.text.at("run_name") == "a/b: any text");
      CHECK(run.meta.raw.at("start_time") == run.meta.raw.at("end_time"));
      CHECK(runs.contains(run.tags.at("mlflow.parentRunId")));
      parents.insert(run.tags.at("mlflow.parentRunId"));
    }
  CHECK(parents.size() == 2);

  std::set<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    keys.insert(tsdl::derived_run_key(key + "/" + std::to_string(i)));
    keys.insert(tsdl::new_run_key());
  }
  CHECK(keys.size() == 2000);
  for (const std::string& one : keys) {
    CHECK(one.size() == 32);
    CHECK(one.find_first_not_of("0123456789abcdef") == one.npos);
  }
  CHECK(tsdl::derived_run_key("x") == tsdl::derived_run_key("x"));
}

TEST_CASE("MLflow children: what is refused, by both trackers") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  std::vector<std::unique_ptr<tsdl::Tracker>> trackers;
  trackers.push_back(std::make_unique<tsdl::MLflowFolder>(
      tsdl::MLflowFolderOptions{.directory = directory / "ml"}));
  trackers.push_back(
      std::make_unique<tsdl::MLflowServer>(options_for(server.uri(), directory / "spool")));
  for (const auto& tracker : trackers) {
    CHECK(contains(message_of<tsdl::Error>([&] { tracker->log_child(trial(1)); }),
                   "no run has been started"));
    tsdl::RunInfo bad = study();
    for (const char* text : {"0123", "0123456789ABCDEF0123456789abcdef",
                             "../3456789abcdef01234567"
                             "89abcdef"}) {
      bad.key = text;
      CHECK(message_of<tsdl::DataError>([&] { tracker->start(bad); }) ==
            std::string("key of the run: expected 32 hexadecimal digits, not '") + text + "'");
    }
    tracker->start(study());
    const auto refused = [&](const tsdl::ChildRun& child) {
      return message_of<tsdl::DataError>([&] { tracker->log_child(child); });
    };
    CHECK(refused({}) == "child: it has no id");
    CHECK(refused({.id = "1", .start_time = noon + 1, .end_time = noon}) ==
          "child '1': it ends at 1700000000123, before its start at 1700000000124");
    CHECK(refused({.id = "1", .start_time = -1, .end_time = 1}) ==
          "child '1': it ends at 1, before its start at -1");
    CHECK(contains(refused({.id = "1", .params = {{"a:b", "1"}}}), "parameter 'a:b' may hold"));
    CHECK(contains(refused({.id = "1", .params = {{"a", "1"}, {"a", "2"}}}), "cannot become '2'"));
    CHECK(contains(refused({.id = "1", .tags = {{"../x", "1"}}}), "tag '../x'"));
    CHECK(contains(refused({.id = "1", .metrics = {{"a:b", 1, 1}}}), "metric 'a:b' may hold"));
    tracker->log_child(trial(1));
    finish(*tracker);
    CHECK(contains(message_of<tsdl::Error>([&] { tracker->log_child(trial(2)); }),
                   "the run has ended"));
  }
  check_folder(directory / "ml", 1);
  check_server(server.stored(), 1);
}

TEST_CASE("MLflow children: a study on a server, gone on with, has parent and trials once") {
  for (const bool folder_store : {false, true}) {
    const TemporaryDirectory directory;
    MLflowLoopback server({.folder_store = folder_store});
    {
      tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
      tracker.start(study());
      log_trials(tracker, 0, 5);
      tracker.end(tsdl::RunStatus::killed);
    }
    check_server(server.stored(), 5, "KILLED");
    const std::size_t before = server.stored().metrics_arrived;
    tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
    tracker.start(study());
    log_trials(tracker, 0, 8);
    for (int i = 0; i < 1000 && server.stored().active().size() < 9; ++i)
      std::this_thread::sleep_for(5ms);
    CHECK(server.stored().active()[0].status == "RUNNING");
    finish(tracker);
    const StoredRun parent = check_server(server.stored(), 8);
    CHECK(parent.metrics == std::vector<test::StoredMetric>{{"best_loss", "0.25", noon, 7}});
    CHECK(server.stored().metrics_arrived == before + 3 * 3 + 1);
    CHECK(server.stored().refusals.size() <= 1);  // the experiment is not there at first
    CHECK_FALSE(std::filesystem::exists(directory / "spool"));
  }
}

TEST_CASE("MLflow children: more than one request takes") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
  tsdl::ChildRun big{.id = "big"};
  for (int i = 0; i < 250; ++i) {
    big.params.push_back({"p" + std::to_string(i), std::string(400, 'p')});
    big.tags.push_back({"t" + std::to_string(i), std::to_string(i)});
  }
  big.params.push_back(big.params[3]);
  for (int i = 0; i < 2500; ++i) big.metrics.push_back({"m" + std::to_string(i % 2), 1.0 * i, i});
  tracker.start(study());
  tracker.log_child(big);
  finish(tracker);
  const auto runs = server.stored().active();
  REQUIRE(runs.size() == 2);
  CHECK(runs[1].params.size() == 250);
  CHECK(runs[1].tags.at("t249") == "249");
  CHECK(runs[1].metrics.size() == 2500);
  CHECK(runs[1].name == "big");
  CHECK(runs[1].status == "FINISHED");
}

TEST_CASE("MLflow children: a server that is away gets parent and trials later, each once") {
  for (const bool folder_store : {false, true}) {
    const TemporaryDirectory directory;
    MLflowLoopback server(
        {.folder_store = folder_store, .fault = [](int) { return Fault::drop_before; }});
    const auto run_study = [&](int first, int last, tsdl::RunStatus status) {
      tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
      tracker.start(study());
      log_trials(tracker, first, last);
      tracker.end(status);
    };
    run_study(0, 3, tsdl::RunStatus::killed);
    CHECK(server.stored().runs.empty());
    CHECK(tsdl::spooled_runs(directory / "spool").size() == 1);
    // Gone on with while the first part waits in the spool, which another process cannot take then.
    {
      tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
      tracker.start(study());
      CHECK(contains(message_of<tsdl::SpoolBusy>([&] {
                       tsdl::MLflowServer second(options_for(server.uri(), directory / "spool"));
                       second.start(study());
                     }),
                     "a process that is still running has this run"));
      test::write_bytes(directory / "note", "1");
      tracker.log_artifact(directory / "note");
      log_trials(tracker, 0, 5);
      tracker.end(tsdl::RunStatus::killed);
    }
    test::write_bytes(directory / "note", "2");
    {
      tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
      tracker.start(study());
      tracker.log_artifact(directory / "note", "second");
      log_trials(tracker, 2, 7);
      tracker.end(tsdl::RunStatus::finished);
    }
    CHECK(tsdl::spooled_runs(directory / "spool").size() == 1);
    server.set_fault([](int) { return Fault::none; });
    CHECK(test::upload_all(directory / "spool", server.uri()) == "");
    const StoredRun parent = check_server(server.stored(), 7);
    CHECK(parent.artifacts ==
          std::map<std::string, std::string>{{"note", "1"}, {"second/note", "2"}});
    CHECK_FALSE(std::filesystem::exists(directory / "spool"));
    // And gone on with after all was sent.
    run_study(0, 9, tsdl::RunStatus::finished);
    check_server(server.stored(), 9);
    CHECK(server.stored().active()[0].id == parent.id);
  }
}

TEST_CASE("MLflow children: each once, though a third of all answers are lost") {
  for (const bool folder_store : {false, true})
    for (unsigned seed = 1; seed <= 4; ++seed) {
      CAPTURE(seed);
      const TemporaryDirectory directory;
      MLflowLoopback server({.folder_store = folder_store, .fault = lost_answers(seed)});
      for (int part = 0; part < 2; ++part) {
        tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
        tracker.start(study());
        log_trials(tracker, 0, 3 * (part + 1));
        tracker.end(part == 0 ? tsdl::RunStatus::killed : tsdl::RunStatus::finished);
      }
      if (std::filesystem::exists(directory / "spool"))
        CHECK(test::upload_all(directory / "spool", server.uri(), 100) == "");
      check_server(server.stored(), 6);
    }
}

TEST_CASE(
    "MLflow children: a server that has lost the parent gets it again, and its trials follow") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
  tracker.start(study());
  log_trials(tracker, 0, 4);
  const auto wait_for = [&](std::size_t runs) {
    for (int i = 0; i < 2000 && server.stored().active().size() < runs; ++i)
      std::this_thread::sleep_for(5ms);
    for (int i = 0; i < 2000 && server.stored().active().back().status == "RUNNING"; ++i)
      std::this_thread::sleep_for(5ms);
  };
  wait_for(5);
  server.change([](Stored& stored) {
    stored.runs[0].id = "lost";
    stored.runs[0].deleted = true;
  });
  log_trials(tracker, 4, 6);
  finish(tracker);
  const StoredRun parent = check_server(server.stored(), 6);
  CHECK(parent.metrics.size() == 1);
}

#ifndef TSDL_TEST_NO_FORK
TEST_CASE("MLflow children: kill -9 at any moment leaves whole trials, which are made up for") {
  tsdl::RandomStream random(5);
  int all = 0;
  for (int i = 0; i < 6; ++i) {
    CAPTURE(i);
    const TemporaryDirectory directory;
    const auto root = directory / "ml";
    int recorded = 0;
    for (int round = 0; round < 3; ++round) {
      int said[2];
      REQUIRE(::pipe(said) == 0);
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        try {
          tsdl::MLflowFolder tracker({.directory = root, .now = [] { return noon; }});
          tracker.start(study());
          for (int k = 0;; ++k) {
            tracker.log_child(trial(k));
            if (::write(said[1], &k, sizeof k) != sizeof k) break;
          }
        } catch (...) {
        }
        ::_exit(1);
      }
      ::close(said[1]);
      int k = 0;
      const bool from_start = (i + round) % 3 == 0;
      if (!from_start && ::read(said[0], &k, sizeof k) == sizeof k)
        recorded = std::max(recorded, k + 1);
      ::usleep(static_cast<useconds_t>(random.below(20'000)));
      ::kill(child, SIGKILL);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      CHECK(WIFSIGNALED(status));
      while (::read(said[0], &k, sizeof k) == sizeof k) recorded = std::max(recorded, k + 1);
      ::close(said[0]);
    }
    tsdl::MLflowFolder tracker({.directory = root, .now = [] { return noon; }});
    tracker.start(study());
    log_trials(tracker, 0, recorded + 1);
    finish(tracker);
    check_folder(root, recorded + 1);
    all += recorded;
  }
  CHECK(all >= 6);
}
#endif
