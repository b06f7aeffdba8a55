// Registered models: each version is a directory that MLflow can download, and there is none before
// its files are there.
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/mlflow_store.hpp"
#include "track/mlflow/helpers.hpp"
#include "tsdl/track/mlflow/folder.hpp"
#include "tsdl/track/mlflow/upload.hpp"

namespace {

using namespace std::chrono_literals;
using test::contains;
using test::MLflowLoopback;
using test::TemporaryDirectory;
using tsdl::MLflowSpool;
namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

constexpr std::int64_t noon = 1700000000123;

tsdl::MLflowServerOptions options_for(const std::string& uri, const fs::path& spool) {
  return {
      .uri = uri, .spool = spool, .access = {}, .first_retry = 1ms, .clock = [] { return noon; }};
}

/// What MLflow downloads for models:/NAME/VERSION of a folder: a copy of the directory at the
/// version's address.
Files downloaded(const test::Store& store, const std::string& name, int version) {
  const std::string place = store.models.at(name).versions.at(version).text.at("source");
  if (!place.starts_with("file:///")) throw std::runtime_error("no local path: " + place);
  const fs::path folder = place.substr(7);
  if (!fs::is_directory(folder)) throw std::runtime_error("not a directory: " + place);
  return test::files_below(folder);
}

/// Logs and registers a model file, a directory of two files, and one that describes itself.
void register_three(tsdl::Tracker& tracker, const TemporaryDirectory& directory) {
  test::write_bytes(directory / "best.bin", std::string("w\0\xff", 3));
  test::write_bytes(directory / "MLmodel", "flavors: {mine: {}}\n");
  tracker.start({.experiment = "models", .name = "three"});
  tracker.log_artifact(directory / "best.bin", "model");
  tracker.register_model("one file", "model/best.bin");
  for (const char* place : {"all/a", "all/b/c", "own"})
    tracker.log_artifact(directory / "best.bin", place);
  tracker.log_artifact(directory / "MLmodel", "own");
  tracker.register_model("all", "all");
  tracker.register_model("own", "own/best.bin");
  tracker.register_model("one file", "model/best.bin");
  tracker.register_model("same", "model/best.bin");
  tracker.end(tsdl::RunStatus::finished);
}

/// `get`: the files of a version by name and number.
template <class Get>
void check_three(const std::string& run_id, const Get& get) {
  const std::string bytes("w\0\xff", 3);
  const auto expected = [&](const std::string& folder, const std::string& data) {
    return "artifact_path: \"" + folder + "\"\nflavors:\n  tsdl:\n    data: \"" + data +
           "\"\n    tsdl_version: \"" + tsdl::version + "\"\nrun_id: \"" + run_id +
           "\"\nutc_time_created: \"2023-11-14 22:13:20.123000\"\n";
  };
  const Files one = {{"best.bin", bytes}, {"MLmodel", expected("model", "best.bin")}};
  CHECK(get("one file", 1) == one);
  CHECK(get("same", 1) == one);
  CHECK(get("all", 1) ==
        Files{{"a/best.bin", bytes}, {"b/c/best.bin", bytes}, {"MLmodel", expected("all", ".")}});
  CHECK(get("own", 1) == Files{{"best.bin", bytes}, {"MLmodel", "flavors: {mine: {}}\n"}});
}

}  // namespace

TEST_CASE("MLflow models: a version on a server is a directory that MLflow can download") {
  const TemporaryDirectory directory;
  for (const bool folder_store : {true, false}) {
    const MLflowLoopback server({.folder_store = folder_store});
    tsdl::MLflowServer tracker(options_for(server.uri(), directory / "spool"));
    register_three(tracker, directory);
    const auto stored = server.stored();
    const auto get = [&](const std::string& name, int version) {
      return test::downloaded(server.uri(), tsdl::internal::url_encoded(name), version);
    };
    check_three(stored.runs.at(0).id, get);
    CHECK(stored.models.at("one file").size() == 1);  // the same version of the same run
    CHECK_FALSE(fs::exists(directory / "spool"));
    // The download is held to MLflow's rules: a version that is a file has none.
    tsdl::MLflowClient client(server.uri());
    const auto run = client.runs_with_tag("1", "mlflow.source.type", "LOCAL").at(0);
    client.register_model(run, "file", "model/best.bin");
    CHECK_THROWS_AS(get("file", 1), std::runtime_error);
  }
}

TEST_CASE("MLflow models: a version in a folder is a directory that MLflow can download") {
  const TemporaryDirectory directory;
  tsdl::MLflowFolder tracker({.directory = directory / "ml", .now = [] { return noon; }});
  register_three(tracker, directory);
  const test::Store store = test::read_store(directory / "ml");
  check_three(fs::path(tracker.location()).filename(), [&](const std::string& name, int version) {
    return downloaded(store, name, version);
  });
  for (const auto& [name, model] : store.models)
    for (const auto& [number, version] : model.versions)
      CHECK(version.text.at("storage_location") == version.text.at("source"));
}

TEST_CASE("MLflow models: there is no version before its file is there") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  server.change([](test::Stored& stored) { stored.closed = {"model/best.bin"}; });
  std::vector<std::string> told;
  auto options = options_for(server.uri(), directory / "spool");
  options.on_problem = [&](const std::string& what) { told.push_back(what); };
  {
    tsdl::MLflowServer tracker(options);
    register_three(tracker, directory);
  }
  auto stored = server.stored();
  CHECK_FALSE(stored.models.contains("one file"));
  CHECK_FALSE(stored.models.contains("same"));
  CHECK(stored.models.at("own").size() == 1);
  CHECK(stored.runs.at(0).status == "FINISHED");
  CHECK_FALSE(stored.runs.at(0).artifacts.contains("model/MLmodel"));
  REQUIRE(told.size() == 2);
  CHECK(contains(told[0], "403 PERMISSION_DENIED: not permitted"));
  CHECK(contains(told[1], "4 items are left"));

  // While it stays so, it stays so; then the file comes first and its versions come after it.
  CHECK(contains(test::upload_all(directory / "spool", ""), "403 PERMISSION_DENIED"));
  CHECK_FALSE(server.stored().models.contains("same"));
  std::string why;
  {
    const auto spool = MLflowSpool::open(tsdl::spooled_runs(directory / "spool").at(0));
    for (const auto& [item, text] : spool.progress().refused) why += text + "\n";
  }
  CHECK(contains(why, "model 'same': 'model/best.bin' is not there: "));
  server.change([](test::Stored& all) { all.closed.clear(); });
  CHECK(test::upload_all(directory / "spool", "") == "");
  CHECK(test::downloaded(server.uri(), "same", 1).size() == 2);
  CHECK(server.stored().models.at("one file").size() == 1);
}

TEST_CASE("MLflow models: a spool of an earlier version, which registered files") {
  const TemporaryDirectory directory;
  MLflowLoopback server;
  test::write_bytes(directory / "best.bin", "weights");
  fs::path folder;
  {
    MLflowSpool spool =
        MLflowSpool::create(directory / "spool", {server.uri(), "trial", "r", noon});
    folder = spool.folder();
    const auto model = [](const char* name, const char* artifact) {
      return tsdl::internal::json_line({{"model", {{"name", name}, {"artifact", artifact}}}});
    };
    std::string lines =
        MLflowSpool::artifact_line("best.bin", spool.add_artifact(directory / "best.bin"));
    lines += model("root", "best.bin") + model("never", "gone/best.bin") + model("never", "gone");
    lines += MLflowSpool::artifact_line("a b/best.bin", spool.add_artifact(directory / "best.bin"));
    lines += model("inner", "a b/best.bin") + model("bad/name", "a b/best.bin");
    spool.append(lines + MLflowSpool::end_line("FINISHED", noon));
  }
  CHECK(contains(test::upload_all(directory / "spool", ""), "'gone/best.bin' was not logged"));
  const auto stored = server.stored();
  const auto& run = stored.runs.at(0);
  CHECK(stored.models.size() == 2);
  CHECK(test::downloaded(server.uri(), "root", 1) ==
        Files{{"best.bin", "weights"},
              {"MLmodel", tsdl::internal::mlmodel_text("model", "best.bin", run.id, noon)}});
  CHECK(run.artifacts.at("a b/MLmodel") ==
        tsdl::internal::mlmodel_text("a b", "best.bin", run.id, noon));
  CHECK(stored.models.at("inner").at(0).source.ends_with("/artifacts/a b"));
  CHECK(run.status == "FINISHED");
  CHECK(MLflowSpool::open(folder).left() == 3);
}
