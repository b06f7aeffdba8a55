// Folds: published index sets, counts and paths, and a search sample by sample.
#include "tsdl/select/splits.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using tsdl::Index;
using Indices = std::vector<Index>;

/// n samples of one row each, whose labels end `horizon` rows later.
std::vector<tsdl::SampleSpan> rows(Index n, Index horizon = 0, Index length = 1) {
  std::vector<tsdl::SampleSpan> samples;
  for (Index i = 0; i < n; ++i) samples.push_back({i - length + 1, i, i + horizon});
  return samples;
}

std::vector<Indices> training_sets(const tsdl::Folds& folds) {
  std::vector<Indices> sets;
  for (const tsdl::Fold& fold : folds.folds) sets.push_back(fold.train);
  return sets;
}

}  // namespace

// Index sets of skfolio's CombinatorialPurgedCV: a purge of 1 is a label one row ahead.
TEST_CASE("12 samples in 3 groups of which 2 are tested") {
  const tsdl::CombinatorialPurged scheme{.groups = 3, .test_groups = 2};
  CHECK(training_sets(tsdl::make_folds(scheme, rows(12, 1))) ==
        std::vector<Indices>{{9, 10, 11}, {5, 6}, {0, 1, 2}});
  CHECK(training_sets(tsdl::make_folds(scheme, rows(12), 1)) ==
        std::vector<Indices>{{9, 10, 11}, {5, 6, 7}, {0, 1, 2, 3}});
  const tsdl::Folds folds = tsdl::make_folds(scheme, rows(12));
  CHECK(folds.folds[1].test == Indices{0, 1, 2, 3, 8, 9, 10, 11});
  CHECK(folds.folds[1].groups == Indices{0, 2});
  CHECK(folds.folds[1].purged == 0);
}

TEST_CASE("combinations, and the paths that they recombine to") {
  const auto folds = [](Index groups, Index tested) {
    return tsdl::make_folds(tsdl::CombinatorialPurged{.groups = groups, .test_groups = tested},
                            rows(4 * groups));
  };
  const tsdl::Folds five = folds(5, 2);
  CHECK(five.folds.size() == 10);
  CHECK(five.paths() == 4);
  CHECK(five.tested_in ==
        std::vector<Indices>{{0, 1, 2, 3}, {0, 4, 5, 6}, {1, 4, 7, 8}, {2, 5, 7, 9}, {3, 6, 8, 9}});
  CHECK(folds(6, 2).folds.size() == 15);
  CHECK(folds(6, 2).paths() == 5);
  CHECK(folds(10, 8).folds.size() == 45);
  CHECK(folds(10, 8).paths() == 36);
}

TEST_CASE("purged folds test every sample once") {
  const tsdl::Folds folds = tsdl::make_folds(tsdl::PurgedKFold{.folds = 4}, rows(22, 2, 3), 1);
  CHECK(folds.paths() == 1);
  Indices tested;
  for (const tsdl::Fold& fold : folds.folds)
    tested.insert(tested.end(), fold.test.begin(), fold.test.end());
  CHECK(tested.size() == 22);
  CHECK(std::is_sorted(tested.begin(), tested.end()));
  CHECK(folds.folds[0].test.size() == 6);  // the first 22 % 4 have one more
  CHECK(folds.folds[2].test.size() == 5);
  // Groups of 6, 6, 5, 5. Windows of 3 with labels 2 ahead: 4 samples lie within reach of the test
  // on either side, and one row of embargo behind it makes 5.
  CHECK(folds.folds[1].train == Indices{0, 1, 17, 18, 19, 20, 21});
  CHECK(folds.folds[1].purged == 9);
}

TEST_CASE("a walk-forward slides or expands, and never looks behind its test") {
  const auto samples = rows(20, 1);
  const tsdl::Folds sliding = tsdl::make_folds(tsdl::WalkForward{.train = 6, .test = 4}, samples);
  REQUIRE(sliding.folds.size() == 3);  // the last 2 samples are no complete test
  CHECK(sliding.folds[0].train == Indices{0, 1, 2, 3, 4});
  CHECK(sliding.folds[0].test == Indices{6, 7, 8, 9});
  CHECK(sliding.folds[2].train == Indices{8, 9, 10, 11, 12});
  CHECK(sliding.folds[2].test == Indices{14, 15, 16, 17});
  CHECK(sliding.tested_in == std::vector<Indices>{{0}, {1}, {2}});
  const tsdl::Folds expanding =
      tsdl::make_folds(tsdl::WalkForward{.train = 6, .test = 4, .expanding = true}, samples);
  CHECK(expanding.folds[2].train == Indices{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

TEST_CASE("no border goes through a time that several series share") {
  std::vector<tsdl::SampleSpan> panel;
  for (Index t = 0; t < 10; ++t)
    for (Index series = 0; series < 3; ++series) panel.push_back({t, t, t});
  const auto row = [&](Index i) { return panel[static_cast<std::size_t>(i)].row; };
  for (const tsdl::FoldScheme& scheme :
       {tsdl::FoldScheme(tsdl::PurgedKFold{.folds = 4}),
        tsdl::FoldScheme(tsdl::WalkForward{.train = 10, .test = 7})})
    for (const tsdl::Fold& fold : tsdl::make_folds(scheme, panel).folds) {
      for (const Index i : fold.train)
        for (const Index j : fold.test) REQUIRE(row(i) != row(j));
      const tsdl::Split split = tsdl::split_of(fold, panel, 0.3);
      CHECK(split.train.back() < split.validation.front());
    }
}

TEST_CASE("the validation windows of a fold are its latest training samples, purged before them") {
  const auto samples = rows(40, 1, 3);
  const tsdl::Folds folds = tsdl::make_folds(tsdl::PurgedKFold{.folds = 4}, samples);
  const tsdl::Split last = tsdl::split_of(folds.folds[3], samples, 0.25);
  CHECK(folds.folds[3].train.back() == 26);  // 27 samples of 30, then the test from 30 on
  CHECK(last.validation == Indices{20, 21, 22, 23, 24, 25, 26});
  CHECK(last.train.back() == 16);  // its label ends at 17; 20's window begins at 18
  CHECK(last.test.front() == 30);
  CHECK(last.dropped == 3 + 3);
  const tsdl::Split first = tsdl::split_of(folds.folds[0], samples, 0.25);
  CHECK(first.train.front() == 13);
  CHECK(first.validation.back() == 39);
}

TEST_CASE("schemes and samples that cannot be are refused") {
  const auto refuses = [](const tsdl::FoldScheme& scheme, Index n, Index embargo = 0) {
    std::string text;
    try {
      tsdl::make_folds(scheme, rows(n), embargo);
    } catch (const tsdl::Error& error) {
      text = error.what();
    }
    return text;
  };
  CHECK(refuses(tsdl::PurgedKFold{.folds = 1}, 9).find("2 folds or more, got 1") !=
        std::string::npos);
  CHECK(refuses(tsdl::PurgedKFold{.folds = 5}, 4).find("4 samples are too few for 5") !=
        std::string::npos);
  CHECK(refuses(tsdl::CombinatorialPurged{.groups = 4, .test_groups = 4}, 9).find("got 4 of 4") !=
        std::string::npos);
  CHECK(refuses(tsdl::CombinatorialPurged{.groups = 40, .test_groups = 20}, 99).find("10000") !=
        std::string::npos);
  CHECK(refuses(tsdl::WalkForward{.train = 8, .test = 4}, 11).find("11 samples are too few") !=
        std::string::npos);
  CHECK(refuses(tsdl::PurgedKFold{.folds = 3}, 9, -1).find("an embargo of 0 to") !=
        std::string::npos);
  CHECK(
      refuses(tsdl::PurgedKFold{.folds = 2}, 9, 100).find("fold 1 is left with 0 training and 5") !=
      std::string::npos);
  CHECK_THROWS_AS(
      tsdl::make_folds(tsdl::PurgedKFold{}, std::vector<tsdl::SampleSpan>{{0, 3, 3}, {0, 2, 2}}),
      tsdl::ShapeError);
  const auto samples = rows(12, 0, 6);
  const tsdl::Folds folds = tsdl::make_folds(tsdl::PurgedKFold{.folds = 2}, rows(12));
  CHECK_THROWS_AS(tsdl::split_of(folds.folds[0], samples, 1.5), tsdl::OptionError);
  CHECK_THROWS_WITH_AS(tsdl::split_of(folds.folds[0], samples, 0.5), doctest::Contains("leaves 0"),
                       tsdl::DataError);
}
