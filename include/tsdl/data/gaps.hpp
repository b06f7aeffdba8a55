// Gaps in time: missing candles at times when the market is usually open.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What find_gaps found. Times are milliseconds since the epoch.
struct TimeGaps {
  std::int64_t step = 0;  ///< the usual time between candles, in ms; 0: too few rows
  Index count = 0;        ///< gaps
  Index missing = 0;      ///< candles missing in all of them
  Index largest = 0;      ///< candles missing in the largest gap, the first of that size
  Index row = -1;         ///< the row before the largest gap; -1: there is none
  std::int64_t last_before = 0;
  std::int64_t first_after = 0;
};

namespace internal {

inline constexpr std::int64_t week_ms = 7 * day_ms;

/// The weeks before and after a week that decide which of its slots are open; near either end of
/// the data, the nearest weeks, as many in total.
inline constexpr Index weeks_beside = 4;

struct UsualStep {
  std::int64_t step;
  bool regular;  ///< at least a third of the differences equal the step
};

/// The most common difference of ascending times, the smallest of several; where fewer than a third
/// of the differences agree, their median.
inline UsualStep usual_step(std::span<const std::int64_t> times) {
  std::vector<std::int64_t> steps;
  steps.reserve(times.size());
  for (std::size_t i = 1; i < times.size(); ++i) steps.push_back(times[i] - times[i - 1]);
  std::sort(steps.begin(), steps.end());
  std::int64_t step = 0;
  std::size_t most = 0;
  for (std::size_t i = 0, last = 0; i < steps.size(); i = last) {
    while (last < steps.size() && steps[last] == steps[i]) ++last;
    if (last - i > most) step = steps[i], most = last - i;
  }
  if (3 * most >= steps.size()) return {step, true};
  return {steps[steps.size() / 2], false};
}

/// Adds gaps up, row by row.
class GapCounter {
 public:
  GapCounter(std::span<const std::int64_t> times, std::int64_t step) : times_(times) {
    found_.step = step;
  }

  /// Whether the time from `row` to the next is more than one and a half steps.
  bool is_wide(Index row) const noexcept { return interval(row) > step() + step() / 2; }

  /// The number of steps, beyond one, between `row` and the next.
  Index steps_between(Index row) const noexcept {
    return static_cast<Index>((interval(row) + step() / 2) / step()) - 1;
  }

  /// Records that many missing candles between `row` and the next.
  void add(Index row, Index missing) noexcept {
    if (missing <= 0 || !is_wide(row)) return;
    ++found_.count;
    found_.missing += missing;
    if (missing <= found_.largest) return;
    found_.largest = missing;
    found_.row = row;
    found_.last_before = at(row);
    found_.first_after = at(row + 1);
  }

  const TimeGaps& found() const noexcept { return found_; }

 private:
  std::int64_t at(Index row) const noexcept { return times_[static_cast<std::size_t>(row)]; }
  std::int64_t interval(Index row) const noexcept { return at(row + 1) - at(row); }
  std::int64_t step() const noexcept { return found_.step; }

  std::span<const std::int64_t> times_;
  TimeGaps found_;
};

/// The times in steps since the first, rounded. The grid is aligned to the first two rows that are
/// one step apart.
inline std::vector<Index> slot_numbers(std::span<const std::int64_t> times, std::int64_t step) {
  std::size_t anchor = 0;
  while (anchor + 2 < times.size() && times[anchor + 1] - times[anchor] != step) ++anchor;
  const auto number = [&](std::int64_t time) {
    const std::int64_t shifted = time - times[anchor] + step / 2;
    return static_cast<Index>((shifted - (shifted % step + step) % step) / step);
  };
  std::vector<Index> numbers;
  numbers.reserve(times.size());
  for (const std::int64_t time : times) numbers.push_back(number(time) - number(times[0]));
  return numbers;
}

/// A week that has rows, numbered from the first row's week.
struct WeekRows {
  Index week;
  Index first, last;  ///< rows first, ..., last - 1
};

/// The open slots of the week: those that have a candle in more than half of the weeks around one
/// week. Weeks without any candle do not count: they are missing, not closed.
class OpenSlots {
 public:
  OpenSlots(const std::vector<Index>& numbers, Index slots_per_week)
      : numbers_(numbers),
        slots_(slots_per_week),
        held_(static_cast<std::size_t>(slots_per_week), 0) {
    for (Index row = 0; row < static_cast<Index>(numbers.size()); ++row) {
      const Index week = number(row) / slots_;
      if (weeks_.empty() || weeks_.back().week != week) weeks_.push_back({week, row, row});
      ++weeks_.back().last;
    }
  }

  const std::vector<WeekRows>& weeks() const noexcept { return weeks_; }
  Index slot(Index row) const noexcept { return number(row) % slots_; }

  /// Considers the weeks around weeks()[i].
  void look_around(Index i) {
    const auto total = static_cast<Index>(weeks_.size());
    const Index width = std::min(total, 2 * weeks_beside + 1);
    const Index begin = std::clamp(i - weeks_beside, Index{0}, total - width);
    for (; end_ < begin + width; ++end_) hold(end_, 1);
    for (; begin_ < begin; ++begin_) hold(begin_, -1);
    last_slot_ = end_ == total ? slot(weeks_.back().last - 1) : slots_;
  }

  /// The number of open slots among first, ..., last - 1.
  Index count(Index first, Index last) const noexcept {
    Index open = 0;
    for (Index s = first; s < last; ++s) {
      const Index weeks = end_ - begin_ - (s > last_slot_ ? 1 : 0);  // the data ended before it
      if (2 * held_[static_cast<std::size_t>(s)] > weeks) ++open;
    }
    return open;
  }
  Index count_from(Index first) const noexcept { return count(first, slots_); }

 private:
  Index number(Index row) const noexcept { return numbers_[static_cast<std::size_t>(row)]; }

  void hold(Index i, Index sign) {
    const WeekRows& rows = weeks_[static_cast<std::size_t>(i)];
    for (Index row = rows.first; row < rows.last; ++row)
      if (row == rows.first || number(row) != number(row - 1))
        held_[static_cast<std::size_t>(slot(row))] += sign;
  }

  const std::vector<Index>& numbers_;
  Index slots_;
  std::vector<Index> held_;
  std::vector<WeekRows> weeks_;
  Index begin_ = 0, end_ = 0, last_slot_ = 0;
};

inline void count_by_week(OpenSlots& open, GapCounter& gaps) {
  Index week_before = 0, missing_after = 0, open_before = 0;
  for (Index i = 0; i < static_cast<Index>(open.weeks().size()); ++i) {
    const auto [week, first, last] = open.weeks()[static_cast<std::size_t>(i)];
    open.look_around(i);
    if (i > 0)
      gaps.add(first - 1, missing_after + (week - week_before - 1) * open_before +
                              open.count(0, open.slot(first)));
    for (Index row = first; row + 1 < last; ++row)
      gaps.add(row, open.count(open.slot(row) + 1, open.slot(row + 1)));
    week_before = week;
    missing_after = open.count_from(open.slot(last - 1) + 1);
    open_before = open.count_from(0);
  }
}

inline void require_ascending(std::span<const std::int64_t> times) {
  for (std::size_t i = 1; i < times.size(); ++i)
    if (times[i] <= times[i - 1])
      throw DataError("find_gaps: expected ascending times, found ", format_time(times[i]),
                      " after ", format_time(times[i - 1]), " at row ", i);
}

}  // namespace internal

/// Finds where candles are missing. The usual step is the most common difference of neighbouring
/// times. The market's hours are learnt from the data: a slot of the week, one step long, is open
/// around a week when more than half of the nine weeks around it (without empty ones) have a candle
/// in it. A gap is more than one and a half steps between neighbours with open slots in between,
/// and each of these slots is a missing candle. So weekends of daily candles and nights of intraday
/// candles are no gaps; holidays are.
///
/// Since hours are learnt locally, a session that daylight saving moves, or hours that change for
/// good, make no gaps, except within four weeks of either end of the data. Where a week cannot be
/// learnt (the step does not divide a week, is below a second or is the difference of fewer than a
/// third of the rows, or the data spans less than three weeks), a gap is an interval of more than
/// one and a half usual steps, nights and weekends included; where fewer than a third of the
/// differences agree, the usual step is their median. Fewer than five rows have no gaps.
/// Units: milliseconds. Time: n log n in rows, linear in the slots of the weeks that have rows.
/// Allocates. Throws: DataError when times do not ascend.
inline TimeGaps find_gaps(std::span<const std::int64_t> times) {
  internal::require_ascending(times);
  const auto rows = static_cast<Index>(times.size());
  if (rows < 5) return {};
  const auto [step, regular] = internal::usual_step(times);
  internal::GapCounter gaps(times, step);
  if (regular && step >= internal::second_ms && internal::week_ms % step == 0 &&
      times.back() - times.front() >= 3 * internal::week_ms) {
    const std::vector<Index> numbers = internal::slot_numbers(times, step);
    internal::OpenSlots open(numbers, static_cast<Index>(internal::week_ms / step));
    internal::count_by_week(open, gaps);
  } else {
    for (Index row = 0; row + 1 < rows; ++row) gaps.add(row, gaps.steps_between(row));
  }
  return gaps.found();
}

inline TimeGaps find_gaps(const Candles& candles) {
  std::vector<std::int64_t> times;
  times.reserve(candles.rows.size());
  for (const Candle& candle : candles.rows) times.push_back(candle.time);
  return find_gaps(times);
}

/// For a summary: "none", or "3 in time, 7 candles missing, the largest 4 after 2001-09-10".
inline std::string to_string(const TimeGaps& gaps) {
  if (gaps.count == 0) return "none";
  return std::to_string(gaps.count) + " in time, " + std::to_string(gaps.missing) +
         (gaps.missing == 1 ? " candle missing" : " candles missing") + ", the largest " +
         std::to_string(gaps.largest) + " after " + format_time(gaps.last_before);
}

/// Throws: DataError when there are gaps, naming their number and the largest; the message starts
/// with `name`.
inline void refuse_gaps(const TimeGaps& gaps, std::string_view name) {
  if (gaps.count == 0) return;
  throw DataError(name, ": expected no gaps in time, found ", gaps.count, " with ", gaps.missing,
                  gaps.missing == 1 ? " candle missing" : " candles missing",
                  "; the largest: ", gaps.largest, " between row ", gaps.row, " (",
                  format_time(gaps.last_before), ") and row ", gaps.row + 1, " (",
                  format_time(gaps.first_after), ")");
}

}  // namespace TSDL_ABI
}  // namespace tsdl
