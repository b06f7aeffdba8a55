// The chronological split: fractions, the purge at both boundaries, what it refuses.
#include "tsdl/data/split.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/data/features.hpp"
#include "tsdl/data/labels.hpp"
#include "tsdl/data/windows.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

std::vector<Index> every(Index stride, Index n, Index first) {
  std::vector<Index> ends;
  for (Index i = 0; i < n; ++i) ends.push_back(first + i * stride);
  return ends;
}

bool holds(const std::vector<Index>& rows, Index row) {
  return std::find(rows.begin(), rows.end(), row) != rows.end();
}

/// Whether a row that `earlier` reads (inputs and labels) is an input of `later`, row by row.
bool overlaps(const std::vector<Index>& earlier, const std::vector<Index>& later, Index length,
              Index horizon) {
  std::vector<char> inputs(20000, 0);
  for (const Index end : later)
    for (Index t = end - length + 1; t <= end; ++t) inputs[test::at(t)] = 1;
  for (const Index end : earlier)
    for (Index t = end - length + 1; t <= end + horizon; ++t)
      if (inputs[test::at(t)]) return true;
  return false;
}

/// Windows of the shipped candles with their labels: where each ends, and where its label does.
struct Labelled {
  std::vector<Index> ends, label_ends;

  Labelled(Index length, Index stride, const tsdl::Label& label) {
    const tsdl::Labels labels = tsdl::make_labels(test::shipped_candles(), label);
    ends = tsdl::window_ends(tsdl::engineer_features(test::shipped_candles(), "ohlcv"),
                             labels.values, length, stride);
    for (const Index end : ends) label_ends.push_back(labels.ends[test::at(end)]);
  }
  Index label_end(Index end) const {
    return label_ends[test::at(std::lower_bound(ends.begin(), ends.end(), end) - ends.begin())];
  }
  /// Whether a row that `earlier` or its label reads is a row of `later`: intervals that meet.
  bool overlaps(Index earlier, Index later, Index length) const {
    return label_end(earlier) >= later - length + 1 && earlier - length + 1 <= later;
  }
};

}  // namespace

TEST_CASE("the fractions apply to the samples, the purge to what would overlap") {
  const std::vector<Index> ends = every(1, 1000, 49);
  const tsdl::Split split = tsdl::chronological_split(ends, 50, 1, {0.15, 0.15});
  CHECK(split.train.front() == 49);
  CHECK(split.validation.front() == 49 + 700);
  CHECK(split.test.front() == 49 + 850);
  CHECK(split.test.size() == 150);
  // T + h - 1 end rows at each boundary.
  CHECK(split.train.size() == 700 - 50);
  CHECK(split.validation.size() == 150 - 50);
  CHECK(split.dropped == 100);
}

TEST_CASE("the purge keeps the last row that fits and drops the next, at both boundaries") {
  struct Case {
    Index stride, length, horizon;
  };
  for (const Case& c : {Case{1, 10, 1}, Case{1, 1, 0}, Case{1, 10, 5}, Case{1, 1, 1},
                        Case{1, 60, 20}, Case{3, 10, 2}, Case{3, 10, 0}, Case{3, 9, 1},
                        Case{3, 10, 1}, Case{3, 1, 0}, Case{3, 30, 6}, Case{7, 30, 6}}) {
    CAPTURE(c.stride);
    CAPTURE(c.length);
    CAPTURE(c.horizon);
    const std::vector<Index> ends = every(c.stride, 900, 200);
    const tsdl::Split split = tsdl::chronological_split(ends, c.length, c.horizon, {0.2, 0.2});
    const Index v0 = ends[540];
    const Index t0 = ends[720];
    CHECK(split.validation.front() == v0);
    CHECK(split.test.front() == t0);
    for (std::size_t i = 0; i < 540; ++i)
      CHECK(holds(split.train, ends[i]) == (ends[i] + c.horizon < v0 - c.length + 1));
    for (std::size_t i = 540; i < 720; ++i)
      CHECK(holds(split.validation, ends[i]) == (ends[i] + c.horizon < t0 - c.length + 1));
    CHECK(split.test.size() == 180);
    CHECK(split.dropped == static_cast<Index>(900 - split.train.size() - split.validation.size() -
                                              split.test.size()));
    CHECK_FALSE(overlaps(split.train, split.validation, c.length, c.horizon));
    CHECK_FALSE(overlaps(split.validation, split.test, c.length, c.horizon));
    CHECK_FALSE(overlaps(split.train, split.test, c.length, c.horizon));
    // One end row more would overlap: nothing is dropped in vain.
    std::vector<Index> more = split.train;
    if (split.train.size() < 540) {
      more.push_back(ends[split.train.size()]);
      CHECK(overlaps(more, split.validation, c.length, c.horizon));
    }
    more = split.validation;
    if (split.validation.size() < 180) {
      more.push_back(ends[540 + split.validation.size()]);
      CHECK(overlaps(more, split.test, c.length, c.horizon));
    }
  }
}

TEST_CASE("boundary kept, boundary minus one dropped, strides 1 and 3") {
  // v0 - T - h is the last row kept. Two sets of ends: one holds that row, one the row after it.
  constexpr Index length = 8;
  constexpr Index horizon = 2;
  for (const Index stride : {1, 3}) {
    for (const Index nearest : {length + horizon, length + horizon - 1}) {
      const bool kept = nearest == length + horizon;
      CAPTURE(stride);
      CAPTURE(kept);
      // Three groups of ends, each ending `nearest` rows before the next begins.
      std::vector<Index> ends = every(stride, 60, 100);
      for (int part = 0; part < 2; ++part) {
        const std::vector<Index> next = every(stride, 20, ends.back() + nearest);
        ends.insert(ends.end(), next.begin(), next.end());
      }
      const tsdl::Split split = tsdl::chronological_split(ends, length, horizon, {0.2, 0.2});
      CHECK(split.validation.front() == ends[60]);
      CHECK(split.test.front() == ends[80]);
      CHECK(holds(split.train, ends[59]) == kept);
      CHECK(holds(split.train, ends[58]));
      CHECK(holds(split.validation, ends[79]) == kept);
      CHECK(split.dropped == (kept ? 0 : 2));
    }
  }
}

TEST_CASE("with triple-barrier labels no sample overlaps a later part, and none is lost in vain") {
  constexpr Index length = 50;
  const tsdl::Label label = tsdl::TripleBarrierLabel{};
  for (const Index stride : {1, 3}) {
    CAPTURE(stride);
    const Labelled data(length, stride, label);
    const tsdl::Split split = tsdl::chronological_split(data.ends, data.label_ends, length);
    Index pairs = 0, overlaps = 0;
    const auto compare = [&](const std::vector<Index>& a, const std::vector<Index>& b) {
      for (const Index earlier : a)
        for (const Index later : b) {
          ++pairs;
          overlaps += data.overlaps(earlier, later, length);
        }
    };
    compare(split.train, split.validation);
    compare(split.train, split.test);
    compare(split.validation, split.test);
    CHECK(pairs > 3000000 / (stride * stride));
    CHECK(overlaps == 0);

    // Every sample that was dropped would have overlapped the next part.
    Index dropped = 0;
    for (const Index end : data.ends) {
      const bool in_train = end < split.validation.front();
      if (end >= split.test.front() || holds(in_train ? split.train : split.validation, end))
        continue;
      ++dropped;
      const auto& next = in_train ? split.validation : split.test;
      CHECK(std::any_of(next.begin(), next.end(),
                        [&](Index later) { return data.overlaps(end, later, length); }));
    }
    CHECK(dropped == split.dropped);

    // By the horizon more would be dropped, and what it keeps is kept here too.
    const tsdl::Split all =
        tsdl::chronological_split(data.ends, length, tsdl::horizon(label), tsdl::SplitFractions{});
    CHECK(split.dropped < all.dropped);
    CHECK(split.train.size() + split.validation.size() > all.train.size() + all.validation.size());
    for (const Index end : all.train) CHECK(holds(split.train, end));
    for (const Index end : all.validation) CHECK(holds(split.validation, end));
    CHECK(split.test == all.test);
  }
}

TEST_CASE("labels that end when they end: kept below the next part's first row, dropped on it") {
  const std::vector<Index> ends = every(1, 10, 9);  // v0 = 15, whose window reads from row 13 on
  const std::vector<Index> label_ends = {10, 12, 13, 12, 13, 14, 16, 16, 17, 18};
  const tsdl::Split split = tsdl::chronological_split(ends, label_ends, 3, {0.4, 0});
  CHECK(split.train == std::vector<Index>{9, 10, 12});
  CHECK(split.validation == std::vector<Index>{15, 16, 17, 18});
  CHECK(split.dropped == 3);
}

TEST_CASE("a test part of fraction 0 is empty and purges nothing") {
  const std::vector<Index> ends = every(1, 100, 9);
  const tsdl::Split split = tsdl::chronological_split(ends, 10, 1, {0.25, 0});
  CHECK(split.test.empty());
  CHECK(split.validation.size() == 25);
  CHECK(split.train.size() == 65);
  CHECK(split.dropped == 10);
}

TEST_CASE("what a split refuses") {
  const std::vector<Index> ends = every(1, 100, 9);
  const auto refused = [&](tsdl::SplitFractions fractions, Index length = 10, Index horizon = 1) {
    return message_of<tsdl::DataError>(
        [&] { tsdl::chronological_split(ends, length, horizon, fractions); });
  };
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& bad : std::vector<tsdl::SplitFractions>{{0, 0.1},
                                                           {-0.1, 0.1},
                                                           {0.1, -0.1},
                                                           {0.5, 0.5},
                                                           {1, 0},
                                                           {test::nan, 0.1},
                                                           {0.1, test::nan},
                                                           {infinity, 0.1}})
    CHECK(contains(refused(bad), "expected fractions"));
  CHECK(contains(refused({0.001, 0.1}), "100 samples make 90 for training, 0 for validation"));
  CHECK(contains(refused({0.1, 0.001}), "0 for test"));
  // The purge can empty a part: 10 validation samples, 10 of them too near to the test part.
  const std::string purged = refused({0.1, 0.1});
  CHECK(contains(purged, "dropped"));
  CHECK(contains(purged, "0 for validation, 10 for test (window 10, horizon 1)"));
  CHECK(contains(refused({0.2, 0.2}, 70), "0 for training"));
  constexpr Index huge = std::numeric_limits<Index>::max();
  CHECK(contains(refused({0.2, 0.2}, huge, huge), "0 for training"));
  const auto misshapen = [&](const std::vector<Index>& label_ends) {
    return message_of<tsdl::ShapeError>([&] { tsdl::chronological_split(ends, label_ends, 10); });
  };
  CHECK(contains(misshapen({1, 2}), "each of 100 samples, found 2"));
  std::vector<Index> early = ends;
  early[7] = 15;
  CHECK(contains(misshapen(early), "the label of row 16 ends before it, at row 15"));
  CHECK(contains(message_of<tsdl::DataError>([] { tsdl::chronological_split({}, 1, 1); }),
                 "0 samples"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::chronological_split(ends, 0, 1); }),
                 "length"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::chronological_split(ends, 1, -1); }),
                 "horizon"));
}
