// A strict reader of comma-separated text, which knows the line and column of every field.
#pragma once

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// std::from_chars for double, which LLVM's library lacks.
inline std::from_chars_result read_double(std::string_view text, double& value) {
  const char* first = text.data();
#ifdef __cpp_lib_to_chars
  return std::from_chars(first, first + text.size(), value);
#else
  // strtod also takes a plus, spaces and hexadecimal digits.
  const bool plain = text.find_first_not_of("0123456789+-.eEinfatyINFATY") == text.npos;
  if (!plain || text.empty() || text.front() == '+') return {first, std::errc::invalid_argument};
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  const double read = strtod_classic(terminated.c_str(), &end);
  const char* last = first + (end - terminated.c_str());
  if (last == first) return {first, std::errc::invalid_argument};
  const bool vanished = (std::bit_cast<std::uint64_t>(read) << 1) == 0;
  if (errno == ERANGE && (vanished || !is_finite(read)))
    return {last, std::errc::result_out_of_range};
  value = read;
  return {last, std::errc()};
#endif
}

inline std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Lower case for ASCII letters, whatever the locale.
inline std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

/// The shortest decimal that reads back as `value`, whatever the locale.
inline std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// Text from a file, made safe for a one-line message: quoted, short, without control bytes.
inline std::string excerpt(std::string_view text) {
  constexpr std::size_t longest = 40;
  std::string shown = "\"";
  for (const char c : text.substr(0, longest))
    shown += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? '?' : c;
  return shown + (text.size() > longest ? "...\"" : "\"");
}

template <class Names>
std::string joined(const Names& names) {
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

/// Reads all bytes of a file. Throws: Error when it cannot be opened or read.
inline std::string read_text(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) throw Error(path_text(path), ": no such file");
  if (std::filesystem::is_directory(path, code))
    throw Error(path_text(path), ": is a directory, expected a file");
  SystemFile file(path, OpenFor::reading);
  if (!file.is_open()) throw Error(path_text(path), ": cannot be opened for reading");
  std::string text;
  std::vector<char> chunk(std::size_t{1} << 16);
  for (;;) {
    const std::ptrdiff_t got = file.read(chunk.data(), chunk.size());
    if (got == 0) return text;
    if (got < 0) throw Error(path_text(path), ": cannot be read");
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace internal

/// A column to look for in a header: any of `spellings` (lower case), best first.
struct CsvColumn {
  std::string title;  ///< its name in messages
  std::vector<std::string> spellings;
};

/// Reads one record after another. Fields are split at commas and may be in double quotes (then
/// they may hold commas, line ends and doubled quotes); lines end in LF or CRLF; a UTF-8 byte order
/// mark, banner lines before the header and blank lines after the last record are allowed. The text
/// must outlive the reader. Independent of the locale.
class CsvReader {
 public:
  /// A field of a record and its position.
  struct Field {
    std::string text;  ///< unquoted; surrounding spaces are removed outside quotes
    Index line = 0;    ///< from 1
    Index column = 0;  ///< from 1, in bytes
  };

  /// Every message starts with `name`: usually a path.
  CsvReader(std::string_view text, std::string_view name) : text_(text), name_(name) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    if (text_.empty()) throw FormatError(name_, ": the file is empty");
  }

  /// Finds the header: the first of the leading 20 lines that has every wanted column; lines above
  /// it are banners. Names match in any case, and spaces around them are ignored. Returns the
  /// position of each wanted column.
  /// Throws: FormatError when no line has all columns, naming those that are missing from the
  /// closest line, or when a wanted column occurs twice.
  std::vector<Index> read_header(std::span<const CsvColumn> wanted) {
    struct Closest {
      std::size_t missing = 0;
      Index line = 0;
      std::string message;
    } closest;
    for (int i = 0; i < banner_limit && position_ < text_.size(); ++i) {
      if (!read_banner_or_header()) continue;
      header_.clear();
      for (const Field& field : fields()) header_.push_back(field.text);
      std::vector<Index> places;
      std::vector<std::string> missing;
      for (const CsvColumn& column : wanted) {
        places.push_back(place_of(column));
        if (places.back() < 0) missing.push_back(column.title);
      }
      if (missing.empty()) {
        require_unique(places);
        return places;
      }
      if (closest.line == 0 || missing.size() < closest.missing)
        closest = {missing.size(), fields().front().line,
                   "no " + internal::joined(missing) +
                       " column; columns found: " + internal::joined(header_)};
    }
    if (closest.line == 0) throw FormatError(name_, ": no header: the leading lines are blank");
    throw FormatError(name_, ':', closest.line, ":1: ", closest.message);
  }

  /// The header's names, as spelt in the file.
  const std::vector<std::string>& header() const noexcept { return header_; }

  /// The position of the column of that name (any case), or -1.
  Index find(std::string_view column) const {
    const std::string lower = internal::ascii_lower(internal::trimmed(column));
    for (std::size_t i = 0; i < header_.size(); ++i)
      if (internal::ascii_lower(header_[i]) == lower) return static_cast<Index>(i);
    return -1;
  }

  /// Reads the next record into fields(). Returns false at the end of the text.
  /// Throws: FormatError when the record has another number of fields than the header, a quote is
  /// out of place, or records follow a blank line.
  bool next() {
    const std::size_t before = position_;
    const Index line_before = line_;
    skip_blank_lines();
    if (position_ >= text_.size()) return false;
    if (position_ != before)
      throw FormatError(name_, ':', line_before, ":1: a blank line between records");
    read_record(false);
    if (count_ < header_.size())
      throw FormatError(name_, ':', fields().back().line, ':', end_column_, ": expected ",
                        header_.size(), " fields, found ", count_, ": no ", header_[count_]);
    if (count_ > header_.size())
      fail<FormatError>(static_cast<Index>(header_.size()), "expected ", header_.size(),
                        " fields, found ", count_);
    return true;
  }

  std::span<const Field> fields() const noexcept { return {fields_.data(), count_}; }
  const Field& field(Index i) const noexcept { return fields_[static_cast<std::size_t>(i)]; }

  /// A field as a finite number. Throws: FormatError when it is not a number, DataError when it is
  /// not finite.
  double number(Index i) const {
    std::string_view text = internal::trimmed(field(i).text);
    if (text.empty()) fail_field<FormatError>(i, "expected a number, found an empty field");
    const std::string_view written = text;
    if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
    double value = 0;
    const char* end = text.data() + text.size();
    const auto parsed = internal::read_double(text, value);
    if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument)
      fail_field<FormatError>(i, "expected a number, found ", internal::excerpt(written));
    if (parsed.ec != std::errc())
      fail_field<DataError>(i, internal::excerpt(written), " is outside the range of a double");
    if (!is_finite(value))
      fail_field<DataError>(i, "expected a finite number, found ", internal::excerpt(written));
    return value;
  }

  /// Throws at a field, naming its column: "path:line:column: close: ...".
  template <class Exception, class... Parts>
  [[noreturn]] void fail_field(Index i, const Parts&... parts) const {
    fail<Exception>(i, header_[static_cast<std::size_t>(i)], ": ", parts...);
  }

  /// Throws at a field: "path:line:column: ...".
  template <class Exception, class... Parts>
  [[noreturn]] void fail(Index i, const Parts&... parts) const {
    throw Exception(name_, ':', field(i).line, ':', field(i).column, ": ", parts...);
  }

  const std::string& name() const noexcept { return name_; }

 private:
  static constexpr int banner_limit = 20;

  /// Reads one line. Returns false when it cannot be a header (blank, or with unpaired quotes).
  bool read_banner_or_header() {
    const std::size_t line_end = std::min(text_.find('\n', position_), text_.size());
    const Index line = line_;
    bool readable = !internal::trimmed(without_cr(position_, line_end)).empty();
    if (readable) readable = read_record(true);
    position_ = std::min(line_end + 1, text_.size());
    line_ = line + 1;
    return readable;
  }

  std::string_view without_cr(std::size_t first, std::size_t last) const noexcept {
    if (last > first && text_[last - 1] == '\r') --last;
    return text_.substr(first, last - first);
  }

  void skip_blank_lines() {
    while (position_ < text_.size()) {
      const std::size_t line_end = std::min(text_.find('\n', position_), text_.size());
      if (!internal::trimmed(without_cr(position_, line_end)).empty()) return;
      position_ = std::min(line_end + 1, text_.size());
      ++line_;
    }
  }

  Index place_of(const CsvColumn& column) const {
    for (const std::string& spelling : column.spellings)
      if (const Index place = find(spelling); place >= 0) return place;
    return -1;
  }

  void require_unique(std::span<const Index> places) const {
    for (const Index place : places) {
      const std::string lower = internal::ascii_lower(field(place).text);
      for (Index i = place + 1; i < static_cast<Index>(count_); ++i)
        if (internal::ascii_lower(field(i).text) == lower)
          fail<FormatError>(i, "the column ", field(i).text, " appears twice");
    }
  }

  /// Splits the record at position_. Where the text is not a record on one line, `one_line` makes
  /// it return false; otherwise it throws.
  bool read_record(bool one_line) {
    count_ = 0;
    std::size_t line_start = position_;
    for (;;) {
      if (fields_.size() == count_) fields_.emplace_back();
      Field& out = fields_[count_];
      ++count_;
      while (position_ < text_.size() && is_space(text_[position_])) ++position_;
      out.text.clear();
      out.line = line_;
      out.column = static_cast<Index>(position_ - line_start) + 1;
      const bool good = position_ < text_.size() && text_[position_] == '"'
                            ? read_quoted(out, line_start, one_line)
                            : read_plain(out, one_line);
      if (!good) return false;
      end_column_ = static_cast<Index>(position_ - line_start) + 1;
      if (position_ < text_.size() && text_[position_] == ',') {
        ++position_;
        continue;
      }
      if (position_ < text_.size() && text_[position_] == '\r') ++position_;
      if (position_ < text_.size()) ++position_;  // the line feed
      ++line_;
      return true;
    }
  }

  bool read_plain(Field& out, bool one_line) {
    const std::size_t first = position_;
    while (!at_field_end()) {
      if (text_[position_] == '"') {
        if (one_line) return false;
        fail<FormatError>(static_cast<Index>(count_) - 1,
                          "a quote inside a field that does not start with one");
      }
      ++position_;
    }
    out.text = internal::trimmed(text_.substr(first, position_ - first));
    return true;
  }

  bool read_quoted(Field& out, std::size_t& line_start, bool one_line) {
    const Index here = static_cast<Index>(count_) - 1;
    for (++position_;; ++position_) {
      if (position_ >= text_.size() || (one_line && text_[position_] == '\n')) {
        if (one_line) return false;
        fail<FormatError>(here, "a quoted field that does not end");
      }
      const char c = text_[position_];
      if (c == '"') {
        if (position_ + 1 >= text_.size() || text_[position_ + 1] != '"') break;
        ++position_;
      } else if (c == '\n') {
        ++line_;
        line_start = position_ + 1;
      }
      out.text += c;
    }
    ++position_;
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
    if (at_field_end()) return true;
    if (one_line) return false;
    fail<FormatError>(here, "text after the closing quote");
  }

  static bool is_space(char c) noexcept { return c == ' ' || c == '\t'; }

  bool at_field_end() const noexcept {
    if (position_ >= text_.size()) return true;
    const char c = text_[position_];
    if (c == '\r') return position_ + 1 == text_.size() || text_[position_ + 1] == '\n';
    return c == ',' || c == '\n';
  }

  std::string_view text_;
  std::string name_;
  std::size_t position_ = 0;
  Index line_ = 1;
  std::vector<std::string> header_;
  std::vector<Field> fields_;
  std::size_t count_ = 0;  // fields in use; the others keep their memory
  Index end_column_ = 1;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
