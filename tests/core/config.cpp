// Configurations: values by type, refusals by name, and what tells two of them apart.
#include "tsdl/core/config.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/files.hpp"

namespace {

using test::message_of;
using tsdl::Config;
using tsdl::Index;

Config sample() {
  return Config("thing", {{"count", 3},
                          {"rate", 0.25},
                          {"deep", true},
                          {"name", "true"},
                          {"levels", std::vector<double>{0.1, 0.9}}});
}

std::string refusal(const auto& action) { return message_of<tsdl::OptionError>(action); }

std::uint64_t fingerprint(const Config& config) {
  tsdl::Fingerprint print;
  tsdl::internal::add_to(print, config);
  return print.value();
}

}  // namespace

TEST_CASE("config: each option comes back as the type that it is") {
  const Config config = sample();
  CHECK(config.kind == "thing");
  CHECK(config.contains("rate"));
  CHECK_FALSE(config.contains("Rate"));
  CHECK(config.index("count") == 3);
  CHECK(config.number("rate") == 0.25);
  CHECK(config.number("count") == 3.0);  // a whole number is a number
  CHECK(config.flag("deep"));
  CHECK(config.text("name") == "true");
  CHECK(config.numbers("levels") == std::vector<double>{0.1, 0.9});
  CHECK(config.number("rate", 7) == 0.25);
  CHECK(config.number("other", 7) == 7);
  // Text in quotes is a text, not a flag.
  CHECK((config.options.find("name")->type == tsdl::ConfigValue::Type::text));
  CHECK(config.options.find("other") == nullptr);
  std::string names;
  for (const auto& option : config.options) names += option.first + " ";
  CHECK(names == "count deep levels name rate ");
}

TEST_CASE("config: a missing option, or one of another type, is refused by its name") {
  const Config config = sample();
  CHECK(refusal([&] { config.index("size"); }) == "thing: option 'size' is missing");
  CHECK(refusal([&] { config.number("size"); }) == "thing: option 'size' is missing");
  CHECK(refusal([&] { config.index("rate"); }) == "thing: option 'rate': expected a whole number");
  CHECK(refusal([&] { config.index("deep"); }) == "thing: option 'deep': expected a whole number");
  CHECK(refusal([&] { config.number("name"); }) == "thing: option 'name': expected a number");
  CHECK(refusal([&] { config.number("name", 1); }) == "thing: option 'name': expected a number");
  CHECK(refusal([&] { config.flag("count"); }) == "thing: option 'count': expected true or false");
  CHECK(refusal([&] { config.text("deep"); }) == "thing: option 'deep': expected a text");
  CHECK(refusal([&] { config.numbers("rate"); }) ==
        "thing: option 'rate': expected a list of numbers");
}

TEST_CASE("config: options that are not known are refused") {
  const Config config = sample();
  CHECK_NOTHROW(config.refuse_others({"count", "rate", "deep", "name", "levels", "more"}));
  CHECK(refusal([&] {
          config.refuse_others({"count", "rate", "deep", "levels"});
        }) == "thing: option 'name' is not known");
  CHECK_NOTHROW(Config("nothing").refuse_others({}));
}

TEST_CASE("config: names and texts of other lengths do not make the same fingerprint") {
  CHECK(fingerprint(Config("a", {{"bc", ""}})) != fingerprint(Config("ab", {{"c", ""}})));
  CHECK(fingerprint(Config("a", {{"b", "c"}})) != fingerprint(Config("a", {{"bc", ""}})));
  CHECK(fingerprint(Config("a", {{"b", 1}})) != fingerprint(Config("a", {{"b", 1.0}})));
}

TEST_CASE("config: equal ones are equal, and every part tells two apart") {
  const Config config = sample();
  CHECK((config == sample()));
  CHECK(fingerprint(config) == fingerprint(sample()));
  std::vector<Config> others(6, config);
  others[0].kind = "other";
  others[1].options["count"] = Index{4};
  others[2].options["deep"] = false;
  others[3].options["name"] = std::string("another");
  others[4].options["levels"] = std::vector<double>{0.1};
  others[5].options.erase("rate");
  for (const Config& other : others) {
    CHECK_FALSE((other == config));
    CHECK(fingerprint(other) != fingerprint(config));
  }
}
