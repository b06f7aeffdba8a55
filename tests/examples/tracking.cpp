// Tracking as the programs use it: which options become parameters, the commit, how a run ends.
#include "../../examples/support/tracking.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "../../examples/support/config.hpp"
#include "support/files.hpp"

namespace {

namespace fs = std::filesystem;
using examples::TrackedRun;
using examples::TrackingOptions;

const std::string commit(40, 'a'), other_commit(40, 'b');

/// Every file below a folder, by its path from there.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = test::read_bytes(entry.path());
  return files;
}

/// The only run of the experiment named "Default".
fs::path only_run(const fs::path& root) {
  std::vector<fs::path> runs;
  for (const auto& entry : fs::directory_iterator(root / "0"))
    if (entry.is_directory() && entry.path().filename().string().size() == 32)
      runs.push_back(entry.path());
  REQUIRE(runs.size() == 1);
  return runs[0];
}

struct Program {
  CLI::App app{"test", "train_test"};
  double rate = 0.5;
  std::string name;
  std::vector<std::string> columns;
  bool shuffle = false;

  explicit Program(std::vector<std::string> arguments = {}) {
    examples::add_config(app);
    app.option_defaults()->always_capture_default();
    app.add_option("--rate", rate);
    app.add_option("--name", name);
    app.add_option("--columns", columns)->delimiter(',');
    app.add_flag("--shuffle", shuffle);
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
  }
};

}  // namespace

TEST_CASE("every option is a parameter, given or not") {
  const Program program({"--columns", "a,b", "--shuffle", "--name", "x y"});
  std::map<std::string, std::string> values;
  for (const auto& [key, value] : examples::option_values(program.app)) values[key] = value;
  const std::map<std::string, std::string> expected = {
      {"config", ""}, {"rate", "0.5"}, {"name", "x y"}, {"columns", "a,b"}, {"shuffle", "true"}};
  CHECK(values == expected);
  // 500 bytes at most, and no half of a character at the cut.
  for (const std::size_t shift : {0u, 1u, 2u}) {
    std::string long_name(shift, 'x');
    for (int i = 0; i < 3000; ++i) long_name += "\xe2\x82\xac";
    for (const auto& [key, value] : examples::option_values(Program({"--name", long_name}).app)) {
      if (key != "name") continue;
      CHECK(value.size() <= 500);
      CHECK(value.size() > 490);
      CHECK(value.ends_with("\x82\xac..."));
    }
  }
}

TEST_CASE("the commit is read from git's files, upwards from a directory") {
  const test::TemporaryDirectory directory;
  const fs::path repository = directory / "repository", inner = repository / "a/b";
  fs::create_directories(inner);
  CHECK(examples::git_commit(inner).empty());
  fs::create_directories(repository / ".git/refs/heads");
  test::write_bytes(repository / ".git/HEAD", "ref: refs/heads/main\n");
  CHECK(examples::git_commit(inner).empty());  // no commit yet
  test::write_bytes(repository / ".git/refs/heads/main", commit + "\n");
  CHECK(examples::git_commit(inner) == commit);
  CHECK(examples::git_commit(repository) == commit);
  fs::remove(repository / ".git/refs/heads/main");
  test::write_bytes(repository / ".git/packed-refs", "# pack-refs with: peeled\n" + other_commit +
                                                         " refs/heads/main2\n" + commit +
                                                         " refs/heads/main\n");
  CHECK(examples::git_commit(inner) == commit);
  test::write_bytes(repository / ".git/HEAD", other_commit + "\n");  // detached
  CHECK(examples::git_commit(inner) == other_commit);
  // A work tree of its own.
  const fs::path tree = directory / "tree", place = repository / ".git/worktrees/tree";
  fs::create_directories(tree);
  fs::create_directories(place);
  test::write_bytes(tree / ".git", "gitdir: " + place.string() + "\n");
  test::write_bytes(place / "HEAD", "ref: refs/heads/main\n");
  test::write_bytes(place / "commondir", "../..\n");
  CHECK(examples::git_commit(tree) == commit);
}

TEST_CASE("a tracked run: parameters, tags, files, its end") {
  const test::TemporaryDirectory directory;
  const Program program({"--rate", "0.25"});
  examples::Log log("test");
  test::write_bytes(directory / "best.bin", "weights");
  TrackedRun run({.target = (directory / "mlruns").string(), .model_name = "mine"}, program.app,
                 "lstm, seed 1", directory.path(), log);
  run.start();
  run.log_metrics({{"test_accuracy", 0.5, 3}});
  run.end(tsdl::RunStatus::finished, {directory / "best.bin", directory / "missing"},
          directory / "best.bin");
  CHECK_FALSE(run.running());
  const fs::path folder = only_run(directory / "mlruns");
  CHECK(run.location() == folder.string());
  auto files = contents(folder);
  CHECK(files["params/rate"] == "0.25");
  CHECK(files["params/shuffle"] == "false");
  CHECK(files["tags/mlflow.runName"] == "lstm, seed 1");
  CHECK(files["tags/mlflow.source.name"] == "train_test");
  CHECK(files["tags/mlflow.source.type"] == "LOCAL");
  CHECK(files["tags/tsdl.version"] == tsdl::version);
  CHECK(files["tags/tsdl.instruction_set"] == tsdl::instruction_set);
  CHECK(files["tags/tsdl.threads"] == std::to_string(tsdl::thread_count()));
  CHECK(files["artifacts/best.bin"] == "weights");
  CHECK(files["artifacts/model/best.bin"] == "weights");
  CHECK(test::contains(files["artifacts/model/MLmodel"], "data: \"best.bin\""));
  CHECK(test::contains(files["metrics/test_accuracy"], " 0.5 3\n"));
  CHECK(test::contains(files["meta.yaml"], "status: 3"));
  CHECK(test::contains(test::read_bytes(directory / "mlruns/models/mine/version-1/meta.yaml"),
                       "/artifacts/model\"\n"));
}

TEST_CASE("a tracked run that an exception leaves ends as failed, with what was logged") {
  const test::TemporaryDirectory directory;
  const Program program;
  examples::Log log("test");
  try {
    TrackedRun run({.target = (directory / "mlruns").string(), .run_name = "given"}, program.app,
                   "default", directory.path(), log);
    run.start();
    run.log_metrics({{"loss", 1, 1}});
    throw 1;
  } catch (int) {
  }
  auto files = contents(only_run(directory / "mlruns"));
  CHECK(test::contains(files["meta.yaml"], "status: 4"));
  CHECK(files["tags/mlflow.runName"] == "given");
  CHECK(files.count("metrics/loss") == 1);
}

TEST_CASE("a name that MLflow takes for no model is refused before the training") {
  for (const char* name : {"a/b", "a:b", "a%b", ".."})
    CHECK(test::contains(test::message_of<tsdl::OptionError>([&] {
                           examples::check_tracking_options({.target = "x", .model_name = name});
                         }),
                         "--register: model '" + std::string(name) + "'"));
  CHECK_NOTHROW(examples::check_tracking_options({.target = "x", .model_name = "up or down"}));
}

TEST_CASE("a run without --tracking tracks nothing") {
  const test::TemporaryDirectory directory;
  const Program program;
  examples::Log log("test");
  TrackedRun run({}, program.app, "x", directory.path(), log);
  run.start();
  run.log_metrics({{"loss", 1, 1}});
  run.end(tsdl::RunStatus::finished, {});
  CHECK(run.location().empty());
  CHECK(directory.count() == 0);
}

TEST_CASE("tracking targets: folders and addresses, nothing else") {
  const test::TemporaryDirectory directory;
  const fs::path spool = directory / "spool";
  const auto make = [&](const std::string& target) {
    return examples::make_tracker({.target = target}, spool, {});
  };
  CHECK(make((directory / "a").string()));
  CHECK(make("file://" + (directory / "b").string()));
  CHECK(make("http://localhost:1"));
  CHECK_THROWS_AS(make("sqlite:///x.db"), tsdl::Error);
  CHECK_THROWS_AS(make("http://"), tsdl::Error);
  // A folder that cannot be is refused when the run starts.
  test::write_bytes(directory / "file", "");
  const Program program;
  examples::Log log("test");
  TrackedRun run({.target = (directory / "file/mlruns").string()}, program.app, "x",
                 directory.path(), log);
  CHECK_THROWS_AS(run.start(), tsdl::Error);
}

TEST_CASE("a tracked study is gone on with, and has each trial once") {
  const test::TemporaryDirectory directory;
  examples::Log log("test");
  const std::string key = tsdl::derived_run_key("a study"), root = (directory / "mlruns").string();
  for (int part = 0; part < 2; ++part) {
    const Program program({"--rate", "0.25", "--name", "part " + std::to_string(part)});
    TrackedRun run({.target = root}, program.app, "study", directory.path(), log);
    run.start(key, {"name"});
    run.set_tags({{"tsdl.study", "0123"}});
    for (int i = 0; i < 2 + part; ++i)
      run.log_child({.id = std::to_string(i), .metrics = {{"score", 0.5, 0}}});
    run.end(tsdl::RunStatus::finished, {});
  }
  std::map<std::string, int> children;
  for (const auto& entry : fs::directory_iterator(directory / "mlruns/0"))
    if (fs::exists(entry.path() / "tags/mlflow.parentRunId")) {
      CHECK(test::read_bytes(entry.path() / "tags/mlflow.parentRunId") == key);
      ++children[test::read_bytes(entry.path() / "tags/mlflow.runName")];
    }
  CHECK(children == std::map<std::string, int>{{"0", 1}, {"1", 1}, {"2", 1}});
  const auto parent = contents(directory / "mlruns/0" / key);
  CHECK(parent.at("params/rate") == "0.25");
  CHECK_FALSE(parent.contains("params/name"));
  CHECK(parent.at("tags/tsdl.study") == "0123");
}
