// What a caller may say on the page of a run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tsdl/report/contents.hpp"
#include "tsdl/select/baselines.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What the page says beyond what data, model and history tell. All of it may stay empty.
struct ReportOptions {
  std::string subject{};   ///< what was trained on what: "a GRU on my data"; else the model's kind
  std::string subtitle{};  ///< how, in a few words; else the length of its windows
  std::string ending{};    ///< how the training ended; else what the history says
  /// Names with what is said of each; else of the recipe, the windows and the model.
  report::TextLines summary{};
  std::vector<report::SettingsGroup> settings{};  ///< else what describes model and task
  /// Where no windows are kept for a test the page says what would keep them apart.
  std::string test_option = "a test part of SplitFractions";
  double cost_bps = 1;  ///< of what the backtest trades, in hundredths of a percent
  std::optional<report::Explanation> explanation{};  ///< a section of the page
  std::vector<Baseline> baselines{};  ///< fitted already; without any they are fitted here
  std::string built{};                ///< what with; else the version and the instruction set
};

}  // namespace TSDL_ABI
}  // namespace tsdl
