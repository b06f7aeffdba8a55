#include "tsdl/core/error.hpp"

#include <doctest/doctest.h>

#include <locale>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace {

struct Grouping : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

struct GlobalLocale {
  std::locale previous = std::locale::global(std::locale(std::locale::classic(), new Grouping));
  ~GlobalLocale() { std::locale::global(previous); }
};

}  // namespace

TEST_CASE("an Error joins its parts into one message") {
  const tsdl::Error error("read: ", std::string("a.csv"), ": line ", 12, ", ", 0.5, '!');
  CHECK(std::string(error.what()) == "read: a.csv: line 12, 0.5!");
  CHECK(std::string(tsdl::ShapeError("hidden_size ", 0).what()) == "hidden_size 0");
}

TEST_CASE("a message is one line, whatever a file's names are") {
  CHECK(std::string(tsdl::Error("column 'a\nb\x7f", '\0', "\t'").what()) ==
        "column 'a?b?"
        "?"
        "?'");
}

TEST_CASE("memory that is not enough is an Error, and so is a size that no container has") {
  const auto message = [](const auto& action) -> std::string {
    try {
      tsdl::internal::with_memory("model", action);
    } catch (const tsdl::Error& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK(message([] { throw std::bad_alloc(); }) == "model: not enough memory");
  CHECK(message([] { throw std::bad_array_new_length(); }) == "model: not enough memory");
  CHECK(message([] { std::vector<int>().reserve(~std::size_t{0}); }) == "model: not enough memory");
  CHECK(tsdl::internal::with_memory("model", [] { return 3; }) == 3);
}

TEST_CASE("a message does not depend on the locale") {
  const GlobalLocale german;
  CHECK(std::string(tsdl::DataError(1234567, " ", 0.5).what()) == "1234567 0.5");
}

TEST_CASE("the family has one base and distinct members, all copyable") {
  CHECK_THROWS_AS(throw tsdl::ShapeError("s"), tsdl::Error);
  CHECK_THROWS_AS(throw tsdl::DataError("d"), tsdl::Error);
  CHECK_THROWS_AS(throw tsdl::FormatError("f"), tsdl::Error);
  CHECK_THROWS_AS(throw tsdl::FormatError("f"), std::runtime_error);
  CHECK_FALSE(std::is_base_of_v<tsdl::DataError, tsdl::FormatError>);
  CHECK_FALSE(std::is_base_of_v<tsdl::ShapeError, tsdl::DataError>);

  tsdl::FormatError original("kept");
  const tsdl::FormatError copy(original);
  CHECK(std::string(copy.what()) == "kept");
}
