// PyYAML, which is what MLflow reads and writes meta.yaml with, as the other side: with TSDL_PYTHON
// set to a python that has it. By tests/goldens/mlflow_folder.py.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/track/mlflow/folder.hpp"

namespace {

using test::TemporaryDirectory;

std::string hex(const std::string& text) {
  std::string digits;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    digits += {tsdl::internal::hex_digits[byte >> 4u], tsdl::internal::hex_digits[byte & 15u]};
  }
  return digits;
}

/// PyYAML writes these two line breaks as they are, and nobody has them in a name.
bool has_odd_break(const std::string& name) {
  return test::contains(name, "\xc2\x85") || test::contains(name, "\xe2\x80\xa8");
}

/// Whether the script is content; nothing when it cannot run here.
std::optional<bool> script(const std::string& what, const std::filesystem::path& directory) {
  const char* python = std::getenv("TSDL_PYTHON");
  if (!python) return {};
  const std::string command = "'" + std::string(python) +
                              "' -B '" TSDL_SOURCE_DIR "/tests/goldens/mlflow_folder.py' " + what +
                              " '" + directory.string() + "'";
  const int status = std::system(command.c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  if (code == 77) return {};
  CHECK((code == 0 || code == 2));  // else it failed itself
  return code == 0;
}

/// Names that YAML could take for something else.
std::vector<std::string> odd_names() {
  std::vector<std::string> names = {"plain",        "true",
                                    "null",         "~",
                                    "1e5",          "0x1f",
                                    "12:30:45",     "'",
                                    "\"",           "it's",
                                    "a: b",         "a #b",
                                    "#a",           "- a",
                                    "? a",          "[a]",
                                    "{a}",          "a\\",
                                    "&a",           "*a",
                                    "!a",           "%a",
                                    "@a",           "`a",
                                    "2024-01-01",   "=",
                                    "<<",           "a\nb",
                                    "\n",           "\t",
                                    " a ",          "  ",
                                    "---",          "...",
                                    "a\n\n\nb\n",   "\xc3\xa9",
                                    "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                    "\xc2\x85",     "\xe2\x80\xa8",
                                    "\xef\xbb\xbf", "a\x01\x7f\xc2\x9f"};
  names.push_back(std::string(400, 'x'));
  std::string words, quoted;
  for (int i = 0; i < 40; ++i) {
    words += "word" + std::to_string(i) + " ";
    quoted += "it's \x01 " + std::to_string(i) + "  ";
  }
  words.pop_back();
  names.push_back(words);
  names.push_back("'" + words + "'");
  names.push_back(quoted);
  tsdl::RandomStream random(3);
  for (int i = 0; i < 100; ++i) {
    std::string name;
    for (std::uint64_t n = 1 + random.below(100); n > 0; --n)
      tsdl::internal::append_utf8(
          name,
          static_cast<char32_t>(random.below(4) == 0 ? random.below(0xd800) : random.below(0x80)));
    names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("MLflow folder: PyYAML reads every text as it was given (with TSDL_PYTHON)") {
  const TemporaryDirectory directory;
  const auto root = directory / "ml";
  std::string expected;
  const auto expect = [&](const std::filesystem::path& folder, const std::string& lines,
                          const char* file = "meta.yaml") {
    const std::string path = (folder / file).lexically_relative(root).string();
    for (std::size_t from = 0; from < lines.size(); from = lines.find('\n', from) + 1)
      expected += path + " " + lines.substr(from, lines.find('\n', from) + 1 - from);
  };
  for (const std::string& name : odd_names()) {
    tsdl::MLflowFolder tracker({.directory = root,
                                .now = [] { return 1'700'000'000'000; },
                                .user = name.substr(0, name.size() > 200 ? 100 : name.size())});
    tracker.start({.experiment = name, .name = name});
    const std::filesystem::path run = tracker.location();
    const std::string id = run.filename().string(),
                      experiment = run.parent_path().filename().string();
    expect(run.parent_path(), "name str " + hex(name) + "\nexperiment_id str " + hex(experiment) +
                                  "\ncreation_time int " + hex("1700000000000") + "\n");
    expect(run, "run_name str " + hex(name) + "\nrun_id str " + hex(id) + "\nrun_uuid str " +
                    hex(id) + "\nend_time NoneType \nstatus int " + hex("1") + "\ntags list " +
                    hex("[]") + "\nsource_name str \nlifecycle_stage str " + hex("active") +
                    "\nartifact_uri str " + hex("file://" + run.string() + "/artifacts") +
                    "\nstart_time int " + hex("1700000000000") + "\n");
    CHECK_MESSAGE(
        tsdl::internal::yaml_value(test::read_bytes(run / "meta.yaml"), "run_name") == name, name);
  }
  tsdl::MLflowFolder tracker({.directory = root, .now = [] { return 1'700'000'000'000; }});
  tracker.start({});
  test::write_bytes(directory / "f: \"#1\"", "x");
  tracker.log_artifact(directory / "f: \"#1\"", "a #model's");
  tracker.register_model("it's \"a\" model", "a #model's/f: \"#1\"");
  const std::filesystem::path run = tracker.location();
  expect(run / "artifacts" / "a #model's",
         "artifact_path str " + hex("a #model's") + "\nflavors dict " +
             hex("{'tsdl': {'data': 'f: \"#1\"', 'tsdl_version': '" + std::string(tsdl::version) +
                 "'}}") +
             "\nrun_id str " + hex(run.filename().string()) + "\nutc_time_created str " +
             hex("2023-11-14 22:13:20.000000") + "\n",
         "MLmodel");
  const auto model = root / "models" / "it's \"a\" model";
  expect(model, "name str " + hex("it's \"a\" model") + "\naliases dict " + hex("{}") +
                    "\ndescription NoneType \n");
  expect(model / "version-1", "version int " + hex("1") + "\ncurrent_stage str " + hex("None") +
                                  "\nstatus str " + hex("READY") + "\naliases list " + hex("[]") +
                                  "\nrun_link NoneType \n");
  tracker.end(tsdl::RunStatus::killed);
  expect(tracker.location(), "status int " + hex("5") + "\n");

  test::write_bytes(directory / "ml.expected", expected);
  const std::optional<bool> good = script("read", root);
  if (!good) {
    MESSAGE("skipped: TSDL_PYTHON names no python that has PyYAML");
    return;
  }
  CHECK(*good);
  test::write_bytes(directory / "ml.expected", expected + expected.substr(0, expected.find(' ')) +
                                                   " name str " + hex("another") + "\n");
  MESSAGE("the next line of python's is expected: it must notice a text that is off");
  CHECK_FALSE(*script("read", root));
}

TEST_CASE("MLflow folder: experiments that PyYAML wrote are found by name (with TSDL_PYTHON)") {
  const TemporaryDirectory directory;
  std::string lines;
  std::uint64_t id = 100'000'000'000'000'000;
  std::vector<std::string> names = odd_names();
  std::erase_if(names, has_odd_break);
  for (const std::string& name : names) lines += std::to_string(id++) + " " + hex(name) + "\n";
  test::write_bytes(directory / "names", lines);
  const std::optional<bool> good = script("write", directory.path());
  if (!good) {
    MESSAGE("skipped: TSDL_PYTHON names no python that has PyYAML");
    return;
  }
  REQUIRE(*good);
  id = 100'000'000'000'000'000;
  for (const std::string& name : names) {
    tsdl::MLflowFolder tracker({.directory = directory.path()});
    tracker.start({.experiment = name, .name = ""});
    const auto folder = std::filesystem::path(tracker.location()).parent_path().filename();
    CHECK_MESSAGE(folder == std::to_string(id++), name);
  }
}
