#include "tsdl/core/file.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include "support/files.hpp"

namespace {

using test::contains;
using test::message_of;
using test::read_bytes;
using test::TemporaryDirectory;
using test::write_bytes;

}  // namespace

TEST_CASE("write_file makes a file and replaces one") {
  const TemporaryDirectory directory;
  const auto path = directory / "a.txt";
  tsdl::write_file(path, std::string_view("zero \0 byte", 11));
  CHECK(read_bytes(path) == std::string("zero \0 byte", 11));
  tsdl::write_file(path, "");
  CHECK(read_bytes(path).empty());
  CHECK(directory.count() == 1);
}

TEST_CASE("an AtomicFile is invisible until it is committed") {
  const TemporaryDirectory directory;
  const auto path = directory / "a.txt";
  write_bytes(path, "old");
  {
    tsdl::AtomicFile file(path);
    file.write("half of the n");
    CHECK(read_bytes(path) == "old");
    CHECK(directory.count() == 2);
  }
  CHECK(read_bytes(path) == "old");
  CHECK(directory.count() == 1);
  {
    tsdl::AtomicFile file(path);
    file.write("new");
    file.write(" text", 5);
    file.commit();
    CHECK(read_bytes(path) == "new text");
  }
  CHECK(read_bytes(path) == "new text");
  CHECK(directory.count() == 1);
}

TEST_CASE("a file name relative to the working directory is written there") {
  const TemporaryDirectory directory;
  const int status = test::status_of_child([&] {
    std::filesystem::current_path(directory.path());
    tsdl::write_file("plain.txt", "text");
    return 0;
  });
  CHECK(status == 0);
  CHECK(read_bytes(directory / "plain.txt") == "text");
}

TEST_CASE("a file that cannot be opened or renamed is an Error that names it") {
  const TemporaryDirectory directory;
  const auto below_file = directory / "file" / "a.txt";
  write_bytes(directory / "file", "x");
  std::string message = message_of<tsdl::Error>([&] { tsdl::write_file(below_file, "x"); });
  INFO(message);
  CHECK(contains(message, below_file.string() + ": cannot be written"));

  const auto taken = directory / "taken";
  std::filesystem::create_directory(taken);
  message = message_of<tsdl::Error>([&] { tsdl::write_file(taken, "x"); });
  CHECK(contains(message, taken.string() + ": cannot be renamed into place"));
  CHECK(std::filesystem::is_directory(taken));
  CHECK(directory.count() == 2);
}

TEST_CASE("a directory that may not be written is an Error and stays as it was") {
  const TemporaryDirectory directory;
  const auto path = directory / "a.txt";
  write_bytes(path, "old");
  // Root may write everywhere, so the child becomes somebody else.
  constexpr uid_t nobody = 65534;
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::chown(directory.path().c_str(), nobody, nobody) == 0);
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0555));
  const int status = test::status_of_child([&] {
    if (root && ::setuid(nobody) != 0) return 1;
    const std::string message = message_of<tsdl::Error>([&] { tsdl::write_file(path, "new"); });
    return contains(message, path.string() + ": cannot be written: ") ? 0 : 2;
  });
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  CHECK(status == 0);
  CHECK(read_bytes(path) == "old");
  CHECK(directory.count() == 1);
}

TEST_CASE("an old file survives a disk that is full, and nothing else remains") {
  const TemporaryDirectory directory;
  const auto path = directory / "a.txt";
  write_bytes(path, "old");
  const int status = test::status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    const std::string message =
        message_of<tsdl::Error>([&] { tsdl::write_file(path, std::string(1000, 'n')); });
    if (!contains(message, path.string() + ": cannot be written")) return 2;
    tsdl::write_file(directory / "small.txt", "fits");
    return 0;
  });
  CHECK(status == 0);
  CHECK(read_bytes(path) == "old");
  CHECK(read_bytes(directory / "small.txt") == "fits");
  CHECK(directory.count() == 2);
}

TEST_CASE("the temporary of a killed process is removed, that of a live one is not") {
  const TemporaryDirectory directory;
  const auto path = directory / "best.safetensors";
  write_bytes(path, "old");
  std::array<int, 2> ready{};
  REQUIRE(::pipe(ready.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(60);
    try {
      tsdl::AtomicFile file(path);
      file.write("half");
      if (::write(ready[1], "r", 1) == 1)
        for (;;) ::pause();
    } catch (...) {
    }
    ::_exit(1);
  }
  ::close(ready[1]);
  char byte = 0;
  CHECK(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);

  const auto temporary = directory / ("best.safetensors." + std::to_string(child) + ".tsdl-tmp");
  CHECK(std::filesystem::exists(temporary));
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 0);
  CHECK(std::filesystem::exists(temporary));

  REQUIRE(::kill(child, SIGKILL) == 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(std::filesystem::exists(temporary));
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 1);
  CHECK(read_bytes(path) == "old");
  CHECK(directory.count() == 1);
}

TEST_CASE("only names that an AtomicFile would have chosen are removed") {
  const TemporaryDirectory directory;
  for (const char* name :
       {"a.tsdl-tmp", "a.x.tsdl-tmp", "a.12x.tsdl-tmp", "a.-1.tsdl-tmp", "a.0.tsdl-tmp",
        "a.99999999999999999999.tsdl-tmp", "a.1.tsdl-tmp", "a.123.tmp", "a", ".tsdl-tmp"})
    write_bytes(directory / name, "kept");
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 0);
  CHECK(directory.count() == 10);
  CHECK(tsdl::remove_stale_temporaries(directory / "absent") == 0);
}

TEST_CASE("make_directories makes parents, accepts what exists, names what stands in the way") {
  const TemporaryDirectory directory;
  const auto deep = directory / "a" / "b" / "c";
  tsdl::make_directories(deep);
  tsdl::make_directories(deep);
  CHECK(std::filesystem::is_directory(deep));

  write_bytes(directory / "file", "x");
  const auto below = directory / "file" / "out";
  std::string message = message_of<tsdl::Error>([&] { tsdl::make_directories(below); });
  CHECK(contains(message, below.string() + ": cannot be made a directory"));
  message = message_of<tsdl::Error>([&] { tsdl::make_directories(directory / "file"); });
  CHECK(contains(message, "cannot be made a directory"));
  CHECK(read_bytes(directory / "file") == "x");
}
