// Masks against Philox's numbers one by one, and what they keep.
#include "tsdl/kernels/dropout.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using tsdl::Index, tsdl::Philox;
namespace kernels = tsdl::kernels;

/// The draw of unit u of a mask.
std::uint16_t draw(const Philox& philox, const kernels::MaskCounter& c, std::uint32_t u) {
  const auto words = philox(c.first + u / 8, c.c1, c.c2, c.c3);
  return static_cast<std::uint16_t>(words[u % 8 / 2] >> (u % 2 * 16));
}

}  // namespace

TEST_CASE("a mask keeps the units whose draws of 16 bits are at least the threshold") {
  const Philox philox(21, 22);
  // The last counter wraps around; the others differ in every number.
  for (const kernels::MaskCounter counter :
       {kernels::MaskCounter{0, 0, 0, 0}, kernels::MaskCounter{5, 0xffffffffu, 2, 3},
        kernels::MaskCounter{0xfffffffcu, 7, 0x80000000u, 0xffffffffu}}) {
    for (const int threshold : {0, 1, 6554, 32768, 65535}) {
      std::uint8_t kept[kernels::mask_units + 1];
      kept[kernels::mask_units] = 7;
      kernels::draw_mask(kept, philox, static_cast<std::uint16_t>(threshold), counter);
      for (std::uint32_t u = 0; u < kernels::mask_units; ++u)
        CHECK(kept[u] == (draw(philox, counter, u) >= threshold ? 1 : 0));
      CHECK(kept[kernels::mask_units] == 7);
    }
    // A threshold that is a draw keeps it, and the next one drops it.
    for (std::uint32_t u = 0; u < kernels::mask_units; ++u) {
      const std::uint16_t its = draw(philox, counter, u);
      if (its == 65535) continue;
      std::uint8_t kept[kernels::mask_units];
      kernels::draw_mask(kept, philox, its, counter);
      CHECK(kept[u] == 1);
      kernels::draw_mask(kept, philox, static_cast<std::uint16_t>(its + 1), counter);
      CHECK(kept[u] == 0);
    }
  }
}

TEST_CASE_TEMPLATE("kept values are scaled, and the others are 0 whatever they were", Scalar, float,
                   double) {
  const Scalar scale = Scalar{1} / static_cast<Scalar>(0.8);
  for (Index count = 0; count <= 2 * 16 + 1; ++count) {
    const auto size = static_cast<std::size_t>(count);
    std::vector<Scalar> in(size), out(size + 1, Scalar{9});
    std::vector<std::uint8_t> kept(size);
    for (std::size_t i = 0; i < size; ++i) {
      in[i] = static_cast<Scalar>(std::sin(static_cast<double>(i + 1)));
      kept[i] = i % 3 != 0;
      if (i % 6 == 0) in[i] = std::numeric_limits<Scalar>::infinity();
    }
    kernels::keep_scaled(out.data(), kept.data(), in.data(), scale, count);
    std::vector<Scalar> in_place = in;
    kernels::keep_scaled(in_place.data(), kept.data(), in_place.data(), scale, count);
    for (std::size_t i = 0; i < size; ++i) {
      CHECK(out[i] == (kept[i] ? in[i] * scale : Scalar{0}));
      if (!kept[i]) CHECK_FALSE(std::signbit(out[i]));
      CHECK(in_place[i] == out[i]);
    }
    CHECK(out[size] == Scalar{9});
  }
}
