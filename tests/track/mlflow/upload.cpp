// Sending a spool: nothing is lost and nothing is there twice, whichever request fails and however.
#include "tsdl/track/mlflow/upload.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "track/mlflow/helpers.hpp"

namespace {

using namespace std::chrono_literals;
using test::contains;
using test::Fault;
using test::MLflowLoopback;
using test::TemporaryDirectory;
using tsdl::MLflowSpool;
namespace fs = std::filesystem;

constexpr std::int64_t noon = 1700000000123;

/// An address where nothing listens.
std::string nowhere() { return MLflowLoopback().uri(); }

/// The spool of a small run that could not be sent.
void spool_small_run(const TemporaryDirectory& directory, const fs::path& spool,
                     const std::string& uri = nowhere()) {
  tsdl::MLflowServer tracker(
      {.uri = uri, .spool = spool, .access = {}, .flush_timeout = 0ms, .clock = [] {
         return noon;
       }});
  tracker.start(test::small_run());
  test::log_small_run(tracker, directory);
  tracker.end(tsdl::RunStatus::finished);
}

void copy_folder(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive);
}

fs::path only_run(const fs::path& spool) {
  const auto runs = tsdl::spooled_runs(spool);
  REQUIRE(runs.size() == 1);
  return runs[0];
}

MLflowSpool make_spool(const fs::path& root, const std::string& uri, const std::string& lines) {
  MLflowSpool spool = MLflowSpool::create(root, {uri, "trial", "r", 5});
  spool.append(lines);
  return spool;
}

}  // namespace

TEST_CASE("MLflow upload: a run that could not be sent is sent from its spool, which then goes") {
  const TemporaryDirectory directory;
  const fs::path spool = directory / "spool";
  spool_small_run(directory, spool);
  const MLflowLoopback server;
  CHECK(test::upload_all(spool, server.uri()) == "");
  test::check_small_run(server.stored(), noon);
  CHECK(server.stored().refusals ==
        std::vector<std::string>{
            "RESOURCE_DOES_NOT_EXIST: Could not find experiment with name 'trial & error'"});
  CHECK_FALSE(fs::exists(spool));
}

TEST_CASE("MLflow upload: every request fails once, in every way, before and after its effect") {
  const TemporaryDirectory directory;
  const fs::path kept = directory / "kept", spool = directory / "spool";
  spool_small_run(directory, kept);
  copy_folder(kept, spool);
  std::size_t requests = 0;
  {
    const MLflowLoopback server;
    CHECK(test::upload_all(spool, server.uri()) == "");
    requests = server.stored().requests.size();
  }
  CHECK(requests > 10);
  for (const Fault fault :
       {Fault::unavailable, Fault::too_many, Fault::drop_before, Fault::drop_after})
    for (int at = 0; at < static_cast<int>(requests); ++at) {
      CAPTURE(static_cast<int>(fault));
      CAPTURE(at);
      copy_folder(kept, spool);
      MLflowLoopback server;
      server.set_fault([=](int n) { return n == at ? fault : Fault::none; });
      CHECK(test::upload_all(spool, server.uri(), 2) == "");
      CHECK(server.stored().requests.size() > requests);
      test::check_small_run(server.stored(), noon);
      CHECK(server.stored().active().size() == server.stored().runs.size());
      CHECK_FALSE(fs::exists(spool));
    }
}

TEST_CASE("MLflow upload: half of all requests fail, in any order") {
  const TemporaryDirectory directory;
  const fs::path kept = directory / "kept", spool = directory / "spool";
  spool_small_run(directory, kept);
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    copy_folder(kept, spool);
    std::mt19937 random(seed);
    const std::vector<Fault> faults = {Fault::drop_after,  Fault::drop_after, Fault::drop_before,
                                       Fault::unavailable, Fault::none,       Fault::none,
                                       Fault::none,        Fault::none};
    MLflowLoopback server;
    server.set_fault([&](int) { return faults[random() % faults.size()]; });
    CHECK(test::upload_all(spool, server.uri(), 1000) == "");
    test::check_small_run(server.stored(), noon);
  }
}

TEST_CASE("MLflow upload: sending the same spool again changes nothing") {
  const TemporaryDirectory directory;
  const fs::path kept = directory / "kept", spool = directory / "spool";
  spool_small_run(directory, kept);
  const MLflowLoopback server;
  copy_folder(kept, spool);
  CHECK(test::upload_all(spool, server.uri()) == "");
  const std::string before = test::text_of(server.stored());
  copy_folder(kept, spool);
  CHECK(test::upload_all(spool, server.uri()) == "");
  CHECK((test::text_of(server.stored()) == before));
  CHECK(server.stored().metrics_arrived == 2 * test::small_epochs);
  CHECK(server.stored().runs.size() == 1);
}

TEST_CASE("MLflow upload: of a run that a slow server created twice, one is left") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  MLflowSpool spool =
      make_spool(directory / "spool", server.uri(),
                 MLflowSpool::metric_line("m", 1, 2, 3) + MLflowSpool::end_line("FAILED", 9));
  tsdl::MLflowClient hasty(server.uri(), {}, {.read = 50ms}), patient(server.uri());
  server.set_fault([](int n) { return n == 3 ? Fault::slow : Fault::none; });
  tsdl::MLflowUpload first(spool, hasty), second(spool, patient);
  CHECK_THROWS_AS(first.step(), tsdl::MLflowError);
  CHECK(second.step());  // before the first is there
  while (server.stored().runs.size() < 2) std::this_thread::sleep_for(1ms);
  while (second.step()) {
  }
  CHECK(second.complete());
  REQUIRE(server.stored().active().size() == 1);
  CHECK(server.stored().active()[0].metrics.size() == 1);
  CHECK(server.stored().active()[0].status == "FAILED");
}

TEST_CASE("MLflow upload: batches keep to the limits, and nothing is left out between them") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  std::string lines;
  for (int i = 0; i < 250; ++i) {
    const std::string key = "k" + std::to_string(i);
    lines += MLflowSpool::text_line("param", key, key);
    lines += MLflowSpool::text_line("tag", key, key);
  }
  for (int i = 0; i < 60; ++i)
    lines += MLflowSpool::text_line("tag", "long" + std::to_string(i), std::string(20000, 't'));
  for (int i = 0; i < 4321; ++i) lines += MLflowSpool::metric_line("loss", 1.0 / (i + 1), 7, i);
  lines += MLflowSpool::text_line("tag", "big", std::string(700000, 'b'));
  lines += MLflowSpool::text_line("tag", "big", std::string(600000, 'B'));
  lines += MLflowSpool::end_line("FINISHED", 8);
  MLflowSpool spool = make_spool(directory / "spool", server.uri(), lines);
  tsdl::MLflowClient client(server.uri());
  tsdl::MLflowUpload upload(spool, client);
  while (upload.step()) {
  }
  CHECK(upload.complete());
  CHECK(upload.taken() == 2 * 250 + 60 + 4321 + 3);
  const auto stored = server.stored();
  const auto& run = stored.runs.at(0);
  CHECK(run.params.size() == 250);
  CHECK(run.params.at("k249") == "k249");
  CHECK(run.tags.at("k249") == "k249");
  CHECK(run.tags.at("long59").size() == 20000);
  CHECK(run.tags.at("big") == std::string(600000, 'B'));
  REQUIRE(run.metrics.size() == 4321);
  for (int i = 0; i < 4321; ++i) CHECK(run.metrics[static_cast<std::size_t>(i)].step == i);
  CHECK(stored.metrics_arrived == 4321);
  CHECK(stored.largest_batch == 1000);
  CHECK(stored.largest_request <= 1000000);
  CHECK(stored.refusals.size() == 1);  // the experiment, before there was one
  CHECK(stored.requests.size() < 50);
}

TEST_CASE("MLflow upload: what the server refuses is passed over, told, and tried again later") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  std::string lines;
  for (int i = 0; i < 64; ++i) lines += MLflowSpool::metric_line("a", i, 1, i);
  lines += MLflowSpool::text_line("param", "lr", "1") + MLflowSpool::text_line("param", "lr", "1");
  lines += MLflowSpool::text_line("param", "lr", "2");  // another value: refused for ever
  for (int i = 0; i < 64; ++i) lines += MLflowSpool::metric_line("b", i, 1, i);
  lines += MLflowSpool::text_line("param", "long", std::string(7000, 'x'));
  lines += MLflowSpool::artifact_line("gone.txt", "7");  // its copy is not there
  lines += "{\"what\":{}}\nnot json\n[1]\n{\"metric\":3}\n";
  lines += MLflowSpool::text_line("tag", "last", "yes") + MLflowSpool::end_line("KILLED", 8);
  fs::path folder;
  {
    MLflowSpool spool = make_spool(directory / "spool", server.uri(), lines);
    folder = spool.folder();
    tsdl::MLflowClient client(server.uri());
    tsdl::MLflowUpload upload(spool, client);
    while (upload.step()) {
    }
    CHECK_FALSE(upload.complete());
    CHECK(spool.left() == 7);
    std::string all;
    for (const auto& [item, why] : spool.progress().refused) all += why + "\n";
    CHECK(contains(all, "400 INVALID_PARAMETER_VALUE: Changing param values is not allowed"));
    CHECK(contains(all, "Param value had length 7000"));
    CHECK(contains(all, "artifacts/7: cannot be read"));
    CHECK(contains(all, "items.jsonl: the line at byte "));
  }
  const auto run = server.stored().runs.at(0);
  CHECK(run.metrics.size() == 128);
  CHECK(run.params.at("lr") == "1");
  CHECK(run.tags.at("last") == "yes");
  CHECK(run.status == "KILLED");

  test::write_bytes(folder / "artifacts" / "7", "found");  // and once there is nothing wrong
  server.change([](test::Stored& stored) { stored.runs[0].params["lr"] = "2"; });
  CHECK(test::upload_all(directory / "spool", "") != "");
  CHECK(server.stored().runs.at(0).artifacts.at("gone.txt") == "found");
  CHECK(MLflowSpool::open(folder).left() == 5);
}

TEST_CASE("MLflow upload: what every item would be refused for stops it") {
  const TemporaryDirectory directory;
  const fs::path spool = directory / "spool";
  spool_small_run(directory, spool);
  {
    const MLflowLoopback closed({.authorization = "Bearer x"});
    CHECK(contains(test::upload_all(spool, closed.uri()), "401 UNAUTHENTICATED"));
    CHECK(closed.stored().requests.size() == 1);
  }
  MLflowLoopback server;
  server.set_fault([](int n) { return n > 5 ? Fault::unavailable : Fault::none; });
  CHECK(contains(test::upload_all(spool, server.uri()), "503"));
  server.set_fault([](int) { return Fault::none; });
  server.change([](test::Stored& stored) { stored.runs.at(0).deleted = true; });
  const std::string left = test::upload_all(spool, server.uri());
  CHECK(contains(left, "active"));
  // Another server has nothing yet, whatever the first one has.
  const MLflowLoopback other;
  CHECK(test::upload_all(spool, other.uri()) == "");
  test::check_small_run(other.stored(), noon);
}

TEST_CASE("MLflow upload: a run deleted on the server does not cost a request for every item") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += MLflowSpool::metric_line("a", i, 1, i);
  MLflowSpool spool = make_spool(directory / "spool", server.uri(), lines);
  tsdl::MLflowClient client(server.uri());
  tsdl::MLflowUpload upload(spool, client);
  CHECK(upload.step());
  server.change([](test::Stored& stored) { stored.runs.at(0).deleted = true; });
  CHECK(contains(test::message_of<tsdl::MLflowError>([&] {
                   while (upload.step()) {
                   }
                 }),
                 "active"));
  CHECK(server.stored().requests.size() < 50);
}

TEST_CASE("MLflow spool: a half-written last line is dropped, wherever it was cut") {
  const TemporaryDirectory directory;
  const fs::path kept = directory / "kept", spool = directory / "spool";
  spool_small_run(directory, kept);
  const std::string items = test::read_bytes(only_run(kept) / "items.jsonl");
  const std::size_t last = items.rfind('\n', items.size() - 2) + 1;
  for (std::size_t bytes = last; bytes < items.size(); bytes += 7) {
    copy_folder(kept, spool);
    fs::resize_file(only_run(spool) / "items.jsonl", bytes);
    test::write_bytes(only_run(spool) / "sent.jsonl", "{\"run_id\":\"half");
    const MLflowLoopback server;
    CHECK(test::upload_all(spool, server.uri()) == "");
    CHECK(server.stored().runs.at(0).status == "KILLED");  // its end was not logged
    CHECK(server.stored().runs.at(0).end_time == noon);
    CHECK(server.stored().runs.at(0).metrics.size() == 2 * test::small_epochs);
  }
}

TEST_CASE("MLflow spool: what a living process writes is left alone") {
  const TemporaryDirectory directory;
  const fs::path spool = directory / "spool";
  {
    const MLflowSpool mine = make_spool(spool, "http://localhost", "");
    CHECK(contains(test::message_of<tsdl::SpoolBusy>([&] { MLflowSpool::open(mine.folder()); }),
                   "still running"));
  }
  CHECK_NOTHROW(MLflowSpool::open(only_run(spool)));
}

TEST_CASE("MLflow spool: folders that are none are named") {
  const TemporaryDirectory directory;
  CHECK(tsdl::spooled_runs(directory.path()).empty());
  CHECK(contains(test::message_of<tsdl::Error>([&] { tsdl::spooled_runs(directory / "none"); }),
                 "none: cannot be read"));
  CHECK(contains(test::message_of<tsdl::Error>([&] { MLflowSpool::open(directory.path()); }),
                 "run.json: cannot be read"));
  for (const char* text : {"", "[]", "{\"format\": 1}", "{\"format\": 2}"}) {
    test::write_bytes(directory / "run.json", text);
    CHECK(
        contains(test::message_of<tsdl::FormatError>([&] { MLflowSpool::open(directory.path()); }),
                 "run.json: "));
  }
  CHECK(directory.count() == 1);
  CHECK(contains(test::message_of<tsdl::Error>([&] {
                   MLflowSpool::create(directory / "run.json", {"http://h", "e", "n", 1});
                 }),
                 "cannot be made a directory"));
}

#ifndef TSDL_TEST_NO_FORK
TEST_CASE("MLflow upload: after kill -9 at any moment the server gets what was logged by then") {
  const TemporaryDirectory directory;
  test::write_bytes(directory / "file", "as it was");
  int interrupted = 0, some = 0;
  for (int moment = 0; moment < 30; ++moment) {
    CAPTURE(moment);
    const fs::path spool = directory / ("spool" + std::to_string(moment));
    const fs::path again = directory / ("again" + std::to_string(moment));
    MLflowLoopback server;
    const pid_t child = ::fork();
    if (child == 0) {
      tsdl::MLflowServer tracker({.uri = server.uri(), .spool = spool, .access = {}});
      tracker.start(test::small_run());
      for (int step = 0;; ++step) {
        const std::vector<tsdl::TrackedMetric> metrics = {{"loss", 1.0 / (step + 1), step}};
        tracker.log_metrics(metrics);
        if (step % 64 == 0) tracker.log_artifact(directory / "file", std::to_string(step));
        std::this_thread::sleep_for(50us);
      }
    }
    std::this_thread::sleep_for(2500us * moment);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::this_thread::sleep_for(20ms);  // what was under way arrives
    if (fs::exists(spool)) copy_folder(spool, again);
    CHECK(test::upload_all(spool, "", 2) == "");
    const auto stored = server.stored();
    CHECK(stored.active().size() <= 1);
    for (const auto& run : stored.active()) {
      ++interrupted;
      CHECK(run.status == "KILLED");
      for (std::size_t i = 0; i < run.metrics.size(); ++i)
        CHECK(run.metrics[i].step == static_cast<std::int64_t>(i));
      for (std::size_t step = 0; step + 64 < run.metrics.size(); step += 64)
        CHECK(run.artifacts.contains(std::to_string(step) + "/file"));
      some += run.metrics.size() > 100;
    }
    CHECK(test::upload_all(again, "", 2) == "");
    CHECK((test::text_of(server.stored()) == test::text_of(stored)));
  }
  CHECK(interrupted > 20);
  CHECK(some > 5);
}
#endif
