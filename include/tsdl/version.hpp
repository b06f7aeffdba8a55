// The version, three numbers that CMake reads from here, and the inline namespace built from it.
#pragma once

#define TSDL_VERSION_MAJOR 0
#define TSDL_VERSION_MINOR 2
#define TSDL_VERSION_PATCH 0

// Everything in tsdl lives in an inline namespace named after the version, the instruction set,
// whether there are threads and whether the compiler may assume that no number is infinite or NaN:
// two translation units compiled with different flags share no symbol, so the linker cannot hand
// AVX-512 code to a caller that was built for SSE2.
#if defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define TSDL_INSTRUCTION_SET avx512bw
#elif defined(__AVX512F__)
#define TSDL_INSTRUCTION_SET avx512f
#elif defined(__AVX2__) && defined(__FMA__)
#define TSDL_INSTRUCTION_SET avx2_fma
#elif defined(__AVX2__)
#define TSDL_INSTRUCTION_SET avx2
#elif defined(__AVX__) && defined(__FMA__)
#define TSDL_INSTRUCTION_SET avx_fma
#elif defined(__AVX__)
#define TSDL_INSTRUCTION_SET avx
#elif defined(__SSE4_2__)
#define TSDL_INSTRUCTION_SET sse4_2
#elif defined(__SSE4_1__)
#define TSDL_INSTRUCTION_SET sse4_1
#elif defined(__SSSE3__)
#define TSDL_INSTRUCTION_SET ssse3
#elif defined(__SSE3__)
#define TSDL_INSTRUCTION_SET sse3
#elif defined(__SSE2__)
#define TSDL_INSTRUCTION_SET sse2
#elif defined(__aarch64__)
#define TSDL_INSTRUCTION_SET neon64
#elif defined(__ARM_NEON)
#define TSDL_INSTRUCTION_SET neon
#else
#define TSDL_INSTRUCTION_SET other
#endif

// The extensions beside it that compilers use on their own, as digits: TSDL_BIT(__BMI2__) is 1
// where the compiler defines __BMI2__ as 1, else 0.
#define TSDL_BIT_PLACE_1 0,
#define TSDL_BIT_SECOND(first, second, ...) second
#define TSDL_BIT_CHOOSE(place) TSDL_BIT_SECOND(place 1, 0, 0)
#define TSDL_BIT_JOIN(value) TSDL_BIT_CHOOSE(TSDL_BIT_PLACE_##value)
#define TSDL_BIT(flag) TSDL_BIT_JOIN(flag)

#ifdef TSDL_NO_THREADS  // everything runs on the calling thread; for systems without threads
#define TSDL_ABI_THREADS _serial
#else
#define TSDL_ABI_THREADS
#endif

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__  // as in -ffast-math
#define TSDL_ABI_MATH _fast
#else
#define TSDL_ABI_MATH
#endif

#define TSDL_JOIN_(v, major, minor, patch, isa, b0, b1, b2, b3, b4, b5, b6, b7, b8, threads, math) \
  v##major##_##minor##_##patch##_##isa##_##b0##b1##b2##b3##b4##b5##b6##b7##b8##threads##math
#define TSDL_JOIN(...) TSDL_JOIN_(__VA_ARGS__)
#define TSDL_ABI                                                                                 \
  TSDL_JOIN(v, TSDL_VERSION_MAJOR, TSDL_VERSION_MINOR, TSDL_VERSION_PATCH, TSDL_INSTRUCTION_SET, \
            TSDL_BIT(__BMI2__), TSDL_BIT(__AVX512VL__), TSDL_BIT(__AVX512VBMI__),                \
            TSDL_BIT(__AVX512VBMI2__), TSDL_BIT(__AVX512VNNI__), TSDL_BIT(__AVX512FP16__),       \
            TSDL_BIT(__AVXVNNI__), TSDL_BIT(__ARM_FEATURE_ATOMICS), TSDL_BIT(__ARM_FEATURE_SVE), \
            TSDL_ABI_THREADS, TSDL_ABI_MATH)

#define TSDL_TEXT_(x) #x
#define TSDL_TEXT(x) TSDL_TEXT_(x)

namespace tsdl {
inline namespace TSDL_ABI {

/// The version as text, "major.minor.patch".
inline constexpr const char* version = TSDL_TEXT(TSDL_VERSION_MAJOR) "." TSDL_TEXT(
    TSDL_VERSION_MINOR) "." TSDL_TEXT(TSDL_VERSION_PATCH);

/// The instruction set that this translation unit was compiled for, as in "avx2_fma".
inline constexpr const char* instruction_set = TSDL_TEXT(TSDL_INSTRUCTION_SET);

}  // namespace TSDL_ABI
}  // namespace tsdl
