// Files and folders that appear completely or not at all to another program that lists them.
//
// A file or folder is written elsewhere on the same disk and then renamed. What a killed process
// leaves behind is where nobody looks.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"

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
  if (code) throw Error(path_text(folder), ": cannot be listed: ", code.message());
  return names;
}

inline std::string whole_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) throw Error(path_text(path), ": cannot be read");
  return text;
}

/// Renames a file, creating the folders that the new name needs. Throws: Error; the file is then
/// removed.
inline void move_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  try {
    make_directories(to.parent_path());
    if (!rename_file(from, to))
      throw Error(path_text(to), ": cannot be renamed into place: ", last_error_text());
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove(from, ignored);
    throw;
  }
}

/// Writes `target`, somewhere below `folder`, through a file in `folder` itself. Not synced.
inline void place_text(const std::filesystem::path& folder, const std::filesystem::path& target,
                       std::string_view text) {
  const std::filesystem::path unfinished =
      folder / ("text." + unique_digits() + std::string(temporary_suffix));
  std::ofstream out(unfinished, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (!out) {
    const std::string why = last_error_text();
    std::error_code ignored;
    std::filesystem::remove(unfinished, ignored);
    throw Error(path_text(target), ": cannot be written: ", why);
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
    SystemFile file(target, OpenFor::appending);
    const std::optional<FileState> state = file.is_open() ? file.state() : std::nullopt;
    if (state && state->size > 0) {
      const auto size = static_cast<std::size_t>(state->size);
      if (size / page == (size + lines.size() - 1) / page) {
        if (file.write(lines.data(), lines.size())) return;
        const std::string why = last_error_text();
        throw Error(path_text(target), ": cannot be written",
                    file.resize(state->size) ? "" : " and has half a line", ": ", why);
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
  const FolderRename renamed = rename_folder(unfinished, target);
  if (renamed == FolderRename::failed)
    throw Error(path_text(target), ": cannot be renamed into place: ", last_error_text());
  return renamed == FolderRename::done;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
