// The vector helpers.
#include "tsdl/kernels/simd.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "tsdl/core/buffer.hpp"

namespace {

using tsdl::Index;
namespace kernels = tsdl::kernels;

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
