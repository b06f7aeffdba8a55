// The only file that includes xsimd or names an instruction set: vectors, registers, denormals.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "tsdl/core/types.hpp"

// GCC 12 warns of the undefined vectors inside its own intrinsics when they are inlined into ours.
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

// Loops over the registers of a tile must vanish at every optimisation level.
#define TSDL_UNROLL _Pragma("GCC unroll 16")
#define TSDL_INLINE inline __attribute__((always_inline))

namespace tsdl::inline TSDL_ABI::kernels {

/// The widest vector that the compiler's flags allow.
template <class Scalar>
using Vec = xsimd::batch<Scalar>;

/// W, the lanes of a vector.
template <class Scalar>
inline constexpr Index lanes = static_cast<Index>(Vec<Scalar>::size);

/// How many vectors the register file holds; it sets the shape of a tile.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr Index vector_registers = 32;
#else
inline constexpr Index vector_registers = 16;
#endif

template <class Scalar>
TSDL_INLINE Vec<Scalar> load(const Scalar* aligned) noexcept {
  return Vec<Scalar>::load_aligned(aligned);
}

template <class Scalar>
TSDL_INLINE Vec<Scalar> load_unaligned(const Scalar* data) noexcept {
  return Vec<Scalar>::load_unaligned(data);
}

template <class Scalar>
TSDL_INLINE void store(Scalar* aligned, const Vec<Scalar>& value) noexcept {
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

/// a * b + c, rounded once where the instruction set can.
template <class Scalar>
TSDL_INLINE Vec<Scalar> fma(const Vec<Scalar>& a, const Vec<Scalar>& b,
                            const Vec<Scalar>& c) noexcept {
#if defined(__AVX512F__)  // xsimd 8.1 multiplies, rounds, then adds here
  if constexpr (std::is_same_v<Scalar, float>)
    return Vec<Scalar>(_mm512_fmadd_ps(a, b, c));
  else
    return Vec<Scalar>(_mm512_fmadd_pd(a, b, c));
#else
  return xsimd::fma(a, b, c);
#endif
}

/// The same value, of which the compiler knows nothing: under -ffast-math it would cancel what is
/// added and taken away to round.
template <class Scalar>
TSDL_INLINE Vec<Scalar> opaque(Vec<Scalar> value) noexcept {
#if defined(__AVX512F__)
  __asm__("" : "+v"(value.data));
#elif defined(__SSE2__)
  __asm__("" : "+x"(value.data));
#elif defined(__aarch64__)
  __asm__("" : "+w"(value.data));
#endif
  return value;
}

/// Flushes denormals to zero while it lives: a decaying cell state must not cost a hundred cycles a
/// step. Every public call that computes enters one, and so does every task of a parallel region.
/// It costs some 12 ns; a stream whose steps are not much longer can hold one around all of them.
class DenormalGuard {
 public:
#if defined(__SSE2__)
  DenormalGuard() noexcept : saved_(_mm_getcsr()) {
    if (!flushing()) _mm_setcsr(saved_ | flush);
  }
  ~DenormalGuard() {
    if (!flushing()) _mm_setcsr(saved_);
  }

 private:
  static constexpr unsigned flush = 0x8040u;
  bool flushing() const noexcept { return (saved_ & flush) == flush; }  // then there is no need
  unsigned saved_;
#elif defined(__aarch64__)
  DenormalGuard() noexcept {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | (std::uint64_t{1} << 24)));
  }
  ~DenormalGuard() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  std::uint64_t saved_;
#else
  DenormalGuard() noexcept {}
  ~DenormalGuard() {}
#endif
 public:
  DenormalGuard(const DenormalGuard&) = delete;
  DenormalGuard& operator=(const DenormalGuard&) = delete;
};

}  // namespace tsdl::inline TSDL_ABI::kernels
