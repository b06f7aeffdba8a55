// ROC and calibration against scikit-learn (tests/goldens/curves.py wrote the values), and what
// constant answers score against the metrics of those answers.
#include "tsdl/train/curves.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/task/tasks.hpp"

namespace {

using tsdl::Index;

struct Case {
  std::string name;
  Index bins;
  std::vector<std::vector<double>> rows;  ///< labels, scores, and what scikit-learn makes of them
  std::vector<bool> positive;

  const std::vector<double>& scores() const { return rows[1]; }
};

std::vector<Case> golden_cases() {
  const auto lines = test::golden_lines("curves.csv");
  const char* const names[] = {
      "labels",    "scores",         "false_positive_rate", "true_positive_rate",
      "threshold", "share_positive", "mean_probability"};
  std::vector<Case> cases;
  for (std::size_t at = 0; at < lines.size(); at += 8) {
    REQUIRE(lines[at][0] == "case");
    cases.push_back({lines[at][1], std::stoll(lines[at][2]), {}, {}});
    for (std::size_t i = 0; i < 7; ++i) {
      REQUIRE(lines[at + 1 + i][0] == names[i]);
      cases.back().rows.emplace_back();
      for (std::size_t k = 1; k < lines[at + 1 + i].size(); ++k)
        cases.back().rows.back().push_back(test::golden_number(lines[at + 1 + i][k]));
    }
    for (const double label : cases.back().rows[0]) cases.back().positive.push_back(label == 1);
  }
  return cases;
}

}  // namespace

TEST_CASE("curves: scikit-learn's ROC curve, whose trapezoids are the ROC AUC") {
  std::size_t cases = 0;
  for (const Case& c : golden_cases()) {
    CAPTURE(c.name);
    const std::vector<tsdl::RocPoint> curve = tsdl::roc_curve(c.scores(), c.positive);
    REQUIRE(curve.size() == c.rows[2].size());
    for (std::size_t i = 0; i < curve.size(); ++i) {
      CHECK(test::close_to(curve[i].false_positive_rate, c.rows[2][i], 1e-12));
      CHECK(test::close_to(curve[i].true_positive_rate, c.rows[3][i], 1e-12));
      CHECK(curve[i].threshold == c.rows[4][i]);
    }
    CHECK(test::close_to(tsdl::area_under(curve), tsdl::roc_auc(c.scores(), c.positive), 1e-12));
    ++cases;
  }
  CHECK(cases == 9);
}

TEST_CASE("curves: scikit-learn's calibration curve, with the empty bins") {
  for (const Case& c : golden_cases()) {
    CAPTURE(c.name);
    const auto bins = tsdl::calibration_curve(c.scores(), c.positive, c.bins);
    REQUIRE(std::ssize(bins) == c.bins);
    CHECK(bins.front().low == 0);
    CHECK(bins.back().high == 1);
    Index total = 0;
    std::size_t filled = 0;
    for (std::size_t i = 0; i < bins.size(); ++i) {
      if (i > 0) CHECK(bins[i].low == bins[i - 1].high);
      total += bins[i].count;
      if (bins[i].count == 0) {
        CHECK(std::isnan(bins[i].mean_probability));
        CHECK(std::isnan(bins[i].share_positive));
        continue;
      }
      REQUIRE(filled < c.rows[5].size());
      CHECK(bins[i].mean_probability >= bins[i].low);
      CHECK(bins[i].mean_probability <= bins[i].high);
      CHECK(test::close_to(bins[i].share_positive, c.rows[5][filled], 1e-12));
      CHECK(test::close_to(bins[i].mean_probability, c.rows[6][filled], 1e-12));
      ++filled;
    }
    CHECK(filled == c.rows[5].size());
    CHECK(total == std::ssize(c.scores()));
  }
}

TEST_CASE("curves: by hand, with a tie between the two kinds") {
  const std::vector<double> scores = {0.9, 0.5, 0.5, 0.1};
  const auto curve = tsdl::roc_curve(scores, {true, true, false, false});
  REQUIRE(curve.size() == 4);
  CHECK(curve[1].true_positive_rate == 0.5);
  CHECK(curve[1].false_positive_rate == 0.0);
  CHECK(curve[2].true_positive_rate == 1.0);  // both at once: a slope, not a corner
  CHECK(curve[2].false_positive_rate == 0.5);
  CHECK(tsdl::area_under(curve) == 0.875);
  const auto bins = tsdl::calibration_curve(scores, {true, true, false, false}, 2);
  CHECK(bins[0].count == 3);  // one half is the edge: the lower bin
  CHECK(bins[0].share_positive == doctest::Approx(1.0 / 3));
  CHECK(bins[1].mean_probability == 0.9);
  CHECK(tsdl::calibration_curve(std::vector<double>{0, 1}, {false, true})[9].count == 1);
}

TEST_CASE("curves: one kind, no samples, NaN, sizes and values that do not fit") {
  const std::vector<double> p = {0.2, 0.7};
  CHECK(tsdl::roc_curve(p, {true, true}).empty());
  CHECK(tsdl::roc_curve(p, {false, false}).empty());
  CHECK(tsdl::roc_curve({}, {}).empty());
  CHECK(tsdl::roc_curve(std::vector<double>{0.2, std::nan("")}, {true, false}).empty());
  CHECK(std::isnan(tsdl::area_under({})));
  CHECK(tsdl::calibration_curve(std::vector<double>{0.2, std::nan("")}, {true, false})[1].count ==
        1);
  for (const tsdl::CalibrationBin& bin : tsdl::calibration_curve({}, {})) CHECK(bin.count == 0);
  CHECK_THROWS_AS(tsdl::roc_curve(p, {true}), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::calibration_curve(p, {true}), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::calibration_curve(p, {true, false}, 0), tsdl::ShapeError);
  for (const double outside : {-0.1, 1.1, HUGE_VAL})
    CHECK_THROWS_AS(tsdl::calibration_curve(std::vector<double>{outside}, {true}), tsdl::DataError);
}

TEST_CASE("curves: a constant answer scores what the metrics of that answer say") {
  const std::vector<std::vector<Index>> cases = {{376, 371},   {10, 90},  {5, 5},      {0, 7},
                                                 {20, 50, 30}, {3, 0, 4}, {1, 1, 1, 1}};
  for (const std::vector<Index>& counts : cases) {
    CAPTURE(counts.size());
    CAPTURE(counts[0]);
    const Index K = std::ssize(counts), outputs = K == 2 ? 1 : K;
    double total = 0;
    for (const Index count : counts) total += static_cast<double>(count);
    std::vector<double> labels, shares, logits, decided;
    for (Index k = 0; k < K; ++k)
      for (Index i = 0; i < counts[test::at(k)]; ++i) {
        labels.push_back(static_cast<double>(k));
        if (outputs == 1) {
          const double share = static_cast<double>(counts[1]) / total;
          shares.push_back(share);
          logits.push_back(std::log(share) - std::log1p(-share));
          decided.push_back(counts[1] > counts[0] ? 1 : 0);
          continue;
        }
        const auto top = std::max_element(counts.begin(), counts.end()) - counts.begin();
        for (Index j = 0; j < K; ++j) {
          shares.push_back(static_cast<double>(counts[test::at(j)]) / total);
          logits.push_back(counts[test::at(j)] > 0 ? std::log(shares.back()) : -1e3);
          decided.push_back(j == top ? 1 : 0);
        }
      }
    const tsdl::Metrics expected = tsdl::classification_metrics(shares, outputs, labels);
    const tsdl::Metrics decisions = tsdl::classification_metrics(decided, outputs, labels);
    const tsdl::Metrics found = tsdl::constant_metrics(counts, outputs);
    CHECK(found.count == expected.count);
    CHECK(test::close_to(found.brier, expected.brier, 1e-12));
    CHECK(test::close_to(found.roc_auc, expected.roc_auc, 1e-12));
    CHECK(test::close_to(found.accuracy, decisions.accuracy, 1e-12));
    CHECK(test::close_to(found.balanced_accuracy, decisions.balanced_accuracy, 1e-12));
    CHECK(test::close_to(found.mcc, decisions.mcc, 1e-12));
    CHECK(found.majority_accuracy == expected.majority_accuracy);
    const double loss = tsdl::default_task(outputs)
                            ->loss(logits.data(), labels.data(), std::ssize(labels), nullptr)
                            .mean();
    if (counts[0] > 0) CHECK(test::close_to(found.loss, loss, 1e-12));
    CHECK(tsdl::constant_confusion(counts).counts ==
          tsdl::confusion_matrix(decided, outputs, labels).counts);
  }
  CHECK(tsdl::constant_metrics(std::vector<Index>{0, 7}, 1).loss == 0);
  CHECK(std::isnan(tsdl::constant_metrics(std::vector<Index>{0, 0}, 1).loss));
}
