// The elements of a page as HTML text that is well-formed XML too, and the style of a report.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/report/svg.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// Collects a page. Text is escaped; markup is taken as it is.
class HtmlWriter {
 public:
  HtmlWriter& open(std::string_view tag, std::string_view style = {}) {
    markup({"<", tag});
    if (!style.empty()) markup({" class=\"", style, "\""});
    open_.emplace_back(tag);
    return markup({">"});
  }
  /// Closes what was opened last and is open still.
  HtmlWriter& close() {
    markup({"</", open_.back(), ">\n"});
    open_.pop_back();
    return *this;
  }
  HtmlWriter& text(std::string_view content) { return markup({xml_text(content, longest_text)}); }
  /// An element that holds text alone.
  HtmlWriter& element(std::string_view tag, std::string_view content, std::string_view style = {}) {
    return open(tag, style).text(content).close();
  }
  HtmlWriter& markup(std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) html_ += part;
    return *this;
  }
  /// A row of a table; `cell` is td or th.
  HtmlWriter& row(const std::vector<std::string>& cells, std::string_view cell = "td") {
    open("tr");
    for (std::size_t i = 0; i < cells.size(); ++i)
      if (i == 0)
        markup({"<th scope=\"", cell == "th" ? "col" : "row", "\">"})
            .text(cells[i])
            .markup({"</th>"});
      else if (cell == "th")
        markup({"<th scope=\"col\">"}).text(cells[i]).markup({"</th>"});
      else
        markup({"<td>"}).text(cells[i]).markup({"</td>"});
    return close();
  }

  std::string take() { return std::move(html_); }

 private:
  static constexpr std::size_t longest_text = 6000;

  std::string html_;
  std::vector<std::string> open_;
};

/// The style of a report beside chart_style: light, dark as the reader's system asks, and on paper
/// light again; one column on a phone.
inline constexpr std::string_view page_style = R"(<style>
:root{color-scheme:light dark;--paper:#fff;--back:#f6f8fa;--ink:#1f2328;--soft:#57606a;--edge:#d0d7de;--accent:#0969da;--cell:#0969da}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:28px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;line-height:1.3;margin:0 0 8px}
p{margin:0 0 8px}
.soft{color:var(--soft)}
.note{color:var(--soft);font-size:14px;margin:10px 0 0}
.sheet p:last-child{margin-bottom:0}
section,.sheet{background:var(--paper);border:1px solid var(--edge);border-radius:8px;padding:20px;margin-top:20px;min-width:0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:20px;margin-top:20px}
.pair section{margin-top:0}
.scores{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:14px 24px;margin:0 0 16px;line-height:1.35}
.scores div{min-width:0}
.scores b{display:block;font-size:34px;line-height:1.15;font-weight:650;font-variant-numeric:tabular-nums}
.verdict{border-left:4px solid var(--accent);padding-left:12px;margin:12px 0}
.verdict p:first-child{font-size:17px;font-weight:600}
figure{margin:0}
figure svg{display:block;width:100%;height:auto;margin:0 auto}
.tsdl-chart.square{max-width:520px}
.tsdl-chart.narrow{display:none;max-width:560px}
figcaption{color:var(--soft);font-size:14px;margin-top:10px}
figcaption b{color:var(--ink);font-weight:600}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:8px 0 0;padding:0;font-size:14px;font-variant-numeric:tabular-nums}
.legend li{display:flex;align-items:center;gap:6px}
.many{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:20px}
.many.three{grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr))}
.legend svg{width:30px;height:10px;margin:0;flex:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:15px;font-variant-numeric:tabular-nums}
th,td{white-space:nowrap;text-align:right;padding:5px 0 5px 14px;border-bottom:1px solid var(--edge);vertical-align:top}
th:first-child,td:first-child{white-space:normal;text-align:left;padding-left:0;font-weight:400}
thead th,thead th:first-child{white-space:normal;vertical-align:bottom;font-weight:600;border-bottom:2px solid var(--edge)}
dl{display:grid;grid-template-columns:minmax(90px,max-content) minmax(0,1fr);gap:4px 16px;margin:0;font-size:15px}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
h3{font-size:15px;margin:16px 0 6px}
.settings{columns:2 380px;column-gap:40px}
.settings div{break-inside:avoid}
.settings h3{margin-top:4px}
.settings dl{margin-bottom:12px;grid-template-columns:minmax(0,150px) minmax(0,1fr)}
.tsdl-chart .thin{stroke-width:1.2}
.tsdl-chart .under{stroke:var(--paper);stroke-width:2.5;opacity:.5;fill:none;shape-rendering:crispEdges}
.tsdl-chart .price{stroke:var(--ink)}
.tsdl-chart .actual{stroke:var(--ink);opacity:.55}
.tsdl-chart .band{fill:#0969da;fill-opacity:.2}.tsdl-chart .band-line{stroke:#0969da;stroke-opacity:.25;stroke-width:9}
.tsdl-chart .beyond{fill:none;stroke:#c4500a}
.tsdl-chart .dots{fill:none;stroke:#0969da;stroke-width:4.5;stroke-linecap:round}
.tsdl-chart .d0{stroke-opacity:.3}.tsdl-chart .d1{stroke-opacity:.6}
.tsdl-chart .constant{fill:none;stroke:var(--soft);stroke-width:2;stroke-dasharray:1 4;stroke-linecap:round}
.tsdl-chart .interval{stroke-width:1.5;opacity:.55}.tsdl-chart .mark{fill:var(--paper);stroke-width:2.5}
.tsdl-chart .label,.tsdl-chart .cell-count{fill:var(--ink)}
.tsdl-chart .point{fill:#0969da}.tsdl-chart .whisker{stroke:#0969da;stroke-width:1.5;opacity:.55}
.tsdl-chart .bar{fill:#0969da;fill-opacity:.35}
.tsdl-chart .count,.tsdl-chart .cell-share{font-size:11px}
.tsdl-chart .cell{fill:var(--cell)}.tsdl-chart .hit{stroke:var(--soft);stroke-width:1.5}
.tsdl-chart .cell-count{font-size:16px;font-weight:600}
.tsdl-chart .cell-share{fill:var(--ink)}
.tsdl-chart .c0{stroke:#0969da}.tsdl-chart .c1{stroke:#c4500a}.tsdl-chart .c2{stroke:#00795a}.tsdl-chart .c3{stroke:#8250df}
.tsdl-chart .c4{stroke:#9a6700}.tsdl-chart .c5{stroke:#bf3989}.tsdl-chart .c6{stroke:#57606a}.tsdl-chart .c7{stroke:#1b7c83}
.tsdl-chart .roc.c1,.tsdl-chart .roc.c5{stroke-dasharray:9 4}.tsdl-chart .roc.c2,.tsdl-chart .roc.c6{stroke-dasharray:2 4}.tsdl-chart .roc.c3,.tsdl-chart .roc.c7{stroke-dasharray:9 4 2 4}
@media screen and (prefers-color-scheme:dark){
:root{--paper:#0d1117;--back:#010409;--ink:#f0f3f6;--soft:#9ea7b3;--edge:#30363d;--accent:#58a6ff;--cell:#58a6ff}
.tsdl-chart .band{fill:#58a6ff}.tsdl-chart .band-line,.tsdl-chart .dots{stroke:#58a6ff}.tsdl-chart .beyond{stroke:#ffa657}
.tsdl-chart .point,.tsdl-chart .bar{fill:#58a6ff}.tsdl-chart .whisker{stroke:#58a6ff}
.tsdl-chart .c0{stroke:#58a6ff}.tsdl-chart .c1{stroke:#ffa657}.tsdl-chart .c2{stroke:#4fd1a5}.tsdl-chart .c3{stroke:#d2a8ff}
.tsdl-chart .c4{stroke:#e3b341}.tsdl-chart .c5{stroke:#ff9bce}.tsdl-chart .c6{stroke:#9ea7b3}.tsdl-chart .c7{stroke:#56d4dd}
}
@media screen and (max-width:700px){
main{padding:20px 12px 32px}
h1{font-size:23px}
.scores{gap:12px}.scores b{font-size:26px}
section,.sheet{padding:14px 12px}
.tsdl-chart.wide{display:none}
.tsdl-chart.narrow{display:block}
table{font-size:13px}th,td{padding-left:5px}
dl{gap:2px 12px}
}
@media print{
:root{color-scheme:light}
@page{margin:14mm}
body{background:#fff;font-size:10pt}
table,dl{font-size:9pt}th,td{padding-left:8px}
.scroll{overflow:visible}
.scores b{font-size:26px}
.many.three{grid-template-columns:1fr 1fr 1fr}
.settings{columns:2 240px}
main{max-width:none;padding:0}
section,.sheet{border:0;padding:0;margin-top:18px}
.pair{grid-template-columns:1fr 1fr}
figure,table,.settings div,.verdict{break-inside:avoid}
h1,h2,h3{break-after:avoid}
}
</style>
)";

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
