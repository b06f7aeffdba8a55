// The vector helpers.
#include "tsdl/kernels/simd.hpp"

#include <doctest/doctest.h>

#include <cstdint>
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

TEST_CASE("products of the lower halves of lanes, whatever their upper halves hold") {
  using Word = xsimd::batch<std::uint64_t>;
  constexpr Index W = kernels::lanes<std::uint64_t>;
  tsdl::Buffer<std::uint64_t> a(W), b(W), product(W);
  for (const std::uint64_t above : {std::uint64_t{0}, std::uint64_t{0xdeadbeef} << 32}) {
    for (Index i = 0; i < W; ++i) {
      a[i] = above | (0xffffffffu - static_cast<std::uint64_t>(i) * 0x11111111u);
      b[i] = above | (0xd2511f53u + static_cast<std::uint64_t>(i));
    }
    kernels::multiply_lower_halves(Word::load_aligned(a.data()), Word::load_aligned(b.data()))
        .store_aligned(product.data());
    for (Index i = 0; i < W; ++i) CHECK(product[i] == (a[i] & 0xffffffffu) * (b[i] & 0xffffffffu));
  }
}
