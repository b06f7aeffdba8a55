// A column of a series as a line of few points: what its axis spans, and the path over time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/data/series.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/format.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

namespace internal {

/// A column: what it holds, and the stretch of values that its panel shows.
struct Trace {
  std::string_view name;
  std::vector<double> values;
  std::size_t first = 0, known = 0;    ///< the first finite row (or the size), how many are finite
  std::size_t least = 0, largest = 0;  ///< the rows of the least and the largest value
  double low = 0, high = 0;            ///< what the axis spans
  bool cut = false;                    ///< low and high are percentiles, not the extremes
  bool binary = false;                 ///< 0 and 1 alone, both of them

  double min() const { return values[least]; }
  double max() const { return values[largest]; }
};

/// Where the axis ends: at the least and the largest value, or, where these lie more than four
/// times as far apart as the 1st and the 99th percentile, at the percentiles.
inline void set_range(Trace& trace) {
  trace.low = trace.min(), trace.high = trace.max();
  std::vector<double> known;
  known.reserve(trace.known);
  for (const double v : trace.values)
    if (is_finite(v)) known.push_back(v);
  trace.binary = is_zero(trace.low) && same_value(trace.high, 1.0) &&
                 std::all_of(known.begin(), known.end(),
                             [](double v) { return is_zero(v) || same_value(v, 1.0); });
  const auto from_end = static_cast<std::ptrdiff_t>((known.size() - 1) / 100);
  if (trace.binary || from_end == 0) return;
  std::nth_element(known.begin(), known.begin() + from_end, known.end());
  const double p1 = known[static_cast<std::size_t>(from_end)];
  std::nth_element(known.begin(), known.end() - 1 - from_end, known.end());
  const double p99 = *(known.end() - 1 - from_end);
  trace.cut = p99 > p1 && trace.high - trace.low > 4 * (p99 - p1);
  if (trace.cut) trace.low = p1, trace.high = p99;
}

/// A trace of one value a row, its axis as set_range has it. What is not finite is missing.
inline Trace make_trace(std::string_view name, std::vector<double> values) {
  Trace trace;
  trace.name = name;
  trace.values = std::move(values);
  for (std::size_t row = 0; row < trace.values.size(); ++row) {
    double& v = trace.values[row];
    if (!is_finite(v)) continue;
    v = std::clamp(v, -1e300, 1e300);  // differences must not overflow
    if (trace.known++ == 0) trace.first = trace.least = trace.largest = row;
    if (v < trace.min()) trace.least = row;
    if (v > trace.max()) trace.largest = row;
  }
  if (trace.known == 0)
    trace.first = trace.values.size();
  else
    set_range(trace);
  return trace;
}

inline Trace make_trace(const Series<double>& series, Index column) {
  std::vector<double> values(static_cast<std::size_t>(series.rows));
  for (std::size_t row = 0; row < values.size(); ++row)
    values[row] = series.column(static_cast<Index>(row))[column];
  return make_trace(series.names[static_cast<std::size_t>(column)], std::move(values));
}

/// A coordinate to a tenth: the paths are most of the file.
inline std::string tenth(double value) {
  std::string text = format_fixed(value, 1);
  strip_trailing_zeros(text);
  return text;
}

/// The line of a trace, and marks where it leaves the axis. Rows that fall on the same half pixel
/// leave their least and their largest value, so no extreme is lost.
class TracePath {
 public:
  TracePath(const Panel& panel, const Trace& trace, std::span<const std::int64_t> times)
      : panel_(panel), trace_(trace) {
    std::size_t before = trace.values.size();
    for (std::size_t row = trace.first; row < trace.values.size(); ++row) {
      if (!is_finite(trace.values[row])) continue;
      const double x = panel.x(static_cast<double>(times[row]));
      const double bin = std::floor(x * 2);
      if (before == trace.values.size() || !same_value(bin, bin_)) {
        flush();
        broken_ = before != row - 1 || row == trace.first;
        bin_ = bin, least_ = largest_ = {row, x};
      }
      if (trace.values[row] < trace.values[least_.row]) least_ = {row, x};
      if (trace.values[row] > trace.values[largest_.row]) largest_ = {row, x};
      before = row;
    }
    flush();
    end_part();
  }

  const std::string& line() const { return line_; }
  const std::string& beyond() const { return beyond_; }

 private:
  struct Point {
    std::size_t row;
    double x;
  };

  void flush() {
    if (bin_ < 0) return;
    if (trace_.binary) {
      if (same_value(trace_.values[largest_.row], 1.0))
        ((line_ += 'M').append(tenth(largest_.x)).append(" ").append(tenth(panel_.height)) += "V0");
      return;
    }
    if (broken_) end_part();
    const bool rising = least_.row < largest_.row;
    add(rising ? least_ : largest_);
    if (least_.row != largest_.row) add(rising ? largest_ : least_);
  }

  void add(Point point) {
    const double value = trace_.values[point.row];
    const double y = std::clamp(panel_.y(value), 0.0, panel_.height);
    (line_ += points_ == 0 ? 'M' : points_ == 1 ? 'L' : ' ').append(tenth(point.x));
    line_.append(" ").append(tenth(y));
    ++points_;
    if (value > trace_.high)
      (beyond_ += 'M').append(tenth(point.x)).append(" -3v5");
    else if (value < trace_.low)
      (beyond_ += 'M').append(tenth(point.x)).append(" ").append(tenth(panel_.height + 3)) += "v-5";
  }

  /// A point alone is a line of no length, which its round ends make a dot.
  void end_part() {
    if (points_ == 1) line_ += "h0";
    points_ = 0;
  }

  const Panel& panel_;
  const Trace& trace_;
  double bin_ = -1;
  Point least_{}, largest_{};
  bool broken_ = true;
  std::size_t points_ = 0;  ///< in this part of the line
  std::string line_, beyond_;
};

}  // namespace internal
}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
