// Metrics against scikit-learn (tests/goldens/metrics.py wrote the values) and published figures.
#include "tsdl/task/metrics.hpp"

#include <doctest/doctest.h>

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
  for (std::size_t at = 0; at < lines.size(); at += 15) {
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

TEST_CASE("metrics: scikit-learn's confusion matrix, and its figures of each class") {
  const auto lines = test::golden_lines("metrics.csv");
  std::size_t classes = 0;
  for (std::size_t at = 0; at < lines.size(); at += 15) {
    CAPTURE(lines[at][1]);
    const Index columns = std::stoll(lines[at][2]);
    const std::vector<double> labels = numbers(lines[at + 1]), p = numbers(lines[at + 2]);
    const tsdl::Confusion confusion = tsdl::confusion_matrix(p, columns, labels);
    const std::size_t K = confusion.classes();
    REQUIRE(K == static_cast<std::size_t>(columns == 1 ? 2 : columns));
    std::vector<double> counts;
    for (const auto& row : confusion.counts) {
      REQUIRE(row.size() == K);
      counts.insert(counts.end(), row.begin(), row.end());
    }
    CHECK(lines[at + 9][0] == "confusion");
    CHECK(counts == numbers(lines[at + 9]));
    const std::vector<tsdl::ClassFigures> figures = tsdl::class_figures(confusion);
    REQUIRE(figures.size() == K);
    const char* names[] = {"precision", "recall", "f1", "support"};
    for (std::size_t i = 0; i < 4; ++i) {
      REQUIRE(lines[at + 10 + i][0] == names[i]);
      const std::vector<double> expected = numbers(lines[at + 10 + i]);
      REQUIRE(expected.size() == K);
      for (std::size_t k = 0; k < K; ++k) {
        const double found[] = {figures[k].precision, figures[k].recall, figures[k].f1,
                                static_cast<double>(figures[k].support)};
        CHECK(test::close_to(found[i], expected[k], 1e-12));
      }
    }
    REQUIRE(lines[at + 14][0] == "macro_f1");
    CHECK(test::close_to(tsdl::macro_f1(confusion), test::golden_number(lines[at + 14][1]), 1e-12));
    classes += K;
  }
  CHECK(classes == 10 * 2 + 2 + 4 * 3 + 5);
}

TEST_CASE("metrics: a confusion matrix by hand, rows are what was, columns what was said") {
  // Labels 0 0 1 2, predicted 1 0 1 1: class 2 is never predicted.
  const tsdl::Confusion confusion = tsdl::confusion_matrix(
      std::vector<double>{0.1, 0.8, 0.1, 0.9, 0.1, 0.0, 0.2, 0.6, 0.2, 0.3, 0.4, 0.3}, 3,
      std::vector<double>{0, 0, 1, 2});
  const std::vector<std::vector<Index>> expected = {{1, 1, 0}, {0, 1, 0}, {0, 1, 0}};
  CHECK(confusion.counts == expected);
  CHECK(confusion.actual(0) == 2);
  CHECK(confusion.predicted(1) == 3);
  const auto figures = tsdl::class_figures(confusion);
  CHECK(figures[0].precision == 1.0);
  CHECK(figures[0].recall == 0.5);
  CHECK(figures[1].precision == doctest::Approx(1.0 / 3));
  CHECK(figures[1].f1 == 0.5);
  CHECK(figures[2].precision == 0.0);
  CHECK(figures[2].f1 == 0.0);
  CHECK(tsdl::macro_f1(confusion) == doctest::Approx((2.0 / 3 + 0.5) / 3));
}

TEST_CASE("metrics: no samples, or none with numbers, have no macro F1") {
  const double nan = std::nan("");
  CHECK(std::isnan(tsdl::macro_f1(tsdl::confusion_matrix({}, 3, {}))));
  const std::vector<double> p = {nan, 0.2, 0.8}, labels = {1, 0, 1};
  const tsdl::Confusion confusion = tsdl::confusion_matrix(p, 1, labels);
  CHECK(confusion.actual(0) + confusion.actual(1) == 2);
  CHECK_THROWS_AS(tsdl::confusion_matrix(p, 1, std::vector<double>{0, 2, 1}), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::confusion_matrix(p, 2, labels), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::confusion_matrix(p, 0, labels), tsdl::ShapeError);
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
    test::end_child_after(5);
    const double nan = std::nan("");
    const Metrics some = of({0.1, nan, 0.8, nan, 0.3}, {0, 1, 1, 0, 0});
    const Metrics all = of({nan, nan, nan}, {0, 1, 1});
    const Metrics three = of({nan, nan, nan, 0.1, 0.2, 0.7}, {0, 2}, 3);
    return some.count == 5 && std::isnan(all.brier) && three.count == 2 ? 0 : 1;
  });
  CHECK(status == 0);
}

TEST_CASE("metrics: Wilson's interval stays within 0 and 1") {
  for (Index n = 1; n <= 5000; ++n) {
    const auto all = tsdl::wilson_interval(1, n), none = tsdl::wilson_interval(0, n);
    REQUIRE(all.high == 1);
    REQUIRE(none.low == 0);
    REQUIRE(all.low < 1);
    REQUIRE(none.high > 0);
  }
  const auto nothing = tsdl::wilson_interval(std::nan(""), 0);
  CHECK(nothing.low == 0);
  CHECK(nothing.high == 1);
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
