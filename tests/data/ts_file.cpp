// The .ts format: what is read, and that every fault is refused at its line and column.
#include "tsdl/data/ts_file.hpp"

#include <doctest/doctest.h>

#include "support/files.hpp"

namespace {

using tsdl::Index;

const std::string header =
    "# two speakers\n"
    "@problemName Vowels\n"
    "@timeStamps false\n"
    "@missing false\n"
    "@univariate false\n"
    "@dimensions 2\n"
    "@equalLength false\n"
    "@classLabel true beta alpha\n"
    "@data\n";  // the cases begin in line 10

tsdl::TsCases parsed(const std::string& text) { return tsdl::parse_ts(text, "x.ts"); }

/// `text` with `from` replaced by `to`.
std::string changed(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE(
    "ts: cases of several dimensions and of their own lengths, labels in the header's order") {
  const tsdl::TsCases found = parsed(header + "1,2,3:4,5,6:alpha\n-7.5e1:8:beta\n");
  CHECK(found.problem == "Vowels");
  CHECK(found.dimensions == 2);
  CHECK(found.class_names == std::vector<std::string>{"beta", "alpha"});
  CHECK_FALSE(found.numbers);
  REQUIRE(found.cases.size() == 2);
  const tsdl::TsCase& first = found.cases[0];
  CHECK(first.values == (tsdl::Matrix<double>(2, 3) << 1, 2, 3, 4, 5, 6).finished());
  CHECK(first.label == 1);
  CHECK(first.line == 10);
  CHECK(found.cases[1].values == (tsdl::Matrix<double>(2, 1) << -75, 8).finished());
  CHECK(found.cases[1].label == 0);
  CHECK(found.longest() == 3);
  CHECK(found.shortest() == 1);
}

TEST_CASE("ts: a byte order mark, CRLF, spaces, blank lines, comments and any case are accepted") {
  std::string text = "\xEF\xBB\xBF" + changed(header, "@problemName", "@PROBLEMNAME") +
                     "\n# a comment among the cases\n 1, 2 ,+3 : 4,5,\t6 : alpha \n\n";
  text = changed(text, "@data", "@Data");
  text = changed(text, "@classLabel true", "@classlabel True");
  std::string crlf;
  for (const char c : text) crlf += c == '\n' ? "\r\n" : std::string(1, c);
  for (const std::string& one : {text, crlf}) {
    const tsdl::TsCases found = parsed(one);
    REQUIRE(found.cases.size() == 1);
    CHECK(found.cases[0].values == (tsdl::Matrix<double>(2, 3) << 1, 2, 3, 4, 5, 6).finished());
    CHECK(found.cases[0].label == 1);
    CHECK(found.problem == "Vowels");
  }
  CHECK(parsed(header + "1:2:beta").cases.size() == 1);  // without an end of line
}

TEST_CASE("ts: missing values, one dimension, no labels, and numbers") {
  const tsdl::TsCases gaps = parsed(header + "?,2:3,NaN:beta\n");
  CHECK(tsdl::is_nan(gaps.cases[0].values(0, 0)));
  CHECK(gaps.cases[0].values(0, 1) == 2);
  CHECK(gaps.cases[0].values(1, 0) == 3);
  CHECK(tsdl::is_nan(gaps.cases[0].values(1, 1)));

  const tsdl::TsCases one = parsed(
      "@univariate true\n@equalLength true\n@seriesLength 2\n@classLabel false\n@data\n1,2\n3,4\n");
  CHECK(one.dimensions == 1);
  CHECK(one.class_names.empty());
  CHECK(one.cases[1].values == (tsdl::Matrix<double>(1, 2) << 3, 4).finished());
  CHECK(one.cases[1].label == -1);

  const tsdl::TsCases numbers = parsed("@targetlabel true\n@data\n1,2:3,4:-2.5\n");
  CHECK(numbers.numbers);
  CHECK(numbers.dimensions == 2);
  CHECK(numbers.cases[0].target == -2.5);
}

TEST_CASE("ts: a file's faults are refused, with its line and column") {
  using tsdl::DataError, tsdl::FormatError;
  const auto refuses = [](const std::string& text, const std::string& message) {
    CHECK_THROWS_WITH(parsed(text), message.c_str());
  };
  const std::string good = "1,2:3,4:beta\n";
  refuses("", "x.ts: expected an @data line, found none");
  refuses(changed(header, "@data\n", ""), "x.ts: expected an @data line, found none");
  refuses(header, "x.ts:9:1: no case stands after @data");
  refuses(changed(header, "@missing", "@mising") + good,
          "x.ts:4:1: unknown header line \"@mising\"");
  refuses(changed(header, "@missing false", "missing false") + good,
          "x.ts:4:1: expected a line that begins with @ or #, found \"missing\": cases stand after "
          "@data");
  refuses(changed(header, "@missing false", "@missing maybe") + good,
          "x.ts:4:10: @missing: expected true or false, found \"maybe\"");
  refuses(changed(header, "@missing false", "@dimensions 2") + good,
          "x.ts:6:1: @dimensions appears twice");
  refuses(changed(header, "@timeStamps false", "  @timeStamps true") + good,
          "x.ts:3:3: @timeStamps true: values with their own times are not read; write the cases "
          "with values alone and @timeStamps false");
  refuses(changed(header, "@dimensions 2", "@dimensions two") + good,
          "x.ts:6:13: @dimensions: expected 1 to 1000000, found \"two\"");
  refuses(changed(header, "@dimensions 2", "@dimensions 3") + good,
          "x.ts:10:1: expected 3 dimensions and a label, found 2");
  refuses(changed(header, "@univariate false", "@univariate true") + good,
          "x.ts:9:1: @univariate true, but @dimensions 2");
  refuses(changed(header, "true beta alpha", "true") + good,
          "x.ts:8:1: @classLabel: expected the names of the classes after true, found none");
  refuses(changed(header, "beta alpha", "beta beta") + good,
          "x.ts:8:23: @classLabel: the class \"beta\" appears twice");
  refuses(changed(header, "# two speakers", "@targetLabel true") + good,
          "x.ts:9:1: @classLabel and @targetLabel are both true");
  refuses(header + good + "1,2:3,4:gamma\n",
          "x.ts:11:9: label \"gamma\" is not one of @classLabel: beta, alpha");
  refuses(header + "1,2:3,4:\n", "x.ts:10:9: the case has no label");
  refuses(header + "1,2:beta\n", "x.ts:10:1: expected 2 dimensions and a label, found 1");
  refuses(header + "1,2:3,4\n", "x.ts:10:5: label \"3,4\" is not one of @classLabel: beta, alpha");
  refuses(header + "1,2:3:beta\n",
          "x.ts:10:5: dimension 2 has 1 values, and those before it have 2");
  refuses(header + "1,2: :beta\n", "x.ts:10:6: dimension 2 has no values");
  refuses(header + "1,2:3,x4:beta\n",
          "x.ts:10:7: dimension 2: expected a number or ?, found \"x4\"");
  refuses(header + "1,:3,4:beta\n", "x.ts:10:3: dimension 1: expected a number or ?, found \"\"");
  refuses(header + "1,1e999:3,4:beta\n",
          "x.ts:10:3: dimension 1: expected a finite number, found \"1e999\"");
  refuses(header + "1,inf:3,4:beta\n",
          "x.ts:10:3: dimension 1: expected a finite number, found \"inf\"");
  refuses(changed(header, "@equalLength false", "@equalLength true") + good + "1:2:beta\n",
          "x.ts:11:1: @equalLength is true: expected 2 values in each dimension, found 1");
  refuses(changed(changed(header, "@equalLength false", "@equalLength true"), "@missing false",
                  "@seriesLength 3") +
              good,
          "x.ts:10:1: @equalLength is true: expected 3 values in each dimension, found 2");
  CHECK_THROWS_AS(parsed(header + "1,2:3,4:gamma\n"), DataError);
  CHECK_THROWS_AS(parsed(header + "1,2:3,x:beta\n"), FormatError);
}

TEST_CASE("ts: a label alone is no case, whatever the header leaves out") {
  CHECK(test::message_of<tsdl::FormatError>([] {
          parsed("@classLabel true a b\n@data\na\n1,2:a\n");
          return 0;
        }).find("expected a dimension before the label, found none") != std::string::npos);
}

TEST_CASE("ts: files are read, and their path begins the message") {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "cases.ts";
  test::write_bytes(path, header + "1,2:3,4:beta\n");
  CHECK(tsdl::read_ts(path).cases.size() == 1);
  test::write_bytes(path, header + "1,2:3,4:gamma\n");
  CHECK_THROWS_WITH_AS(tsdl::read_ts(path),
                       (tsdl::internal::path_text(path) +
                        ":10:9: label \"gamma\" is not one of @classLabel: beta, alpha")
                           .c_str(),
                       tsdl::DataError);
  CHECK_THROWS_AS(tsdl::read_ts(directory.path() / "none.ts"), tsdl::Error);
}
