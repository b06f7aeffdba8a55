// Files as a system offers them: locked, synced, renamed; POSIX and Windows. Where a call fails,
// last_error_text() tells why.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "tsdl/core/system.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

enum class OpenFor {
  reading,           ///< waits for the other end of a pipe
  reading_regular,   ///< does not wait; state() tells whether the file is regular
  new_file,          ///< writing; fails where the name is taken
  appending,         ///< to a file that exists; read_at() works too
  appending_or_new,  ///< the same; makes the file when it does not exist
  locking,           ///< does not wait, and does not follow a symbolic link
};

enum class Lock { taken, held_by_other, unsupported };

struct FileState {
  bool is_regular = false;  ///< neither a directory, a pipe nor a device
  bool is_linked = false;   ///< it still has a name
  std::int64_t size = 0;    ///< bytes
};

/// An open file, closed when the scope ends; child processes that run another program do not have
/// it. Others may rename or remove it meanwhile, on Windows too.
class SystemFile {
 public:
#ifdef _WIN32
  using Native = HANDLE;
#else
  using Native = int;
#endif

  SystemFile() noexcept = default;
  /// The file is not open when that fails. New files have the permissions that the umask leaves.
  SystemFile(const std::filesystem::path& path, OpenFor purpose) noexcept;
  SystemFile(SystemFile&& other) noexcept
      : native_(std::exchange(other.native_, closed())), appends_(other.appends_) {}
  SystemFile& operator=(SystemFile&& other) noexcept {
    std::swap(native_, other.native_);
    std::swap(appends_, other.appends_);
    return *this;
  }
  ~SystemFile() { close(); }

  bool is_open() const noexcept { return native_ != closed(); }
  bool close() noexcept;

  /// Reads up to `bytes`. Returns how many, 0 at the end, -1 when that fails.
  std::ptrdiff_t read(void* out, std::size_t bytes) noexcept;
  /// The same, from `offset` on.
  std::ptrdiff_t read_at(void* out, std::size_t bytes, std::int64_t offset) const noexcept;
  /// Writes all bytes.
  bool write(const void* data, std::size_t bytes) noexcept;
  bool resize(std::int64_t bytes) noexcept;
  /// Returns when the data is on the disk.
  bool sync() const noexcept;
  std::optional<FileState> state() const noexcept;

  /// Takes the file's one lock without waiting; closing the file gives it back, and so does the end
  /// of the process. It holds against every other SystemFile that is open on the file, in this
  /// thread, in others, and in other containers of this machine.
  Lock lock() noexcept;

 private:
#ifdef _WIN32
  static Native closed() noexcept { return INVALID_HANDLE_VALUE; }
#else
  static constexpr Native closed() noexcept { return -1; }
#endif

  Native native_ = closed();
  bool appends_ = false;
};

/// Renames a file, over one that exists.
bool rename_file(const std::filesystem::path& from, const std::filesystem::path& to) noexcept;

enum class FolderRename { done, name_taken, failed };

/// Renames a folder, to a name that no folder with something in it has.
FolderRename rename_folder(const std::filesystem::path& from,
                           const std::filesystem::path& to) noexcept;

/// Returns when the names in a directory are on the disk, where a system can do that.
void sync_directory(const std::filesystem::path& directory) noexcept;

#ifdef _WIN32

inline SystemFile::SystemFile(const std::filesystem::path& path, OpenFor purpose) noexcept
    : appends_(purpose == OpenFor::appending || purpose == OpenFor::appending_or_new) {
  const bool reads = purpose != OpenFor::new_file;
  const bool writes = purpose != OpenFor::reading && purpose != OpenFor::reading_regular;
  const DWORD creation = purpose == OpenFor::new_file           ? CREATE_NEW
                         : purpose == OpenFor::appending_or_new ? OPEN_ALWAYS
                                                                : OPEN_EXISTING;
  DWORD flags = FILE_ATTRIBUTE_NORMAL;
  if (purpose == OpenFor::locking) flags |= FILE_FLAG_OPEN_REPARSE_POINT;
  // Opens a directory too, so that state() can tell.
  if (purpose == OpenFor::reading_regular) flags |= FILE_FLAG_BACKUP_SEMANTICS;
  native_ = ::CreateFileW(path.c_str(), (reads ? GENERIC_READ : 0) | (writes ? GENERIC_WRITE : 0),
                          FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr, creation,
                          flags, nullptr);
}

inline bool SystemFile::close() noexcept {
  const Native native = std::exchange(native_, closed());
  return native == closed() || ::CloseHandle(native);
}

/// Calls `move(bytes, moved)` for part of a size that may not fit its 32 bits.
template <class Move>
std::ptrdiff_t moved_bytes(std::size_t bytes, const Move& move) noexcept {
  DWORD moved = 0;
  const auto part = static_cast<DWORD>(std::min<std::size_t>(bytes, std::size_t{1} << 30));
  if (move(part, &moved)) return static_cast<std::ptrdiff_t>(moved);
  const DWORD code = ::GetLastError();
  return code == ERROR_HANDLE_EOF || code == ERROR_BROKEN_PIPE ? 0 : -1;
}

inline std::ptrdiff_t SystemFile::read(void* out, std::size_t bytes) noexcept {
  return moved_bytes(bytes, [&](DWORD part, DWORD* moved) {
    return ::ReadFile(native_, out, part, moved, nullptr);
  });
}

inline OVERLAPPED file_place(std::int64_t offset) noexcept {
  OVERLAPPED place{};
  place.Offset = static_cast<DWORD>(offset & 0xffffffff);
  place.OffsetHigh = static_cast<DWORD>(static_cast<std::uint64_t>(offset) >> 32);
  return place;
}

inline std::ptrdiff_t SystemFile::read_at(void* out, std::size_t bytes,
                                          std::int64_t offset) const noexcept {
  OVERLAPPED place = file_place(offset);
  return moved_bytes(bytes, [&](DWORD part, DWORD* moved) {
    return ::ReadFile(native_, out, part, moved, &place);
  });
}

inline bool SystemFile::write(const void* data, std::size_t bytes) noexcept {
  for (const char* next = static_cast<const char*>(data); bytes > 0;) {
    OVERLAPPED at_end = file_place(-1);
    const std::ptrdiff_t written = moved_bytes(bytes, [&](DWORD part, DWORD* moved) {
      return ::WriteFile(native_, next, part, moved, appends_ ? &at_end : nullptr);
    });
    if (written <= 0) return false;
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

inline bool SystemFile::resize(std::int64_t bytes) noexcept {
  FILE_END_OF_FILE_INFO end{};
  end.EndOfFile.QuadPart = bytes;
  return ::SetFileInformationByHandle(native_, FileEndOfFileInfo, &end, sizeof end);
}

inline bool SystemFile::sync() const noexcept { return ::FlushFileBuffers(native_); }

inline std::optional<FileState> SystemFile::state() const noexcept {
  if (::GetFileType(native_) != FILE_TYPE_DISK) return FileState{};
  FILE_STANDARD_INFO info{};
  if (!::GetFileInformationByHandleEx(native_, FileStandardInfo, &info, sizeof info)) return {};
  return FileState{!info.Directory, !info.DeletePending && info.NumberOfLinks > 0,
                   info.EndOfFile.QuadPart};
}

inline Lock SystemFile::lock() noexcept {
  // Far behind the data: who reads a locked byte on Windows is refused.
  OVERLAPPED place = file_place(std::int64_t{1} << 62);
  if (::LockFileEx(native_, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &place))
    return Lock::taken;
  const DWORD code = ::GetLastError();
  return code == ERROR_LOCK_VIOLATION || code == ERROR_IO_PENDING ? Lock::held_by_other
                                                                  : Lock::unsupported;
}

inline bool rename_file(const std::filesystem::path& from,
                        const std::filesystem::path& to) noexcept {
  // Refused while another program, often one that looks for viruses, has the old file open.
  for (int tries = 0;; ++tries) {
    if (::MoveFileExW(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
      return true;
    const DWORD code = ::GetLastError(), old = ::GetFileAttributesW(to.c_str());
    const bool may_pass = (code == ERROR_ACCESS_DENIED || code == ERROR_SHARING_VIOLATION) &&
                          old != INVALID_FILE_ATTRIBUTES &&
                          (old & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_READONLY)) == 0;
    ::SetLastError(code);
    if (!may_pass || tries == 200) return false;
    ::Sleep(10);
  }
}

inline FolderRename rename_folder(const std::filesystem::path& from,
                                  const std::filesystem::path& to) noexcept {
  if (::MoveFileExW(from.c_str(), to.c_str(), MOVEFILE_WRITE_THROUGH)) return FolderRename::done;
  return last_error_is_taken_name() ? FolderRename::name_taken : FolderRename::failed;
}

inline void sync_directory(const std::filesystem::path&) noexcept {}

#else

inline SystemFile::SystemFile(const std::filesystem::path& path, OpenFor purpose) noexcept
    : appends_(purpose == OpenFor::appending || purpose == OpenFor::appending_or_new) {
  int flags = O_CLOEXEC;
  if (purpose == OpenFor::reading) flags |= O_RDONLY;
  if (purpose == OpenFor::reading_regular) flags |= O_RDONLY | O_NONBLOCK;
  if (purpose == OpenFor::new_file) flags |= O_WRONLY | O_CREAT | O_EXCL;
  if (purpose == OpenFor::locking) flags |= O_RDWR | O_NONBLOCK | O_NOFOLLOW;
  if (appends_) flags |= O_RDWR | O_APPEND;
  if (purpose == OpenFor::appending_or_new) flags |= O_CREAT;
  native_ = ::open(path.c_str(), flags, 0666);
  // A file that may not be written can be locked too, but not over NFS.
  if (native_ < 0 && purpose == OpenFor::locking)
    native_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

inline bool SystemFile::close() noexcept {
  const Native native = std::exchange(native_, closed());
  return native == closed() || ::close(native) == 0;
}

/// Calls again what a signal interrupted.
template <class Call>
auto uninterrupted(const Call& call) noexcept {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

inline std::ptrdiff_t SystemFile::read(void* out, std::size_t bytes) noexcept {
  return uninterrupted([&] { return ::read(native_, out, bytes); });
}

inline std::ptrdiff_t SystemFile::read_at(void* out, std::size_t bytes,
                                          std::int64_t offset) const noexcept {
  return uninterrupted([&] { return ::pread(native_, out, bytes, static_cast<off_t>(offset)); });
}

inline bool SystemFile::write(const void* data, std::size_t bytes) noexcept {
  for (const char* next = static_cast<const char*>(data); bytes > 0;) {
    const ssize_t written = uninterrupted([&] { return ::write(native_, next, bytes); });
    if (written < 0) return false;
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

inline bool SystemFile::resize(std::int64_t bytes) noexcept {
  return uninterrupted([&] { return ::ftruncate(native_, static_cast<off_t>(bytes)); }) == 0;
}

inline bool SystemFile::sync() const noexcept {
  return uninterrupted([&] { return ::fsync(native_); }) == 0;
}

inline std::optional<FileState> SystemFile::state() const noexcept {
  struct stat status {};
  if (::fstat(native_, &status) != 0) return {};
  return FileState{S_ISREG(status.st_mode), status.st_nlink > 0, status.st_size};
}

inline Lock SystemFile::lock() noexcept {
  if (uninterrupted([&] { return ::flock(native_, LOCK_EX | LOCK_NB); }) == 0) return Lock::taken;
  return errno == EWOULDBLOCK || errno == EACCES ? Lock::held_by_other : Lock::unsupported;
}

inline bool rename_file(const std::filesystem::path& from,
                        const std::filesystem::path& to) noexcept {
  return ::rename(from.c_str(), to.c_str()) == 0;
}

inline FolderRename rename_folder(const std::filesystem::path& from,
                                  const std::filesystem::path& to) noexcept {
  if (::rename(from.c_str(), to.c_str()) == 0) return FolderRename::done;
  return last_error_is_taken_name() ? FolderRename::name_taken : FolderRename::failed;
}

inline void sync_directory(const std::filesystem::path& directory) noexcept {
  const SystemFile open(directory, OpenFor::reading);
  if (open.is_open()) open.sync();
}

#endif

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
