// Clipping: the global norm and its coefficient.
#include "tsdl/optim/clip.hpp"

#include <doctest/doctest.h>

#include "support/network.hpp"
#include "tsdl/nn/linear.hpp"

TEST_CASE("the coefficient is min(1, max / (norm + 1e-6)), and 0 turns clipping off") {
  CHECK(tsdl::clip_coefficient(4.0, 1.0) == 1.0 / (4.0 + 1e-6));
  CHECK(tsdl::clip_coefficient(0.5, 1.0) == 1.0);
  CHECK(tsdl::clip_coefficient(1.0, 1.0) == 1.0 / (1.0 + 1e-6));
  CHECK(tsdl::clip_coefficient(0.0, 1.0) == 1.0);
  CHECK(tsdl::clip_coefficient(1e9, 0.0) == 1.0);
  CHECK(tsdl::clip_coefficient(1e300, 1.0) == doctest::Approx(1e-300));
}

TEST_CASE_TEMPLATE("the norm is that of all gradients together", Scalar, float, double) {
  tsdl::Linear<Scalar> linear(19, 5, /*seed=*/1);
  CHECK(tsdl::gradient_norm(linear) == 0.0);
  tsdl::RandomStream random(3);
  double squares = 0.0;
  linear.visit([&](tsdl::Parameter<Scalar>& parameter) {
    parameter.need_gradient();
    for (Scalar& value : parameter.gradient) {
      value = static_cast<Scalar>(static_cast<float>(random.uniform(-2.0, 2.0)));
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
  });
  CHECK(tsdl::gradient_norm(linear) == doctest::Approx(std::sqrt(squares)).epsilon(1e-14));
  for (const Scalar bad :
       {std::numeric_limits<Scalar>::infinity(), std::numeric_limits<Scalar>::quiet_NaN()}) {
    linear.visit([&](tsdl::Parameter<Scalar>& parameter) { parameter.gradient[2] = bad; });
    CHECK(!tsdl::is_finite(tsdl::gradient_norm(linear)));
  }
}
