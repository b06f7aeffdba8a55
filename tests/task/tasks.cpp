// Tasks: what outputs mean, in units of the data, and what is refused. Losses are in task/loss.cpp.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/files.hpp"
#include "support/network.hpp"
#include "task/helpers.hpp"
#include "tsdl/task/make_task.hpp"

namespace {

using test::contains;
using test::Index;
using test::message_of;
using test::Values;
using tsdl::Binary;
using tsdl::Classes;
using tsdl::Huber;
using tsdl::MAE;
using tsdl::Quantiles;
using tsdl::Regression;
using tsdl::TargetScale;
using tsdl::Task;

const double not_a_number = std::numeric_limits<double>::quiet_NaN();
const double infinity = std::numeric_limits<double>::infinity();

const TargetScale two_scales{
    .mean = {1e9, -0.5}, .scale = {300, 1e-3}, .naive = {20, not_a_number}};

std::vector<Task> one_of_each() {
  return {Binary{.pos_weight = 2.5},
          Classes{.count = 3},
          Classes{.count = 2, .weights = {0.25, 4}},
          Regression{},
          Regression{.targets = 2, .loss = MAE{}, .scale = two_scales},
          Regression{.targets = 2, .loss = Huber{0.3}, .scale = two_scales},
          Quantiles{},
          Quantiles{.levels = {0.05, 0.3, 0.6, 0.95}, .targets = 2, .scale = two_scales}};
}

Values decoded(const Task& task, const Values& outputs) {
  Values out(static_cast<std::size_t>(task->predictions()));
  task->decode(outputs.data(), out.data());
  return out;
}

std::string option_refusal(const auto& make) { return message_of<tsdl::OptionError>(make); }

}  // namespace

TEST_CASE("tasks: what a task says of itself makes it again") {
  std::set<std::string> seen;
  for (const Task& task : one_of_each()) {
    const tsdl::Config config = task->describe();
    CAPTURE(config.kind);
    seen.insert(config.kind);
    const Task again = tsdl::make_task(config);
    CHECK((again->describe() == config));
    CHECK(again->targets() == task->targets());
    CHECK(again->outputs() == task->outputs());
    CHECK(again->predictions() == task->predictions());
    CHECK(again->classes() == task->classes());
    for (const auto& [name, value] : config.options) {
      CAPTURE(name);
      tsdl::Config without = config, other = config;
      without.options.erase(name);
      if (name == "loss")
        other.options[name] = true;
      else
        other.options[name] = "x";
      CHECK(contains(option_refusal([&] { tsdl::make_task(without); }),
                     config.kind + ": option '" + name + "' is missing"));
      CHECK(contains(option_refusal([&] { tsdl::make_task(other); }),
                     config.kind + ": option '" + name + "': expected "));
    }
    tsdl::Config more = config;
    more.options["more"] = 1.0;
    CHECK(option_refusal([&] { tsdl::make_task(more); }) ==
          config.kind + ": option 'more' is not known");
  }
  CHECK((seen == std::set<std::string>{"binary", "classes", "quantiles", "regression"}));
  CHECK(option_refusal([] { tsdl::make_task(tsdl::Config("oracle")); }) ==
        "task: expected one of binary, classes, regression, quantiles, got 'oracle'");
  tsdl::Config cubic = Task(Regression{})->describe();
  cubic.options["loss"] = std::string("cubic");
  CHECK(option_refusal([&] { tsdl::make_task(cubic); }) ==
        "task regression: loss: expected mse, mae or huber, got 'cubic'");
}

TEST_CASE("tasks: sizes, names and classes") {
  const Task binary = Binary{}, three = Classes{.count = 3};
  const Task numbers = Regression{.targets = 2};
  const Task quantiles = Quantiles{.levels = {0.25, 0.5}, .targets = 2};
  CHECK(binary->outputs() == 1);
  CHECK(binary->classes() == 2);
  CHECK((binary->names({}) == std::vector<std::string>{"probability"}));
  CHECK(three->outputs() == 3);
  CHECK(three->targets() == 1);
  CHECK(three->classes() == 3);
  CHECK((three->names({"down", "flat", "up"}) ==
         std::vector<std::string>{"probability_down", "probability_flat", "probability_up"}));
  CHECK(numbers->outputs() == 2);
  CHECK(numbers->targets() == 2);
  CHECK(numbers->classes() == 0);
  CHECK((numbers->names({"high", "low"}) ==
         std::vector<std::string>{"predicted_high", "predicted_low"}));
  CHECK(quantiles->outputs() == 4);
  CHECK(quantiles->targets() == 2);
  CHECK(quantiles->predictions() == 4);
  CHECK((quantiles->names({"high", "low"}) ==
         std::vector<std::string>{"predicted_high_q0.25", "predicted_high_q0.5",
                                  "predicted_low_q0.25", "predicted_low_q0.5"}));
  for (const Task& task : one_of_each()) {
    CHECK(std::ssize(task->names({})) == task->predictions());
    CHECK_FALSE(task->figures().empty());
    for (const std::string_view figure : task->figures())
      CHECK(tsdl::figure_of(figure).name == figure);
  }
}

TEST_CASE("tasks: derivatives of scaled targets and of quantiles are what differences say") {
  tsdl::RandomStream random(5);
  for (const Task& task : one_of_each()) {
    CAPTURE(task->describe().kind);
    const Index n = 7;
    const Values outputs = test::draw<double>(random, n * task->outputs(), 2.0);
    Values targets = test::draw<double>(random, n * task->targets());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const Index k = static_cast<Index>(i) % task->targets();
      if (task->classes() > 0)
        targets[i] = static_cast<double>(i % static_cast<std::size_t>(task->classes()));
      else if (task->targets() == 2)
        targets[i] = two_scales.restored(k, targets[i]);
    }
    CHECK_NOTHROW(task.check_targets(targets, task->targets(), n));
    test::check_slopes(task, outputs, targets);
  }
}

TEST_CASE("tasks: classes decode to probabilities, the softmax at any size of logits") {
  CHECK(decoded(Binary{}, {0})[0] == 0.5);
  CHECK(decoded(Binary{}, {1000})[0] == 1.0);
  CHECK(decoded(Binary{}, {-1000})[0] == 0.0);
  CHECK(decoded(Binary{}, {std::log(3.0)})[0] == doctest::Approx(0.75).epsilon(1e-15));
  const Values p = decoded(Classes{.count = 3}, {std::log(1.0), std::log(2.0), std::log(5.0)});
  for (std::size_t k = 0; k < 3; ++k)
    CHECK(p[k] == doctest::Approx(Values{0.125, 0.25, 0.625}[k]).epsilon(1e-14));
  CHECK((decoded(Classes{.count = 2}, {1e5, -1e5}) == Values{1, 0}));
}

TEST_CASE("tasks: a regression sees targets by their scale, and predicts in their own units") {
  const Task task = Regression{.targets = 2, .scale = two_scales};
  CHECK((decoded(task, {0, 0}) == Values{1e9, -0.5}));
  CHECK((decoded(task, {2, -1}) == Values{1e9 + 600, -0.501}));
  // Off by one deviation in one target, by two in the other.
  const Values outputs = {1, 3}, targets = {1e9, -0.5 + 1e-3};
  CHECK(test::summed(task, outputs, targets).sum == doctest::Approx(1.0 + 4.0).epsilon(1e-12));
  CHECK(test::summed(task, outputs, targets).weight == 2);
  // One without a scale takes them as they are.
  CHECK((decoded(Regression{}, {0.25}) == Values{0.25}));
}

TEST_CASE("tasks: the figures of numbers, by hand") {
  const Values x = {1, 2, 4, 8}, y = {2, 2, 3, 5};  // errors -1 0 1 3, y has mean 3
  const tsdl::Metrics one = tsdl::regression_metrics(x, y);
  CHECK(one.count == 4);
  CHECK(one.mae == 5.0 / 4);
  CHECK(one.rmse == std::sqrt(11.0 / 4));
  CHECK(one.r2 == doctest::Approx(1 - 11.0 / 6).epsilon(1e-15));
  CHECK(std::isnan(one.accuracy));
  CHECK(std::isnan(one.mase));
  CHECK(std::isnan(tsdl::regression_metrics(x, Values(4, 3)).r2));
  CHECK(tsdl::regression_metrics(y, y).r2 == 1);
  CHECK(std::isnan(tsdl::regression_metrics(Values{1, not_a_number, 4, 8}, y).mae));
  CHECK_THROWS_AS(tsdl::regression_metrics(x, Values{2, not_a_number, 3, 5}), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::regression_metrics(x, Values{2}), tsdl::ShapeError);

  // Of two targets it is the mean over both; of MASE too, so that both must be known.
  const Task task = Regression{.targets = 2, .scale = {{0, 0}, {1, 1}, {0.5, 2}}};
  const Values both_x = {1, 10, 2, 10, 4, 10, 8, 10}, both_y = {2, 9, 2, 9, 3, 11, 5, 11};
  const tsdl::Metrics both = task->measure(both_x, both_y);
  CHECK(both.count == 4);
  CHECK(both.mae == (5.0 / 4 + 1) / 2);
  CHECK(both.rmse == doctest::Approx((std::sqrt(11.0 / 4) + 1) / 2).epsilon(1e-15));
  CHECK(both.r2 == doctest::Approx((1 - 11.0 / 6 + 0) / 2).epsilon(1e-14));
  CHECK(both.mase == doctest::Approx((2.5 + 0.5) / 2).epsilon(1e-15));
}

TEST_CASE("tasks: quantiles ascend whatever the outputs are") {
  const Task task =
      Quantiles{.levels = {0.1, 0.25, 0.5, 0.75, 0.9}, .scale = {.mean = {10}, .scale = {2}}};
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  const Values x = {0.3, -1.2, 0.4, 2.0, -0.7}, q = decoded(task, x);
  const Values expected = {0.4 - softplus(-1.2) - softplus(0.3), 0.4 - softplus(-1.2), 0.4,
                           0.4 + softplus(2.0), 0.4 + softplus(2.0) + softplus(-0.7)};
  for (std::size_t j = 0; j < 5; ++j)
    CHECK(q[j] == doctest::Approx(10 + 2 * expected[j]).epsilon(1e-14));
  // A million heads, of outputs from far below rounding to far above it.
  tsdl::RandomStream random(1);
  int crossed = 0;
  double out[5], head[5];
  for (int i = 0; i < 1'000'000; ++i) {
    const double size = std::pow(10.0, random.uniform(-3, 4));
    for (double& output : head) output = size * random.normal();
    task->decode(head, out);
    crossed += !std::is_sorted(out, out + 5);
  }
  CHECK(crossed == 0);
}

TEST_CASE("tasks: the loss of quantiles is the mean pinball loss in units of the scale") {
  const Quantiles options{.levels = {0.1, 0.5, 0.8},
                          .targets = 2,
                          .scale = {.mean = {5, -3}, .scale = {2, 0.25}, .naive = {0.4, 0.1}}};
  const Task task = options;
  tsdl::RandomStream random(2);
  const Index n = 40;
  const Values x = test::draw<double>(random, n * 6, 1.5);
  Values y, q;
  for (Index i = 0; i < n; ++i) {
    for (Index k = 0; k < 2; ++k) y.push_back(options.scale.restored(k, random.uniform(-2.0, 2.0)));
    const Values one = decoded(task, Values(x.begin() + i * 6, x.begin() + (i + 1) * 6));
    q.insert(q.end(), one.begin(), one.end());
  }
  double scaled = 0, pinball = 0, covered = 0;
  Values medians;
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      const double loss = tsdl::pinball(options.levels[j], q[3 * i + j], y[i]);
      pinball += loss;
      scaled += loss / options.scale.scale[i % 2];
    }
    covered += q[3 * i] <= y[i] && y[i] <= q[3 * i + 2];
    medians.push_back(q[3 * i + 1]);
  }
  const double count = static_cast<double>(y.size());
  CHECK(test::summed(task, x, y).mean() == doctest::Approx(scaled / (3 * count)).epsilon(1e-12));
  const tsdl::Metrics figures = task->measure(q, y);
  CHECK(figures.count == n);
  CHECK(figures.pinball == doctest::Approx(pinball / (3 * count)).epsilon(1e-12));
  CHECK(figures.coverage == doctest::Approx(covered / count).epsilon(1e-15));
  CHECK(covered > 0);
  CHECK(covered < count);
  const Task median = Regression{.targets = 2, .scale = options.scale};
  CHECK(figures.mae == median->measure(medians, y).mae);
  CHECK(figures.r2 == median->measure(medians, y).r2);
  CHECK(figures.mase == median->measure(medians, y).mase);
  // Koenker and Bassett's check function at a few points.
  CHECK(tsdl::pinball(0.9, 1.0, 3.0) == 0.9 * 2.0);
  CHECK(tsdl::pinball(0.9, 3.0, 1.0) == doctest::Approx(0.1 * 2.0).epsilon(1e-15));
  CHECK(tsdl::pinball(0.9, 3.0, 3.0) == 0.0);
}

TEST_CASE("tasks: quantiles: bounds are covered, numbers are of the level nearest to the median") {
  const Task task = Quantiles{.levels = {0.1, 0.2, 0.6}};
  const Values q = {1, 2, 4, 1, 2, 4, 1, 2, 4}, y = {1, 4, 4};
  const tsdl::Metrics figures = task->measure(q, y);
  CHECK(figures.coverage == 1);
  CHECK(figures.mae == 1);  // of 0.6: 3, 0 and 0
  CHECK_THROWS_AS(task->measure(Values{1, 2, 3}, y), tsdl::ShapeError);
  double slope = 1;  // where output and target are the same
  CHECK(test::summed(Quantiles{.levels = {0.9}}, {0.5}, {0.5}, &slope).sum == 0);
  CHECK(slope == 0);
}

TEST_CASE("tasks: shares of class 1 have a loss, but no figures of classes") {
  const Task task = Binary{};
  const Values p = {0.2, 0.9};
  CHECK(task->measure(p, Values{0, 1}).accuracy == 1);
  const tsdl::Metrics shares = task->measure(p, Values{0.25, 1});
  CHECK(shares.count == 2);
  CHECK(std::isnan(shares.accuracy));
  for (const double bad : {2.0, not_a_number})
    CHECK_THROWS_AS(task->measure(p, Values{0, bad}), tsdl::DataError);
}

TEST_CASE("tasks: targets are checked by number and value, the message says which") {
  const Task three = Classes{.count = 3}, two = Regression{.targets = 2};
  const Values labels = {0, 1, 2, 2};
  const auto refused = [](const Task& task, const Values& targets, Index values, Index n) {
    return message_of<tsdl::ShapeError>([&] { task.check_targets(targets, values, n); });
  };
  CHECK_NOTHROW(three.check_targets(labels, 1, 4));
  CHECK(refused(three, labels, 1, 3) == "task classes: expected 3 x 1 target values, got 4");
  CHECK(refused(three, labels, 1, 5) == "task classes: expected 5 x 1 target values, got 4");
  CHECK(refused(three, labels, 2, 2) ==
        "task classes: expected 2 x 1 target values, got 4 in samples of 2");
  CHECK_NOTHROW(two.check_targets(labels, 2, 2));
  CHECK(refused(two, labels, 1, 4) ==
        "task regression: expected 4 x 2 target values, got 4 in samples of 1");
  const auto bad = [](const Task& task, double value) {
    return message_of<tsdl::DataError>([&] { task->check(Values{0, value}); });
  };
  CHECK(bad(three, 3) == "task classes: target 3 is not one of 3 classes");
  CHECK(bad(three, 0.5) == "task classes: target 0.5 is not one of 3 classes");
  CHECK(bad(three, not_a_number) == "task classes: target nan is not one of 3 classes");
  CHECK(bad(Binary{}, -0.25) == "task binary: target -0.25 is not from 0 to 1");
  CHECK(bad(Binary{}, not_a_number) == "task binary: target nan is not from 0 to 1");
  CHECK(bad(two, infinity) == "task regression: target inf is not finite");
  CHECK(bad(Quantiles{}, not_a_number) == "task quantiles: target nan is not finite");
  CHECK(option_refusal([&] { three.check_outputs(1); }) ==
        "task classes: expected a model of 3 outputs, got 1");
  CHECK_NOTHROW(three.check_outputs(3));
}

TEST_CASE("tasks: options out of range are refused") {
  const auto refused = [](const auto& options) {
    return option_refusal([&] { static_cast<void>(Task(options)); });
  };
  CHECK(refused(Binary{-0.5}) == "loss: a weight must be finite and at least 0, not -0.5");
  CHECK(refused(Classes{.count = 1}) == "task classes: expected 2 or more classes, got 1");
  CHECK(refused(Classes{.count = 3, .weights = {1}}) ==
        "task classes: expected 3 class weights, got 1");
  CHECK(contains(refused(Classes{.count = 2, .weights = {1, infinity}}), "not inf"));
  CHECK(refused(Regression{.targets = 0}) == "task regression: expected 1 or more targets, got 0");
  CHECK(refused(Regression{.loss = Huber{0}}) ==
        "task regression: Huber's delta must be above 0, not 0");
  CHECK(refused(Regression{.targets = 3, .scale = two_scales}) ==
        "target scale: expected 3 values, got 2");
  CHECK(refused(Regression{.scale = {.mean = {1}}}) == "target scale: 1 means, but 0 scales");
  CHECK(refused(Regression{.scale = {{not_a_number}, {1}}}) == "target scale: a mean of nan");
  CHECK(refused(Regression{.scale = {{0}, {0}}}) == "target scale: a scale of 0");
  CHECK(refused(Regression{.scale = {{0}, {1}, {-2}}}) ==
        "target scale: the last known value is off by -2");
  CHECK(refused(Quantiles{.levels = {}}) == "task quantiles: expected 1 or more levels");
  CHECK(refused(Quantiles{.levels = Values(100, 0.5)}) ==
        "task quantiles: expected at most 99 levels, got 100");
  CHECK(refused(Quantiles{.levels = {0.5, 0.5}}) ==
        "task quantiles: levels must ascend, but 0.5 follows 0.5");
  for (const double level : {0.0, 1.0, -0.1, not_a_number})
    CHECK(contains(refused(Quantiles{.levels = {level}}),
                   "a level must be above 0 and below 1, not "));
  CHECK(refused(Quantiles{.targets = 0}) == "task quantiles: expected 1 or more targets, got 0");
  CHECK_THROWS_WITH_AS(static_cast<void>(Task(std::shared_ptr<const tsdl::TaskKind>())),
                       "Task: no kind was given", tsdl::Error);
}

TEST_CASE("tasks: unweighted counts every sample the same") {
  CHECK((Task(Binary{3}).unweighted()->describe() == Task(Binary{})->describe()));
  CHECK((Task(Classes{.count = 2, .weights = {1, 9}}).unweighted()->describe() ==
         Task(Classes{.count = 2})->describe()));
  const Task numbers = Regression{.scale = {{1}, {2}}};
  CHECK((numbers.unweighted()->describe() == numbers->describe()));
}

TEST_CASE("target scale: mean, deviation and what the last known value is off by") {
  const Values targets = {1e9 + 1, 5, 1e9 + 2, 5, 1e9 + 3, 5, 1e9 + 6, 5};
  const Values last = {1e9, 4, 1e9 + 1, not_a_number, 1e9 + 2, 7, 1e9 + 3, 5};
  const TargetScale fitted = TargetScale::fit(targets, 2, last);
  CHECK(fitted.mean_of(0) == 1e9 + 3);
  CHECK(fitted.scale_of(0) == doctest::Approx(std::sqrt(14.0 / 4)).epsilon(1e-12));
  CHECK(fitted.mean_of(1) == 5);
  CHECK(fitted.scale_of(1) == 1);  // it never changes
  CHECK(fitted.naive_of(0) == (1 + 1 + 1 + 3) / 4.0);
  CHECK(fitted.naive_of(1) == (1 + 2 + 0) / 3.0);
  CHECK(fitted.restored(0, fitted.scaled(0, 1e9 + 6)) == 1e9 + 6);
  CHECK(TargetScale::fit(targets, 2).naive.empty());
  CHECK(std::isnan(
      TargetScale::fit(Values{1, 2}, 1, Values{not_a_number, not_a_number}).naive_of(0)));
  const TargetScale none;
  CHECK(none.scaled(0, 0.3) == 0.3);
  CHECK(none.restored(0, 0.3) == 0.3);
  CHECK(std::isnan(none.naive_of(0)));
  CHECK_THROWS_AS(TargetScale::fit({}, 1), tsdl::ShapeError);
  CHECK_THROWS_AS(TargetScale::fit(targets, 3), tsdl::ShapeError);
  CHECK_THROWS_AS(TargetScale::fit(targets, 0), tsdl::ShapeError);
  CHECK_THROWS_AS(TargetScale::fit(targets, 2, Values{1}), tsdl::ShapeError);
  for (const double bad : {not_a_number, infinity})
    CHECK_THROWS_AS(TargetScale::fit(Values{1, bad}, 1), tsdl::DataError);
}

TEST_CASE("figures: each has a name and a place of its own") {
  std::set<std::string_view> names, titles;
  for (const tsdl::Figure& figure : tsdl::all_figures) {
    CHECK(names.insert(figure.name).second);
    CHECK(titles.insert(figure.title).second);
    CHECK(&tsdl::figure_of(figure.name) == &figure);
    tsdl::Metrics metrics;
    metrics.*figure.value = 1;
    Index set = 0;
    for (const tsdl::Figure& other : tsdl::all_figures) set += !std::isnan(metrics.*other.value);
    CHECK(set == 1);
  }
  CHECK_THROWS_WITH_AS(tsdl::figure_of("luck"), "figures: there is none named 'luck'", tsdl::Error);
}

namespace {

/// A task of one's own: the angle of a direction that two outputs span.
class Angle final : public tsdl::TaskKind {
 public:
  tsdl::Config describe() const override { return tsdl::Config("angle"); }
  Index targets() const noexcept override { return 1; }
  Index outputs() const noexcept override { return 2; }
  Index predictions() const noexcept override { return 1; }
  std::vector<std::string> names(const std::vector<std::string>&) const override {
    return {"angle"};
  }
  void check(std::span<const double> targets) const override {
    for (const double y : targets)
      if (!(std::abs(y) <= 4)) throw tsdl::DataError("angle: ", y);
  }
  tsdl::LossSum loss(const double* outputs, const double* targets, Index n,
                     double* slopes) const noexcept override {
    tsdl::LossSum total{0, static_cast<double>(n)};
    for (Index i = 0; i < n; ++i) {
      const double c = outputs[2 * i] - std::cos(targets[i]);
      const double s = outputs[2 * i + 1] - std::sin(targets[i]);
      total.sum += c * c + s * s;
      if (slopes) slopes[2 * i] = 2 * c;
      if (slopes) slopes[2 * i + 1] = 2 * s;
    }
    return total;
  }
  void decode(const double* outputs, double* out) const noexcept override {
    out[0] = std::atan2(outputs[1], outputs[0]);
  }
  std::vector<std::string_view> figures() const override { return {"mae"}; }
  tsdl::Metrics measure(std::span<const double> predictions,
                        std::span<const double> targets) const override {
    return tsdl::regression_metrics(predictions, targets);
  }
};

}  // namespace

TEST_CASE("tasks: a kind of one's own") {
  const Task task = std::shared_ptr<const tsdl::TaskKind>(std::make_shared<Angle>());
  test::check_slopes(task, {0.3, -0.4, 1.5, 0.1}, {0.5, -2});
  CHECK(decoded(task, {0, 2})[0] == doctest::Approx(std::acos(0.0)).epsilon(1e-15));
  CHECK(task->classes() == 0);
  CHECK((task.unweighted()->describe() == task->describe()));
  CHECK_THROWS_AS(task.check_targets(Values{9}, 1, 1), tsdl::DataError);
}
