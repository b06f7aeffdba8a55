// What a run shows and writes as it goes: the table of epochs, the progress line, history.csv,
// loss.svg.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "names.hpp"
#include "report.hpp"
#include "terminal.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/report/loss_chart.hpp"
#include "tsdl/report/summary.hpp"
#include "tsdl/train/callbacks.hpp"

namespace examples {

class Display {
 public:
  struct Options {
    std::filesystem::path out;
    std::string title, subtitle;  ///< of the chart
    tsdl::Index max_epochs = 0;
    tsdl::Index windows = 0;                  ///< that are trained on in an epoch
    std::vector<std::string_view> figures{};  ///< that the task gives
    std::vector<TrackedFigure> beside{};      ///< of baselines on the validation windows
  };

  explicit Display(Options options)
      : options_(std::move(options)), table_(epoch_columns(options_.figures)) {}

  /// Shows what a resumed run has behind it, in the table and in the files (a kill may have come
  /// just before they were written), and starts the clock.
  void begin(const tsdl::TrainerState& state) {
    for (const tsdl::EpochRecord& record : state.history)
      row(record, tsdl::Metrics::undefined, record.epoch == state.best_epoch);
    if (!state.history.empty()) write_files(state);
    next_epoch(state);
  }

  void batch(const tsdl::TrainerState& state) {
    progress_.update(state.windows_done, state.epoch_loss.mean());
  }

  void epoch(const tsdl::TrainerState& state) {
    progress_.clear();
    row(state.history.back(), epoch_seconds(), state.improved);
    write_files(state);
    next_epoch(state);
  }

  /// Takes the progress line away, so that something else can be said.
  void clear() { progress_.clear(); }

 private:
  double epoch_seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }

  void next_epoch(const tsdl::TrainerState& state) {
    started_ = std::chrono::steady_clock::now();
    if (state.epoch < options_.max_epochs)
      progress_.begin(state.epoch + 1, options_.max_epochs, options_.windows);
  }

  void row(const tsdl::EpochRecord& e, double seconds, bool best) {
    std::vector<double> values = {static_cast<double>(e.epoch), e.train_loss, e.validation.loss};
    for (std::size_t i = 0; i < std::min<std::size_t>(2, options_.figures.size()); ++i)
      values.push_back(e.validation.*tsdl::figure_of(options_.figures[i]).value);
    values.push_back(e.learning_rate);
    values.push_back(seconds);
    table_.row(values, best);
    if (e.skipped_steps > 0)
      std::printf("       %td steps skipped: their gradient was not finite\n", e.skipped_steps);
  }

  void write_files(const tsdl::TrainerState& state) const {
    tsdl::write_file(options_.out / "history.csv",
                     history_csv(state.history, options_.figures, options_.beside));
    const LossCurves curves =
        loss_curves(state.history, state.best_epoch, options_.title, options_.subtitle);
    tsdl::write_file(options_.out / "loss.svg", loss_chart(curves));
  }

  Options options_;
  Progress progress_;
  EpochTable table_;
  std::chrono::steady_clock::time_point started_{};
};

}  // namespace examples
