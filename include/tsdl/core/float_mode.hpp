// The floating-point mode in which tsdl makes numbers, whatever mode its caller has set.
//
// One rule: every public call that makes numbers holds a FloatModeGuard, batch and stream alike,
// and so does every task of a parallel region. The kernels leave it to their callers. The push of a
// single indicator holds none: it meets no denormal, but rounds as its caller does; a FeatureStream
// holds one for all of its indicators.
#pragma once

#include <cstdint>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The processor's floating-point mode: which bits of it matter, and what tsdl sets them to.
/// Denormals are flushed to zero, in operands and results; results round to nearest; no exception
/// is raised as a signal.
#if defined(__SSE2__)
using FloatMode = std::uint32_t;
inline constexpr FloatMode float_mode_bits = 0xffc0u, float_mode_value = 0x9fc0u,
                           flush_denormals = 0x8040u;
inline FloatMode float_mode() noexcept {
  FloatMode mode;
  __asm__ volatile("stmxcsr %0" : "=m"(mode) : : "memory");
  return mode;
}
inline void set_float_mode(FloatMode mode) noexcept {
  __asm__ volatile("ldmxcsr %0" : : "m"(mode) : "memory");
}
#elif defined(__aarch64__)
using FloatMode = std::uint64_t;
// FZ; RMode and the enabled traps are 0, and so is DN: a NaN keeps its payload.
inline constexpr FloatMode float_mode_bits = 0x03c09f00u, float_mode_value = 0x01000000u,
                           flush_denormals = 0x01000000u;
inline FloatMode float_mode() noexcept {
  FloatMode mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
  return mode;
}
inline void set_float_mode(FloatMode mode) noexcept {
  __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else
using FloatMode = std::uint32_t;
inline constexpr FloatMode float_mode_bits = 0, float_mode_value = 0, flush_denormals = 0;
inline FloatMode float_mode() noexcept { return 0; }
inline void set_float_mode(FloatMode) noexcept {}
#endif

}  // namespace internal

/// What becomes of denormals under a FloatModeGuard.
enum class Denormals { flush, keep };

/// Sets the mode in which tsdl computes while it lives, then brings back the caller's, exception
/// flags included. Two reasons: results must not depend on the caller's mode, and a cell state that
/// decays into denormals would cost a hundred cycles a step.
///
/// Setting the mode stops the pipeline, some 4 ns, and a guard that finds the mode set leaves it
/// alone: hold one around a loop of calls that take less than a microsecond each, such as a
/// stream's. A guard must end on the thread that it began on.
class FloatModeGuard {
 public:
  FloatModeGuard() noexcept : FloatModeGuard(Denormals::flush) {}
  /// Denormals are kept where flushing them would show in the result.
  explicit FloatModeGuard(Denormals denormals) noexcept : before_(internal::float_mode()) {
    using internal::float_mode_bits, internal::float_mode_value;
    const internal::FloatMode value = denormals == Denormals::flush
                                          ? float_mode_value
                                          : float_mode_value & ~internal::flush_denormals;
    sets_ = (before_ & float_mode_bits) != value;
    if (sets_) internal::set_float_mode((before_ & ~float_mode_bits) | value);
  }
  ~FloatModeGuard() {
    if (sets_) internal::set_float_mode(before_);
  }
  FloatModeGuard(const FloatModeGuard&) = delete;
  FloatModeGuard& operator=(const FloatModeGuard&) = delete;

 private:
  internal::FloatMode before_;
  bool sets_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
