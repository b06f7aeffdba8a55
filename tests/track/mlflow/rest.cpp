// The tracker that speaks to a server: everything arrives once, nothing waits for it, and what is
// not sent is kept and said.
#include "tsdl/track/mlflow/rest.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "track/mlflow/helpers.hpp"

namespace {

using namespace std::chrono_literals;
using test::contains;
using test::Fault;
using test::MLflowLoopback;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

constexpr std::int64_t noon = 1700000000123;

/// What a tracker told.
class Told {
 public:
  std::function<void(const std::string&)> listener() {
    return [this](const std::string& what) {
      const std::lock_guard lock(mutex_);
      told_.push_back(what);
    };
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> told_;
};

tsdl::MLflowServerOptions options_for(const std::string& uri, const fs::path& spool, Told& told) {
  return {.uri = uri,
          .spool = spool,
          .access = {},
          .first_retry = 1ms,
          .longest_retry = 4ms,
          .on_problem = told.listener(),
          .clock = [] { return noon; }};
}

void track_small_run(const tsdl::MLflowServerOptions& options, const TemporaryDirectory& directory,
                     tsdl::RunStatus status = tsdl::RunStatus::finished) {
  tsdl::MLflowServer tracker(options);
  tracker.start(test::small_run());
  test::log_small_run(tracker, directory);
  tracker.end(status);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string bytes_below(const fs::path& folder) {
  std::string bytes;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) bytes += test::read_bytes(entry.path());
  return bytes;
}

}  // namespace

TEST_CASE("MLflow tracker: a run arrives, each item once, and the spool goes") {
  const TemporaryDirectory directory;
  Told told;
  const MLflowLoopback server({.base = "/mlflow"});
  const auto options = options_for(server.uri() + "/", directory / "spool", told);
  tsdl::MLflowServer tracker(options);
  CHECK(tracker.location() == "");
  tracker.start(test::small_run());
  test::log_small_run(tracker, directory);
  tracker.end(tsdl::RunStatus::finished);
  const auto stored = server.stored();
  test::check_small_run(stored, noon);
  CHECK(stored.metrics_arrived == 2 * test::small_epochs);
  CHECK(tracker.location() == server.uri() + "/#/experiments/1/runs/" + stored.runs.at(0).id);
  CHECK_FALSE(fs::exists(directory / "spool"));
  CHECK(told.all().empty());
}

TEST_CASE("MLflow tracker: how a run ended is told, and further runs go into the experiment") {
  const TemporaryDirectory directory;
  Told told;
  const MLflowLoopback server;
  const auto options = options_for(server.uri(), directory / "spool", told);
  for (const auto& [status, name] : {std::pair{tsdl::RunStatus::failed, "FAILED"},
                                     {tsdl::RunStatus::killed, "KILLED"},
                                     {tsdl::RunStatus::finished, "FINISHED"}}) {
    track_small_run(options, directory, status);
    CHECK(server.stored().runs.back().status == name);
    CHECK(server.stored().runs.back().experiment_id == "1");
  }
  CHECK(server.stored().runs.size() == 3);
  CHECK(server.stored().models.at("direction").size() == 3);
  CHECK(told.all().empty());
}

TEST_CASE("MLflow tracker: a request that fails is repeated while the run lasts, and told once") {
  const TemporaryDirectory directory;
  for (const Fault fault :
       {Fault::unavailable, Fault::too_many, Fault::drop_before, Fault::drop_after})
    for (int at = 0; at < 14; ++at) {
      CAPTURE(static_cast<int>(fault));
      CAPTURE(at);
      Told told;
      MLflowLoopback server;
      server.set_fault([=](int n) { return n == at ? fault : Fault::none; });
      track_small_run(options_for(server.uri(), directory / "spool", told), directory);
      test::check_small_run(server.stored(), noon);
      CHECK_FALSE(fs::exists(directory / "spool"));
      REQUIRE(told.all().size() <= 1);
      for (const std::string& what : told.all()) CHECK(contains(what, "sent later"));
      if (at < 10) CHECK(told.all().size() == 1);
    }
}

TEST_CASE("MLflow tracker: a server that is busy for a while gets everything after it") {
  const TemporaryDirectory directory;
  Told told;
  MLflowLoopback server;
  server.set_fault([](int n) { return n < 40 ? Fault::unavailable : Fault::none; });
  track_small_run(options_for(server.uri(), directory / "spool", told), directory);
  test::check_small_run(server.stored(), noon);
  CHECK(told.all().size() == 1);
}

TEST_CASE("MLflow tracker: slow answers lose nothing, also when they come after the timeout") {
  const TemporaryDirectory directory;
  Told told;
  for (const Fault fault : {Fault::slow, Fault::slow_to_tell})
    for (const auto timeout : {10000ms, 40ms}) {
      MLflowLoopback server({.pause = 80ms});
      server.set_fault([&](int n) {
        // A version that is made after its sender has asked whether it is there is there twice.
        const bool version = server.stored().requests.back() == "POST model-versions/create";
        return n % 5 == 4 && !(version && fault == Fault::slow) ? fault : Fault::none;
      });
      auto options = options_for(server.uri(), directory / "spool", told);
      options.timeouts = {.read = timeout, .artifact = timeout};
      track_small_run(options, directory);
      CHECK(test::upload_all(directory / "spool", "", 20) == "");
      test::check_small_run(server.stored(), noon);
    }
}

TEST_CASE("MLflow tracker: a server that never answers makes no call wait") {
  const TemporaryDirectory directory;
  test::write_bytes(directory / "file", std::string(1000, 'f'));
  Told told;
  MLflowLoopback server;
  server.set_fault([](int) { return Fault::never; });
  auto options = options_for(server.uri(), directory / "spool", told);
  options.flush_timeout = 100ms;
  tsdl::MLflowServer tracker(options);
  const auto start = std::chrono::steady_clock::now();
  tracker.start(test::small_run());
  for (int call = 0; call < 1000; ++call) {
    const std::vector<tsdl::TrackedMetric> metrics = {{"loss", 1.0 / (call + 1), call}};
    tracker.log_metrics(metrics);
    const std::vector<tsdl::TrackedText> text = {{"k" + std::to_string(call % 7), "v"}};
    if (call % 10 == 0) tracker.log_params(text);
    if (call % 10 == 5) tracker.set_tags(text);
    if (call % 100 == 50) tracker.log_artifact(directory / "file", std::to_string(call));
  }
  CHECK(tracker.location() == "");
  CHECK(seconds_since(start) < 1);
  tracker.end(tsdl::RunStatus::finished);
  CHECK(seconds_since(start) < 4);

  const auto problems = told.all();
  REQUIRE(problems.size() == 1);
  const auto runs = tsdl::spooled_runs(directory / "spool");
  REQUIRE(runs.size() == 1);
  CHECK(contains(problems[0], runs[0].string()));
  CHECK(contains(problems[0], "track_upload"));
  server.set_fault([](int) { return Fault::none; });
  CHECK(test::upload_all(directory / "spool", "") == "");
  const auto stored = server.stored();
  REQUIRE(stored.runs.size() == 1);
  CHECK(stored.runs[0].metrics.size() == 1000);
  CHECK(stored.runs[0].params.size() == 2 + 7);
  CHECK(stored.runs[0].artifacts.size() == 10);
  CHECK(stored.runs[0].status == "FINISHED");
}

TEST_CASE("MLflow tracker: an absent server is told once, and end() does not wait for it") {
  const TemporaryDirectory directory;
  Told told;
  const std::string uri = MLflowLoopback().uri();
  tsdl::MLflowServer tracker(options_for(uri, directory / "spool", told));
  tracker.start(test::small_run());
  test::log_small_run(tracker, directory);
  while (told.all().empty()) std::this_thread::sleep_for(1ms);
  const auto start = std::chrono::steady_clock::now();
  tracker.end(tsdl::RunStatus::killed);
  CHECK(seconds_since(start) < 3);  // options.flush_timeout is 10
  const auto problems = told.all();
  REQUIRE(problems.size() == 2);
  CHECK(contains(problems[0], uri + ": GET experiments/get-by-name: no answer"));
  CHECK(contains(problems[1], " items are left in " + (directory / "spool").string()));
  const MLflowLoopback server;
  CHECK(test::upload_all(directory / "spool", server.uri()) == "");
  test::check_small_run(server.stored(), noon, "KILLED");
}

TEST_CASE("MLflow tracker: a host that takes no connection holds nobody up") {
  const TemporaryDirectory directory;
  Told told;
  // Nobody accepts, and the queue of those who wait is full: the next one gets no answer at all.
  const tsdl::internal::FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const auto name = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(listener.get(), name, size) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  REQUIRE(::getsockname(listener.get(), name, &size) == 0);
  std::vector<tsdl::internal::FileDescriptor> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(waiting.back().get(), name, size);
  }
  auto options = options_for("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)),
                             directory / "spool", told);
  options.flush_timeout = 100ms;
  const auto start = std::chrono::steady_clock::now();
  track_small_run(options, directory);
  CHECK(seconds_since(start) > 0.1);
  CHECK(seconds_since(start) < 2.5);  // sooner than the connection times out
  REQUIRE(told.all().size() == 1);
  CHECK(contains(told.all()[0], "left in " + (directory / "spool").string()));
  const auto run = tsdl::spooled_runs(directory / "spool").at(0);
  const auto busy = [&] {
    return contains(test::message_of<tsdl::SpoolBusy>([&] { tsdl::MLflowSpool::open(run); }),
                    "still running");
  };
  while (busy() && seconds_since(start) < 20) std::this_thread::sleep_for(20ms);
  CHECK(told.all().size() == 1);  // not even when the connection has timed out
  const MLflowLoopback server;
  CHECK(test::upload_all(directory / "spool", server.uri()) == "");
  test::check_small_run(server.stored(), noon);
}

TEST_CASE("MLflow tracker: what the server refuses is told with its words, and the rest arrives") {
  const TemporaryDirectory directory;
  {
    Told told;
    const MLflowLoopback server({.authorization = "Bearer other"});
    track_small_run(options_for(server.uri(), directory / "closed", told), directory);
    REQUIRE(told.all().size() == 2);
    CHECK(contains(told.all()[0], "401 UNAUTHENTICATED: You are not authenticated"));
    CHECK(contains(told.all()[1], "track_upload"));
    CHECK(server.stored().requests.size() == 1);
  }
  Told told;
  MLflowLoopback server({.artifacts = "s3://bucket/"});
  server.set_fault([&](int) {  // another process has set a parameter
    server.change([](test::Stored& all) {
      for (test::StoredRun& run : all.runs) run.params["other"] = "1";
    });
    return Fault::none;
  });
  tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool", told));
  tracker.start(test::small_run());
  const std::vector<tsdl::TrackedText> changed = {{"other", "2"}}, tag = {{"last", "yes"}};
  tracker.log_params(changed);
  test::write_bytes(directory / "file", "x");
  tracker.log_artifact(directory / "file");
  tracker.set_tags(tag);
  tracker.end(tsdl::RunStatus::finished);
  const auto run = server.stored().runs.at(0);
  CHECK(run.params.at("lr") == "0.001");
  CHECK(run.params.at("other") == "1");
  CHECK(run.tags.at("last") == "yes");
  CHECK(run.status == "FINISHED");
  REQUIRE(told.all().size() == 2);
  CHECK(contains(told.all()[0], "INVALID_PARAMETER_VALUE: Changing param values"));
  CHECK(contains(told.all()[1], "2 items are left in "));
}

TEST_CASE("MLflow tracker: credentials are never on disk nor in what is told") {
  const TemporaryDirectory directory;
  const tsdl::MLflowAccess basic = {.username = "alice", .password = "s3cret"},
                           bearer = {.token = "s3cret"};
  for (const auto& access : {basic, bearer}) {
    Told told;
    MLflowLoopback server({.authorization = "none fits"});
    auto options = options_for(server.uri(), directory / "spool", told);
    options.access = access;
    track_small_run(options, directory);
    const std::string bytes = bytes_below(directory / "spool");
    CHECK(contains(bytes, "train_loss"));
    for (const char* secret : {"s3cret", "alice", "YWxpY2U6czNjcmV0", "Authorization"}) {
      CHECK_FALSE(contains(bytes, secret));
      for (const std::string& what : told.all()) CHECK_FALSE(contains(what, secret));
    }
  }
}

TEST_CASE("MLflow tracker: the spool keeps a run that nobody ended") {
  const TemporaryDirectory directory;
  Told told;
  const MLflowLoopback server;
  {
    tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool", told));
    tracker.start(test::small_run());
    test::log_small_run(tracker, directory);
  }
  CHECK(told.all().size() == 1);
  CHECK(test::upload_all(directory / "spool", "") == "");
  test::check_small_run(server.stored(), noon, "KILLED");
}

TEST_CASE("MLflow tracker: what cannot be tracked is refused where it is logged") {
  const TemporaryDirectory directory;
  Told told;
  const MLflowLoopback server;
  const auto options = options_for(server.uri(), directory / "spool", told);
  CHECK(contains(test::message_of<tsdl::Error>(
                     [] { tsdl::MLflowServer({.uri = "mlruns", .spool = "x", .access = {}}); }),
                 "is not an address"));
  CHECK(contains(test::message_of<tsdl::Error>(
                     [] { tsdl::MLflowServer({.uri = "http://host", .spool = "", .access = {}}); }),
                 "no spool folder"));
  tsdl::MLflowServer tracker(options);
  const std::vector<tsdl::TrackedMetric> metrics = {{"a", 1, 1}};
  CHECK(contains(test::message_of<tsdl::Error>([&] { tracker.log_metrics(metrics); }),
                 "no run has been started"));
  CHECK_THROWS_AS(tracker.end(tsdl::RunStatus::finished), tsdl::Error);
  tsdl::RunInfo wrong = test::small_run();
  wrong.experiment = "";
  CHECK_THROWS_AS(tracker.start(wrong), tsdl::DataError);
  wrong = test::small_run();
  wrong.params.push_back({"../escape", "x"});
  CHECK_THROWS_AS(tracker.start(wrong), tsdl::DataError);
  tracker.start(test::small_run());
  CHECK_THROWS_AS(tracker.start(test::small_run()), tsdl::Error);
  for (const std::string key :
       {"", "a\nb", "..", "a/../b", "/a", "a/", "a//b", "caf\xc3\xa9", "a*b", "./a", "a:b"}) {
    CAPTURE(key);
    const std::vector<tsdl::TrackedText> text = {{key, "v"}};
    const std::vector<tsdl::TrackedMetric> metric = {{key, 1, 1}};
    CHECK_THROWS_AS(tracker.log_params(text), tsdl::DataError);
    CHECK_THROWS_AS(tracker.set_tags(text), tsdl::DataError);
    CHECK_THROWS_AS(tracker.log_metrics(metric), tsdl::DataError);
  }
  for (const std::string& value : {std::string("\xff"), std::string(5001, 'x')}) {
    const std::vector<tsdl::TrackedText> text = {{"a", value}};
    CHECK_THROWS_AS(tracker.log_params(text), tsdl::DataError);
    CHECK_THROWS_AS(tracker.set_tags(text), tsdl::DataError);
  }
  const std::vector<tsdl::TrackedText> fine = {{"a b/c d_e-f.g", std::string("\0\n\"", 3)},
                                               {std::string(250, 'k'), "v"}};
  tracker.log_params(fine);
  CHECK(contains(test::message_of<tsdl::Error>([&] { tracker.log_artifact(directory / "none"); }),
                 "none: cannot be copied"));
  test::write_bytes(directory / "file", "x");
  CHECK_THROWS_AS(tracker.log_artifact(directory / "file", ".."), tsdl::DataError);
  CHECK_THROWS_AS(tracker.log_artifact(directory / "file", "a//b"), tsdl::DataError);
  CHECK_THROWS_AS(tracker.register_model("", "file"), tsdl::DataError);
  CHECK_THROWS_AS(tracker.register_model("m", "../file"), tsdl::DataError);
  tracker.end(tsdl::RunStatus::finished);
  CHECK_THROWS_AS(tracker.log_metrics(metrics), tsdl::Error);
  CHECK_THROWS_AS(tracker.end(tsdl::RunStatus::finished), tsdl::Error);
  CHECK(told.all().empty());
  CHECK(server.stored().runs.at(0).params.size() == 2 + 2);
  CHECK(server.stored().runs.at(0).metrics.empty());

  test::write_bytes(directory / "in the way", "x");
  tsdl::MLflowServer blocked(options_for(server.uri(), directory / "in the way", told));
  CHECK_THROWS_AS(blocked.start(test::small_run()), tsdl::Error);
}

#ifndef TSDL_TEST_NO_FORK
TEST_CASE("MLflow tracker: a full disk is told, and stops nothing") {
  const TemporaryDirectory directory;
  const MLflowLoopback server;
  const int status = test::status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    Told told;
    tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool", told));
    tracker.start(test::small_run());
    while (!contains(bytes_below(directory / "spool"), "{\"sent\""))
      std::this_thread::sleep_for(1ms);
    const rlimit small = {2000, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const std::vector<tsdl::TrackedText> tag = {{"big", std::string(5000, 'x')}};
    tracker.set_tags(tag);
    while (told.all().empty()) std::this_thread::sleep_for(1ms);
    ::setrlimit(RLIMIT_FSIZE, &none);  // and there is room again
    tracker.end(tsdl::RunStatus::finished);
    return told.all().size() == 1 && contains(told.all()[0], "cannot be written") ? 7 : 8;
  });
  CHECK(status == 7);
  CHECK(server.stored().runs.at(0).tags.at("big").size() == 5000);
  CHECK_FALSE(fs::exists(directory / "spool"));
}
#endif
