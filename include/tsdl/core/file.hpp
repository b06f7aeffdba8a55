// Files that are complete or absent: written under a temporary name, synced, renamed. POSIX.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tsdl/core/error.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr std::string_view temporary_suffix = ".tsdl-tmp";

inline std::string errno_text(int code) { return std::strerror(code); }

/// Closes on scope exit.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  /// Closes now. Returns whether that succeeded.
  bool close() noexcept { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

}  // namespace internal

/// A file that replaces the file of its name only in commit(). Until then, and after any failure,
/// an older file of that name stays as it was.
class AtomicFile {
 public:
  /// Opens `<path>.<pid>.tsdl-tmp` for writing. Throws: Error if it cannot.
  explicit AtomicFile(std::filesystem::path path)
      : path_(std::move(path)),
        temporary_(path_.string() + "." + std::to_string(::getpid()) +
                   std::string(internal::temporary_suffix)),
        file_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (file_.get() < 0) fail("cannot be written");
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends bytes. Throws: Error if the disk is full or fails.
  void write(const void* data, std::size_t bytes) {
    const char* next = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(file_.get(), next, bytes);
      if (written < 0) {
        if (errno == EINTR) continue;
        fail("cannot be written");
      }
      next += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Syncs, renames over the target and syncs the directory. Throws: Error, the target untouched.
  void commit() {
    if (::fsync(file_.get()) != 0) fail("cannot be synced");
    if (!file_.close()) fail("cannot be closed");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot be renamed into place");
    committed_ = true;
    const std::string parent = path_.has_parent_path() ? path_.parent_path().string() : ".";
    const internal::FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_CLOEXEC));
    if (directory.get() >= 0) ::fsync(directory.get());
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    const int code = errno;
    throw Error(path_.string(), ": ", what, ": ", internal::errno_text(code));
  }

  std::filesystem::path path_;
  std::string temporary_;
  internal::FileDescriptor file_;
  bool committed_ = false;
};

/// Writes `text` to `path`, completely or not at all. Throws: Error.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

/// Creates a directory and its parents. Throws: Error, with the path and the system's reason.
inline void make_directories(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code || !std::filesystem::is_directory(path, code))
    throw Error(path.string(), ": cannot be made a directory",
                code ? ": " + code.message() : std::string());
}

/// Removes the temporary files of AtomicFiles in `directory` whose process no longer runs. Call it
/// when a run starts. Returns how many were removed.
inline int remove_stale_temporaries(const std::filesystem::path& directory) {
  int removed = 0;
  std::error_code code;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator entry(directory, code); !code && entry != end;
       entry.increment(code)) {
    std::string name = entry->path().filename().string();
    if (!name.ends_with(internal::temporary_suffix)) continue;
    name.resize(name.size() - internal::temporary_suffix.size());
    const std::size_t dot = name.rfind('.');
    if (dot == std::string::npos) continue;
    pid_t pid = 0;
    const char* last = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + dot + 1, last, pid);
    if (parsed.ec != std::errc() || parsed.ptr != last || pid <= 0) continue;
    const bool alive = pid != ::getpid() && (::kill(pid, 0) == 0 || errno != ESRCH);
    std::error_code not_removed;
    if (!alive && std::filesystem::remove(entry->path(), not_removed)) ++removed;
  }
  return removed;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
