// What dropout does to each value: masks of random bits, and values that a mask keeps.
//
// A mask is a function of key and position, so that masks can be drawn in any order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tsdl/core/random.hpp"
#include "tsdl/kernels/simd.hpp"

TSDL_INTRINSICS_BEGIN
namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

namespace internal {

/// N vectors side by side: what waits for one can work on another.
template <class V, Index N>
struct Vectors {
  Array<V, N> of;

  TSDL_INLINE Vectors() noexcept {}
  TSDL_INLINE explicit Vectors(std::uint64_t value) noexcept { std::fill_n(of, N, V(value)); }
  friend TSDL_INLINE Vectors operator+(Vectors a, const Vectors& b) noexcept {
    TSDL_UNROLL
    for (Index v = 0; v < N; ++v) a.of[v] = a.of[v] + b.of[v];
    return a;
  }
  friend TSDL_INLINE Vectors operator^(Vectors a, const Vectors& b) noexcept {
    TSDL_UNROLL
    for (Index v = 0; v < N; ++v) a.of[v] = a.of[v] ^ b.of[v];
    return a;
  }
  friend TSDL_INLINE Vectors operator>>(Vectors a, int bits) noexcept {
    TSDL_UNROLL
    for (Index v = 0; v < N; ++v) a.of[v] = a.of[v] >> bits;
    return a;
  }
};

}  // namespace internal

/// Where in a Philox's numbers a mask stands: counter (first, c1, c2, c3) is that of its first 8
/// units.
struct MaskCounter {
  std::uint32_t first, c1, c2, c3;
};

/// Units that draw_mask draws.
inline constexpr Index mask_units = 64;

/// The mask of 64 units: 1 where the draw of a unit is at least the threshold. That of unit u is 16
/// bits of word u % 8 / 2 of counter first + u / 8, of an even one the lower 16.
inline void draw_mask(std::uint8_t* kept, const Philox& philox, std::uint16_t threshold,
                      const MaskCounter& counter) noexcept {
  using Word = xsimd::batch<std::uint64_t>;
  constexpr Index counters = mask_units / 8, W = lanes<std::uint64_t>;
  static_assert(counters % W == 0 && std::endian::native == std::endian::little);
  // Two draws in each of a lane's halves: the sum carries into bit 16 where a draw is kept.
  const Word halves(std::uint64_t{0x0000ffff0000ffffu}), one(std::uint64_t{0x0000000100000001u});
  const Word least(std::uint64_t{0x10000u - threshold} * 0x0000000100000001u);
  const Word lower(std::uint64_t{0xffffffffu});
  // Four units, each a byte of the lower half of a lane.
  const auto bytes = [&](const Word& even, const Word& odd) TSDL_INLINE_LAMBDA {
    const Word draws = (even & lower) | (odd << 32);
    const Word first = (((draws & halves) + least) >> 16) & one;
    const Word second = ((((draws >> 16) & halves) + least) >> 16) & one;
    const Word both = first | (second << 8);
    return Word(both | (both >> 16));
  };
  alignas(64) static constexpr std::uint64_t ascending[counters] = {0, 1, 2, 3, 4, 5, 6, 7};
  alignas(64) std::uint64_t out[counters];
  constexpr Index N = std::min(Index{2}, counters / W);
  using Words = internal::Vectors<Word, N>;
  for (Index i = 0; i < counters; i += N * W) {
    Words x[4] = {Words(), Words(std::uint64_t{counter.c1}), Words(std::uint64_t{counter.c2}),
                  Words(std::uint64_t{counter.c3})};
    TSDL_UNROLL
    for (Index v = 0; v < N; ++v)
      x[0].of[v] = Word::load_aligned(ascending + i + v * W) + Word(std::uint64_t{counter.first});
    philox.encrypt_each(x, [](const Words& a, const Words& b) TSDL_INLINE_LAMBDA {
      Words product;
      TSDL_UNROLL
      for (Index v = 0; v < N; ++v) product.of[v] = multiply_lower_halves(a.of[v], b.of[v]);
      return product;
    });
    TSDL_UNROLL
    for (Index v = 0; v < N; ++v) {
      const Word low = bytes(x[0].of[v], x[1].of[v]), high = bytes(x[2].of[v], x[3].of[v]);
      Word((low & lower) | (high << 32)).store_aligned(out + i + v * W);
    }
  }
  std::memcpy(kept, out, sizeof out);
}

namespace internal {

/// N values: loops of constant length over copies, which compilers vectorise.
template <Index N, class Scalar>
void keep_scaled(Scalar* out, const std::uint8_t* kept, const Scalar* in, Scalar scale) noexcept {
  using Bits = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  Array<Scalar, N> scaled;
  Array<Bits, N> masks;
  for (Index i = 0; i < N; ++i) scaled[i] = in[i] * scale;
  for (Index i = 0; i < N; ++i) masks[i] = Bits{0} - Bits{kept[i]};
  for (Index i = 0; i < N; ++i)
    out[i] = std::bit_cast<Scalar>(std::bit_cast<Bits>(scaled[i]) & masks[i]);
}

}  // namespace internal

/// out[i] = kept[i] ? in[i] * scale : 0. Shapes: kept 0 or 1. out may be in. Branchless, since
/// masks are unpredictable.
template <class Scalar>
void keep_scaled(Scalar* out, const std::uint8_t* kept, const Scalar* in, Scalar scale,
                 Index count) noexcept {
  constexpr Index N = 16;
  Index i = 0;
  for (; i + N <= count; i += N) internal::keep_scaled<N>(out + i, kept + i, in + i, scale);
  for (; i < count; ++i) internal::keep_scaled<1>(out + i, kept + i, in + i, scale);
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
TSDL_INTRINSICS_END
