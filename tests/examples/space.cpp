// The space of a search from a file: what is read, and refusals by file, line and key.
#include "../../examples/support/space.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

#include "support/files.hpp"

namespace {

examples::SpaceFile read(const std::string& text) {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "s.toml", text);
  return examples::read_space((directory / "s.toml").string());
}

/// What reading this text says, its file left out.
std::string refusal(const std::string& text) {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "s.toml").string();
  test::write_bytes(path, text);
  std::string message = test::message_of<tsdl::FormatError>([&] { examples::read_space(path); });
  if (message.starts_with(path + ':')) message.erase(0, path.size() + 1);
  CHECK(message.find('\n') == message.npos);
  return message;
}

template <class T>
const T& at(const examples::SpaceFile& file, std::size_t i) {
  return std::get<T>(file.space.dimensions.at(i).second);
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("A space from a file: every kind, in the order of the file") {
  const examples::SpaceFile file = read(R"(# A study
z-first = ["gru", "lstm"]
hidden = { choice = [16, -32, 64] }
lr = { log_uniform = [1e-4, 1e-2], points = 3 }

dropout = { uniform = [0, 0.5] }  # a whole number is one too
layers = { integer = [1, 9], step = 2, log = true }
shuffle = [true, false]
mixed = ["a # b", 0.1, 1e-5, 2.0, 7,
  'x']
batch.integer = [16, 64]

[weight-decay]
points = 5
uniform = [-1.5, 1.5]
)");
  Texts names;
  for (const auto& [name, dimension] : file.space.dimensions) names.push_back(name);
  CHECK(names == Texts{"z-first", "hidden", "lr", "dropout", "layers", "shuffle", "mixed", "batch",
                       "weight-decay"});
  CHECK(file.lines == std::vector<std::size_t>{2, 3, 4, 6, 7, 8, 9, 11, 13});
  CHECK(at<tsdl::Choice>(file, 0).values == Texts{"gru", "lstm"});
  CHECK(at<tsdl::Choice>(file, 1).values == Texts{"16", "-32", "64"});
  CHECK(tsdl::same_value(at<tsdl::LogUniformRange>(file, 2).low, 1e-4));
  CHECK(tsdl::same_value(at<tsdl::LogUniformRange>(file, 2).high, 1e-2));
  CHECK(at<tsdl::LogUniformRange>(file, 2).points == 3);
  CHECK(tsdl::same_value(at<tsdl::UniformRange>(file, 3).low, 0));
  CHECK(tsdl::same_value(at<tsdl::UniformRange>(file, 3).high, 0.5));
  CHECK(at<tsdl::UniformRange>(file, 3).points == 0);
  CHECK(at<tsdl::IntegerRange>(file, 4).low == 1);
  CHECK(at<tsdl::IntegerRange>(file, 4).high == 9);
  CHECK(at<tsdl::IntegerRange>(file, 4).step == 2);
  CHECK(at<tsdl::IntegerRange>(file, 4).log);
  CHECK(at<tsdl::Choice>(file, 5).values == Texts{"true", "false"});
  CHECK(at<tsdl::Choice>(file, 6).values == Texts{"a # b", "0.1", "1e-05", "2", "7", "x"});
  CHECK(at<tsdl::IntegerRange>(file, 7).high == 64);
  CHECK(at<tsdl::IntegerRange>(file, 7).step == 1);
  CHECK_FALSE(at<tsdl::IntegerRange>(file, 7).log);
  CHECK(at<tsdl::UniformRange>(file, 8).points == 5);
  file.space.check();
  CHECK(read("\xef\xbb\xbfx = [1]\r\ny = [2]\r\n").lines == std::vector<std::size_t>{1, 2});
}

TEST_CASE("A space from a file: whoever knows the options refuses one by its line") {
  const examples::SpaceFile file = read("\nhidden = [16]\n\nhiden = [32]\n");
  CHECK(test::message_of<tsdl::FormatError>([&] { file.refuse(1, "no option has this name"); }) ==
        file.path + ":4: key 'hiden': no option has this name");
}

TEST_CASE("A space from a file: what is refused, by line and key") {
  CHECK(refusal("a = [1]\nlr = { unifrom = [0, 1] }\n") ==
        "2: key 'lr': unknown kind 'unifrom': known are choice, integer, uniform and log_uniform");
  CHECK(refusal("lr = { points = 3 }\n") ==
        "1: key 'lr': expected a kind: known are choice, integer, uniform and log_uniform");
  CHECK(refusal("lr = {}\n") ==
        "1: key 'lr': expected a kind: known are choice, integer, uniform and log_uniform");
  CHECK(refusal("lr = { uniform = [0, 1], choice = [1] }\n") ==
        "1: key 'lr': expected one kind, got choice and uniform");
  CHECK(refusal("[lr]\nuniform = [0, 1]\npoint = 2\n") ==
        "3: key 'lr': 'point' is not known beside uniform, which takes points");
  CHECK(refusal("x = { choice = [1], log = true }\n") ==
        "1: key 'x': 'log' is not known beside choice, which takes nothing else");
  CHECK(refusal("x = { integer = [1, 2], points = 2 }\n") ==
        "1: key 'x': 'points' is not known beside integer, which takes step and log");
  CHECK(refusal("[space]\nlr = [1]\n") ==
        "2: key 'space': unknown kind 'lr': known are choice, integer, uniform and log_uniform");

  for (const char* value : {"3", "0.5", "\"gru\"", "true", "2026-01-01"})
    CHECK(test::contains(refusal("x = " + std::string(value)),
                         "1: key 'x': expected a list of choices, or a table as { uniform = [0, 1] "
                         "}, got "));
  CHECK(test::contains(refusal("x = 2026-01-01"), "got a date or time"));
  CHECK(refusal("x = { choice = 3 }") == "1: key 'x': choice: expected a list, got a whole number");
  CHECK(refusal("x = [1, [2]]") ==
        "1: key 'x': expected choices that are texts, numbers, true or false, got a list");
  CHECK(refusal("x = [{}]") ==
        "1: key 'x': expected choices that are texts, numbers, true or false, got a table");
  CHECK(refusal("x = [nan]") == "1: key 'x': expected choices that are finite");
  CHECK(refusal("x = []") == "1: key 'x': expected at least one value");
  CHECK(refusal("x = [1, \"1\"]") == "1: key 'x': '1' appears twice");
  for (const char* bounds : {"3", "[1]", "[1, 2, 3]", "[1, \"2\"]", "[true, 2]", "[]", "{}"}) {
    CHECK(refusal("x = { uniform = " + std::string(bounds) + " }") ==
          "1: key 'x': uniform: expected two numbers, [low, high]");
    CHECK(refusal("x = { log_uniform = " + std::string(bounds) + " }") ==
          "1: key 'x': log_uniform: expected two numbers, [low, high]");
    CHECK(refusal("x = { integer = " + std::string(bounds) + " }") ==
          "1: key 'x': integer: expected two whole numbers, [low, high]");
  }
  CHECK(refusal("x = { integer = [1.0, 2.0] }") ==
        "1: key 'x': integer: expected two whole numbers, [low, high]");
  CHECK(refusal("x = { integer = [3, 1] }") == "1: key 'x': expected low <= high, not 3 and 1");
  CHECK(refusal("\nx = { uniform = [0.5, 0.5] }") ==
        "2: key 'x': expected low < high, not 0.5 and 0.5");
  CHECK(refusal("x = { uniform = [0, inf] }") ==
        "1: key 'x': expected finite bounds, not 0 and inf");
  CHECK(refusal("x = { log_uniform = [0, 1] }") ==
        "1: key 'x': expected a low above 0 for its logarithm, not 0");
  CHECK(refusal("x = { integer = [0, 4], log = true }") ==
        "1: key 'x': expected a low of 1 or more for its logarithm, not 0");
  CHECK(refusal("x = { integer = [1, 4], log = 1 }") ==
        "1: key 'x': log: expected true or false, got a whole number");
  for (const char* number : {"0", "-1", "1.5", "\"2\""}) {
    CHECK(refusal("x = { integer = [1, 4], step = " + std::string(number) + " }") ==
          "1: key 'x': step: expected a whole number of 1 or more");
    CHECK(refusal("x = { uniform = [1, 4], points = " + std::string(number) + " }") ==
          "1: key 'x': points: expected a whole number of 1 or more");
  }
}

TEST_CASE("A space from a file: what is not TOML, with its line") {
  CHECK(refusal("x = [1]\ny = [1, 2\n\nz = 3\n").starts_with("4: not TOML: "));
  CHECK(refusal("x = [1]\ny: [2]\n").starts_with("2: not TOML: "));
  CHECK(refusal("x = [1]\n\nx = [2]\n").starts_with("3: not TOML: "));
  CHECK(refusal("x = [\"a]\n").starts_with("1: not TOML: "));
  CHECK(refusal("x = [\"\xff\"]\n").starts_with("1: not TOML: "));
  CHECK(refusal("") == "1: expected at least one option, as lr = [0.001, 0.01]");
  CHECK(refusal("# nothing\n") == "1: expected at least one option, as lr = [0.001, 0.01]");
  const test::TemporaryDirectory directory;
  for (const std::string& path : {(directory / "none").string(), directory.path().string()})
    CHECK(test::message_of<tsdl::Error>([&] { examples::read_space(path); }) ==
          path + ": cannot be read");
}
