// Folds of a thousand random tables and panels against an oracle that goes row by row: it marks
// what the test reads, and looks at every row of every sample.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/select/splits.hpp"

namespace {

using tsdl::Index;
using Indices = std::vector<Index>;
using Spans = std::vector<tsdl::SampleSpan>;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// A table or panel, as its samples.
struct Case {
  Spans samples;
  Index rows = 0;
};

/// A table of up to 300 rows with holes, or a panel of up to 4 of them with common rows; windows of
/// T = 1 to 60 rows, at every stride-th row, without a missing row; labels that end 0 to 25 rows
/// later, each somewhere else.
Case random_case(tsdl::RandomStream& random) {
  const auto draw = [&](Index low, Index high) {
    return low + static_cast<Index>(random.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  Case made{{}, draw(30, 300)};
  const Index length = draw(0, 2) == 0 ? draw(1, 60) : draw(1, 12), stride = draw(1, 5),
              farthest = draw(0, 2) == 0 ? 0 : draw(0, 25),
              series = draw(0, 3) == 0 ? draw(2, 4) : 1;
  std::vector<std::vector<bool>> missing(at(series), std::vector<bool>(at(made.rows)));
  for (auto& rows : missing)
    for (Index holes = draw(0, 3); holes > 0; --holes)
      for (Index row = draw(0, made.rows - 1), left = draw(1, 10); left > 0 && row < made.rows;
           --left)
        rows[at(row++)] = true;
  for (Index row = 0; row < made.rows; row += stride)
    for (const auto& rows : missing) {
      const tsdl::SampleSpan span{row - length + 1, row, row + draw(0, farthest)};
      bool whole = span.first >= 0 && span.last < made.rows;
      for (Index r = span.first; whole && r <= span.row; ++r) whole = !rows[at(r)];
      if (whole) made.samples.push_back(span);
    }
  return made;
}

/// Per sample, the position of the first one that has its row: borders lie between rows.
Indices first_of_row(const Spans& samples) {
  std::map<Index, Index> first;
  Indices positions;
  for (std::size_t i = 0; i < samples.size(); ++i)
    positions.push_back(first.emplace(samples[i].row, static_cast<Index>(i)).first->second);
  return positions;
}

struct OracleFold {
  Indices train, test, groups;
  Index purged = 0;
};

/// A fold that tests, in blocks, what `block_of` gives a number from 0, and trains on what it gives
/// -1; -2 is no part of it. Rows are marked by who reads them.
OracleFold oracle_fold(const Case& c, const Indices& block_of, Index blocks, Index embargo) {
  OracleFold fold;
  std::vector<std::set<Index>> read(at(blocks)), barred(at(blocks));  // rows, by block
  Indices last_of(at(blocks), -1);                                    // the last sample of a block
  for (std::size_t i = 0; i < c.samples.size(); ++i) {
    if (block_of[i] < 0) continue;
    fold.test.push_back(static_cast<Index>(i));
    last_of[at(block_of[i])] = static_cast<Index>(i);
    for (Index r = c.samples[i].first; r <= c.samples[i].last; ++r) read[at(block_of[i])].insert(r);
  }
  for (Index b = 0; b < blocks; ++b)
    if (!read[at(b)].empty())
      for (Index r = 1; r <= embargo; ++r) barred[at(b)].insert(*read[at(b)].rbegin() + r);
  for (std::size_t i = 0; i < c.samples.size(); ++i) {
    if (block_of[i] != -1) continue;
    bool clean = true;
    for (Index r = c.samples[i].first; r <= c.samples[i].last; ++r)
      for (Index b = 0; b < blocks; ++b) {
        const bool behind = static_cast<Index>(i) > last_of[at(b)];
        if (read[at(b)].contains(r) || (behind && barred[at(b)].contains(r))) clean = false;
      }
    if (clean)
      fold.train.push_back(static_cast<Index>(i));
    else
      ++fold.purged;
  }
  return fold;
}

struct Oracle {
  std::vector<OracleFold> folds;
  std::vector<Indices> tested_in;
  bool refused = false;  ///< a part of a fold is empty, or there are too few samples
};

void add(Oracle& oracle, OracleFold fold) {
  oracle.refused = oracle.refused || fold.train.empty() || fold.test.empty();
  for (const Index g : fold.groups) oracle.tested_in[at(g)].push_back(std::ssize(oracle.folds));
  oracle.folds.push_back(std::move(fold));
}

/// Every subset of k of the groups, the one with the smallest members first.
Oracle oracle_groups(const Case& c, Index groups, Index k, Index embargo) {
  Oracle oracle;
  const Index n = std::ssize(c.samples);
  oracle.tested_in.resize(at(groups));
  if (n < groups) return oracle.refused = true, oracle;
  Indices ideal;  // the group by number alone
  for (Index g = 0; g < groups; ++g)
    ideal.insert(ideal.end(), at(n / groups + (g < n % groups ? 1 : 0)), g);
  const Indices first = first_of_row(c.samples);
  std::set<Indices> subsets;
  for (unsigned bits = 0; bits < 1u << groups; ++bits) {
    Indices subset;
    for (Index g = 0; g < groups; ++g)
      if (bits >> g & 1u) subset.push_back(g);
    if (std::ssize(subset) == k) subsets.insert(subset);
  }
  for (const Indices& subset : subsets) {
    Indices block_of;
    for (Index i = 0; i < n; ++i) {
      const auto found = std::find(subset.begin(), subset.end(), ideal[at(first[at(i)])]);
      block_of.push_back(found == subset.end() ? -1 : found - subset.begin());
    }
    OracleFold fold = oracle_fold(c, block_of, k, embargo);
    fold.groups = subset;
    add(oracle, std::move(fold));
  }
  return oracle;
}

Oracle oracle_walk(const Case& c, const tsdl::WalkForward& scheme, Index embargo) {
  Oracle oracle;
  const Index n = std::ssize(c.samples);
  const Indices first = first_of_row(c.samples);
  for (Index step = 0; scheme.train + (step + 1) * scheme.test <= n; ++step) {
    const Index begin = scheme.train + step * scheme.test;
    Indices block_of;
    for (Index i = 0; i < n; ++i) {
      const Index f = first[at(i)];
      const bool trains = f < begin && (scheme.expanding || f >= begin - scheme.train);
      block_of.push_back(trains ? -1 : f >= begin && f < begin + scheme.test ? 0 : -2);
    }
    OracleFold fold = oracle_fold(c, block_of, 1, embargo);
    fold.groups = {step};
    oracle.tested_in.emplace_back();
    add(oracle, std::move(fold));
  }
  oracle.refused = oracle.refused || oracle.folds.empty();
  return oracle;
}

Oracle oracle_of(const Case& c, const tsdl::FoldScheme& scheme, Index embargo) {
  if (const auto* k = std::get_if<tsdl::PurgedKFold>(&scheme))
    return oracle_groups(c, k->folds, 1, embargo);
  if (const auto* p = std::get_if<tsdl::CombinatorialPurged>(&scheme))
    return oracle_groups(c, p->groups, p->test_groups, embargo);
  return oracle_walk(c, std::get<tsdl::WalkForward>(scheme), embargo);
}

tsdl::FoldScheme random_scheme(tsdl::RandomStream& random, Index samples) {
  const auto draw = [&](Index low, Index high) {
    return low + static_cast<Index>(random.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  const Index kind = draw(0, 2);
  if (kind == 0) return tsdl::PurgedKFold{.folds = draw(2, 8)};
  if (kind == 1) {
    const Index groups = draw(2, 7);
    return tsdl::CombinatorialPurged{.groups = groups, .test_groups = draw(1, groups - 1)};
  }
  const Index most = std::max<Index>(samples / 2, 1);
  return tsdl::WalkForward{
      .train = draw(1, most), .test = draw(1, most), .expanding = draw(0, 1) == 1};
}

/// The rows of the validation part and of the training part, which shares no row with it.
std::pair<Indices, Indices> oracle_split(const Case& c, const Indices& train, double share) {
  Spans samples;
  for (const Index i : train) samples.push_back(c.samples[at(i)]);
  const Index n = std::ssize(samples);
  const Index kept = std::clamp<Index>(std::lround(static_cast<double>(n) * share), 1, n);
  const Indices first = first_of_row(samples);
  std::set<Index> read;
  std::pair<Indices, Indices> parts;
  for (Index i = 0; i < n; ++i) {
    if (first[at(i)] < n - kept) continue;
    parts.second.push_back(samples[at(i)].row);
    for (Index r = samples[at(i)].first; r <= samples[at(i)].last; ++r) read.insert(r);
  }
  for (Index i = 0; i < n; ++i) {
    bool clean = first[at(i)] < n - kept;
    for (Index r = samples[at(i)].first; r <= samples[at(i)].last; ++r)
      clean = clean && !read.contains(r);
    if (clean) parts.first.push_back(samples[at(i)].row);
  }
  return parts;
}

void check_split(const Case& c, const tsdl::Fold& fold, double share) {
  const auto [train, validation] = oracle_split(c, fold.train, share);
  if (train.empty() || validation.empty()) {
    CHECK(test::contains(
        test::message_of<tsdl::DataError>([&] { tsdl::split_of(fold, c.samples, share); }),
        "split_of: of "));
    return;
  }
  const tsdl::Split split = tsdl::split_of(fold, c.samples, share);
  CHECK(split.train == train);
  CHECK(split.validation == validation);
  Indices tested;
  for (const Index i : fold.test) tested.push_back(c.samples[at(i)].row);
  CHECK(split.test == tested);
  CHECK(split.dropped ==
        fold.purged + std::ssize(fold.train) - std::ssize(validation) - std::ssize(train));
}

}  // namespace

TEST_CASE("folds of 1,000 random tables are those of an oracle, row by row") {
  tsdl::RandomStream random(20);
  int made = 0, refused = 0, folds = 0, purged = 0;
  for (int number = 0; number < 1000; ++number) {
    CAPTURE(number);
    const Case c = random_case(random);
    const tsdl::FoldScheme scheme = random_scheme(random, std::ssize(c.samples));
    const Index embargo = random.below(2) == 0 ? 0 : static_cast<Index>(random.below(20));
    const Oracle oracle = oracle_of(c, scheme, embargo);
    if (oracle.refused) {
      ++refused;
      CHECK(test::contains(
          test::message_of<tsdl::DataError>([&] { tsdl::make_folds(scheme, c.samples, embargo); }),
          "make_folds: "));
      continue;
    }
    ++made;
    const tsdl::Folds found = tsdl::make_folds(scheme, c.samples, embargo);
    REQUIRE(found.folds.size() == oracle.folds.size());
    CHECK(found.tested_in == oracle.tested_in);
    for (std::size_t f = 0; f < oracle.folds.size(); ++f) {
      CAPTURE(f);
      const tsdl::Fold& fold = found.folds[f];
      CHECK(fold.test == oracle.folds[f].test);
      CHECK(fold.train == oracle.folds[f].train);
      CHECK(fold.groups == oracle.folds[f].groups);
      CHECK(fold.purged == oracle.folds[f].purged);
      ++folds;
      purged += fold.purged > 0;
    }
    const tsdl::Fold& one = found.folds[at(static_cast<Index>(random.below(found.folds.size())))];
    check_split(c, one, 0.05 + 0.9 * random.uniform());
  }
  MESSAGE(made, " made, ", refused, " refused, ", folds, " folds, ", purged, " purged");
  CHECK(made > 500);
  CHECK(refused > 50);
  CHECK(purged > 1000);
}

TEST_CASE("every choice of groups is a fold, and every path crosses every group once") {
  std::vector<std::vector<Index>> pascal = {{1}};
  for (Index n = 1; n <= 10; ++n) {
    pascal.emplace_back(at(n + 1), 1);
    for (Index k = 1; k < n; ++k)
      pascal.back()[at(k)] = pascal[at(n - 1)][at(k - 1)] + pascal[at(n - 1)][at(k)];
  }
  for (Index groups = 2; groups <= 10; ++groups)
    for (Index k = 1; k < groups; ++k) {
      CAPTURE(groups);
      CAPTURE(k);
      Spans samples;
      for (Index i = 0; i < 3 * groups; ++i) samples.push_back({i, i, i});
      const tsdl::Folds folds =
          tsdl::make_folds(tsdl::CombinatorialPurged{.groups = groups, .test_groups = k}, samples);
      CHECK(std::ssize(folds.folds) == pascal[at(groups)][at(k)]);
      CHECK(folds.paths() * groups == pascal[at(groups)][at(k)] * k);
      CHECK(folds.groups() == groups);
      std::set<Indices> choices;
      std::set<std::pair<Index, Index>> tested;  // (fold, group) of all paths
      for (const tsdl::Fold& fold : folds.folds) {
        CHECK(std::ssize(fold.groups) == k);
        CHECK(choices.insert(fold.groups).second);
        CHECK(fold.purged == 0);
        CHECK(std::ssize(fold.train) + std::ssize(fold.test) == 3 * groups);
      }
      for (Index g = 0; g < groups; ++g) {
        CHECK(std::ssize(folds.tested_in[at(g)]) == folds.paths());
        for (const Index fold : folds.tested_in[at(g)]) {
          CHECK(tested.emplace(fold, g).second);
          const Indices& test = folds.folds[at(fold)].test;
          CHECK(std::find(test.begin(), test.end(), 3 * g) != test.end());
        }
      }
      CHECK(std::ssize(tested) == std::ssize(folds.folds) * k);
    }
}

TEST_CASE(
    "12 samples in 3 groups: training and test sets with purging and embargo, and with both") {
  // The training sets of purge 1 and of embargo 1 are those of skfolio.
  const auto folds = [](Index purge, Index embargo) {
    Spans samples;
    for (Index i = 0; i < 12; ++i) samples.push_back({i, i, i + purge});
    std::vector<std::pair<Indices, Indices>> sets;
    for (const tsdl::Fold& fold :
         tsdl::make_folds(tsdl::CombinatorialPurged{.groups = 3, .test_groups = 2}, samples,
                          embargo)
             .folds)
      sets.emplace_back(fold.train, fold.test);
    return sets;
  };
  const Indices a{0, 1, 2, 3, 4, 5, 6, 7}, b{0, 1, 2, 3, 8, 9, 10, 11}, c{4, 5, 6, 7, 8, 9, 10, 11};
  using Sets = std::vector<std::pair<Indices, Indices>>;
  CHECK(folds(0, 0) == Sets{{{8, 9, 10, 11}, a}, {{4, 5, 6, 7}, b}, {{0, 1, 2, 3}, c}});
  CHECK(folds(1, 0) == Sets{{{9, 10, 11}, a}, {{5, 6}, b}, {{0, 1, 2}, c}});
  CHECK(folds(0, 1) == Sets{{{9, 10, 11}, a}, {{5, 6, 7}, b}, {{0, 1, 2, 3}, c}});
  CHECK(folds(1, 1) == Sets{{{10, 11}, a}, {{6}, b}, {{0, 1, 2}, c}});
}
