// Windows over panels: values, views, splits on unlike calendars, scalers, look-ahead, memory.
#include "tsdl/data/panel_windows.hpp"

#include <doctest/doctest.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/panel_prepare.hpp"
#include "tsdl/nn/forecast_network.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using tsdl::Index, tsdl::Panel, tsdl::PanelRecipe, tsdl::PanelSplit, tsdl::WindowNorm;
using Windows = tsdl::PanelWindows<double>;
constexpr std::int64_t hour = 3600000;

/// Series of `columns` random walks with a calendar of their own: other first rows, other lengths,
/// holes, and now and then an empty cell.
Panel random_panel(Index series, Index columns, std::uint64_t seed, double empty = 0) {
  tsdl::RandomStream random(seed);
  Panel panel;
  for (Index i = 0; i < columns; ++i) panel.columns.push_back("c" + std::to_string(i));
  for (Index s = 0; s < series; ++s) {
    tsdl::PanelSeries one{.name = "s" + std::to_string(s)};
    const auto rows = static_cast<Index>(30 + random.below(60));
    std::vector<std::int64_t> times;
    auto time = static_cast<std::int64_t>(random.below(40)) * hour;
    one.values = tsdl::Series<double>::sized(panel.columns, rows);
    std::vector<double> walk(static_cast<std::size_t>(columns), 100.0 * static_cast<double>(s));
    for (Index row = 0; row < rows; ++row) {
      times.push_back(time);
      time += hour * static_cast<std::int64_t>(1 + (random.below(8) == 0 ? random.below(5) : 0));
      for (Index i = 0; i < columns; ++i) {
        double& value = walk[static_cast<std::size_t>(i)];
        value += random.normal();
        one.values.column(row)[i] = random.uniform() < empty ? std::nan("") : value;
      }
    }
    one.times = tsdl::TimeAxis(std::move(times));
    panel.series.push_back(std::move(one));
  }
  return panel;
}

Panel only(const Panel& panel, Index s) {
  Panel one = panel;
  one.series = {panel.series[static_cast<std::size_t>(s)]};
  return one;
}

const PanelRecipe recipe{.length = 5, .horizon = 3, .targets = {"c1", "c0"}, .future = {"c2"}};

template <class T>
bool same_bits(const tsdl::Sequence<const T>& a, const tsdl::Sequence<const T>& b) {
  if (a.inputs != b.inputs || a.steps != b.steps || a.batch != b.batch) return false;
  for (Index t = 0; t < a.steps; ++t)
    for (Index i = 0; i < a.batch; ++i)
      if (std::memcmp(a.column(t, i), b.column(t, i),
                      static_cast<std::size_t>(a.inputs) * sizeof(T)) != 0)
        return false;
  return true;
}

}  // namespace

TEST_CASE("a window has its rows, its targets and what is known of them, from the naive indices") {
  for (const WindowNorm norm : {WindowNorm::none, WindowNorm::last, WindowNorm::instance}) {
    const Panel panel = random_panel(4, 3, 1);
    PanelRecipe with = recipe;
    with.normalise = norm;
    const auto data = tsdl::prepare_panel<double>(panel, with, {});
    CHECK(data.recipe.columns == std::vector<std::string>{"c0", "c1", "c2"});
    tsdl::BatchScratch<double> scratch;
    Index seen = 0;
    for (const Windows* part : {&data.train, &data.validation, &data.test})
      for (Index i = 0; i < part->size(); ++i, ++seen) {
        const auto& values = panel.series[static_cast<std::size_t>(part->series(i))].values;
        const Index row = part->row_in_series(i);
        const auto batch = tsdl::batch_of(*part, {i, 1, {}}, 1, scratch);
        const auto scaled = [&](Index r, std::size_t column) {
          return (values.column(r)[column] - data.recipe.scaler.mean()[column]) /
                 data.recipe.scaler.scale()[column];
        };
        for (Index t = 0; t < 5; ++t)
          for (std::size_t c = 0; c < 3; ++c)
            REQUIRE(batch.past.column(t, 0)[c] == scaled(row - 4 + t, c));
        for (Index h = 0; h < 3; ++h)
          REQUIRE(batch.future.column(h, 0)[0] == scaled(row + 1 + h, 2));
        const std::vector<double> truths = part->truths(i);
        for (Index h = 0; h < 3; ++h)
          for (std::size_t k = 0; k < 2; ++k) {
            const std::size_t column = k == 0 ? 1 : 0, at = static_cast<std::size_t>(h) * 2 + k;
            double mean = 0, square = 0;
            for (Index t = 0; t < 5; ++t) mean += scaled(row - 4 + t, column) / 5;
            for (Index t = 0; t < 5; ++t)
              square += std::pow(scaled(row - 4 + t, column) - mean, 2) / 5;
            const double centre = norm == WindowNorm::none   ? 0
                                  : norm == WindowNorm::last ? scaled(row, column)
                                                             : mean;
            const double spread = norm == WindowNorm::instance ? std::sqrt(square + 1e-5) : 1;
            const double target = (scaled(row + 1 + h, column) - centre) / spread;
            CHECK(batch.targets.column(0, 0)[at] == doctest::Approx(target).epsilon(1e-10));
            CHECK(truths[at] == doctest::Approx(values.column(row + 1 + h)[column]).epsilon(1e-12));
          }
      }
    CHECK(seen > 100);
  }
}

TEST_CASE("a panel's windows are those of each series by itself, bit for bit") {
  const Panel panel = random_panel(5, 3, 2, 0.01);
  PanelRecipe with = recipe;
  with.scale_by = tsdl::ScaleBy::series;
  with.normalise = WindowNorm::instance;
  const PanelSplit tail{.by = PanelSplit::By::tail, .validation = 8, .test = 8};
  const auto all = tsdl::prepare_panel<float>(panel, with, tail);
  tsdl::BatchScratch<float> scratch, own_scratch;
  Index compared = 0;
  for (Index s = 0; s < 5; ++s) {
    const auto own = tsdl::prepare_panel<float>(only(panel, s), with, tail);
    const std::pair<const tsdl::PanelWindows<float>*, const tsdl::PanelWindows<float>*> parts[] = {
        {&all.train, &own.train}, {&all.validation, &own.validation}, {&all.test, &own.test}};
    for (const auto& [of_panel, by_itself] : parts) {
      Index j = 0;
      for (Index i = 0; i < of_panel->size(); ++i) {
        if (of_panel->series(i) != s) continue;
        REQUIRE(j < by_itself->size());
        CHECK(of_panel->row_in_series(i) == by_itself->row_in_series(j));
        const auto a = tsdl::batch_of(*of_panel, {i, 1, {}}, 1, scratch);
        const auto b = tsdl::batch_of(*by_itself, {j, 1, {}}, 1, own_scratch);
        CHECK(same_bits(a.past, b.past));
        CHECK(same_bits(a.future, b.future));
        CHECK(same_bits(a.targets, b.targets));
        ++j, ++compared;
      }
      CHECK(j == by_itself->size());
    }
  }
  CHECK(compared > 100);
}

TEST_CASE(
    "windows without the rows that are known beforehand, or before their series, are refused") {
  const auto data = tsdl::prepare_panel<double>(random_panel(2, 3, 3), recipe, {});
  const auto shared = data.train.shared();
  const Index end = shared->starts[1];
  CHECK_NOTHROW(Windows(shared, 5, {end - 4}));
  CHECK_THROWS_AS(Windows(shared, 5, {end - 3}), tsdl::ShapeError);
  CHECK_THROWS_AS(Windows(shared, 5, {end + 3}), tsdl::ShapeError);
  CHECK_THROWS_AS(Windows(shared, 5, {7, 7}), tsdl::ShapeError);
}

TEST_CASE("batches are views where windows are evenly spaced, and equal gathered ones") {
  const auto data = tsdl::prepare_panel<double>(random_panel(3, 3, 3), recipe, {});
  const Windows& train = data.train;
  const double* first = train.data().values.values.begin();
  const double* last = train.data().values.values.end();
  tsdl::BatchScratch<double> scratch, gathered;
  Index views = 0, copies = 0;
  for (Index at = 0; at + 7 <= train.size(); at += 3) {
    const std::vector<Index> chosen = {at, at + 1, at + 2, at + 3, at + 4, at + 5, at + 6};
    const auto a = tsdl::batch_of(train, {at, 7, {}}, 1, scratch);
    const auto b = tsdl::batch_of(train, {0, 0, chosen}, 1, gathered);
    CHECK(same_bits(a.past, b.past));
    CHECK(same_bits(a.future, b.future));
    CHECK(same_bits(a.targets, b.targets));
    (a.past.data >= first && a.past.data < last ? views : copies) += 1;
    CHECK(!(b.past.data >= first && b.past.data < last));
  }
  CHECK(views > 10);
  CHECK(copies > 0);  // across a border of series
}

TEST_CASE("parts in time, sample by sample, on series with unlike calendars") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Panel panel = random_panel(6, 3, 100 + seed, 0.02);
    tsdl::PreparedPanel<double> data;
    try {
      data = tsdl::prepare_panel<double>(panel, recipe,
                                         {.validation = 0.15, .calibration = 0.1, .test = 0.2});
    } catch (const tsdl::DataError&) {
      continue;
    }
    const Windows* parts[] = {&data.train, &data.validation, &data.calibration, &data.test};
    std::int64_t latest = -1;
    for (const Windows* part : parts) {
      std::int64_t first = 1000000 * hour, last = -1;
      for (Index i = 0; i < part->size(); ++i) {
        const tsdl::TimeAxis& times = panel.series[static_cast<std::size_t>(part->series(i))].times;
        first = std::min(first, times.at(part->row_in_series(i) + 1));
        last = std::max(last, times.at(part->row_in_series(i) + 3));
      }
      if (part->empty()) continue;
      CHECK(first > latest);  // no span of an earlier part ends after this part's forecasts begin
      latest = std::max(latest, last);
    }
  }
}

TEST_CASE("parts by rows and by tails") {
  const Panel panel = only(random_panel(1, 3, 4), 0);
  const Index n = panel.series[0].values.rows;
  const auto rows = tsdl::split_panel(
      panel,
      {.by = PanelSplit::By::rows, .validation = 6, .calibration = 5, .test = 4, .train = 9});
  CHECK(rows[0].train.last == 9);
  CHECK(rows[0].calibration.first == 15);
  CHECK(rows[0].test.last == 24);
  const auto tail = tsdl::split_panel(
      panel, {.by = PanelSplit::By::tail, .validation = 6, .calibration = 5, .test = 4});
  CHECK(tail[0].train.last == n - 15);
  CHECK(tail[0].test.first == n - 4);
  Panel few = panel;  // the last rows are the test's, also where there are too few for all parts
  few.series[0].values = tsdl::Series<double>::sized(panel.columns, 8);
  const auto short_tail = tsdl::split_panel(
      few, {.by = PanelSplit::By::tail, .validation = 6, .calibration = 5, .test = 4});
  CHECK(short_tail[0].test.first == 4);
  CHECK(short_tail[0].calibration.first == 0);
  CHECK(short_tail[0].train.last == 0);
  CHECK_THROWS_AS(tsdl::split_panel(panel, {.by = PanelSplit::By::tail, .validation = 0.5}),
                  tsdl::DataError);
  CHECK_THROWS_AS(tsdl::split_panel(panel, {.validation = 0.5, .test = 0.5}), tsdl::DataError);
}

TEST_CASE("each series by its own scaler, and an unknown one by that of all") {
  const Panel panel = random_panel(3, 2, 5);
  PanelRecipe with{.length = 4, .horizon = 2, .scale_by = tsdl::ScaleBy::series};
  const auto data = tsdl::prepare_panel<double>(panel, with, {});
  REQUIRE(data.recipe.series_scales.size() == 3);
  const auto own = tsdl::prepare_panel<double>(
      only(panel, 1), with, {.by = PanelSplit::By::tail, .validation = 0, .test = 0});
  CHECK(own.recipe.series_scales[0].mean == own.recipe.scaler.mean());
  CHECK(tsdl::internal::scale_of(data.recipe, "s2").mean[0] ==
        data.recipe.series_scales[2].mean[0]);
  CHECK(tsdl::internal::scale_of(data.recipe, "new").mean[0] == data.recipe.scaler.mean()[0]);
  CHECK(data.recipe.scaler.mean()[0] != data.recipe.series_scales[2].mean[0]);
}

TEST_CASE("categories: the entries of trained series, and 0 for what is not known") {
  Panel panel = random_panel(4, 1, 6);
  panel.category_columns = {"kind"};
  panel.static_columns = {"size"};
  const char* kinds[] = {"b", "a", "b", "rare"};
  for (std::size_t s = 0; s < 4; ++s) {
    panel.series[s].categories = {kinds[s]};
    panel.series[s].statics = {static_cast<double>(s)};
  }
  auto& last = panel.series[3];  // has rows for a test, and none to train on
  last.times = tsdl::TimeAxis(std::vector<std::int64_t>{500 * hour, 501 * hour, 502 * hour});
  last.values = tsdl::Series<double>::sized(panel.columns, 3);
  for (double& value : last.values.values) value = 1;
  const auto data = tsdl::prepare_panel<double>(
      panel, {.length = 2, .horizon = 1, .embed_series = true}, {.validation = 0.1, .test = 0.1});
  CHECK(data.recipe.vocabularies[0] == std::vector<std::string>{"s0", "s1", "s2"});
  CHECK(data.recipe.vocabularies[1] == std::vector<std::string>{"a", "b"});
  CHECK(data.recipe.category_sizes() == std::vector<Index>{4, 3});
  tsdl::BatchScratch<double> scratch;
  const auto batch = data.train.inputs_of({0, 1, {}}, scratch);
  CHECK(batch.categories.column(0, 0)[0] == 1);
  CHECK(batch.categories.column(0, 0)[1] == 2);
  CHECK(batch.statics.column(0, 0)[0] == doctest::Approx(-1.224744871));
  const Index end = data.test.size() - 1;
  REQUIRE(data.test.series(end) == 3);
  const auto unknown = data.test.inputs_of({end, 1, {}}, scratch);
  CHECK(unknown.categories.column(0, 0)[0] == 0);
  CHECK(unknown.categories.column(0, 0)[1] == 0);
}

TEST_CASE("series that are too short are counted and named; a panel of such is refused") {
  Panel panel = random_panel(3, 3, 7);
  panel.series[1].values = tsdl::Series<double>::sized(panel.columns, 4);
  panel.series[1].times = tsdl::TimeAxis(std::vector<std::int64_t>{0, 1, 2, 3});
  for (double& value : panel.series[1].values.values) value = 0;
  const auto data = tsdl::prepare_panel<double>(panel, recipe, {});
  CHECK(data.too_short == std::vector<std::string>{"s1"});
  CHECK(test::message_of<tsdl::DataError>([&] {
          tsdl::prepare_panel<double>(only(panel, 1), recipe, {});
          return 0;
        }) ==
        "panel: no series has a training window: 5 rows to read and 3 to forecast, of 1 "
        "series of at most 4 rows");
  const auto refusal = [&](const PanelRecipe& r) {
    return test::message_of<tsdl::DataError>([&] {
      tsdl::prepare_panel<double>(panel, r, {});
      return 0;
    });
  };
  CHECK(refusal({.targets = {"c9"}}) == "panel: no column is named c9; there are c0, c1, c2");
  CHECK(refusal({.targets = {"c0", "c0"}}) == "panel recipe: the target c0 is named twice");
  CHECK(refusal({.targets = {"c2"}, .future = {"c2"}}) ==
        "panel recipe: the target c2 is a column known beforehand");
  CHECK(refusal({.targets = {"c0"}, .past = {"c1"}, .normalise = WindowNorm::last}) ==
        "panel recipe: the target c0 is not read, so that its window cannot be normalised");
}

TEST_CASE("look-ahead: a row that no training span reads changes no bit of scalers or weights") {
  const auto trained = [](const Panel& panel, std::vector<double>& weights) {
    PanelRecipe with = recipe;
    with.stride = 2;
    with.normalise = WindowNorm::instance;
    with.scale_by = tsdl::ScaleBy::series;
    const auto data = tsdl::prepare_panel<double>(panel, with, {.validation = 0.2, .test = 0.2});
    tsdl::ForecastNetwork<tsdl::GRUCell<double>> model({.inputs = 3,
                                                        .future = 1,
                                                        .horizon = 3,
                                                        .outputs = 6,
                                                        .normalise = with.normalise,
                                                        .hidden_size = 4},
                                                       7);
    tsdl::Trainer trainer(model, {.batch_size = 8,
                                  .max_epochs = 2,
                                  .shuffle = true,
                                  .restore_best = false,
                                  .task = tsdl::Regression{.targets = 6}});
    trainer.fit(data.train, data.validation);
    weights.clear();
    std::as_const(model).visit([&](const auto& parameter) {
      weights.insert(weights.end(), parameter.value.begin(), parameter.value.end());
    });
    weights.insert(weights.end(), data.recipe.scaler.mean().begin(),
                   data.recipe.scaler.mean().end());
    for (const auto& one : data.recipe.series_scales)
      weights.insert(weights.end(), one.scale.begin(), one.scale.end());
    std::set<std::pair<Index, Index>> read;
    for (Index i = 0; i < data.train.size(); ++i)
      for (Index row = data.train.row_in_series(i) - 4; row <= data.train.row_in_series(i) + 3;
           ++row)
        read.insert({data.train.series(i), row});
    return read;
  };
  const Panel panel = random_panel(3, 3, 8, 0.03);
  std::vector<double> before, after;
  const auto read = trained(panel, before);
  Panel changed = panel, seen = panel;
  Index unread = 0;
  for (Index s = 0; s < 3; ++s)
    for (Index row = 0; row < panel.series[static_cast<std::size_t>(s)].values.rows; ++row) {
      if (read.contains({s, row})) continue;
      ++unread;
      double* values = changed.series[static_cast<std::size_t>(s)].values.column(row);
      for (Index i = 0; i < 3; ++i)
        if (!std::isnan(values[i])) values[i] = 1e6 * static_cast<double>(row + i);
    }
  REQUIRE(unread > 40);
  trained(changed, after);
  CHECK(before == after);
  // A row that is read does change them.
  seen.series[0].values.column(read.begin()->second)[0] += 1;
  trained(seen, after);
  CHECK(before != after);
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
namespace {
double megabytes(const char* key) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (word == key) {
      double kibibytes = 0;
      file >> kibibytes;
      return kibibytes * 1024 / 1e6;
    }
  return -1;
}
}  // namespace

TEST_CASE("500 series of 5,000 rows of 20 columns: 1.2 times their size, at most 2.5 on the way") {
  const int status = test::status_of_child([] {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD,
            1 << 17);  // what is freed goes back, whatever earlier tests have done
#endif
    const double before = megabytes("VmRSS:");
    Panel panel;
    for (int i = 0; i < 20; ++i) panel.columns.push_back("c" + std::to_string(i));
    for (int s = 0; s < 500; ++s) {
      tsdl::PanelSeries one{.name = "s" + std::to_string(s)};
      std::vector<std::int64_t> times;
      for (std::int64_t row = 0; row < 5000; ++row) times.push_back((row + s) * hour);
      one.times = tsdl::TimeAxis(std::move(times));
      one.values = tsdl::Series<double>::sized(panel.columns, 5000);
      for (Index i = 0; i < one.values.values.size(); ++i)
        one.values.values[i] = static_cast<double>(i * 7919 % 1000 + s);
      panel.series.push_back(std::move(one));
    }
    const auto data = tsdl::prepare_panel<float>(
        std::move(panel), {.length = 60, .horizon = 12, .targets = {"c0"}}, {});
    const double size = 500.0 * 5000 * 20 * sizeof(float) / 1e6;
    const double resident = (megabytes("VmRSS:") - before) / size;
    const double peak = (megabytes("VmHWM:") - before) / size;
    MESSAGE("resident " << resident << ", peak " << peak << " times " << size << " MB");
    if (data.train.size() < 1000000) return 1;
    return resident > 1.2 ? 2 : peak > 2.5 ? 3 : 0;
  });
  CHECK(status == 0);
}
#endif
