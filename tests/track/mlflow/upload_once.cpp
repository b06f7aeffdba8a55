// Each item once, also on a folder store, which appends every batch that it is sent; and a server
// that has lost the run gets all of it again.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "track/mlflow/helpers.hpp"
#include "tsdl/track/mlflow/upload.hpp"

namespace {

using namespace std::chrono_literals;
using test::contains;
using test::Fault;
using test::Json;
using test::MLflowLoopback;
using test::Stored;
using test::TemporaryDirectory;
using tsdl::MLflowSpool;
using tsdl::MLflowUpload;
namespace fs = std::filesystem;

constexpr std::int64_t noon = 1700000000123;
constexpr int epochs = 150;
const std::vector<std::string> keys = {"train_loss", "validation/loss", "odd", "lr"};

double value_of(const std::string& key, int epoch) {
  if (key == "lr") return epoch < 70 ? 0.001 : 1e-300;
  if (key != "odd") return (key == "train_loss" ? 1.0 : -0.1) / (epoch + 3);
  if (epoch % 3 == 0) return std::nan("");
  return (epoch % 3 == 1 ? 1 : -1) * std::numeric_limits<double>::infinity();
}

std::string json_of(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  return std::isinf(value) ? value > 0 ? "\"Infinity\"" : "\"-Infinity\"" : Json(value).dump();
}

tsdl::RunInfo long_run() {
  return {.experiment = "trial & error",
          .name = "long",
          .params = {{"lr", "0.001"}, {"hidden", "32"}},
          .tags = {{"stage", "training"}}};
}

/// All epochs of a run, with pauses, so that they are sent in many batches.
void log_long_run(tsdl::Tracker& tracker, const TemporaryDirectory& directory) {
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    std::vector<tsdl::TrackedMetric> metrics;
    for (const std::string& key : keys) metrics.push_back({key, value_of(key, epoch), epoch});
    tracker.log_metrics(metrics);
    if (epoch % 50 == 0) {
      const std::string name = std::to_string(epoch);
      test::write_bytes(directory / "state", "state of " + name);
      tracker.log_artifact(directory / "state", "states/" + name);
      tracker.log_params(std::vector<tsdl::TrackedText>{{"seen " + name, name}});
    }
    std::this_thread::sleep_for(1ms);
  }
  tracker.set_tags(std::vector<tsdl::TrackedText>{{"stage", "trained"}});
  test::write_bytes(directory / "best.bin", "weights");
  tracker.log_artifact(directory / "best.bin", "model");
  tracker.register_model("direction", "model/best.bin");
}

/// Checks that the one run of the server has each item of log_long_run() once.
void check_long_run(const Stored& stored, const std::string& status = "FINISHED") {
  const auto runs = stored.active();
  REQUIRE(runs.size() == 1);
  const test::StoredRun& run = runs[0];
  std::map<std::tuple<std::string, std::int64_t, std::string>, int> times;
  for (const auto& metric : run.metrics) ++times[{metric.key, metric.step, metric.value}];
  CHECK(run.metrics.size() == keys.size() * epochs);
  CHECK(times.size() == keys.size() * epochs);
  for (const std::string& key : keys)
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      CAPTURE(key);
      CAPTURE(epoch);
      CHECK(times[{key, epoch, json_of(value_of(key, epoch))}] == 1);
    }
  CHECK(run.params == std::map<std::string, std::string>{{"lr", "0.001"},
                                                         {"hidden", "32"},
                                                         {"seen 50", "50"},
                                                         {"seen 100", "100"},
                                                         {"seen 150", "150"}});
  CHECK(run.tags.at("stage") == "trained");
  CHECK(run.name == "long");
  CHECK(run.status == status);
  for (const std::string epoch : {"50", "100", "150"})
    CHECK(run.artifacts.at("states/" + epoch + "/state") == "state of " + epoch);
  CHECK(run.artifacts.at("model/best.bin") == "weights");
  CHECK(run.artifacts.contains("model/MLmodel"));
  CHECK(run.artifacts.size() == 5);
  REQUIRE(stored.models.contains("direction"));
  CHECK(stored.models.at("direction").size() == 1);
}

tsdl::MLflowServerOptions options_for(const std::string& uri, const fs::path& spool) {
  return {.uri = uri,
          .spool = spool,
          .access = {},
          .gather = 1ms,
          .first_retry = 1ms,
          .longest_retry = 4ms,
          .clock = [] { return noon; }};
}

/// Loses the answers of 40% of all requests, which are carried out.
std::function<Fault(int)> lost_answers(unsigned seed) {
  return [seed](int n) {
    return std::mt19937(seed * 100003 + static_cast<unsigned>(n))() % 10 < 4 ? Fault::drop_after
                                                                             : Fault::none;
  };
}

/// The run of a spool, ended.
MLflowSpool make_spool(const fs::path& root, const std::string& uri, const std::string& lines) {
  MLflowSpool spool = MLflowSpool::create(root, {uri, "trial", "r", 5});
  spool.append(lines + MLflowSpool::end_line("FINISHED", 9));
  return spool;
}

std::string metrics(const std::string& key, int from, int to) {
  std::string lines;
  for (int i = from; i < to; ++i) lines += MLflowSpool::metric_line(key, 1.0 / (i + 1), 7, i);
  return lines;
}

/// How often the server is asked for a history.
std::size_t questions(const Stored& stored) {
  std::size_t number = 0;
  for (const std::string& request : stored.requests) number += request == "GET metrics/get-history";
  return number;
}

/// Sends all, trying each request often. Returns whether the server has everything.
bool send_all(MLflowUpload& upload) {
  for (int tries = 0; tries < 1000;) try {
      if (!upload.step()) return upload.complete();
    } catch (const tsdl::MLflowError& error) {
      if (!error.is_transient()) throw;
      ++tries;
    }
  return false;
}

}  // namespace

TEST_CASE("MLflow upload: all items once, though 40% of all answers are lost") {
  const TemporaryDirectory directory;
  std::size_t requests = 0, asked = 0;
  for (const bool folder_store : {true, false})
    for (unsigned seed = 1; seed <= 3; ++seed) {
      CAPTURE(folder_store);
      CAPTURE(seed);
      MLflowLoopback server({.folder_store = folder_store, .page = 100});
      server.set_fault(lost_answers(seed));
      {
        tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
        tracker.start(long_run());
        log_long_run(tracker, directory);
        tracker.end(tsdl::RunStatus::finished);
      }
      CHECK(test::upload_all(directory / "spool", "", 1000) == "");  // what end() left
      check_long_run(server.stored());
      CHECK_FALSE(fs::exists(directory / "spool"));
      requests += server.stored().requests.size();
      asked += questions(server.stored());
    }
  CHECK(requests > 150);
  CHECK(asked > 10);
}

TEST_CASE("MLflow upload: a folder store has each item once, whichever request fails and however") {
  const TemporaryDirectory directory;
  const fs::path kept = directory / "kept", spool = directory / "spool";
  {
    auto options = options_for(MLflowLoopback().uri(), kept);
    options.flush_timeout = 0ms;
    tsdl::MLflowServer tracker(options);
    tracker.start(test::small_run());
    test::log_small_run(tracker, directory);
    tracker.end(tsdl::RunStatus::finished);
  }
  for (const Fault fault : {Fault::unavailable, Fault::drop_before, Fault::drop_after})
    for (int at = 0; at < 14; ++at) {
      CAPTURE(static_cast<int>(fault));
      CAPTURE(at);
      fs::copy(kept, spool, fs::copy_options::recursive);
      MLflowLoopback server({.folder_store = true});
      server.set_fault([=](int n) { return n == at ? fault : Fault::none; });
      CHECK(test::upload_all(spool, server.uri(), 2) == "");
      test::check_small_run(server.stored(), noon);
    }
  // The same spool again, as if nothing of it were known: the server holds what it held.
  MLflowLoopback server({.folder_store = true});
  for (int time = 0; time < 2; ++time) {
    fs::copy(kept, spool, fs::copy_options::recursive);
    CHECK(test::upload_all(spool, server.uri()) == "");
    test::check_small_run(server.stored(), noon);
  }
}

TEST_CASE("MLflow upload: what was sent is asked for when that is not known, and only then") {
  const TemporaryDirectory directory;
  MLflowLoopback server({.folder_store = true, .page = 300});
  MLflowSpool spool =
      make_spool(directory / "spool", server.uri(), metrics("a", 0, 1500) + metrics("b", 0, 1500));
  tsdl::MLflowClient client(server.uri());
  {
    MLflowUpload upload(spool, client);
    CHECK(send_all(upload));
    CHECK(questions(server.stored()) == 0);
    CHECK(upload.taken() == 3001);
  }
  // Half of the second batch was stored before its answer was lost, and more is to be sent now.
  MLflowSpool other =
      make_spool(directory / "other", server.uri(), metrics("a", 0, 1500) + metrics("b", 0, 1500));
  MLflowUpload upload(other, client);
  server.set_fault([](int n) { return n == 4 ? Fault::drop_after : Fault::none; });
  for (int step = 0; step < 2; ++step) CHECK(upload.step());
  CHECK_THROWS_AS(upload.step(), tsdl::MLflowError);
  server.change([](Stored& stored) {
    CHECK(stored.runs.at(1).metrics.size() == 2000);
    stored.runs.at(1).metrics.resize(1250);
  });
  const auto before = questions(server.stored());
  CHECK(send_all(upload));
  CHECK(questions(server.stored()) == before + 2);  // once a key
  auto one = server.stored().runs.at(0).metrics, two = server.stored().runs.at(1).metrics;
  CHECK(two.size() == 3000);
  std::sort(one.begin(), one.end());
  std::sort(two.begin(), two.end());
  CHECK((one == two));
}

TEST_CASE("MLflow upload: the same metric twice in a batch is one") {
  const TemporaryDirectory directory;
  for (const bool folder_store : {true, false}) {
    const MLflowLoopback server({.folder_store = folder_store});
    std::string lines;
    for (int time = 0; time < 2; ++time)
      for (const double value : {1.0, std::nan(""), -0.0, 0.1 + 0.2})
        for (const std::string key : {"a", "a/b"}) {
          if (folder_store && key == "a/b") continue;
          for (const int step : {0, 1}) lines += MLflowSpool::metric_line(key, value, 7, step);
        }
    MLflowSpool spool = make_spool(directory / "spool", server.uri(), lines);
    tsdl::MLflowClient client(server.uri());
    MLflowUpload upload(spool, client);
    CHECK(send_all(upload));
    CHECK(server.stored().runs.at(0).metrics.size() == (folder_store ? 8 : 16));
    CHECK(server.stored().metrics_arrived == (folder_store ? 8 : 16));
  }
}

TEST_CASE("MLflow upload: a history that cannot be had") {
  const TemporaryDirectory directory;
  const std::string lines = metrics("a", 0, 20);
  for (const bool folder_store : {true, false}) {
    MLflowLoopback server({.folder_store = folder_store});
    MLflowSpool spool = make_spool(directory / "spool", server.uri(), lines);
    tsdl::MLflowClient client(server.uri());
    MLflowUpload upload(spool, client);
    // The answer to the batch is lost, then the history fails for a while: it is asked for again.
    server.set_fault([](int n) {
      return n == 4 ? Fault::drop_after : n > 4 && n < 9 ? Fault::unavailable : Fault::none;
    });
    CHECK(send_all(upload));
    CHECK(server.stored().runs.at(0).metrics.size() == 20);
    CHECK(questions(server.stored()) == 5);
  }
  // A server of another kind has none. It gets everything, rather than nothing.
  for (const int history : {404, 501, 403}) {
    CAPTURE(history);
    const bool sent = history != 403;
    httplib::Server other;
    const auto give = [](auto& response, const char* json, int code = 200) {
      response.status = code;
      response.set_content(json, "application/json");
    };
    int batches = 0;
    other.Get("/api/2.0/mlflow/metrics/get-history",
              [&](const auto&, auto& response) { give(response, "{}", history); });
    other.Get("/api/2.0/mlflow/experiments/get-by-name", [&](const auto&, auto& response) {
      give(response, R"({"experiment": {"experiment_id": "1"}})");
    });
    other.Post("/api/2.0/mlflow/(.*)", [&](const auto& request, auto& response) {
      if (request.matches[1] != "runs/log-batch")
        return give(response, R"({"runs": [{"info": {"run_id": "r", "experiment_id": "1",
                                  "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}}]})");
      give(response, "{}", ++batches == 1 ? 503 : 200);
    });
    const int port = other.bind_to_any_port("127.0.0.1");
    std::thread thread([&] { other.listen_after_bind(); });
    const std::string uri = "http://127.0.0.1:" + std::to_string(port);
    MLflowSpool spool = make_spool(directory / "spool", uri, lines);
    tsdl::MLflowClient client(uri);
    MLflowUpload upload(spool, client);
    if (sent)
      CHECK(send_all(upload));
    else
      CHECK(contains(test::message_of<tsdl::MLflowError>([&] { send_all(upload); }),
                     "GET metrics/get-history: 403"));
    CHECK(batches == (sent ? 2 : 0));
    other.stop();
    thread.join();
  }
}

TEST_CASE(
    "MLflow upload: an item that a folder store refuses in mid-batch does not repeat others") {
  const TemporaryDirectory directory;
  MLflowLoopback server({.folder_store = true});
  std::string lines = MLflowSpool::text_line("param", "lr", "1") + metrics("loss", 0, 40) +
                      metrics("loss/part", 0, 1) + metrics("other", 0, 40);
  lines += MLflowSpool::text_line("tag", "t", "v") + MLflowSpool::end_line("FAILED", 9);
  lines += metrics("late", 0, 3) + MLflowSpool::text_line("param", "lr", "2");
  MLflowSpool spool = make_spool(directory / "spool", server.uri(), lines);
  tsdl::MLflowClient client(server.uri());
  MLflowUpload upload(spool, client);
  CHECK_FALSE(send_all(upload));
  CHECK(spool.progress().refused.size() == 2);
  std::string why;
  for (const auto& [item, text] : spool.progress().refused) why += text + "\n";
  CHECK(contains(why, "500 INTERNAL_ERROR: [Errno 20] Not a directory: loss/part"));
  CHECK(contains(why, "500 INTERNAL_ERROR: Changing param values is not allowed"));
  const auto run = server.stored().runs.at(0);
  CHECK(run.metrics.size() == 83);
  CHECK(run.params.at("lr") == "1");
  CHECK(run.tags.at("t") == "v");
  CHECK(run.status == "FINISHED");
}

TEST_CASE("MLflow upload: a server that has lost the run gets all of it again") {
  const TemporaryDirectory directory;
  for (const bool folder_store : {true, false})
    for (const int moment : {0, 30, 80, 149}) {
      CAPTURE(folder_store);
      CAPTURE(moment);
      MLflowLoopback server({.folder_store = folder_store});
      std::string message, before;
      auto options = options_for(server.uri(), directory / "spool");
      options.on_problem = [&](const std::string& what) { message += what; };
      tsdl::MLflowServer tracker(options);
      tracker.start(long_run());
      while (tracker.location().empty()) std::this_thread::sleep_for(1ms);
      before = tracker.location();
      for (int i = 0; i < moment; ++i) {
        tracker.log_metrics(std::vector<tsdl::TrackedMetric>{{"before", 1.0, i}});
        std::this_thread::sleep_for(100us);
      }
      server.change([](Stored& stored) {
        stored = Stored();
        stored.runs.resize(1);
        stored.runs[0].id = "another";
      });
      log_long_run(tracker, directory);
      tracker.end(tsdl::RunStatus::finished);
      Stored stored = server.stored();
      REQUIRE(stored.runs.size() == 2);
      stored.runs.erase(stored.runs.begin());
      CHECK(std::erase_if(stored.runs[0].metrics, [](const auto& metric) {
              return metric.key == "before";
            }) == static_cast<std::size_t>(moment));
      check_long_run(stored);
      CHECK(message.empty());
      CHECK(tracker.location() != before);
      CHECK(tracker.location().ends_with(stored.runs[0].id));
      CHECK_FALSE(fs::exists(directory / "spool"));
    }
}

TEST_CASE("MLflow upload: a lost run is found by its key, and not made again and again") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  MLflowSpool spool = make_spool(directory / "spool", server.uri(), metrics("a", 0, 2000));
  tsdl::MLflowClient client(server.uri());
  MLflowUpload upload(spool, client);
  for (int step = 0; step < 2; ++step) CHECK(upload.step());
  // A backup from before the run had its id here: the same run under another id.
  server.change([](Stored& stored) {
    stored.runs[0].id = "restored";
    stored.runs[0].metrics.resize(300);
  });
  CHECK(send_all(upload));
  REQUIRE(server.stored().runs.size() == 1);
  CHECK(server.stored().runs[0].metrics.size() == 2000);
  CHECK(spool.progress().run.run_id == "restored");

  // Where every run is lost at once, it ends.
  MLflowSpool again = make_spool(directory / "again", server.uri(), metrics("a", 0, 20));
  MLflowUpload hopeless(again, client);
  CHECK(hopeless.step());
  server.set_fault([&](int) {
    server.change([](Stored& stored) { stored.runs.clear(); });
    return Fault::none;
  });
  CHECK(contains(test::message_of<tsdl::MLflowError>([&] { send_all(hopeless); }),
                 "404 RESOURCE_DOES_NOT_EXIST"));
  CHECK(server.stored().requests.size() < 40);
}

TEST_CASE("MLflow upload: an experiment that is deleted on the server is not used") {
  const TemporaryDirectory directory;
  for (const bool folder_store : {true, false}) {
    MLflowLoopback server({.folder_store = folder_store});
    server.change([](Stored& stored) {
      stored.experiments["trial"] = "7";
      stored.deleted.insert("trial");
    });
    MLflowSpool spool = make_spool(directory / "spool", server.uri(), metrics("a", 0, 2));
    tsdl::MLflowClient client(server.uri());
    MLflowUpload upload(spool, client);
    const auto message = test::message_of<tsdl::MLflowError>([&] { upload.step(); });
    CHECK(contains(message, "deleted"));
    CHECK(contains(message, "trial"));
    CHECK(server.stored().runs.empty());
  }
}

#ifndef TSDL_TEST_NO_FORK
TEST_CASE("MLflow upload: after kill -9 at any moment a folder store has each item once") {
  const TemporaryDirectory directory;
  int some = 0;
  for (int moment = 0; moment < 25; ++moment) {
    CAPTURE(moment);
    const fs::path spool = directory / ("spool" + std::to_string(moment));
    MLflowLoopback server({.folder_store = true});
    server.set_fault(lost_answers(static_cast<unsigned>(moment)));
    const pid_t child = ::fork();
    if (child == 0) {
      tsdl::MLflowServer tracker({.uri = server.uri(),
                                  .spool = spool,
                                  .access = {},
                                  .gather = 0ms,
                                  .first_retry = 1ms,
                                  .longest_retry = 1ms});
      tracker.start(long_run());
      for (int step = 0;; ++step) {
        tracker.log_metrics(std::vector<tsdl::TrackedMetric>{{"loss", 1.0 / (step + 1), step}});
        std::this_thread::sleep_for(50us);
      }
    }
    std::this_thread::sleep_for(4ms * moment);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::this_thread::sleep_for(20ms);  // what was under way arrives
    CHECK(test::upload_all(spool, "", 1000) == "");
    CHECK(server.stored().active().size() <= 1);
    for (const auto& run : server.stored().active()) {
      some += run.metrics.size() > 20;
      for (std::size_t i = 0; i < run.metrics.size(); ++i)
        CHECK(run.metrics[i].step == static_cast<std::int64_t>(i));
    }
  }
  CHECK(some > 3);
}
#endif
