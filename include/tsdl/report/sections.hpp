// What every section of the report page is written with: the run that it tells of, and the forms
// that figures and tables have.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tsdl/report/contents.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/html.hpp"
#include "tsdl/report/svg.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

namespace internal {

inline std::string score(double value) { return is_finite(value) ? format_fixed(value, 4) : "n/a"; }
inline std::string short_score(double value) {
  return is_finite(value) ? format_fixed(value, 3) : "n/a";
}
inline std::string percent(double value) {
  return is_finite(value) ? format_percent(value) : "n/a";
}

/// The page as it grows, and what its sections read.
class ReportParts {
 public:
  explicit ReportParts(const Report& run) : run_(run), e_(run.evaluation) {}

  /// A figure in a section of its own, with the words below it; `baseline` may be empty.
  void figure(std::string_view heading, const Figure& figure, std::string_view reading,
              std::string_view baseline, std::string_view legend = {}) {
    page_.open("section").element("h2", heading).open("figure");
    page_.markup({figure.svg, legend});
    page_.open("figcaption").text(reading);
    if (!baseline.empty()) page_.markup({" <b>Baseline:</b> "}).text(baseline);
    for (const std::string& note : figure.notes) page_.text(" " + note);
    page_.close().close().close();
  }

  void left_out(std::string_view heading, std::string_view why) {
    page_.open("section").element("h2", heading);
    page_.open("p", "soft").text("Left out: ").text(why).close().close();
  }

  std::string windows_text() const {
    return format_count(e_.metrics.count) + " " + std::string(e_.part()) + " windows";
  }

  /// A large number with what it is below; `style` soft: of a baseline.
  void headline_score(const std::string& value, const std::string& what,
                      std::string_view style = {}) {
    page_.open("div", style).element("b", value).text(what).close();
  }

  /// A line of a legend, with a stroke of this style before it.
  static std::string legend_item(std::string_view style, std::string_view text) {
    return "<li><svg class=\"tsdl-chart\" aria-hidden=\"true\" viewBox=\"0 0 30 10\"><path "
           "class=\"" +
           std::string(style) + "\" d=\"M1 5H29\"/></svg>" + xml_text(text, 80) + "</li>\n";
  }
  static std::string legend(std::string_view items) {
    return "<ul class=\"legend\">\n" + std::string(items) + "</ul>\n";
  }

  /// Opens a table in a section; close_table closes it.
  void open_table(std::string_view heading, const std::vector<std::string>& columns) {
    page_.open("section").element("h2", heading).open("div", "scroll").open("table").open("thead");
    page_.row(columns, "th").close().open("tbody");
  }
  void close_table(std::string_view note) {
    page_.close().close().close();
    page_.element("p", note, "note").close();
  }

  const Report& run_;
  const Evaluation& e_;
  HtmlWriter page_;
};

/// A section of names with what is said of each; nothing where there are none.
inline void write_summary(HtmlWriter& page, std::string_view heading, const TextLines& lines) {
  if (lines.empty()) return;
  page.open("section").element("h2", heading).open("dl");
  for (const auto& [name, text] : lines) page.element("dt", name).element("dd", text);
  page.close().close();
}

/// A section of the options that a run had; nothing where there are none.
inline void write_settings(HtmlWriter& page, const std::vector<SettingsGroup>& groups) {
  if (groups.empty()) return;
  page.open("section").element("h2", "Configuration").open("div", "settings");
  for (const SettingsGroup& group : groups) {
    page.open("div").element("h3", group.name).open("dl");
    for (const auto& [name, value] : group.options)
      page.element("dt", name).element("dd", value.empty() || value == "[]" ? "not set" : value);
    page.close().close();
  }
  page.close().close();
}

}  // namespace internal
}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
