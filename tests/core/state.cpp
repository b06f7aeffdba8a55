// State as bytes: an object keeps its own number instead of one that is refused.
#include "tsdl/core/state.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {

using tsdl::Index;
using tsdl::StateBytes;

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A ring of four numbers.
struct Ring {
  std::array<double, 4> values{1, 2, 3, 4};
  Index next = 3;
  bool is_full = true;
  std::array<bool, 2> flags{true, false};
  double share = 0.5;
  tsdl::Buffer<float> finite{2};

  void state(StateBytes& bytes) {
    bytes(values);
    bytes.within(next, 0, 3);
    bytes(is_full, flags);
    bytes.within(share, 0, 1);
    bytes.finite(finite);
    bytes.require(!is_full || next == 3, "a full ring");
  }
};

std::vector<std::byte> written() {
  std::vector<std::byte> bytes;
  StateBytes writer(bytes);
  Ring ring;
  writer(ring);
  return bytes;
}

/// The fault of the bytes in which `value` stands at `at`.
template <class Value>
std::string fault(std::size_t at, const Value& value, Ring& ring) {
  auto bytes = written();
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  StateBytes reader{std::span<const std::byte>(bytes)};
  reader(ring);
  CHECK(reader.is_complete() == reader.fault().empty());
  return reader.fault();
}
template <class Value>
std::string fault(std::size_t at, const Value& value) {
  Ring ring;
  return fault(at, value, ring);
}

}  // namespace

TEST_CASE("state: what was written is read") {
  const auto bytes = written();
  CHECK(bytes.size() == 32 + 8 + 1 + 2 + 8 + 8);
  Ring ring;
  ring.next = 0;
  StateBytes reader{std::span<const std::byte>(bytes)};
  reader(ring);
  CHECK(reader.is_complete());
  CHECK(ring.next == 3);
  StateBytes shorter{std::span<const std::byte>(bytes).first(bytes.size() - 1)};
  shorter(ring);
  CHECK_FALSE(shorter.is_complete());
}

TEST_CASE("state: an index outside its ring, a flag that is neither 0 nor 1, and NaN are refused") {
  Ring ring;
  for (const Index bad :
       {Index{-1}, Index{4}, Index{1} << 62, std::numeric_limits<Index>::lowest()}) {
    CHECK(fault(32, bad, ring) ==
          "byte 32: expected a number from 0 to 3, found " + std::to_string(bad));
    CHECK(ring.next == 3);
  }
  CHECK(fault(40, std::uint8_t{7}) == "byte 40: expected 0 or 1, found 7");
  CHECK(fault(42, std::uint8_t{2}) == "byte 42: expected 0 or 1, found 2");
  for (const double bad : {no_number, infinity, -infinity, -0.1, 1.1}) {
    CHECK(fault(43, bad, ring).starts_with("byte 43: expected a number from 0 to 1, found "));
    CHECK(ring.share == 0.5);
  }
  CHECK(fault(51, std::numeric_limits<float>::infinity()) ==
        "byte 51: expected finite numbers, found inf");
  CHECK(fault(32, Index{2}).ends_with(": expected a full ring"));
  CHECK(fault(0, no_number).empty());  // nothing is said of these
}
