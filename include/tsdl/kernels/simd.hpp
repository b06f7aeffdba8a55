// The only file that includes xsimd, and with core/float_mode.hpp the only one that names an
// instruction set: vectors and registers.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tsdl/core/types.hpp"

// GCC 12 warns of the undefined vectors inside its own intrinsics where ours inline them.
#if defined(__GNUC__) && !defined(__clang__)
#define TSDL_INTRINSICS_BEGIN                                                          \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"") \
      _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define TSDL_INTRINSICS_END _Pragma("GCC diagnostic pop")
#else
#define TSDL_INTRINSICS_BEGIN
#define TSDL_INTRINSICS_END
#endif

TSDL_INTRINSICS_BEGIN
#include <xsimd/xsimd.hpp>
TSDL_INTRINSICS_END

// Loops over registers must be unrolled at every optimisation level.
#define TSDL_UNROLL _Pragma("GCC unroll 16")
#define TSDL_INLINE inline __attribute__((always_inline))
#ifdef __clang__  // the two compilers want noexcept and the attribute in different order
#define TSDL_INLINE_LAMBDA __attribute__((always_inline)) noexcept
#else
#define TSDL_INLINE_LAMBDA noexcept __attribute__((always_inline))
#endif

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// The widest vector that the compiler's flags allow.
template <class Scalar>
using Vec = xsimd::batch<Scalar>;

/// W, the lanes of a vector.
template <class Scalar>
inline constexpr Index lanes = static_cast<Index>(Vec<Scalar>::size);

/// A vector of exactly N lanes; void where there is none. AVX-512 also has the vectors of AVX2 and
/// SSE.
template <class Scalar, Index N>
using SizedVec = std::conditional_t<N == lanes<Scalar>, Vec<Scalar>,
                                    xsimd::make_sized_batch_t<Scalar, static_cast<std::size_t>(N)>>;

/// The lanes of the narrowest vector that holds `count` numbers; lanes<Scalar> where none does. A
/// small layer then computes with fewer padding zeros.
template <class Scalar, Index N = lanes<Scalar>>
constexpr Index fewest_lanes(Index count) noexcept {
  if constexpr (N > 2) {
    if constexpr (!std::is_void_v<SizedVec<Scalar, N / 2>>)
      if (count <= N / 2) return fewest_lanes<Scalar, N / 2>(count);
  }
  return N;
}

/// N values, and R rows of N: registers, where all are vectors and every index is known. Sizes are
/// Index everywhere, but an array's bound is unsigned.
template <class T, Index N>
using Array = T[static_cast<std::size_t>(N)];
template <class T, Index R, Index N>
using Block = Array<T, N>[static_cast<std::size_t>(R)];

/// How many vectors the register file holds; it sets the shape of a register block.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr Index vector_registers = 32;
#else
inline constexpr Index vector_registers = 16;
#endif

template <class V>
TSDL_INLINE V load_as(const typename V::value_type* aligned) noexcept {
  return V::load_aligned(aligned);
}

template <class Scalar>
TSDL_INLINE Vec<Scalar> load(const Scalar* aligned) noexcept {
  return Vec<Scalar>::load_aligned(aligned);
}

template <class Scalar>
TSDL_INLINE Vec<Scalar> load_unaligned(const Scalar* data) noexcept {
  return Vec<Scalar>::load_unaligned(data);
}

template <class V>
TSDL_INLINE void store(typename V::value_type* aligned, const V& value) noexcept {
  value.store_aligned(aligned);
}

template <class Scalar>
TSDL_INLINE void store_unaligned(Scalar* data, const Vec<Scalar>& value) noexcept {
  value.store_unaligned(data);
}

/// The first `count` lanes of a vector, 0 <= count <= W; the others load as zero and are not
/// stored.
template <class Scalar>
TSDL_INLINE Vec<Scalar> load_partial(const Scalar* data, Index count) noexcept {
  alignas(64) Scalar lane[lanes<Scalar>] = {};
  std::copy_n(data, count, lane);
  return load(lane);
}

template <class Scalar>
TSDL_INLINE void store_partial(Scalar* data, const Vec<Scalar>& value, Index count) noexcept {
  alignas(64) Scalar lane[lanes<Scalar>];
  store(lane, value);
  std::copy_n(lane, count, data);
}

/// Splits words of two bfloat16 each: `low` and `high` become their lower and upper halves as
/// floats.
template <class V>
TSDL_INLINE void split_halves(const std::uint32_t* aligned, V& low, V& high) noexcept {
  using Words = xsimd::batch<std::uint32_t, typename V::arch_type>;
  const Words words = Words::load_aligned(aligned);
  low = std::bit_cast<V>(Words(words << 16));
  high = std::bit_cast<V>(Words(words & Words(0xffff0000u)));
}

/// a * b + c, rounded once where the instruction set has a fused instruction. (Not called fma: an
/// unqualified call would find xsimd's.)
template <class V>
TSDL_INLINE V multiply_add(const V& a, const V& b, const V& c) noexcept {
#if defined(__FMA__)  // xsimd 8.1 does not use these in AVX-512, nor in narrow vectors
  constexpr bool is_float = std::is_same_v<typename V::value_type, float>;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && is_float)
    return V(_mm512_fmadd_ps(a, b, c));
  else if constexpr (sizeof(V) == 64)
    return V(_mm512_fmadd_pd(a, b, c));
  else
#endif
      if constexpr (sizeof(V) == 32 && is_float)
    return V(_mm256_fmadd_ps(a, b, c));
  else if constexpr (sizeof(V) == 32)
    return V(_mm256_fmadd_pd(a, b, c));
  else if constexpr (is_float)
    return V(_mm_fmadd_ps(a, b, c));
  else
    return V(_mm_fmadd_pd(a, b, c));
#else
  return xsimd::fma(a, b, c);
#endif
}

/// The products of the lower halves of 64-bit lanes.
template <class V>
TSDL_INLINE V multiply_lower_halves(const V& a, const V& b) noexcept {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) return V(_mm512_mul_epu32(a, b));
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32) return V(_mm256_mul_epu32(a, b));
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(V) == 16) return V(_mm_mul_epu32(a, b));
#elif defined(__aarch64__)
  return V(vmull_u32(vmovn_u64(a), vmovn_u64(b)));
#endif
  const V lower(std::uint64_t{0xffffffffu});
  return V((a & lower) * (b & lower));
}

/// About 1 / a, to 11 bits or more: the same bits in vectors of every size.
template <class V>
TSDL_INLINE V approximate_reciprocal(const V& a) noexcept {
#if defined(__AVX512VL__)  // xsimd uses another instruction for narrow vectors
  if constexpr (sizeof(V) == 32 && sizeof(typename V::value_type) == 4)
    return V(_mm256_rcp14_ps(a));
  else if constexpr (sizeof(V) == 32)
    return V(_mm256_rcp14_pd(a));
  else if constexpr (sizeof(V) == 16 && sizeof(typename V::value_type) == 4)
    return V(_mm_rcp14_ps(a));
  else if constexpr (sizeof(V) == 16)
    return V(_mm_rcp14_pd(a));
  else
    return xsimd::reciprocal(a);
#elif defined(__aarch64__)  // an estimate of 8 bits, and a Newton step
  if constexpr (sizeof(typename V::value_type) == 4) {
    const float32x4_t near = vrecpeq_f32(a);
    return V(vmulq_f32(vrecpsq_f32(a, near), near));
  } else {
    const float64x2_t near = vrecpeq_f64(a);
    return V(vmulq_f64(vrecpsq_f64(a, near), near));
  }
#else
  return xsimd::reciprocal(a);
#endif
}

/// a / b, rounded once. (For floats in NEON xsimd 8.1 refines an estimate: a / a is not always 1.)
template <class V>
TSDL_INLINE V divide(const V& a, const V& b) noexcept {
#if defined(__aarch64__)
  if constexpr (sizeof(typename V::value_type) == 4)
    return V(vdivq_f32(a, b));
  else
#endif
    return a / b;
}

/// The square root, rounded once. (As in divide, xsimd would refine an estimate.)
template <class V>
TSDL_INLINE V square_root(const V& a) noexcept {
#if defined(__aarch64__)
  if constexpr (sizeof(typename V::value_type) == 4)
    return V(vsqrtq_f32(a));
  else
#endif
    return xsimd::sqrt(a);
}

namespace internal {

// The lesser and the greater of two registers; the second where either is NaN.
#if defined(__SSE2__)
TSDL_INLINE __m128 lesser(__m128 a, __m128 b) noexcept { return _mm_min_ps(a, b); }
TSDL_INLINE __m128d lesser(__m128d a, __m128d b) noexcept { return _mm_min_pd(a, b); }
TSDL_INLINE __m128 greater(__m128 a, __m128 b) noexcept { return _mm_max_ps(a, b); }
TSDL_INLINE __m128d greater(__m128d a, __m128d b) noexcept { return _mm_max_pd(a, b); }
#endif
#if defined(__AVX__)
TSDL_INLINE __m256 lesser(__m256 a, __m256 b) noexcept { return _mm256_min_ps(a, b); }
TSDL_INLINE __m256d lesser(__m256d a, __m256d b) noexcept { return _mm256_min_pd(a, b); }
TSDL_INLINE __m256 greater(__m256 a, __m256 b) noexcept { return _mm256_max_ps(a, b); }
TSDL_INLINE __m256d greater(__m256d a, __m256d b) noexcept { return _mm256_max_pd(a, b); }
#endif
#if defined(__AVX512F__)
TSDL_INLINE __m512 lesser(__m512 a, __m512 b) noexcept { return _mm512_min_ps(a, b); }
TSDL_INLINE __m512d lesser(__m512d a, __m512d b) noexcept { return _mm512_min_pd(a, b); }
TSDL_INLINE __m512 greater(__m512 a, __m512 b) noexcept { return _mm512_max_ps(a, b); }
TSDL_INLINE __m512d greater(__m512d a, __m512d b) noexcept { return _mm512_max_pd(a, b); }
#endif

}  // namespace internal

/// min(bound, x), which is x where x is NaN. (xsimd's own returns either operand then, by its
/// version and the instruction set.)
template <class V>
TSDL_INLINE V at_most(const V& bound, const V& x) noexcept {
#if defined(__SSE2__)
  return V(internal::lesser(bound, x));
#else
  return xsimd::select(bound < x, bound, x);
#endif
}

/// max(bound, x), which is x where x is NaN.
template <class V>
TSDL_INLINE V at_least(const V& bound, const V& x) noexcept {
#if defined(__SSE2__)
  return V(internal::greater(bound, x));
#else
  return xsimd::select(bound > x, bound, x);
#endif
}

/// Whether each lane's number is below `count`.
template <class V>
TSDL_INLINE auto first_lanes(Index count) noexcept {
  using Scalar = typename V::value_type;
  constexpr auto numbers = []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<Scalar, sizeof...(I)>{static_cast<Scalar>(I)...};
  };
  alignas(64) static constexpr auto number = numbers(std::make_index_sequence<V::size>{});
  return load_as<V>(number.data()) < V(static_cast<Scalar>(count));
}

/// The sum of a vector's lanes, by halves: ((x0 + x4) + (x2 + x6)) + ((x1 + x5) + (x3 + x7)) of
/// eight.
template <class V>
TSDL_INLINE typename V::value_type sum_of_lanes(const V& v) noexcept {
  alignas(64) typename V::value_type lane[V::size];
  store(lane, v);
  TSDL_UNROLL
  for (std::size_t half = V::size / 2; half > 0; half /= 2) {
    TSDL_UNROLL
    for (std::size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
  }
  return lane[0];
}

/// The largest of a vector's lanes, none of which is NaN.
template <class V>
TSDL_INLINE typename V::value_type largest_of_lanes(const V& v) noexcept {
  alignas(64) typename V::value_type lane[V::size];
  store(lane, v);
  TSDL_UNROLL
  for (std::size_t half = V::size / 2; half > 0; half /= 2) {
    TSDL_UNROLL
    for (std::size_t i = 0; i < half; ++i) lane[i] = std::max(lane[i], lane[i + half]);
  }
  return lane[0];
}

/// The same value, hidden from the optimiser: -ffast-math would cancel a constant that is added and
/// subtracted to round.
template <class V>
TSDL_INLINE V opaque(V value) noexcept {
#if defined(__AVX512F__)
  __asm__("" : "+v"(value.data));
#elif defined(__SSE2__)
  __asm__("" : "+x"(value.data));
#elif defined(__aarch64__)
  __asm__("" : "+w"(value.data));
#endif
  return value;
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
