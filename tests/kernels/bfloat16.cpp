// bfloat16 against its definition: the nearest of its two neighbours, the even one of a tie.
#include "tsdl/kernels/bfloat16.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tsdl/core/random.hpp"

namespace {

using tsdl::BFloat16;

float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }
float widened(std::uint32_t upper) { return from_bits(upper << 16); }

}  // namespace

TEST_CASE("bfloat16 is the nearest number, the even one of a tie") {
  tsdl::RandomStream random(1);
  for (int n = 0; n < 200000; ++n) {
    const auto word = static_cast<std::uint32_t>(random.uniform() * 0x1p32);
    const float value = from_bits(word);
    if (!std::isfinite(value)) continue;
    const double below = widened(word >> 16), above = widened((word >> 16) + 1);  // by magnitude
    const double to_below = std::fabs(value - below);
    const double to_above =
        std::isfinite(above) ? std::fabs(value - above) : std::fabs(0x1p128 - std::fabs(value));
    const bool up = to_above < to_below || (to_above == to_below && (word >> 16) % 2 == 1);
    REQUIRE(BFloat16(value).bits == (word >> 16) + up);
  }
  for (std::uint32_t upper = 0; upper < 0x7f80u; upper += 13) {  // exact ones, and ties
    REQUIRE(static_cast<float>(BFloat16(widened(upper))) == widened(upper));
    REQUIRE(BFloat16(from_bits(upper << 16 | 0x8000u)).bits == upper + upper % 2);
  }
}

TEST_CASE("bfloat16 keeps infinity, NaN and the sign of zero") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(static_cast<float>(BFloat16(infinity)) == infinity);
  CHECK(static_cast<float>(BFloat16(-infinity)) == -infinity);
  CHECK(static_cast<float>(BFloat16(std::numeric_limits<float>::max())) == infinity);
  CHECK(std::signbit(static_cast<float>(BFloat16(-0.0f))));
  CHECK(std::isnan(static_cast<float>(BFloat16(from_bits(0x7f800001u)))));  // all of it below
  CHECK(std::isnan(static_cast<float>(BFloat16(from_bits(0xffffffffu)))));
}
