// What tests of files share: a directory of their own, raw bytes, errors as text, child processes.
#pragma once

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>

namespace test {

/// A new directory that is removed with everything in it when the scope ends.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::random_device random;
    do {
      path_ = std::filesystem::temp_directory_path() / ("tsdl-test-" + std::to_string(random()));
    } while (!std::filesystem::create_directory(path_));
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  /// How many entries it has.
  std::ptrdiff_t count() const {
    return std::distance(std::filesystem::directory_iterator(path_),
                         std::filesystem::directory_iterator());
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The message of the `Expected` (exactly that type) that `action` throws; else what happened.
template <class Expected, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const std::exception& error) {
    if (typeid(error) == typeid(Expected)) return error.what();
    return std::string("another exception: ") + typeid(error).name() + ": " + error.what();
  }
  return "no exception";
}

/// Runs `action`, which returns an int, in a forked process and gives its exit status: that int,
/// 100 for an exception, 128 + n for signal n. On Windows, which does not fork: in this process.
template <class Action>
int status_of_child(const Action& action) {
#ifdef _WIN32
  try {
    return action();
  } catch (...) {
    return 100;
  }
#else
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    int status = 100;
    try {
      status = action();
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid failed");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
#endif
}

/// Ends this process, a child, if it still runs then. Does nothing on Windows.
inline void end_child_after([[maybe_unused]] unsigned seconds) {
#ifndef _WIN32
  ::alarm(seconds);
#endif
}

}  // namespace test
