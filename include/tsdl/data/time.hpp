// Times as milliseconds since the epoch, UTC: reading them from text, writing them as ISO 8601.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr std::int64_t second_ms = 1000;
inline constexpr std::int64_t minute_ms = 60 * second_ms;
inline constexpr std::int64_t hour_ms = 60 * minute_ms;
inline constexpr std::int64_t day_ms = 24 * hour_ms;

inline std::string padded(std::int64_t value, std::size_t digits) {
  std::string text = std::to_string(value);
  return text.size() < digits ? std::string(digits - text.size(), '0') + text : text;
}

/// Takes characters from the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : text_(text) {}

  bool done() const noexcept { return text_.empty(); }
  bool accept(char c) noexcept {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool accept(std::string_view word) noexcept {
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  /// Takes exactly `digits` digits.
  std::optional<int> digits(std::size_t digits) noexcept {
    if (text_.size() < digits) return {};
    int value = 0;
    for (const char c : text_.substr(0, digits)) {
      if (c < '0' || c > '9') return {};
      value = value * 10 + (c - '0');
    }
    text_.remove_prefix(digits);
    return value;
  }
  /// Takes the digits of a fraction, one or more, cut to milliseconds.
  std::optional<int> milliseconds() noexcept {
    int value = 0;
    int unit = 100;
    bool any = false;
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; text_.remove_prefix(1)) {
      value += unit * (text_.front() - '0');
      unit /= 10;
      any = true;
    }
    return any ? std::optional(value) : std::nullopt;
  }

 private:
  std::string_view text_;
};

/// A day of the Gregorian calendar, in the years 0 to 9999. (Not from <chrono>: with its time zones
/// and formats, that header takes as long to compile as all data headers of this library.)
struct Date {
  int year, month, day;
};

/// Days from 1 January of year 0 to 1 January 1970.
inline constexpr int days_to_epoch = 719528;

constexpr bool is_leap(int year) noexcept {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/// Days from 1 January of year 0, a leap year, to 1 January of `year`.
constexpr int days_before_year(int year) noexcept {
  return year == 0 ? 0 : 365 * year + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1;
}

/// Days of a year before the first day of a month, 1 to 13.
constexpr int days_before_month(int year, int month) noexcept {
  constexpr std::array<int, 13> before = {0,   31,  59,  90,  120, 151, 181,
                                          212, 243, 273, 304, 334, 365};
  return before[static_cast<std::size_t>(month - 1)] + (month > 2 && is_leap(year) ? 1 : 0);
}

/// The date `days` days, 0 or more, after 1 January of year 0.
constexpr Date date_of(int days) noexcept {
  Date date{days / 366, 1, 0};
  while (days_before_year(date.year + 1) <= days) ++date.year;
  days -= days_before_year(date.year);
  while (days_before_month(date.year, date.month + 1) <= days) ++date.month;
  date.day = days - days_before_month(date.year, date.month) + 1;
  return date;
}

inline std::optional<std::int64_t> days_ms(int year, int month, int day) noexcept {
  if (month < 1 || month > 12 || day < 1) return {};
  const int first = days_before_month(year, month);
  if (day > days_before_month(year, month + 1) - first) return {};
  return std::int64_t{days_before_year(year) + first + day - 1 - days_to_epoch} * day_ms;
}

/// A clock time: `09-AM`, an hour of the twelve-hour clock, or `09:30`, `09:30:15`, `09:30:15.250`,
/// up to 23:59:59.
inline std::optional<std::int64_t> clock_ms(Scanner& scan) noexcept {
  const std::optional<int> hour = scan.digits(2);
  if (!hour) return {};
  if (scan.accept('-')) {
    const bool morning = scan.accept("AM") || scan.accept("am");
    if (!morning && !scan.accept("PM") && !scan.accept("pm")) return {};
    if (*hour < 1 || *hour > 12 || !scan.done()) return {};
    return (*hour % 12 + (morning ? 0 : 12)) * hour_ms;
  }
  if (!scan.accept(':')) return {};
  const std::optional<int> minute = scan.digits(2);
  std::optional<int> second = 0;
  std::optional<int> fraction = 0;
  if (minute && scan.accept(':')) {
    second = scan.digits(2);
    if (second && scan.accept('.')) fraction = scan.milliseconds();
  }
  if (!minute || !second || !fraction || *hour > 23 || *minute > 59 || *second > 59) return {};
  return *hour * hour_ms + *minute * minute_ms + *second * second_ms + *fraction;
}

/// `Z`, `+00:00` or `-0500` at the end: the offset to subtract to get UTC.
inline std::optional<std::int64_t> zone_ms(Scanner& scan) noexcept {
  if (scan.accept('Z') || scan.accept('z')) return 0;
  const bool west = scan.accept('-');
  if (!west && !scan.accept('+')) return 0;
  const std::optional<int> hours = scan.digits(2);
  scan.accept(':');
  const std::optional<int> minutes = scan.digits(2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return {};
  return (west ? -1 : 1) * (*hours * hour_ms + *minutes * minute_ms);
}

/// YYYY-MM-DD or YYYY/MM/DD, alone or followed by T or a space and a clock time.
inline std::optional<std::int64_t> calendar_ms(std::string_view text) noexcept {
  Scanner scan(text);
  const std::optional<int> year = scan.digits(4);
  const char separator = text.size() > 4 && text[4] == '/' ? '/' : '-';
  if (!year || !scan.accept(separator)) return {};
  const std::optional<int> month = scan.digits(2);
  if (!month || !scan.accept(separator)) return {};
  const std::optional<int> day = scan.digits(2);
  if (!day) return {};
  const std::optional<std::int64_t> date = days_ms(*year, *month, *day);
  if (!date || scan.done()) return date;
  if (!scan.accept('T') && !scan.accept('t') && !scan.accept(' ')) return {};
  const std::optional<std::int64_t> clock = clock_ms(scan);
  if (!clock) return {};
  const std::optional<std::int64_t> zone = zone_ms(scan);
  if (!zone || !scan.done()) return {};
  return *date + *clock - *zone;
}

/// YYYYMMDD of the years 1900 to 2100.
inline std::optional<std::int64_t> compact_date_ms(std::string_view text) noexcept {
  if (text.size() != 8) return {};
  Scanner scan(text);
  const std::optional<int> year = scan.digits(4);
  const std::optional<int> month = scan.digits(2);
  const std::optional<int> day = scan.digits(2);
  if (!year || !month || !day || *year < 1900 || *year > 2100) return {};
  return days_ms(*year, *month, *day);
}

/// How the times of a column are written.
enum class TimeKind { unknown, calendar, compact, seconds, milliseconds };

/// Epoch seconds, below 1e11 in magnitude, or milliseconds, from there to below 1e14.
inline std::optional<std::int64_t> epoch_ms(std::string_view text, TimeKind& kind) noexcept {
  std::int64_t whole = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, whole);
  if (parsed.ec != std::errc()) return {};
  std::int64_t fraction = 0;
  if (parsed.ptr != end) {
    Scanner scan(text.substr(static_cast<std::size_t>(parsed.ptr - text.data())));
    const std::optional<int> part = scan.accept('.') ? scan.milliseconds() : std::nullopt;
    if (!part || !scan.done()) return {};
    fraction = text.front() == '-' ? -*part : *part;
  }
  constexpr std::int64_t first_millisecond = 100'000'000'000;
  constexpr std::int64_t too_large = 100'000'000'000'000;
  if (whole <= -too_large || whole >= too_large) return {};
  const bool seconds = whole > -first_millisecond && whole < first_millisecond;
  const TimeKind found = seconds ? TimeKind::seconds : TimeKind::milliseconds;
  if (kind != TimeKind::unknown && kind != found) return {};
  kind = found;
  return seconds ? whole * second_ms + fraction : whole;
}

/// The time that a text says, as every reader takes it: of this kind or, where it is unknown, of
/// the one that is then set: a calendar date, YYYYMMDD, epoch seconds or milliseconds.
inline std::optional<std::int64_t> parse_time(std::string_view text, TimeKind& kind) noexcept {
  if (kind == TimeKind::unknown || kind == TimeKind::calendar) {
    if (const auto time = calendar_ms(text)) {
      kind = TimeKind::calendar;
      return time;
    }
    if (kind == TimeKind::calendar) return {};
  }
  if (kind == TimeKind::unknown || kind == TimeKind::compact) {
    if (const auto time = compact_date_ms(text)) {
      kind = TimeKind::compact;
      return time;
    }
    if (kind == TimeKind::compact) return {};
  }
  return epoch_ms(text, kind);
}

}  // namespace internal

/// A time (milliseconds since the epoch, UTC) as YYYY-MM-DD when it is midnight, else as
/// YYYY-MM-DDTHH:MM:SSZ, with .mmm when it is not a whole second. A time outside the years 0 to
/// 9999 is written as the plain number.
inline std::string format_time(std::int64_t ms) {
  using internal::padded;
  constexpr std::int64_t year_0 = -62167219200000;
  constexpr std::int64_t year_10000 = 253402300800000;
  if (ms < year_0 || ms >= year_10000) return std::to_string(ms);
  const std::int64_t within = ((ms % internal::day_ms) + internal::day_ms) % internal::day_ms;
  const internal::Date date = internal::date_of(static_cast<int>((ms - within) / internal::day_ms) +
                                                internal::days_to_epoch);
  std::string text = padded(date.year, 4) + '-' + padded(date.month, 2) + '-' + padded(date.day, 2);
  if (within == 0) return text;
  text += 'T' + padded(within / internal::hour_ms, 2) + ':' +
          padded(within / internal::minute_ms % 60, 2) + ':' +
          padded(within / internal::second_ms % 60, 2);
  if (within % internal::second_ms != 0) text += '.' + padded(within % internal::second_ms, 3);
  return text + 'Z';
}

namespace internal {

/// The accepted names of a column of times, best first.
inline const CsvColumn& time_column() {
  static const CsvColumn column{
      "date",
      {"datetime", "date time", "date_time", "timestamp", "date", "time", "open time", "open_time",
       "opentime", "unix", "unix time", "unix_time", "unix timestamp", "unix_timestamp", "epoch"}};
  return column;
}

/// Reads a column of times, record after record. The first decides between calendar dates, epoch
/// seconds (below 1e11 in magnitude: up to the year 5138) and epoch milliseconds (from there to
/// below 1e14); the others must be of the same kind, and all strictly ascending or strictly
/// descending.
class TimeColumn {
 public:
  /// The time in field `i`. Throws: FormatError when it is not a time or of another kind than the
  /// first, DataError when it repeats or is not in order, naming both lines.
  std::int64_t read(const CsvReader& csv, Index i) {
    const std::string_view text = trimmed(csv.field(i).text);
    const TimeKind first_kind = kind_;
    const std::optional<std::int64_t> time = parse_time(text, kind_);
    if (!time && first_kind == TimeKind::unknown)
      csv.fail_field<FormatError>(i, "expected a date, a date and time, or epoch seconds or ",
                                  "milliseconds, found ", excerpt(text));
    if (!time)
      csv.fail_field<FormatError>(i, "expected ", kind_name(first_kind),
                                  " as in the rows above, found ", excerpt(text));
    check_order(csv, i, *time);
    previous_ = *time;
    previous_line_ = csv.field(i).line;
    ++count_;
    return *time;
  }

  bool descending() const noexcept { return count_ > 1 && descending_; }

 private:
  static const char* kind_name(TimeKind kind) noexcept {
    switch (kind) {
      case TimeKind::compact:
        return "a date as YYYYMMDD";
      case TimeKind::seconds:
        return "epoch seconds";
      case TimeKind::milliseconds:
        return "epoch milliseconds";
      default:
        return "a calendar date";
    }
  }

  void check_order(const CsvReader& csv, Index i, std::int64_t time) {
    if (count_ == 0) return;
    if (time == previous_)
      csv.fail_field<DataError>(i, "the time ", format_time(time), " appears twice, first in line ",
                                previous_line_);
    if (count_ == 1) descending_ = time < previous_;
    if ((time < previous_) != descending_)
      csv.fail_field<DataError>(i, "times are out of order: ", format_time(time), " follows ",
                                format_time(previous_), " of line ", previous_line_,
                                " in a file whose times ", descending_ ? "descend" : "ascend");
  }

  TimeKind kind_ = TimeKind::unknown;
  bool descending_ = false;
  std::int64_t previous_ = 0;
  Index previous_line_ = 0;
  Index count_ = 0;
};

/// The name of a row in messages: its number from 0 and, where it is known, its time.
inline std::string row_text(Index row, const std::vector<std::int64_t>& times) {
  std::string text = "row " + std::to_string(row);
  if (static_cast<std::size_t>(row) < times.size())
    text += " (" + format_time(times[static_cast<std::size_t>(row)]) + ")";
  return text;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
