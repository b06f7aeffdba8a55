// Text in MLflow's folder format: keys and their rules, numbers, addresses, and the YAML of
// meta.yaml.
//
// The rules for keys and lengths are those of MLflow's own checks, so that any version from 1.30 on
// can open a folder, and any server accepts what is sent; where versions differ, the strictest.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/version.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

inline bool is_letter_or_digit(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Throws: DataError, naming `what`, when `text` is not UTF-8.
inline std::u32string code_points(const std::string& what, std::string_view text) {
  std::u32string points;
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    const int more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    char32_t point = more <= 0 ? first : first & (0x3fu >> more);
    bool good = more >= 0 && first < 0xf5 && text.size() - i >= static_cast<std::size_t>(more);
    for (int k = 0; good && k < more; ++k) {
      const auto next = static_cast<unsigned char>(text[i++]);
      good = next >> 6 == 2;
      point = point << 6 | (next & 0x3fu);
    }
    good = good && !(more == 2 && point < 0x800) && !(more == 3 && point < 0x10000) &&
           point <= 0x10ffff && !(point >= 0xd800 && point < 0xe000);
    if (!good) throw DataError(what, " is not UTF-8");
    points.push_back(point);
  }
  return points;
}

inline void append_utf8(std::string& text, char32_t point) {
  const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  constexpr std::array<unsigned, 4> marks = {0x00, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(marks[static_cast<std::size_t>(more)] | point >> (6 * more));
  for (int k = more - 1; k >= 0; --k)
    text += static_cast<char>(0x80u | ((point >> (6 * k)) & 0x3fu));
}

/// Throws: DataError unless `text` is UTF-8 of at most `longest` characters.
inline void check_text(const std::string& what, std::string_view text, std::size_t longest) {
  const std::size_t size = code_points(what, text).size();
  if (size > longest) throw DataError(what, " has ", size, " characters, more than ", longest);
}

/// Throws: DataError unless `path` stays below its folder and is in its only spelling.
inline void check_inner_path(const std::string& what, std::string_view path) {
  bool good = !path.empty() && !path.starts_with("..");
  for (std::string_view rest = path; good;) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    good = !part.empty() && part != "." && part != ".." &&
           std::none_of(part.begin(), part.end(), [](unsigned char c) { return c < ' '; });
    if (part.size() == rest.size()) break;
    rest.remove_prefix(part.size() + 1);
  }
  if (!good) throw DataError(what, " '", path, "' does not name one file below its folder");
}

/// Throws: DataError unless `key` can name a parameter, tag or metric.
inline void check_key(const std::string& what, std::string_view key) {
  const auto allowed = [](char c) {
    return is_letter_or_digit(c) || std::string_view("_-. /").find(c) != std::string_view::npos;
  };
  if (!std::all_of(key.begin(), key.end(), allowed))
    throw DataError(what, " '", key, "' may hold only letters, digits, '_', '-', '.', ' ' and '/'");
  if (key.size() > 250)
    throw DataError(what, " '", key, "' has ", key.size(), " characters, more than 250");
  check_inner_path(what, key);
}

/// The shortest text that Python reads back as the same number, including nan, inf and -inf.
inline std::string metric_text(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const std::string number(text.data(), end);
  return number.find("nan") == std::string::npos ? number : "nan";
}

inline constexpr std::string_view hex_digits = "0123456789abcdef";

/// A file:/// address, with every byte percent-encoded that is not plain.
inline std::string file_uri(const std::filesystem::path& path) {
  std::string uri = "file://";
  for (const char c : path.string()) {
    if (is_letter_or_digit(c) || std::string_view("_.-~/").find(c) != std::string_view::npos) {
      uri += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    constexpr std::string_view digits = "0123456789ABCDEF";
    uri += {'%', digits[byte >> 4u], digits[byte & 15u]};
  }
  return uri;
}

/// A double-quoted YAML string. Throws: DataError when `text` is not UTF-8.
inline std::string yaml_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char32_t point : code_points("'" + text + "'", text)) {
    const bool printable = point >= 0x20 && !(point >= 0x7f && point < 0xa0) && point != 0x2028 &&
                           point != 0x2029 && point != 0xfeff && (point & 0xfffe) != 0xfffe;
    if (point == '"' || point == '\\') {
      quoted += {'\\', static_cast<char>(point)};
    } else if (printable) {
      append_utf8(quoted, point);
    } else {
      quoted += "\\U";
      for (int shift = 28; shift >= 0; shift -= 4) quoted += hex_digits[(point >> shift) & 15u];
    }
  }
  return quoted + "\"";
}

/// A YAML map with one line for each key; the values are YAML already.
inline std::string yaml_map(
    std::initializer_list<std::pair<std::string_view, std::string>> entries) {
  std::string text;
  for (const auto& [key, value] : entries) text.append(key).append(": ").append(value) += '\n';
  return text;
}

/// The MLmodel file that makes a folder of artifacts an MLflow model: what `data`, in it, is.
/// `milliseconds`: since 1970.
inline std::string mlmodel_text(const std::string& folder, const std::string& data,
                                const std::string& run_id, std::int64_t milliseconds) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{
      std::chrono::milliseconds(milliseconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::array<char, 64> created{};
  std::snprintf(created.data(), created.size(), "%04d-%02u-%02u %02d:%02d:%02d.%06d",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()) * 1000);
  return yaml_map({{"artifact_path", yaml_text(folder)}}) + "flavors:\n  tsdl:\n" +
         yaml_map({{"    data", yaml_text(data)},
                   {"    tsdl_version", yaml_text(version)},
                   {"run_id", yaml_text(run_id)},
                   {"utc_time_created", yaml_text(created.data())}});
}

/// The beginning of a key's line and the end of its value, including continuation lines; both npos
/// when there is no such key.
inline std::pair<std::size_t, std::size_t> yaml_place(std::string_view text, std::string_view key) {
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    // An indented or empty line continues the value.
    while (end != text.npos && end + 1 < text.size() &&
           (text[end + 1] == ' ' || text[end + 1] == '\n'))
      end = text.find('\n', end + 1);
    if (end == text.npos) end = text.size();
    const std::string_view line = text.substr(begin, end - begin);
    if (line.starts_with(key) && line.substr(key.size()).starts_with(':')) return {begin, end};
    begin = end + 1;
  }
  return {text.npos, text.npos};
}

/// A YAML map with the value of one key replaced, or the key added.
inline std::string yaml_changed(std::string text, std::string_view key, std::string_view value) {
  const auto [begin, end] = yaml_place(text, key);
  std::string line = std::string(key).append(": ").append(value);
  if (begin == text.npos) return text + line + "\n";
  return text.replace(begin, end - begin, line);
}

/// The character that an escape sequence at text[i] stands for; moves i past it.
inline char32_t yaml_escape(std::string_view text, std::size_t& i) {
  const char c = i < text.size() ? text[i++] : '\\';
  const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits > 0) {
    unsigned long point = 0;
    const std::string_view hex = text.substr(std::min(i, text.size()), digits);
    std::from_chars(hex.data(), hex.data() + hex.size(), point, 16);
    i += hex.size();
    return static_cast<char32_t>(point);
  }
  constexpr std::string_view names = "0abtnvfreN_LP";
  constexpr std::array<char32_t, names.size()> points = {0,  7,  8,    9,    10,     11,    12,
                                                         13, 27, 0x85, 0xa0, 0x2028, 0x2029};
  const std::size_t at = names.find(c);
  return at == names.npos ? static_cast<char32_t>(static_cast<unsigned char>(c)) : points[at];
}

/// The text of a key in a YAML map of plain, single-quoted and double-quoted scalars, as MLflow
/// writes meta.yaml: long scalars continue on several lines. Nothing when there is no such key. Of
/// YAML's line breaks, only the newline is supported.
inline std::optional<std::string> yaml_value(std::string_view text, std::string_view key) {
  const auto [begin, end] = yaml_place(text, key);
  if (begin == text.npos) return {};
  std::string_view value = text.substr(begin + key.size() + 1, end - begin - key.size() - 1);
  value.remove_prefix(std::min(value.find_first_not_of(" \n"), value.size()));
  const char quote = !value.empty() && (value[0] == '"' || value[0] == '\'') ? value[0] : '\0';
  std::string result;
  for (std::size_t i = quote ? 1 : 0; i < value.size();) {
    const char c = value[i++];
    if (c == '\n') {  // one break is a space, n + 1 are n breaks; spaces around breaks are dropped
      while (result.ends_with(' ')) result.pop_back();
      const std::size_t next = std::min(value.find_first_not_of(" \n", i), value.size());
      const auto breaks = std::count(value.begin() + static_cast<std::ptrdiff_t>(i),
                                     value.begin() + static_cast<std::ptrdiff_t>(next), '\n');
      result.append(breaks > 0 ? static_cast<std::size_t>(breaks) : 1, breaks > 0 ? '\n' : ' ');
      i = next;
    } else if (quote == '"' && c == '\\' && i < value.size() && value[i] == '\n') {
      i = std::min(value.find_first_not_of(" \n", i), value.size());
    } else if (quote == '"' && c == '\\') {
      append_utf8(result, yaml_escape(value, i));
    } else if (quote == '\'' && c == quote && i < value.size() && value[i] == quote) {
      result += value[i++];
    } else if (quote && c == quote) {
      break;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
