// Samples of unequal length in recurrent networks: PyTorch's packed sequences, finite differences,
// and the same bits whatever the batch, the padding, and the threads.
//
// tests/goldens/torch_lengths.py wrote the cases.
#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <limits>
#include <numeric>

#include "support/loss.hpp"
#include "support/network.hpp"
#include "support/torch_case.hpp"
#include "support/training.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace {

using test::Case, test::Worst;
using test::Index;
using Values = std::vector<double>;
using Lengths = std::vector<Index>;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class Scalar>
tsdl::Batch<Scalar> batch_of(const tsdl::Sequence<const Scalar>& x, const Lengths& lengths) {
  tsdl::Batch<Scalar> batch(x);
  batch.lengths = lengths;
  return batch;
}

/// Sets every column of padded steps of x, I values each.
void pad(Values& x, Index I, const Lengths& lengths, double value) {
  const Index B = std::ssize(lengths), T = std::ssize(x) / (B * I);
  for (Index t = 0; t < T; ++t)
    for (Index b = 0; b < B; ++b)
      if (t >= lengths[static_cast<std::size_t>(b)])
        std::fill_n(x.begin() + (t * B + b) * I, I, value);
}

/// Everything that a training pass of a stack gives.
struct Passed {
  Values y, h_n, c_n, dx, dh0, dc0;
  std::vector<Values> gradients;
  bool operator==(const Passed&) const = default;
};

/// The inputs of a pass; states may be empty.
struct Given {
  Index T, B;
  Values x{}, h0{}, c0{}, dy{}, dh_n{}, dc_n{};
};

template <class Cell>
Passed pass(tsdl::RecurrentStack<Cell>& stack, const Given& given, const Lengths& lengths,
            tsdl::StackCache<double>& cache, tsdl::Steps steps = tsdl::Steps::all) {
  constexpr bool has_c = Cell::cell_vectors > 0;
  const Index I = stack.options().input_size, T = given.T, B = given.B;
  const bool states = !given.h0.empty();
  Passed out;
  out.dx.assign(given.x.size(), nan);
  tsdl::ForwardOptions<double> forward;
  tsdl::BackwardOptions<double> backward;
  forward.steps = backward.steps = steps;
  forward.training = true;
  forward.lengths = lengths;
  forward.want_h_n = states;
  if (states) forward.h0 = given.h0.data();
  if (states && has_c) forward.c0 = given.c0.data();
  stack.zero_gradients();
  stack.forward(test::dense(given.x, I, T, B), cache, forward);
  if (states) {
    out.h_n.resize(given.h0.size());
    if (has_c) out.c_n.resize(given.c0.size());
    stack.final_state(cache, out.h_n.data(), has_c ? out.c_n.data() : nullptr);
  }
  if (steps == tsdl::Steps::all) out.y = test::outputs(stack, cache);
  backward.dy = test::dense(given.dy, stack.output_size(), T, B);
  if (steps != tsdl::Steps::all) backward.dy.step_stride = 0;
  backward.dx = test::dense(out.dx, I, T, B);
  if (states) {
    out.dh0.assign(given.h0.size(), nan);
    backward.dh_n = given.dh_n.data();
    backward.dh0 = out.dh0.data();
    if (has_c) {
      out.dc0.assign(given.h0.size(), nan);
      backward.dc_n = given.dc_n.data();
      backward.dc0 = out.dc0.data();
    }
  }
  stack.backward(test::dense(given.x, I, T, B), cache, backward);
  out.gradients = test::gradients(stack);
  return out;
}

template <class Cell>
Given drawn(const tsdl::RecurrentStack<Cell>& stack, Index T, Index B, bool states, int seed) {
  tsdl::RandomStream random(static_cast<std::uint64_t>(seed));
  const auto& o = stack.options();
  const Index state = states ? o.num_layers * stack.directions() * B * o.hidden_size : 0;
  Given given{T, B, test::draw<double>(random, T * B * o.input_size)};
  for (Values* values : {&given.h0, &given.c0, &given.dh_n, &given.dc_n})
    *values = test::draw<double>(random, state);
  given.dy = test::draw<double>(random, T * B * stack.output_size());
  return given;
}

template <class Cell>
tsdl::RecurrentStack<Cell> stack_of(Index I, Index H, Index L, Index D) {
  tsdl::RecurrentStack<Cell> stack(
      {.input_size = I, .hidden_size = H, .num_layers = L, .bidirectional = D == 2}, 3);
  tsdl::RandomStream random(21);
  test::draw_parameters(stack, random, 0.7);
  return stack;
}

Lengths lengths_of(Case<double>& c) {
  Lengths lengths;
  for (const double length : c.tensor("lengths")) lengths.push_back(static_cast<Index>(length));
  return lengths;
}

template <class Cell>
void run_layers(Case<double>& c) {
  constexpr bool has_c = Cell::cell_vectors > 0;
  const Index I = c.number("I"), T = c.number("T"), B = c.number("B");
  tsdl::RecurrentStack<Cell> stack({.input_size = I,
                                    .hidden_size = c.number("H"),
                                    .num_layers = c.number("L"),
                                    .bidirectional = c.number("D") == 2},
                                   0, std::string(Cell::prefix) + ".");
  c.load(stack);
  const Lengths lengths = lengths_of(c);
  Given given{T, B, c.tensor("x"), c.tensor("h0"), {}, c.tensor("dy"), c.tensor("dh_n"), {}};
  if (has_c) given.c0 = c.tensor("c0");
  if (has_c) given.dc_n = c.tensor("dc_n");
  tsdl::StackCache<double> cache;
  const Passed out = pass(stack, given, lengths, cache);
  c.compare_output("out.y", out.y, 1e-12);
  c.compare_output("out.h_n", out.h_n, 1e-12);
  if (has_c) c.compare_output("out.c_n", out.c_n, 1e-12);
  c.compare_parameter_gradients(stack, 1e-12);
  c.compare_gradient("grad.x", out.dx, 1e-12);
  c.compare_gradient("grad.h0", out.dh0, 1e-12);
  if (has_c) c.compare_gradient("grad.c0", out.dc0, 1e-12);
  c.finish();
  // What stands in the padding of x and of dy does not matter.
  for (const double filling : {nan, std::numeric_limits<double>::infinity(), 1e300}) {
    pad(given.x, I, lengths, filling);
    pad(given.dy, stack.output_size(), lengths, filling);
    CHECK((pass(stack, given, lengths, cache) == out));
  }
  // Without training, the states at each sample's end are the same.
  Values h_n(out.h_n.size(), nan), c_n(out.c_n.size(), nan);
  tsdl::ForwardOptions<double> forward;
  forward.lengths = lengths;
  forward.want_h_n = true;
  forward.h0 = given.h0.data();
  if (has_c) forward.c0 = given.c0.data();
  stack.forward(test::dense(given.x, I, T, B), cache, forward);
  stack.final_state(cache, h_n.data(), has_c ? c_n.data() : nullptr);
  CHECK(h_n == out.h_n);
  CHECK(c_n == out.c_n);
  CHECK(test::outputs(stack, cache) == out.y);
}

template <class Model>
void run_classifier(Case<double>& c) {
  const Index I = c.number("I"), T = c.number("T"), B = c.number("B"), K = c.number("K");
  Model model(test::options_of(c));
  c.load(model);
  Values x = c.tensor("x");
  const Values labels = c.tensor("labels");
  const Lengths lengths = lengths_of(c);
  const tsdl::Task task = tsdl::task_of(test::loss_of(c), K);
  typename Model::Cache cache;
  Values dx(x.size()), before, dlogits(static_cast<std::size_t>(B * K));
  for (const bool filled : {false, true}) {
    if (filled) pad(x, I, lengths, nan);
    const auto batch = batch_of(test::dense(std::as_const(x), I, T, B), lengths);
    model.zero_gradients();
    const auto logits = model.forward(batch, cache, {.training = true});
    c.compare_output("out.logits", std::span<const double>(logits.data(), dlogits.size()), 1e-12);
    c.compare_output("out.loss", Values{test::mean_loss(task, logits, labels, dlogits.data())},
                     1e-12);
    model.backward(batch, cache, dlogits.data(), test::dense(dx, I, T, B));
    c.compare_parameter_gradients(model, 1e-12);
    c.compare_gradient("grad.x", dx, 1e-12);
  }
  c.finish();
}

template <class Cell>
void run_cases() {
  Worst worst;
  int cases = 0;
  const auto directory = std::filesystem::path(TSDL_SOURCE_DIR) / "tests/goldens/torch_lengths";
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().stem().string();
    if (name.find(std::string("_") + Cell::prefix + "_") == std::string::npos) continue;
    Case<double> c(entry.path(), worst);
    ++cases;
    if (name.starts_with("layers"))
      run_layers<Cell>(c);
    else if (c.number("D") == 2)
      run_classifier<tsdl::RecurrentNetwork<Cell, 2>>(c);
    else
      run_classifier<tsdl::RecurrentNetwork<Cell, 1>>(c);
  }
  CHECK(cases == 20);
  MESSAGE(std::string(Cell::name), ": ", cases, " cases, largest error ", worst.ratio,
          " of its tolerance, in ", worst.where);
}

/// |e| <= 1e-7 of the tensor's largest magnitude, by the five-point formula.
void check_gradient(const std::string& name, std::span<double> values,
                    std::span<const double> gradient, const std::function<double()>& f) {
  constexpr double step = 1e-3;
  Values numeric;
  for (double& value : values) {
    const double start = value;
    const auto at = [&](double offset) {
      value = start + offset;
      return f();
    };
    numeric.push_back((8.0 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) /
                      (12.0 * step));
    value = start;
  }
  INFO(name);
  CHECK(test::largest_difference(gradient, numeric) <= 1e-7 * test::largest(numeric));
  CHECK(test::largest(numeric) > 0.0);
}

/// A network with dropout, of samples of unequal length.
template <class Model>
void check_network(tsdl::Pooling pooling) {
  INFO("pooling ", tsdl::to_string(pooling));
  const Index I = 2, T = 5;
  const Lengths lengths = {5, 1, 3};
  const Index B = std::ssize(lengths);
  Model model({.input_size = I,
               .hidden_size = 3,
               .num_layers = 2,
               .dropout = 0.3,
               .head_dropout = 0.4,
               .pooling = pooling,
               .outputs = 3});
  tsdl::RandomStream random(3);
  test::draw_parameters(model, random, 0.8);
  const tsdl::Task task = tsdl::Classes{.count = 3};
  const Values labels = {2, 0, 1};
  Values x = test::draw<double>(random, T * B * I), dx(x.size()), dlogits(9);
  typename Model::Cache cache;
  const auto batch = batch_of(test::dense(std::as_const(x), I, T, B), lengths);
  const std::function<double()> loss = [&] {
    model.repack();
    const auto outputs = model.forward(batch, cache, {.training = true, .dropout = {1, 2}});
    return test::mean_loss(task, outputs, labels, dlogits.data());
  };
  loss();
  model.backward(batch, cache, dlogits.data(), test::dense(dx, I, T, B));
  check_gradient("x", x, dx, loss);
  std::vector<tsdl::Parameter<double>*> parameters;
  model.visit([&](tsdl::Parameter<double>& parameter) { parameters.push_back(&parameter); });
  for (tsdl::Parameter<double>* parameter : parameters) {
    // Under last-step pooling the top reverse direction has run one step when it is read.
    if (pooling == tsdl::Pooling::last && parameter->name.ends_with("weight_hh_l1_reverse")) {
      CHECK(test::largest(parameter->gradient) == 0.0);
      continue;
    }
    check_gradient(parameter->name, parameter->value.span(), parameter->gradient.span(), loss);
  }
}

/// A part of a network that does not say that it takes lengths.
template <class Part>
struct Deaf : Part {
  using Part::Part;
  static constexpr bool takes_lengths = false;
};

}  // namespace

TEST_CASE_TEMPLATE("PyTorch's packed sequences: outputs, states and every gradient", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  run_cases<Cell>();
}

TEST_CASE_TEMPLATE("finite differences: samples of unequal length, every pooling", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  for (const tsdl::Pooling pooling :
       {tsdl::Pooling::last, tsdl::Pooling::each_direction_end, tsdl::Pooling::mean}) {
    check_network<tsdl::RecurrentNetwork<Cell, 2>>(pooling);
    check_network<tsdl::RecurrentNetwork<Cell, 1>>(pooling);
  }
}

TEST_CASE_TEMPLATE("lengths that are all T change no bit, also of overlapping windows", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  auto stack = stack_of<Cell>(3, 19, 2, 2);
  tsdl::StackCache<double> cache;
  for (const Index B : {1, 5, 21})
    for (const tsdl::Steps steps :
         {tsdl::Steps::all, tsdl::Steps::last, tsdl::Steps::each_direction_end}) {
      const Given given = drawn(stack, 6, B, steps == tsdl::Steps::all, 5);
      const Lengths all(static_cast<std::size_t>(B), 6);
      CHECK((pass(stack, given, all, cache, steps) == pass(stack, given, {}, cache, steps)));
    }
}

TEST_CASE_TEMPLATE("a sample has the bits that it has alone, without padding", Cell,
                   tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>,
                   tsdl::GRUCell<double>) {
  using Scalar = typename Cell::Scalar;
  const Index I = 3, T = 9;
  for (const Index D : {1, 2})
    for (const Index B : {2, 7, 37}) {
      tsdl::RecurrentStack<Cell> stack(
          {.input_size = I, .hidden_size = 19, .num_layers = 2, .bidirectional = D == 2}, 3);
      tsdl::RandomStream random(static_cast<std::uint64_t>(B));
      const Index width = stack.output_size();
      const auto x = test::draw<Scalar>(random, T * B * I),
                 dy = test::draw<Scalar>(random, T * B * width);
      Lengths lengths;
      for (Index b = 0; b < B; ++b) lengths.push_back(1 + static_cast<Index>(random.below(T - 1)));
      lengths.front() = T;
      lengths.back() = 1;
      std::vector<Scalar> dx(x.size());
      tsdl::StackCache<Scalar> together, single;
      stack.forward(test::dense(x, I, T, B), together, {.training = true, .lengths = lengths});
      stack.backward(test::dense(x, I, T, B), together,
                     {.dy = test::dense(dy, width, T, B), .dx = test::dense(dx, I, T, B)});
      Index different = 0, padded = 0;
      for (Index b = 0; b < B; ++b) {
        const Index length = lengths[static_cast<std::size_t>(b)];
        std::vector<Scalar> own_x, own_dy;
        for (Index t = 0; t < length; ++t) {
          own_x.insert(own_x.end(), x.begin() + (t * B + b) * I, x.begin() + (t * B + b + 1) * I);
          own_dy.insert(own_dy.end(), dy.begin() + (t * B + b) * width,
                        dy.begin() + (t * B + b + 1) * width);
        }
        std::vector<Scalar> own_dx(own_x.size());
        stack.forward(test::dense(own_x, I, length, 1), single, {.training = true});
        stack.backward(
            test::dense(own_x, I, length, 1), single,
            {.dy = test::dense(own_dy, width, length, 1), .dx = test::dense(own_dx, I, length, 1)});
        for (Index t = 0; t < T; ++t)
          for (Index d = 0; d < D; ++d) {
            const auto y = stack.output(together, t, b, d);
            if (t < length)
              different += y != stack.output(single, t, 0, d);
            else
              padded += (y.array() != Scalar{0}).any();
            const auto at = dx.begin() + (t * B + b) * I;
            if (t < length)
              different += !std::equal(at, at + I, own_dx.begin() + t * I);
            else
              padded += std::any_of(at, at + I, [](Scalar value) { return value != Scalar{0}; });
          }
      }
      INFO("B ", B, " D ", D);
      CHECK(different == 0);
      CHECK(padded == 0);
    }
}

TEST_CASE_TEMPLATE("threads change no bit of samples of unequal length", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  const test::ThreadCountGuard guard;
  // Of one direction and few samples, threads share the units of each step.
  for (const auto& [B, D, H] : {std::array<Index, 3>{40, 2, 40}, std::array<Index, 3>{3, 1, 128}}) {
    auto stack = stack_of<Cell>(3, H, 2, D);
    const Given given = drawn(stack, 30, B, true, 8);
    Lengths lengths;
    for (Index b = 0; b < B; ++b) lengths.push_back(1 + (7 * b) % 30);
    std::vector<Passed> passes;
    for (const int threads : {1, 2, 5}) {
      tsdl::set_thread_count(threads);
      tsdl::StackCache<double> cache;
      passes.push_back(pass(stack, given, lengths, cache));
    }
    CHECK((passes[0] == passes[1]));
    CHECK((passes[0] == passes[2]));
  }
}

TEST_CASE_TEMPLATE("a cache goes from batches with lengths to batches without", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  auto stack = stack_of<Cell>(2, 5, 2, 2);
  tsdl::StackCache<double> fresh, used;
  const Given given = drawn(stack, 6, 4, true, 2);
  const Lengths lengths = {2, 6, 1, 3};
  pass(stack, drawn(stack, 9, 7, true, 3), {9, 2, 3, 9, 1, 1, 4}, used);
  const Passed plain = pass(stack, given, {}, fresh);
  CHECK((pass(stack, given, {}, used) == plain));
  CHECK_FALSE((pass(stack, given, lengths, used) == plain));
  CHECK((pass(stack, given, {}, used) == plain));
}

TEST_CASE("lengths that do not fit are refused, and so are parts that do not take them") {
  tsdl::GRU<double> stack({.input_size = 2, .hidden_size = 3});
  tsdl::StackCache<double> cache;
  const Values x(2 * 4 * 3);
  for (const Lengths& wrong :
       {Lengths{4, 0, 1}, Lengths{4, 5, 1}, Lengths{4, -1, 1}, Lengths{4, 1}, Lengths{4, 1, 1, 1}})
    CHECK_THROWS_AS(stack.forward(test::dense(x, 2, 4, 3), cache, {.lengths = wrong}),
                    tsdl::ShapeError);
  CHECK_THROWS_WITH_AS(stack.forward(test::dense(x, 2, 4, 3), cache, {.lengths = Lengths{4, 5, 1}}),
                       "GRU::forward: lengths: expected 1 to T = 4, got 5 for sample 1",
                       tsdl::ShapeError);

  const Lengths lengths = {4, 2, 1};
  tsdl::GRUClassifier<double> each(
      {.input_size = 2, .hidden_size = 3, .num_layers = 1, .pooling = tsdl::Pooling::each});
  tsdl::GRUClassifier<double>::Cache network;
  CHECK_THROWS_AS(each.forward(batch_of(test::dense(x, 2, 4, 3), lengths), network),
                  tsdl::OptionError);
  CHECK_NOTHROW(each.forward(batch_of(test::dense(x, 2, 4, 3), {}), network));

  using Encoder = tsdl::RecurrentEncoder<tsdl::GRUCell<double>, 1>;
  using DeafPooling = Deaf<tsdl::StandardPooling<double>>;
  static_assert(!tsdl::internal::takes_lengths<int>);
  const tsdl::ClassifierOptions options{.input_size = 2, .hidden_size = 3, .num_layers = 1};
  const auto refuses = [&](const auto& model) {
    typename std::remove_cvref_t<decltype(model)>::Cache work;
    CHECK_NOTHROW(model.forward(batch_of(test::dense(x, 2, 4, 3), {}), work));
    CHECK_THROWS_AS(model.forward(batch_of(test::dense(x, 2, 4, 3), lengths), work),
                    tsdl::OptionError);
  };
  refuses(tsdl::Network<Deaf<Encoder>>(Deaf<Encoder>(options), options.head()));
  refuses(tsdl::Network<Encoder, DeafPooling>(Encoder(options), DeafPooling(tsdl::Pooling::last, 3),
                                              options.head()));
}
