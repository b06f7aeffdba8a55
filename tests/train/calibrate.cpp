// The temperature and the weights that are fitted, against other ways to the same least loss.
#include "tsdl/train/calibrate.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::Index;
using Any = tsdl::AnyModel<double>;
using Values = std::vector<double>;

Any member(const char* kind, std::uint64_t seed, tsdl::Task task, double scale = 0.6) {
  Any model = tsdl::make_classifier<double>(
      kind, {.input_size = 2, .hidden_size = 4, .outputs = task->outputs()}, seed);
  tsdl::RandomStream random(seed);
  test::draw_parameters(model, random, scale);
  model.set_task(task);
  return model;
}

/// Windows whose classes are drawn from what a model predicts of them.
tsdl::Windows<double> drawn_from(const Any& model) {
  auto toy = test::two_classes<double>(420);
  tsdl::RandomStream random(4);
  const auto p = tsdl::predict(model, toy.windows(10, 400));
  for (Index i = 0; i < p.cols(); ++i) {
    double left = random.uniform(0, 1);
    Index k = 0;
    if (p.rows() == 1)
      k = left < p(0, i);
    else
      while (k + 1 < p.rows() && left >= p(k, i)) left -= p(k++, i);
    toy.labels[static_cast<std::size_t>(10 + i)] = static_cast<double>(k);
  }
  return toy.windows(10, 400);
}

/// Where a convex function is least, by golden section.
double least_of(const std::function<double(double)>& f, double low, double high) {
  const double ratio = 0.5 * (std::sqrt(5.0) - 1);
  for (int i = 0; i < 200; ++i) {
    const double a = high - ratio * (high - low), b = low + ratio * (high - low);
    (f(a) < f(b) ? high : low) = f(a) < f(b) ? b : a;
  }
  return 0.5 * (low + high);
}

}  // namespace

TEST_CASE("temperature: the loss is least at the one that is fitted") {
  for (const Index classes : {2, 3}) {
    const tsdl::Task task =
        classes == 2 ? tsdl::Task(tsdl::Binary{.pos_weight = 4}) : tsdl::Classes{.count = classes};
    for (const double truth : {0.4, 2.0}) {
      Any model = member("gru", 3, task.with_temperature(truth), 2);
      const auto windows = drawn_from(model);
      model.set_task(task);
      const auto loss = [&](double log_t) {
        return tsdl::evaluate(model, windows, task.unweighted().with_temperature(std::exp(log_t)))
            .loss;
      };
      const double found = tsdl::fit_temperature(model, windows);
      CHECK(found == doctest::Approx(std::exp(least_of(loss, -4.6, 4.6))).epsilon(1e-5));
      CHECK(loss(std::log(found)) < loss(0));
      CHECK(found == doctest::Approx(truth).epsilon(0.3));
      // What is there already does not matter.
      Any other = model;
      other.set_task(task.with_temperature(7));
      CHECK(tsdl::fit_temperature(other, windows) == found);
    }
  }
}

TEST_CASE("temperature: it stays in its range, and needs classes and samples") {
  const auto toy = test::two_classes<double>(60);
  Any model = member("lstm", 1, tsdl::Binary{});
  // A model of one constant logit: of labels that are all 1 no temperature is too low.
  tsdl::update(model, [](tsdl::Parameter<double>& parameter) {
    for (double& value : parameter.value) value = parameter.name == "fc.bias" ? 1 : 0;
  });
  auto ones = toy;
  std::fill(ones.labels.begin(), ones.labels.end(), 1.0);
  CHECK(tsdl::fit_temperature(model, ones.windows(10, 40)) ==
        doctest::Approx(tsdl::least_temperature));
  std::fill(ones.labels.begin(), ones.labels.end(), 0.0);
  CHECK(tsdl::fit_temperature(model, ones.windows(10, 40)) ==
        doctest::Approx(tsdl::largest_temperature));
  CHECK_THROWS_WITH_AS(tsdl::fit_temperature(model, toy.windows(10, 0)),
                       "temperature: there are no samples to fit it to", tsdl::DataError);
  model.set_task(tsdl::Regression{});
  CHECK_THROWS_AS(tsdl::fit_temperature(model, toy.windows(10, 40)), tsdl::OptionError);
}

TEST_CASE("ensemble weights: those of classes are where expectation maximisation ends") {
  for (const Index classes : {2, 3}) {
    const tsdl::Task task =
        classes == 2 ? tsdl::Task(tsdl::Binary{.pos_weight = 2}) : tsdl::Classes{.count = classes};
    std::vector<Any> members;
    for (const std::uint64_t seed : {1u, 2u, 3u, 4u})
      members.push_back(member(seed % 2 ? "lstm" : "gru", seed, task, 1.5));
    const tsdl::Ensemble<double> ensemble(members);
    // Classes that come from a mixture of two of the four.
    const auto windows = drawn_from(tsdl::Ensemble<double>({members[1], members[3]}, {0.7, 0.3}));
    const Values labels = windows.targets();
    const Values found = tsdl::fit_weights(ensemble, windows);
    CHECK(std::accumulate(found.begin(), found.end(), 0.0) == doctest::Approx(1).epsilon(1e-12));

    std::vector<Values> right;  // of each member, the probability of each sample's own class
    for (const Any& one : members) {
      const auto p = tsdl::predict(one, windows);
      right.emplace_back();
      for (Index i = 0; i < p.cols(); ++i) {
        const auto y = static_cast<Index>(labels[static_cast<std::size_t>(i)]);
        right.back().push_back(p.rows() == 1 ? (y == 1 ? p(0, i) : 1 - p(0, i)) : p(y, i));
      }
    }
    Values w(4, 0.25);
    const auto n = labels.size();
    const auto mixture = [&](const Values& weights, std::size_t i) {
      double sum = 0;
      for (std::size_t m = 0; m < 4; ++m) sum += weights[m] * right[m][i];
      return sum;
    };
    for (int step = 0; step < 20000; ++step) {
      Values next(4);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t m = 0; m < 4; ++m)
          next[m] += w[m] * right[m][i] / mixture(w, i) / static_cast<double>(n);
      w = next;
    }
    const auto loss = [&](const Values& weights) {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum -= std::log(mixture(weights, i));
      return sum / static_cast<double>(n);
    };
    CHECK(loss(found) <= loss(w) + 2e-9);
    CHECK(loss(found) < loss({0.25, 0.25, 0.25, 0.25}) - 1e-4);
  }
}

TEST_CASE("ensemble weights: those of regressions are where least squares on the simplex ends") {
  const auto toy = test::make_toy<double>(300, 2, 5, [](double sum) { return 0.3 * sum; });
  const auto windows = toy.windows(10, 250);
  const Values y = windows.targets();
  for (const double bias : {0.0, 0.3, 3.0}) {
    std::vector<Any> members;
    std::vector<tsdl::Matrix<double>> predictions;
    tsdl::RandomStream random(8);
    for (const std::uint64_t seed : {5u, 6u, 7u}) {
      members.push_back(member(seed % 2 ? "lstm" : "gru", seed, tsdl::Regression{}, 1));
      const double shift = bias * random.normal();
      tsdl::update(members.back(), [&](tsdl::Parameter<double>& parameter) {
        if (parameter.name == "fc.bias") parameter.value[0] += shift;
      });
      predictions.push_back(tsdl::predict(members.back(), windows));
    }
    const auto loss = [&](const Values& w) {
      double sum = 0;
      for (Index i = 0; i < windows.size(); ++i) {
        double e = -y[static_cast<std::size_t>(i)];
        for (std::size_t m = 0; m < 3; ++m) e += w[m] * predictions[m](0, i);
        sum += e * e;
      }
      return sum / static_cast<double>(windows.size());
    };
    // Every point of a fine grid is no better.
    double best = HUGE_VAL;
    for (int a = 0; a <= 200; ++a)
      for (int b = 0; a + b <= 200; ++b)
        best = std::min(best, loss({a / 200.0, b / 200.0, (200 - a - b) / 200.0}));
    const Values found = tsdl::fit_weights(tsdl::Ensemble<double>(members), windows);
    CHECK(loss(found) <= best + 1e-8 * std::max(1.0, best));
    CHECK(loss(found) < loss({1 / 3.0, 1 / 3.0, 1 / 3.0}));
    if (bias > 0) continue;
    // Losses with kinks end near their least.
    for (Any& one : members) one.set_task(tsdl::Regression{.loss = tsdl::MAE{}});
    const tsdl::Ensemble<double> kinked(members);
    auto weighted = kinked;
    weighted.set_weights(tsdl::fit_weights(kinked, windows));
    CHECK(tsdl::evaluate(weighted, windows).loss <= tsdl::evaluate(kinked, windows).loss);
  }
}

TEST_CASE("ensemble weights: samples and finite outputs are needed") {
  const auto toy = test::two_classes<double>(60);
  const tsdl::Ensemble<double> ensemble(
      {member("lstm", 1, tsdl::Binary{}), member("gru", 2, tsdl::Binary{})});
  CHECK_THROWS_AS(tsdl::fit_weights(ensemble, toy.windows(10, 0)), tsdl::DataError);
  auto broken = ensemble;
  tsdl::update(broken, [](tsdl::Parameter<double>& parameter) {
    if (parameter.name == "members.1.fc.bias") parameter.value[0] = HUGE_VAL - HUGE_VAL;
  });
  CHECK_THROWS_WITH_AS(tsdl::fit_weights(broken, toy.windows(10, 40)),
                       "ensemble: outputs of its members are not finite", tsdl::DataError);
  CHECK_THROWS_WITH_AS(tsdl::fit_temperature(broken, toy.windows(10, 40)),
                       "temperature: outputs of the model are not finite", tsdl::DataError);
}
