// Numbers as text for people: the same bytes in every locale, "n/a" for what is not a number.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// "n/a", "inf" or "-inf".
inline std::string not_finite_text(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  if ((bits << 12) != 0) return "n/a";
  return bits >> 63 ? "-inf" : "inf";
}

namespace internal {

inline std::string print(double value, std::chars_format form, int precision) {
  std::array<char, 400> text;  // the longest: 309 digits, a sign, a point and the decimals
  const auto done = std::to_chars(text.data(), text.data() + text.size(), value, form, precision);
  return {text.data(), done.ptr};
}

inline void strip_trailing_zeros(std::string& digits) {
  if (digits.find('.') == std::string::npos) return;
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
}

/// The digits with a comma between groups of three.
inline std::string grouped(std::string digits) {
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

}  // namespace internal

/// The shortest text that reads back to the same double.
inline std::string format_exact(double value) {
  std::array<char, 32> text;
  const auto done = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), done.ptr};
}

/// With `decimals` (0 to 60) digits after the point: 0.6712.
inline std::string format_fixed(double value, int decimals) {
  if (!is_finite(value)) return not_finite_text(value);
  std::string text = internal::print(value, std::chars_format::fixed, decimals);
  // Minus zero, also one that only rounding makes, is zero to a reader.
  if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

/// In the form 1.25e-4 with at most `digits` significant ones, trailing zeros left out.
inline std::string format_scientific(double value, int digits) {
  if (!is_finite(value)) return not_finite_text(value);
  if (is_zero(value)) return "0";
  const std::string text = internal::print(value, std::chars_format::scientific, digits - 1);
  const std::size_t e = text.find('e');
  std::string mantissa = text.substr(0, e);
  internal::strip_trailing_zeros(mantissa);
  const std::size_t leading = text.find_first_not_of('0', e + 2);
  const std::string exponent = leading == std::string::npos ? "0" : text.substr(leading);
  return mantissa + (text[e + 1] == '-' ? "e-" : "e") + exponent;
}

/// A loss: four decimals, fewer above a hundred, and four significant digits where those do not
/// suit its size.
inline std::string format_loss(double value) {
  const double size = std::fabs(value);
  if (!is_finite(value) || is_zero(size) || (size >= 1e-3 && size < 100))
    return format_fixed(value, 4);
  if (size >= 100 && size < 1e4) return format_fixed(value, 1);
  return format_scientific(value, 4);
}

/// A learning rate, three significant digits: 0.05, 1e-3, 1.25e-4.
inline std::string format_rate(double value) {
  const double size = std::fabs(value);
  if (!is_finite(value)) return not_finite_text(value);
  if (!is_zero(size) && (size < 0.00999 || size >= 1e3)) return format_scientific(value, 3);
  std::string text = format_fixed(value, 4);
  internal::strip_trailing_zeros(text);
  return text;
}

/// A count with its thousands apart: 1,234,567.
inline std::string format_count(Index count) {
  const std::string digits = std::to_string(count);
  const std::string sign = digits.front() == '-' ? "-" : "";
  return sign + internal::grouped(digits.substr(sign.size()));
}

/// A share of one as a percentage: 0.5432 is 54.3%.
inline std::string format_percent(double share, int decimals = 1) {
  std::string text = format_fixed(share * 100, decimals);
  return is_finite(share) ? text + '%' : text;
}

/// A length of time to the second: 0:12, 12:34, 1:02:05, 2d 03:04:05. What is negative or not
/// finite, or above a million days, is "n/a".
inline std::string format_duration(double seconds) {
  if (!is_finite(seconds) || seconds < 0 || seconds > 8.64e10) return "n/a";
  const auto total = static_cast<std::int64_t>(std::llround(seconds));
  const auto two_digits = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  const std::int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  const std::string tail = ':' + two_digits(total % 60);
  if (days > 0)
    return std::to_string(days) + "d " + two_digits(hours) + ':' + two_digits(minutes) + tail;
  if (hours > 0) return std::to_string(hours) + ':' + two_digits(minutes) + tail;
  return std::to_string(minutes) + tail;
}

/// `text` filled with spaces to `width`, to the right or to the left. Longer text stays as it is.
inline std::string pad_left(std::string_view text, std::size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ').append(text);
}
inline std::string pad_right(std::string_view text, std::size_t width) {
  std::string padded(text);
  if (padded.size() < width) padded.resize(width, ' ');
  return padded;
}

/// `text` broken at spaces so that lines have at most `width` characters, where words allow it. The
/// first line starts after `indent` characters that stand there already, the others with as many
/// spaces. Line ends in the text stay.
inline std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string result;
  std::size_t column = indent;
  bool starts_line = true;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\n') {
      result += '\n';
      if (++at < text.size() && text[at] != '\n') result.append(indent, ' ');
      column = indent, starts_line = true;
      continue;
    }
    const std::size_t word = std::min(text.find_first_not_of(' ', at), text.size());
    const std::size_t end = std::min(text.find_first_of(" \n", word), text.size());
    if (!starts_line && column + (end - at) > width) {
      result.append("\n").append(indent, ' ').append(text.substr(word, end - word));
      column = indent + (end - word);
    } else {
      result.append(text.substr(at, end - at));
      column += end - at;
    }
    starts_line = false;
    at = end;
  }
  return result;
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
