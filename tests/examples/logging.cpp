// The log: words are told apart, JSON is JSON whatever a string holds, levels are kept.
#include "../../examples/support/logging.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"

namespace {

using examples::LogFormat;
using Json = nlohmann::json;

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  std::istringstream in(test::read_bytes(file));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

Json parsed(const std::string& message, examples::LogFields fields) {
  return Json::parse('{' + examples::log_line(LogFormat::json, message, fields) + '}');
}

}  // namespace

TEST_CASE("log lines as text: key=value, quoted where it is not one word") {
  CHECK(examples::log_line(LogFormat::text, "epoch",
                           {{"epoch", 3}, {"loss", 0.5}, {"best", true}, {"name", "lstm"}}) ==
        "epoch epoch=3 loss=0.5 best=true name=lstm");
  const auto value = [](const std::string& text) {
    return examples::log_line(LogFormat::text, "m", {{"k", text}});
  };
  CHECK(value("two words") == "m k=\"two words\"");
  CHECK(value("") == "m k=\"\"");
  CHECK(value("a\"b") == "m k=\"a\\\"b\"");
  CHECK(value("a=b") == "m k=\"a=b\"");
  CHECK(value("a\nb") == "m k=\"a\\nb\"");
  CHECK(value("/path/file.csv") == "m k=/path/file.csv");
  CHECK(examples::log_line(LogFormat::text, "one\nline", {}) == "one line");
  CHECK(examples::log_line(LogFormat::text, "m", {{"loss", std::nan("")}, {"x", HUGE_VAL}}) ==
        "m loss=n/a x=inf");
  CHECK(examples::log_line(LogFormat::text, "m", {{"x", 0.1}}) == "m x=0.1");
}

TEST_CASE("log lines as JSON") {
  const Json line = parsed("epoch", {{"epoch", 3}, {"loss", 0.1}, {"name", "a \"b\"\n\\"}});
  CHECK(line["message"] == "epoch");
  CHECK(line["epoch"] == 3);
  CHECK(line["loss"].get<double>() == 0.1);
  CHECK(line["name"] == "a \"b\"\n\\");
  CHECK(parsed("m", {{"loss", std::nan("")}})["loss"].is_null());
}

TEST_CASE("log lines are one line, and JSON that parses, for any bytes") {
  tsdl::RandomStream random(3);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (std::uint64_t n = random.below(20); n > 0; --n)
      bytes += static_cast<char>(random.below(256));
    const auto json = examples::log_line(LogFormat::json, bytes, {{"k", bytes}, {bytes, 1}});
    CHECK(Json::accept('{' + json + '}'));
    CHECK(json.find('\n') == std::string::npos);
    CHECK(examples::log_line(LogFormat::text, bytes, {{"k", bytes}}).find('\n') ==
          std::string::npos);
  }
}

TEST_CASE("the log file: time, level and line; appended to; from its level on") {
  const test::TemporaryDirectory directory;
  {
    examples::Log log("test", directory / "train.log", false, spdlog::level::info);
    log.debug("not this");
    log.info("first", {{"n", 1}});
  }
  examples::Log log("test", directory / "train.log", false, spdlog::level::err);
  log.info("nor this {}");
  log.fatal("second {}", {{"why", "a reason"}});
  const auto lines = lines_of(directory / "train.log");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].substr(24) == " info first n=1");
  CHECK(lines[1].substr(24) == " error second {} why=\"a reason\"");
  CHECK(lines[0][4] == '-');
  CHECK(lines[0][10] == 'T');
  CHECK(lines[0][19] == '.');
  CHECK(lines[0][23] == 'Z');
}

TEST_CASE("the log file as JSON lines") {
  const test::TemporaryDirectory directory;
  examples::Log log("test", directory / "train.log", true, spdlog::level::debug);
  log.debug("d", {{"path", "C:\\x \"y\""}});
  log.fatal("e");
  const auto lines = lines_of(directory / "train.log");
  REQUIRE(lines.size() == 2);
  const Json first = Json::parse(lines[0]), second = Json::parse(lines[1]);
  CHECK(first["level"] == "debug");
  CHECK(first["message"] == "d");
  CHECK(first["path"] == "C:\\x \"y\"");
  CHECK(first["time"].get<std::string>().size() == 24);
  CHECK(second["level"] == "error");
}

TEST_CASE("a log that cannot be opened says which file") {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "file", "");
  const std::string message = test::message_of<tsdl::Error>(
      [&] { examples::Log("test", directory / "file/train.log", false, spdlog::level::info); });
  CHECK(test::contains(message, "file/train.log: cannot be written"));
}

TEST_CASE("warnings also go to stderr, as one line") {
  const test::TemporaryDirectory directory;
  const int status = test::status_of_child([&] {
    if (!std::freopen((directory / "stderr").c_str(), "w", stderr)) return 1;
    examples::Log log("test", directory / "train.log", true, spdlog::level::info);
    log.info("quiet");
    log.fatal("said by the program itself");
    log.warn("tracking: no\nanswer", {{"tries", 2}});
    std::fflush(stderr);
    return 0;
  });
  REQUIRE(status == 0);
  CHECK(test::read_bytes(directory / "stderr") == "test: warning: tracking: no answer tries=2\n");
  CHECK(lines_of(directory / "train.log").size() == 3);
}
