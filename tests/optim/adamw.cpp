// The AdamW optimizer: a scalar trace, groups, state for checkpoints, refusals.
#include "tsdl/optim/adamw.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "support/archive.hpp"
#include "support/network.hpp"
#include "tsdl/nn/linear.hpp"

namespace {

using test::Index;
using tsdl::AdamW;

tsdl::Linear<double> linear_layer() { return tsdl::Linear<double>(3, 2, /*seed=*/1, "fc."); }

/// Gradients of update t.
void set_gradients(tsdl::Linear<double>& model, Index t) {
  tsdl::RandomStream random(5, static_cast<std::uint64_t>(t));
  model.visit([&](tsdl::Parameter<double>& parameter) {
    parameter.need_gradient();
    for (double& value : parameter.gradient) value = random.uniform(-1.0, 1.0);
  });
}

/// One number's AdamW, as its paper writes it.
struct Naive {
  double p, m = 0.0, v = 0.0;
  void update(double g, double lr, double decay, const AdamW& o, int t) {
    m = o.beta1 * m + (1.0 - o.beta1) * g;
    v = o.beta2 * v + (1.0 - o.beta2) * g * g;
    const double m_hat = m / (1.0 - std::pow(o.beta1, t)), v_hat = v / (1.0 - std::pow(o.beta2, t));
    p = p - lr * decay * p - lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

}  // namespace

TEST_CASE("updates follow the formula, in groups, with scaled gradients and a changing rate") {
  auto model = linear_layer();
  AdamW options{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1};
  // The first group that matches applies: the second would match the bias too.
  options.groups = {{.name = "bias", .weight_decay = 0.0, .lr_scale = 0.5},
                    {.name = "fc", .lr_scale = 2.0}};
  tsdl::Optimizer optimizer(model, options);
  std::vector<Naive> naive;
  model.visit([&](const tsdl::Parameter<double>& parameter) {
    for (const double value : parameter.value) naive.push_back({value});
  });
  for (int t = 1; t <= 5; ++t) {
    const double lr = 0.05 / t, scale = t % 2 ? 1.0 : 0.3;
    set_gradients(model, t);
    const auto before = test::gradients(model);
    optimizer.step(model, lr, scale);
    CHECK(test::gradients(model) == before);
    std::size_t next = 0;
    model.visit([&](const tsdl::Parameter<double>& parameter) {
      const bool bias = parameter.name == "fc.bias";
      for (Index i = 0; i < parameter.size(); ++i, ++next) {
        naive[next].update(parameter.gradient[i] * scale, lr * (bias ? 0.5 : 2.0), bias ? 0.0 : 0.1,
                           options, t);
        CHECK(std::abs(parameter.value[i] - naive[next].p) <= 1e-14);
      }
    });
  }
  CHECK(optimizer.steps() == 5);
}

TEST_CASE("an update repacks the model") {
  auto model = linear_layer();
  tsdl::Optimizer optimizer(model);
  set_gradients(model, 1);
  optimizer.step(model, 0.1);
  const std::vector<double> x = {1.0, 0.0, 0.0};
  std::vector<double> y(2);
  model.forward(y.data(), x.data(), 1);
  for (Index n = 0; n < 2; ++n)
    CHECK(y[static_cast<std::size_t>(n)] ==
          doctest::Approx(model.bias().value[n] + model.weight().value[n * 3]).epsilon(1e-15));
}

TEST_CASE("steps and moments carried over go on with the same bits") {
  auto one = linear_layer(), two = linear_layer();
  tsdl::Optimizer first(one), early(two);
  for (Index t = 1; t <= 4; ++t) {
    set_gradients(one, t);
    first.step(one, 0.1);
    if (t > 2) continue;
    set_gradients(two, t);
    early.step(two, 0.1);
  }
  tsdl::Optimizer late(two);
  test::MemoryArchive memory;
  early.archive(memory, two);
  memory.start_reading();
  late.archive(memory, two);
  CHECK(late.steps() == 2);
  for (Index t = 3; t <= 4; ++t) {
    set_gradients(two, t);
    late.step(two, 0.1);
  }
  CHECK(
      std::equal(one.weight().value.begin(), one.weight().value.end(), two.weight().value.begin()));
  CHECK(std::equal(one.bias().value.begin(), one.bias().value.end(), two.bias().value.begin()));
}

TEST_CASE("AdamW refuses options out of range") {
  const double nan = std::nan("");
  const auto model = linear_layer();
  const auto make = [&](const AdamW& options) { tsdl::Optimizer optimizer(model, options); };
  CHECK_NOTHROW(make({}));
  CHECK_NOTHROW(make({.lr = 0.0, .beta1 = 0.0, .beta2 = 0.0, .weight_decay = 0.0}));
  for (const double bad : {-1e-3, nan, HUGE_VAL}) {
    CHECK_THROWS_AS(make({.lr = bad}), tsdl::OptionError);
    CHECK_THROWS_AS(make({.eps = bad}), tsdl::OptionError);
    CHECK_THROWS_AS(make({.weight_decay = bad}), tsdl::OptionError);
    CHECK_THROWS_AS(make({.groups = {{.name = "bias", .weight_decay = bad}}}), tsdl::OptionError);
    CHECK_THROWS_AS(make({.groups = {{.name = "bias", .lr_scale = bad}}}), tsdl::OptionError);
  }
  for (const double bad : {-0.1, 1.0, 1.5, nan}) {
    CHECK_THROWS_AS(make({.beta1 = bad}), tsdl::OptionError);
    CHECK_THROWS_AS(make({.beta2 = bad}), tsdl::OptionError);
  }
}

TEST_CASE_TEMPLATE("a tiny eps is not divided by where v is a denormal", Scalar, float, double) {
  constexpr bool is_float = std::is_same_v<Scalar, float>;
  const double g = is_float ? 1e-19 : 1e-154, lr = 0.01;
  for (const double eps : {0.0, g / 10, is_float ? 1e-8 : 1e-130}) {
    CAPTURE(eps);
    tsdl::Linear<Scalar> model(1, 1, 1);
    const AdamW options{.lr = lr, .eps = eps, .weight_decay = 0};
    tsdl::Optimizer optimizer(model, options);
    std::vector<Naive> naive;
    std::as_const(model).visit([&](const tsdl::Parameter<Scalar>& parameter) {
      naive.push_back({static_cast<double>(parameter.value[0])});
    });
    for (int t = 1; t <= 4; ++t) {
      tsdl::update(model, [&](tsdl::Parameter<Scalar>& parameter) {
        parameter.need_gradient();
        parameter.gradient[0] = static_cast<Scalar>(g);
      });
      optimizer.step(model);
      for (Naive& one : naive) one.update(g, lr, 0, options, t);
    }
    std::size_t i = 0;
    std::as_const(model).visit([&](const tsdl::Parameter<Scalar>& parameter) {
      // A denormal v has some three digits.
      CHECK(std::abs(static_cast<double>(parameter.value[0]) - naive[i++].p) <= 1e-3 * lr);
    });
  }
}
