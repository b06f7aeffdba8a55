// A study: trials of options, each judged on every fold and with every seed, and what follows from
// the results.
//
// The work is a set of units (trial, rung, fold, seed) that may be done anywhere, in any order: all
// that follows from their results depends on the results alone. With one rung every trial is
// trained to the end. With several it is successive halving in its synchronous form: after a rung
// is complete, the best 1 / eta of its trials go on to the next, from where they stopped.
// Source: Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter
// optimization (2016).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/overfitting.hpp"
#include "tsdl/select/sharpe.hpp"
#include "tsdl/select/space.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What a study consists of.
struct StudyPlan {
  std::vector<TrialValues> trials;
  Index folds = 1;
  Index seeds = 1;
  std::vector<Index> rungs = {100};  ///< epochs at which trials are compared, ascending
  Index eta = 3;                     ///< one of eta trials goes on from a rung to the next
  bool lower_is_better = true;       ///< of scores
  Index blocks = 16;                 ///< of rows in time, for overfitting_probability
  Index paths = 1;                   ///< how often each row is judged: Folds::paths
};

/// The rungs of successive halving: the last is `epochs`, each before it one of eta of the one
/// after, as long as that is `least` or more and more than one trial is left to compare there.
/// Throws: OptionError when eta is below 2, or least or epochs below 1.
inline std::vector<Index> halving_rungs(Index trials, Index epochs, Index least, Index eta) {
  if (eta < 2) throw OptionError("halving: expected eta of 2 or more, got ", eta);
  if (least < 1 || epochs < 1)
    throw OptionError("halving: expected 1 epoch or more, got ", least, " and ", epochs);
  std::vector<Index> rungs = {epochs};
  Index left = trials;
  while (rungs.back() / eta >= least && left > 1) {
    rungs.push_back(rungs.back() / eta);
    left = (left + eta - 1) / eta;
  }
  std::reverse(rungs.begin(), rungs.end());
  return rungs;
}

/// One piece of work: a trial trained and judged on a fold, with a seed, up to a rung.
struct StudyUnit {
  Index trial = 0, rung = 0, fold = 0, seed = 0;
  auto operator<=>(const StudyUnit&) const = default;
};

/// What a unit found. Plain data, without times.
struct UnitResult {
  StudyUnit unit;
  double score = internal::nan_of<double>;  ///< of the fold's test; NaN: there is none
  Index epochs = 0, best_epoch = 0;
  std::string status{};                                      ///< of the training run
  std::vector<std::pair<std::string, double>> figures = {};  ///< of the fold's test
  /// By how much its mistakes are smaller than a baseline's on the same rows, as moments of the
  /// rows of each block that the fold's test meets.
  std::vector<std::pair<Index, Moments>> gains = {};
};

/// A trial and its scores up to the last rung that it completed.
struct TrialResult {
  Index trial = 0;
  Index rung = -1;                          ///< -1: none is complete
  double score = internal::nan_of<double>;  ///< the mean of all folds and seeds; NaN if one failed
  double deviation = internal::nan_of<double>;  ///< of the scores of folds; NaN for one fold
  std::vector<double> fold_scores{};            ///< the mean over seeds of each fold
  SharpeSummary gains{};                        ///< of all rows that were judged
};

/// How likely the best trial is luck.
struct StudyLuck {
  Index trials = 0;             ///< different ones
  double variance = 0;          ///< of their Sharpe ratios
  SharpeSummary best;           ///< of the winner's gains
  double expected_maximum = 0;  ///< the best Sharpe ratio of so many trials without skill
  double probability = internal::nan_of<double>;           ///< the PSR, of one trial
  double deflated_probability = internal::nan_of<double>;  ///< the DSR, of so many
  double track_record = internal::nan_of<double>;          ///< minimum_track_record_length, in rows
  Overfitting overfitting;  ///< without splits where there are fewer than two trials
};

/// The state of a study: a plan, and the results so far.
class Study {
 public:
  /// Throws: OptionError when the plan has no trials, folds, seeds or rungs, or rungs that do not
  /// ascend.
  explicit Study(StudyPlan plan) : plan_(std::move(plan)) {
    const auto require = [](bool holds, const char* what) {
      if (!holds) throw OptionError("Study: expected ", what);
    };
    require(!plan_.trials.empty(), "one trial or more");
    require(plan_.folds >= 1 && plan_.seeds >= 1, "one fold and one seed or more");
    require(!plan_.rungs.empty() && plan_.rungs.front() >= 1, "rungs of one epoch or more");
    require(std::is_sorted(plan_.rungs.begin(), plan_.rungs.end(), std::less_equal<>()) ||
                plan_.rungs.size() == 1,
            "rungs that ascend");
    require(plan_.eta >= 2 && plan_.blocks >= 1 && plan_.paths >= 1,
            "eta of 2 or more, and one block and path or more");
  }

  const StudyPlan& plan() const noexcept { return plan_; }
  const std::map<StudyUnit, UnitResult>& results() const noexcept { return results_; }

  /// Adds a result. The same result twice counts once. Throws: OptionError when the plan has no
  /// such unit; Error when another result of the unit is there already.
  void add(UnitResult result) {
    const StudyUnit& unit = result.unit;
    const auto within = [](Index value, Index count) { return value >= 0 && value < count; };
    if (!within(unit.trial, std::ssize(plan_.trials)) || !within(unit.fold, plan_.folds) ||
        !within(unit.seed, plan_.seeds) || !within(unit.rung, std::ssize(plan_.rungs)))
      throw OptionError("Study: trial ", unit.trial, ", rung ", unit.rung, ", fold ", unit.fold,
                        ", seed ", unit.seed, " is not one of this study");
    for (const auto& [block, gains] : result.gains)
      if (!within(block, plan_.blocks))
        throw OptionError("Study: block ", block, " of ", plan_.blocks);
    const auto found = results_.find(unit);
    if (found == results_.end())
      results_.emplace(unit, std::move(result));
    else if (!same(found->second, result))
      throw Error("Study: trial ", unit.trial, ", fold ", unit.fold, " has two results, of score ",
                  found->second.score, " and ", result.score,
                  ": it was not the same program or data that made them");
  }

  /// The trials that take part in a rung, ascending: all in the first, then the best 1 / eta of the
  /// rung before; none while that is not complete. A trial that failed does not go on.
  std::vector<Index> entrants(Index rung) const {
    std::vector<Index> trials;
    if (rung == 0) {
      for (Index trial = 0; trial < std::ssize(plan_.trials); ++trial) trials.push_back(trial);
      return trials;
    }
    const std::vector<Index> before = entrants(rung - 1);
    std::vector<TrialResult> ranked;
    for (const Index trial : before) {
      if (!is_complete(trial, rung - 1)) return {};
      ranked.push_back(result_at(trial, rung - 1));
    }
    std::sort(ranked.begin(), ranked.end(),
              [this](const auto& a, const auto& b) { return better(a, b); });
    const auto count = static_cast<std::size_t>((std::ssize(before) + plan_.eta - 1) / plan_.eta);
    for (std::size_t i = 0; i < std::min(count, ranked.size()); ++i)
      if (!is_nan(ranked[i].score)) trials.push_back(ranked[i].trial);
    std::sort(trials.begin(), trials.end());
    return trials;
  }

  /// The units that can be done now, ascending: those without a result of the first rung that is
  /// not complete. None: the study is finished.
  std::vector<StudyUnit> open() const {
    std::vector<StudyUnit> units;
    for (Index rung = 0; rung < std::ssize(plan_.rungs) && units.empty(); ++rung)
      for (const Index trial : entrants(rung))
        for (Index fold = 0; fold < plan_.folds; ++fold)
          for (Index seed = 0; seed < plan_.seeds; ++seed)
            if (const StudyUnit unit{trial, rung, fold, seed}; !results_.contains(unit))
              units.push_back(unit);
    return units;
  }
  bool is_finished() const { return open().empty(); }

  /// A trial's result at the last rung that it completed.
  TrialResult result_of(Index trial) const {
    for (Index rung = std::ssize(plan_.rungs); rung-- > 0;)
      if (is_complete(trial, rung)) return result_at(trial, rung);
    return {.trial = trial};
  }

  /// All trials, the best first: those that reached a later rung before the others, then by score;
  /// of equal ones the earlier trial. Those that failed come last.
  std::vector<TrialResult> leaderboard() const {
    std::vector<TrialResult> all;
    for (Index trial = 0; trial < std::ssize(plan_.trials); ++trial)
      all.push_back(result_of(trial));
    std::sort(all.begin(), all.end(),
              [this](const auto& a, const auto& b) { return better(a, b); });
    return all;
  }

  /// How likely the winner is luck, by its gains over the baseline on all rows that were judged.
  /// Rows that were judged more than once count once. Throws: DataError when no trial has a score.
  StudyLuck luck() const {
    const std::vector<TrialResult> board = leaderboard();
    if (is_nan(board.front().score)) throw DataError("Study: no trial has a score");
    StudyLuck luck;
    luck.best = board.front().gains;
    std::vector<double> ratios;
    std::vector<Index> judged;
    std::set<TrialValues> seen;
    for (const TrialResult& one : board) {
      if (is_nan(one.score)) continue;
      if (!seen.insert(plan_.trials[static_cast<std::size_t>(one.trial)]).second) continue;
      ratios.push_back(one.gains.sharpe);
      judged.push_back(one.trial);
    }
    luck.trials = std::ssize(ratios);
    luck.variance = variance_of(ratios);
    luck.expected_maximum =
        expected_maximum_sharpe(static_cast<double>(luck.trials), luck.variance);
    if (luck.best.n < 2) return luck;
    luck.probability = probabilistic_sharpe_ratio(luck.best);
    luck.deflated_probability = probabilistic_sharpe_ratio(luck.best, luck.expected_maximum);
    luck.track_record = minimum_track_record_length(luck.best, luck.expected_maximum);
    if (luck.trials >= 2 && plan_.blocks >= 2 && plan_.blocks % 2 == 0)
      luck.overfitting =
          overfitting_probability(block_moments_of(judged), plan_.blocks, std::ssize(judged));
    return luck;
  }

 private:
  static bool same_bits(double a, double b) noexcept {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b) ||
           (is_nan(a) && is_nan(b));
  }
  static bool same(const UnitResult& a, const UnitResult& b) {
    return same_bits(a.score, b.score) && a.epochs == b.epochs && a.best_epoch == b.best_epoch &&
           a.status == b.status;
  }

  bool is_complete(Index trial, Index rung) const {
    for (Index fold = 0; fold < plan_.folds; ++fold)
      for (Index seed = 0; seed < plan_.seeds; ++seed)
        if (!results_.contains({trial, rung, fold, seed})) return false;
    return true;
  }

  /// The result at a rung that is complete.
  TrialResult result_at(Index trial, Index rung) const {
    const FloatModeGuard guard;
    TrialResult result{.trial = trial, .rung = rung};
    Moments gains;
    double sum = 0;
    for (Index fold = 0; fold < plan_.folds; ++fold) {
      double of_fold = 0;
      for (Index seed = 0; seed < plan_.seeds; ++seed) {
        const UnitResult& one = results_.at({trial, rung, fold, seed});
        of_fold += one.score;
        for (const auto& block : one.gains) gains += block.second;
      }
      of_fold /= static_cast<double>(plan_.seeds);
      result.fold_scores.push_back(of_fold);
      sum += of_fold;
    }
    result.score = sum / static_cast<double>(plan_.folds);
    if (plan_.folds > 1) result.deviation = std::sqrt(variance_of(result.fold_scores));
    result.gains = sharpe_summary(gains);
    result.gains.n /= static_cast<double>(plan_.paths * plan_.seeds);
    return result;
  }

  bool better(const TrialResult& a, const TrialResult& b) const noexcept {
    if (is_nan(a.score) != is_nan(b.score)) return is_nan(b.score);
    if (a.rung != b.rung) return a.rung > b.rung;
    if (!is_nan(a.score) && !same_value(a.score, b.score))
      return plan_.lower_is_better ? a.score < b.score : a.score > b.score;
    return a.trial < b.trial;
  }

  /// With n - 1; 0 for one value.
  static double variance_of(const std::vector<double>& values) noexcept {
    if (values.size() < 2) return 0;
    double mean = 0, squares = 0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    for (const double value : values) squares += (value - mean) * (value - mean);
    return squares / static_cast<double>(values.size() - 1);
  }

  /// Shapes: blocks x trials.
  std::vector<Moments> block_moments_of(const std::vector<Index>& trials) const {
    std::vector<Moments> all(static_cast<std::size_t>(plan_.blocks) * trials.size());
    for (std::size_t i = 0; i < trials.size(); ++i) {
      const Index rung = result_of(trials[i]).rung;
      for (Index fold = 0; fold < plan_.folds; ++fold)
        for (Index seed = 0; seed < plan_.seeds; ++seed)
          for (const auto& [block, gains] : results_.at({trials[i], rung, fold, seed}).gains)
            all[static_cast<std::size_t>(block) * trials.size() + i] += gains;
    }
    return all;
  }

  StudyPlan plan_;
  std::map<StudyUnit, UnitResult> results_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
