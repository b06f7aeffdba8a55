// Configuration files: what sets which option, and refusals by file, line and key.
#include "../../examples/support/config.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "../../examples/support/validators.hpp"
#include "support/files.hpp"

namespace {

struct Parsed {
  std::string name = "none";
  std::vector<std::string> columns;
  long hidden = 64, count = 0;
  std::optional<long> horizon;
  double dropout = 0.2;
  bool shuffle = false;
  std::string error;  ///< empty: none
  std::string saved;  ///< the options as a file
};

/// Parses a file with this text and this command line.
Parsed parse(const std::string& text, std::vector<std::string> arguments = {}) {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "run.toml", text);
  Parsed p;
  CLI::App app("test", "test");
  examples::add_config(app, {{"deep_learning", {{"hidden_dim", "hidden"}, {"drop", "dropout"}}}});
  app.option_defaults()->always_capture_default();
  app.add_option("--name", p.name);
  app.add_option("--columns", p.columns)->delimiter(',');
  app.add_option("--hidden", p.hidden)->check(examples::whole_number(1, 1000));
  auto* count = app.add_option("--count", p.count)->check(examples::whole_number(1));
  app.add_option("--horizon", p.horizon)->check(examples::whole_number(1))->excludes(count);
  app.add_option("--dropout", p.dropout)->check(examples::number(examples::share));
  app.add_flag("--shuffle", p.shuffle);
  arguments.insert(arguments.end(), {"--config", (directory / "run.toml").string()});
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
    p.saved = app.config_to_str(true);
  } catch (const CLI::Error& error) {
    p.error = error.what();
    const std::string path = directory.path().string() + "/";
    if (p.error.starts_with(path)) p.error.erase(0, path.size());
  }
  return p;
}

void refuses(const std::string& text, const std::string& message,
             const std::vector<std::string>& arguments = {}) {
  INFO(text);
  CHECK(parse(text, arguments).error == message);
}

}  // namespace

TEST_CASE("config: keys are the options' names, with TOML's values") {
  const Parsed p = parse(
      "# a run\n"
      "name = 'a # b \"c\"'  # not part of it\r\n"
      "\n"
      "hidden=12\n"
      "  dropout =  1e-1   # a share\n"
      "shuffle = true\n"
      "columns = [ \"x y\", 'z' , plain,\n"
      "   # more [\n"
      "   \"w#\", ]  # that is all\n"
      "horizon = 3");
  CHECK(p.error.empty());
  CHECK(p.name == "a # b \"c\"");
  CHECK(p.hidden == 12);
  CHECK(p.dropout == 0.1);
  CHECK(p.shuffle);
  CHECK(p.horizon == 3);
  CHECK(p.columns == std::vector<std::string>{"x y", "z", "plain", "w#"});
  CHECK(parse("\xef\xbb\xbfhidden = 7").hidden == 7);
  CHECK(parse("").error.empty());
  CHECK(parse("name = 'C:\\new'").name == "C:\\new");
  CHECK(parse("name = \"#\" # text").name == "#");
  CHECK(parse("name = \"it's, so\"").name == "it's, so");
  CHECK(parse("name = \"\"").name.empty());
  CHECK(parse("\"hidden\" = 7").hidden == 7);
  CHECK(parse("columns = [\n\"a\",\n]\nhidden = 7").hidden == 7);
  CHECK(parse("columns = [\"a\"]").columns == std::vector<std::string>{"a"});
  CHECK_FALSE(parse("shuffle = false").shuffle);
}

TEST_CASE("config: a table's keys set the options that they stand for") {
  const Parsed p = parse("name = \"x\"\n[deep_learning]\nhidden_dim = 5\n drop = 0.5\n");
  CHECK(p.error.empty());
  CHECK(p.hidden == 5);
  CHECK(p.dropout == 0.5);
  CHECK(p.name == "x");
  CHECK(parse("[ deep_learning ]  # spaces\nhidden_dim = 5").hidden == 5);
  CHECK(parse("deep_learning.hidden_dim = 5").hidden == 5);
  refuses("[deep_learning]\ndrop = 0.5\n[deep_learning]\n\ndrop = 2",
          "run.toml:5: key 'drop': it sets --dropout, as 'drop' in line 2 does");
}

TEST_CASE("config: the command line wins, and the file is checked all the same") {
  const Parsed p = parse("hidden = 5\nname = \"file\"\nshuffle = false\ncolumns = [\"a\"]\n",
                         {"--hidden", "6", "--shuffle", "--columns", "b,c"});
  CHECK(p.error.empty());
  CHECK(p.hidden == 6);
  CHECK(p.name == "file");
  CHECK(p.shuffle);
  CHECK(p.columns == std::vector<std::string>{"b", "c"});
  CHECK(parse("[deep_learning]\nhidden_dim = 5", {"--hidden", "6"}).hidden == 6);
  refuses("\nhidden = 0",
          "run.toml:2: key 'hidden': expected a whole number from 1 to 1000, got '0'",
          {"--hidden", "6"});
  // An option that another one of the command line excludes: the command line wins as well.
  const Parsed excluded = parse("horizon = 4", {"--count", "2"});
  CHECK(excluded.error.empty());
  CHECK(excluded.count == 2);
  CHECK(test::contains(parse("horizon = 4\ncount = 2").error, "excludes"));
}

TEST_CASE("config: keys that are not known are named with their line") {
  refuses("hidden = 5\n\nhiden = 8",
          "run.toml:3: key 'hiden': no option has this name (--help lists the options)");
  refuses("[deep_learning]\nhidden = 8",
          "run.toml:2: key 'hidden': not known in [deep_learning], which has drop, hidden_dim");
  refuses("name = \"a\"\n[other]\n\nhidden = 8",
          "run.toml:4: key 'hidden': the table [other] is not known");
  refuses("config = \"other.toml\"", "run.toml:1: key 'config': it belongs on the command line");
  refuses("help = true", "run.toml:1: key 'help': it belongs on the command line");
}

TEST_CASE("config: values of another type are named with their line") {
  refuses("\n\nhidden = \"abc\"", "run.toml:3: key 'hidden': expected a whole number, got 'abc'");
  refuses("hidden = abc", "run.toml:1: key 'hidden': expected a whole number, got 'abc'");
  refuses("hidden = 1.5", "run.toml:1: key 'hidden': expected a whole number, got '1.5'");
  refuses("hidden = true", "run.toml:1: key 'hidden': expected a whole number, got 'true'");
  refuses("[deep_learning]\n\nhidden_dim = [1, 2]",
          "run.toml:3: key 'hidden_dim': expected one value, got 2");
  refuses("hidden = 1 2", "run.toml:1: key 'hidden': expected one value, got 2");
  refuses("columns = [\"a\",\n\"b\"]\nhidden = x",
          "run.toml:3: key 'hidden': expected a whole number, got 'x'");
  refuses("horizon = \"x\"", "run.toml:1: key 'horizon': expected a whole number, got 'x'");
  refuses("shuffle = maybe", "run.toml:1: key 'shuffle': expected true or false, got 'maybe'");
  refuses("shuffle = 1", "run.toml:1: key 'shuffle': expected true or false, got '1'");
}

TEST_CASE("config: values out of range are named with their line") {
  refuses("[deep_learning]\nhidden_dim = 5\ndrop = 1.0",
          "run.toml:3: key 'drop': expected a number of at least 0 and below 1, got '1.0'");
  refuses("hidden = 1001",
          "run.toml:1: key 'hidden': expected a whole number from 1 to 1000, got '1001'");
  refuses("dropout = nan",
          "run.toml:1: key 'dropout': expected a number of at least 0 and below 1, got 'nan'");
  refuses("horizon = 0",
          "run.toml:1: key 'horizon': expected a whole number of 1 or more, got '0'");
}

TEST_CASE("config: an option that is set twice") {
  refuses("hidden = 5\nhidden = 6",
          "run.toml:2: key 'hidden': it sets --hidden, as 'hidden' in line 1 does");
  refuses("hidden = 5\n[deep_learning]\nhidden_dim = 5",
          "run.toml:3: key 'hidden_dim': it sets --hidden, as 'hidden' in line 1 does");
}

TEST_CASE("config: lines that are no setting") {
  refuses("hidden = 5\ngarbage", "run.toml:2: key 'garbage': expected key = value");
  refuses("x", "run.toml:1: key 'x': expected key = value");
  refuses("shuffle", "run.toml:1: key 'shuffle': expected key = value");
  refuses("; hidden = 5",
          "run.toml:1: key '; hidden': no option has this name (--help lists the options)");
  refuses("name =", "run.toml:1: key 'name': expected a value after '='");
  refuses("= 5", "run.toml:1: expected a key before '='");
  refuses("hidden =   # none", "run.toml:1: key 'hidden': expected a value after '='");
  refuses("[deep_learning", "run.toml:1: expected [name of a table], got '[deep_learning'");
  refuses("[]", "run.toml:1: expected [name of a table], got '[]'");
  refuses("[deep_learning] x", "run.toml:1: expected [name of a table], got '[deep_learning] x'");
  refuses("name = \"a", "run.toml:1: expected text that ends with its quote in the same line");
  refuses("columns = ['a',\n'b]",
          "run.toml:2: expected text that ends with its quote in the same line");
  refuses("name = \"a\" b", "run.toml:1: key 'name': expected one value, got 2");
  refuses("name = \"C:\\new\"", "run.toml:1: expected text with a backslash in single quotes");
  refuses("\ncolumns = [\"a\",\n\"b\"",
          "run.toml:2: key 'columns': expected a ']' at the end of a list");
  refuses("columns = []", "run.toml:1: key 'columns': expected a value, got an empty list");
}

TEST_CASE("config: what is saved sets the same options again") {
  const Parsed first = parse("[deep_learning]\nhidden_dim = 5\n",
                             {"--name", "a \"quoted\" \\ name", "--columns", "x,y z", "--shuffle"});
  REQUIRE(first.error.empty());
  const Parsed again = parse(first.saved);
  CHECK(again.error.empty());
  CHECK(again.hidden == 5);
  CHECK(again.name == "a \"quoted\" \\ name");
  CHECK(again.columns == std::vector<std::string>{"x", "y z"});
  CHECK(again.shuffle);
  CHECK(again.dropout == 0.2);
  CHECK_FALSE(again.horizon);
  CHECK(again.saved == first.saved);
  for (const char* name : {"it's #1, of two", "", "[x]", "true", "a=b", "C:\\new"})
    CHECK(parse(parse("", {"--name", name}).saved).name == name);
  CHECK(first.saved ==
        "name = 'a \"quoted\" \\ name'\ncolumns = [\"x\", \"y z\"]\nhidden = 5\n"
        "dropout = 0.2\nshuffle = true\n");
}
