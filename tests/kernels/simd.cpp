// The vector helpers and the guard against denormals.
#include "tsdl/kernels/simd.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <vector>

#include "tsdl/core/buffer.hpp"

namespace {

using tsdl::Index;
namespace kernels = tsdl::kernels;

/// Half of the least normal number, worked out at run time: zero while denormals are flushed.
template <class Scalar>
Scalar half_of_least() {
  volatile Scalar least = std::numeric_limits<Scalar>::min(), half = Scalar{0.5};
  return least * half;
}

}  // namespace

TEST_CASE_TEMPLATE("partial loads and stores touch the first count lanes only", Scalar, float,
                   double) {
  constexpr Index W = kernels::lanes<Scalar>;
  for (Index count = 0; count <= W; ++count) {
    INFO("count ", count);
    // Exactly as large as may be read, so that a sanitizer sees what lies behind.
    std::vector<Scalar> in(static_cast<std::size_t>(count));
    for (Index i = 0; i < count; ++i) in[static_cast<std::size_t>(i)] = static_cast<Scalar>(i + 1);
    const auto loaded = kernels::load_partial(in.data(), count);
    tsdl::Buffer<Scalar> all(W);
    kernels::store(all.data(), loaded);
    for (Index i = 0; i < W; ++i)
      CHECK(all[i] == (i < count ? static_cast<Scalar>(i + 1) : Scalar{0}));
    std::vector<Scalar> out(static_cast<std::size_t>(W + 1), Scalar{9});
    kernels::store_partial(out.data(), loaded, count);
    for (Index i = 0; i <= W; ++i)
      CHECK(out[static_cast<std::size_t>(i)] == (i < count ? static_cast<Scalar>(i + 1) : 9));
  }
}

#if defined(__SSE2__) || defined(__aarch64__)
TEST_CASE_TEMPLATE("DenormalGuard flushes while it lives and restores the mode", Scalar, float,
                   double) {
  REQUIRE(half_of_least<Scalar>() > 0);
  {
    const kernels::DenormalGuard outer;
    CHECK(half_of_least<Scalar>() == 0);
    {
      const kernels::DenormalGuard inner;
      CHECK(half_of_least<Scalar>() == 0);
    }
    CHECK(half_of_least<Scalar>() == 0);
  }
  CHECK(half_of_least<Scalar>() > 0);
}

TEST_CASE("DenormalGuards may end in any order") {
  auto first = std::make_unique<kernels::DenormalGuard>();
  auto second = std::make_unique<kernels::DenormalGuard>();
  first.reset();
  CHECK(half_of_least<float>() == 0);
  second.reset();
  CHECK(half_of_least<float>() > 0);
}

TEST_CASE("a DenormalGuard leaves a mode that flushes already to whoever set it") {
  const auto before = kernels::internal::float_mode();
  kernels::internal::set_float_mode(before | kernels::internal::flush_denormals);
  {
    const kernels::DenormalGuard guard;  // its end must not bring back what it found
    CHECK(half_of_least<float>() == 0);
    kernels::internal::set_float_mode(before);
  }
  CHECK(half_of_least<float>() > 0);
}
#endif
