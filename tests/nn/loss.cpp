// Losses against the textbook formulas, at logits where those overflow, and label checks.
#include "tsdl/nn/loss.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <type_traits>

#include "support/network.hpp"

namespace {

using test::Index;
using tsdl::BCEWithLogits;
using tsdl::CrossEntropy;
using tsdl::MSE;

template <class Scalar>
void check_gradient(const tsdl::Loss& loss, const std::vector<double>& logits,
                    const std::vector<double>& labels, Index K) {
  // In double by central differences, whatever Scalar's own gradient is computed in.
  const auto x = test::converted<Scalar>(logits), y = test::converted<Scalar>(labels);
  std::vector<Scalar> gradient(x.size());
  tsdl::evaluate<Scalar>(loss, x.data(), y, K, gradient.data());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    std::vector<double> up = logits, down = logits;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    const double slope = (tsdl::evaluate<double>(loss, up.data(), labels, K).mean() -
                          tsdl::evaluate<double>(loss, down.data(), labels, K).mean()) /
                         2e-5;
    CHECK(std::abs(static_cast<double>(gradient[i]) - slope) <=
          (std::is_same_v<Scalar, float> ? 1e-6 : 1e-9));
  }
}

template <class Scalar>
double mean_of(const tsdl::Loss& loss, const std::vector<Scalar>& logits,
               const std::vector<Scalar>& labels, Index K) {
  return tsdl::evaluate<Scalar>(loss, logits.data(), labels, K).mean();
}

}  // namespace

TEST_CASE_TEMPLATE("BCEWithLogits is -w y log s(x) - (1 - y) log(1 - s(x))", Scalar, float,
                   double) {
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, 9, 4.0);
  const std::vector<double> y = {0, 1, 1, 0, 1, 0.25, 0.5, 1, 0};
  for (const double w : {1.0, 0.5, 3.0}) {
    double expected = 0.0;
    for (std::size_t b = 0; b < x.size(); ++b) {
      const double s = 1.0 / (1.0 + std::exp(-x[b]));
      expected -= (w * y[b] * std::log(s) + (1.0 - y[b]) * std::log(1.0 - s)) / 9.0;
    }
    const tsdl::Loss loss = BCEWithLogits{w};
    CHECK(mean_of(loss, test::converted<Scalar>(x), test::converted<Scalar>(y), 1) ==
          doctest::Approx(expected).epsilon(1e-12));
    check_gradient<Scalar>(loss, x, y, 1);
  }
}

TEST_CASE_TEMPLATE("BCEWithLogits at extreme logits", Scalar, float, double) {
  const std::vector<Scalar> x = {1000, -1000, 1000, -1000}, y = {1, 0, 0, 1};
  std::vector<Scalar> gradient(4);
  const auto total =
      tsdl::evaluate<Scalar>(BCEWithLogits{2.0}, x.data(), y, Index{1}, gradient.data());
  CHECK(total.sum == 1000.0 + 2.0 * 1000.0);
  CHECK(total.weight == 4.0);
  CHECK(gradient == std::vector<Scalar>{0, 0, Scalar{0.25}, Scalar{-0.5}});
}

TEST_CASE_TEMPLATE("CrossEntropy is the weighted mean of -log softmax", Scalar, float, double) {
  tsdl::RandomStream random(1);
  const Index B = 6;
  for (const Index K : {2, 3, 5}) {
    const auto x = test::draw<double>(random, B * K, 3.0);
    std::vector<double> y, weights;
    for (Index b = 0; b < B; ++b) y.push_back(static_cast<double>((b * b + 1) % K));
    for (Index k = 0; k < K; ++k) weights.push_back(0.5 + static_cast<double>(k));
    for (const bool weighted : {false, true}) {
      double sum = 0.0, total = 0.0;
      for (Index b = 0; b < B; ++b) {
        double partition = 0.0;
        for (Index k = 0; k < K; ++k) partition += std::exp(x[static_cast<std::size_t>(b * K + k)]);
        const auto label = static_cast<Index>(y[static_cast<std::size_t>(b)]);
        const double w = weighted ? weights[static_cast<std::size_t>(label)] : 1.0;
        sum -= w * std::log(std::exp(x[static_cast<std::size_t>(b * K + label)]) / partition);
        total += w;
      }
      const tsdl::Loss loss = CrossEntropy{weighted ? weights : std::vector<double>{}};
      CHECK(mean_of(loss, test::converted<Scalar>(x), test::converted<Scalar>(y), K) ==
            doctest::Approx(sum / total).epsilon(1e-12));
      check_gradient<Scalar>(loss, x, y, K);
    }
  }
}

TEST_CASE_TEMPLATE("CrossEntropy at extreme logits", Scalar, float, double) {
  const std::vector<Scalar> x = {1000, -1000, 1000, -1000}, y = {0, 1};
  std::vector<Scalar> gradient(4);
  const auto total = tsdl::evaluate<Scalar>(CrossEntropy{}, x.data(), y, Index{2}, gradient.data());
  CHECK(total.sum == 2000.0);
  CHECK(total.mean() == 1000.0);
  CHECK(gradient == std::vector<Scalar>{0, 0, Scalar{0.5}, Scalar{-0.5}});
}

TEST_CASE_TEMPLATE("MSE is the mean of squares", Scalar, float, double) {
  const std::vector<double> x = {1.5, -2.0, 0.25, 1000.0}, y = {1.0, 2.0, 0.25, -1000.0};
  CHECK(mean_of(MSE{}, test::converted<Scalar>(x), test::converted<Scalar>(y), 1) ==
        (0.25 + 16.0 + 0.0 + 4e6) / 4.0);
  std::vector<Scalar> gradient(4);
  const auto logits = test::converted<Scalar>(x), labels = test::converted<Scalar>(y);
  tsdl::evaluate<Scalar>(MSE{}, logits.data(), labels, Index{1}, gradient.data());
  CHECK(gradient == std::vector<Scalar>{Scalar{0.25}, -2, 0, 1000});
}

TEST_CASE("sums of parts divide into the mean of the whole") {
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, 10 * 3, 3.0);
  const std::vector<double> y = {0, 1, 2, 2, 1, 0, 0, 2, 1, 1};
  const tsdl::Loss loss = CrossEntropy{{1.0, 2.0, 4.0}};
  tsdl::LossSum parts;
  parts += tsdl::evaluate<double>(loss, x.data(), std::span(y).first(4), 3);
  parts += tsdl::evaluate<double>(loss, x.data() + 12, std::span(y).subspan(4), 3);
  CHECK(parts.mean() == doctest::Approx(mean_of(loss, x, y, 3)).epsilon(1e-14));
}

TEST_CASE("a NaN logit is seen in the loss") {
  const std::vector<double> nan = {std::nan("")};
  for (const tsdl::Loss& loss : {tsdl::Loss(BCEWithLogits{}), tsdl::Loss(MSE{})})
    CHECK(tsdl::is_nan(mean_of<double>(loss, nan, {1.0}, 1)));
  CHECK(tsdl::is_nan(mean_of<double>(CrossEntropy{}, {0.0, std::nan("")}, {0.0}, 2)));
}

TEST_CASE("the loss of a model follows from its outputs") {
  CHECK(std::holds_alternative<BCEWithLogits>(tsdl::default_loss(1)));
  CHECK(std::holds_alternative<CrossEntropy>(tsdl::default_loss(2)));
}

TEST_CASE_TEMPLATE("balanced class weights are scikit-learn's", Scalar, float, double) {
  // compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1, 2, 2])
  const std::vector<Scalar> labels = {0, 0, 0, 1, 2, 2};
  const std::vector<double> weights = tsdl::balanced_class_weights<Scalar>(labels, 3);
  REQUIRE(weights.size() == 3);
  CHECK(weights[0] == doctest::Approx(0.6666666666666666).epsilon(1e-15));
  CHECK(weights[1] == doctest::Approx(2.0).epsilon(1e-15));
  CHECK(weights[2] == doctest::Approx(1.0).epsilon(1e-15));
  const std::vector<Scalar> even = {0, 0, 1, 1};
  CHECK(tsdl::balanced_class_weights<Scalar>(even, 2) == std::vector<double>{1, 1});
  for (const Scalar bad : {Scalar{3}, Scalar{-1}, Scalar{0.5}}) {
    const std::vector<Scalar> with = {0, 1, 2, bad};
    CHECK_THROWS_AS(tsdl::balanced_class_weights<Scalar>(with, 3), tsdl::DataError);
  }
  CHECK_THROWS_AS(tsdl::balanced_class_weights<Scalar>(even, 3), tsdl::DataError);
}

TEST_CASE_TEMPLATE("labels and options that a loss cannot take are refused", Scalar, float,
                   double) {
  const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  const Scalar infinity = std::numeric_limits<Scalar>::infinity();
  const auto check = [](const tsdl::Loss& loss, Scalar label, Index K) {
    const std::vector<Scalar> labels = {0, label};
    tsdl::check_labels<Scalar>(loss, labels, K);
  };
  for (const Scalar good : {Scalar{0}, Scalar{0.5}, Scalar{1}})
    CHECK_NOTHROW(check(BCEWithLogits{}, good, 1));
  for (const Scalar bad : {Scalar{-0.5}, Scalar{1.5}, nan, infinity})
    CHECK_THROWS_AS(check(BCEWithLogits{}, bad, 1), tsdl::DataError);
  for (const Scalar good : {Scalar{0}, Scalar{2}}) CHECK_NOTHROW(check(CrossEntropy{}, good, 3));
  for (const Scalar bad : {Scalar{-1}, Scalar{3}, Scalar{0.5}, nan, infinity})
    CHECK_THROWS_AS(check(CrossEntropy{}, bad, 3), tsdl::DataError);
  CHECK_NOTHROW(check(MSE{}, Scalar{-1e6f}, 1));
  for (const Scalar bad : {nan, infinity}) CHECK_THROWS_AS(check(MSE{}, bad, 1), tsdl::DataError);
  CHECK_THROWS_AS(check(BCEWithLogits{}, 1, 2), tsdl::ShapeError);
  CHECK_THROWS_AS(check(MSE{}, 1, 2), tsdl::ShapeError);
  CHECK_NOTHROW(check(CrossEntropy{{1, 2, 3}}, 1, 3));
  CHECK_THROWS_AS(check(CrossEntropy{{1, 2}}, 1, 3), tsdl::ShapeError);
}
