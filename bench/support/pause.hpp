// One call at a time, with other work before each: what a live feed sees, whose step before ended a
// while ago.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The median, of which the values are put in another order.
inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// About 20 us of arithmetic that reads and writes 64 KiB: more than a first-level data cache
/// holds beside anything else.
class OtherWork {
 public:
  void operator()() {
    const auto start = Clock::now();
    do {
      for (float& value : values_) value = value * 0.5f + 1.0f;
      seen_ = values_[next_++ % values_.size()];
    } while (seconds_since(start) < 20e-6);
  }

 private:
  std::vector<float> values_ = std::vector<float>((64 << 10) / sizeof(float));
  std::size_t next_ = 0;
  volatile float seen_ = 0;  // or the arithmetic could be left out
};

/// The mean of the middle half: as indifferent to interruptions as the median, and not bound to the
/// ticks of a clock that takes 10 ns each.
inline double middle_mean(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const auto quarter = static_cast<std::ptrdiff_t>(values.size() / 4);
  const auto first = values.begin() + quarter, last = values.end() - quarter;
  return std::accumulate(first, last, 0.0) / static_cast<double>(last - first);
}

/// Seconds that call() takes after other work, the mean of the middle half of `times`, without what
/// reading the clock takes in the same place. Before the other work there is time for prepare().
template <class Call, class Prepare>
double time_paused(int times, const Call& call, const Prepare& prepare) {
  OtherWork other;
  std::vector<double> with, without;
  for (int i = 0; i < times; ++i) {
    prepare();
    other();
    auto start = Clock::now();
    call();
    with.push_back(seconds_since(start));
    if (i % 4 != 0) continue;
    other();
    start = Clock::now();
    without.push_back(seconds_since(start));
  }
  return std::max(0.0, middle_mean(with) - middle_mean(without));
}

}  // namespace bench
