// Files that are complete or absent: written under a temporary name, synced, renamed.
//
// A temporary file is locked while it is written, and a stale one is removed under the same lock,
// so that a file that somebody writes, in this process or another, is never removed. The lock may
// not reach other machines, or the disk may have none: there, only what is a day old counts as
// stale.
#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr std::string_view temporary_suffix = ".tsdl-tmp";

/// 16 hexadecimal digits, other ones in every call, process and machine.
inline std::string unique_digits() {
  std::random_device random;
  Fingerprint digest;
  for (int i = 0; i < 4; ++i) {
    const auto bits = random();
    digest.add(&bits, sizeof bits);
  }
  return digest.text();
}

/// 8 hexadecimal digits for the running system, whose processes all see the same locks.
inline const std::string& system_digits() {
  static const std::string digits = Fingerprint().add(system_identity()).text().substr(0, 8);
  return digits;
}

/// `<path>.<system><unique>.tsdl-tmp`. A long name is left out, since names have a longest length.
inline std::filesystem::path temporary_path(const std::filesystem::path& path) {
  constexpr std::size_t longest = 100;
  std::filesystem::path name = path.filename();
  if (name.native().size() > longest) name = "tsdl";
  name += '.' + system_digits() + unique_digits() + std::string(temporary_suffix);
  return path.parent_path() / name;
}

/// What the name of a temporary file tells of the process that writes it.
struct TemporaryName {
  std::string system;  ///< its system_digits()
  /// Its number, in names of earlier versions, whose files are not locked; else 0.
  std::int64_t process = 0;
};

/// None for a name that AtomicFile does not choose.
inline std::optional<TemporaryName> parse_temporary_name(std::string_view name) {
  if (!name.ends_with(temporary_suffix)) return {};
  name.remove_suffix(temporary_suffix.size());
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return {};
  name.remove_prefix(dot + 1);
  if (name.size() == 24 && name.find_first_not_of("0123456789abcdef") == name.npos)
    return TemporaryName{std::string(name.substr(0, 8)), 0};
  std::int32_t process = 0;
  const char* last = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), last, process);
  if (parsed.ec != std::errc() || parsed.ptr != last || process <= 0) return {};
  return TemporaryName{{}, process};
}

/// Whether nobody writes a file any more, `lock` being what taking its lock said.
inline bool is_stale(const TemporaryName& name, Lock lock, std::chrono::seconds since_written) {
  if (lock == Lock::held_by_other) return false;
  if (lock == Lock::taken && name.system == system_digits()) return true;
  const bool writer_runs =
      name.process > 0 && name.process != process_id() && process_runs(name.process);
  return !writer_runs && since_written >= std::chrono::hours(24);
}

/// Removes the temporary file if it is stale. Returns whether it did.
inline bool remove_stale(const std::filesystem::path& path, const TemporaryName& name) {
  SystemFile file(path, OpenFor::locking);
  if (!file.is_open()) return false;
  const Lock lock = file.lock();
  const std::optional<FileState> state = file.state();
  if (!state || !state->is_regular || !state->is_linked) return false;
  std::error_code code;
  const auto written = std::filesystem::last_write_time(path, code);
  if (code) return false;
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(
      std::filesystem::file_time_type::clock::now() - written);
  // Still locked: who has just made the file and waits for the lock will see that it is gone.
  return is_stale(name, lock, age) && std::filesystem::remove(path, code);
}

}  // namespace internal

/// A file that replaces the file of its name only in commit(). Until then, and after any failure,
/// an older file of that name stays as it was. Any number of threads and processes may write files
/// of the same name at once; the last commit() stays.
class AtomicFile {
 public:
  /// Opens a file beside `path` for writing; its name ends in ".tsdl-tmp". Throws: Error if it
  /// cannot.
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code code;
    if (!std::filesystem::exists(path_, code) && code == std::errc::filename_too_long)
      throw Error(internal::path_text(path_), ": cannot be written: ", code.message());
    constexpr int most_tries = 1000;
    for (int tries = 0; tries < most_tries && !open_temporary(); ++tries) {
    }
    if (!file_.is_open()) fail("cannot be written");
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) remove_temporary();
  }

  /// Appends bytes. Throws: Error if the disk is full or fails.
  void write(const void* data, std::size_t bytes) {
    if (!file_.write(data, bytes)) fail("cannot be written");
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Syncs, renames over the target and syncs the directory. Throws: Error, the target untouched.
  void commit() {
    if (!file_.sync()) fail("cannot be synced");
    // Renamed before it is closed: a file without its lock would count as stale.
    if (!internal::rename_file(temporary_, path_)) fail("cannot be renamed into place");
    committed_ = true;
    file_.close();
    internal::sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
  }

 private:
  /// Returns false when another name must be tried: this one is taken, or the new file was, before
  /// it had its lock, by somebody who looks for stale ones.
  bool open_temporary() {
    temporary_ = internal::temporary_path(path_);
    file_ = internal::SystemFile(temporary_, internal::OpenFor::new_file);
    if (!file_.is_open()) return !internal::last_error_is_taken_name();
    const internal::Lock lock = file_.lock();
    const std::optional<internal::FileState> state = file_.state();
    if (lock != internal::Lock::held_by_other && state && state->is_linked) return true;
    remove_temporary();
    file_.close();
    return false;
  }

  void remove_temporary() noexcept {
    std::error_code ignored;
    std::filesystem::remove(temporary_, ignored);
  }

  [[noreturn]] void fail(const char* what) const {
    const std::string why = internal::last_error_text();
    throw Error(internal::path_text(path_), ": ", what, ": ", why);
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  internal::SystemFile file_;
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
    throw Error(internal::path_text(path), ": cannot be made a directory",
                code ? ": " + code.message() : std::string());
}

/// Removes the temporary files of AtomicFiles in `directory` that nobody writes any more: of killed
/// processes and, a day after they were written, of other machines and of earlier versions. Call
/// it when a run starts. Returns how many were removed.
inline int remove_stale_temporaries(const std::filesystem::path& directory) {
  int removed = 0;
  std::error_code code;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator entry(directory, code); !code && entry != end;
       entry.increment(code)) {
    const auto name = internal::parse_temporary_name(internal::path_text(entry->path().filename()));
    if (name && internal::remove_stale(entry->path(), *name)) ++removed;
  }
  return removed;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
