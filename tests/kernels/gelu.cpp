// GELU and ReLU against erf and exp in long double: the documented errors, over the whole range.
#include "tsdl/kernels/gelu.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <type_traits>
#include <vector>

#include "support/network.hpp"

namespace {

using test::Index;
namespace kernels = tsdl::kernels;

long double below(long double x) {
  return 0.5L * std::erfc(-x / std::numbers::sqrt2_v<long double>);
}
long double gelu(long double x) { return x * below(x); }
long double gelu_slope(long double x) {
  const long double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi_v<long double>);
  return below(x) + x * density;
}

template <class Scalar>
tsdl::Buffer<Scalar> whole_range() {
  std::vector<Scalar> x;
  for (double v = -45.0; v <= 45.0; v += 0.00131) x.push_back(static_cast<Scalar>(v));
  for (double e = -120.0; e < 120.0; e += 0.17)
    for (const double sign : {-1.0, 1.0}) x.push_back(static_cast<Scalar>(sign * std::exp2(e)));
  x.insert(x.end(), {Scalar{0}, -Scalar{0}});
  tsdl::Buffer<Scalar> all(tsdl::round_up(std::ssize(x), kernels::lanes<Scalar>));
  std::copy(x.begin(), x.end(), all.begin());
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("gelu: the documented errors", Scalar, float, double) {
  const double tolerance = std::is_same_v<Scalar, float> ? 2e-7 : 5e-16;
  const tsdl::Buffer<Scalar> x = whole_range<Scalar>();
  tsdl::Buffer<Scalar> y(x.size()), slope(x.size()), alone(x.size());
  kernels::gelu(y.data(), slope.data(), x.data(), x.size());
  kernels::gelu<Scalar>(alone.data(), nullptr, x.data(), x.size());
  double worst = 0, worst_slope = 0;
  for (Index i = 0; i < x.size(); ++i) {
    const auto exact = static_cast<long double>(x[i]);
    const auto scale = std::max(1.0L, std::abs(exact));
    worst = std::max(worst, static_cast<double>(std::abs(y[i] - gelu(exact)) / scale));
    worst_slope =
        std::max(worst_slope, static_cast<double>(std::abs(slope[i] - gelu_slope(exact)) / scale));
    CHECK(alone[i] == y[i]);
  }
  MESSAGE(std::string(sizeof(Scalar) == 4 ? "float" : "double"), ": gelu ", worst, ", its slope ",
          worst_slope);
  CHECK(worst <= tolerance);
  CHECK(worst_slope <= tolerance);
}

TEST_CASE_TEMPLATE("gelu and relu: a value hangs on no other, and NaN stays", Scalar, float,
                   double) {
  constexpr Index W = kernels::lanes<Scalar>, count = 3 * W;
  tsdl::RandomStream random(1);
  tsdl::Buffer<Scalar> x(count), y(count), slope(count), one(W), its(W);
  for (Scalar& value : x) value = static_cast<Scalar>(3 * random.normal());
  for (const bool is_gelu : {true, false}) {
    const auto f = is_gelu ? kernels::gelu<Scalar> : kernels::relu<Scalar>;
    f(y.data(), slope.data(), x.data(), count);
    for (Index i = 0; i < count; ++i) {
      std::fill(one.begin(), one.end(), x[i]);
      f(its.data(), nullptr, one.data(), W);
      CHECK(its[0] == y[i]);
      if (is_gelu) continue;
      CHECK(y[i] == std::max(Scalar{0}, x[i]));
      CHECK(slope[i] == (x[i] > 0 ? Scalar{1} : Scalar{0}));
    }
    x[1] = std::numeric_limits<Scalar>::quiet_NaN();
    f(y.data(), slope.data(), x.data(), count);
    for (Index i = 0; i < count; ++i) CHECK(tsdl::is_nan(static_cast<double>(y[i])) == (i == 1));
    x[1] = Scalar{1};
  }
}
