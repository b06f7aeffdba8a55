// What the page tells of a run, as plain data: it knows neither the model nor its scalar type.
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/report/backtest.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/report/explanation.hpp"
#include "tsdl/report/loss_chart.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// Names with what is said of each.
using TextLines = std::vector<std::pair<std::string, std::string>>;

/// Options that belong together, with their values.
struct SettingsGroup {
  std::string name;
  TextLines options;
};

/// The windows of one part: where each ends, and its targets.
struct PartContents {
  std::vector<Index> ends;      ///< the last row of each window
  std::vector<double> targets;  ///< window by window, K values each

  Index size() const noexcept { return std::ssize(ends); }
  bool empty() const noexcept { return ends.empty(); }
};

/// How much of each row attention pooling read, by lag: a window's last row first.
struct AttentionContents {
  Index end = 0;               ///< the last row of one window
  std::vector<double> window;  ///< the weights of that window
  std::vector<double> mean;    ///< over all windows that judge the model
};

}  // namespace report

/// Everything on the page of a run; make_report fills it.
struct Report {
  std::string subject;          ///< what was trained on what: "a BiLSTM on sp500-daily.csv"
  std::string ending;           ///< "finished after 5 epochs, best was epoch 2"
  std::string test_option;      ///< what keeps test windows apart: "--test 0.15"
  report::LossCurves curves{};  ///< with the subtitle of the page
  Evaluation evaluation{};      ///< of the windows that judge the model
  report::PartContents train{}, validation{}, test{};
  std::vector<std::int64_t> times{};   ///< of every row, ascending; empty for rows without time
  std::vector<double> closes{};        ///< of every row; empty for a table
  std::vector<std::string> classes{};  ///< the label of each class; empty for numbers
  Index horizon = 1;                   ///< rows from a window's last one to its target
  std::optional<report::BacktestContents> backtest{};    ///< where predictions are directions
  std::optional<report::AttentionContents> attention{};  ///< of a model with attention pooling
  std::optional<report::Explanation> explanation{};      ///< of the model, where it was asked for
  report::TextLines summary{};  ///< of the data, the model and the training
  std::vector<report::SettingsGroup> settings{};
  std::string built{};  ///< what with: the library's version and instruction set
};

}  // namespace TSDL_ABI
}  // namespace tsdl
