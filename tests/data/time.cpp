// Times: text to milliseconds and back.
#include "tsdl/data/time.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;

namespace {

/// Reads a file of one column of times; rows in file order.
std::vector<std::int64_t> read_times(const std::vector<std::string>& cells) {
  std::string text = "time\n";
  for (const std::string& cell : cells) text += cell + '\n';
  tsdl::CsvReader csv(text, "t.csv");
  const std::vector<tsdl::CsvColumn> wanted = {tsdl::internal::time_column()};
  const std::vector<tsdl::Index> place = csv.read_header(wanted);
  tsdl::internal::TimeColumn column;
  std::vector<std::int64_t> times;
  while (csv.next()) times.push_back(column.read(csv, place[0]));
  return times;
}

std::int64_t read_one(const std::string& cell) { return read_times({cell}).front(); }

}  // namespace

TEST_CASE("times: one text alone is read as the first of a column") {
  using tsdl::internal::TimeKind, tsdl::internal::parse_time;
  for (const auto& [text, expected] :
       std::vector<std::pair<const char*, TimeKind>>{{"2019-10-17", TimeKind::calendar},
                                                     {"20191017", TimeKind::compact},
                                                     {"1571270400", TimeKind::seconds},
                                                     {"1571270400000", TimeKind::milliseconds}}) {
    TimeKind kind = TimeKind::unknown;
    CHECK(parse_time(text, kind) == 1571270400000);
    CHECK(kind == expected);
    TimeKind other = expected == TimeKind::calendar ? TimeKind::seconds : TimeKind::calendar;
    CHECK_FALSE(parse_time(text, other).has_value());
  }
  TimeKind kind = TimeKind::unknown;
  CHECK_FALSE(parse_time("noon", kind).has_value());
  CHECK(kind == TimeKind::unknown);
}

TEST_CASE("times are read in every documented form") {
  // 2019-10-17 is day 18186 since the epoch (date -u -d 2019-10-17 +%s gives 1571270400).
  constexpr std::int64_t day = 1571270400000;
  CHECK(read_one("2019-10-17") == day);
  CHECK(read_one("2019/10/17") == day);
  CHECK(read_one("20191017") == day);
  CHECK(read_one("2019-10-17T09:30") == day + (9 * 60 + 30) * 60000);
  CHECK(read_one("2019-10-17 09:30") == day + (9 * 60 + 30) * 60000);
  CHECK(read_one("2019-10-17 09:30:15") == day + (9 * 60 + 30) * 60000 + 15000);
  CHECK(read_one("2019-10-17 09:30:15.2") == day + (9 * 60 + 30) * 60000 + 15200);
  CHECK(read_one("2019-10-17T09:30:15.250999Z") == day + (9 * 60 + 30) * 60000 + 15250);
  CHECK(read_one("2019-10-17 00:00:00+00:00") == day);
  CHECK(read_one("2019-10-17 00:00:00-05:00") == day + 5 * 3600000);
  CHECK(read_one("2019-10-17T02:00+0200") == day);
  CHECK(read_one("2019-10-17 09-AM") == day + 9 * 3600000);
  CHECK(read_one("2019-10-17 12-AM") == day);
  CHECK(read_one("2019-10-17 12-PM") == day + 12 * 3600000);
  CHECK(read_one("2019-10-17 11-PM") == day + 23 * 3600000);
  CHECK(read_one("1571270400") == day);
  CHECK(read_one("1571270400.5") == day + 500);
  CHECK(read_one("1571270400000") == day);
  CHECK(read_one("-86400") == -86400000);
  CHECK(read_one("0") == 0);
  CHECK(read_one("2000-02-29") == 951782400000);
  CHECK(read_one("99999999999") == 99999999999000);  // the last magnitude of seconds
  CHECK(read_one("100000000000") == 100000000000);   // the first of milliseconds
}

TEST_CASE("what is no time is refused by line, column and text") {
  for (const char* text : {"2019-13-01",
                           "2019-02-29",
                           "2019-00-10",
                           "2019-10-32",
                           "2019-10-17 24:00",
                           "2019-10-17 09:60",
                           "2019-10-17 09:30:60",
                           "2019-10-17 13-PM",
                           "2019-10-17 00-AM",
                           "2019-10-17 09-XM",
                           "19-10-17",
                           "2019-10/17",
                           "2019-10-17 09:30 Z",
                           "2019-10-17 9:30",
                           "yesterday",
                           "15712704e2",
                           "1571270400000000",
                           "1571270400.",
                           "12:30",
                           "2019-10-17T09:30+1",
                           "20191317000000000000"}) {
    const std::string cell = text;
    CAPTURE(cell);
    const std::string message = message_of<tsdl::FormatError>([&] { read_one(cell); });
    CHECK(contains(message, "t.csv:2:1: time: "));
    CHECK(contains(message, '"' + cell + '"'));
  }
  CHECK(contains(message_of<tsdl::FormatError>([] { read_one("\"\""); }), "t.csv:2:1: time: "));
}

TEST_CASE("a column keeps to one kind of time") {
  const auto mixed = [](const char* a, const char* b) {
    return message_of<tsdl::FormatError>([&] { read_times({a, b}); });
  };
  CHECK(contains(mixed("1571270400", "1571270400001"), "t.csv:3:1: time: expected epoch seconds"));
  CHECK(contains(mixed("1571270400001", "1571270400"), "expected epoch milliseconds"));
  CHECK(contains(mixed("2019-10-17", "1571270400"), "expected a calendar date"));
  CHECK(contains(mixed("1571270400", "2019-10-17"), "expected epoch seconds"));
  CHECK(contains(mixed("20191017", "20191099"), "expected a date as YYYYMMDD"));
  // Eight digits after seconds of seven are seconds, although they look like a date.
  CHECK(read_times({"9999999", "20191017"}).back() == 20191017000);
}

TEST_CASE("times ascend or descend strictly; else both lines are named") {
  CHECK(read_times({"2020-01-03", "2020-01-02", "2020-01-01"}).size() == 3);
  const auto order = [](std::vector<std::string> cells) {
    return message_of<tsdl::DataError>([&] { read_times(cells); });
  };
  const std::string twice = order({"2020-01-01", "2020-01-02", "2020-01-02"});
  CHECK(contains(twice, "t.csv:4:1"));
  CHECK(contains(twice, "2020-01-02 appears twice"));
  CHECK(contains(twice, "line 3"));
  const std::string back = order({"2020-01-01", "2020-01-03", "2020-01-02"});
  CHECK(contains(back, "t.csv:4:1"));
  CHECK(contains(back, "out of order"));
  CHECK(contains(back, "line 3"));
  CHECK(contains(order({"2020-01-03", "2020-01-01", "2020-01-02"}), "descend"));
  CHECK(contains(order({"2020-01-03", "2020-01-03"}), "twice"));
}

TEST_CASE("format_time") {
  CHECK(tsdl::format_time(0) == "1970-01-01");
  CHECK(tsdl::format_time(951782400000) == "2000-02-29");
  CHECK(tsdl::format_time(951782400000 + 3661000) == "2000-02-29T01:01:01Z");
  CHECK(tsdl::format_time(951782400000 + 7) == "2000-02-29T00:00:00.007Z");
  CHECK(tsdl::format_time(-1) == "1969-12-31T23:59:59.999Z");
  CHECK(tsdl::format_time(-86400000) == "1969-12-31");
  CHECK(tsdl::format_time(-62167219200000) == "0000-01-01");
  CHECK(tsdl::format_time(253402300799999) == "9999-12-31T23:59:59.999Z");
  CHECK(tsdl::format_time(253402300800000) == "253402300800000");
  CHECK(tsdl::format_time(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  for (std::int64_t ms = -10'000'000'000'000; ms < 10'000'000'000'000; ms += 77'777'777'777)
    CHECK(tsdl::internal::calendar_ms(tsdl::format_time(ms)) == ms);
}

TEST_CASE("the calendar is that of <chrono>, day by day from year 0 to 9999") {
  using namespace tsdl::internal;
  constexpr int days = 3652425;  // of 10000 years
  int wrong = 0;
  for (int n = 0; n < days; ++n) {
    const std::chrono::year_month_day expected{
        std::chrono::sys_days(std::chrono::days(n - days_to_epoch))};
    const int year = static_cast<int>(expected.year());
    const int month = static_cast<int>(static_cast<unsigned>(expected.month()));
    const int day = static_cast<int>(static_cast<unsigned>(expected.day()));
    const Date date = date_of(n);
    const bool ok = date.year == year && date.month == month && date.day == day &&
                    days_ms(year, month, day) == std::int64_t{n - days_to_epoch} * day_ms;
    if (!ok) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(date_of(days - 1).year == 9999);
  for (const int year : {1900, 1999, 2000, 2004})
    for (int month = 0; month <= 13; ++month)
      for (int day = 0; day <= 32; ++day) {
        const std::chrono::year_month_day expected{std::chrono::year(year),
                                                   std::chrono::month(static_cast<unsigned>(month)),
                                                   std::chrono::day(static_cast<unsigned>(day))};
        CAPTURE(year * 10000 + month * 100 + day);
        CHECK(days_ms(year, month, day).has_value() == expected.ok());
      }
}
