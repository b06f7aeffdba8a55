// The linear layer against plain loops, over sizes around a vector and around a panel.
#include "tsdl/nn/linear.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "support/network.hpp"

namespace {

using test::Index;

template <class Scalar>
tsdl::Linear<Scalar> linear_layer(Index in, Index out) {
  return tsdl::Linear<Scalar>(in, out, /*seed=*/1);
}

template <class Scalar>
void check(Index in, Index out, Index B) {
  INFO("in ", in, " out ", out, " B ", B);
  const double unit = std::numeric_limits<Scalar>::epsilon();
  auto layer = linear_layer<Scalar>(in, out);
  tsdl::RandomStream random(3);
  const auto x = test::draw<Scalar>(random, B * in), dy = test::draw<Scalar>(random, B * out);
  const auto at = [](const auto& values, Index i) {
    return static_cast<double>(values.begin()[i]);
  };
  std::vector<double> y_naive, dx_naive(x.size(), 0.0), db(static_cast<std::size_t>(out), 0.0),
      dw(static_cast<std::size_t>(out * in), 0.0);
  for (Index b = 0; b < B; ++b)
    for (Index n = 0; n < out; ++n) {
      double sum = at(layer.bias().value, n);
      for (Index k = 0; k < in; ++k) {
        sum += at(layer.weight().value, n * in + k) * at(x, b * in + k);
        dw[static_cast<std::size_t>(n * in + k)] += at(dy, b * out + n) * at(x, b * in + k);
        dx_naive[static_cast<std::size_t>(b * in + k)] +=
            at(dy, b * out + n) * at(layer.weight().value, n * in + k);
      }
      y_naive.push_back(sum);
      db[static_cast<std::size_t>(n)] += at(dy, b * out + n);
    }

  std::vector<Scalar> y(dy.size()), dx(x.size(), Scalar{9});
  typename tsdl::Linear<Scalar>::Cache cache;
  layer.forward(y.data(), x.data(), B);
  layer.backward(dx.data(), dy.data(), x.data(), B, cache);
  CHECK(test::largest_difference(y, y_naive) <= unit * static_cast<double>(in + 1));
  CHECK(test::largest_difference(dx, dx_naive) <= unit * static_cast<double>(out + 1));
  CHECK(test::largest_difference(layer.weight().gradient, dw) <= unit * static_cast<double>(B + 1));
  CHECK(test::largest_difference(layer.bias().gradient, db) <= unit * static_cast<double>(B + 1));

  // Once more: parameter gradients add up, dx is assigned.
  const auto once = test::gradients(layer);
  const auto dx_once = dx;
  layer.backward(dx.data(), dy.data(), x.data(), B, cache);
  CHECK(dx == dx_once);
  const auto twice = test::gradients(layer);
  for (std::size_t n = 0; n < once.size(); ++n)
    for (std::size_t i = 0; i < once[n].size(); ++i)
      if (twice[n][i] != 2 * once[n][i]) FAIL_CHECK("parameter ", n, " value ", i);
  layer.zero_gradients();
  for (const auto& gradient : test::gradients(layer)) CHECK(test::largest(gradient) == 0.0);
}

}  // namespace

TEST_CASE_TEMPLATE("a linear layer agrees with plain loops", Scalar, float, double) {
  const Index W = tsdl::kernels::lanes<Scalar>;
  for (const Index out : {Index{1}, Index{3}, W + 1, 4 * W, 4 * W + 1, 9 * W - 1})
    for (const Index in : {Index{1}, W - 1, 2 * W + 1})
      for (const Index B : {1, 5, 33})
        if (in > 0) check<Scalar>(in, out, B);
  check<Scalar>(7, 2, 300);
}

TEST_CASE("a linear layer refuses sizes below 1") {
  CHECK_THROWS_AS(linear_layer<float>(0, 1), tsdl::ShapeError);
  CHECK_THROWS_AS(linear_layer<float>(1, 0), tsdl::ShapeError);
  CHECK_THROWS_AS(linear_layer<float>(-3, 2), tsdl::ShapeError);
}
