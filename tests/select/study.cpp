// Studies: what is open, halving, the leaderboard, luck, and running them on workers.
#include "tsdl/select/study.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "tsdl/core/random.hpp"
#include "tsdl/select/search.hpp"

namespace {

using tsdl::Index;

tsdl::StudyPlan plan_of(Index trials, Index folds = 2, std::vector<Index> rungs = {10}) {
  tsdl::StudyPlan plan;
  for (Index i = 0; i < trials; ++i) plan.trials.push_back({{"x", std::to_string(i)}});
  plan.folds = folds;
  plan.rungs = std::move(rungs);
  plan.blocks = 4;
  return plan;
}

/// A score that is better for trials near 5, and whose gains are noise about a skill.
tsdl::UnitResult run(const tsdl::StudyUnit& unit, double skill = 0) {
  tsdl::UnitResult result{.unit = unit};
  const auto x = static_cast<double>(unit.trial);
  result.score = (x - 5) * (x - 5) + static_cast<double>(unit.fold + 10 * unit.seed);
  result.epochs = 3;
  result.status = "finished";
  for (Index block = 0; block < 4; ++block) {
    tsdl::RandomStream random(
        7, static_cast<std::uint64_t>(unit.trial * 100 + unit.fold * 10 + block));
    std::vector<double> gains;
    for (int i = 0; i < 40; ++i) gains.push_back(random.normal() + (unit.trial == 5 ? skill : 0));
    result.gains.emplace_back(block, tsdl::moments_of(gains));
  }
  return result;
}

tsdl::SearchStatus run_all(tsdl::Study& study, Index workers, double skill = 0) {
  return tsdl::run_study(
      study, {.workers = workers},
      [&](const tsdl::StudyUnit& unit, Index) { return std::optional(run(unit, skill)); },
      [](const tsdl::UnitResult&, Index) {});
}

std::vector<Index> order(const tsdl::Study& study) {
  std::vector<Index> trials;
  for (const tsdl::TrialResult& one : study.leaderboard()) trials.push_back(one.trial);
  return trials;
}

}  // namespace

TEST_CASE("the leaderboard has the mean score of folds and seeds, and ties by number") {
  tsdl::StudyPlan plan = plan_of(8);
  plan.seeds = 3;
  tsdl::Study study(plan);
  CHECK(study.open().size() == 8 * 2 * 3);
  CHECK(run_all(study, 2) == tsdl::SearchStatus::finished);
  CHECK(study.is_finished());
  CHECK(order(study) == std::vector<Index>{5, 4, 6, 3, 7, 2, 1, 0});
  const tsdl::TrialResult best = study.leaderboard().front();
  CHECK(best.score == doctest::Approx(0.5 + 10));  // folds 0, 1; seeds 0, 10, 20
  CHECK(best.fold_scores == std::vector<double>{10, 11});
  CHECK(best.deviation == doctest::Approx(std::sqrt(0.5)));
  CHECK(best.gains.n == doctest::Approx(2 * 4 * 40));  // each row once, not once a seed
}

TEST_CASE("of figures for which higher is better, the highest wins; who failed comes last") {
  tsdl::StudyPlan plan = plan_of(4, 1);
  plan.lower_is_better = false;
  tsdl::Study study(plan);
  for (Index trial = 0; trial < 4; ++trial) {
    tsdl::UnitResult result = run({trial, 0, 0, 0});
    if (trial == 0) result.score = tsdl::internal::nan_of<double>;
    study.add(result);
  }
  CHECK(order(study) == std::vector<Index>{1, 2, 3, 0});
  CHECK(tsdl::is_nan(study.leaderboard()[0].deviation));  // of one fold
}

TEST_CASE("halving compares complete rungs, and lets one of eta go on") {
  CHECK(tsdl::halving_rungs(27, 81, 1, 3) == std::vector<Index>{3, 9, 27, 81});
  CHECK(tsdl::halving_rungs(27, 81, 10, 3) == std::vector<Index>{27, 81});
  CHECK(tsdl::halving_rungs(1, 81, 1, 3) == std::vector<Index>{81});
  CHECK(tsdl::halving_rungs(60, 100, 5, 3) == std::vector<Index>{11, 33, 100});
  CHECK_THROWS_AS(tsdl::halving_rungs(9, 9, 1, 1), tsdl::OptionError);

  tsdl::Study study(plan_of(9, 2, {3, 9, 27}));
  CHECK(study.open().size() == 18);
  for (Index trial = 0; trial < 9; ++trial)
    for (Index fold = 0; fold < 2; ++fold) {
      CHECK(study.entrants(1).empty());
      tsdl::UnitResult result = run({trial, 0, fold, 0});
      if (trial == 4 && fold == 1) result.score = tsdl::internal::nan_of<double>;  // diverged
      study.add(result);
    }
  CHECK(study.entrants(1) == std::vector<Index>{3, 5, 6});
  CHECK(study.open().size() == 6);
  CHECK(study.open().front() == tsdl::StudyUnit{3, 1, 0, 0});
  for (const tsdl::StudyUnit& unit : study.open()) study.add(run(unit));
  CHECK(study.entrants(2) == std::vector<Index>{5});
  for (const tsdl::StudyUnit& unit : study.open()) study.add(run(unit));
  CHECK(study.is_finished());
  CHECK(order(study) == std::vector<Index>{5, 6, 3, 7, 2, 8, 1, 0, 4});
  CHECK(study.leaderboard()[0].rung == 2);
  CHECK(study.leaderboard()[1].rung == 1);
}

TEST_CASE("the same study for any number of workers, in any order of results") {
  tsdl::Study one(plan_of(20, 3, {1, 2}));
  run_all(one, 1);
  for (const Index workers : {2, 5, 16, 64}) {
    tsdl::Study other(plan_of(20, 3, {1, 2}));
    run_all(other, workers);
    CHECK(order(other) == order(one));
    CHECK(other.luck().deflated_probability == one.luck().deflated_probability);
    CHECK(other.results().size() == one.results().size());
  }
  tsdl::Study backwards(plan_of(20, 3, {1, 2}));
  std::vector<tsdl::UnitResult> results;
  for (const auto& result : one.results()) results.push_back(result.second);
  std::reverse(results.begin(), results.end());
  for (const tsdl::UnitResult& result : results) backwards.add(result);
  CHECK(backwards.luck().overfitting.probability == one.luck().overfitting.probability);
  CHECK(backwards.leaderboard()[0].gains.sharpe == one.leaderboard()[0].gains.sharpe);
}

TEST_CASE("luck: noise is told from skill, by the number of different trials") {
  tsdl::Study noise(plan_of(12));
  run_all(noise, 1);
  const tsdl::StudyLuck luck = noise.luck();
  CHECK(luck.trials == 12);
  CHECK(luck.best.n == doctest::Approx(320));
  CHECK(luck.deflated_probability < luck.probability);
  CHECK(luck.expected_maximum == doctest::Approx(tsdl::expected_maximum_sharpe(12, luck.variance)));
  CHECK(luck.overfitting.splits == 6);  // C(4, 2)

  tsdl::Study skill(plan_of(12));
  run_all(skill, 1, 0.5);
  CHECK(skill.luck().deflated_probability > 0.99);
  CHECK(skill.luck().overfitting.probability == 0);

  tsdl::StudyPlan plan = plan_of(12);
  for (Index i = 6; i < 12; ++i) plan.trials[static_cast<std::size_t>(i)] = plan.trials[0];
  tsdl::Study repeated(plan);
  run_all(repeated, 1);
  CHECK(repeated.luck().trials == 6);
}

TEST_CASE("results that no study has, or two of one unit, are refused") {
  tsdl::Study study(plan_of(3));
  study.add(run({1, 0, 1, 0}));
  study.add(run({1, 0, 1, 0}));  // the same once more
  CHECK(study.results().size() == 1);
  tsdl::UnitResult other = run({1, 0, 1, 0});
  other.score = std::nextafter(other.score, 99);
  CHECK_THROWS_WITH_AS(study.add(other), doctest::Contains("two results"), tsdl::Error);
  CHECK_THROWS_AS(study.add(run({3, 0, 0, 0})), tsdl::OptionError);
  CHECK_THROWS_AS(study.add(run({0, 0, 2, 0})), tsdl::OptionError);
  CHECK_THROWS_AS(study.add(run({0, 1, 0, 0})), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::Study(plan_of(0)), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::Study(plan_of(2, 2, {5, 5})), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::Study(plan_of(2, 2, {})), tsdl::OptionError);
}

TEST_CASE("a stop, a unit that is cut off and an exception leave what was recorded") {
  std::mutex mutex;
  for (const Index workers : {1, 3}) {
    tsdl::Study study(plan_of(10));
    std::vector<tsdl::UnitResult> journal;
    const auto record = [&](const tsdl::UnitResult& result, Index) {
      const std::lock_guard lock(mutex);
      journal.push_back(result);
    };
    std::atomic<int> begun{0};
    const auto status = tsdl::run_study(
        study, {.workers = workers},
        [&](const tsdl::StudyUnit& unit, Index) -> std::optional<tsdl::UnitResult> {
          if (++begun == 6) return std::nullopt;
          return run(unit);
        },
        record);
    CHECK(status == tsdl::SearchStatus::stopped);
    CHECK(journal.size() == study.results().size());
    CHECK(journal.size() >= 5);
    CHECK(journal.size() < 20);
    CHECK_THROWS_AS(tsdl::run_study(
                        study, {.workers = workers},
                        [&](const tsdl::StudyUnit&, Index) -> std::optional<tsdl::UnitResult> {
                          throw std::runtime_error("no memory");
                        },
                        record),
                    std::runtime_error);
    CHECK(tsdl::run_study(
              study, {.workers = workers, .stop = [] { return true; }},
              [&](const tsdl::StudyUnit& unit, Index) { return std::optional(run(unit)); },
              record) == tsdl::SearchStatus::stopped);
    run_all(study, workers);
    CHECK(study.is_finished());
  }
}

TEST_CASE("shards do their own trials, and together all of them") {
  std::vector<tsdl::UnitResult> journal;
  for (Index shard = 0; shard < 3; ++shard) {
    tsdl::Study study(plan_of(7));
    const auto status = tsdl::run_study(
        study,
        {.workers = 1, .is_ours = [&](const tsdl::StudyUnit& u) { return u.trial % 3 == shard; }},
        [&](const tsdl::StudyUnit& unit, Index) { return std::optional(run(unit)); },
        [&](const tsdl::UnitResult& result, Index) { journal.push_back(result); });
    CHECK(status == tsdl::SearchStatus::incomplete);
  }
  tsdl::Study all(plan_of(7));
  for (const tsdl::UnitResult& result : journal) all.add(result);
  CHECK(all.is_finished());
  CHECK(journal.size() == 14);
}
