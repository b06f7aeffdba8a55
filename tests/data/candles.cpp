// Candles: every header, time and order that is accepted; every bad row by line and column.
#include "tsdl/data/candles.hpp"

#include <clocale>
#include <locale>
#include <string>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;

namespace {

const std::string header = "date,open,high,low,close,volume\n";
const std::string good = "2020-01-01,10,12,9,11,100\n";

tsdl::Candles parse(const std::string& text) { return tsdl::parse_candles(text, "c.csv"); }

template <class Exception>
std::string refused(const std::string& text) {
  return message_of<Exception>([&] { parse(text); });
}

struct CommaDecimals : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// A locale that writes 1.234,5, for C++ streams and, where one is installed, for C functions.
struct CommaLocale {
  CommaLocale() : before(std::locale::global(std::locale(std::locale(), new CommaDecimals))) {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"})
      if (std::setlocale(LC_ALL, name)) break;
  }
  ~CommaLocale() {
    std::locale::global(before);
    std::setlocale(LC_ALL, "C");
  }
  std::locale before;
};

}  // namespace

TEST_CASE("the shipped candles load completely") {
  const tsdl::Candles& candles = test::shipped_candles();
  CHECK(candles.size() == 5105);
  CHECK(candles.has_volume);
  CHECK(tsdl::format_time(candles[0].time) == "2000-01-03");
  CHECK(tsdl::format_time(candles[5104].time) == "2020-04-17");
  CHECK(candles[0].open == 1469.25);
  CHECK(candles[0].high == 1478.0);
  CHECK(candles[0].low == 1438.359985);
  CHECK(candles[0].close == 1455.219971);
  CHECK(candles[0].volume == 931800000);
  CHECK(candles[5104].close == 2874.560059);
  CHECK_NOTHROW(tsdl::validate(candles));
}

TEST_CASE("headers in any case and order, banner, CRLF, byte order mark, newest first") {
  const tsdl::Candles candles = parse(
      "\xEF\xBB\xBFTimes are UTC,https://example.org\r\n"
      "Volume_BTC, CLOSE ,symbol,Low,High,Open,VOLUME,Date\r\n"
      "1,11,BTC,9,12,10,100,2019-10-17 01-PM\r\n"
      "2,10,BTC,8,11,9,200,2019-10-17 12-PM\r\n\r\n");
  REQUIRE(candles.size() == 2);
  CHECK(candles.has_volume);
  CHECK(tsdl::format_time(candles[0].time) == "2019-10-17T12:00:00Z");
  CHECK(candles[0].open == 9);
  CHECK(candles[0].high == 11);
  CHECK(candles[0].low == 8);
  CHECK(candles[0].close == 10);
  CHECK(candles[0].volume == 200);
  CHECK(candles[1].volume == 100);
}

TEST_CASE("the time column under its names; volume is optional") {
  for (const char* name : {"Date", "time", "Timestamp", "DATETIME", "Open Time", "unix"}) {
    CAPTURE(name);
    const tsdl::Candles candles =
        parse(std::string(name) + ",open,high,low,close\n1571270400,10,12,9,11\n");
    CHECK_FALSE(candles.has_volume);
    CHECK(tsdl::format_time(candles[0].time) == "2019-10-17");
    CHECK(candles[0].volume == 0);
  }
  const tsdl::Candles first = parse(
      "date,open,high,low,close,Volume USD,Volume BTC\n"
      "2020-01-01,10,12,9,11,5,6\n");
  CHECK(first.has_volume);
  CHECK(first[0].volume == 5);
  // With a date and a number of the same instant, the date is read.
  CHECK(parse("unix,date,open,high,low,close\n7,2020-01-01,10,12,9,11\n")[0].time == 1577836800000);
}

TEST_CASE("files that are missing, empty or hold no candle") {
  const test::TemporaryDirectory directory;
  const auto read = [&](const char* name) { tsdl::read_candles(directory / name); };
  CHECK(contains(message_of<tsdl::Error>([&] { read("no.csv"); }),
                 (directory / "no.csv").string() + ": no such file"));
  CHECK(contains(message_of<tsdl::Error>([&] { tsdl::read_candles(directory.path()); }),
                 "is a directory"));
  test::write_bytes(directory / "empty.csv", "");
  CHECK(contains(message_of<tsdl::FormatError>([&] { read("empty.csv"); }),
                 "empty.csv: the file is empty"));
  test::write_bytes(directory / "header.csv", header);
  CHECK(contains(message_of<tsdl::FormatError>([&] { read("header.csv"); }),
                 "header.csv: a header but no candles"));
  test::write_bytes(directory / "good.csv", header + good);
  CHECK(tsdl::read_candles(directory / "good.csv").size() == 1);
}

TEST_CASE("missing columns are named beside those found") {
  const std::string message =
      refused<tsdl::FormatError>("date,open,high,low,adjclose\n2020-01-01,1,1,1,1\n");
  CHECK(contains(message, "c.csv:1:1: no close column"));
  CHECK(contains(message, "date, open, high, low, adjclose"));
  CHECK(contains(refused<tsdl::FormatError>("open,high,low,close\n1,1,1,1\n"), "no date column"));
}

TEST_CASE("malformed rows, by line and column") {
  CHECK(contains(refused<tsdl::FormatError>(header + good + "2020-01-02,10,12,9,n/a,100\n"),
                 "c.csv:3:20: close: expected a number, found \"n/a\""));
  CHECK(contains(refused<tsdl::FormatError>(header + good + "2020-01-02,10,12,9,,100\n"),
                 "c.csv:3:20: close: expected a number, found an empty field"));
  CHECK(contains(refused<tsdl::FormatError>(header + good + "2020-01-02,10,12,9,11\n"),
                 "c.csv:3:22: expected 6 fields, found 5: no volume"));
  CHECK(contains(refused<tsdl::FormatError>(header + good + "2020-01-02,10,12,9,11,100,7\n"),
                 "c.csv:3:27: expected 6 fields, found 7"));
  CHECK(contains(refused<tsdl::FormatError>(header + good + "02.01.2020,10,12,9,11,100\n"),
                 "c.csv:3:1: date: expected a calendar date as in the rows above"));
  CHECK(contains(refused<tsdl::DataError>(header + good + "2020-01-02,10,inf,9,11,100\n"),
                 "c.csv:3:15: high: expected a finite number"));
  CHECK(contains(refused<tsdl::DataError>(header + good + "2020-01-02,nan,12,9,11,100\n"),
                 "c.csv:3:12: open: expected a finite number"));
}

TEST_CASE("impossible candles, by line and column") {
  const auto row = [](const char* values) {
    return refused<tsdl::DataError>(header + good + "2020-01-02," + values + '\n');
  };
  CHECK(contains(row("10,8,9,10,1"), "c.csv:3:15: high 8 is below low 9"));
  CHECK(contains(row("13,12,9,11,1"), "c.csv:3:12: open 13 is above high 12"));
  CHECK(contains(row("8,12,9,11,1"), "c.csv:3:12: open 8 is below low 9"));
  CHECK(contains(row("10,12,9,12.5,1"), "c.csv:3:20: close 12.5 is above high 12"));
  CHECK(contains(row("10,12,9,8.5,1"), "c.csv:3:20: close 8.5 is below low 9"));
  CHECK(contains(row("10,12,9,11,-1"), "c.csv:3:23: volume -1 is negative"));
  CHECK(contains(row("0,12,9,11,1"), "c.csv:3:12: open 0 is not above zero"));
  CHECK(contains(row("10,12,-9,11,1"), "c.csv:3:18: low -9 is not above zero"));
  // Rounding of 1e-9 is let through, 1e-8 is not.
  CHECK_NOTHROW(parse(header + "2020-01-02,10,12,9,12.00000001,1\n"));
  CHECK(contains(refused<tsdl::DataError>(header + "2020-01-02,10,12,9,12.0000002,1\n"),
                 "is above high"));
  // Zero volume and a bar without range are real.
  CHECK_NOTHROW(parse(header + "2020-01-02,10,10,10,10,0\n"));
}

TEST_CASE("repeated and unordered times name both lines") {
  const std::string twice = refused<tsdl::DataError>(header + good + good);
  CHECK(contains(twice, "c.csv:3:1"));
  CHECK(contains(twice, "twice"));
  CHECK(contains(twice, "line 2"));
  const std::string order = refused<tsdl::DataError>(
      header + good + "2020-01-03,10,12,9,11,1\n2020-01-02,10,12,9,11,1\n");
  CHECK(contains(order, "c.csv:4:1"));
  CHECK(contains(order, "out of order"));
  CHECK(contains(order, "line 3"));
}

TEST_CASE("validate names the row of candles that a program made") {
  const auto with = [](auto change) {
    tsdl::Candles candles = test::random_candles(5, 1);
    change(candles.rows[3]);
    return message_of<tsdl::DataError>([&] { tsdl::validate(candles, "mine"); });
  };
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_NOTHROW(tsdl::validate(test::random_candles(5, 1)));
  CHECK(contains(with([](auto& c) { c.high = c.low / 2; }),
                 "mine: row 3 (1970-01-01T03:00:00Z): high"));
  CHECK(contains(with([](auto& c) { c.close = c.high * 2; }), "close"));
  CHECK(contains(with([](auto& c) { c.open = test::nan; }), "open is not finite"));
  CHECK(contains(with([=](auto& c) { c.high = infinity; }), "high is not finite"));
  CHECK(contains(with([](auto& c) { c.low = 0; }), "low 0 is not above zero"));
  CHECK(contains(with([](auto& c) { c.volume = -1; }), "volume -1 is negative"));
  CHECK(contains(with([=](auto& c) { c.volume = infinity; }), "volume is not finite"));
  CHECK(contains(with([](auto& c) { c.time = 0; }), "row 3 (1970-01-01): its time is not after"));
}

TEST_CASE("reading does not depend on the locale") {
  const CommaLocale comma;
  const tsdl::Candles candles = parse(header + "2020-01-02,1234.5,1234.75,1233.25,1234,1000\n");
  CHECK(candles[0].open == 1234.5);
  CHECK(candles[0].low == 1233.25);
  CHECK(contains(refused<tsdl::DataError>(header + "2020-01-02,1234.5,1000.5,2000.25,1,1\n"),
                 "high 1000.5 is below low 2000.25"));
  CHECK(contains(refused<tsdl::FormatError>(header + "2020-01-02,\"1,5\",2,1,1,1\n"),
                 "expected a number, found \"1,5\""));
}
