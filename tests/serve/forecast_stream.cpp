// Forecasters in use: model files, windows of new rows, and a live series, which gives predict's
// bits.
#include "tsdl/serve/forecast_stream.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/panel_apply.hpp"
#include "tsdl/io/forecaster.hpp"
#include "tsdl/train/predict.hpp"

namespace {

using tsdl::Index, tsdl::Panel, tsdl::PanelRecipe;
using Forecaster = tsdl::AnyModel<float>;
constexpr std::int64_t hour = 3600000;

/// Three series of two columns with times, statics and a category.
Panel panel(Index rows) {
  tsdl::RandomStream random(4);
  Panel made{
      .columns = {"sales", "price"}, .static_columns = {"size"}, .category_columns = {"kind"}};
  for (int s = 0; s < 3; ++s) {
    tsdl::PanelSeries one{.name = "s" + std::to_string(s)};
    std::vector<std::int64_t> times;
    one.values = tsdl::Series<double>::sized(made.columns, rows);
    for (Index row = 0; row < rows; ++row) {
      times.push_back(row * hour);
      one.values.column(row)[0] =
          10 * (s + 1) + 3 * std::sin(0.26 * static_cast<double>(row)) + random.normal();
      one.values.column(row)[1] = 5 + random.normal();
    }
    one.times = tsdl::TimeAxis(std::move(times));
    one.statics = {1.5 * s};
    one.categories = {s == 1 ? "b" : "a"};
    made.series.push_back(std::move(one));
  }
  return made;
}

PanelRecipe recipe(bool calendar) {
  PanelRecipe made{.length = 12,
                   .horizon = 4,
                   .targets = {"sales"},
                   .past = {"sales", "price"},
                   .normalise = tsdl::WindowNorm::instance,
                   .scale_by = tsdl::ScaleBy::series,
                   .embed_series = true};
  if (calendar) made.calendar = {"hour", "weekday"};
  return made;
}

/// An untrained model of a prepared panel, with quantiles.
Forecaster model_of(const PanelRecipe& r) {
  Forecaster model =
      tsdl::ForecastNetwork<tsdl::GRUCell<float>>({.inputs = r.inputs,
                                                   .future = r.future_count(),
                                                   .horizon = r.horizon,
                                                   .outputs = 12,
                                                   .statics = 1,
                                                   .category_sizes = r.category_sizes(),
                                                   .embedding_size = 3,
                                                   .normalise = r.normalise,
                                                   .hidden_size = 7},
                                                  3);
  model.set_task(tsdl::Quantiles{.levels = {0.1, 0.4, 0.9}, .targets = 4, .scale = {}});
  return model;
}

tsdl::Calibration calibration(Index n) {
  tsdl::RandomStream random(6);
  tsdl::Calibration made;
  for (Index i = 0; i < 4 * n; ++i) made.scores.push_back(std::abs(random.normal()));
  made.widths = tsdl::fit_interval_widths(made.scores, 4, 1, {.coverages = {0.8}});
  return made;
}

}  // namespace

TEST_CASE("a stream gives the bits of predict, series by series") {
  for (const bool calendar : {false, true}) {
    const auto data = tsdl::prepare_panel<float>(panel(150), recipe(calendar), {});
    const Forecaster model = model_of(data.recipe);
    const Panel rows = panel(150);
    const auto windows = tsdl::panel_windows<float>(rows, data.recipe, {.all = true});
    const tsdl::Matrix<double> said = tsdl::predict(model, windows);
    const auto scores = calibration(30).scores;
    Panel with_calendar = rows;
    tsdl::internal::add_rows_ahead(with_calendar, data.recipe.horizon);
    tsdl::add_calendar(with_calendar, data.recipe.calendar);
    Index i = 0;
    for (const tsdl::PanelSeries& one : with_calendar.series) {
      tsdl::ForecastStream<Forecaster> stream(
          model, data.recipe,
          {.name = one.name, .statics = one.statics, .categories = one.categories}, scores,
          {.coverages = {0.8}});
      for (Index row = 0; row < 150; ++row) {
        std::vector<double> known;
        for (Index h = 1; calendar && h <= 4; ++h)
          known.insert(known.end(), one.values.column(row + h) + 2, one.values.column(row + h) + 6);
        const auto ahead = stream.push({one.values.column(row), data.recipe.columns.size()}, known);
        CHECK(ahead.has_value() == (row >= 11));
        if (!ahead) continue;
        REQUIRE(i < said.cols());
        CHECK(windows.row_in_series(i) == row);
        for (Index h = 0; h < 4; ++h) {
          CHECK(ahead->low[static_cast<std::size_t>(h)] == said(3 * h, i));
          CHECK(ahead->point[static_cast<std::size_t>(h)] == said(3 * h + 1, i));
          CHECK(ahead->high[static_cast<std::size_t>(h)] == said(3 * h + 2, i));
          CHECK(ahead->intervals[static_cast<std::size_t>(h)].low <= said(3 * h, i));
        }
        ++i;
      }
    }
    CHECK(i == said.cols());
  }
}

TEST_CASE("a missing cell ends the window, and a state goes on where it was") {
  const auto data = tsdl::prepare_panel<float>(panel(150), recipe(false), {});
  const Forecaster model = model_of(data.recipe);
  const Panel rows = panel(150);
  const tsdl::PanelSeries& one = rows.series[0];
  const auto scores = calibration(30).scores;
  const auto fresh = [&] {
    return tsdl::ForecastStream<Forecaster>(model, data.recipe,
                                            {.name = "s0", .statics = {0.0}, .categories = {"a"}},
                                            scores, {.coverages = {0.8}});
  };
  auto stream = fresh(), other = fresh();
  std::vector<double> row(2);
  for (Index r = 0; r < 100; ++r) {
    row.assign(one.values.column(r), one.values.column(r) + 2);
    if (r == 40) row[1] = std::nan("");
    const auto said = stream.push(row);
    CHECK(said.has_value() == ((r >= 11 && r < 40) || r >= 52));
    if (r == 70) {
      std::vector<std::byte> bytes;
      tsdl::StateBytes write(bytes);
      stream.state(write);
      tsdl::StateBytes read{std::span<const std::byte>(bytes)};
      other.state(read);
      CHECK(read.is_complete());
    }
    if (r <= 70) continue;
    const auto again = other.push(row);
    REQUIRE(again.has_value());
    for (std::size_t h = 0; h < 4; ++h) {
      CHECK(again->point[h] == said->point[h]);
      CHECK(again->intervals[h].low == said->intervals[h].low);
      CHECK(again->intervals[h].high == said->intervals[h].high);
    }
  }
  CHECK_THROWS_AS(stream.push(std::vector<double>{1}), tsdl::ShapeError);
  CHECK_THROWS_AS(stream.push(row, row), tsdl::ShapeError);
  CHECK_THROWS_AS((tsdl::ForecastStream<Forecaster>(model, data.recipe, {.name = "s0"})),
                  tsdl::DataError);
}

TEST_CASE("a file keeps model, recipe, widths and scores, and other readers say whose it is") {
  const auto data = tsdl::prepare_panel<float>(panel(150), recipe(true), {});
  const Forecaster model = model_of(data.recipe);
  const test::TemporaryDirectory directory;
  const auto file = directory / "forecaster.safetensors";
  tsdl::Calibration calibrated = calibration(600);
  tsdl::save_forecaster(file, model, data.recipe, calibrated, 3);
  const auto loaded = tsdl::load_forecaster<float>(file);
  CHECK(loaded.seed == 3);
  REQUIRE(loaded.widths.has_value());
  CHECK(loaded.widths->half_widths == calibrated.widths.half_widths);
  REQUIRE(loaded.scores.size() == 500 * 4);  // evenly chosen
  CHECK(loaded.scores.back() == doctest::Approx(calibrated.scores[4 * 598 + 3]).epsilon(1e-7));
  const auto before = tsdl::predict(model, data.test);
  const auto windows = tsdl::panel_windows<float>(panel(150), loaded.recipe, {.all = true});
  const auto after = tsdl::predict(loaded.model, windows);
  Index compared = 0;
  for (Index i = 0; i < data.test.size(); ++i)
    for (Index j = 0; j < windows.size(); ++j) {
      if (windows.series(j) != data.test.series(i) ||
          windows.row_in_series(j) != data.test.row_in_series(i))
        continue;
      CHECK(before.col(i) == after.col(j));
      ++compared;
    }
  CHECK(compared == data.test.size());

  const std::string text = test::message_of<tsdl::FormatError>([&] {
    tsdl::load_any_model<float>(file);
    return 0;
  });
  CHECK(test::contains(text, "a forecaster of a panel"));
  const auto bare = directory / "bare.safetensors";
  tsdl::save_forecaster(bare, model, data.recipe, std::nullopt, 3);
  CHECK(!tsdl::load_forecaster<float>(bare).widths.has_value());
  PanelRecipe wrong = data.recipe;
  wrong.horizon = 5;
  tsdl::save_forecaster(bare, model, wrong, std::nullopt, 3);
  CHECK_THROWS_AS(tsdl::load_forecaster<float>(bare), tsdl::FormatError);
  wrong = data.recipe;
  wrong.normalise = tsdl::WindowNorm::none;
  tsdl::save_forecaster(bare, model, wrong, std::nullopt, 3);
  CHECK(test::contains(test::message_of<tsdl::FormatError>([&] {
                         tsdl::load_forecaster<float>(bare);
                         return 0;
                       }),
                       "a model of windows normalised by instance, but a recipe of none"));
}

TEST_CASE("new rows: the last window of each series, and what it cannot do without") {
  const auto data = tsdl::prepare_panel<float>(panel(150), recipe(true), {});
  const Panel rows = panel(40);
  const auto windows = tsdl::panel_windows<float>(rows, data.recipe);
  REQUIRE(windows.size() == 3);
  CHECK(windows.row_in_series(1) == 39);
  CHECK(std::isnan(windows.truths(0)[0]));
  CHECK(windows.data().times[0].at(42) == 42 * hour);

  const auto refusal = [&](const Panel& p, const PanelRecipe& r, tsdl::ApplyOptions o = {}) {
    return test::message_of<tsdl::DataError>([&] {
      tsdl::panel_windows<float>(p, r, o);
      return 0;
    });
  };
  Panel strange = rows;
  strange.series[1].categories = {"c"};
  CHECK(tsdl::panel_windows<float>(strange, data.recipe).size() == 3);
  CHECK(refusal(strange, data.recipe, {.allow_unknown = false}) ==
        "panel: series s1: the category c is unknown to the model, which has learnt no entry for "
        "such");
  PanelRecipe with_price = recipe(false);
  with_price.past = {"sales"};
  with_price.future = {"price"};
  const auto known = tsdl::prepare_panel<float>(panel(150), with_price, {});
  CHECK(refusal(rows, known.recipe) ==
        "panel: series s0: the horizon of 4 rows goes beyond the end: columns known beforehand "
        "(price) must be there for the rows after row 39");
  CHECK(refusal(rows, recipe(false)) == "panel recipe: it is not fitted");
  std::vector<std::string> too_short;
  Panel one_short = rows;
  one_short.series[2].values = tsdl::Series<double>::sized(rows.columns, 0);
  one_short.series[2].times = tsdl::TimeAxis(std::vector<std::int64_t>{});
  one_short.series.erase(one_short.series.begin());
  for (double& value : one_short.series[0].values.values) value = std::nan("");
  one_short.series.pop_back();
  CHECK(refusal(one_short, data.recipe) ==
        "panel: no series has 12 complete rows, as a window needs");
}

TEST_CASE("metadata of a forecaster's file that is missing or broken is named") {
  const auto data = tsdl::prepare_panel<float>(panel(150), recipe(true), {});
  const test::TemporaryDirectory directory;
  const auto path = directory / "forecaster.safetensors";
  tsdl::save_forecaster(path, model_of(data.recipe), data.recipe, calibration(10), 3);
  const tsdl::TensorFile whole = tsdl::read_safetensors(path);
  const auto refusal = [&](const auto& change) {
    tsdl::TensorFile file = whole;
    change(file.metadata);
    tsdl::write_safetensors(path, file);
    return test::message_of<tsdl::FormatError>([&] { tsdl::load_forecaster<float>(path); });
  };
  for (const std::string key :
       {"tsdl.format", "tsdl.model", "tsdl.task", "tsdl.seed", "tsdl.panel", "tsdl.intervals"}) {
    CAPTURE(key);
    const bool says_whose = key == "tsdl.panel", is_optional = key == "tsdl.intervals";
    CHECK(test::contains(refusal([&](auto& metadata) { metadata.erase(key); }),
                         says_whose    ? "no forecaster of a panel"
                         : is_optional ? "the scores of their calibration go together"
                                       : "metadata '" + key + "': missing"));
    for (const std::string text : {"", "{", "null", "[]", "\"x\"", "{}"}) {
      CAPTURE(text);
      CHECK(test::contains(refusal([&](auto& metadata) { metadata[key] = text; }),
                           path.string() + ": metadata '" + key + "'"));
    }
  }
  CHECK(refusal([](auto& metadata) { metadata["tsdl.format"] = "1"; }) ==
        path.string() + ": metadata 'tsdl.format': expected 2, got 1");
}
