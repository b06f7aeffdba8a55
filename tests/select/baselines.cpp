// Predictions without a network: what each kind says, on data whose answer is known.
#include "tsdl/select/baselines.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Baseline;
using tsdl::Index;

constexpr Index rows = 900;

/// Two features, and targets that are linear in them with noise; `last` is the target of the row
/// before.
struct Data {
  std::shared_ptr<tsdl::Series<double>> series;
  tsdl::Targets numbers, classes;

  Data() {
    series = std::make_shared<tsdl::Series<double>>(tsdl::Series<double>::sized({"a", "b"}, rows));
    tsdl::RandomStream random(9);
    for (double& value : series->values) value = random.normal();
    for (Index row = 0; row < rows; ++row) {
      const double* x = series->column(row);
      const double y = 1000 + 20 * x[0] - 10 * x[1] + 5 * random.normal();
      numbers.last.push_back(row == 0 ? std::nan("") : numbers.values.back());
      numbers.values.push_back(y);
      classes.values.push_back(y > 990 ? 1 : 0);
    }
  }
  tsdl::Windows<double> windows(const tsdl::Targets& targets, Index first, Index last) const {
    std::vector<Index> ends(static_cast<std::size_t>(last - first));
    std::iota(ends.begin(), ends.end(), first);
    return {series, 3, 1, std::move(ends), std::make_shared<const tsdl::Targets>(targets)};
  }
};

tsdl::Metrics measured(const Baseline& baseline, const tsdl::Windows<double>& windows,
                       const tsdl::Task& task) {
  const tsdl::Matrix<double> p = predict(baseline, windows, task);
  REQUIRE(p.rows() == task->predictions());
  return task->measure({p.data(), static_cast<std::size_t>(p.size())}, windows.targets());
}

}  // namespace

TEST_CASE("baselines: of classes their shares, and the logistic regression of the last row") {
  const Data data;
  const auto train = data.windows(data.classes, 2, 500);
  const auto validation = data.windows(data.classes, 500, 700);
  const auto test = data.windows(data.classes, 700, rows);
  for (const tsdl::Task& task :
       {tsdl::Task(tsdl::Binary{}), tsdl::Task(tsdl::Classes{.count = 2})}) {
    const auto all = tsdl::fit_baselines(train, validation, task);
    REQUIRE(all.size() == 2);
    CHECK(all[0].name == "constant");
    const std::vector<double> labels = train.targets();
    const double share = std::accumulate(labels.begin(), labels.end(), 0.0) / 498;
    CHECK(all[0].constant.back() == doctest::Approx(share).epsilon(1e-14));
    CHECK(predict(all[0], test, task)(task->predictions() - 1, 7) == all[0].constant.back());

    CHECK(all[1].name == "linear");
    CHECK(all[1].title.starts_with("logistic regression, penalty "));
    CHECK(measured(all[1], test, task).accuracy > 0.88);
    // The last row, not another: one that is replaced changes the answer, those before it do not.
    const auto before = predict(all[1], test, task);
    data.series->column(699)[0] += 5;
    CHECK(predict(all[1], test, task) == before);
    data.series->column(700)[0] += 5;
    CHECK(predict(all[1], test, task).col(0) != before.col(0));
    CHECK(predict(all[1], test, task).col(1) == before.col(1));
    data.series->column(699)[0] -= 5;
    data.series->column(700)[0] -= 5;
  }
}

TEST_CASE("baselines: of numbers their mean, the last known value, and the ridge regression") {
  const Data data;
  const auto train = data.windows(data.numbers, 2, 500);
  const auto validation = data.windows(data.numbers, 500, 700);
  const auto test = data.windows(data.numbers, 700, rows);
  const tsdl::Task task =
      tsdl::Regression{.scale = tsdl::TargetScale::fit(train.targets(), 1, train.last_known())};
  const auto all = tsdl::fit_baselines(train, validation, task);
  REQUIRE(all.size() == 3);
  const std::vector<double> y = train.targets();
  CHECK(predict(all[0], test, task)(0, 3) ==
        doctest::Approx(std::accumulate(y.begin(), y.end(), 0.0) / 498).epsilon(1e-14));
  CHECK(all[1].name == "last");
  for (const Index i : {0, 50, 199})
    CHECK(predict(all[1], test, task)(0, i) ==
          data.numbers.values[static_cast<std::size_t>(699 + i)]);
  CHECK(all[2].title.starts_with("ridge regression, penalty "));
  const tsdl::Metrics mean = measured(all[0], test, task), last = measured(all[1], test, task),
                      ridge = measured(all[2], test, task);
  CHECK(ridge.rmse == doctest::Approx(5).epsilon(0.1));  // the noise alone
  CHECK(mean.rmse == doctest::Approx(std::sqrt(525)).epsilon(0.1));
  CHECK(last.rmse == doctest::Approx(std::sqrt(1050)).epsilon(0.15));
  CHECK(last.mase == doctest::Approx(1).epsilon(0.1));
  CHECK(std::abs(mean.r2) < 0.05);

  tsdl::Targets unknown = data.numbers;
  unknown.last.clear();
  CHECK(tsdl::fit_baselines(data.windows(unknown, 2, 500), validation, task).size() == 2);
  CHECK_THROWS_AS(tsdl::fit_baselines(tsdl::Windows<double>(), validation, task), tsdl::DataError);
}

TEST_CASE("baselines: quantiles about each, as often right as they say") {
  const Data data;
  const auto train = data.windows(data.numbers, 2, 500);
  const auto test = data.windows(data.numbers, 500, rows);
  const std::vector<double> levels = {0.1, 0.5, 0.9};
  const tsdl::Task task = tsdl::Quantiles{
      .levels = levels, .scale = tsdl::TargetScale::fit(train.targets(), 1, train.last_known())};
  const auto all = tsdl::fit_baselines(train, test, task);
  REQUIRE(all.size() == 3);
  std::vector<double> sorted = train.targets();
  std::sort(sorted.begin(), sorted.end());
  // Place 0.1 * 497 = 49.7 of the sorted values, as numpy's quantile.
  CHECK(all[0].constant[0] == doctest::Approx(0.3 * sorted[49] + 0.7 * sorted[50]).epsilon(1e-14));
  double pinball[3];
  for (std::size_t i = 0; i < 3; ++i) {
    const tsdl::Metrics m = measured(all[i], test, task);
    CHECK(m.coverage == doctest::Approx(0.8).epsilon(0.08));
    pinball[i] = m.pinball;
    const auto p = predict(all[i], test, task);
    CHECK(p(0, 5) < p(1, 5));
    CHECK(p(1, 5) < p(2, 5));
  }
  CHECK(pinball[2] < 0.4 * pinball[0]);
  CHECK(pinball[0] < pinball[1]);
}

TEST_CASE("baselines: mistakes by hand, and which of two predictions makes fewer") {
  tsdl::Matrix<double> p(1, 4);
  p << 0.2, 0.5, 0.9, 0.4;
  const std::vector<double> labels = {0, 0, 1, 1};
  CHECK(tsdl::mistakes(tsdl::Binary{}, p, labels) == std::vector<double>{0, 1, 0, 1});
  const tsdl::Task numbers = tsdl::Regression{.scale = {{5}, {2}, {}}};
  CHECK(tsdl::mistakes(numbers, p, labels)[1] == 0.5);  // one target: in its own units
  tsdl::Matrix<double> two(2, 1);
  two << 1, 30;
  const tsdl::Task both = tsdl::Regression{.targets = 2, .scale = {{0, 0}, {2, 10}, {}}};
  const std::vector<double> y = {0, 0};
  CHECK(tsdl::mistakes(both, two, y)[0] == 0.5 * (1 / 2.0 + 30 / 10.0));
  const tsdl::Task quantiles = tsdl::Quantiles{.levels = {0.1, 0.9}};
  const std::vector<double> one = {0};
  tsdl::Matrix<double> q(2, 1);
  q << -1, 3;
  CHECK(tsdl::mistakes(quantiles, q, one)[0] == doctest::Approx(0.5 * (0.1 * 1 + 0.1 * 3)));
  CHECK_THROWS_AS(tsdl::mistakes(quantiles, q, y), tsdl::ShapeError);

  const std::vector<double> ours = {0, 0, 1, 0, 0, 0, 1, 0}, others = {1, 1, 1, 1, 1, 0, 1, 1};
  const tsdl::MeanInterval gain = tsdl::paired_gain(ours, others);
  CHECK(gain.mean == 5.0 / 8);
  CHECK(gain.low > 0);
  CHECK(tsdl::paired_gain(others, ours).high < 0);
  CHECK_THROWS_AS(tsdl::paired_gain(ours, one), tsdl::ShapeError);
}
