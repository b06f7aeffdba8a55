// What is refused at the call, by both trackers alike.
#include "tsdl/track/mlflow/rules.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/mlflow_store.hpp"
#include "track/mlflow/helpers.hpp"
#include "tsdl/track/mlflow/folder.hpp"

namespace {

using test::contains;
using test::message_of;
using test::MLflowLoopback;
using test::TemporaryDirectory;
using Texts = std::vector<tsdl::TrackedText>;
using Metrics = std::vector<tsdl::TrackedMetric>;

/// A folder and a server, and what each of them holds of its one run.
struct Both {
  TemporaryDirectory directory;
  MLflowLoopback server;
  std::vector<std::string> told;
  std::vector<std::unique_ptr<tsdl::Tracker>> trackers;

  Both() {
    trackers.push_back(std::make_unique<tsdl::MLflowFolder>(
        tsdl::MLflowFolderOptions{.directory = directory / "ml"}));
    trackers.push_back(std::make_unique<tsdl::MLflowServer>(tsdl::MLflowServerOptions{
        .uri = server.uri(),
        .spool = directory / "spool",
        .access = {},
        .on_problem = [this](const std::string& what) { told.push_back(what); }}));
  }
  std::vector<std::map<std::string, std::string>> tags() const {
    return {test::read_store(directory / "ml").named("e").runs.begin()->second.tags,
            server.stored().runs.at(0).tags};
  }
};

/// Sets variables of the environment, and sets them back.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values) {
    for (const auto& [name, value] : values) {
      const char* before = std::getenv(name.c_str());
      before_[name] = before ? before : "";
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::map<std::string, std::string> before_;
};

}  // namespace

TEST_CASE("MLflow rules: what MLflow would refuse is refused at the call, and goes nowhere") {
  Both both;
  const auto file = both.directory / "file";
  test::write_bytes(file, "x");
  for (const auto& tracker : both.trackers) {
    const auto error = [&](const auto& action) { return message_of<tsdl::DataError>(action); };
    const auto start = [&](const tsdl::RunInfo& run) {
      return error([&] { tracker->start(run); });
    };
    const auto params = [&](const Texts& some) {
      return error([&] { tracker->log_params(some); });
    };
    const auto registered = [&](const std::string& model, const std::string& artifact) {
      return error([&] { tracker->register_model(model, artifact); });
    };
    CHECK(contains(start({.experiment = "", .name = ""}), "no name"));
    CHECK(contains(start({.name = "", .params = {{"a:b", "1"}}}), "'a:b'"));
    CHECK(contains(start({.name = "", .params = {{"a", "1"}, {"a", "2"}}}), "cannot become '2'"));
    CHECK(contains(start({.name = "x", .tags = {{"mlflow.runName", "y"}}}), "mlflow.runName"));
    tracker->start({.experiment = "e", .name = "r", .params = {{"lr", "1"}}});

    CHECK(contains(params({{"other", "1"}, {"lr", "2"}}), "'1', it cannot become '2'"));
    CHECK(contains(params({{"twice", "1"}, {"twice", "2"}}), "'1', it cannot become '2'"));
    CHECK(contains(params({{"k:v", "1"}}), "parameter 'k:v'"));
    CHECK(contains(params({{"long", std::string(501, 'x')}}), "501 characters, more than 500"));
    CHECK(contains(error([&] { tracker->set_tags(Texts{{"k:v", "1"}}); }), "tag 'k:v'"));
    CHECK(contains(error([&] { tracker->log_metrics(Metrics{{"k:v", 1, 1}}); }), "metric 'k:v'"));

    tracker->log_artifact(file);
    tracker->log_artifact(file, "a");
    tracker->log_artifact(file, "a/b");
    for (const char* name : {"", "..", "a/b", "a:b", "/", "a%b"}) {
      CAPTURE(name);
      CHECK(contains(registered(name, "a/file"), "model"));
    }
    for (const char* artifact : {"none", "a/none", "a/fil", "b", "a/b/file/c"})
      CHECK(contains(registered("m", artifact), "has not been logged"));
    for (const char* artifact : {"", "/", "..", "a/", "../file"})
      CHECK(contains(registered("m", artifact), "artifact"));
    CHECK(contains(registered("m", "file"), "is in no directory"));
    tracker->register_model("m", "a/file");
    tracker->register_model("n", "a/file");
    CHECK(contains(registered("m", "a"), "'a' is registered for 'file'"));
    tracker->register_model("m", "a/b");

    tracker->log_params(Texts{{"lr", "1"}, {"twice", "3"}, {"long", std::string(500, 'x')}});
    tracker->log_params(Texts{{"twice", "3"}});
    tracker->end(tsdl::RunStatus::finished);
  }
  CHECK(both.told.empty());
  const auto store = test::read_store(both.directory / "ml");
  const auto& in_folder = store.named("e").runs.begin()->second;
  const auto on_server = both.server.stored();
  CHECK(in_folder.params.size() == 3);
  CHECK(in_folder.params == on_server.runs.at(0).params);
  CHECK(in_folder.tags.size() == 3);
  CHECK(in_folder.metrics.empty());
  CHECK(on_server.runs.at(0).metrics.empty());
  CHECK(in_folder.artifacts.size() == 5);
  CHECK(on_server.runs.at(0).artifacts.size() == 5);
  CHECK(store.models.at("m").versions.size() == 2);
  CHECK(on_server.models.at("m").size() == 2);
  CHECK(on_server.models.at("n").size() == 1);
  CHECK(on_server.refusals.size() == 2);  // no experiment yet; "m" a second time
}

TEST_CASE("MLflow rules: both trackers say the same of who ran it") {
  const std::vector<std::pair<std::map<std::string, std::string>, std::string>> cases = {
      {{{"LOGNAME", "ada"}, {"USER", "root"}}, "ada"},
      {{{"LOGNAME", ""}, {"USER", "eve"}}, "eve"},
      {{{"LOGNAME", ""}, {"USER", ""}}, "unknown"}};
  for (const auto& [variables, user] : cases)
    for (const bool given : {false, true}) {
      const Environment environment(variables);
      Both both;
      tsdl::RunInfo run{.experiment = "e", .name = "r"};
      if (given) run.tags = {{"mlflow.user", "me"}, {"mlflow.source.type", "JOB"}};
      for (const auto& tracker : both.trackers) {
        tracker->start(run);
        tracker->end(tsdl::RunStatus::finished);
      }
      for (const auto& tags : both.tags()) {
        CHECK(tags.at("mlflow.user") == (given ? "me" : user));
        CHECK(tags.at("mlflow.source.type") == (given ? "JOB" : "LOCAL"));
      }
    }
}
