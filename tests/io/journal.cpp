// Journals: what is read back, after every truncation, bit flip and kill; and that a journal and a
// directory have one process at a time.
#include "tsdl/io/journal.hpp"

#include <doctest/doctest.h>

#ifndef _WIN32
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/directory_lock.hpp"
#include "tsdl/core/random.hpp"

namespace {

using Json = nlohmann::json;
using test::TemporaryDirectory;

std::vector<Json> some_events() {
  return {{{"trial", 0}, {"values", {{"lr", "1e-04"}, {"model", "gru"}}}, {"loss", 0.1}},
          Json::object(),
          {{"text", "\"},{\n\\ \x7f \xc3\xa9"}, {"list", {1, -2.5, true, nullptr, "x"}}},
          {{"zz", "after check"}, {"score", -0.0}}};
}

void write_events(const std::filesystem::path& path, const std::vector<Json>& events) {
  tsdl::JournalWriter journal(path);
  for (const Json& event : events) journal.append(event);
}

/// FNV-1a written out, as a line's check.
std::string checked(const std::string& object) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : object) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  const std::string before = object.substr(0, object.size() - 1);
  return before + (object == "{}" ? "" : ",") + "\"check\":\"" + digits + "\"}\n";
}

/// What reading and opening a file of these bytes says; they say the same and change nothing.
std::string refusal(const std::filesystem::path& path, const std::string& bytes) {
  test::write_bytes(path, bytes);
  const std::string message =
      test::message_of<tsdl::FormatError>([&] { tsdl::read_journal(path); });
  const std::string opened =
      test::message_of<tsdl::FormatError>([&] { tsdl::JournalWriter writer(path); });
  if (opened != message) FAIL_CHECK("opening says " << opened << ", not " << message);
  if (test::read_bytes(path) != bytes) FAIL_CHECK("opening changed the file");
  return message;
}

}  // namespace

TEST_CASE("A journal: its text, and the events that are read back") {
  const TemporaryDirectory directory;
  const std::vector<Json> events = some_events();
  const auto path = directory / "journal.jsonl";
  write_events(path, {events.begin(), events.begin() + 2});
  write_events(path, {events.begin() + 2, events.end()});
  CHECK(tsdl::read_journal(path) == events);
  const std::string bytes = test::read_bytes(path);
  CHECK(bytes == checked(R"({"loss":0.1,"trial":0,"values":{"lr":"1e-04","model":"gru"}})") +
                     checked("{}") +
                     checked("{\"list\":[1,-2.5,true,null,\"x\"],\"text\":\"\\\"},{\\n\\\\ \x7f "
                             "\xc3\xa9\"}") +
                     checked(R"({"score":-0.0,"zz":"after check"})"));
  { const tsdl::JournalWriter writer(path); }
  CHECK(test::read_bytes(path) == bytes);
  CHECK(test::message_of<tsdl::Error>([&] {
          tsdl::read_journal(directory / "none");
        }).starts_with((directory / "none").string() + ": cannot be read: "));
  CHECK(test::contains(
      test::message_of<tsdl::Error>([&] { tsdl::JournalWriter writer(directory / "no" / "x"); }),
      "cannot be opened"));
  CHECK(test::message_of<tsdl::Error>([&] { tsdl::read_journal(directory.path()); }) ==
        directory.path().string() + ": cannot be read: not a file");
  { const tsdl::JournalWriter writer(directory / "empty"); }
  CHECK(tsdl::read_journal(directory / "empty").empty());
}

TEST_CASE("A journal: numbers have the same bits again") {
  const TemporaryDirectory directory;
  using Limits = std::numeric_limits<double>;
  std::vector<double> numbers{0.0,           -0.0,
                              0.1,           1.0 / 3,
                              5e-324,        2.2250738585072011e-308,
                              Limits::max(), Limits::lowest(),
                              1e23,          9007199254740993.0};
  tsdl::RandomStream random(3);
  while (numbers.size() < 500) {
    const double number = std::bit_cast<double>(random.bits());
    if (tsdl::is_finite(number)) numbers.push_back(number);
  }
  numbers.insert(numbers.end(), {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()});
  Json event = Json::object();
  for (const double number : numbers)
    event["numbers"].push_back(tsdl::internal::number_to_json(number));
  event["seed"] = ~std::uint64_t{0};
  event["low"] = std::numeric_limits<std::int64_t>::min();
  write_events(directory / "j", {event});
  const Json read = tsdl::read_journal(directory / "j").at(0);
  REQUIRE(read.at("numbers").size() == numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double back = tsdl::internal::number_from_json(read["numbers"][i], "numbers");
    if (tsdl::is_nan(numbers[i]))
      CHECK(tsdl::is_nan(back));
    else
      CHECK(std::bit_cast<std::uint64_t>(back) == std::bit_cast<std::uint64_t>(numbers[i]));
  }
  CHECK(read.at("seed").get<std::uint64_t>() == ~std::uint64_t{0});
  CHECK(read.at("low").get<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
  CHECK(test::message_of<tsdl::Error>([] { tsdl::internal::number_from_json("nan", "x"); }) ==
        "'x': expected a number, got \"nan\"");
  CHECK(test::message_of<tsdl::Error>([] { tsdl::internal::number_from_json(nullptr, "x"); }) ==
        "'x': expected a number, got null");
}

TEST_CASE("A journal: events that are refused leave it as it was") {
  const TemporaryDirectory directory;
  tsdl::JournalWriter journal(directory / "j");
  const auto refused = [&](const Json& event) {
    return test::message_of<tsdl::OptionError>([&] { journal.append(event); });
  };
  CHECK(refused(Json::array()) == "journal: expected an object, got a list");
  CHECK(refused({{"check", 1}}) == "journal: 'check' is the journal's own key");
  CHECK(test::contains(refused({{"a", {{"b", {1.0, std::numeric_limits<double>::infinity()}}}}}),
                       "journal: a number that is not finite"));
  CHECK(refused({{"a", "\xff"}}) == "journal: a text in the event is not UTF-8");
  journal.append({{"a", {{"check", 1}}}});
  CHECK(tsdl::read_journal(directory / "j") == std::vector<Json>{{{"a", {{"check", 1}}}}});
}

TEST_CASE("A journal: every truncation is read as the lines that are complete") {
  const TemporaryDirectory directory;
  const std::vector<Json> events = some_events();
  write_events(directory / "j", events);
  const std::string bytes = test::read_bytes(directory / "j");
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    CAPTURE(size);
    const std::string prefix = bytes.substr(0, size);
    const auto lines = std::count(prefix.begin(), prefix.end(), '\n');
    std::vector<Json> expected(events.begin(), events.begin() + lines);
    CHECK(tsdl::internal::journal_events(prefix, "cut") == expected);
    if (size % 11 != 0 && size != bytes.size()) continue;  // files take the disk its time
    test::write_bytes(directory / "cut", prefix);
    CHECK(tsdl::read_journal(directory / "cut") == expected);
    CHECK(test::read_bytes(directory / "cut") == prefix);
    write_events(directory / "cut", {{{"new", size}}});
    expected.push_back({{"new", size}});
    CHECK(tsdl::read_journal(directory / "cut") == expected);
    CHECK(test::read_bytes(directory / "cut").starts_with(bytes.substr(0, prefix.rfind('\n') + 1)));
  }
}

TEST_CASE("A journal: every single changed bit is refused, with its line") {
  const TemporaryDirectory directory;
  write_events(directory / "j", some_events());
  const std::string bytes = test::read_bytes(directory / "j");
  const auto path = directory / "flipped";
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      const auto line =
          1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(i), '\n');
      const std::string message = test::message_of<tsdl::FormatError>(
          [&] { tsdl::internal::journal_events(flipped, path); });
      if (i % 23 == 0 && bit == 2) CHECK(refusal(path, flipped) == message);
      const std::string start = path.string() + ':' + std::to_string(line) + ": damaged: ";
      if (!message.starts_with(start) ||
          !message.ends_with(
              "; nothing was changed; take this line out, and its work is done again"))
        FAIL_CHECK("byte " << i << ", bit " << bit << ": " << message);
    }
}

TEST_CASE("A journal: lines that it would not write are refused by what is wrong, unchanged") {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  const std::string good = checked("{\"a\":1}");
  const auto refused = [&](const std::string& bytes) {
    std::string message = refusal(path, bytes);
    const std::string start = path.string() + ':';
    if (message.starts_with(start)) message.erase(0, start.size());
    return message.substr(0, message.find("; nothing was changed"));
  };
  CHECK(refused(good + "\n" + good) == "2: damaged: not JSON");
  CHECK(refused(good + "hello\n") == "2: damaged: not JSON");
  CHECK(refused("{\"a\":1}\n") == "1: damaged: it does not end with its check");
  CHECK(refused("1\n") == "1: damaged: expected an object, got 1");
  CHECK(refused("[]\n") == "1: damaged: expected an object, got a list");
  CHECK(refused(checked("{\"a\":1,\"a\":1}")) == "1: damaged: key 'a' appears twice");
  CHECK(refused(checked("{\"b\":[{\"a\":1},{\"a\":1,\"a\":2}]}")) ==
        "1: damaged: key 'a' appears twice");
  CHECK(refused(checked("{\"check\":\"0000000000000000\",\"a\":1}")) ==
        "1: damaged: key 'check' appears twice");
  CHECK(refused("{ " + good.substr(1)) == "1: damaged: its check does not match its text");
  CHECK(refused("{\"check\":\"" + good.substr(good.size() - 19)) ==
        "1: damaged: its check does not match its text");
  CHECK(refused(good.substr(0, good.size() - 1) + "\r\n") ==
        "1: damaged: it does not end with its check");
  CHECK(refused(good + good.substr(0, good.size() - 1) + "J") ==
        "2: damaged: its end is not that of a line");
  CHECK(refused(good + "a text of something else") == "2: damaged: its end is not that of a line");
  CHECK(refused(std::string(100'000, '[') + "\n") == "1: damaged: not JSON");
  CHECK(refused(good + std::string("{\"a\":\"\0\"}\n", 10)) == "2: damaged: not JSON");
  // A system that stopped may leave zeros where a line was about to be.
  test::write_bytes(path, good + std::string(50, '\0'));
  CHECK(tsdl::read_journal(path).size() == 1);
}

TEST_CASE("A journal: a second writer is refused, until the first one ends") {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  const auto open = [&] { tsdl::JournalWriter writer(path); };
  const std::string in_use = path.string() + ": in use: another process writes this journal";
  {
    tsdl::JournalWriter first(path);
    first.append({{"a", 1}});
    CHECK(test::message_of<tsdl::Error>(open) == in_use);
    CHECK(test::status_of_child([&] { return test::message_of<tsdl::Error>(open) == in_use; }) ==
          1);
    CHECK(tsdl::read_journal(path).size() == 1);
    first.append({{"a", 2}});
  }
  write_events(path, {{{"a", 3}}});
  CHECK(tsdl::read_journal(path).size() == 3);
}

TEST_CASE("A directory is held by one process at a time") {
  const TemporaryDirectory directory;
  const auto hold = [&] { tsdl::DirectoryLock lock(directory.path()); };
  const std::string in_use = directory.path().string() + ": in use: another process holds " +
                             (directory / "lock").string();
  std::optional<tsdl::DirectoryLock> first(directory.path());
  CHECK(test::message_of<tsdl::Error>(hold) == in_use);
  CHECK(test::status_of_child([&] { return test::message_of<tsdl::Error>(hold) == in_use; }) == 1);
  first.reset();
  CHECK(test::message_of<tsdl::Error>(hold) == "no exception");
  CHECK(std::filesystem::exists(directory / "lock"));
  CHECK(test::contains(
      test::message_of<tsdl::Error>([&] { tsdl::DirectoryLock lock(directory / "none"); }),
      "cannot be opened"));
}

#ifndef _WIN32
TEST_CASE("A journal: a disk that is full is told, and leaves whole lines") {
  const TemporaryDirectory directory;
  const auto path = directory / "j";
  const int status = test::status_of_child([&] {
    tsdl::JournalWriter journal(path);
    journal.append({{"k", 1}});
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = std::filesystem::file_size(path) + 20;  // part of the next line
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto append = [&] { journal.append({{"k", 2}}); };
    const std::string first = test::message_of<tsdl::Error>(append);
    if (first != path.string() + ": cannot be written: File too large") return 1;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string second = test::message_of<tsdl::Error>(append);
    return second == path.string() + ": cannot be written: an earlier event failed" ? 0 : 2;
  });
  CHECK(status == 0);
  CHECK(test::read_bytes(path) == checked("{\"k\":1}"));
  write_events(path, {{{"k", 2}}});
  CHECK(tsdl::read_journal(path).size() == 2);
}

TEST_CASE("A journal: kill -9 at any moment loses at most the event that was being written") {
  tsdl::RandomStream random(4);
  std::int64_t all = 0;
  for (int i = 0; i < 12; ++i) {
    CAPTURE(i);
    const TemporaryDirectory directory;
    const auto path = directory / "j";
    std::int64_t before = 0;
    for (int round = 0; round < 2; ++round) {
      int said[2];
      REQUIRE(::pipe(said) == 0);
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        try {
          tsdl::JournalWriter journal(path);
          for (std::int64_t k = before;; ++k) {
            journal.append(
                {{"k", k}, {"padding", std::string(static_cast<std::size_t>(k % 97), 'p')}});
            if (::write(said[1], &k, sizeof k) != sizeof k) break;
          }
        } catch (...) {
        }
        ::_exit(1);
      }
      ::close(said[1]);
      std::int64_t written = before, k = 0;
      const bool from_start = (i + round) % 3 == 0;
      if (!from_start && ::read(said[0], &k, sizeof k) == sizeof k) written = k + 1;
      ::usleep(static_cast<useconds_t>(random.below(8'000)));
      ::kill(child, SIGKILL);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      CHECK(WIFSIGNALED(status));
      while (::read(said[0], &k, sizeof k) == sizeof k) written = k + 1;
      ::close(said[0]);
      if (written == before && !std::filesystem::exists(path)) continue;

      const std::vector<Json> events = tsdl::read_journal(path);
      CHECK(std::ssize(events) >= written);
      CHECK(std::ssize(events) <= written + 1);
      for (std::size_t e = 0; e < events.size(); ++e)
        CHECK(events[e] == Json{{"k", e}, {"padding", std::string(e % 97, 'p')}});
      all += std::ssize(events) - before;
      before = std::ssize(events);
    }
  }
  CHECK(all >= 12);
}
#endif
