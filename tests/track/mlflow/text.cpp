#include "tsdl/track/mlflow/text.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"

namespace {

using test::contains;
using test::message_of;
namespace text = tsdl::internal;

std::string refused(const std::string& key) {
  return message_of<tsdl::DataError>([&] { text::check_key("tag", key); });
}

std::size_t characters(const std::string& utf8) { return text::code_points("it", utf8).size(); }

}  // namespace

TEST_CASE("a key is refused where MLflow refuses it") {
  for (const std::string good :
       {"a", "loss", "a/b/c", "mlflow.runName", "a b", "Z-9_.x", "a/..b", "a.", ".a", "0", " "}) {
    INFO(good);
    CHECK(refused(good) == "no exception");
  }
  CHECK(refused(std::string(250, 'a')) == "no exception");
  CHECK(contains(refused(std::string(251, 'a')), "251 characters, more than 250"));
  for (const std::string bad : {"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/./b",
                                "../a", "a/..", "a/../b", "..a", "..."}) {
    INFO(bad);
    CHECK(contains(refused(bad), "tag '" + bad + "' does not name one file below its folder"));
  }
  for (const std::string bad : {"a\\b", "a\nb", "a\n", "a@k", "a:b", "a=b", "a,b", "a'", "\"", "a#",
                                "a\tb", "\xc3\xa9", "a(b)", "50%", "a*"}) {
    INFO(bad);
    CHECK(contains(refused(bad), "' may hold only letters"));
  }
  CHECK(refused(std::string("a\0b", 3)).starts_with("tag 'a"));
}

TEST_CASE("text is UTF-8, and its length is counted in characters") {
  CHECK(characters("") == 0);
  CHECK(characters("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80") == 4);
  CHECK(text::code_points("it", "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xdf\xbf") ==
        U"\U0010ffff\ud7ff\ue000\u07ff");
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                          "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "a\xe2\x82z", "\xf0\x9f\x98"}) {
    const std::string message = message_of<tsdl::DataError>([&] { characters(bad); });
    CHECK(message == "it is not UTF-8");
  }
  const std::string euros = "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac";
  CHECK_NOTHROW(text::check_text("it", euros, 3));
  CHECK(message_of<tsdl::DataError>([&] { text::check_text("it", euros, 2); }) ==
        "it has 3 characters, more than 2");
  for (char32_t point : {0x0u, 0x7fu, 0x80u, 0x7ffu, 0x800u, 0xffffu, 0x10000u, 0x10ffffu}) {
    std::string utf8;
    text::append_utf8(utf8, point);
    CHECK(text::code_points("it", utf8) == std::u32string(1, point));
  }
}

TEST_CASE("a number is the shortest text that reads back") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(text::metric_text(0.1) == "0.1");
  CHECK(text::metric_text(1.0 / 3) == "0.3333333333333333");
  CHECK(text::metric_text(-0.0) == "-0");
  CHECK(text::metric_text(3) == "3");
  CHECK(text::metric_text(infinity) == "inf");
  CHECK(text::metric_text(-infinity) == "-inf");
  CHECK(text::metric_text(std::nan("")) == "nan");
  CHECK(text::metric_text(-std::nan("")) == "nan");
  CHECK(text::metric_text(-std::nan("1")) == "nan");
  tsdl::RandomStream random(5);
  for (int i = 0; i < 1000; ++i) {
    const double value = random.normal() * std::pow(10.0, random.uniform(-300, 300));
    CHECK(std::stod(text::metric_text(value)) == value);
  }
  CHECK(text::metric_text(std::numeric_limits<double>::denorm_min()) == "5e-324");
  CHECK(text::metric_text(-std::numeric_limits<double>::max()) == "-1.7976931348623157e+308");
}

TEST_CASE("a folder's address") {
  CHECK(text::file_uri("/a/b-c_d.e~f") == "file:///a/b-c_d.e~f");
  CHECK(text::file_uri("/a b/#1?%/\xc3\xa9") == "file:///a%20b/%231%3F%25/%C3%A9");
}

TEST_CASE("YAML strings are quoted so that they stay what they are") {
  CHECK(text::yaml_text("plain") == "\"plain\"");
  CHECK(text::yaml_text("") == "\"\"");
  CHECK(text::yaml_text("a: 'b' # \xc3\xa9") == "\"a: 'b' # \xc3\xa9\"");
  CHECK(text::yaml_text("\"\\") == "\"\\\"\\\\\"");
  CHECK(text::yaml_text("a\nb\tc") == "\"a\\U0000000ab\\U00000009c\"");
  CHECK(text::yaml_text("\xc2\x85\xe2\x80\xa8\xef\xbb\xbf\x7f\xef\xbf\xbf") ==
        "\"\\U00000085\\U00002028\\U0000feff\\U0000007f\\U0000ffff\"");
  CHECK_THROWS_AS(text::yaml_text("\xff"), tsdl::DataError);
  CHECK(text::yaml_map({{"a", "1"}, {"b", "null"}}) == "a: 1\nb: null\n");
}

TEST_CASE("YAML values as MLflow writes them are read") {
  const std::string meta =
      "artifact_location: file:///tmp/x\n"
      "experiment_id: '123'\n"
      "lifecycle_stage: active\n"
      "name: long long\n  goes on here\n"
      "name2: 'it''s: quoted\n\n  twice\n\n\n  thrice'\n"
      "name3: \"a \\\"b\\\" \\\\ \\xE9\\u20AC\\U0001F600\\n\\t\\x41\\\n  \\ on\"\n"
      "empty: ''\n"
      "nothing:\n"
      "last: 5";
  const auto value = [&](const char* key) { return text::yaml_value(meta, key).value_or("none"); };
  CHECK(value("artifact_location") == "file:///tmp/x");
  CHECK(value("experiment_id") == "123");
  CHECK(value("name") == "long long goes on here");
  CHECK(value("name2") == "it's: quoted\ntwice\n\nthrice");
  CHECK(value("name3") == "a \"b\" \\ \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\tA on");
  CHECK(value("empty").empty());
  CHECK(value("nothing").empty());
  CHECK(value("last") == "5");
  CHECK(value("goes") == "none");
  CHECK(value("nam") == "none");
  CHECK(text::yaml_value("", "name") == std::nullopt);

  // Broken files give some text or none, never more.
  for (const char* broken : {"name", "name:", "name: \"", "name: \"a\\", "name: \"\\x", "name: '",
                             "name: \"\\U0001", "name:\n\n", "\n\nname: \"\\\n"})
    CHECK_NOTHROW(text::yaml_value(broken, "name"));
}

TEST_CASE("YAML values are replaced with all their lines, and nothing else is") {
  const std::string meta = "a: 1\nname: 'long\n\n  value'\nb: null\n";
  CHECK(text::yaml_changed(meta, "name", "x") == "a: 1\nname: x\nb: null\n");
  CHECK(text::yaml_changed(meta, "a", "2") == "a: 2\nname: 'long\n\n  value'\nb: null\n");
  CHECK(text::yaml_changed(meta, "b", "3") == "a: 1\nname: 'long\n\n  value'\nb: 3\n");
  CHECK(text::yaml_changed("a: 1\n", "c", "3") == "a: 1\nc: 3\n");
}

TEST_CASE("any text survives being written and read") {
  tsdl::RandomStream random(7);
  const std::u32string odd =
      U"\"'\\:#-?[]{}&*!|>%@` \n\t\r\0\x7f\x85\u00e9\u2028\ufeff\U0001f600x0~";
  for (int i = 0; i < 2000; ++i) {
    std::string name;
    for (std::uint64_t n = random.below(12); n > 0; --n)
      text::append_utf8(name, random.below(3) == 0 ? static_cast<char32_t>(random.below(0xd800))
                                                   : odd[random.below(odd.size())]);
    const std::string file =
        text::yaml_map({{"a", "1"}, {"name", text::yaml_text(name)}, {"z", "2"}});
    CHECK(text::yaml_value(file, "name") == name);
    CHECK(text::yaml_value(file, "z") == "2");
  }
}
