// The section of the report page on attention pooling: which rows of a window the model reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/data/time.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/sections.hpp"
#include "tsdl/report/timeline.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {
namespace internal {

/// Draws the weights of one window below its price and, by the same lags, the mean of all windows.
/// Requires: the run has a time and a close for each row of that window.
inline void write_attention(ReportParts& parts, const AttentionContents& attention) {
  const Report& run = parts.run_;
  const std::size_t count = attention.window.size();
  const std::size_t first = static_cast<std::size_t>(attention.end) + 1 - count;
  const double even = 1 / static_cast<double>(count);
  Timeline timeline{{run.times.data() + first, count},
                    {run.closes.data() + first, count},
                    {run.times.begin() + static_cast<Index>(first),
                     run.times.begin() + static_cast<Index>(first + count)},
                    {},
                    "the attention weights",
                    true};
  const auto add = [&](std::string name, std::string short_name, std::vector<double> by_lag) {
    std::reverse(by_lag.begin(), by_lag.end());
    timeline.panels.push_back({std::move(name), std::move(by_lag), even, std::move(short_name)});
  };
  add("weights of this window", "this window", attention.window);
  add("mean weights of all windows, by lag", "mean, by lag", attention.mean);
  const std::size_t most = static_cast<std::size_t>(
      std::max_element(attention.mean.begin(), attention.mean.end()) - attention.mean.begin());
  parts.figure(
      "Attention over price", timeline_figure(timeline),
      "The last window of the " + std::string(parts.e_.part()) +
          " part and how much of each of its rows attention pooling reads; below it, as far from "
          "the end of a window, the mean over the " +
          parts.windows_text() + ". On average most, " + format_percent(attention.mean[most]) +
          ", is read of the row " +
          (most == 0 ? std::string("at the end")
                     : std::to_string(most) + (most == 1 ? " row" : " rows") + " before the end") +
          ".",
      "the dashed lines are what each row would get if all were read alike, " +
          format_percent(even) + ".");
}

}  // namespace internal
}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
