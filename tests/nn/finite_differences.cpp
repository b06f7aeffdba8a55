// Every gradient of the stack and the network against central differences, in double.
#include <doctest/doctest.h>

#include <functional>
#include <numeric>

#include "support/loss.hpp"
#include "support/network.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace {

using test::Index;
using Values = std::vector<double>;

/// d f / d value by the five-point formula, whose error falls with the fourth power of the step.
double derivative(double& value, const std::function<double()>& f) {
  constexpr double step = 1e-3;
  const double start = value;
  const auto at = [&](double offset) {
    value = start + offset;
    return f();
  };
  const double slope =
      (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
  value = start;
  return slope;
}

/// |e| <= 1e-7 of the largest magnitude of the tensor. Returns that magnitude.
double check_gradient(const std::string& name, std::span<double> values,
                      std::span<const double> gradient, const std::function<double()>& f) {
  REQUIRE(values.size() == gradient.size());
  Values numeric;
  for (double& value : values) numeric.push_back(derivative(value, f));
  INFO(name);
  CHECK(test::largest_difference(gradient, numeric) <= 1e-7 * test::largest(numeric));
  return test::largest(numeric);
}

double dot(const Values& a, const Values& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

struct StackCase {
  Index I, H, L, D, T, B;
  double dropout;
  tsdl::Steps steps;
  bool states;  ///< also h0 (c0), and gradients through h_T (c_T)
};

template <class Cell>
void check_stack(const StackCase& s) {
  constexpr bool has_c = Cell::cell_vectors > 0;
  INFO("T ", s.T, " D ", s.D, " dropout ", s.dropout, " steps ", static_cast<int>(s.steps),
       " states ", s.states);
  tsdl::RandomStream random(7);
  tsdl::RecurrentStack<Cell> stack({.input_size = s.I,
                                    .hidden_size = s.H,
                                    .num_layers = s.L,
                                    .bidirectional = s.D == 2,
                                    .dropout = s.dropout});
  test::draw_parameters(stack, random, 0.8);
  const Index state = s.L * s.D * s.B * s.H, width = s.D * s.H;
  const bool all = s.steps == tsdl::Steps::all;
  Values x = test::draw<double>(random, s.T * s.B * s.I);
  Values h0 = test::draw<double>(random, state), c0 = test::draw<double>(random, state);
  const Values dy = test::draw<double>(random, (all ? s.T : 1) * s.B * width);
  const Values dh_n = test::draw<double>(random, state), dc_n = test::draw<double>(random, state);
  const auto view = test::dense(x, s.I, s.T, s.B);
  tsdl::StackCache<double> cache;

  const std::function<double()> loss = [&] {
    tsdl::ForwardOptions<double> options;
    options.steps = s.steps;
    options.training = true;
    options.dropout = {11, 5};
    options.want_h_n = s.states;
    if (s.states) options.h0 = h0.data();
    if (s.states && has_c) options.c0 = c0.data();
    stack.repack();
    stack.forward(view, cache, options);
    double sum = 0.0;
    const auto read = [&](Index t, Index b, Index d, const double* weights) {
      const auto y = stack.output(cache, t, b, d);
      sum += std::inner_product(y.data(), y.data() + s.H, weights, 0.0);
    };
    for (Index t = all ? 0 : s.T - 1; t < s.T; ++t)
      for (Index b = 0; b < s.B; ++b)
        for (Index d = 0; d < s.D; ++d)
          read(s.steps == tsdl::Steps::each_direction_end && d == 1 ? 0 : t, b, d,
               dy.data() + ((all ? t : 0) * s.B + b) * width + d * s.H);
    if (s.states) {
      Values h_n(h0.size()), c_n(h0.size());
      stack.final_state(cache, h_n.data(), has_c ? c_n.data() : nullptr);
      sum += dot(h_n, dh_n);
      if (has_c) sum += dot(c_n, dc_n);
    }
    return sum;
  };

  loss();
  Values dx(x.size()), dh0(h0.size()), dc0(h0.size());
  tsdl::BackwardOptions<double> options;
  options.dy = test::dense(dy, width, s.T, s.B);
  if (!all) options.dy.step_stride = 0;
  options.steps = s.steps;
  options.dx = test::dense(dx, s.I, s.T, s.B);
  if (s.states) {
    options.dh_n = dh_n.data();
    options.dh0 = dh0.data();
    if (has_c) {
      options.dc_n = dc_n.data();
      options.dc0 = dc0.data();
    }
  }
  stack.backward(view, cache, options);

  CHECK(check_gradient("x", x, dx, loss) > 0.0);
  if (s.states) {
    CHECK(check_gradient("h0", h0, dh0, loss) > 0.0);
    if (has_c) CHECK(check_gradient("c0", c0, dc0, loss) > 0.0);
  }
  std::vector<tsdl::Parameter<double>*> parameters;
  stack.visit([&](tsdl::Parameter<double>& parameter) { parameters.push_back(&parameter); });
  for (tsdl::Parameter<double>* parameter : parameters) {
    const double top =
        check_gradient(parameter->name, parameter->value.span(), parameter->gradient.span(), loss);
    // Only the recurrent weights of a direction that ran a single step have nothing to learn.
    const bool dead = s.steps == tsdl::Steps::last && !s.states && s.D == 2 &&
                      parameter->name == "weight_hh_l" + std::to_string(s.L - 1) + "_reverse";
    CHECK((top > 0.0) == !dead);
  }
}

/// A task and the targets of three samples, of each step in turn where every step has one.
struct Asked {
  tsdl::Task task;
  Values targets;
};

template <class Model>
void check_network(tsdl::Pooling pooling, const Asked& asked) {
  const Index I = 3, H = 3, T = 4, B = 3;
  INFO("pooling ", tsdl::to_string(pooling), " task ", asked.task->describe().kind);
  Model model({.input_size = I,
               .hidden_size = H,
               .num_layers = 2,
               .dropout = 0.3,
               .head_dropout = 0.4,
               .pooling = pooling,
               .outputs = asked.task->outputs()});
  tsdl::RandomStream random(3);
  test::draw_parameters(model, random, 0.8);
  Values x = test::draw<double>(random, T * B * I), dx(x.size()), targets;
  for (Index step = 0; step < model.target_steps(T); ++step)
    targets.insert(targets.end(), asked.targets.begin(), asked.targets.end());
  Values doutputs(targets.size() / static_cast<std::size_t>(asked.task->targets()) *
                  static_cast<std::size_t>(asked.task->outputs()));
  typename Model::Cache cache;
  const auto view = test::dense(x, I, T, B);
  const std::function<double()> loss = [&] {
    model.repack();
    const auto outputs = model.forward(view, cache, {.training = true, .dropout = {1, 2}});
    return test::mean_loss(asked.task, outputs, targets, doutputs.data());
  };
  loss();
  model.backward(view, cache, doutputs.data(), test::dense(dx, I, T, B));
  CHECK(check_gradient("x", x, dx, loss) > 0.0);
  std::vector<tsdl::Parameter<double>*> parameters;
  model.visit([&](tsdl::Parameter<double>& parameter) { parameters.push_back(&parameter); });
  for (tsdl::Parameter<double>* parameter : parameters)
    check_gradient(parameter->name, parameter->value.span(), parameter->gradient.span(), loss);
}

}  // namespace

TEST_CASE_TEMPLATE(
    "finite differences: a bidirectional stack of two, through outputs and both states", Cell,
    tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  check_stack<Cell>({3, 5, 2, 2, 4, 3, 0.0, tsdl::Steps::all, true});
  check_stack<Cell>({3, 5, 2, 2, 4, 3, 0.4, tsdl::Steps::all, true});
}

TEST_CASE_TEMPLATE("finite differences: gradients that enter at the last or final steps only", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  for (const tsdl::Steps steps : {tsdl::Steps::last, tsdl::Steps::each_direction_end})
    for (const bool states : {false, true}) {
      check_stack<Cell>({2, 3, 2, 2, 3, 2, 0.0, steps, states});
      check_stack<Cell>({2, 3, 2, 2, 3, 2, 0.4, steps, states});
    }
}

TEST_CASE_TEMPLATE("finite differences: one direction, and three layers", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  check_stack<Cell>({2, 3, 2, 1, 5, 2, 0.3, tsdl::Steps::all, true});
  check_stack<Cell>({2, 3, 3, 2, 3, 2, 0.3, tsdl::Steps::all, true});
  // More samples than one tile of the layer holds, and wider than one vector.
  check_stack<Cell>({2, 9, 1, 2, 3, 18, 0.0, tsdl::Steps::all, true});
}

TEST_CASE_TEMPLATE("finite differences: a classifier, every pooling and loss", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  const std::vector<Asked> kinds = {
      {tsdl::task_of(tsdl::BCEWithLogits{2.5}, 1), {1, 0, 1}},
      {tsdl::task_of(tsdl::CrossEntropy{{0.5, 2.0, 1.25}}, 3), {2, 0, 1}},
      {tsdl::task_of(tsdl::MSE{}, 1), {0.3, -1.0, 2.0}}};
  for (const tsdl::Pooling pooling :
       {tsdl::Pooling::last, tsdl::Pooling::each_direction_end, tsdl::Pooling::mean})
    for (const Asked& kind : kinds) check_network<tsdl::RecurrentNetwork<Cell, 2>>(pooling, kind);
}

TEST_CASE_TEMPLATE("finite differences: a target at every step, and quantiles of two targets", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  using One = tsdl::RecurrentNetwork<Cell, 1>;
  const Asked classes{tsdl::Classes{.count = 3}, {2, 0, 1}};
  const Asked quantiles{tsdl::Quantiles{.levels = {0.1, 0.5, 0.7}, .targets = 2},
                        {0.3, -1.0, 2.0, 0.1, -0.4, 1.0}};
  check_network<One>(tsdl::Pooling::each, classes);
  check_network<One>(tsdl::Pooling::each, quantiles);
  check_network<One>(tsdl::Pooling::last, quantiles);
  check_network<tsdl::RecurrentNetwork<Cell, 2>>(tsdl::Pooling::mean, quantiles);
}
