// What a study shows on a terminal: how far it is, the trials, and how likely the best is luck.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "names.hpp"
#include "report.hpp"
#include "terminal.hpp"
#include "tsdl/report/verdict.hpp"
#include "tsdl/select/study.hpp"
#include "tsdl/task/metrics.hpp"

namespace examples {

/// The values of a trial in a few characters: "hidden 64, lr 0.0012".
inline std::string short_values(const tsdl::TrialValues& values) {
  std::string text;
  for (const auto& [name, value] : values) {
    double number = 0;
    const char* const end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, number);
    const bool rounds = parsed.ec == std::errc() && parsed.ptr == end && value.size() > 6;
    text += (text.empty() ? "" : ", ") + name + ' ' + (rounds ? format_rate(number) : value);
  }
  return text.empty() ? "the options as given" : text;
}

/// A line that overwrites itself, where stderr is a terminal: how many runs are done, and how long
/// the rest takes at this rate.
class StudyProgress {
 public:
  StudyProgress(tsdl::Index done, tsdl::Index units) : before_(done), done_(done), units_(units) {}
  ~StudyProgress() { clear(); }
  StudyProgress(const StudyProgress&) = delete;
  StudyProgress& operator=(const StudyProgress&) = delete;

  void advance() {
    ++done_;
    paint();
  }
  void paint() {
    if (!live_) return;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    std::string line = "run " + format_count(done_) + '/' + format_count(units_);
    if (done_ > before_)
      line += "  " +
              format_duration(seconds * static_cast<double>(units_ - done_) /
                              static_cast<double>(done_ - before_)) +
              " left";
    line.resize(std::min(line.size(), terminal_width(stderr) - 1));
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
    std::fflush(stderr);
    visible_ = true;
  }
  void clear() {
    if (!std::exchange(visible_, false)) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
  }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  tsdl::Index before_, done_, units_;
  bool live_ = is_terminal(stderr), visible_ = false;
};

inline std::string score_text(const std::string& figure, double score) {
  return is_finite(score) ? figure_text(tsdl::figure_of(figure), score) : "failed";
}

namespace internal {

/// A line of the table, its last cell wrapped under itself.
inline void print_trial_line(const std::string& rank, const std::string& trial,
                             const std::string& score, const std::string& deviation,
                             const std::string& epochs, const std::string& values) {
  const std::string head = pad_left(rank, 4) + pad_left(trial, 7) + pad_left(score, 10) +
                           pad_left(deviation, 10) + pad_left(epochs, 8) + "  ";
  const std::size_t width = std::max(head.size() + 24, sentence_width(stdout));
  std::printf("%s%s\n", head.c_str(), wrapped(values, head.size(), width).c_str());
}

}  // namespace internal

/// The best trials, a line each.
inline void print_leaderboard(const tsdl::Study& study, const std::string& figure,
                              std::size_t most = 10) {
  const std::vector<tsdl::TrialResult> board = study.leaderboard();
  const tsdl::Figure& shown = tsdl::figure_of(figure);
  std::puts("");
  internal::print_trial_line("rank", "trial", std::string(shown.short_title), "+-", "epochs",
                             "options");
  for (std::size_t i = 0; i < std::min(most, board.size()); ++i) {
    const tsdl::TrialResult& one = board[i];
    const auto trial = static_cast<std::size_t>(one.trial);
    tsdl::Index epochs = 0;
    for (const auto& [unit, result] : study.results())
      if (unit.trial == one.trial && unit.rung == one.rung)
        epochs = std::max(epochs, result.epochs);
    internal::print_trial_line(std::to_string(i + 1), std::to_string(one.trial),
                               score_text(figure, one.score),
                               is_finite(one.deviation) ? figure_text(shown, one.deviation) : "",
                               std::to_string(epochs), short_values(study.plan().trials[trial]));
  }
  if (board.size() > most)
    std::printf("      and %zu more in leaderboard.csv\n", board.size() - most);
}

/// A probability that is never said to be certain.
inline std::string probability_text(double p) {
  if (p > 0.999) return "above 99.9%";
  return p < 0.001 ? "below 0.1%" : format_percent(p);
}

/// How likely the winner is luck, in sentences.
inline std::vector<std::string> luck_texts(const tsdl::StudyLuck& luck) {
  if (luck.best.n < 2) return {};
  std::vector<std::string> texts;
  const auto trials = format_count(luck.trials);
  std::string text =
      "On " + format_count(static_cast<tsdl::Index>(std::llround(luck.best.n))) +
      " rows the winner's mistakes are " + (luck.best.mean < 0 ? "larger" : "smaller") +
      " than those of a constant answer by " + format_loss(std::abs(luck.best.mean)) +
      " a row: a ratio of mean to deviation of " + format_fixed(luck.best.sharpe, 4) + '.';
  if (luck.trials > 1)
    text += " The best of " + trials + " trials without skill that differ as these do would show " +
            format_fixed(luck.expected_maximum, 4) + '.';
  text += " Probability that it is better than a constant answer: " +
          probability_text(luck.probability);
  if (luck.trials > 1)
    text += "; corrected for the " + trials +
            " trials (deflated): " + probability_text(luck.deflated_probability);
  texts.push_back(text + '.');
  if (luck.overfitting.splits > 0)
    texts.push_back(
        "Probability that choosing among these trials overfits (the best of one half of the rows "
        "is below the median in the other): " +
        probability_text(luck.overfitting.probability) +
        ". Near 50%: the trials do not differ, or by chance alone.");
  return texts;
}

}  // namespace examples
