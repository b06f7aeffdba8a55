// Metrics against scikit-learn (tests/goldens/metrics.py wrote the values) and published figures.
#include "tsdl/train/metrics.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <string>
#include <vector>

#include "data/helpers.hpp"

namespace {

using tsdl::Index;
using tsdl::Metrics;

std::vector<double> numbers(const std::vector<std::string>& line) {
  std::vector<double> values;
  for (std::size_t i = 1; i < line.size(); ++i) values.push_back(test::golden_number(line[i]));
  return values;
}

Metrics of(const std::vector<double>& probabilities, const std::vector<double>& labels,
           Index columns = 1) {
  return tsdl::classification_metrics(probabilities, columns, labels);
}

/// To two decimals of a percentage, as tables print them.
double rounded(double x) { return std::round(x * 1e4) / 1e4; }

}  // namespace

TEST_CASE("metrics: scikit-learn's values") {
  const auto lines = test::golden_lines("metrics.csv");
  int cases = 0;
  for (std::size_t at = 0; at < lines.size(); at += 9) {
    REQUIRE(lines[at][0] == "case");
    REQUIRE(lines[at + 1][0] == "labels");
    REQUIRE(lines[at + 2][0] == "probabilities");
    const std::vector<double> labels = numbers(lines[at + 1]);
    const Metrics m = of(numbers(lines[at + 2]), labels, std::stoll(lines[at][2]));
    const std::pair<std::string, double> figures[] = {
        {"accuracy", m.accuracy}, {"balanced_accuracy", m.balanced_accuracy},
        {"roc_auc", m.roc_auc},   {"mcc", m.mcc},
        {"brier", m.brier},       {"majority_accuracy", m.majority_accuracy}};
    std::size_t line = at + 3;
    for (const auto& [name, value] : figures) {
      INFO(lines[at][1], ": ", lines[line][0]);
      REQUIRE(lines[line][0] == name);
      CHECK(test::close_to(value, test::golden_number(lines[line++][1]), 1e-12));
    }
    CHECK(m.count == static_cast<Index>(labels.size()));
    CHECK(std::isnan(m.loss));
    ++cases;
  }
  CHECK(cases == 16);
}

TEST_CASE("metrics: one class leaves undefined what compares two") {
  const Metrics m = of({0.2, 0.7, 0.9}, {1, 1, 1});
  CHECK(std::isnan(m.balanced_accuracy));
  CHECK(std::isnan(m.roc_auc));
  CHECK(std::isnan(m.mcc));
  CHECK(m.accuracy == doctest::Approx(2.0 / 3.0));
  CHECK(m.majority_accuracy == 1.0);
  const Metrics none = of({}, {});
  CHECK(none.count == 0);
  for (const double value : {none.accuracy, none.balanced_accuracy, none.roc_auc, none.mcc,
                             none.brier, none.majority_accuracy, none.loss})
    CHECK(std::isnan(value));
}

TEST_CASE("metrics: constant predictions correlate with nothing") {
  const Metrics m = of({0.9, 0.9, 0.9, 0.9}, {1, 0, 1, 1});
  CHECK(m.mcc == 0.0);
  CHECK(m.roc_auc == 0.5);
  CHECK(m.balanced_accuracy == 0.5);
  CHECK(m.accuracy == m.majority_accuracy);
}

TEST_CASE("metrics: a probability of exactly one half predicts class 1, equal ones the first") {
  CHECK(of({0.5}, {1}).accuracy == 1.0);
  CHECK(of({std::nextafter(0.5, 0.0)}, {1}).accuracy == 0.0);
  CHECK(of({0.25, 0.375, 0.375}, {1}, 3).accuracy == 1.0);
}

TEST_CASE("metrics: labels and sizes that do not fit are refused") {
  for (const double label : {2.0, -1.0, 0.5, std::nan(""), HUGE_VAL}) {
    CAPTURE(label);
    CHECK_THROWS_AS(of({0.1, 0.2}, {0, label}), tsdl::DataError);
  }
  CHECK_THROWS_AS(of({0.2, 0.3, 0.5}, {3}, 3), tsdl::DataError);
  CHECK_NOTHROW(of({0.2, 0.3, 0.5}, {2}, 3));
  CHECK_THROWS_AS(of({0.1, 0.2, 0.3}, {0, 1}), tsdl::ShapeError);
  CHECK_THROWS_AS(of({0.1, 0.2, 0.3}, {0, 1}, 2), tsdl::ShapeError);
  CHECK_THROWS_AS(of({0.1}, {0}, 0), tsdl::ShapeError);
}

TEST_CASE("metrics: probabilities that are not numbers end in a result, not in a loop") {
  const int status = test::status_of_child([] {
    ::alarm(5);
    const double nan = std::nan("");
    const Metrics some = of({0.1, nan, 0.8, nan, 0.3}, {0, 1, 1, 0, 0});
    const Metrics all = of({nan, nan, nan}, {0, 1, 1});
    const Metrics three = of({nan, nan, nan, 0.1, 0.2, 0.7}, {0, 2}, 3);
    return some.count == 5 && std::isnan(all.brier) && three.count == 2 ? 0 : 1;
  });
  CHECK(status == 0);
}

TEST_CASE("metrics: Wilson's interval has the published bounds") {
  // Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
  const struct {
    Index successes, n;
    double low, high;
  } published[] = {
      {81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0.0, 0.1611},
      {1, 29, 0.0061, 0.1718},   {29, 29, 0.8830, 1.0},
  };
  for (const auto& row : published) {
    CAPTURE(row.successes);
    const auto [low, high] = tsdl::wilson_interval(
        static_cast<double>(row.successes) / static_cast<double>(row.n), row.n);
    CHECK(rounded(low) == doctest::Approx(row.low));
    CHECK(rounded(high) == doctest::Approx(row.high));
  }
}
