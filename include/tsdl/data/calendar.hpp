// Calendar columns of a panel: where a row's time stands in the day, the week, the month and the
// year, as sine and cosine. They are known for rows that are yet to come.
//
//   hour     time of day,       of 24 h             weekday   day of the week, of 7
//   day      day of the month,  of its days         month     month of the year, of 12
//
// Each name gives two columns, NAME_sin and NAME_cos, of 2 pi share; the share is 0 at midnight, on
// Monday, on the first day and in January. Times are UTC.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/panel.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The names of calendar columns.
inline constexpr std::array<std::string_view, 4> calendar_names = {"hour", "weekday", "day",
                                                                   "month"};

/// The share of its cycle, from 0 to below 1, at which a time stands. Throws: OptionError when the
/// name is none of calendar_names.
template <class = void>
double calendar_share(std::string_view name, std::int64_t time) {
  using internal::day_ms;
  const std::int64_t within = ((time % day_ms) + day_ms) % day_ms;
  if (name == "hour") return static_cast<double>(within) / static_cast<double>(day_ms);
  const std::int64_t days = (time - within) / day_ms;  // since 1970-01-01, a Thursday
  if (name == "weekday") return static_cast<double>(((days + 3) % 7 + 7) % 7) / 7;
  const internal::Date date = internal::date_of(static_cast<int>(days) + internal::days_to_epoch);
  if (name == "month") return static_cast<double>(date.month - 1) / 12;
  if (name == "day") {
    const int all = internal::days_before_month(date.year, date.month + 1) -
                    internal::days_before_month(date.year, date.month);
    return static_cast<double>(date.day - 1) / all;
  }
  throw OptionError("calendar: expected one of ", internal::joined(calendar_names), ", got '", name,
                    "'");
}

/// The names of the columns that a list of calendar names gives.
template <class = void>
std::vector<std::string> calendar_columns(const std::vector<std::string>& names) {
  std::vector<std::string> columns;
  for (const std::string& name : names) {
    calendar_share(name, 0);
    columns.push_back(name + "_sin");
    columns.push_back(name + "_cos");
  }
  return columns;
}

/// Adds calendar columns to every series. Throws: OptionError as calendar_share; DataError when
/// the panel has no times, or already has a column of such a name.
template <class = void>
void add_calendar(Panel& panel, const std::vector<std::string>& names) {
  if (names.empty()) return;
  if (!panel.has_times()) throw DataError("calendar: the panel has no times");
  const std::vector<std::string> made = calendar_columns(names);
  for (const std::string& name : made)
    for (const std::string& column : panel.columns)
      if (internal::ascii_lower(column) == name)
        throw DataError("calendar: the panel already has a column named ", column);
  const Index before = std::ssize(panel.columns);
  panel.columns.insert(panel.columns.end(), made.begin(), made.end());
  constexpr double turn = 6.283185307179586;
  for (PanelSeries& one : panel.series) {
    auto wider = Series<double>::sized(panel.columns, one.values.rows);
    for (Index row = 0; row < wider.rows; ++row) {
      double* to = wider.column(row);
      std::copy_n(one.values.column(row), before, to);
      to += before;
      for (const std::string& name : names) {
        const double angle = turn * calendar_share(name, one.times.at(row));
        *to++ = std::sin(angle);
        *to++ = std::cos(angle);
      }
    }
    one.values = std::move(wider);
  }
}

}  // namespace TSDL_ABI
}  // namespace tsdl
