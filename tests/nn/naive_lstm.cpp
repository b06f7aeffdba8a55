// The stack against the naive oracle: sizes around the vector width, real and linear gates.
#include "nn/naive_lstm.hpp"

#include <doctest/doctest.h>

#include <type_traits>

#include "support/network.hpp"
#include "tsdl/nn/stack.hpp"

namespace {

using test::Index;
using test::Row;
using test::Rows;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

struct Shape {
  Index I, H, L, D, T, B;
};

/// Everything that one pass forward and back computes, in PyTorch's shapes and order.
struct Results {
  std::vector<double> y, h_n, c_n, dx, dh0, dc0;
  std::vector<std::vector<double>> parameters;  // gradients
};

struct Inputs {
  std::vector<double> x, h0, c0, dy, dh_n, dc_n;
  std::vector<std::vector<double>> parameters;

  /// The values of a linear network's products grow with its size: `scale` keeps them near 1.
  Inputs(const Shape& s, double scale, std::uint64_t seed) {
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
          parameters.push_back(test::draw<double>(random, 4 * s.H * cols,
                                                  scale / std::sqrt(static_cast<double>(s.H))));
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

Results naive(const Shape& s, const Inputs& in, bool linear) {
  test::NaiveLSTM lstm(size(s.I), size(s.H), size(s.L), size(s.D), linear);
  for (std::size_t n = 0; n < lstm.layers.size(); ++n) {
    load(lstm.layers[n].W, in.parameters[4 * n]);
    load(lstm.layers[n].U, in.parameters[4 * n + 1]);
    lstm.layers[n].b_ih = in.parameters[4 * n + 2];
    lstm.layers[n].b_hh = in.parameters[4 * n + 3];
  }
  Results out;
  out.y.resize(in.dy.size());
  out.dx.resize(in.x.size());
  out.h_n = out.c_n = out.dh0 = out.dc0 = in.h0;
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
    const Rows y = lstm.forward(x, h0, c0), dx = lstm.backward(dy, dh, dc);
    for (Index t = 0; t < s.T; ++t) {
      put(out.y, t * s.B + b, y[size(t)]);
      put(out.dx, t * s.B + b, dx[size(t)]);
    }
    for (Index n = 0; n < s.L * s.D; ++n) {
      put(out.h_n, n * s.B + b, lstm.layers[size(n)].h_n());
      put(out.c_n, n * s.B + b, lstm.layers[size(n)].c_n());
      put(out.dh0, n * s.B + b, dh[size(n)]);
      put(out.dc0, n * s.B + b, dc[size(n)]);
    }
  }
  for (const test::NaiveDirection& layer : lstm.layers)
    for (const auto& gradient : {flat(layer.dW), flat(layer.dU), layer.db, layer.db})
      out.parameters.push_back(gradient);
  return out;
}

template <class Scalar, class Activation>
Results library(const Shape& s, const Inputs& in) {
  tsdl::LSTM<Scalar, Activation> lstm(
      {.input_size = s.I, .hidden_size = s.H, .num_layers = s.L, .bidirectional = s.D == 2});
  std::size_t next = 0;
  lstm.visit([&](tsdl::Parameter<Scalar>& parameter) {
    const auto values = test::converted<Scalar>(in.parameters[next++]);
    REQUIRE(std::ssize(values) == parameter.size());
    std::copy(values.begin(), values.end(), parameter.value.begin());
  });
  lstm.repack();
  const auto x = test::converted<Scalar>(in.x), h0 = test::converted<Scalar>(in.h0),
             c0 = test::converted<Scalar>(in.c0), dy = test::converted<Scalar>(in.dy),
             dh_n = test::converted<Scalar>(in.dh_n), dc_n = test::converted<Scalar>(in.dc_n);
  std::vector<Scalar> dx(x.size()), h_n(h0.size()), c_n(h0.size()), dh0(h0.size()), dc0(h0.size());
  tsdl::StackCache<Scalar> cache;
  lstm.forward(test::dense(x, s.I, s.T, s.B), cache,
               {.training = true, .final_states = true, .h0 = h0.data(), .c0 = c0.data()});
  lstm.final_state(cache, h_n.data(), c_n.data());
  Results out;
  out.y = test::converted<double>(test::outputs(lstm, cache));
  lstm.backward(test::dense(x, s.I, s.T, s.B), cache,
                {.dy = test::dense(dy, s.D * s.H, s.T, s.B),
                 .dh_n = dh_n.data(),
                 .dc_n = dc_n.data(),
                 .dx = test::dense(dx, s.I, s.T, s.B),
                 .dh0 = dh0.data(),
                 .dc0 = dc0.data()});
  out.h_n = test::converted<double>(h_n);
  out.c_n = test::converted<double>(c_n);
  out.dx = test::converted<double>(dx);
  out.dh0 = test::converted<double>(dh0);
  out.dc0 = test::converted<double>(dc0);
  for (const auto& gradient : test::gradients(lstm))
    out.parameters.push_back(test::converted<double>(gradient));
  return out;
}

void compare(const char* name, const std::vector<double>& values,
             const std::vector<double>& reference, double tolerance) {
  INFO(name);
  CHECK(test::largest_difference(values, reference) <=
        tolerance * std::max(1.0, test::largest(reference)));
}

template <class Scalar, class Activation>
void compare_all(const Shape& s, double scale, double tolerance) {
  INFO("I ", s.I, " H ", s.H, " L ", s.L, " D ", s.D, " T ", s.T, " B ", s.B);
  const Inputs in(s, scale, static_cast<std::uint64_t>(s.I + 100 * s.H + 10000 * s.B));
  const Results expected = naive(s, in, std::is_same_v<Activation, tsdl::LinearGates>),
                actual = library<Scalar, Activation>(s, in);
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
template <class Scalar, class Activation>
void sweep(double scale, double tolerance) {
  const Index W = tsdl::kernels::lanes<Scalar>;
  for (Index n = 1; n <= 2 * W + 1; ++n) {
    const Index L = 1 + n % 2, D = 1 + n / 2 % 2, T = 1 + n % 4;
    compare_all<Scalar, Activation>({1 + n % 5, n, L, D, T, 1 + n % 3}, scale, tolerance);
    compare_all<Scalar, Activation>({n, 3, L, D, T, 2}, scale, tolerance);
    compare_all<Scalar, Activation>({3, 5, L, D, T, n}, scale, tolerance);
  }
  compare_all<Scalar, Activation>({3, W + 1, 3, 2, 6, 19}, scale, tolerance);
}

}  // namespace

TEST_CASE_TEMPLATE("a stack agrees with the naive LSTM over sizes around the vector width", Scalar,
                   float, double) {
  sweep<Scalar, tsdl::Accurate>(1.5, std::is_same_v<Scalar, float> ? 3e-6 : 1e-14);
}

TEST_CASE_TEMPLATE("linear gates: wiring, gate order and the direction of time", Scalar, float,
                   double) {
  sweep<Scalar, tsdl::LinearGates>(0.7, std::is_same_v<Scalar, float> ? 1e-5 : 1e-14);
}
