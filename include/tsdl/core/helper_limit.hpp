// Whether the threads that help are worth asking: a thread that loses its core inside a part holds
// up the whole region.
#pragma once

#include "tsdl/version.hpp"

#ifndef TSDL_NO_THREADS

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "tsdl/core/system_thread.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

using PoolClock = std::chrono::steady_clock;

/// How many helpers regions ask. After a helper was late a quarter of them, at least one, stays
/// out: for 5 ms, for twice as long each time that it happens again, up to 160 ms. Then all are
/// tried anew; when that has gone well for half a second of work, the past is forgotten. (A helper
/// that has slept is given some 20 ms beside a busy program before it loses its core.)
class HelperLimit {
 public:
  int allowed(int wanted, PoolClock::time_point now) noexcept {
    if (now >= again_) limit_ = std::numeric_limits<int>::max();
    return std::min(wanted, limit_);
  }
  void was_late(int helpers, PoolClock::time_point now) noexcept {
    limit_ = helpers - std::max(1, helpers / 4);
    pause_ = std::clamp<std::chrono::nanoseconds>(2 * pause_, std::chrono::milliseconds(5),
                                                  std::chrono::milliseconds(160));
    again_ = now + pause_;
    well_ = {};
  }
  void went_well(std::chrono::nanoseconds work) noexcept {
    if (limit_ < std::numeric_limits<int>::max()) return;
    well_ += work;
    if (well_ >= std::chrono::milliseconds(500)) pause_ = {};
  }

 private:
  int limit_ = std::numeric_limits<int>::max();
  std::chrono::nanoseconds pause_{}, well_{};
  PoolClock::time_point again_{};
};

/// How long a thread has wanted a core and had none, since it last started to watch.
class CoreWatch {
 public:
  void start(PoolClock::time_point now) noexcept {
    start_ = now;
    on_core_ = time_on_core();
  }
  bool older_than(std::chrono::nanoseconds age, PoolClock::time_point now) const noexcept {
    return now - start_ > age;
  }
  /// How long that has been; `unknown` where the system does not tell.
  std::chrono::nanoseconds without_core(PoolClock::time_point now,
                                        std::chrono::nanoseconds unknown) const noexcept {
    const auto on_core = time_on_core();
    return on_core && on_core_ ? now - start_ - (*on_core - *on_core_) : unknown;
  }

 private:
  PoolClock::time_point start_{};
  std::optional<std::chrono::nanoseconds> on_core_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl

#endif
