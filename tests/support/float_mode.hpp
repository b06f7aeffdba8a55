// The floating-point modes in which a caller of the library may run.
#pragma once

#include "tsdl/core/float_mode.hpp"

namespace test {

#if defined(__SSE2__)
inline constexpr bool has_float_modes = true;
inline constexpr tsdl::internal::FloatMode flush_denormals = 0x8040u, round_down = 0x2000u,
                                           round_up = 0x4000u;
#elif defined(__aarch64__)
inline constexpr bool has_float_modes = true;
inline constexpr tsdl::internal::FloatMode flush_denormals = 0x01000000u, round_down = 0x00800000u,
                                           round_up = 0x00400000u;
#else
inline constexpr bool has_float_modes = false;
inline constexpr tsdl::internal::FloatMode flush_denormals = 0, round_down = 0, round_up = 0;
#endif

struct CallersMode {
  const char* name;
  tsdl::internal::FloatMode bits;  ///< set in addition to the mode at the program's start
};
inline constexpr CallersMode callers_modes[] = {
    {"as at the start", 0},
    {"denormals flushed", flush_denormals},
    {"rounding up", round_up},
    {"flushed, rounding down", flush_denormals | round_down}};

/// Runs in a caller's mode while it lives.
class InMode {
 public:
  explicit InMode(const CallersMode& mode) noexcept : before_(tsdl::internal::float_mode()) {
    tsdl::internal::set_float_mode(before_ | mode.bits);
  }
  ~InMode() { tsdl::internal::set_float_mode(before_); }
  InMode(const InMode&) = delete;
  InMode& operator=(const InMode&) = delete;

 private:
  tsdl::internal::FloatMode before_;
};

}  // namespace test
