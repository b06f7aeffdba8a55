// The client of MLflow's REST API: what it asks, and what it makes of every kind of answer.
#include "tsdl/track/mlflow/client.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "support/files.hpp"
#include "support/mlflow_server.hpp"

namespace {

using namespace std::chrono_literals;
using test::contains;
using test::Fault;
using test::Json;
using test::MLflowLoopback;
using test::TemporaryDirectory;
using tsdl::MLflowClient;
using tsdl::MLflowError;

const Json no_items = Json::array();

Json run_tag(const std::string& value) {
  return Json::array({Json{{"key", "tsdl.run_key"}, {"value", value}}});
}

tsdl::MLflowRun make_run(MLflowClient& client, const std::string& key = "k1") {
  return client.create_run(client.experiment_id("trial"), "a run", 1000, run_tag(key));
}

/// The MLflowError that `action` throws.
template <class Action>
MLflowError error_of(const Action& action) {
  try {
    action();
  } catch (const MLflowError& error) {
    return error;
  }
  FAIL("no MLflowError");
  return {0, {}, false, {}};
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("MLflow client: an address is http or https, a host, perhaps a port and a path") {
  for (const char* uri : {"http://localhost", "http://127.0.0.1:5000", "http://[::1]:5000/",
                          "http://host:5000/mlflow", "http://host:5000/a/b//"})
    CHECK_NOTHROW(MLflowClient{uri});
  CHECK(MLflowClient("http://host:5000/a/").uri() == "http://host:5000/a");
  for (const char* uri : {"", "localhost:5000", "ftp://host", "http://", "http:///path",
                          "http://host/?x=1", "http://host#here", "http://a b"})
    CHECK(contains(test::message_of<tsdl::Error>([&] { MLflowClient{uri}; }), "MLflow: "));
  const std::string message =
      test::message_of<tsdl::Error>([] { MLflowClient("http://me:s3cret@host:5000"); });
  CHECK(contains(message, "MLFLOW_TRACKING_PASSWORD"));
  CHECK_FALSE(contains(message, "s3cret"));
#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
  CHECK_NOTHROW(MLflowClient{"https://host"});
#else
  CHECK(contains(test::message_of<tsdl::Error>([] { MLflowClient{"https://host"}; }), "OpenSSL"));
#endif
}

TEST_CASE("MLflow client: an experiment is found by its name, or made") {
  MLflowLoopback server;
  MLflowClient client(server.uri());
  CHECK(client.experiment_id("Default") == "0");
  const std::string name = "S&P 500, 50% up? caf\xc3\xa9 #1+1";
  const std::string id = client.experiment_id(name);
  CHECK(client.experiment_id(name) == id);
  CHECK(server.stored().experiments.at(name) == id);
  CHECK(server.stored().requests.size() == 4);

  // Another process makes it between the question and the request.
  server.set_fault([&](int n) {
    if (n == 1) server.change([](test::Stored& stored) { stored.experiments["shared"] = "77"; });
    return Fault::none;
  });
  CHECK(client.experiment_id("shared") == "77");
}

TEST_CASE("MLflow client: runs are found by their tag, and only those") {
  MLflowLoopback server({.base = "/some/where"});
  MLflowClient client(server.uri() + "/");
  const tsdl::MLflowRun run = make_run(client, "k1");
  CHECK(run.experiment_id == "1");
  CHECK(run.artifact_uri == "mlflow-artifacts:/1/" + run.run_id + "/artifacts");
  make_run(client, "k2");
  const auto found = client.runs_with_tag("1", "tsdl.run_key", "k1");
  REQUIRE(found.size() == 1);
  CHECK(found[0].run_id == run.run_id);
  CHECK(found[0].artifact_uri == run.artifact_uri);
  CHECK(client.runs_with_tag("0", "tsdl.run_key", "k1").empty());
  client.delete_run(run.run_id);
  CHECK(client.runs_with_tag("1", "tsdl.run_key", "k1").empty());
  CHECK(server.stored().runs.at(0).name == "a run");
  CHECK(server.stored().runs.at(0).start_time == 1000);
}

TEST_CASE("MLflow client: an error tells the server's code and message, and whether to try again") {
  MLflowLoopback server;
  MLflowClient client(server.uri());
  const MLflowError unknown =
      error_of([&] { client.log_batch("nobody", no_items, no_items, no_items); });
  CHECK(unknown.status() == 404);
  CHECK(unknown.code() == "RESOURCE_DOES_NOT_EXIST");
  CHECK_FALSE(unknown.is_transient());
  CHECK(std::string(unknown.what()) == server.uri() +
                                           ": POST runs/log-batch: 404 RESOURCE_DOES_NOT_EXIST: "
                                           "Run with id=nobody not found");

  const auto with = [&](Fault fault) {
    server.set_fault([fault](int) { return fault; });
    return error_of([&] { client.experiment_id("Default"); });
  };
  CHECK(with(Fault::unavailable).status() == 503);
  CHECK(with(Fault::unavailable).is_transient());
  CHECK(with(Fault::too_many).status() == 429);
  CHECK(with(Fault::too_many).is_transient());
  CHECK(with(Fault::drop_before).status() == 0);
  CHECK(with(Fault::drop_before).is_transient());
  CHECK(with(Fault::drop_after).is_transient());
  CHECK(contains(with(Fault::drop_after).what(), "no answer"));

  std::string gone;
  {
    const MLflowLoopback other;
    gone = other.uri();
  }
  MLflowClient nowhere(gone);
  const MLflowError away = error_of([&] { nowhere.experiment_id("Default"); });
  CHECK(away.status() == 0);
  CHECK(away.is_transient());
}

TEST_CASE("MLflow client: answers of other servers are not taken for MLflow's") {
  httplib::Server other;
  std::string body = "<html>Please log in</html>";
  int status = 200;
  other.Get(".*", [&](const auto&, auto& response) {
    response.status = status;
    response.set_content(body, "text/html");
  });
  const int port = other.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { other.listen_after_bind(); });
  MLflowClient client("http://127.0.0.1:" + std::to_string(port));
  const auto error = [&] { return error_of([&] { client.experiment_id("x"); }); };
  CHECK(contains(error().what(), "is this an MLflow server?"));
  CHECK_FALSE(error().is_transient());
  for (const char* json : {"[]", "{}", "{\"experiment\": 3}", "{\"experiment\": {}}",
                           "{\"experiment\": {\"experiment_id\": 0}}", ""}) {
    body = json;
    CHECK(contains(error().what(), "is this an MLflow server?"));
    CHECK_FALSE(error().is_transient());
  }
  status = 404;
  body = "line one\nline two" + std::string(1000, 'x');
  CHECK(error().status() == 404);
  CHECK(contains(error().what(), "404: line one line two"));
  CHECK(std::string(error().what()).size() < 450);
  status = 503;
  body = "disabled: run `mlflow server` with `--serve-artifacts`";
  CHECK_FALSE(error().is_transient());
  status = 301;
  CHECK_FALSE(error().is_transient());
  other.stop();
  thread.join();
}

TEST_CASE("MLflow client: credentials go into the header and nowhere else") {
  const auto status_with = [](const std::string& demanded, const tsdl::MLflowAccess& access) {
    MLflowLoopback server({.authorization = demanded});
    MLflowClient client(server.uri(), access);
    try {
      client.experiment_id("Default");
    } catch (const MLflowError& error) {
      CHECK_FALSE(contains(error.what(), "s3cret"));
      CHECK_FALSE(error.is_transient());
      return error.status();
    }
    return 200;
  };
  const std::string basic = "Basic YWxpY2U6czNjcmV0";  // alice:s3cret
  CHECK(status_with(basic, {.username = "alice", .password = "s3cret"}) == 200);
  CHECK(status_with(basic, {.username = "alice", .password = "s3cret2"}) == 401);
  CHECK(status_with(basic, {}) == 401);
  CHECK(status_with("Bearer s3cret", {.token = "s3cret"}) == 200);
  CHECK(status_with("Bearer s3cret", {.username = "a", .password = "b", .token = "s3cret"}) == 200);
  CHECK(contains(test::message_of<tsdl::Error>(
                     [] { MLflowClient("http://host", {.token = "s3cret\r\nX: y"}); }),
                 "line break"));
}

TEST_CASE("MLflow client: credentials come from MLflow's variables") {
  ::setenv("MLFLOW_TRACKING_USERNAME", "alice", 1);
  ::setenv("MLFLOW_TRACKING_PASSWORD", "s3cret", 1);
  ::setenv("MLFLOW_TRACKING_TOKEN", "t", 1);
  const auto access = tsdl::MLflowAccess::from_environment();
  for (const char* name :
       {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"})
    ::unsetenv(name);
  CHECK(access.username == "alice");
  CHECK(access.password == "s3cret");
  CHECK(access.token == "t");
  CHECK(tsdl::MLflowAccess::from_environment().username.empty());
}

TEST_CASE("MLflow client: a server that does not answer is left after the timeout, or at stop()") {
  MLflowLoopback server;
  server.set_fault([](int) { return Fault::never; });
  MLflowClient hasty(server.uri(), {}, {.read = 100ms});
  auto start = std::chrono::steady_clock::now();
  CHECK(error_of([&] { hasty.experiment_id("Default"); }).is_transient());
  CHECK(seconds_since(start) > 0.05);
  CHECK(seconds_since(start) < 5);

  MLflowClient patient(server.uri(), {}, {.read = 60s});
  start = std::chrono::steady_clock::now();
  std::thread other([&] {
    while (server.stored().requests.size() < 2) std::this_thread::sleep_for(1ms);
    patient.stop();
  });
  CHECK(error_of([&] { patient.experiment_id("Default"); }).status() == 0);
  other.join();
  CHECK(error_of([&] { patient.experiment_id("Default"); }).status() == 0);
  CHECK(seconds_since(start) < 10);
  CHECK(server.stored().requests.size() == 2);
}

TEST_CASE("MLflow client: files arrive byte for byte, under any name") {
  const TemporaryDirectory directory;
  MLflowLoopback server({.base = "/base"});
  MLflowClient client(server.uri());
  const auto run = make_run(client);
  std::string large;
  for (int i = 0; i < 3000000; ++i) large += static_cast<char>(i * 7 % 256);
  const std::vector<std::pair<std::string, std::string>> files = {
      {"empty", ""},
      {"zero.bin", std::string("\0\r\n\0", 4)},
      {"model/deep/large.safetensors", large},
      {"caf\xc3\xa9 100%41 a+b&c=d;e'f #1?.txt", "odd name"}};
  for (const auto& [path, bytes] : files) {
    test::write_bytes(directory / "file", bytes);
    client.put_artifact(run, path, directory / "file");
  }
  const auto stored = server.stored().runs.at(0).artifacts;
  CHECK(stored.size() == files.size());
  for (const auto& [path, bytes] : files) {
    REQUIRE(stored.contains(path));
    CHECK((stored.at(path) == bytes));
  }
}

TEST_CASE("MLflow client: where files cannot be sent, it says why") {
  const TemporaryDirectory directory;
  test::write_bytes(directory / "file", "x");
  {
    MLflowLoopback server({.artifacts = "s3://bucket/"});
    MLflowClient client(server.uri());
    const auto run = make_run(client);
    const auto error = error_of([&] { client.put_artifact(run, "a", directory / "file"); });
    CHECK(contains(error.what(), "s3://bucket/1/"));
    CHECK_FALSE(error.is_transient());
  }
  MLflowLoopback server({.artifacts = "mlflow-artifacts://artifacts.example:5000/"});
  MLflowClient client(server.uri());
  const auto run = make_run(client);
  client.put_artifact(run, "a", directory / "file");
  CHECK(server.stored().runs.at(0).artifacts.at("a") == "x");
  CHECK(contains(error_of([&] { client.put_artifact(run, "b", directory / "none"); }).what(),
                 "cannot be read"));
}

TEST_CASE("MLflow client: a write to a closed connection ends nothing while a request is made") {
  const auto write_to_nobody = [] {
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0) return 0;
    ::close(ends[0]);
    const bool broken = ::write(ends[1], "x", 1) < 0 && errno == EPIPE;
    ::close(ends[1]);
    return broken ? 7 : 8;
  };
  CHECK(test::status_of_child([&] {
          ::signal(SIGPIPE, SIG_DFL);
          const tsdl::internal::WithoutPipeSignal guard;
          return write_to_nobody();
        }) == 7);
  CHECK(test::status_of_child([&] {
          ::signal(SIGPIPE, SIG_DFL);
          { const tsdl::internal::WithoutPipeSignal guard; }
          return write_to_nobody();  // outside it, all is as it was
        }) == 128 + SIGPIPE);
}

TEST_CASE("MLflow client: a connection that breaks under a file does not end the process") {
  const TemporaryDirectory directory;
  test::write_bytes(directory / "file", std::string(std::size_t{8} << 20, 'x'));
  MLflowLoopback server;
  MLflowClient client(server.uri());
  const auto run = make_run(client);
  server.set_fault([](int) { return Fault::drop_before; });
  const int status = test::status_of_child([&] {
    ::signal(SIGPIPE, SIG_DFL);  // httplib's server had it ignored
    const auto error = error_of([&] { client.put_artifact(run, "a", directory / "file"); });
    return error.is_transient() && error.status() == 0 ? 7 : 8;
  });
  CHECK(status == 7);
}

#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
TEST_CASE("MLflow client: https, with a certificate that is trusted and without") {
  const TemporaryDirectory directory;
  const std::string key = (directory / "key.pem").string(),
                    certificate = (directory / "certificate.pem").string();
  const std::string make =
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
      "-addext subjectAltName=IP:127.0.0.1 -keyout " +
      key + " -out " + certificate + " >/dev/null 2>&1";
  if (std::system(make.c_str()) != 0) {
    MESSAGE("skipped: https: there is no openssl command");
    return;
  }
  httplib::SSLServer server(certificate.c_str(), key.c_str());
  REQUIRE(server.is_valid());
  server.Get("/api/2.0/mlflow/experiments/get-by-name", [](const auto&, auto& response) {
    response.set_content(R"({"experiment": {"experiment_id": "5"}})", "application/json");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { server.listen_after_bind(); });
  const std::string uri = "https://127.0.0.1:" + std::to_string(port);
  MLflowClient trusting(uri, {.certificates = certificate});
  CHECK(trusting.experiment_id("x") == "5");
  MLflowClient wary(uri);
  CHECK(contains(error_of([&] { wary.experiment_id("x"); }).what(), "no answer (SSL"));
  server.stop();
  thread.join();
}
#endif

TEST_CASE("MLflow client: a metric's history, on as many pages as the server makes of it") {
  for (const bool folder_store : {true, false})
    for (const std::size_t page : {1u, 7u, 20u, 100u}) {
      const MLflowLoopback server({.folder_store = folder_store, .page = page});
      MLflowClient client(server.uri());
      const auto run = make_run(client);
      CHECK(client.metric_history(run.run_id, "a b/c").empty());
      Json metrics = no_items;
      for (int i = 0; i < 20; ++i) {
        const Json value = i % 3 == 0 ? Json("NaN") : Json(i * 0.1);
        metrics.push_back({{"key", "a b/c"}, {"value", value}, {"timestamp", i}, {"step", i}});
        metrics.push_back({{"key", "other"}, {"value", value}, {"timestamp", i}, {"step", i}});
      }
      client.log_batch(run.run_id, metrics, no_items, no_items);
      const auto history = client.metric_history(run.run_id, "a b/c");
      REQUIRE(history.size() == 20);
      for (std::size_t i = 0; i < 20; ++i) CHECK(history[i] == metrics[2 * i]);
    }
  const MLflowLoopback server;
  MLflowClient client(server.uri());
  CHECK(error_of([&] { client.metric_history("nobody", "a"); }).code() ==
        "RESOURCE_DOES_NOT_EXIST");
}

TEST_CASE("MLflow client: a model version is registered once") {
  MLflowLoopback server;
  MLflowClient client(server.uri());
  const auto run = make_run(client, "k1"), other = make_run(client, "k2");
  client.register_model(run, "direction", "models/best");
  client.register_model(run, "direction", "models/best");
  CHECK(server.stored().models.at("direction").size() == 1);
  client.register_model(run, "direction", "models/last");
  client.register_model(run, "volatility", "models/best");
  client.register_model(other, "direction", "models/best");
  const auto models = server.stored().models;
  CHECK(models.at("volatility").size() == 1);
  REQUIRE(models.at("direction").size() == 3);
  CHECK(models.at("direction")[0].source == run.artifact_uri + "/models/best");
  CHECK(models.at("direction")[2].run_id == other.run_id);
}
