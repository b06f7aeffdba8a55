// The version, three numbers that CMake reads from here, and the inline namespace built from it.
#pragma once

#define TSDL_VERSION_MAJOR 0
#define TSDL_VERSION_MINOR 1
#define TSDL_VERSION_PATCH 0

// Everything in tsdl lives in an inline namespace named after the version, the instruction set and
// whether OpenMP is on: two translation units compiled with different flags share no symbol, so the
// linker cannot hand AVX-512 code to a caller that was built for SSE2.
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

#ifdef _OPENMP
#define TSDL_ABI_THREADS _omp
#else
#define TSDL_ABI_THREADS
#endif

#define TSDL_JOIN_(v, major, minor, patch, isa, threads) \
  v##major##_##minor##_##patch##_##isa##threads
#define TSDL_JOIN(major, minor, patch, isa, threads) \
  TSDL_JOIN_(v, major, minor, patch, isa, threads)
#define TSDL_ABI                                                                              \
  TSDL_JOIN(TSDL_VERSION_MAJOR, TSDL_VERSION_MINOR, TSDL_VERSION_PATCH, TSDL_INSTRUCTION_SET, \
            TSDL_ABI_THREADS)

#define TSDL_TEXT_(x) #x
#define TSDL_TEXT(x) TSDL_TEXT_(x)

namespace tsdl::inline TSDL_ABI {

/// The version as text, "major.minor.patch".
inline constexpr const char* version = TSDL_TEXT(TSDL_VERSION_MAJOR) "." TSDL_TEXT(
    TSDL_VERSION_MINOR) "." TSDL_TEXT(TSDL_VERSION_PATCH);

/// The instruction set that this translation unit was compiled for, as in "avx2_fma".
inline constexpr const char* instruction_set = TSDL_TEXT(TSDL_INSTRUCTION_SET);

}  // namespace tsdl::inline TSDL_ABI
