#include "tsdl/core/file.hpp"

#include <doctest/doctest.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/files.hpp"
#include "support/saves.hpp"

namespace {

using test::contains;
using test::message_of;
using test::read_bytes;
using test::TemporaryDirectory;
using test::write_bytes;

constexpr std::chrono::hours day(24);

#ifndef _WIN32
/// The only temporary file in a directory.
std::filesystem::path temporary_in(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().ends_with(".tsdl-tmp")) return entry.path();
  throw std::runtime_error("no temporary file");
}
#endif

/// Makes a file that was written `age` ago.
void write_old(const std::filesystem::path& path, std::chrono::seconds age) {
  write_bytes(path, "half");
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - age);
}

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
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(directory.path());
    tsdl::write_file("plain.txt", "text");
    std::filesystem::current_path(before);
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

#ifndef _WIN32  // needs users
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
#endif

#ifndef _WIN32  // needs fork and limits of a process
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
#endif

#ifndef _WIN32  // needs fork
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

  const auto temporary = temporary_in(directory.path());
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
#endif

TEST_CASE("saves from many threads are whole, and nobody's file is taken for a stale one") {
  const TemporaryDirectory directory;
  std::atomic<bool> done{false};
  std::atomic<int> removed{0};
  std::thread cleaner([&] {
    while (!done) removed += tsdl::remove_stale_temporaries(directory.path());
  });
  std::vector<std::string> faults(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < faults.size(); ++t)
    threads.emplace_back([&, t] { faults[t] = test::save_and_read(directory.path(), 100); });
  for (std::thread& thread : threads) thread.join();
  done = true;
  cleaner.join();
  for (const std::string& fault : faults) CHECK(fault == "");
  CHECK(directory.count() == 1);
}

TEST_CASE("a temporary file is stale when nobody writes it, and without a lock only after a day") {
  using tsdl::internal::is_stale;
  using tsdl::internal::Lock;
  const tsdl::internal::TemporaryName here{tsdl::internal::system_digits(), 0};
  const tsdl::internal::TemporaryName elsewhere{"00000000", 0};
  CHECK(is_stale(here, Lock::taken, std::chrono::seconds(0)));
  CHECK_FALSE(is_stale(here, Lock::held_by_other, 10 * day));
  CHECK_FALSE(is_stale(here, Lock::unsupported, day - std::chrono::seconds(1)));
  CHECK(is_stale(here, Lock::unsupported, day));
  CHECK_FALSE(is_stale(elsewhere, Lock::taken, day - std::chrono::seconds(1)));
  CHECK(is_stale(elsewhere, Lock::taken, day));
  CHECK_FALSE(is_stale(elsewhere, Lock::held_by_other, 10 * day));
}

TEST_CASE("only names that an AtomicFile chooses are removed") {
  const TemporaryDirectory directory;
  const std::string digits = tsdl::internal::system_digits() + "0123456789abcdef";
  for (const std::string& name :
       {std::string("a.tsdl-tmp"), std::string("a.x.tsdl-tmp"), std::string("a.12x.tsdl-tmp"),
        std::string("a.-1.tsdl-tmp"), std::string("a.0.tsdl-tmp"),
        std::string("a.99999999999999999999.tsdl-tmp"), std::string("a.2147483600.tmp"),
        std::string("a"), std::string(".tsdl-tmp"), digits + ".tsdl-tmp",
        "a." + digits + "0.tsdl-tmp", "a." + digits.substr(1) + ".tsdl-tmp", "a." + digits,
        "a." + digits.substr(0, 23) + "g.tsdl-tmp"})
    write_old(directory / name, 10 * day);
  std::filesystem::create_directory(directory / ("folder." + digits + ".tsdl-tmp"));
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 0);
  CHECK(directory.count() == 15);
  write_bytes(directory / ("a." + digits + ".tsdl-tmp"), "half");
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 1);
  CHECK(directory.count() == 15);
  CHECK(tsdl::remove_stale_temporaries(directory / "absent") == 0);
}

TEST_CASE("temporaries of other machines and earlier versions are removed after a day") {
  const TemporaryDirectory directory;
  const std::string elsewhere = "a.000000000123456789abcdef.tsdl-tmp";
  const std::string nobody = "a.2147483600.tsdl-tmp";
  const std::string own = "a." + std::to_string(tsdl::internal::process_id()) + ".tsdl-tmp";
  for (const std::string& name : {elsewhere, nobody, own})
    write_old(directory / name, day - std::chrono::minutes(1));
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 0);
  for (const std::string& name : {elsewhere, nobody, own})
    write_old(directory / name, day + std::chrono::minutes(1));
  tsdl::internal::SystemFile held(directory / nobody, tsdl::internal::OpenFor::locking);
  REQUIRE(held.lock() == tsdl::internal::Lock::taken);
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 2);
  held.close();
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 1);
  CHECK(directory.count() == 0);
}

TEST_CASE("a name may be as long as names can be, and one that is longer is an Error at once") {
  const TemporaryDirectory directory;
  for (const std::size_t length : {99u, 100u, 101u, 230u, 255u}) {
    const auto path = directory / std::string(length, 'n');
    tsdl::write_file(path, "text");
    CHECK(read_bytes(path) == "text");
  }
  const auto longer = directory / std::string(256, 'n');
#ifdef _WIN32  // which tells when the file gets its name
  CHECK(contains(message_of<tsdl::Error>([&] { tsdl::write_file(longer, ""); }),
                 longer.string() + ": cannot be renamed into place: "));
#else
  CHECK(contains(message_of<tsdl::Error>([&] { const tsdl::AtomicFile file(longer); }),
                 longer.string() + ": cannot be written: "));
#endif
  CHECK(directory.count() == 5);
}

#ifndef _WIN32  // needs permissions and pipes
TEST_CASE("a written file has the permissions that the umask leaves") {
  const TemporaryDirectory directory;
  for (const mode_t umask : {0u, 022u, 027u, 077u}) {
    const auto path = directory / "a.txt";
    const int status = test::status_of_child([&] {
      ::umask(umask);
      tsdl::write_file(path, "text");
      return 0;
    });
    CHECK(status == 0);
    CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0666 & ~umask));
  }
}

TEST_CASE("what cannot be a temporary file is not waited for, followed or removed") {
  const TemporaryDirectory directory;
  const std::string digits = tsdl::internal::system_digits() + "0123456789abcdef";
  REQUIRE(::mkfifo((directory / ("pipe." + digits + ".tsdl-tmp")).c_str(), 0600) == 0);
  write_bytes(directory / "kept", "kept");
  std::filesystem::create_symlink(directory / "kept", directory / ("link." + digits + ".tsdl-tmp"));
  CHECK(tsdl::remove_stale_temporaries(directory.path()) == 0);
  CHECK(directory.count() == 3);
}
#endif

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
