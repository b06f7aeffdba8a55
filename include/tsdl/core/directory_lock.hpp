// One process at a time in a directory.
#pragma once

#include <filesystem>

#include "tsdl/core/error.hpp"
#include "tsdl/core/line_file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Holds a directory for as long as the object lives: no other process, and no other object of this
/// one, can hold it meanwhile. The end of the process, however it ends, gives it back. The file
/// `lock` in the directory stays behind and means nothing by itself.
/// Where a disk has no locks, every process gets the directory.
class DirectoryLock {
 public:
  /// Throws: Error when the directory is in use, or `lock` cannot be made in it.
  explicit DirectoryLock(const std::filesystem::path& directory) : file_(directory / "lock") {
    if (file_.lock() == internal::Lock::held_by_other)
      throw Error(internal::path_text(directory), ": in use: another process holds ",
                  internal::path_text(directory / "lock"));
  }

 private:
  internal::LineFile file_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
