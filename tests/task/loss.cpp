// Losses against the textbook formulas, at outputs where those overflow, and target checks.
#include "tsdl/task/loss.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <utility>

#include "support/network.hpp"
#include "task/helpers.hpp"
#include "tsdl/task/tasks.hpp"

namespace {

using test::check_slopes;
using test::Index;
using test::summed;
using test::Values;
using tsdl::BCEWithLogits;
using tsdl::CrossEntropy;
using tsdl::Huber;
using tsdl::MAE;
using tsdl::MSE;
using tsdl::task_of;

double mean_of(const tsdl::Task& task, const Values& outputs, const Values& targets) {
  return summed(task, outputs, targets).mean();
}

Values slopes_of(const tsdl::Task& task, const Values& outputs, const Values& targets) {
  Values slopes(outputs.size());
  summed(task, outputs, targets, slopes.data());
  return slopes;
}

}  // namespace

TEST_CASE("BCEWithLogits is -w y log s(x) - (1 - y) log(1 - s(x))") {
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, 9, 4.0);
  const Values y = {0, 1, 1, 0, 1, 0.25, 0.5, 1, 0};
  for (const double w : {1.0, 0.5, 3.0}) {
    double expected = 0.0;
    for (std::size_t b = 0; b < x.size(); ++b) {
      const double s = 1.0 / (1.0 + std::exp(-x[b]));
      expected -= (w * y[b] * std::log(s) + (1.0 - y[b]) * std::log(1.0 - s)) / 9.0;
    }
    const tsdl::Task task = task_of(BCEWithLogits{w}, 1);
    CHECK(mean_of(task, x, y) == doctest::Approx(expected).epsilon(1e-12));
    check_slopes(task, x, y);
  }
}

TEST_CASE("BCEWithLogits at extreme logits") {
  const Values x = {1000, -1000, 1000, -1000}, y = {1, 0, 0, 1};
  const tsdl::Task task = task_of(BCEWithLogits{2.0}, 1);
  const tsdl::LossSum total = summed(task, x, y);
  CHECK(total.sum == 1000.0 + 2.0 * 1000.0);
  CHECK(total.weight == 4.0);
  CHECK(slopes_of(task, x, y) == Values{0, 0, 1, -2});
}

TEST_CASE("CrossEntropy is the weighted mean of -log softmax") {
  tsdl::RandomStream random(1);
  const Index B = 6;
  for (const Index K : {2, 3, 5}) {
    const auto x = test::draw<double>(random, B * K, 3.0);
    Values y, weights;
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
      const tsdl::Task task = task_of(CrossEntropy{weighted ? weights : Values{}}, K);
      CHECK(mean_of(task, x, y) == doctest::Approx(sum / total).epsilon(1e-12));
      CHECK(summed(task, x, y).weight == doctest::Approx(total).epsilon(1e-15));
      check_slopes(task, x, y);
    }
  }
}

TEST_CASE("CrossEntropy at extreme logits") {
  const Values x = {1000, -1000, 1000, -1000}, y = {0, 1};
  const tsdl::Task task = task_of(CrossEntropy{}, 2);
  const tsdl::LossSum total = summed(task, x, y);
  CHECK(total.sum == 2000.0);
  CHECK(total.mean() == 1000.0);
  CHECK(slopes_of(task, x, y) == Values{0, 0, 1, -1});
}

TEST_CASE("MSE is the mean of squares") {
  const Values x = {1.5, -2.0, 0.25, 1000.0}, y = {1.0, 2.0, 0.25, -1000.0};
  CHECK(mean_of(task_of(MSE{}, 1), x, y) == (0.25 + 16.0 + 0.0 + 4e6) / 4.0);
  CHECK(slopes_of(task_of(MSE{}, 1), x, y) == Values{1, -8, 0, 4000});
  // Of several targets it is the mean over all of them.
  CHECK(mean_of(task_of(MSE{}, 2), x, y) == (0.25 + 16.0 + 0.0 + 4e6) / 4.0);
  CHECK(summed(task_of(MSE{}, 2), x, y).weight == 4.0);
  CHECK(slopes_of(task_of(MSE{}, 2), x, y) == Values{1, -8, 0, 4000});
}

TEST_CASE("MAE and Huber are PyTorch's") {
  // torch.nn.functional.l1_loss and huber_loss(delta=1.5), reduction="sum", with their gradients.
  const Values x = {1.5, -2.0, 0.25, 1000.0, 2.5}, y = {1.0, 2.0, 0.25, -1000.0, 1.0};
  CHECK(summed(task_of(MAE{}, 1), x, y).sum == 0.5 + 4 + 0 + 2000 + 1.5);
  CHECK(slopes_of(task_of(MAE{}, 1), x, y) == Values{1, -1, 0, 1, 1});
  const tsdl::Task huber = task_of(Huber{1.5}, 1);
  CHECK(summed(huber, x, y).sum == 0.125 + 1.5 * 3.25 + 0 + 1.5 * 1999.25 + 1.125);
  CHECK(slopes_of(huber, x, y) == Values{0.5, -1.5, 0, 1.5, 1.5});
  check_slopes(huber, {0.3, -0.2, 5.0, -7.0}, {0.1, 0.4, 1.0, 2.0});
  check_slopes(task_of(MAE{}, 2), {0.3, -0.2, 5.0, -7.0}, {0.1, 0.4, 1.0, 2.0});
}

TEST_CASE("sums of parts divide into the mean of the whole") {
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, 10 * 3, 3.0);
  const Values y = {0, 1, 2, 2, 1, 0, 0, 2, 1, 1};
  const tsdl::Task task = task_of(CrossEntropy{{1.0, 2.0, 4.0}}, 3);
  tsdl::LossSum parts;
  parts += task->loss(x.data(), y.data(), 4, nullptr);
  parts += task->loss(x.data() + 12, y.data() + 4, 6, nullptr);
  CHECK(parts.mean() == doctest::Approx(mean_of(task, x, y)).epsilon(1e-14));
}

TEST_CASE("a NaN output is seen in the loss") {
  const double nan = std::nan("");
  for (const tsdl::Loss& loss :
       {tsdl::Loss(BCEWithLogits{}), tsdl::Loss(MSE{}), tsdl::Loss(MAE{}), tsdl::Loss(Huber{})}) {
    CHECK(tsdl::is_nan(mean_of(task_of(loss, 1), {nan}, {1.0})));
    CHECK(tsdl::is_nan(slopes_of(task_of(loss, 1), {nan}, {1.0})[0]));
  }
  for (const Values& x : {Values{0.0, nan}, Values{nan, 0.0}})
    CHECK(tsdl::is_nan(mean_of(task_of(CrossEntropy{}, 2), x, {0.0})));
  for (std::size_t place = 0; place < 3; ++place) {
    Values x = {0.1, 0.2, 0.3};
    x[place] = nan;
    CHECK(tsdl::is_nan(mean_of(tsdl::Quantiles{}, x, {0.5})));
  }
}

TEST_CASE("the task of a model follows from its outputs") {
  CHECK(tsdl::default_task(1)->describe().kind == "binary");
  CHECK(tsdl::default_task(2)->describe().kind == "classes");
  CHECK(tsdl::default_task(2)->outputs() == 2);
  CHECK(tsdl::default_task(7)->outputs() == 7);
}

TEST_CASE("balanced class weights are scikit-learn's") {
  // compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1, 2, 2])
  const Values labels = {0, 0, 0, 1, 2, 2};
  const Values weights = tsdl::balanced_class_weights(labels, 3);
  REQUIRE(weights.size() == 3);
  CHECK(weights[0] == doctest::Approx(0.6666666666666666).epsilon(1e-15));
  CHECK(weights[1] == doctest::Approx(2.0).epsilon(1e-15));
  CHECK(weights[2] == doctest::Approx(1.0).epsilon(1e-15));
  const Values even = {0, 0, 1, 1};
  CHECK(tsdl::balanced_class_weights(even, 2) == Values{1, 1});
  for (const double bad : {3.0, -1.0, 0.5, std::nan("")}) {
    const Values with = {0, 1, 2, bad};
    CHECK_THROWS_AS(tsdl::balanced_class_weights(with, 3), tsdl::DataError);
  }
  CHECK_THROWS_AS(tsdl::balanced_class_weights(even, 3), tsdl::DataError);
}

TEST_CASE("targets and options that a loss cannot take are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto check = [](const tsdl::Loss& loss, double target, Index K) {
    const Values targets = {0, target};
    task_of(loss, K).check_targets(targets, 1, 2);
  };
  for (const double good : {0.0, 0.5, 1.0}) CHECK_NOTHROW(check(BCEWithLogits{}, good, 1));
  for (const double bad : {-0.5, 1.5, nan, infinity})
    CHECK_THROWS_AS(check(BCEWithLogits{}, bad, 1), tsdl::DataError);
  for (const double good : {0.0, 2.0}) CHECK_NOTHROW(check(CrossEntropy{}, good, 3));
  for (const double bad : {-1.0, 3.0, 0.5, nan, infinity})
    CHECK_THROWS_AS(check(CrossEntropy{}, bad, 3), tsdl::DataError);
  for (const tsdl::Loss& loss : {tsdl::Loss(MSE{}), tsdl::Loss(MAE{}), tsdl::Loss(Huber{})}) {
    CHECK_NOTHROW(check(loss, -1e6, 1));
    for (const double bad : {nan, infinity}) CHECK_THROWS_AS(check(loss, bad, 1), tsdl::DataError);
  }
  CHECK_THROWS_WITH_AS(task_of(BCEWithLogits{}, 2),
                       "task binary: expected a model of 1 outputs, got 2", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(check(MSE{}, 1, 2),
                       "task regression: expected 2 x 2 target values, got 2 in samples of 1",
                       tsdl::ShapeError);
  CHECK_NOTHROW(check(CrossEntropy{{1, 2, 3}}, 1, 3));
  CHECK_THROWS_WITH_AS(task_of(CrossEntropy{{1, 2}}, 3),
                       "task classes: expected 3 class weights, got 2", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(task_of(CrossEntropy{}, 1),
                       "task classes: expected 2 or more classes, got 1", tsdl::OptionError);
  for (const double bad : {-1.0, nan, infinity}) {
    CHECK_THROWS_AS(task_of(BCEWithLogits{bad}, 1), tsdl::OptionError);
    CHECK_THROWS_AS(task_of(CrossEntropy{{1, bad}}, 2), tsdl::OptionError);
    CHECK_THROWS_AS(task_of(Huber{bad}, 1), tsdl::OptionError);
  }
  CHECK_THROWS_WITH_AS(task_of(BCEWithLogits{-1}, 1),
                       "loss: a weight must be finite and at least 0, not -1", tsdl::OptionError);
  CHECK_THROWS_WITH_AS(task_of(Huber{0}, 1),
                       "task regression: Huber's delta must be above 0, not 0", tsdl::OptionError);
}
