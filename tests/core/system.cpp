#include "tsdl/core/system.hpp"

#include <doctest/doctest.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>

#include "support/files.hpp"
#include "tsdl/core/system_file.hpp"

using test::contains;
using test::read_bytes;
using test::TemporaryDirectory;
using test::write_bytes;
using tsdl::internal::FolderRename;
using tsdl::internal::Lock;
using tsdl::internal::OpenFor;
using tsdl::internal::SystemFile;

TEST_CASE("a file is read in parts, and from any place") {
  const TemporaryDirectory directory;
  write_bytes(directory / "a", "one\r\ntwo\n");
  SystemFile file(directory / "a", OpenFor::appending);
  REQUIRE(file.is_open());
  std::array<char, 16> text{};
  CHECK(file.read(text.data(), 5) == 5);
  CHECK(std::string(text.data(), 5) == "one\r\n");
  CHECK(file.read(text.data(), text.size()) == 4);
  CHECK(file.read(text.data(), text.size()) == 0);
  CHECK(file.read_at(text.data(), text.size(), 5) == 4);
  CHECK(std::string(text.data(), 4) == "two\n");
  CHECK(file.read_at(text.data(), text.size(), 9) == 0);
}

TEST_CASE("a file that is appended to grows at its end, whoever else writes, and can be cut") {
  const TemporaryDirectory directory;
  CHECK_FALSE(SystemFile(directory / "a", OpenFor::appending).is_open());
  SystemFile one(directory / "a", OpenFor::appending_or_new);
  SystemFile two(directory / "a", OpenFor::appending);
  CHECK(one.write("1", 1));
  CHECK(two.write("22", 2));
  CHECK(one.write("\n", 1));
  CHECK(read_bytes(directory / "a") == "122\n");
  REQUIRE(one.state());
  CHECK(one.state()->size == 4);
  CHECK(two.resize(1));
  CHECK(one.write("3", 1));
  CHECK(one.sync());
  CHECK(read_bytes(directory / "a") == "13");
}

TEST_CASE("a new file is refused where the name is taken, and the reason is known") {
  const TemporaryDirectory directory;
  write_bytes(directory / "a", "old");
  CHECK_FALSE(SystemFile(directory / "a", OpenFor::new_file).is_open());
  CHECK(tsdl::internal::last_error_is_taken_name());
  CHECK(read_bytes(directory / "a") == "old");
  CHECK_FALSE(SystemFile(directory / "absent" / "a", OpenFor::new_file).is_open());
  CHECK_FALSE(tsdl::internal::last_error_is_taken_name());
  CHECK_FALSE(SystemFile(directory / "absent" / "a", OpenFor::new_file).is_open());
  const std::string why = tsdl::internal::last_error_text();
  INFO(why);
  CHECK((contains(why, "No such file or directory") || contains(why, "ath not found") ||
         contains(why, "cannot find the path")));
}

TEST_CASE("one lock at a time, given back when the file is closed") {
  const TemporaryDirectory directory;
  SystemFile one(directory / "a", OpenFor::new_file);
  SystemFile two(directory / "a", OpenFor::locking);
  CHECK(one.lock() == Lock::taken);
  CHECK(two.lock() == Lock::held_by_other);
  CHECK(one.write("locked", 6));
  CHECK(read_bytes(directory / "a") == "locked");
  SystemFile moved = std::move(one);
  CHECK_FALSE(one.is_open());  // NOLINT: what moving leaves
  CHECK(two.lock() == Lock::held_by_other);
  CHECK(moved.close());
  CHECK(two.lock() == Lock::taken);
  CHECK_FALSE(SystemFile().is_open());
}

TEST_CASE("an open file may be renamed and removed, and knows that it has no name") {
  const TemporaryDirectory directory;
  write_bytes(directory / "to", "old");
  SystemFile file(directory / "from", OpenFor::new_file);
  CHECK(file.write("new", 3));
  CHECK(tsdl::internal::rename_file(directory / "from", directory / "to"));
  CHECK(read_bytes(directory / "to") == "new");
  REQUIRE(file.state());
  CHECK(file.state()->is_linked);
  CHECK(file.state()->is_regular);
  CHECK(std::filesystem::remove(directory / "to"));
#ifndef _WIN32  // where the name goes when the file is closed, and Wine does not tell before
  REQUIRE(file.state());
  CHECK_FALSE(file.state()->is_linked);
#endif
  CHECK_FALSE(tsdl::internal::rename_file(directory / "from", directory / "to"));
}

TEST_CASE("a folder is renamed to a free name only") {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "new");
  write_bytes(directory / "new" / "a", "a");
  CHECK(tsdl::internal::rename_folder(directory / "new", directory / "place") ==
        FolderRename::done);
  std::filesystem::create_directories(directory / "new");
  CHECK(tsdl::internal::rename_folder(directory / "new", directory / "place") ==
        FolderRename::name_taken);
  CHECK(tsdl::internal::rename_folder(directory / "absent", directory / "other") ==
        FolderRename::failed);
  CHECK(read_bytes(directory / "place" / "a") == "a");
}

TEST_CASE("a file of any name is opened, and the name is UTF-8 in messages") {
  const TemporaryDirectory directory;
  const std::filesystem::path name(u8"Kurse \u00e4\u20ac\u4e2d.csv");
  SystemFile file(directory.path() / name, OpenFor::new_file);
  CHECK(file.write("x", 1));
  CHECK(read_bytes(directory.path() / name) == "x");
  CHECK(tsdl::internal::path_text(name) == "Kurse \xc3\xa4\xe2\x82\xac\xe4\xb8\xad.csv");
}

TEST_CASE("numbers are read in the C locale, to the last bit and the range of a double") {
  char* end = nullptr;
  const char* text = "0.1x";
  CHECK(tsdl::internal::strtod_classic(text, &end) == 0.1);
  CHECK(end == text + 3);
  CHECK(tsdl::internal::strtod_classic("4.9406564584124654e-324", &end) == 4.9406564584124654e-324);
  errno = 0;
  CHECK(std::isinf(tsdl::internal::strtod_classic("1e999", &end)));
  CHECK(errno == ERANGE);
}

TEST_CASE("this process runs, and the system knows itself") {
  CHECK(tsdl::internal::process_id() > 0);
  CHECK(tsdl::internal::process_runs(tsdl::internal::process_id()));
  CHECK_FALSE(tsdl::internal::process_runs(2147483600));
  CHECK_FALSE(tsdl::internal::system_identity().empty());
  CHECK(tsdl::internal::system_identity() == tsdl::internal::system_identity());
}

#ifndef _WIN32  // needs pipes with names, fork and signals
TEST_CASE("reading waits for the other end of a pipe unless the file must be regular") {
  const TemporaryDirectory directory;
  const auto pipe = directory / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const SystemFile regular(pipe, OpenFor::reading_regular);
  REQUIRE(regular.state());
  CHECK_FALSE(regular.state()->is_regular);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(60);
    const int end = ::open(pipe.c_str(), O_WRONLY);
    ::usleep(50'000);
    ::_exit(::write(end, "late", 4) == 4 ? 0 : 1);
  }
  SystemFile file(pipe, OpenFor::reading);
  std::array<char, 8> text{};
  CHECK(file.read(text.data(), text.size()) == 4);
  CHECK(file.read(text.data(), text.size()) == 0);
  int status = 1;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a write to a closed pipe fails, and the signal for it is gone afterwards") {
  const int status = test::status_of_child([] {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return 1;
    ::close(ends[0]);
    {
      const tsdl::internal::WithoutPipeSignal quiet;
      if (::write(ends[1], "x", 1) >= 0 || errno != EPIPE) return 2;
    }
    sigset_t waiting;
    ::sigpending(&waiting);
    if (sigismember(&waiting, SIGPIPE) != 0) return 3;
    return ::write(ends[1], "x", 1) < 0 ? 4 : 5;  // not reached: now the signal ends the process
  });
  CHECK(status == 128 + SIGPIPE);
}
#endif
