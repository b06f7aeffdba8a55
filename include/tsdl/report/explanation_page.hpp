// The sections of a page that say what a model's outputs hang on.
#pragma once

#include "tsdl/report/explanation.hpp"
#include "tsdl/report/sections.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {
namespace internal {

/// Bars by column beside scores by lag; below them one window, where it is there.
inline void write_explanation(ReportParts& parts, const Explanation& explanation) {
  parts.page_.open("div", "pair");
  if (!explanation.columns.empty())
    parts.figure("What the model looks at: columns", column_figure(explanation),
                 explanation.reading, "a column that stays at its training mean scores 0.");
  if (!explanation.lags.empty())
    parts.figure("What the model looks at: rows", lag_figure(explanation),
                 "The same by rows: 0 is a window's last row. By " + explanation.method + ".", "");
  parts.page_.close();
  if (explanation.window)
    parts.figure("One window: " + explanation.window_name, heat_map_figure(*explanation.window),
                 "What each value of this window contributed" +
                     (explanation.window_measure.empty() ? std::string()
                                                         : " to " + explanation.window_measure) +
                     "; blue raised the output, orange lowered it.",
                 "");
}

}  // namespace internal
}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
