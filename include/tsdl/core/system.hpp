// What a system offers beside the standard library: reasons of failures, processes, locales,
// signals; files are in system_file.hpp. Everything has a POSIX form and one for Windows, and no
// other header of tsdl includes or calls what not every system has.
#pragma once

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <locale.h>
#include <stdlib.h>
#include <windows.h>
#else
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif
#endif

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "tsdl/version.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Why the last call of the system by this thread failed. Ask before anything else is called.
std::string last_error_text();

/// Whether that call failed because something of that name exists.
bool last_error_is_taken_name() noexcept;

/// A path for messages; UTF-8 on Windows.
std::string path_text(const std::filesystem::path& path);

/// The number of this process. Other containers may have a process of the same number.
std::int64_t process_id() noexcept;

/// Whether this system has a process of that number, as far as this process may see.
bool process_runs(std::int64_t id) noexcept;

/// What tells this running system from others: containers on it share it, and restarting it changes
/// it, where the system tells (Linux); elsewhere the name of the machine.
std::string system_identity();

/// strtod in the C locale, whatever the program's; sets errno.
double strtod_classic(const char* text, char** end);

#ifdef _WIN32

inline std::string utf8_text(std::wstring_view wide) {
  const int length = static_cast<int>(wide.size());
  const int bytes =
      ::WideCharToMultiByte(CP_UTF8, 0, wide.data(), length, nullptr, 0, nullptr, nullptr);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  ::WideCharToMultiByte(CP_UTF8, 0, wide.data(), length, text.data(), bytes, nullptr, nullptr);
  return text;
}

inline std::string last_error_text() {
  const DWORD code = ::GetLastError();
  wchar_t text[512];
  const DWORD length = ::FormatMessageW(
      FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK,
      nullptr, code, 0, text, static_cast<DWORD>(std::size(text)), nullptr);
  std::wstring_view trimmed(text, length);
  while (!trimmed.empty() && (trimmed.back() == L' ' || trimmed.back() == L'.'))
    trimmed.remove_suffix(1);
  return trimmed.empty() ? "error " + std::to_string(code) : utf8_text(trimmed);
}

inline bool last_error_is_taken_name() noexcept {
  const DWORD code = ::GetLastError();
  return code == ERROR_FILE_EXISTS || code == ERROR_ALREADY_EXISTS;
}

inline std::string path_text(const std::filesystem::path& path) { return utf8_text(path.native()); }

inline std::int64_t process_id() noexcept { return ::GetCurrentProcessId(); }

inline bool process_runs(std::int64_t id) noexcept {
  const HANDLE process =
      ::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, static_cast<DWORD>(id));
  if (!process) return ::GetLastError() == ERROR_ACCESS_DENIED;
  DWORD status = 0;
  const bool runs = ::GetExitCodeProcess(process, &status) && status == STILL_ACTIVE;
  ::CloseHandle(process);
  return runs;
}

inline std::string system_identity() {
  wchar_t name[MAX_COMPUTERNAME_LENGTH + 1];
  DWORD length = static_cast<DWORD>(std::size(name));
  return ::GetComputerNameW(name, &length) ? utf8_text({name, length}) : std::string();
}

inline double strtod_classic(const char* text, char** end) {
  static const _locale_t classic = ::_create_locale(LC_ALL, "C");
  if (!classic) throw std::bad_alloc();
  return ::_strtod_l(text, end, classic);
}

#else

/// A descriptor of any kind, closed when the scope ends.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() { close(); }
  int get() const noexcept { return fd_; }
  /// Closes now. Returns whether that succeeded.
  bool close() noexcept {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

inline std::string errno_text(int code) { return std::strerror(code); }

inline std::string last_error_text() { return errno_text(errno); }

inline bool last_error_is_taken_name() noexcept { return errno == EEXIST || errno == ENOTEMPTY; }

inline std::string path_text(const std::filesystem::path& path) { return path.string(); }

inline std::int64_t process_id() noexcept { return ::getpid(); }

inline bool process_runs(std::int64_t id) noexcept {
  return ::kill(static_cast<pid_t>(id), 0) == 0 || errno != ESRCH;
}

inline std::string system_identity() {
  char text[256] = {};
  const FileDescriptor boot(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (boot.get() >= 0 && ::read(boot.get(), text, sizeof text - 1) > 0) return text;
  return ::gethostname(text, sizeof text - 1) == 0 ? text : "";
}

inline double strtod_classic(const char* text, char** end) {
  static const locale_t classic = ::newlocale(LC_ALL_MASK, "C", locale_t{});
  if (!classic) throw std::bad_alloc();
  return ::strtod_l(text, end, classic);
}

#endif

/// Keeps a write to a closed connection from ending the process, in this thread.
class WithoutPipeSignal {
 public:
#ifdef _WIN32
  WithoutPipeSignal() noexcept {}  // Windows sends none
#else
  WithoutPipeSignal() noexcept {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGPIPE);
    was_pending_ = is_pending();
    ::pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  WithoutPipeSignal(const WithoutPipeSignal&) = delete;
  WithoutPipeSignal& operator=(const WithoutPipeSignal&) = delete;
  ~WithoutPipeSignal() {
    int signal = 0;
    if (!was_pending_ && is_pending()) ::sigwait(&signal_, &signal);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  static bool is_pending() noexcept {
    sigset_t waiting;
    sigemptyset(&waiting);
    ::sigpending(&waiting);
    return sigismember(&waiting, SIGPIPE) == 1;
  }

  sigset_t signal_{};
  sigset_t before_{};
  bool was_pending_ = false;
#endif
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
