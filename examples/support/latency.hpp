// How long pushes took: percentiles as a table, all of them as a histogram.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "names.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/svg.hpp"

namespace examples {

/// Durations in seconds. Percentiles are by nearest rank: the least value that so large a share of
/// all does not exceed.
class Latencies {
 public:
  void add(double seconds) {
    sorted_ = false;
    seconds_.push_back(seconds);
  }
  tsdl::Index count() const noexcept { return std::ssize(seconds_); }

  /// Of at least one.
  double percentile(double share) const {
    sort();
    const auto rank =
        static_cast<std::size_t>(std::ceil(share * static_cast<double>(seconds_.size()) - 1e-9));
    return seconds_[std::clamp<std::size_t>(rank, 1, seconds_.size()) - 1];
  }

  const std::vector<double>& sorted() const {
    sort();
    return seconds_;
  }

 private:
  void sort() const {
    if (!sorted_) std::sort(seconds_.begin(), seconds_.end());
    sorted_ = true;
  }

  mutable std::vector<double> seconds_;
  mutable bool sorted_ = false;
};

inline constexpr std::array<std::pair<const char*, double>, 4> latency_rows = {
    {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}}};

/// "0.84 us", "12.3 us", "1,234 us"
inline std::string format_microseconds(double seconds) {
  const double us = seconds * 1e6;
  return (us < 999.5 ? format_fixed(us, us < 9.995   ? 2
                                        : us < 99.95 ? 1
                                                     : 0)
                     : format_count(static_cast<tsdl::Index>(std::llround(us)))) +
         " us";
}

inline std::string latency_table(const Latencies& latencies) {
  std::string text;
  for (const auto& [name, share] : latency_rows)
    text += "  " + pad_right(name, 6) +
            pad_left(format_microseconds(latencies.percentile(share)), 12) + '\n';
  return text;
}

/// The histogram as an SVG document, time on a logarithmic axis and percentiles marked.
inline std::string latency_chart(const Latencies& latencies, const std::string& title,
                                 const std::string& subtitle) {
  constexpr double width = 960, left = 96, plot_width = 800, top = 120, plot_height = 330;
  constexpr std::size_t bars = 100;
  const auto in_us = [](double seconds) { return std::log10(std::max(seconds, 1e-9) * 1e6); };
  const std::vector<double>& all = latencies.sorted();
  const Axis x_axis = log_axis(std::max(all.front(), 1e-9) * 1e6, std::max(all.back(), 1e-9) * 1e6);
  std::array<double, bars> counts{};
  for (const double seconds : all) {
    const double share = (in_us(seconds) - x_axis.low) / (x_axis.high - x_axis.low);
    ++counts[static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * (bars - 1))];
  }
  const Panel panel{left,       top,
                    plot_width, plot_height,
                    x_axis,     linear_axis(0, *std::max_element(counts.begin(), counts.end()))};
  ChartWriter chart;
  chart.add({"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tsdl-chart\" role=\"img\" width=\"",
             coordinate(width), "\" height=\"540\" viewBox=\"0 0 ", coordinate(width),
             " 540\">\n<title>", xml_text(title), "</title>\n<desc>",
             format_count(latencies.count()), " predictions, half of them in ",
             format_microseconds(latencies.percentile(0.5)), " or less</desc>\n", chart_style,
             "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"});
  chart.text(32, 40, "title", "start", xml_text(title, 75));
  chart.text(32, 63, "subtitle", "start", xml_text(subtitle, 120));
  chart.frame(panel, true);
  for (std::size_t i = 0; i < bars; ++i) {
    if (counts[i] == 0) continue;
    const double from = panel.left + plot_width * static_cast<double>(i) / bars;
    const double y = std::min(panel.y(counts[i]), panel.y(0) - 1);  // one is seen too
    chart.add({"<rect class=\"train-fill\" x=\"", coordinate(from), "\" y=\"", coordinate(y),
               "\" width=\"", coordinate(plot_width / bars - 1), "\" height=\"",
               coordinate(panel.y(0) - y), "\"/>\n"});
  }
  double label_y = top - 34;
  for (const auto& [name, share] : latency_rows) {
    const double value = latencies.percentile(share), x = panel.x(in_us(value));
    const bool is_right = x > left + plot_width * 0.85;
    chart.line(x, label_y + 4, x, top + plot_height, "best");
    chart.text(x + (is_right ? -4 : 4), label_y, "tick", is_right ? "end" : "start",
               name + (' ' + format_microseconds(value)));
    label_y += 13;
  }
  chart.text(left + plot_width / 2, top + plot_height + 44, "name", "middle",
             "microseconds a prediction");
  chart.text(24, top + plot_height / 2, "name", "middle", "predictions", true);
  chart.add({"</svg>\n"});
  return chart.take();
}

}  // namespace examples
