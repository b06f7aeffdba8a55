// Gaps in time: what is a gap and what is a night, a weekend or a jitter, counted by hand.
#include "tsdl/data/gaps.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "helpers.hpp"
#include "tsdl/core/random.hpp"

namespace {

using Times = std::vector<std::int64_t>;
using test::contains;
using test::message_of;
using tsdl::find_gaps;
using tsdl::Index;
using tsdl::TimeGaps;
using tsdl::internal::day_ms;
using tsdl::internal::hour_ms;
using tsdl::internal::minute_ms;

constexpr std::int64_t monday = 4 * day_ms;  // 1970-01-05

/// From the Monday on: `per_day` candles, `step` apart from `start` on, on the first `days` days of
/// each week.
Times sessions(Index weeks, Index days, std::int64_t start, std::int64_t step, Index per_day) {
  Times times;
  for (Index day = 0; day < 7 * weeks; ++day)
    for (Index i = 0; day % 7 < days && i < per_day; ++i)
      times.push_back(monday + day * day_ms + start + i * step);
  return times;
}

void drop(Times& times, Index row, Index count) {
  times.erase(times.begin() + row, times.begin() + row + count);
}

void check_gaps(const Times& times, Index count, Index missing, Index largest) {
  const TimeGaps gaps = find_gaps(times);
  CHECK(gaps.count == count);
  CHECK(gaps.missing == missing);
  CHECK(gaps.largest == largest);
  CHECK((gaps.row >= 0) == (count > 0));
}

}  // namespace

TEST_CASE("weekends of daily candles are no gaps, other days without a candle are") {
  Times times = sessions(30, 5, 0, day_ms, 1);
  check_gaps(times, 0, 0, 0);
  CHECK(find_gaps(times).step == day_ms);
  drop(times, 120, 1);  // the Monday of week 24
  drop(times, 53, 3);   // Thursday, Friday, Monday: one gap over a weekend
  drop(times, 11, 1);   // a Tuesday
  const TimeGaps gaps = find_gaps(times);
  CHECK(gaps.count == 3);
  CHECK(gaps.missing == 5);
  CHECK(gaps.largest == 3);
  CHECK(gaps.row == 51);
  CHECK(gaps.last_before == monday + (10 * 7 + 2) * day_ms);
  CHECK(gaps.first_after == monday + (11 * 7 + 1) * day_ms);
  CHECK(times[51] == gaps.last_before);
  CHECK(times[52] == gaps.first_after);
}

TEST_CASE("the shipped candles lack the business days that pandas counts") {
  const TimeGaps gaps = find_gaps(test::shipped_candles());  // bdate_range(first, last) minus dates
  CHECK(gaps.count == 185);
  CHECK(gaps.missing == 190);
  CHECK(to_string(gaps) == "185 in time, 190 candles missing, the largest 4 after 2001-09-10");
}

TEST_CASE("nights are no gaps; a halt, an early close and a holiday are") {
  Times times = sessions(20, 5, 9 * hour_ms + 30 * minute_ms, 30 * minute_ms, 13);
  check_gaps(times, 0, 0, 0);
  drop(times, 65 * 15, 13);         // a Monday
  drop(times, 65 * 10 + 8, 5);      // the afternoon of a Monday
  drop(times, 65 * 5 + 13 + 6, 1);  // within a Tuesday
  check_gaps(times, 3, 19, 13);
}

TEST_CASE("a session that daylight saving moves makes no gaps") {
  Times times;
  for (const std::int64_t time : sessions(104, 5, 14 * hour_ms, hour_ms, 7)) {
    const Index week_of_year = static_cast<Index>((time - monday) / (7 * day_ms)) % 52;
    times.push_back(time - (week_of_year >= 10 && week_of_year < 44 ? hour_ms : 0));
  }
  check_gaps(times, 0, 0, 0);
  drop(times, 35 * 10 + 6, 1);  // the last hour of the first summer day
  check_gaps(times, 1, 1, 1);
  // Daily candles at a midnight that moves.
  times = sessions(104, 5, 5 * hour_ms, day_ms, 1);
  for (std::size_t i = 100; i < 300; ++i) times[i] -= hour_ms;
  check_gaps(times, 0, 0, 0);
  drop(times, 99, 2);
  check_gaps(times, 1, 2, 2);
}

TEST_CASE("a market that comes to open on weekends makes no gaps") {
  Times times = sessions(30, 5, 0, hour_ms, 24);
  for (const std::int64_t time : sessions(30, 7, 0, hour_ms, 24))
    times.push_back(time + 30 * 7 * day_ms);
  check_gaps(times, 0, 0, 0);
}

TEST_CASE("outages of any length are counted exactly where the market never closes") {
  Times times = sessions(60, 7, 0, hour_ms, 24);
  drop(times, 3000, 24 * 7 * 11 + 5);
  drop(times, 1000, 30);
  check_gaps(times, 2, 24 * 7 * 11 + 35, 24 * 7 * 11 + 5);
  // And at random: without a closed slot, what is missing is what was taken out.
  const Times whole = sessions(12, 7, 0, hour_ms, 24);
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    tsdl::RandomStream random(seed);
    Times kept;
    Index missing = 0, count = 0, run = 0, largest = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (i > 0 && i + 1 < whole.size() && random.uniform() < 0.03) {
        count += ++run == 1;
        ++missing;
        largest = std::max(largest, run);
      } else {
        run = 0;
        kept.push_back(whole[i]);
      }
    }
    check_gaps(kept, count, missing, largest);
  }
}

TEST_CASE("a slot is open when more than half of the weeks that reach it hold a candle in it") {
  // Four weeks, the last one ends on its Friday: of three Saturdays, the first ones have candles.
  const auto with_saturdays = [](Index saturdays, Index candles_each) {
    Times times = sessions(4, 5, 0, day_ms, 1);
    for (Index week = 0; week < saturdays; ++week)
      for (Index i = 0; i < candles_each; ++i)
        times.push_back(monday + (7 * week + 5) * day_ms + i * hour_ms);
    std::sort(times.begin(), times.end());
    return times;
  };
  check_gaps(with_saturdays(1, 1), 0, 0, 0);
  check_gaps(with_saturdays(1, 2), 0, 0, 0);  // one week, however many candles
  check_gaps(with_saturdays(2, 1), 1, 1, 1);
  check_gaps(with_saturdays(3, 1), 0, 0, 0);
}

TEST_CASE("months: an interval of more than one and a half usual ones") {
  Times times;
  for (int month = 0; month < 48; ++month)
    times.push_back(*tsdl::internal::days_ms(2000 + month / 12, 1 + month % 12, 1));
  check_gaps(times, 0, 0, 0);
  CHECK(find_gaps(times).step == 31 * day_ms);
  drop(times, 30, 4);
  drop(times, 13, 1);
  check_gaps(times, 2, 5, 4);
}

TEST_CASE("irregular seconds make no gaps of their own") {
  for (const double jitter : {0.001, 0.2, 0.45}) {
    CAPTURE(jitter);
    tsdl::RandomStream random(7);
    Times times;
    for (Index i = 0; i < 60 * 24 * 30; ++i)
      times.push_back(i * minute_ms +
                      static_cast<std::int64_t>(jitter * 60000 * (random.uniform() - 0.5)));
    check_gaps(times, 0, 0, 0);
    drop(times, 20000, 60);
    check_gaps(times, 1, 60, 60);
  }
  // On the grid but for some rows that come late, up to nearly half a step.
  Times times = sessions(10, 5, 8 * hour_ms, minute_ms, 480);
  for (std::size_t i = 3; i < times.size(); i += 3) times[i] += 29000;
  check_gaps(times, 0, 0, 0);
}

TEST_CASE("few rows and short spans: intervals alone") {
  const auto intervals = [](std::int64_t longest) {
    return Times{0, 1000, 2000, 3000, 3000 + longest};
  };
  check_gaps({0, 1000, 2000, 9000}, 0, 0, 0);
  check_gaps({}, 0, 0, 0);
  CHECK(find_gaps(Times{0, 1000, 2000, 9000}).step == 0);
  check_gaps(intervals(1500), 0, 0, 0);
  check_gaps(intervals(1501), 1, 1, 1);
  check_gaps(intervals(2499), 1, 1, 1);
  check_gaps(intervals(2500), 1, 2, 2);
  // Of equal gaps the first; of equally common steps the least.
  CHECK(find_gaps(Times{0, 1000, 2000, 5000, 6000, 9000, 10000}).row == 2);
  check_gaps({0, 1000, 2000, 4000, 6000}, 2, 2, 1);
  // Weekends can be learnt from three weeks on.
  const Times days = sessions(4, 5, 0, day_ms, 1);
  check_gaps({days.begin(), days.begin() + 15}, 2, 4, 2);
  check_gaps({days.begin(), days.begin() + 16}, 0, 0, 0);
  // Steps below a second.
  check_gaps({0, 10, 20, 30, 50, 60}, 1, 1, 1);
}

TEST_CASE("gaps as text, refused, and times out of order") {
  Times times = sessions(30, 5, 0, day_ms, 1);
  CHECK(to_string(find_gaps(times)) == "none");
  CHECK_NOTHROW(tsdl::refuse_gaps(find_gaps(times), "d.csv"));
  drop(times, 11, 1);
  CHECK(to_string(find_gaps(times)) ==
        "1 in time, 1 candle missing, the largest 1 after 1970-01-19");
  CHECK(message_of<tsdl::DataError>([&] { tsdl::refuse_gaps(find_gaps(times), "d.csv"); }) ==
        "d.csv: expected no gaps in time, found 1 with 1 candle missing; the largest: 1 between "
        "row 10 "
        "(1970-01-19) and row 11 (1970-01-21)");
  std::swap(times[20], times[21]);
  CHECK(contains(message_of<tsdl::DataError>([&] { find_gaps(times); }),
                 "expected ascending times, found 1970-02-03 after 1970-02-04 at row 21"));
  times[21] = times[20];
  CHECK(contains(message_of<tsdl::DataError>([&] { find_gaps(times); }), "ascending"));
}
