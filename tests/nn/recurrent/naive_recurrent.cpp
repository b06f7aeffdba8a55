// The stack against the naive oracle: sizes around the vector width, odd sizes from 1 to 67, real
// and linear gates.
#include "nn/recurrent/naive_recurrent.hpp"

#include <doctest/doctest.h>

#include <type_traits>

#include "support/network.hpp"
#include "tsdl/nn/recurrent/stack.hpp"

namespace {

using test::Index;
using test::Row;
using test::Rows;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

struct Shape {
  Index I, H, L, D, T, B;
};

/// Everything that one pass forward and back computes, in PyTorch's shapes and order. A cell
/// without a state c leaves c_n and dc0 empty.
struct Results {
  std::vector<double> y, h_n, c_n, dx, dh0, dc0;
  std::vector<std::vector<double>> parameters;  // gradients
};

struct Inputs {
  std::vector<double> x, h0, c0, dy, dh_n, dc_n;
  std::vector<std::vector<double>> parameters;

  /// The values of a linear network's products grow with its size: `scale` keeps them near 1.
  Inputs(const Shape& s, Index gates, double scale, std::uint64_t seed) {
    tsdl::RandomStream random(seed);
    const Index state = s.L * s.D * s.B * s.H;
    x = test::draw<double>(random, s.T * s.B * s.I);
    h0 = test::draw<double>(random, state);
    c0 = test::draw<double>(random, state);
    dy = test::draw<double>(random, s.T * s.B * s.D * s.H);
    dh_n = test::draw<double>(random, state);
    dc_n = test::draw<double>(random, state);
    for (Index l = 0; l < s.L; ++l)
      for (Index d = 0; d < s.D; ++d)
        for (const Index cols : {l == 0 ? s.I : s.D * s.H, s.H, Index{1}, Index{1}})
          parameters.push_back(
              test::draw<double>(random, gates * s.H * cols,
                                 scale / std::sqrt(static_cast<double>(std::max(cols, s.H)))));
  }
};

Row row_of(const std::vector<double>& values, Index index, Index count) {
  return {values.begin() + index * count, values.begin() + (index + 1) * count};
}

void put(std::vector<double>& values, Index index, const Row& row) {
  std::copy(row.begin(), row.end(), values.begin() + index * std::ssize(row));
}

void load(Rows& matrix, const std::vector<double>& values) {
  for (std::size_t r = 0; r < matrix.size(); ++r)
    matrix[r] = row_of(values, static_cast<Index>(r), std::ssize(matrix[r]));
}

std::vector<double> flat(const Rows& rows) {
  std::vector<double> values;
  for (const Row& row : rows) values.insert(values.end(), row.begin(), row.end());
  return values;
}

template <class Unit>
Results naive(const Shape& s, const Inputs& in, bool linear) {
  test::NaiveStack<Unit> stack(size(s.I), size(s.H), size(s.L), size(s.D), linear);
  for (std::size_t n = 0; n < stack.layers.size(); ++n) {
    load(stack.layers[n].W, in.parameters[4 * n]);
    load(stack.layers[n].U, in.parameters[4 * n + 1]);
    stack.layers[n].b_ih = in.parameters[4 * n + 2];
    stack.layers[n].b_hh = in.parameters[4 * n + 3];
  }
  Results out;
  out.y.resize(in.dy.size());
  out.dx.resize(in.x.size());
  out.h_n = out.dh0 = in.h0;
  if (Unit::has_c) out.c_n = out.dc0 = in.h0;
  for (Index b = 0; b < s.B; ++b) {
    Rows x, dy, h0, c0, dh, dc;
    for (Index t = 0; t < s.T; ++t) {
      x.push_back(row_of(in.x, t * s.B + b, s.I));
      dy.push_back(row_of(in.dy, t * s.B + b, s.D * s.H));
    }
    for (Index n = 0; n < s.L * s.D; ++n) {
      h0.push_back(row_of(in.h0, n * s.B + b, s.H));
      c0.push_back(row_of(in.c0, n * s.B + b, s.H));
      dh.push_back(row_of(in.dh_n, n * s.B + b, s.H));
      dc.push_back(row_of(in.dc_n, n * s.B + b, s.H));
    }
    const Rows y = stack.forward(x, h0, c0), dx = stack.backward(dy, dh, dc);
    for (Index t = 0; t < s.T; ++t) {
      put(out.y, t * s.B + b, y[size(t)]);
      put(out.dx, t * s.B + b, dx[size(t)]);
    }
    for (Index n = 0; n < s.L * s.D; ++n) {
      put(out.h_n, n * s.B + b, stack.layers[size(n)].h_n());
      if (Unit::has_c) put(out.c_n, n * s.B + b, stack.layers[size(n)].c_n);
      put(out.dh0, n * s.B + b, dh[size(n)]);
      if (Unit::has_c) put(out.dc0, n * s.B + b, dc[size(n)]);
    }
  }
  for (const auto& layer : stack.layers)
    for (const auto& gradient : {flat(layer.dW), flat(layer.dU), layer.db_ih, layer.db_hh})
      out.parameters.push_back(gradient);
  return out;
}

template <class Cell>
Results library(const Shape& s, const Inputs& in) {
  using Scalar = typename Cell::Scalar;
  constexpr bool has_c = Cell::cell_vectors > 0;
  tsdl::RecurrentStack<Cell> stack(
      {.input_size = s.I, .hidden_size = s.H, .num_layers = s.L, .bidirectional = s.D == 2});
  std::size_t next = 0;
  stack.visit([&](tsdl::Parameter<Scalar>& parameter) {
    const auto values = test::converted<Scalar>(in.parameters[next++]);
    REQUIRE(std::ssize(values) == parameter.size());
    std::copy(values.begin(), values.end(), parameter.value.begin());
  });
  stack.repack();
  const auto x = test::converted<Scalar>(in.x), h0 = test::converted<Scalar>(in.h0),
             c0 = test::converted<Scalar>(in.c0), dy = test::converted<Scalar>(in.dy),
             dh_n = test::converted<Scalar>(in.dh_n), dc_n = test::converted<Scalar>(in.dc_n);
  const std::size_t cells = has_c ? h0.size() : 0;
  std::vector<Scalar> dx(x.size()), h_n(h0.size()), c_n(cells), dh0(h0.size()), dc0(cells);
  tsdl::StackCache<Scalar> cache;
  stack.forward(
      test::dense(x, s.I, s.T, s.B), cache,
      {.training = true, .want_h_n = true, .h0 = h0.data(), .c0 = has_c ? c0.data() : nullptr});
  stack.final_state(cache, h_n.data(), has_c ? c_n.data() : nullptr);
  Results out;
  out.y = test::converted<double>(test::outputs(stack, cache));
  stack.backward(test::dense(x, s.I, s.T, s.B), cache,
                 {.dy = test::dense(dy, s.D * s.H, s.T, s.B),
                  .dh_n = dh_n.data(),
                  .dc_n = has_c ? dc_n.data() : nullptr,
                  .dx = test::dense(dx, s.I, s.T, s.B),
                  .dh0 = dh0.data(),
                  .dc0 = has_c ? dc0.data() : nullptr});
  out.h_n = test::converted<double>(h_n);
  out.c_n = test::converted<double>(c_n);
  out.dx = test::converted<double>(dx);
  out.dh0 = test::converted<double>(dh0);
  out.dc0 = test::converted<double>(dc0);
  for (const auto& gradient : test::gradients(stack))
    out.parameters.push_back(test::converted<double>(gradient));
  return out;
}

void compare(const char* name, const std::vector<double>& values,
             const std::vector<double>& reference, double tolerance) {
  INFO(name);
  CHECK(test::largest_difference(values, reference) <=
        tolerance * std::max(1.0, test::largest(reference)));
}

template <class Cell>
void compare_all(const Shape& s, bool linear, double tolerance) {
  INFO("I ", s.I, " H ", s.H, " L ", s.L, " D ", s.D, " T ", s.T, " B ", s.B);
  const Inputs in(s, Cell::gates, linear ? 0.7 : 1.5,
                  static_cast<std::uint64_t>(s.I + 100 * s.H + 10000 * s.B));
  const Results expected = naive<typename test::NaiveOf<Cell>::Unit>(s, in, linear),
                actual = library<Cell>(s, in);
  compare("y", actual.y, expected.y, tolerance);
  compare("h_n", actual.h_n, expected.h_n, tolerance);
  compare("c_n", actual.c_n, expected.c_n, tolerance);
  compare("dx", actual.dx, expected.dx, tolerance);
  compare("dh0", actual.dh0, expected.dh0, tolerance);
  compare("dc0", actual.dc0, expected.dc0, tolerance);
  REQUIRE(actual.parameters.size() == expected.parameters.size());
  for (std::size_t n = 0; n < expected.parameters.size(); ++n)
    compare("parameter", actual.parameters[n], expected.parameters[n], tolerance);
}

/// Each of H, I and B over 1 ... 2W + 1 while the others take small sizes in turn.
template <class Cell>
void sweep(bool linear, double tolerance) {
  const Index W = Cell::W;
  for (Index n = 1; n <= 2 * W + 1; ++n) {
    const Index L = 1 + n % 2, D = 1 + n / 2 % 2, T = 1 + n % 4;
    compare_all<Cell>({1 + n % 5, n, L, D, T, 1 + n % 3}, linear, tolerance);
    compare_all<Cell>({n, 3, L, D, T, 2}, linear, tolerance);
    compare_all<Cell>({3, 5, L, D, T, n}, linear, tolerance);
  }
  compare_all<Cell>({3, W + 1, 3, 2, 6, 19}, linear, tolerance);
}

/// Each of I, H and B over all odd sizes from 1 to 67; and each of I and H over them for one sample
/// and, with real gates, more steps.
template <class Cell>
void sweep_odd(bool linear, double tolerance) {
  tsdl::RandomStream random(linear ? 6 : 5);
  const auto up_to = [&](std::uint64_t n) { return 1 + static_cast<Index>(random.below(n)); };
  for (const test::Sizes& n : test::odd_sizes(random))
    compare_all<Cell>({n.I, n.H, up_to(2), up_to(2), up_to(3), n.B}, linear, tolerance);
  // With linear gates a GRU's h is a polynomial whose degree doubles at each step: few of them.
  const std::uint64_t most_steps = linear ? 3 : 8;
  for (const test::Sizes& n : test::odd_sizes(random))
    compare_all<Cell>({n.I, n.H, up_to(2), up_to(2), up_to(most_steps), 1}, linear, tolerance);
}

template <class Cell>
inline constexpr bool is_float = std::is_same_v<typename Cell::Scalar, float>;
template <class Cell>
inline constexpr double tolerance = is_float<Cell> ? 3e-6 : 1e-14;
template <class Cell>
inline constexpr double linear_tolerance = is_float<Cell> ? 1e-5 : 1e-14;

template <class Scalar>
using LinearLSTM = tsdl::LSTMCell<Scalar, tsdl::LinearGates>;
template <class Scalar>
using LinearGRU = tsdl::GRUCell<Scalar, tsdl::LinearGates>;

}  // namespace

TEST_CASE_TEMPLATE("a stack agrees with the naive cell over sizes around the vector width", Cell,
                   tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>,
                   tsdl::GRUCell<double>) {
  sweep<Cell>(false, tolerance<Cell>);
}

TEST_CASE_TEMPLATE("a stack agrees with the naive cell over odd sizes from 1 to 67", Cell,
                   tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>,
                   tsdl::GRUCell<double>) {
  sweep_odd<Cell>(false, tolerance<Cell>);
}

TEST_CASE_TEMPLATE("linear gates: wiring, gate order and the direction of time", Cell,
                   LinearLSTM<float>, LinearLSTM<double>, LinearGRU<float>, LinearGRU<double>) {
  sweep<Cell>(true, linear_tolerance<Cell>);
}

TEST_CASE_TEMPLATE("linear gates over odd sizes from 1 to 67", Cell, LinearLSTM<float>,
                   LinearLSTM<double>, LinearGRU<float>, LinearGRU<double>) {
  sweep_odd<Cell>(true, linear_tolerance<Cell>);
}
