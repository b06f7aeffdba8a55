// The sizes of register blocks.
#include "tsdl/kernels/gemm.hpp"

#include <doctest/doctest.h>

namespace {

using tsdl::Index;
namespace kernels = tsdl::kernels;

}  // namespace

TEST_CASE("for_each_rows covers every row once, in order, with no more block sizes than it says") {
  const auto check = [](auto most) {
    for (Index count = 0; count <= 40; ++count) {
      Index next = 0;
      kernels::for_each_rows<most()>(count, [&](auto M, Index j) {
        CHECK(j == next);
        CHECK((M == most() || (M < most() && (M == 4 || M == 2 || M == 1))));
        next += M();
      });
      CHECK(next == count);
    }
  };
  check(std::integral_constant<Index, kernels::rows_of<1>>{});
  check(std::integral_constant<Index, kernels::rows_of<2>>{});
  check(std::integral_constant<Index, kernels::rows_of<3>>{});
  check(std::integral_constant<Index, kernels::rows_of<4>>{});
}
