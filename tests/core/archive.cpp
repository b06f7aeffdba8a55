// What a number in a file may be, and that it is checked before it becomes another type.
#include "tsdl/core/archive.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "support/archive.hpp"
#include "support/files.hpp"

namespace {

using test::message_of;
using tsdl::Index;
using tsdl::NumberRange;

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

enum class Colour { red, green, blue };

/// What reading `stored` into `value` says.
template <class Value, class... Range>
std::string read(double stored, Value& value, Range... range) {
  test::MemoryArchive archive;
  archive.numbers["one.x"] = stored;
  archive.start_reading();
  tsdl::KeyedArchive keyed(archive, "one");
  return message_of<tsdl::FormatError>([&] { keyed.integer("x", value, range...); });
}

}  // namespace

TEST_CASE("archive: ranges contain what they say, and say it") {
  const NumberRange finite, any = NumberRange::any(), flag = NumberRange::whole(0, 1);
  const NumberRange rate{.least = 0}, share{.least = 0, .most = 1, .may_be_nan = true};
  const NumberRange loss{.may_be_infinite = true}, norm{.least = 0, .may_be_infinite = true};
  const NumberRange negative{.most = -2, .may_be_infinite = true};
  const struct {
    const NumberRange& range;
    const char* text;
    std::string holds;  // of the values below
  } cases[] = {{finite, "a finite number", "...yyyyy"},
               {any, "a number, or NaN", "yyyyyyyy"},
               {flag, "a whole number from 0 to 1", ".....y.."},
               {rate, "a finite number of 0 or more", "...y.yyy"},
               {share, "a finite number from 0 to 1, or NaN", "y....yy."},
               {loss, "a number", ".yyyyyyy"},
               {norm, "a number of 0 or more", ".y.y.yyy"},
               {negative, "a number of at most -2", "..y.y..."}};
  const double values[] = {no_number, infinity, -infinity, 1e300, -2, 0, 0.5, 1.7};
  for (const auto& one : cases) {
    CHECK(one.range.text() == one.text);
    std::string holds;
    for (const double value : values) holds += one.range.contains(value) ? 'y' : '.';
    CHECK(holds == one.holds);
  }
}

TEST_CASE("archive: an integer is whole, in the range of its type or narrower") {
  for (const double bad : {no_number, infinity, -infinity, 1.7, 1e300, -1e300, 0x1p62}) {
    CAPTURE(bad);
    Index index = 5;
    std::uint64_t count = 5;
    std::uint8_t small = 5;
    bool flag = true;
    Colour colour = Colour::green;
    CHECK(test::contains(read(bad, index), "state: tensor 'one.x': expected a whole number"));
    CHECK(test::contains(read(bad, count), "state: tensor 'one.x': expected a whole number"));
    CHECK(test::contains(read(bad, small), "from 0 to 255, found"));
    CHECK(test::contains(read(bad, flag), "from 0 to 1, found"));
    CHECK(test::contains(read(bad, colour, Colour::red, Colour::blue), "from 0 to 2, found"));
    CHECK((index == 5 && count == 5 && small == 5 && flag && colour == Colour::green));
  }
  std::uint64_t count = 5;
  CHECK(read(-1, count) != "no exception");
  CHECK(read(0x1p53, count) == "no exception");
  CHECK(count == std::uint64_t{1} << 53);
  Index index = 5;
  CHECK(read(8, index, 0, 7) ==
        "state: tensor 'one.x': expected a whole number from 0 to 7, found 8");
  CHECK(read(-3, index, -3, 7) == "no exception");
  CHECK(index == -3);
  Colour colour = Colour::red;
  CHECK(read(2, colour, Colour::red, Colour::blue) == "no exception");
  CHECK(colour == Colour::blue);
  CHECK(read(3, colour, Colour::red, Colour::blue) != "no exception");
}
