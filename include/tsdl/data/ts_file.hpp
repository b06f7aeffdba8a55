// Reads .ts files, the text format of the UCR and UEA archives of labelled series: cases of one or
// more dimensions, which may differ in length.
//
//   # any comment
//   @problemName Vowels            @timeStamps false     @missing false     @univariate false
//   @dimensions 2                  @equalLength false    @classLabel true a b
//   @data
//   1,2,3:4,5,6:a                  dimensions between colons, values between commas, then the label
//   7,?:8,9:b                      ? is a missing value
//
// Source: https://www.aeon-toolkit.org/en/stable/api_reference/data_format.html
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One case of a .ts file.
struct TsCase {
  Matrix<double> values;                ///< dimensions x its own length; NaN where it is missing
  Index label = -1;                     ///< its place in class_names; -1: there are no classes
  double target = internal::undefined;  ///< its number; NaN: there are no numbers
  Index line = 0;                       ///< where it stands, from 1

  Index length() const noexcept { return values.cols(); }
};

/// A .ts file's cases, in its order.
struct TsCases {
  std::string name;                      ///< of the file, for messages
  std::string problem;                   ///< the header's problemName
  Index dimensions = 0;                  ///< the same for every case
  std::vector<std::string> class_names;  ///< in the header's order; empty: there are no classes
  bool numbers = false;                  ///< each case has a number (targetLabel is true)
  std::vector<TsCase> cases;

  Index longest() const noexcept {
    Index most = 0;
    for (const TsCase& one : cases) most = std::max(most, one.length());
    return most;
  }
  Index shortest() const noexcept {
    Index least = longest();
    for (const TsCase& one : cases) least = std::min(least, one.length());
    return least;
  }
};

namespace internal {

/// Reads the lines of a .ts file; every message begins with its name, and the line and column.
class TsReader {
 public:
  TsReader(std::string_view text, std::string_view name) : text_(text) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    found_.name = name;
  }

  TsCases read() {
    while (!in_data_ && next_line())
      if (!rest_.empty() && rest_.front() != '#') read_header();
    if (!in_data_) throw FormatError(found_.name, ": expected an @data line, found none");
    check_header();
    while (next_line())
      if (!rest_.empty() && rest_.front() != '#') read_case();
    if (found_.cases.empty())
      throw DataError(found_.name, ':', line_, ":1: no case stands after @data");
    return std::move(found_);
  }

 private:
  template <class Exception, class... Parts>
  [[noreturn]] void fail(std::string_view at, const Parts&... parts) const {
    throw Exception(found_.name, ':', line_, ':', at.data() - line_text_.data() + 1, ": ",
                    parts...);
  }

  static std::string_view trimmed(std::string_view text) noexcept {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == text.npos) return text.substr(text.size());
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
  }

  bool next_line() noexcept {
    if (position_ >= text_.size()) return false;
    const std::size_t end = std::min(text_.find('\n', position_), text_.size());
    line_text_ = text_.substr(position_, end - position_);
    rest_ = trimmed(line_text_);
    position_ = end + 1;
    ++line_;
    return true;
  }

  /// Takes what stands before the next `separator`, trimmed; `last` tells whether there is none.
  static std::string_view take(std::string_view& from, char separator, bool& last) noexcept {
    const std::size_t end = from.find(separator);
    last = end == from.npos;
    const std::string_view part = trimmed(from.substr(0, end));
    from.remove_prefix(last ? from.size() : end + 1);
    return part;
  }

  /// The next word of a header line; empty at its end.
  std::string_view word() noexcept {
    rest_ = trimmed(rest_);
    const std::string_view taken = rest_.substr(0, rest_.find_first_of(" \t"));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  bool truth(std::string_view key) {
    const std::string_view value = word();
    const std::string lower = ascii_lower(value);
    if (lower != "true" && lower != "false")
      fail<FormatError>(value, key, ": expected true or false, found ", excerpt(value));
    return lower == "true";
  }

  Index count(std::string_view key) {
    const std::string_view value = word();
    Index number = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
    if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || number < 1 ||
        number > most_rows)
      fail<FormatError>(value, key, ": expected 1 to ", most_rows, ", found ", excerpt(value));
    return number;
  }

  void read_header() {
    const std::string_view written = word();
    const std::string key = ascii_lower(written);
    if (std::find(keys_.begin(), keys_.end(), key) != keys_.end())
      fail<FormatError>(written, written, " appears twice");
    keys_.push_back(key);
    if (key == "@problemname") {
      found_.problem = trimmed(rest_);
    } else if (key == "@timestamps") {
      if (truth(written))
        fail<FormatError>(written, written, " true: values with their own times are not read; ",
                          "write the cases with values alone and @timeStamps false");
    } else if (key == "@missing") {
      truth(written);
    } else if (key == "@univariate") {
      univariate_ = truth(written);
    } else if (key == "@dimensions" || key == "@dimension") {
      found_.dimensions = count(written);
    } else if (key == "@equallength") {
      equal_length_ = truth(written);
    } else if (key == "@serieslength") {
      series_length_ = count(written);
    } else if (key == "@classlabel") {
      if (truth(written)) read_class_names(written);
    } else if (key == "@targetlabel") {
      found_.numbers = truth(written);
    } else if (key == "@data") {
      in_data_ = true;
    } else if (written.front() == '@') {
      fail<FormatError>(written, "unknown header line ", excerpt(written));
    } else {
      fail<FormatError>(written, "expected a line that begins with @ or #, found ",
                        excerpt(written), ": cases stand after @data");
    }
  }

  void read_class_names(std::string_view key) {
    for (std::string_view name = word(); !name.empty(); name = word()) {
      if (std::find(found_.class_names.begin(), found_.class_names.end(), name) !=
          found_.class_names.end())
        fail<FormatError>(name, key, ": the class ", excerpt(name), " appears twice");
      found_.class_names.emplace_back(name);
    }
    if (found_.class_names.empty())
      fail<FormatError>(key, key, ": expected the names of the classes after true, found none");
  }

  void check_header() {
    if (found_.numbers && !found_.class_names.empty())
      fail<FormatError>(line_text_, "@classLabel and @targetLabel are both true");
    if (univariate_ && found_.dimensions > 1)
      fail<FormatError>(line_text_, "@univariate true, but @dimensions ", found_.dimensions);
    if (univariate_) found_.dimensions = 1;
  }

  void read_case() {
    const bool labelled = found_.numbers || !found_.class_names.empty();
    TsCase one;
    one.line = line_;
    values_.clear();
    Index dimensions = 0, length = 0;
    for (bool last = false; !last;) {
      const std::string_view field = take(rest_, ':', last);
      if (last && labelled) {
        read_label(field, one);
        break;
      }
      const Index found = read_dimension(field, ++dimensions);
      if (dimensions > 1 && found != length)
        fail<FormatError>(field, "dimension ", dimensions, " has ", found,
                          " values, and those before it have ", length);
      length = found;
    }
    if (dimensions == 0)
      fail<FormatError>(line_text_, "expected a dimension before the label, found none");
    if (found_.dimensions == 0) found_.dimensions = dimensions;  // the header need not say
    if (dimensions != found_.dimensions)
      fail<FormatError>(line_text_, "expected ", found_.dimensions, " dimensions",
                        labelled ? " and a label" : "", ", found ", dimensions);
    const Index expected = series_length_ > 0     ? series_length_
                           : found_.cases.empty() ? length
                                                  : found_.cases.front().length();
    if (equal_length_ && length != expected)
      fail<FormatError>(line_text_, "@equalLength is true: expected ", expected,
                        " values in each dimension, found ", length);
    one.values = Eigen::Map<const Matrix<double>>(values_.data(), length, dimensions).transpose();
    found_.cases.push_back(std::move(one));
  }

  /// Appends a dimension's values; returns their number.
  Index read_dimension(std::string_view field, Index dimension) {
    if (field.empty()) fail<FormatError>(field, "dimension ", dimension, " has no values");
    Index count = 0;
    for (bool last = false; !last; ++count)
      values_.push_back(number(take(field, ',', last), "dimension ", dimension));
    return count;
  }

  void read_label(std::string_view field, TsCase& one) {
    if (field.empty()) fail<FormatError>(field, "the case has no label");
    if (found_.numbers) {
      one.target = number(field, "the target", "");
      return;
    }
    const auto& names = found_.class_names;
    const auto place = std::find(names.begin(), names.end(), field);
    if (place == names.end())
      fail<DataError>(field, "label ", excerpt(field),
                      " is not one of @classLabel: ", joined(names));
    one.label = place - names.begin();
  }

  /// A number, or NaN for a missing value: `?`, or NaN as some files write it.
  template <class Which>
  double number(std::string_view field, const char* what, const Which& which) const {
    if (field == "?" || ascii_lower(field) == "nan") return undefined;
    const std::string_view digits =
        field.size() > 1 && field[0] == '+' && field[1] != '-' ? field.substr(1) : field;
    double value = 0;
    const auto parsed = read_double(digits, value);
    if (parsed.ptr != digits.data() + digits.size() || parsed.ec == std::errc::invalid_argument)
      fail<FormatError>(field, what, which, ": expected a number or ?, found ", excerpt(field));
    if (parsed.ec != std::errc() || !is_finite(value))
      fail<DataError>(field, what, which, ": expected a finite number, found ", excerpt(field));
    return value;
  }

  std::string_view text_, line_text_, rest_;
  std::size_t position_ = 0;
  Index line_ = 0;
  bool in_data_ = false, univariate_ = false, equal_length_ = false;
  Index series_length_ = 0;
  std::vector<std::string> keys_;
  std::vector<double> values_;  ///< of a case, dimension by dimension
  TsCases found_;
};

}  // namespace internal

/// The cases in the text of a .ts file; `name`, usually its path, begins every message. A byte
/// order mark, CRLF, blank lines, spaces around values and keywords in any case are accepted; `?`
/// and NaN are missing values whatever @missing says. Independent of the locale. Throws:
/// FormatError where the text is not of this format: a header line that is unknown or wrong, no
/// @data, @timeStamps true, other dimensions or lengths than the header or the case itself has, no
/// number; DataError for a label that is no class, a number that is not finite, or no cases. Each
/// with line and column.
inline TsCases parse_ts(std::string_view text, std::string_view name) {
  return internal::TsReader(text, name).read();
}

/// The same of a file. Throws: also Error when it cannot be read.
inline TsCases read_ts(const std::filesystem::path& path) {
  return parse_ts(internal::read_text(path), internal::path_text(path));
}

}  // namespace TSDL_ABI
}  // namespace tsdl
