// Tables of the user's own columns.
#include "tsdl/data/table.hpp"

#include <string>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;

namespace {

tsdl::Table parse(const std::string& text, std::vector<std::string> features,
                  std::string label = {}) {
  return tsdl::parse_table(text, "t.csv", {std::move(features), std::move(label)});
}

}  // namespace

TEST_CASE("a table by column names, newest first, with empty cells") {
  const tsdl::Table table = parse(
      "banner\nDate,RSI,note,Up,MACD\n"
      "2020-01-03,3,x,,-0.3\n2020-01-02,,y,1,-0.2\n2020-01-01,1,z,0,-0.1\n",
      {"macd", "Rsi"}, "UP");
  CHECK(table.features.names == std::vector<std::string>{"macd", "Rsi"});
  CHECK(table.label_name == "UP");
  REQUIRE(table.size() == 3);
  CHECK(tsdl::format_time(table.time.front()) == "2020-01-01");
  CHECK(tsdl::format_time(table.time.back()) == "2020-01-03");
  CHECK(table.features.column(0)[0] == -0.1);
  CHECK(table.features.column(0)[1] == 1);
  CHECK(table.features.column(2)[0] == -0.3);
  CHECK(std::isnan(table.features.column(1)[1]));
  CHECK_FALSE(table.features.is_complete(1));
  CHECK(table.features.is_complete(2));
  CHECK(table.label[0] == 0);
  CHECK(table.label[1] == 1);
  CHECK(std::isnan(table.label[2]));
  CHECK_NOTHROW(tsdl::validate(table));
}

TEST_CASE("a table without time or label keeps the order of the file") {
  const tsdl::Table table = parse("a,b\n3,1\n2,2\n1,3\n", {"a"});
  CHECK(table.time.empty());
  CHECK(table.label.empty());
  CHECK(table.features.column(0)[0] == 3);
  CHECK(table.features.column(2)[0] == 1);
  // A column that is asked for as a feature is not read as the time.
  const tsdl::Table number = parse("time,b\n0.5,1\n0.25,2\n", {"time"});
  CHECK(number.time.empty());
  CHECK(number.features.column(1)[0] == 0.25);
}

TEST_CASE("what a table refuses") {
  const std::string missing = message_of<tsdl::FormatError>([] {
    parse("date,rsi,up\n2020-01-01,1,0\n", {"rsi", "macd"}, "down");
  });
  CHECK(contains(missing, "t.csv:1:1: no macd, down column"));
  CHECK(contains(missing, "date, rsi, up"));
  CHECK(contains(message_of<tsdl::FormatError>([] {
                   parse("a,b\n1,2\nx,3\n", {"b", "a"});
                 }),
                 "t.csv:3:1: a: expected a number, found \"x\""));
  CHECK(contains(message_of<tsdl::FormatError>([] { parse("a,up\n1,yes\n", {"a"}, "up"); }),
                 "t.csv:2:3: up: expected a number, found \"yes\""));
  CHECK(contains(message_of<tsdl::DataError>([] { parse("a\n1\ninf\n", {"a"}); }),
                 "t.csv:3:1: a: expected a finite number"));
  CHECK(contains(message_of<tsdl::DataError>([] { parse("a\n1\n", {}); }), "no feature columns"));
  CHECK(contains(message_of<tsdl::DataError>([] { parse("a\n1\n", {"a", " A"}); }), "named twice"));
  CHECK(contains(message_of<tsdl::FormatError>([] { parse("a\n", {"a"}); }), "no rows"));
  CHECK(contains(
      message_of<tsdl::DataError>([] { parse("date,a\n2020-01-01,1\n2020-01-01,2\n", {"a"}); }),
      "t.csv:3:1"));
  CHECK(contains(message_of<tsdl::Error>([] {
                   tsdl::read_table("/nonexistent/t.csv", {{"a"}, ""});
                 }),
                 "/nonexistent/t.csv: no such file"));
}

TEST_CASE("validate checks the sizes of a table that a program made") {
  tsdl::Table table = parse("date,a,y\n2020-01-01,1,0\n2020-01-02,2,1\n", {"a"}, "y");
  tsdl::Table broken = table;
  broken.label.pop_back();
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::validate(broken); }), "2 labels"));
  broken = table;
  broken.features.names.clear();
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::validate(broken); }), "0 names"));
  broken = table;
  broken.features.rows = 3;
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::validate(broken); }), "1 x 3"));
  broken = table;
  broken.time[1] = broken.time[0];
  CHECK(
      contains(message_of<tsdl::DataError>([&] { tsdl::validate(broken); }), "row 1 (2020-01-01)"));
}

TEST_CASE("a table reads columns to forecast beside its features, which they may be too") {
  const tsdl::Table table =
      tsdl::parse_table("time,a,b\n2020-01-02,2,\n2020-01-01,1,10\n", "t.csv",
                        {.feature_columns = {"a", "b"}, .target_columns = {"B", "a"}});
  CHECK(table.targets.names == std::vector<std::string>{"B", "a"});
  REQUIRE(table.targets.rows == 2);
  CHECK(table.targets.column(0)[0] == 10);
  CHECK(table.targets.column(0)[1] == 1);
  CHECK(std::isnan(table.targets.column(1)[0]));
  CHECK(table.targets.column(1)[1] == 2);
  CHECK(table.features.column(1)[0] == 2);
  CHECK(table.label.empty());
  CHECK_NOTHROW(tsdl::validate(table));
  CHECK(parse("a,b\n3,1\n", {"a"}).targets.names.empty());
  const auto refused = [](const tsdl::TableOptions& options) {
    return message_of<tsdl::DataError>([&] { tsdl::parse_table("a,b\n3,1\n", "t.csv", options); });
  };
  CHECK(contains(refused({.feature_columns = {"a"}, .target_columns = {"b", "B"}}),
                 "the target column B is named twice"));
  CHECK(contains(refused({.feature_columns = {"a"}, .target_columns = {""}}),
                 "a target column has an empty name"));
  CHECK(contains(message_of<tsdl::FormatError>([] {
                   tsdl::parse_table("a,b\n3,1\n", "t.csv",
                                     {.feature_columns = {"a"}, .target_columns = {"c"}});
                 }),
                 "no c column"));
  tsdl::Table short_of_rows = table;
  short_of_rows.targets.rows = 1;
  CHECK_THROWS_AS(tsdl::validate(short_of_rows), tsdl::ShapeError);
}
