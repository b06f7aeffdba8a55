// Axes of a chart: which stretch they show, where their ticks are, how these read.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/data/time.hpp"
#include "tsdl/report/format.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// A stretch of an axis, and the ticks on it with their labels.
struct Axis {
  double low = 0, high = 1;
  std::vector<std::pair<double, std::string>> ticks;
};

namespace internal {

/// The least of 1, 2, 5, 10, 20, ... times a power of ten that is not below `least`.
inline double nice_step(double least) {
  const double unit = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (unit * factor >= least * (1 - 1e-9)) return unit * factor;
  return unit * 10;
}

/// Where the loss axis may be cut. A few spikes must not press the rest into a flat line: where all
/// values span more than ten times what the middle 80% do, only values up to one and a half such
/// spans beyond those 80% count.
inline std::pair<double, double> robust_range(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t tenth = (values.size() - 1) / 10 + (values.size() > 4 ? 1 : 0);
  const double q10 = values[tenth], q90 = values[values.size() - 1 - tenth];
  const double largest = std::max(std::fabs(q10), std::fabs(q90));
  const double span = std::max(q90 - q10, 0.02 * largest);
  if (is_zero(span) || values.back() - values.front() <= 10 * span)
    return {values.front(), values.back()};
  const double floor = q10 - 1.5 * span, ceiling = q90 + 1.5 * span;
  double low = q10, high = q90;
  for (const double v : values)
    if (v >= floor && v <= ceiling) low = std::min(low, v), high = std::max(high, v);
  return {low, high};
}

}  // namespace internal

/// A linear axis over low..high and a margin, which never reaches below zero for positive values.
inline Axis linear_axis(double low, double high) {
  const double size = std::max(std::fabs(low), std::fabs(high));
  const double least_span = is_zero(size) ? 1 : (high - low <= 1e-9 * size ? 0.04 : 1e-4) * size;
  const double margin = std::max(0.06 * (high - low), (least_span - (high - low)) / 2);
  Axis axis{low >= 0 ? std::max(low - margin, 0.0) : low - margin, high + margin, {}};
  const double step = internal::nice_step((axis.high - axis.low) / 7);
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  const bool plain = decimals <= 6 && size < 1e6;
  const double first = std::ceil(axis.low / step - 1e-9),
               last = std::floor(axis.high / step + 1e-9);
  for (double k = first; k <= last; ++k)
    axis.ticks.emplace_back(
        k * step, plain ? format_fixed(k * step, decimals) : format_scientific(k * step, 6));
  return axis;
}

/// An axis of powers of ten over low..high > 0; low, high and ticks are logarithms.
inline Axis log_axis(double low, double high) {
  Axis axis{std::log10(low) - 0.2, std::log10(high) + 0.2, {}};
  const double missing = std::max(0.0, 1 - (axis.high - axis.low)) / 2;
  axis.low -= missing, axis.high += missing;
  const double first = std::ceil(axis.low), decades = std::floor(axis.high) - first + 1;
  const auto tick = [&](double exponent, double factor) {
    const double at = exponent + std::log10(factor);
    // The label is put together from its digits: 10 to a power is not exact.
    if (at >= axis.low && at <= axis.high)
      axis.ticks.emplace_back(at, format_rate(factor * std::pow(10.0, exponent)));
  };
  if (decades >= 2) {
    const double stride = std::ceil(decades / 4);
    for (double e = first; e <= axis.high; e += stride) tick(e, 1);
  } else {
    for (const double factor : {1.0, 2.0, 5.0})
      for (double e = first - 1; e <= axis.high; ++e) tick(e, factor);
  }
  return axis;
}

/// The axis of `epochs` epochs, the first of which is 1, on `width` pixels.
inline Axis epoch_axis(std::size_t epochs, double width) {
  const auto count = static_cast<double>(epochs);
  Axis axis{0.5, count + 0.5, {}};
  const double step = std::max(1.0, internal::nice_step(count / 12));
  if (step > 1 && (step - 1) / count * width > 30) axis.ticks.emplace_back(1, "1");
  for (double epoch = step; epoch <= count; epoch += step)
    axis.ticks.emplace_back(epoch, format_count(static_cast<Index>(epoch)));
  return axis;
}

/// Ticks on a time axis, at most `most`: at round years, months, days or minutes.
inline Axis time_axis(std::span<const std::int64_t> times, std::size_t most) {
  using namespace std::chrono;
  using tsdl::internal::day_ms, tsdl::internal::minute_ms;
  const std::int64_t first = times.empty() ? 0 : times.front(),
                     last = times.empty() ? 1 : std::max(times.back(), first + 1);
  Axis axis{static_cast<double>(first), static_cast<double>(last), {}};
  const auto tick = [&](std::int64_t time, std::size_t from, std::size_t size) {
    if (time >= first && time <= last)
      axis.ticks.emplace_back(static_cast<double>(time), format_time(time).substr(from, size));
  };
  // Beyond these years there is no calendar to read.
  if (first < -62135596800000 || last > 253402300799999) return axis;
  const double days_shown = static_cast<double>(last - first) / static_cast<double>(day_ms);
  const year_month_day start(floor<days>(sys_time<milliseconds>(milliseconds(first))));
  const auto place = [](year_month_day date) { return sys_days(date).time_since_epoch() / 1ms; };
  if (days_shown > 60) {
    int months_apart = 1;
    for (const int step : {1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12000}) {
      months_apart = step;
      if (days_shown / (30.44 * step) <= static_cast<double>(most)) break;
    }
    const int year = static_cast<int>(start.year());
    const int round_year = year - year % std::max(1, months_apart / 12);
    for (int month = 0;; month += months_apart) {
      const std::int64_t time =
          place(std::chrono::year(round_year + month / 12) / (1 + month % 12) / 1);
      if (time > last) break;
      tick(time, 0, months_apart >= 12 ? 4 : 7);
    }
    return axis;
  }
  std::int64_t step = minute_ms;
  for (const std::int64_t minutes : {1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 10080, 20160}) {
    step = minutes * minute_ms;
    if ((last - first) / step <= static_cast<std::int64_t>(most)) break;
  }
  for (std::int64_t time = first - (first % step + step) % step; time <= last; time += step)
    if (step >= day_ms)
      tick(time, 5, 5);
    else if (time >= first)
      axis.ticks.emplace_back(static_cast<double>(time),
                              format_time(time + (time % day_ms == 0)).substr(11, 5));
  return axis;
}

/// A rectangle of the picture with its two axes.
struct Panel {
  double left, top, width, height;
  Axis x_axis, y_axis;

  double x(double epoch) const {
    return left + (epoch - x_axis.low) / (x_axis.high - x_axis.low) * width;
  }
  double y(double value) const {
    // Far outside is far enough: coordinates stay small numbers.
    const double share = (value - y_axis.low) / (y_axis.high - y_axis.low);
    return top + (1 - std::clamp(share, -9.0, 10.0)) * height;
  }
};

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
