// Permutation importance beside a naive oracle; what scores exactly 0; the column and the lag that
// tell; bits; what is refused.
#include "tsdl/explain/permutation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "explain/synthetic.hpp"
#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/train/predict.hpp"

namespace {

using test::Index;
using test::Telling;
using Windows = tsdl::Windows<float>;

static_assert(tsdl::SampleSet<tsdl::PermutedSamples<Windows>>);

/// Windows copied out, one array each, [T][I].
std::vector<std::vector<float>> copies(const Windows& windows) {
  std::vector<std::vector<float>> all;
  tsdl::Buffer<float> scratch;
  for (Index i = 0; i < windows.size(); ++i)
    all.push_back(test::gathered(windows.batch(i, 1, scratch)));
  return all;
}

/// The figure of a model on windows that were copied out, one window at a time.
double figure_of(const tsdl::AnyModel<float>& model, const std::vector<std::vector<float>>& all,
                 const std::vector<double>& targets, const std::string& name) {
  tsdl::AnyModel<float>::Cache cache;
  std::vector<double> outputs, predictions;
  for (const auto& one : all) {
    const auto y =
        model.forward(test::dense(one, model.inputs(), std::ssize(one) / model.inputs(), 1), cache);
    outputs.push_back(static_cast<double>(y(0, 0)));
    predictions.push_back(1 / (1 + std::exp(-outputs.back())));
  }
  if (name == "accuracy") {
    double right = 0;
    for (std::size_t i = 0; i < targets.size(); ++i)
      right += (predictions[i] >= 0.5) == (targets[i] > 0.5);
    return right / static_cast<double>(targets.size());
  }
  double loss = 0;
  for (std::size_t i = 0; i < targets.size(); ++i)
    loss -= std::log(targets[i] > 0.5 ? predictions[i] : 1 - predictions[i]);
  return loss / static_cast<double>(targets.size());
}

/// Windows that have numbers of their own beside them.
struct WithStatics : Windows {
  tsdl::Batch<float> inputs_of(const tsdl::Samples& samples,
                               tsdl::BatchScratch<float>& scratch) const {
    static const float number = 1;
    tsdl::Batch<float> batch = Windows::inputs_of(samples, scratch);
    batch.statics = {&number, 1, 1, batch.size(), 0, 0};
    return batch;
  }
};
static_assert(tsdl::SampleSet<WithStatics>);

tsdl::AnyModel<float> drawn_model(const std::string& kind) {
  auto model = tsdl::make_classifier<float>(kind, {.input_size = 4, .hidden_size = 6});
  tsdl::RandomStream random(3);
  test::draw_parameters(model, random, 1.0);
  return model;
}

auto measure_by(const tsdl::AnyModel<float>& model) {
  return [&model](const auto& set) { return tsdl::evaluate(model, set); };
}

}  // namespace

TEST_CASE("permutation importance: a naive oracle, by columns and by blocks") {
  const Telling data(2, 860);
  const Windows windows = data.held_out();
  const auto model = drawn_model("gru");
  const std::vector<double> targets = windows.targets();
  for (const std::string name : {"loss", "accuracy"}) {
    CAPTURE(name);
    const tsdl::PermutationOptions options{.figure = name, .repeats = 3, .block = 3, .seed = 5};
    const auto found = tsdl::permutation_importance(windows, options, measure_by(model));
    const auto all = copies(windows);
    const double value = figure_of(model, all, targets, name);
    CHECK(found.figure == name);
    CHECK(found.windows == 150);
    CHECK(found.repeats == 3);
    CHECK(std::abs(found.value - value) <= 1e-12);
    REQUIRE(found.columns.size() == 4);
    REQUIRE(found.blocks.size() == 3);  // of 3, 3 and 2 rows
    std::vector<tsdl::Importance> parts = found.columns;
    parts.insert(parts.end(), found.blocks.begin(), found.blocks.end());
    const std::vector<std::vector<Index>> rectangles = {{0, 1, 0, 8}, {1, 2, 0, 8}, {2, 3, 0, 8},
                                                        {3, 4, 0, 8}, {0, 4, 5, 8}, {0, 4, 2, 5},
                                                        {0, 4, 0, 2}};
    double largest = 0;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const auto& r = rectangles[p];
      CHECK(parts[p].part.first_column == r[0]);
      CHECK(parts[p].part.last_column == r[1]);
      CHECK(parts[p].part.first_row == r[2]);
      CHECK(parts[p].part.last_row == r[3]);
      double mean = 0, squares = 0;
      std::vector<double> drops;
      for (std::uint64_t repeat = 0; repeat < 3; ++repeat) {
        std::vector<Index> source(150);
        std::iota(source.begin(), source.end(), Index{0});
        tsdl::RandomStream random(5, p << 32 | repeat);
        tsdl::shuffle(source, random);
        auto changed = all;
        for (std::size_t w = 0; w < 150; ++w)
          for (Index t = r[2]; t < r[3]; ++t)
            for (Index i = r[0]; i < r[1]; ++i) {
              const auto at = static_cast<std::size_t>(t * 4 + i);
              changed[w][at] = all[static_cast<std::size_t>(source[w])][at];
            }
        const double permuted = figure_of(model, changed, targets, name);
        drops.push_back(name == "loss" ? permuted - value : value - permuted);
        mean += drops.back() / 3;
      }
      for (const double drop : drops) squares += (drop - mean) * (drop - mean);
      CHECK(test::largest_difference(parts[p].drops, drops) <= 1e-12);
      CHECK(std::abs(parts[p].mean - mean) <= 1e-12);
      CHECK(std::abs(parts[p].deviation - std::sqrt(squares / 2)) <= 1e-12);
      largest = std::max(largest, std::abs(mean));
    }
    CHECK(largest > 0.01);
  }
}

TEST_CASE("permutation importance: a constant column scores exactly 0, and nothing is changed") {
  const Telling data(4, 860);
  const Windows windows = data.held_out();
  const auto before = copies(windows);
  const auto model = drawn_model("bilstm");
  const auto found =
      tsdl::permutation_importance(windows, {.repeats = 4, .seed = 1}, measure_by(model));
  CHECK(found.blocks.size() == 8);  // a tenth of 8 rows, rounded up
  CHECK(found.columns[Telling::constant].mean == 0);
  CHECK(found.columns[Telling::constant].deviation == 0);
  for (const double drop : found.columns[Telling::constant].drops) CHECK(drop == 0);
  for (const Index column : {0, 2, 3})
    CHECK(found.columns[static_cast<std::size_t>(column)].mean != 0);
  CHECK((copies(windows) == before));
  const auto once = tsdl::permutation_importance(windows, {.repeats = 1}, measure_by(model));
  CHECK(once.columns[0].deviation == 0);
  CHECK(once.columns[0].drops.size() == 1);
}

TEST_CASE("permutation importance: threads, batches and order change no bit; the seed does") {
  const Telling data(6, 860);
  const Windows windows = data.held_out();
  const auto model = drawn_model("lstm");
  const auto drops = [&](std::uint64_t seed, int threads) {
    tsdl::set_thread_count(threads);
    std::vector<double> all;
    for (const auto& one :
         tsdl::permutation_importance(windows, {.repeats = 2, .seed = seed}, measure_by(model))
             .columns)
      all.insert(all.end(), one.drops.begin(), one.drops.end());
    return all;
  };
  const test::ThreadCountGuard guard;
  const auto expected = drops(1, 1);
  CHECK((drops(1, 2) == expected));
  CHECK((drops(1, 8) == expected));
  CHECK((drops(2, 1) != expected));
  CHECK(expected[0] != expected[1]);  // each repeat permutes anew
  // More repeats begin with the same ones, and a view gives what a gathered batch does.
  const auto more =
      tsdl::permutation_importance(windows, {.repeats = 3, .seed = 1}, measure_by(model));
  CHECK(more.columns[0].drops[1] == expected[1]);
  std::vector<Index> source(150);
  std::iota(source.rbegin(), source.rend(), Index{0});
  const tsdl::PermutedSamples<Windows> reversed(windows, {2, 4, 1, 3}, source);
  tsdl::BatchScratch<float> scratch, other;
  const std::vector<Index> chosen = {140, 3, 77};
  const auto gathered = test::gathered(reversed.inputs_of({0, 0, chosen}, scratch).past);
  const auto all = copies(windows);
  for (std::size_t b = 0; b < 3; ++b) {
    const auto one = test::gathered(reversed.inputs_of({chosen[b], 1, {}}, other).past);
    const auto& own = all[static_cast<std::size_t>(chosen[b])];
    const auto& from = all[static_cast<std::size_t>(149 - chosen[b])];
    for (std::size_t t = 0; t < 8; ++t)
      for (std::size_t i = 0; i < 4; ++i) {
        const float value = (t == 1 || t == 2) && i >= 2 ? from[t * 4 + i] : own[t * 4 + i];
        CHECK(one[t * 4 + i] == value);
        CHECK(gathered[(t * 3 + b) * 4 + i] == value);
      }
  }
}

TEST_CASE("permutation importance: the column and the lag that tell come first in 19 of 20 seeds") {
  for (const std::string kind : {"lstm", "gru", "bilstm", "transformer"}) {
    CAPTURE(kind);
    int column = 0, lag = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const Telling data(seed);
      double accuracy = 0;
      const auto model = test::trained_on(data, kind, seed, accuracy);
      const auto found = tsdl::permutation_importance(
          data.held_out(), {.figure = "accuracy", .repeats = 3, .block = 1, .seed = seed},
          measure_by(model));
      std::vector<double> columns, lags;
      for (const auto& one : found.columns) columns.push_back(one.mean);
      for (const auto& one : found.blocks) lags.push_back(one.mean);
      column += test::first_of(columns) == Telling::telling;
      lag += test::first_of(lags) == Telling::lag;
    }
    CHECK(column >= 19);
    CHECK(lag >= 19);
  }
}

TEST_CASE("permutation importance: what cannot be permuted") {
  const Telling data(1, 860);
  const Windows windows = data.held_out();
  const auto model = drawn_model("gru");
  const auto run = [&](const Windows& set, const tsdl::PermutationOptions& options) {
    tsdl::permutation_importance(set, options, measure_by(model));
  };
  CHECK_THROWS_WITH_AS(run(windows, {.repeats = 0}),
                       "permutation: repeats: expected 1 to 1000000, got 0", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(run(windows, {.block = 9}),
                       "permutation: block: expected 0 to 8 rows, got 9", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(run(windows, {.block = -1}),
                       "permutation: block: expected 0 to 8 rows, got -1", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(run(windows, {.figure = "profit"}),
                       "permutation: there is no figure named 'profit'", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(
      run(windows, {.figure = "rmse"}),
      "permutation: the figure rmse is not defined for this task and these windows",
      tsdl::OptionError);
  CHECK_THROWS_WITH_AS(run(data.toy.windows(700, 1), {}),
                       "permutation: expected two windows or more, got 1", tsdl::DataError);
  const auto targets =
      std::make_shared<const tsdl::Targets>(tsdl::Targets{1, std::vector<double>(860, 1.0), {}});
  CHECK_THROWS_WITH_AS(run(Windows::of_lengths(data.toy.series, {9, 20}, {4, 8}, targets), {}),
                       "permutation: windows of their own lengths cannot be permuted",
                       tsdl::OptionError);
  const auto measure = [](double permuted) {
    return [permuted]<class Set>(const Set&) {
      tsdl::Metrics metrics;
      metrics.loss = std::is_same_v<Set, Windows> ? 0.5 : permuted;
      return metrics;
    };
  };
  CHECK_NOTHROW(tsdl::permutation_importance(windows, {.repeats = 1}, measure(0.7)));
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_WITH_AS(tsdl::permutation_importance(windows, {.repeats = 1}, measure(bad)),
                         "permutation: the figure loss of 150 permuted windows is not finite",
                         tsdl::DataError);
  const std::vector<Index> source(150, 0);
  tsdl::BatchScratch<float> scratch;
  const WithStatics wide{windows};
  const tsdl::PermutedSamples<WithStatics> permuted(wide, {0, 1, 0, 8}, source);
  CHECK_THROWS_WITH_AS(permuted.inputs_of({0, 2, {}}, scratch),
                       "permutation: the samples have inputs besides their windows",
                       tsdl::OptionError);
  using Permuted = tsdl::PermutedSamples<Windows>;
  CHECK_THROWS_AS(Permuted(windows, {0, 5, 0, 8}, source), tsdl::ShapeError);
  CHECK_THROWS_AS(Permuted(windows, {0, 4, -1, 8}, source), tsdl::ShapeError);
  CHECK_THROWS_AS(Permuted(windows, {2, 1, 0, 8}, source), tsdl::ShapeError);
  CHECK_THROWS_AS(Permuted(windows, {0, 4, 0, 8}, {0, 1}), tsdl::ShapeError);
  CHECK_THROWS_AS(Permuted(windows, {0, 4, 0, 8}, std::vector<Index>(150, 150)), tsdl::ShapeError);
}
