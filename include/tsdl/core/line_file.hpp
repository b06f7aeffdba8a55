// A file of lines to which only whole lines are appended, and whose last line, when a killed
// process left it incomplete, is cut off.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// A file of lines to which only whole lines are appended.
class LineFile {
 public:
  explicit LineFile(std::filesystem::path path)
      : path_(std::move(path)), file_(path_, OpenFor::appending_or_new) {
    if (!file_.is_open()) fail("cannot be opened");
  }

  /// Takes the file's lock. A file that has been removed since it was opened counts as held by
  /// another.
  Lock lock() {
    const Lock lock = file_.lock();
    const std::optional<FileState> state = file_.state();
    return state && state->is_linked ? lock : Lock::held_by_other;
  }

  std::int64_t size() const {
    const std::optional<FileState> state = file_.state();
    if (!state) fail("cannot be read");
    return state->size;
  }

  /// Throws: Error when the disk is full or fails; none of `lines` is then kept.
  void append(std::string_view lines) {
    const std::int64_t before = size();
    if (file_.write(lines.data(), lines.size())) return;
    const std::string why = last_error_text();
    cut(before);
    throw Error(path_text(path_), ": cannot be written: ", why);
  }

  /// Whole lines from `offset` on: about `bytes` of them, but at least one if there is one.
  std::string read(std::int64_t offset, std::size_t bytes) const {
    std::string text;
    for (;;) {
      const std::size_t before = text.size();
      text.resize(before + bytes);
      const std::ptrdiff_t got =
          file_.read_at(text.data() + before, bytes, offset + static_cast<std::int64_t>(before));
      if (got < 0) fail("cannot be read");
      text.resize(before + static_cast<std::size_t>(got));
      const std::size_t end = text.rfind('\n');
      if (end != std::string::npos) return text.substr(0, end + 1);
      if (got == 0) return {};
    }
  }

  /// Removes everything after the last line end.
  void drop_torn_line() {
    std::int64_t end = 0;
    for (std::string text = read(0, chunk); !text.empty(); text = read(end, chunk))
      end += static_cast<std::int64_t>(text.size());
    if (end != size()) cut(end);
  }

  /// The last line; empty when there is none, or it is longer than `bytes`.
  std::string last_line(std::int64_t bytes) const {
    const std::int64_t from = std::max<std::int64_t>(size() - bytes, 0);
    std::string text = read(from, static_cast<std::size_t>(bytes));
    const std::size_t before =
        text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
    if (before != std::string::npos) return text.substr(before + 1);
    return from == 0 ? text : std::string();
  }

  /// Returns whether all that was appended is on the disk.
  bool sync() const noexcept { return file_.sync(); }

  static constexpr std::size_t chunk = 1u << 18;

 private:
  void cut(std::int64_t bytes) {
    if (!file_.resize(bytes)) fail("cannot be cut");
  }
  [[noreturn]] void fail(const char* what) const {
    throw Error(path_text(path_), ": ", what, ": ", last_error_text());
  }

  std::filesystem::path path_;
  SystemFile file_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
