// What predictions are worth beside baselines, and what a constant answer loses.
#include "tsdl/report/evaluate.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <iterator>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/gru.hpp"

namespace {

namespace report = tsdl::report;
using tsdl::Index;

const std::vector<double> three_levels = {0.1, 0.5, 0.9};

tsdl::Prepared<double> candle_data(tsdl::Label label, double test_share = 0.3) {
  return tsdl::prepare<double>(test::random_candles(500, 3),
                               {.features = "ohlcv", .length = 10, .label = label},
                               {.validation = 0.2, .test = test_share});
}

/// The targets themselves as predictions.
tsdl::Evaluation of_truth(const tsdl::Prepared<double>& data, const tsdl::Task& task) {
  const auto& windows = data.test.empty() ? data.validation : data.test;
  const std::vector<double> y = windows.targets();
  tsdl::Matrix<double> predictions(1, std::ssize(y));
  std::copy(y.begin(), y.end(), predictions.data());
  return tsdl::evaluate_predictions(predictions, task->measure(y, y), data, task,
                                    tsdl::fit_baselines(data.train, data.validation, task));
}

}  // namespace

TEST_CASE("a prediction without a mistake gains what a baseline gets wrong") {
  const auto data = candle_data(tsdl::RangeLabel{});
  const tsdl::Evaluation e = of_truth(data, data.task());
  CHECK(e.tested);
  CHECK(e.part() == "test");
  CHECK(e.task == "classes");
  CHECK(e.ends == data.test.ends());
  CHECK(e.metrics.accuracy == 1);
  CHECK(e.classes() == 2);
  CHECK(e.confusion.counts[0][1] + e.confusion.counts[1][0] == 0);
  CHECK(e.macro_f1 == 1);
  CHECK(e.counts()[0] + e.counts()[1] == data.test.size());
  REQUIRE(e.baselines.size() == 2);
  for (const tsdl::BaselineResult& one : e.baselines) {
    REQUIRE(one.gain);
    CHECK(one.gain->mean == doctest::Approx(1 - one.metrics.accuracy));
    CHECK(one.gain->low > 0);
  }
  CHECK(e.baseline_named("linear") == &e.baselines[1]);
  CHECK(e.baseline_named("other") == nullptr);
  CHECK(report::class_roc(e, 1).auc == 1);
  const double ones = static_cast<double>(e.counts()[1]) / static_cast<double>(data.test.size());
  CHECK(e.baseline.accuracy == doctest::Approx(std::max(ones, 1 - ones)));
}

TEST_CASE("numbers are judged on validation windows where there are no others, by their names") {
  const auto data = candle_data(tsdl::ColumnTargets{.columns = {"close_return"}, .ahead = 3}, 0);
  const tsdl::Evaluation e = of_truth(data, data.task());
  CHECK_FALSE(e.tested);
  CHECK(e.part() == "validation");
  CHECK(e.task == "regression");
  CHECK(e.targets == std::vector<std::string>{"close_return"});
  CHECK(e.classes() == 0);
  REQUIRE(e.baselines.size() == 3);
  for (const tsdl::BaselineResult& one : e.baselines)
    CHECK(one.gain.value().mean == doctest::Approx(one.metrics.mae));
  CHECK(e.baseline.mae == e.baseline_named("constant")->metrics.mae);
}

TEST_CASE("without windows an evaluation has none, and nothing else") {
  auto data = candle_data(tsdl::RangeLabel{}, 0);
  const auto baselines = tsdl::fit_baselines(data.train, data.validation, data.task());
  data.validation = {};
  const tsdl::Evaluation e = tsdl::evaluate_predictions({}, {}, data, data.task(), baselines);
  CHECK(e.metrics.count == 0);
  CHECK(e.baselines.empty());
  CHECK(e.classes() == 0);
}

TEST_CASE("what a constant answer loses is the least that any constant answer loses") {
  const std::vector<double> two = {0, 1, 1, 0, 1, 1, 1}, three = {0, 2, 1, 1, 2, 2, 2, 2};
  const auto loses = [](const tsdl::Task& task, const std::vector<double>& targets,
                        const std::vector<double>& outputs) {
    std::vector<double> all;
    for (std::size_t i = 0; i < targets.size(); ++i)
      all.insert(all.end(), outputs.begin(), outputs.end());
    return task->loss(all.data(), targets.data(), std::ssize(targets), nullptr).mean();
  };
  for (const double weight : {1.0, 0.4, 3.0}) {
    const tsdl::Task task = tsdl::Binary{weight};
    const double least = report::constant_loss(task, two);
    CHECK(loses(task, two, {std::log(5 * weight / 2)}) == doctest::Approx(least));
    for (const double logit : {-1.0, 0.0, 0.5, 2.0}) CHECK(loses(task, two, {logit}) >= least);
  }
  for (const std::vector<double>& w : {std::vector<double>{}, {2.0, 1.0, 0.5}}) {
    const tsdl::Task task = tsdl::Classes{.count = 3, .weights = w};
    const double least = report::constant_loss(task, three);
    const std::vector<double> best =
        w.empty() ? std::vector<double>{0.0, std::log(2.0), std::log(5.0)}
                  : std::vector<double>{std::log(2.0), std::log(2.0), std::log(2.5)};
    CHECK(loses(task, three, best) == doctest::Approx(least));
    CHECK(loses(task, three, {0, 0, 0}) > least);
  }
  CHECK(report::constant_loss(tsdl::Regression{}, {1, 3}) == 1.0);
  const std::vector<double> skewed = {0, 1, 2, 3, 100};
  const tsdl::Task mae = tsdl::Regression{.loss = tsdl::MAE{}};
  CHECK(report::constant_loss(mae, skewed) == doctest::Approx(loses(mae, skewed, {2.0})));
  const tsdl::Task quantiles = tsdl::Quantiles{.levels = three_levels};
  const double least = report::constant_loss(quantiles, skewed);
  for (const double middle : {1.0, 2.0, 3.0})
    for (const double step : {0.5, 2.0, 50.0})
      CHECK(loses(quantiles, skewed, {step, middle, step}) >= least);
}

TEST_CASE("a temperature: what the model said without it stands beside, baselines have none") {
  const auto data = candle_data(tsdl::RangeLabel{});
  tsdl::GRUClassifier<double> model({.input_size = data.inputs(), .hidden_size = 3}, 4);
  const auto plain = tsdl::evaluate_beside_baselines(model, data);
  CHECK_FALSE(plain.uncalibrated);
  CHECK(report::uncalibrated_bins(plain).empty());
  model.set_task(model.task().with_temperature(0.5));
  const auto e = tsdl::evaluate_beside_baselines(model, data);
  REQUIRE(e.uncalibrated);
  CHECK(e.uncalibrated->temperature == 0.5);
  CHECK(e.uncalibrated->predictions == plain.predictions);
  CHECK(e.uncalibrated->metrics.loss == plain.metrics.loss);
  CHECK(e.predictions != plain.predictions);
  CHECK(e.metrics.accuracy == plain.metrics.accuracy);
  const auto before = report::uncalibrated_bins(e), there = report::calibration_bins(plain);
  REQUIRE(before.size() == there.size());
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(before[i].count == there[i].count);
  REQUIRE(e.baselines.size() == plain.baselines.size());
  for (std::size_t i = 0; i < e.baselines.size(); ++i) {
    CHECK(e.baselines[i].predictions == plain.baselines[i].predictions);
    const double loss = e.baselines[i].metrics.loss, its = plain.baselines[i].metrics.loss;
    CHECK((loss == its || (std::isnan(loss) && std::isnan(its))));
  }
  // (2 |0.5 - 0.25| + 6 |0.5 - 0.75|) / 8, by hand; an empty bin counts for nothing.
  CHECK(report::calibration_error({{0, 0.5, 2, 0.25, 0.5}, {0.5, 0.9, 6, 0.75, 0.5}, {}}) == 0.25);
  CHECK(std::isnan(report::calibration_error({})));
}
