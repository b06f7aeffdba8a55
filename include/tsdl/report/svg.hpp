// The elements of a chart as SVG text.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/report/axis.hpp"
#include "tsdl/report/format.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

namespace internal {

/// One character of UTF-8 at the start of `text`, which is not empty; its bytes, or none of them
/// where they are not UTF-8 or the character may not stand in XML. Sets how many bytes to skip.
inline std::string_view utf8_character(std::string_view text, std::size_t& length) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  length = 1;
  if (lead < 0x80)
    return lead >= 0x20 || lead == '\t' || lead == '\n' ? text.substr(0, 1) : std::string_view();
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  unsigned long code = lead & (0x7fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0u) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (overlong || surrogate || code == 0xfffe || code == 0xffff || code > 0x10ffff) return {};
  length = size;
  return text.substr(0, size);
}

}  // namespace internal

/// `text` for use in XML: escaped, what is not valid replaced by U+FFFD, and after `limit`
/// characters cut with an ellipsis.
inline std::string xml_text(std::string_view text, std::size_t limit = 1000) {
  std::string out;
  std::size_t count = 0, last_kept = 0;
  while (!text.empty()) {
    if (++count == limit) last_kept = out.size();
    if (count > limit) return out.substr(0, last_kept) + "\xe2\x80\xa6";
    std::size_t length = 0;
    const std::string_view character = internal::utf8_character(text, length);
    if (character.empty())
      out += "\xef\xbf\xbd";
    else if (character == "&")
      out += "&amp;";
    else if (character == "<")
      out += "&lt;";
    else if (character == ">")
      out += "&gt;";
    else if (character == "\"")
      out += "&quot;";
    else
      out += character;
    text.remove_prefix(length);
  }
  return out;
}

/// A number as an SVG coordinate, to a hundredth.
inline std::string coordinate(double value) {
  std::string text = format_fixed(value, 2);
  internal::strip_trailing_zeros(text);
  return text;
}

/// A line of the picture: its values, with NaN where the axis has none, and what it is called.
struct Curve {
  std::string_view name, style;  ///< style: the CSS class
  std::vector<double> values;

  bool known(std::size_t i) const { return i < values.size() && is_finite(values[i]); }
  /// The last finite value's position, or values.size().
  std::size_t last() const {
    for (std::size_t i = values.size(); i > 0; --i)
      if (known(i - 1)) return i - 1;
    return values.size();
  }
};

inline constexpr std::string_view chart_style = R"(<style>
.tsdl-chart{background:#fff;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px}
.tsdl-chart text{fill:#57606a;font-variant-numeric:tabular-nums}
.tsdl-chart .paper{fill:#fff}
.tsdl-chart .title{fill:#1f2328;font-size:20px;font-weight:600}
.tsdl-chart .subtitle{font-size:13px}
.tsdl-chart .label{font-size:13px;font-weight:600}
.tsdl-chart .grid,.tsdl-chart .axis,.tsdl-chart .best{shape-rendering:crispEdges}
.tsdl-chart .grid{stroke:#e7eaee;stroke-width:1;fill:none}
.tsdl-chart .axis{stroke:#afb8c1;stroke-width:1;fill:none}
.tsdl-chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.tsdl-chart .thin{stroke-width:1.4}
.tsdl-chart .leader{fill:none;stroke-width:1;stroke-dasharray:2 3;opacity:.8}
.tsdl-chart .best{stroke:#57606a;stroke-width:1;stroke-dasharray:4 4;fill:none}
.tsdl-chart .baseline{stroke:#57606a;stroke-width:1.5;stroke-dasharray:6 4;fill:none}
.tsdl-chart .over{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
.tsdl-chart .ring{fill:#fff;stroke-width:2.5}
.tsdl-chart .train{stroke:#0969da}.tsdl-chart .train-fill,.tsdl-chart text.train-fill{fill:#0969da}
.tsdl-chart .valid{stroke:#c4500a}.tsdl-chart .valid-fill,.tsdl-chart text.valid-fill{fill:#c4500a}
.tsdl-chart .rate{stroke:#00795a}.tsdl-chart .rate-fill,.tsdl-chart text.rate-fill{fill:#00795a}
@media screen and (prefers-color-scheme:dark){
.tsdl-chart{background:#0d1117}
.tsdl-chart text{fill:#9ea7b3}
.tsdl-chart .paper{fill:#0d1117}
.tsdl-chart .ring{fill:#0d1117}
.tsdl-chart .title{fill:#f0f3f6}
.tsdl-chart .grid{stroke:#21262d}
.tsdl-chart .axis{stroke:#545d68}
.tsdl-chart .best,.tsdl-chart .baseline{stroke:#9ea7b3}
.tsdl-chart .over{stroke:#0d1117}
.tsdl-chart .train{stroke:#58a6ff}.tsdl-chart .train-fill,.tsdl-chart text.train-fill{fill:#58a6ff}
.tsdl-chart .valid{stroke:#ffa657}.tsdl-chart .valid-fill,.tsdl-chart text.valid-fill{fill:#ffa657}
.tsdl-chart .rate{stroke:#4fd1a5}.tsdl-chart .rate-fill,.tsdl-chart text.rate-fill{fill:#4fd1a5}
}
</style>
)";

/// Collects the elements of the picture; text that comes from a caller must be escaped already.
class ChartWriter {
 public:
  void text(double x, double y, std::string_view style, std::string_view anchor,
            std::string_view content, bool upright = false) {
    const std::string at_x = coordinate(x), at_y = coordinate(y);
    add({"<text x=\"", at_x, "\" y=\"", at_y, "\" class=\"", style, "\" text-anchor=\"", anchor});
    if (upright) add({"\" transform=\"rotate(-90 ", at_x, " ", at_y, ")"});
    add({"\">", content, "</text>\n"});
  }

  void line(double x1, double y1, double x2, double y2, std::string_view style) {
    add({"<path class=\"", style, "\" d=\"M", coordinate(x1), " ", coordinate(y1), "L",
         coordinate(x2), " ", coordinate(y2), "\"/>\n"});
  }

  void dot(double x, double y, double radius, std::string_view style) {
    add({"<circle class=\"", style, "\" cx=\"", coordinate(x), "\" cy=\"", coordinate(y), "\" r=\"",
         coordinate(radius), "\"/>\n"});
  }

  /// What a constant answer scores, across a panel, with its name at the right above the line.
  void baseline(const Panel& panel, double value, std::string_view name) {
    const double right = panel.left + panel.width, y = panel.y(value);
    line(panel.left, y, right, y, "baseline");
    text(right - 6, y + (y < panel.top + 18 ? 15 : -6), "over", "end", name);
  }

  void add(std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) svg_ += part;
  }

  /// Grid, tick labels and axis line of a panel; epochs are labelled below the lowest one only.
  void frame(const Panel& panel, bool epochs) {
    const double right = panel.left + panel.width, bottom = panel.top + panel.height;
    for (const auto& [epoch, label] : panel.x_axis.ticks) {
      line(panel.x(epoch), panel.top, panel.x(epoch), bottom, "grid");
      if (epochs) text(panel.x(epoch), bottom + 18, "tick", "middle", label);
    }
    for (const auto& [value, label] : panel.y_axis.ticks) {
      line(panel.left, panel.y(value), right, panel.y(value), "grid");
      text(panel.left - 8, panel.y(value) + 4, "tick", "end", label);
    }
    line(panel.left, bottom, right, bottom, "axis");
  }

  /// A series as a line from epoch to epoch, broken where a value is missing; what leaves the panel
  /// is cut there and marked by a triangle. Few or lone values get a dot each.
  void curve(const Panel& panel, const Curve& series) {
    std::string path, marks;
    const std::size_t size = series.values.size();
    const double bottom = panel.top + panel.height;
    const std::string fill = std::string(series.style) + "-fill";
    for (std::size_t i = 0; i < size; ++i) {
      if (!series.known(i)) continue;
      const bool joined = i > 0 && series.known(i - 1);
      const double x = panel.x(static_cast<double>(i + 1)), y = panel.y(series.values[i]);
      (path += joined ? 'L' : 'M').append(coordinate(x)).append(" ").append(coordinate(y));
      const bool above = y<panel.top, below = y> bottom;
      if (above || below) {
        const double tip = above ? panel.top + 1 : bottom - 1, base = above ? tip + 8 : tip - 8;
        marks += "<path class=\"" + fill + "\" d=\"M" + coordinate(x) + ' ' + coordinate(tip) +
                 'L' + coordinate(x - 5) + ' ' + coordinate(base) + 'L' + coordinate(x + 5) + ' ' +
                 coordinate(base) + "Z\"/>\n";
      } else if (size <= 30 || !(joined || series.known(i + 1))) {
        marks += "<circle class=\"" + fill + "\" cx=\"" + coordinate(x) + "\" cy=\"" +
                 coordinate(y) + "\" r=\"" + (size <= 30 ? "2.8" : "2") + "\"/>\n";
      }
    }
    const std::string thin = size > 300 ? " thin" : "";
    clipped(panel, "line " + std::string(series.style) + thin, path);
    svg_ += marks;
  }

  /// A series as steps: an epoch's value holds from half an epoch before to half an epoch after.
  void steps(const Panel& panel, const Curve& series) {
    std::string path;
    for (std::size_t i = 0; i < series.values.size(); ++i) {
      if (!series.known(i)) continue;
      const auto epoch = static_cast<double>(i + 1);
      const std::string y = coordinate(panel.y(series.values[i]));
      if (i > 0 && series.known(i - 1))
        path += 'V' + y;
      else
        path += 'M' + coordinate(panel.x(epoch - 0.5)) + ' ' + y;
      path += 'H' + coordinate(panel.x(epoch + 0.5));
    }
    clipped(panel, "line " + std::string(series.style), path);
  }

  /// Names each series at its last value, right of the panel; `texts` are theirs.
  void end_labels(const Panel& panel, std::span<const Curve* const> series,
                  std::span<const std::string> texts) {
    constexpr double apart = 18;
    const double right = panel.left + panel.width, bottom = panel.top + panel.height;
    std::vector<double> ends, places;
    for (const Curve* s : series)
      ends.push_back(std::clamp(panel.y(s->values[s->last()]), panel.top, bottom));
    places = ends;
    if (places.size() == 2 && std::fabs(places[0] - places[1]) < apart) {
      const double middle =
          std::clamp((places[0] + places[1]) / 2, panel.top + apart / 2, bottom - apart / 2);
      const double half = places[0] <= places[1] ? apart / 2 : -apart / 2;
      places[0] = middle - half, places[1] = middle + half;
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::string style(series[i]->style);
      const double end = panel.x(static_cast<double>(series[i]->last() + 1));
      const double from = std::min(end + 6, right);
      line(from, ends[i], right + 2, ends[i], "leader " + style);
      line(right + 2, ends[i], right + 12, places[i], "leader " + style);
      text(right + 16, places[i] + 4.5, "label " + style + "-fill", "start", texts[i]);
    }
  }

  std::string take() { return std::move(svg_); }

 private:
  /// A path of which only what lies in the panel shows, and half a line beyond. An inner svg
  /// element cuts without an id, which two charts in one page could share.
  void clipped(const Panel& panel, std::string_view style, std::string_view path) {
    if (path.empty()) return;
    const std::string x = coordinate(panel.left - 1), y = coordinate(panel.top - 1),
                      w = coordinate(panel.width + 2), h = coordinate(panel.height + 2);
    add({"<svg x=\"",
         x,
         "\" y=\"",
         y,
         "\" width=\"",
         w,
         "\" height=\"",
         h,
         "\" viewBox=\"",
         x,
         " ",
         y,
         " ",
         w,
         " ",
         h,
         "\"><path class=\"",
         style,
         "\" d=\"",
         path,
         "\"/></svg>\n"});
  }

  std::string svg_;
};

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
