// Files and folders that appear completely or not at all to another program that lists them.
//
// A file or folder is written elsewhere on the same disk and then renamed. What a killed process
// leaves behind is where nobody looks.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tsdl/core/file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

inline bool is_there(const std::filesystem::path& path) {
  std::error_code none;
  return std::filesystem::exists(path, none);
}

/// The names of the entries of a folder. Throws: Error.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code code;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator at(folder, code); !code && at != end; at.increment(code))
    names.push_back(at->path().filename().string());
  if (code) throw Error(folder.string(), ": cannot be listed: ", code.message());
  return names;
}

inline std::string whole_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) throw Error(path.string(), ": cannot be read");
  return text;
}

/// Renames a file, creating the folders that the new name needs. Throws: Error; the file is then
/// removed.
inline void move_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  try {
    make_directories(to.parent_path());
    if (::rename(from.c_str(), to.c_str()) != 0)
      throw Error(to.string(), ": cannot be renamed into place: ", errno_text(errno));
  } catch (const Error&) {
    ::unlink(from.c_str());
    throw;
  }
}

/// Writes `target`, somewhere below `folder`, through a file in `folder` itself. Not synced.
inline void place_text(const std::filesystem::path& folder, const std::filesystem::path& target,
                       std::string_view text) {
  const std::filesystem::path unfinished =
      folder / ("text." + std::to_string(::getpid()) + std::string(temporary_suffix));
  std::ofstream out(unfinished, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (!out) {
    ::unlink(unfinished.c_str());
    throw Error(target.string(), ": cannot be written: ", errno_text(errno));
  }
  move_file(unfinished, target);
}

/// Appends whole lines to `target`. A kill can split a write at the boundary of two pages of the
/// file, and MLflow can read neither a partial line nor an empty file: a write that crosses a page,
/// and the first write, replace the file.
inline void place_lines(const std::filesystem::path& folder, const std::filesystem::path& target,
                        std::string_view lines) {
  constexpr std::size_t page = 4096;
  std::string before;
  {
    const FileDescriptor file(::open(target.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    struct stat state {};
    if (file.get() >= 0 && ::fstat(file.get(), &state) == 0 && state.st_size > 0) {
      const auto size = static_cast<std::size_t>(state.st_size);
      if (size / page == (size + lines.size() - 1) / page) {
        const ssize_t written = ::write(file.get(), lines.data(), lines.size());
        if (written == static_cast<ssize_t>(lines.size())) return;
        const int code = errno;
        const bool restored = written <= 0 || ::ftruncate(file.get(), state.st_size) == 0;
        throw Error(target.string(), ": cannot be written", restored ? "" : " and has half a line",
                    ": ", errno_text(written < 0 ? code : ENOSPC));
      }
      before = whole_file(target);
    }
  }
  place_text(folder, target, before.append(lines));
}

/// Creates the folder `target` with the contents that `fill` writes, through the new folder
/// `aside`, which does not exist afterwards. Returns false when `target` exists already. Throws:
/// Error, and whatever fill throws.
template <class Fill>
bool place_folder(const std::filesystem::path& aside, const std::filesystem::path& target,
                  const Fill& fill) {
  struct Remove {
    const std::filesystem::path& path;
    ~Remove() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  const Remove at_end{aside};
  const std::filesystem::path unfinished = aside / "new";
  make_directories(unfinished);
  fill(unfinished);
  if (::rename(unfinished.c_str(), target.c_str()) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY) return false;
  throw Error(target.string(), ": cannot be renamed into place: ", errno_text(errno));
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
