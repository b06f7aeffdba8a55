// Averages of several models' predictions, told in outputs: against the plain definition, and their
// derivatives against differences. Temperature.
#include "tsdl/task/combine.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "support/files.hpp"
#include "support/network.hpp"
#include "task/helpers.hpp"
#include "tsdl/task/make_task.hpp"

namespace {

using test::Index;
using test::Values;
using tsdl::Task;

std::vector<Task> kinds() {
  return {tsdl::Binary{.pos_weight = 2}, tsdl::Classes{.count = 2}, tsdl::Classes{.count = 5},
          tsdl::Regression{.targets = 2, .scale = {.mean = {3, -1}, .scale = {2, 0.5}}},
          tsdl::Quantiles{.levels = {0.1, 0.4, 0.5, 0.9}, .targets = 2}};
}

Values decoded(const Task& task, const double* outputs) {
  Values out(static_cast<std::size_t>(task->predictions()));
  task->decode(outputs, out.data());
  return out;
}

Values combined(const Task& task, const Values& outputs, const Values& weights) {
  Values out(static_cast<std::size_t>(task->outputs()));
  task->combine({outputs.data(), weights.data(), std::ssize(weights)}, out.data());
  return out;
}

}  // namespace

TEST_CASE("combine: what the combined outputs predict is the weighted mean of the predictions") {
  const Values weights = {0.5, 0.125, 0, 0.375};
  tsdl::RandomStream random(1);
  for (const Task& task : kinds())
    for (const double scale : {1.0, 30.0}) {
      CAPTURE(task->describe().kind);
      const Index K = task->outputs();
      const auto outputs = test::draw<double>(random, std::ssize(weights) * K, scale);
      Values mean(static_cast<std::size_t>(task->predictions()));
      for (std::size_t m = 0; m < weights.size(); ++m) {
        const Values its = decoded(task, outputs.data() + static_cast<Index>(m) * K);
        for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += weights[m] * its[k];
      }
      const Values found = decoded(task, combined(task, outputs, weights).data());
      CHECK(test::largest_difference(found, mean) <= 4e-15 * std::max(1.0, test::largest(mean)));
      // One model alone predicts what it did.
      const Values one(outputs.begin(), outputs.begin() + K), its = decoded(task, one.data());
      CHECK(test::largest_difference(decoded(task, combined(task, one, {1}).data()), its) <=
            4e-15 * std::max(1.0, test::largest(its)));
    }
}

TEST_CASE("combine: probabilities that double would round to 0 or 1 keep their logits") {
  const Task binary = tsdl::Binary{};
  // log of the mean of exp(-800) and exp(-900), and of its complement.
  CHECK(combined(binary, {-800, -900}, {0.5, 0.5})[0] == doctest::Approx(-800 - std::log(2.0)));
  CHECK(combined(binary, {800, 900}, {0.5, 0.5})[0] == doctest::Approx(800 + std::log(2.0)));
  const Values classes =
      combined(tsdl::Classes{.count = 3}, {0, -800, 0, 0, -900, 0}, {0.25, 0.75});
  CHECK(classes[0] == doctest::Approx(-std::log(2.0)));
  CHECK(classes[1] == doctest::Approx(std::log(0.125) - 800));
  // A member that is not finite is not hidden by the others.
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Values& outputs : {Values{nan, 1}, Values{1, nan}})
    CHECK(std::isnan(combined(binary, outputs, {0.5, 0.5})[0]));
  for (const Values& outputs :
       {Values{nan, 0, 1, 2}, Values{0, 1, nan, 2}, Values{0, HUGE_VAL, 1, 2}})
    for (const double z : combined(tsdl::Classes{.count = 2}, outputs, {0.5, 0.5}))
      CHECK(!std::isfinite(z));
  // Quantiles as near as can be stay in order.
  const Values same = combined(tsdl::Quantiles{}, {-2000, 5, -2000, -2000, 5, -2000}, {0.5, 0.5});
  for (const double x : same) CHECK(std::isfinite(x));
}

TEST_CASE("combine: derivatives by outputs and by weights are what differences say") {
  const Values weights = {0.5, 0.1, 0.4};
  tsdl::RandomStream random(2);
  for (const Task& task : kinds()) {
    CAPTURE(task->describe().kind);
    const Index K = task->outputs();
    auto outputs = test::draw<double>(random, 3 * K, 2);
    const auto dout = test::draw<double>(random, K);
    Values w = weights, doutputs(outputs.size(), 7), dweights = {1, 1, 1};
    const Values out = combined(task, outputs, w);
    task->combine_backward({outputs.data(), w.data(), 3}, out.data(), dout.data(), doutputs.data(),
                           dweights.data());
    const auto slope = [&](double& value) {
      const double before = value, step = 1e-5;
      const auto at = [&](double offset) {
        value = before + offset;
        const Values z = combined(task, outputs, w);
        value = before;
        return std::inner_product(z.begin(), z.end(), dout.begin(), 0.0);
      };
      return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
    };
    for (std::size_t i = 0; i < outputs.size(); ++i)
      CHECK(doutputs[i] == doctest::Approx(slope(outputs[i])).epsilon(1e-8));
    for (std::size_t m = 0; m < w.size(); ++m)
      CHECK(dweights[m] - 1 == doctest::Approx(slope(w[m])).epsilon(1e-8));
    Values again(outputs.size());
    task->combine_backward({outputs.data(), w.data(), 3}, out.data(), dout.data(), again.data(),
                           nullptr);
    CHECK((again == doutputs));
  }
}

TEST_CASE("temperature: probabilities and losses are those of logits that it divides") {
  const double t = 2.5;
  tsdl::RandomStream random(3);
  const std::vector<Task> at_one = {tsdl::Binary{.pos_weight = 3},
                                    tsdl::Classes{.count = 3, .weights = {1, 2, 0.5}}};
  for (const Task& task : at_one) {
    const Task other = task.with_temperature(t);
    CAPTURE(task->describe().kind);
    const Index K = task->outputs(), n = 4;
    const auto outputs = test::draw<double>(random, n * K, 6);
    Values divided = outputs;
    for (double& z : divided) z /= t;
    CHECK(test::largest_difference(decoded(other, outputs.data()), decoded(task, divided.data())) <=
          1e-15);
    const Values targets = {0, 1, 1, 0};
    Values slopes(outputs.size()), expected(outputs.size());
    const auto loss = other->loss(outputs.data(), targets.data(), n, slopes.data());
    const auto plain = task->loss(divided.data(), targets.data(), n, expected.data());
    CHECK(loss.sum == doctest::Approx(plain.sum).epsilon(1e-14));
    CHECK(loss.weight == plain.weight);
    for (double& slope : expected) slope /= t;
    CHECK(test::largest_difference(slopes, expected) <= 1e-15);
    // It stays with the task that counts every sample the same, and is part of what files hold.
    CHECK(other.unweighted()->temperature() == t);
    CHECK(tsdl::make_task(other->describe())->temperature() == t);
    CHECK((other.uncalibrated()->describe() == task->describe()));
    CHECK(!task->describe().contains("temperature"));
    for (const double bad : {0.0, -1.0, 1e-7, HUGE_VAL, std::numeric_limits<double>::quiet_NaN()})
      CHECK_THROWS_AS(task.with_temperature(bad), tsdl::OptionError);
  }
  CHECK_THROWS_WITH_AS(Task(tsdl::Regression{}).with_temperature(2),
                       "task regression: a temperature is for classes", tsdl::OptionError);
}
