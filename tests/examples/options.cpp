// The options of training: names and their aliases, defaults out of a preset, what is applied in
// the place of what was left open, and refusals.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "../../examples/support/check_options.hpp"
#include "../../examples/support/describe.hpp"
#include "../../examples/support/program.hpp"
#include "support/files.hpp"

namespace {

using examples::TrainOptions;

/// A preset's app, which has parsed these arguments.
struct Parsed {
  TrainOptions o;
  CLI::App app{"test", "train"};

  explicit Parsed(std::vector<std::string> arguments, TrainOptions preset = {}) : o(preset) {
    examples::describe(app, o);
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
  }
  std::string value(const std::string& name) const {
    for (const auto& [key, text] : examples::option_values(app))
      if (key == name) return text;
    return "no option " + name;
  }
};

std::string refusal(const std::vector<std::string>& arguments) {
  return test::message_of<tsdl::OptionError>([&] {
    Parsed p(arguments);
    examples::check_options(p.o, p.app);
  });
}

const std::vector<std::string> data = {"--data", "x.csv"};
std::vector<std::string> with_data(std::vector<std::string> more) {
  more.insert(more.begin(), data.begin(), data.end());
  return more;
}

}  // namespace

TEST_CASE("options: an alias sets the member of the name that help lists") {
  const Parsed p({"--dataset", "x.csv", "--model-type", "bigru", "--hidden-dim", "5",
                  "--num-layers=3", "--epochs", "7", "--learning-rate", "0.5", "--validation-split",
                  "0.25", "--test-split", "0.125"});
  CHECK(p.o.data.file == "x.csv");
  CHECK(p.o.model == "bigru");
  CHECK(p.o.hidden == 5);
  CHECK(p.o.layers == 3);
  CHECK(p.o.max_epochs == 7);
  CHECK(p.o.lr == 0.5);
  CHECK(p.o.data.validation == 0.25);
  CHECK(p.o.data.test == 0.125);
  // Trackers and files use the first name.
  for (const auto& [name, value] : std::map<std::string, std::string>{{"data", "x.csv"},
                                                                      {"model", "bigru"},
                                                                      {"hidden", "5"},
                                                                      {"layers", "3"},
                                                                      {"max-epochs", "7"},
                                                                      {"lr", "0.5"},
                                                                      {"validation", "0.25"},
                                                                      {"test", "0.125"}}) {
    CHECK(p.value(name) == value);
    CHECK(test::contains('\n' + p.app.config_to_str(true), '\n' + name + " = "));
  }
}

TEST_CASE("options: every key of [deep_learning] names an option, and help no alias twice") {
  const Parsed p({});
  for (const auto& entry : examples::deep_learning.options) {
    const auto& option = entry.second;
    CAPTURE(entry.first);
    REQUIRE(p.app.get_option_no_throw("--" + option));
    CHECK(p.app.get_option("--" + option)->get_lnames().front() == option);
  }
  const std::string help = p.app.help();
  for (const char* alias : {"dataset", "model-type", "hidden-dim", "num-layers", "epochs",
                            "learning-rate", "validation-split", "test-split"}) {
    const std::string text = std::string("(also --") + alias + ")";
    CHECK(help.find(text) != std::string::npos);
    CHECK(help.find(text) == help.rfind(text));
    CHECK(help.find(std::string("\n  --") + alias) == std::string::npos);
  }
}

TEST_CASE("options: one by two names is told apart from one that is given twice") {
  const Parsed p({});
  const auto names = [&](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "train");
    return examples::two_names(p.app, static_cast<int>(arguments.size()),
                               const_cast<char**>(arguments.data()));
  };
  CHECK(names({"--hidden", "5", "--hidden-dim=6"}) == "--hidden and --hidden-dim");
  CHECK(names({"--epochs=5", "--lr", "1", "--max-epochs", "6"}) == "--epochs and --max-epochs");
  CHECK(names({"--hidden", "5", "--hidden", "6"}).empty());
  CHECK(names({"--hidden", "5", "--layers", "6", "--nosuch", "--nosuch-too"}).empty());
  CHECK_THROWS_AS(Parsed({"--hidden", "5", "--hidden-dim", "6"}), CLI::ArgumentMismatch);
}

TEST_CASE("options: what is left open is applied and told") {
  // As the baseline: dropout before the linear layer follows --dropout.
  Parsed open(with_data({"--dropout", "0.375"}), {.optimizer = "adam"});
  CHECK(open.value("head-dropout").empty());
  CHECK(examples::apply_options(open.o, open.app).empty());
  CHECK(open.o.head_dropout == 0.375);
  CHECK(open.value("head-dropout") == "0.375");
  CHECK(open.value("weight-decay").empty());
  CHECK_FALSE(open.o.weight_decay);
  // As train_bilstm: there is none before the linear layer.
  Parsed preset(with_data({"--dropout", "0.375"}), {.head_dropout = 0, .optimizer = "adamw"});
  CHECK(preset.value("head-dropout") == "0");
  CHECK(examples::apply_options(preset.o, preset.app).empty());
  CHECK(preset.o.head_dropout == 0);
  CHECK(preset.o.dropout == 0.375);
  CHECK(preset.o.weight_decay == 0.01);
  CHECK(preset.value("weight-decay") == "0.01");
  Parsed given(with_data({"--weight-decay", "0", "--head-dropout", "0.25"}));
  CHECK(examples::apply_options(given.o, given.app).empty());
  CHECK(given.o.weight_decay == 0);
  CHECK(given.o.head_dropout == 0.25);
  CHECK(given.o.dropout == 0.2);
}

TEST_CASE("options: dropout between layers where there is one layer") {
  const auto applied = [](std::vector<std::string> more, TrainOptions preset) {
    Parsed p(with_data(std::move(more)), std::move(preset));
    const std::string warning = examples::apply_options(p.o, p.app);
    CHECK(p.o.dropout == 0);
    CHECK(p.value("dropout") == "0");
    return std::pair(warning, p.o.head_dropout.value());
  };
  const std::string warning = "--dropout 0.5 has no effect with --layers 1: it is between layers";
  using Applied = std::pair<std::string, double>;
  CHECK(applied({"--layers", "1", "--dropout", "0.5"}, {.head_dropout = 0}) == Applied(warning, 0));
  CHECK(applied({"--layers", "1"}, {.head_dropout = 0}) == Applied("", 0));
  // Where the head follows, it has an effect.
  CHECK(applied({"--num-layers", "1", "--dropout", "0.5"}, {}) == Applied("", 0.5));
  CHECK(applied({"--layers", "1", "--dropout", "0.5", "--head-dropout", "0.1"}, {}) ==
        Applied(warning, 0.1));
}

TEST_CASE("options: contradictions, by the names that help lists") {
  CHECK(refusal({}) == "expected --data FILE or --synthetic N (--help lists the options)");
  CHECK(refusal({"--synthetic", "100", "--feature-columns", "a", "--label-column", "b"}) ==
        "--synthetic makes candles: --feature-columns and --label-column are for --data");
  CHECK(refusal(with_data({"--optimizer", "adam", "--weight-decay", "0.1"})) ==
        "--weight-decay belongs to --optimizer adamw");
  CHECK(refusal(with_data({"--target", "close", "--class-weights", "balanced"})) ==
        "--class-weights does not go with --target, which is of numbers");
  CHECK_THROWS_AS(Parsed({"--dataset", "x.csv", "--synthetic", "100"}), CLI::ExcludesError);
}

TEST_CASE("options: heads that do not fit, rows that see later ones, what is not explained") {
  CHECK(refusal(with_data({"--model", "transformer", "--hidden", "8", "--heads", "3"})) ==
        "--heads: expected a number that divides --hidden, and 3 does not divide 8");
  CHECK(refusal(with_data({"--model", "transformer", "--pooling", "each"})) ==
        "--pooling each of --model transformer needs --causal: a row would else see the targets "
        "of earlier rows");
  Parsed causal(with_data({"--model", "transformer", "--pooling", "each", "--causal"}));
  CHECK_NOTHROW(examples::check_options(causal.o, causal.app));
  Parsed other(with_data({"--model", "gru", "--hidden", "5", "--pooling", "each"}));
  CHECK_NOTHROW(examples::check_options(other.o, other.app));
  CHECK(refusal({"--data", "x.ts", "--case-folds", "3", "--explain"}) ==
        "--explain does not go with --case-folds");
}
