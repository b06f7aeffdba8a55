// The AdamW kernel and the sum of squares against scalar loops, at every tail.
#include "tsdl/kernels/adamw.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "support/network.hpp"
#include "tsdl/core/buffer.hpp"

namespace {

using test::Index;
namespace kernels = tsdl::kernels;

}  // namespace

TEST_CASE_TEMPLATE("adamw agrees with the scalar formula for sizes 1 ... 2W + 1", Scalar, float,
                   double) {
  const Index W = kernels::lanes<Scalar>;
  const double unit = std::numeric_limits<Scalar>::epsilon();
  for (Index size = 1; size <= 2 * W + 1; ++size) {
    INFO("size ", size);
    tsdl::RandomStream random(static_cast<std::uint64_t>(size));
    const auto drawn = [&](double low, double high) {
      tsdl::Buffer<Scalar> values(size + 1);
      for (Scalar& value : values) value = static_cast<Scalar>(random.uniform(low, high));
      values[size] = Scalar{77};  // what lies behind must stay
      return values;
    };
    auto p = drawn(-1.0, 1.0), m = drawn(-0.1, 0.1), v = drawn(0.0, 0.1);
    const auto gradient = drawn(-3.0, 3.0);
    const auto p0 = test::converted<double>(p), m0 = test::converted<double>(m),
               v0 = test::converted<double>(v), g0 = test::converted<double>(gradient);
    const double lr = 0.01, decay = 0.1, b1 = 0.9, b2 = 0.99, eps = 1e-3, scale = 0.25, t = 3;
    kernels::adamw(p.data(), m.data(), v.data(), gradient.data(), size,
                   {.gradient_scale = scale,
                    .keep = 1.0 - lr * decay,
                    .beta1 = b1,
                    .beta2 = b2,
                    .step_size = lr / (1.0 - std::pow(b1, t)),
                    .inverse_v_correction = 1.0 / std::sqrt(1.0 - std::pow(b2, t)),
                    .eps = eps});
    for (const auto* values : {&p, &m, &v}) CHECK((*values)[size] == Scalar{77});
    for (Index i = 0; i < size; ++i) {
      const auto n = static_cast<std::size_t>(i);
      const double g = g0[n] * scale;
      const double mi = b1 * m0[n] + (1.0 - b1) * g, vi = b2 * v0[n] + (1.0 - b2) * g * g;
      const double m_hat = mi / (1.0 - std::pow(b1, t)), v_hat = vi / (1.0 - std::pow(b2, t));
      const double pi = p0[n] - lr * decay * p0[n] - lr * m_hat / (std::sqrt(v_hat) + eps);
      CHECK(std::abs(static_cast<double>(m[i]) - mi) <= 4 * unit);
      CHECK(std::abs(static_cast<double>(v[i]) - vi) <= 4 * unit);
      CHECK(std::abs(static_cast<double>(p[i]) - pi) <= 4 * unit);
    }
  }
}

TEST_CASE_TEMPLATE("sum_of_squares adds in double", Scalar, float, double) {
  for (const Index size : {0, 1, 15, 16, 17, 33, 1000}) {
    tsdl::RandomStream random(4);
    const auto values = test::draw<Scalar>(random, size, 100.0);
    long double expected = 0;
    for (const Scalar value : values)
      expected += static_cast<long double>(value) * static_cast<long double>(value);
    CHECK(kernels::sum_of_squares(values.data(), size) ==
          doctest::Approx(static_cast<double>(expected)).epsilon(1e-14));
  }
  // Beyond float's range.
  const std::vector<Scalar> large(3, Scalar{3e38f});
  CHECK(kernels::sum_of_squares(large.data(), 3) == doctest::Approx(27e76).epsilon(1e-6));
}
