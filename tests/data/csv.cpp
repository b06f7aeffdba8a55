// The CSV reader: what it accepts, and that what it refuses is named by line and column.
#include "tsdl/data/csv.hpp"

#include <string>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;

namespace {

const std::vector<tsdl::CsvColumn> a_and_b = {{"a", {"a"}}, {"b", {"b", "bee"}}};

/// Every record's fields joined by '|', records by '/'.
std::string all(const std::string& text) {
  tsdl::CsvReader csv(text, "f.csv");
  csv.read_header(a_and_b);
  std::string result;
  while (csv.next()) {
    if (!result.empty()) result += '/';
    for (std::size_t i = 0; i < csv.fields().size(); ++i)
      result += (i > 0 ? "|" : "") + csv.fields()[i].text;
  }
  return result;
}

std::string format_message(const std::string& text) {
  return message_of<tsdl::FormatError>([&] { all(text); });
}

double number(const std::string& cell) {
  const std::string text = "a,b\n0," + cell + "\n";
  tsdl::CsvReader csv(text, "f.csv");
  csv.read_header(a_and_b);
  csv.next();
  return csv.number(1);
}

}  // namespace

TEST_CASE("csv: line ends, byte order mark, spaces, quotes") {
  CHECK(all("a,b\n1,2\n3,4\n") == "1|2/3|4");
  CHECK(all("a,b\n1,2\n3,4") == "1|2/3|4");
  CHECK(all("\xEF\xBB\xBF"
            "a,b\r\n1,2\r\n3,4\r\n") == "1|2/3|4");
  CHECK(all("a,b\r\n1,2\r\n3,4\r") == "1|2/3|4");
  CHECK(all(" A , B \n 1 ,\t2\n\n \n\r\n") == "1|2");
  CHECK(all("\"a\",b\n\"1,5\" , \"say \"\"x\"\"\"\n\"\",\n") == "1,5|say \"x\"/|");
  CHECK(all("a,b\n\"1\n2\",3\n4,5\n") == "1\n2|3/4|5");
  CHECK(all("a,c,BEE,\n1,2,3,\n") == "1|2|3|");
  CHECK(all("a,b\n") == "");
}

TEST_CASE("csv: banner lines stand above the header, at most 19") {
  CHECK(all("made by \"someone\n\nx,y,z\na,b\n1,2\n") == "1|2");
  std::string banners;
  for (int i = 0; i < 19; ++i) banners += "banner, with commas\n";
  CHECK(all(banners + "a,b\n1,2\n") == "1|2");
  CHECK(contains(format_message(banners + "one more\na,b\n1,2\n"), "no a, b column"));
}

TEST_CASE("csv: a missing or repeated column is named beside those found") {
  const std::string message = format_message("from somewhere\nA,C\n1,2\n");
  CHECK(contains(message, "f.csv:2:1: no b column"));
  CHECK(contains(message, "A, C"));
  CHECK(contains(format_message("a,b,A\n1,2,3\n"), "f.csv:1:5: the column A appears twice"));
  CHECK(contains(format_message(""), "f.csv: the file is empty"));
  CHECK(contains(format_message("\xEF\xBB\xBF"), "f.csv: the file is empty"));
  CHECK(contains(format_message("\n\n"), "f.csv: no header"));
}

TEST_CASE("csv: a wrong number of fields and stray quotes, by line and column") {
  const std::string few = format_message("a,b,c\n1,2,3\n4,55\n");
  CHECK(contains(few, "f.csv:3:5: expected 3 fields, found 2: no c"));
  const std::string many = format_message("a,b\r\n1,2\r\n3,4,5\r\n");
  CHECK(contains(many, "f.csv:3:5: expected 2 fields, found 3"));
  CHECK(
      contains(format_message("a,b\n1,\"2\n3,4\n"), "f.csv:2:3: a quoted field that does not end"));
  CHECK(contains(format_message("a,b\n1,\"2\"x\n"), "f.csv:2:3: text after the closing quote"));
  CHECK(contains(format_message("a,b\n1,2\"\n"), "f.csv:2:3: a quote inside"));
  CHECK(contains(format_message("a,b\n1,2\n\n3,4\n"), "f.csv:3:1: a blank line between records"));
  CHECK(contains(format_message("a,b\n\"1\n2\",3\n4\n"), "f.csv:4:2: expected 2 fields, found 1"));
}

TEST_CASE("csv: numbers") {
  CHECK(number("1.5") == 1.5);
  CHECK(number("+1.5") == 1.5);
  CHECK(number("-2e-3") == -2e-3);
  CHECK(number("\" 7 \"") == 7);
  CHECK(number(".5") == 0.5);
  CHECK(number("931800000") == 931800000.0);
  for (const char* text : {"abc", "1,5x", "1.5.2", "0x10", "+-1", "++1", "1 2", "--1", "1e", "+",
                           "-", "\"\"", "1\r2"}) {
    CAPTURE(text);
    const std::string cell = std::string(text) == "1,5x" ? "\"1,5\"" : text;
    CHECK(contains(message_of<tsdl::FormatError>([&] { number(cell); }),
                   "f.csv:2:3: b: expected a number, found"));
  }
  for (const char* text : {"inf", "-inf", "infinity", "nan", "NaN", "+inf"}) {
    CAPTURE(text);
    CHECK(contains(message_of<tsdl::DataError>([&] { number(text); }),
                   "f.csv:2:3: b: expected a finite number, found"));
  }
  CHECK(contains(message_of<tsdl::DataError>([] { number("1e999"); }), "f.csv:2:3: b: "));
  const std::string long_text =
      message_of<tsdl::FormatError>([] { number(std::string(1000, 'x') + "\x01"); });
  CHECK(long_text.size() < 120);
}
