// Datasets, whose features and labels serve many splits and lengths.
#include "tsdl/data/prepare.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tsdl/data/synthetic.hpp"

namespace {

using tsdl::Index;

tsdl::Recipe recipe() {
  return {.features = "ohlcv", .length = 20, .label = tsdl::DirectionLabel{.horizon = 3}};
}

bool same(const tsdl::Windows<double>& a, const tsdl::Windows<double>& b) {
  const auto& x = a.series().values;
  const auto& y = b.series().values;
  return a.ends() == b.ends() && a.targets() == b.targets() && x.size() == y.size() &&
         std::memcmp(x.data(), y.data(), x.span().size_bytes()) == 0;  // NaN while warming up
}

}  // namespace

TEST_CASE("a dataset's windows are those of prepare, for every length") {
  const tsdl::Candles candles = tsdl::synthetic_candles(400, {}, 3);
  tsdl::Dataset dataset = tsdl::make_dataset(candles, recipe());
  for (const Index length : {20, 7, 31}) {
    tsdl::Recipe whole = recipe();
    whole.length = length;
    const auto expected = tsdl::prepare<double>(candles, whole, {.validation = 0.2, .test = 0.2});
    dataset.recipe.length = length;
    const auto found = tsdl::prepare<double>(
        dataset, tsdl::chronological_split(dataset, {.validation = 0.2, .test = 0.2}));
    CHECK(same(found.train, expected.train));
    CHECK(same(found.validation, expected.validation));
    CHECK(same(found.test, expected.test));
    CHECK(found.recipe.scaler.mean() == expected.recipe.scaler.mean());
    CHECK(found.recipe.columns == expected.recipe.columns);
    CHECK(found.closes == expected.closes);
  }
}

TEST_CASE("a sample reads its window and its label; with every step, the labels of all its rows") {
  const tsdl::Candles candles = tsdl::synthetic_candles(300, {}, 5);
  tsdl::Recipe barrier = recipe();
  barrier.label = tsdl::TripleBarrierLabel{.horizon = 9};
  tsdl::Dataset dataset = tsdl::make_dataset(candles, barrier);
  const auto& ends = dataset.labels->ends;
  bool sooner = false;
  for (const tsdl::SampleSpan& span : tsdl::sample_spans(dataset)) {
    CHECK(span.first == span.row - 19);
    CHECK(span.last == ends[static_cast<std::size_t>(span.row)]);
  }
  dataset.recipe.every_step = true;
  for (const tsdl::SampleSpan& span : tsdl::sample_spans(dataset)) {
    Index last = 0;
    for (Index row = span.first; row <= span.row; ++row)
      last = std::max(last, ends[static_cast<std::size_t>(row)]);
    CHECK(span.last == last);
    sooner = sooner || ends[static_cast<std::size_t>(span.row)] < last;
  }
  CHECK(sooner);  // or the test above has shown nothing
}

TEST_CASE("a split without training windows, or with rows that end none, is refused") {
  const tsdl::Dataset dataset = tsdl::make_dataset(tsdl::synthetic_candles(200, {}, 1), recipe());
  CHECK_THROWS_AS(tsdl::prepare<float>(dataset, tsdl::Split{}), tsdl::DataError);
  tsdl::Split split = tsdl::chronological_split(dataset, {.validation = 0.2, .test = 0.2});
  split.test.push_back(9999);
  CHECK_THROWS_AS(tsdl::prepare<float>(dataset, split), tsdl::ShapeError);
}
