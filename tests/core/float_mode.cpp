// The guard that sets the floating-point mode of tsdl, and brings back the caller's.
#include "tsdl/core/float_mode.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <memory>

#include "support/float_mode.hpp"

namespace {

using test::InMode;
using tsdl::FloatModeGuard;

/// Half of the least normal number, worked out at run time: zero while denormals are flushed.
template <class Scalar>
Scalar half_of_least() {
  volatile Scalar least = std::numeric_limits<Scalar>::min(), half = Scalar{0.5};
  return least * half;
}

/// 1 + a quarter of an ulp: above 1 where results are rounded up.
double just_above_one() {
  volatile double one = 1, little = std::numeric_limits<double>::epsilon() / 4;
  return one + little;
}

}  // namespace

TEST_CASE_TEMPLATE("FloatModeGuard flushes denormals while it lives and restores the mode" *
                       doctest::skip(!test::has_float_modes),
                   Scalar, float, double) {
  REQUIRE(half_of_least<Scalar>() > 0);
  {
    const FloatModeGuard outer;
    CHECK(half_of_least<Scalar>() == 0);
    {
      const FloatModeGuard inner;
      CHECK(half_of_least<Scalar>() == 0);
    }
    CHECK(half_of_least<Scalar>() == 0);
  }
  CHECK(half_of_least<Scalar>() > 0);
}

TEST_CASE("FloatModeGuard rounds to nearest, whatever the caller does" *
          doctest::skip(!test::has_float_modes)) {
  const InMode up(test::callers_modes[2]);
  REQUIRE(just_above_one() > 1);
  {
    const FloatModeGuard guard;
    CHECK(just_above_one() == 1);
    {
      const InMode again(test::callers_modes[2]);  // set anew under the guard
      REQUIRE(just_above_one() > 1);
      const FloatModeGuard inner;
      CHECK(just_above_one() == 1);
    }
    CHECK(just_above_one() == 1);
  }
  CHECK(just_above_one() > 1);
}

TEST_CASE("FloatModeGuard brings back every bit of the caller's mode") {
  for (const test::CallersMode& mode : test::callers_modes) {
    INFO(std::string(mode.name));
    const InMode caller(mode);
    const auto before = tsdl::internal::float_mode();
    { const FloatModeGuard guard; }
    CHECK(tsdl::internal::float_mode() == before);
  }
}

TEST_CASE("FloatModeGuards that end in another order leave the caller's mode") {
  const auto before = tsdl::internal::float_mode();
  auto first = std::make_unique<FloatModeGuard>();
  auto second = std::make_unique<FloatModeGuard>();
  first.reset();
  second.reset();
  CHECK(tsdl::internal::float_mode() == before);
}

TEST_CASE("a FloatModeGuard leaves a mode that is its own already to whoever set it") {
  const auto before = tsdl::internal::float_mode();
  {
    auto setter = std::make_unique<FloatModeGuard>();
    const FloatModeGuard guard;  // its end must not bring back what it found
    setter.reset();
  }
  CHECK(tsdl::internal::float_mode() == before);
}
