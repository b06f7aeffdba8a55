#include "tsdl/track/mlflow/disk.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "support/files.hpp"

namespace {

using test::message_of;
using test::read_bytes;
using test::TemporaryDirectory;
namespace disk = tsdl::internal;

struct stat state_of(const std::filesystem::path& path) {
  struct stat state {};
  REQUIRE(::stat(path.c_str(), &state) == 0);
  return state;
}

}  // namespace

TEST_CASE("lines that lie in one page of the file are appended, others replace the file") {
  const TemporaryDirectory directory;
  const auto target = directory / "metrics" / "a" / "b";
  std::string expected;
  ino_t before = 0;
  int appended = 0, replaced = 0;
  for (int i = 0; i < 600; ++i) {
    const std::string lines = std::string(static_cast<std::size_t>(i % 50), 'x') + "\n";
    const std::size_t first_page = expected.size() / 4096;
    expected += lines;
    const bool same_page = i > 0 && first_page == (expected.size() - 1) / 4096;
    disk::place_lines(directory.path(), target, lines);
    // A link keeps the old file's number from being given to the new one.
    std::filesystem::remove(directory / "link");
    const ino_t now = state_of(target).st_ino;
    if (i > 0) CHECK((now == before) == same_page);
    (same_page ? appended : replaced) += 1;
    before = now;
    std::filesystem::create_hard_link(target, directory / "link");
  }
  CHECK(read_bytes(target) == expected);
  CHECK(appended > 500);
  CHECK(replaced >= 3);
  CHECK(directory.count() == 2);  // metrics and the link
}

TEST_CASE("an empty file, which a kill could have left, is replaced") {
  const TemporaryDirectory directory;
  test::write_bytes(directory / "m", "");
  const ino_t before = state_of(directory / "m").st_ino;
  disk::place_lines(directory.path(), directory / "m", "1 2 3\n");
  CHECK(state_of(directory / "m").st_ino != before);
  CHECK(read_bytes(directory / "m") == "1 2 3\n");
}

TEST_CASE("a full disk leaves what was there, and no half line") {
  const TemporaryDirectory directory;
  const std::string before = std::string(89, 'x') + "\n";
  test::write_bytes(directory / "m", before);
  const int status = test::status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    const auto fails = [&](const auto& action) {
      return test::contains(message_of<tsdl::Error>(action), "cannot be written");
    };
    const std::string lines(20, 'y'), text(200, 'z');
    if (!fails([&] { disk::place_lines(directory.path(), directory / "m", lines); })) return 2;
    if (!fails([&] { disk::place_text(directory.path(), directory / "new", text); })) return 3;
    return 0;
  });
  CHECK(status == 0);
  CHECK(read_bytes(directory / "m") == before);
  CHECK(directory.count() == 1);
}

TEST_CASE("a folder appears with all that is in it, or not at all") {
  const TemporaryDirectory directory;
  const auto aside = directory / "aside", target = directory / "target";
  const auto fill = [&](const char* text) {
    return [&, text](const std::filesystem::path& here) {
      CHECK_FALSE(std::filesystem::exists(target / "file"));
      test::write_bytes(here / "file", text);
    };
  };
  CHECK_THROWS_AS(disk::place_folder(aside, target,
                                     [](const std::filesystem::path&) { throw tsdl::Error("no"); }),
                  tsdl::Error);
  CHECK(directory.count() == 0);
  CHECK(disk::place_folder(aside, target, fill("first")));
  CHECK(directory.count() == 1);
  CHECK_FALSE(disk::place_folder(aside, target, [](const std::filesystem::path& here) {
    test::write_bytes(here / "file", "second");
  }));
  CHECK(read_bytes(target / "file") == "first");
  CHECK(directory.count() == 1);
  CHECK_THROWS_AS(disk::place_folder(aside, target / "file", [](const auto&) {}), tsdl::Error);
  CHECK(directory.count() == 1);
}
