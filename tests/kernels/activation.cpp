// Activations against the standard library in long double: the documented errors, over the whole
// range, in every lane.
#include "tsdl/kernels/activation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "support/network.hpp"

namespace {

using test::Index;
namespace kernels = tsdl::kernels;

template <class Scalar>
using Values = std::vector<Scalar>;

long double exact_sigmoid(long double x) { return 1.0L / (1.0L + std::exp(-x)); }
long double exact_tanh(long double x) { return std::tanh(x); }

/// Applies a vector function to an array, the last vector partly filled.
template <class Scalar, class F>
Values<Scalar> mapped(const Values<Scalar>& x, const F& f) {
  constexpr Index W = kernels::lanes<Scalar>;
  Values<Scalar> y(x.size());
  for (Index i = 0; i < std::ssize(x); i += W) {
    const Index count = std::min(W, std::ssize(x) - i);
    kernels::store_partial(y.data() + i, f(kernels::load_partial(x.data() + i, count)), count);
  }
  return y;
}

/// Sigmoid and tanh of one vector.
template <class Activation>
constexpr auto sigmoid = [](const auto& x) {
  std::remove_cvref_t<decltype(x)> y[1] = {x};
  Activation::sigmoid(y);
  return y[0];
};
template <class Activation>
constexpr auto tanh_ = [](const auto& x) {
  std::remove_cvref_t<decltype(x)> y[1] = {x};
  Activation::tanh(y);
  return y[0];
};

/// Both signs of every magnitude from the least normal number to the largest, and fine steps where
/// the functions bend.
template <class Scalar>
Values<Scalar> whole_range() {
  Values<Scalar> x;
  const double top = std::is_same_v<Scalar, float> ? 128.0 : 1024.0;
  const double bottom = std::is_same_v<Scalar, float> ? -126.0 : -1022.0;
  for (double e = bottom; e < top; e += 0.01) {
    const auto value = static_cast<Scalar>(std::exp2(e));
    x.insert(x.end(), {value, -value});
  }
  for (double v = -50.0; v <= 50.0; v += 0.000731) x.push_back(static_cast<Scalar>(v));
  for (double v = -1.0; v <= 1.0; v += 0.0000171) x.push_back(static_cast<Scalar>(v));
  for (double v = 80.0; v <= 120.0; v += 0.0171)
    x.insert(x.end(), {static_cast<Scalar>(v), static_cast<Scalar>(-v)});
  for (double v = 700.0; v <= 760.0; v += 0.0171)
    x.insert(x.end(), {static_cast<Scalar>(v), static_cast<Scalar>(-v)});
  return x;
}

/// The spacing of numbers of the Scalar at `exact`.
template <class Scalar>
long double ulp(long double exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return std::ldexp(1.0L, exponent - std::numeric_limits<Scalar>::digits);
}

struct Errors {
  double absolute = 0, ulps = 0;  ///< ulps where the result is normal
  double below = 0;               ///< absolute, where it is not
};

template <class Scalar, class F, class Exact>
Errors largest_errors(const F& f, const Exact& exact) {
  const Values<Scalar> x = whole_range<Scalar>(), y = mapped(x, f);
  Errors top;
  const auto raise = [](double& most, long double error) {
    if (!(static_cast<double>(error) <= most)) most = static_cast<double>(error);
  };
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double expected = exact(static_cast<long double>(x[i]));
    const long double error = std::abs(static_cast<long double>(y[i]) - expected);
    raise(top.absolute, error);
    if (std::abs(expected) >= static_cast<long double>(std::numeric_limits<Scalar>::min()))
      raise(top.ulps, error / ulp<Scalar>(expected));
    else
      raise(top.below, error);
  }
  return top;
}

template <class Scalar>
const std::string scalar_name = std::is_same_v<Scalar, float> ? "float" : "double";

}  // namespace

TEST_CASE_TEMPLATE("Accurate is within 5 ulp over the whole range", Scalar, float, double) {
  const Errors s = largest_errors<Scalar>(sigmoid<tsdl::Accurate>, exact_sigmoid);
  const Errors t = largest_errors<Scalar>(tanh_<tsdl::Accurate>, exact_tanh);
  CHECK(s.ulps <= 5);
  CHECK(t.ulps <= 5);
  CHECK(s.below <= static_cast<double>(std::numeric_limits<Scalar>::min()));
  CHECK(t.below <= static_cast<double>(std::numeric_limits<Scalar>::min()));
  MESSAGE(scalar_name<Scalar>, ": sigmoid within ", s.ulps, " ulp, tanh within ", t.ulps, " ulp");
}

TEST_CASE_TEMPLATE("Fast keeps its documented error over the whole range", Scalar, float, double) {
  const double documented = std::is_same_v<Scalar, float> ? 1e-5 : 1e-7;
  const Errors s = largest_errors<Scalar>(sigmoid<tsdl::Fast>, exact_sigmoid);
  const Errors t = largest_errors<Scalar>(tanh_<tsdl::Fast>, exact_tanh);
  CHECK(s.absolute <= documented);
  CHECK(t.absolute <= documented);
  MESSAGE(scalar_name<Scalar>, ": sigmoid within ", s.absolute, ", tanh within ", t.absolute);
}

TEST_CASE_TEMPLATE("activations saturate, and NaN stays NaN", Scalar, float, double) {
  const Scalar infinity = std::numeric_limits<Scalar>::infinity();
  const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  const Values<Scalar> x = {-infinity, Scalar{-1000}, Scalar{0}, Scalar{1000}, infinity, nan};
  const Values<Scalar> s = mapped(x, sigmoid<tsdl::Accurate>), t = mapped(x, tanh_<tsdl::Accurate>);
  const Values<Scalar> of_sigmoid = {0, 0, Scalar{0.5}, 1, 1}, of_tanh = {-1, -1, 0, 1, 1};
  for (std::size_t i = 0; i < of_sigmoid.size(); ++i) {
    INFO("x ", x[i]);
    CHECK(s[i] == of_sigmoid[i]);
    CHECK(t[i] == of_tanh[i]);
  }
  CHECK(tsdl::is_nan(static_cast<double>(s[5])));
  CHECK(tsdl::is_nan(static_cast<double>(t[5])));
  const Values<Scalar> fast_s = mapped(x, sigmoid<tsdl::Fast>),
                       fast_t = mapped(x, tanh_<tsdl::Fast>);
  for (std::size_t i = 0; i < of_sigmoid.size(); ++i) {
    CHECK(std::abs(fast_s[i] - of_sigmoid[i]) <= Scalar(1e-5));
    CHECK(std::abs(fast_t[i] - of_tanh[i]) <= Scalar(1e-5));
  }
  CHECK(tsdl::is_nan(static_cast<double>(fast_s[5])));
  CHECK(tsdl::is_nan(static_cast<double>(fast_t[5])));
}

template <class Scalar, class Activation>
Index values_that_depend_on_place() {
  constexpr Index W = kernels::lanes<Scalar>;
  const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  // Points from each branch that an implementation may take for part of a vector.
  const auto points = test::converted<Scalar>(
      std::vector<double>{0, 1e-30, 0.1, -0.6, 0.63, 2, -5, 20, -95, 800, -1000});
  Index different = 0;
  for (const Scalar x : points) {
    const Scalar s = mapped(Values<Scalar>{x}, sigmoid<Activation>)[0],
                 t = mapped(Values<Scalar>{x}, tanh_<Activation>)[0];
    for (const Scalar neighbour : {Scalar{0}, Scalar{0.25}, Scalar{-3}, Scalar{1000}, nan})
      for (Index count = 1; count <= 2 * W + 1; ++count)
        for (Index place = 0; place < count; ++place) {
          Values<Scalar> mixed(static_cast<std::size_t>(count), neighbour);
          mixed[static_cast<std::size_t>(place)] = x;
          different += mapped(mixed, sigmoid<Activation>)[static_cast<std::size_t>(place)] != s;
          different += mapped(mixed, tanh_<Activation>)[static_cast<std::size_t>(place)] != t;
        }
  }
  return different;
}

TEST_CASE_TEMPLATE("a value does not depend on its lane nor on its neighbours", Scalar, float,
                   double) {
  CHECK((values_that_depend_on_place<Scalar, tsdl::Accurate>()) == 0);
  CHECK((values_that_depend_on_place<Scalar, tsdl::Fast>()) == 0);
}

TEST_CASE_TEMPLATE("vectors side by side have the values that each has alone", Scalar, float,
                   double) {
  using V = kernels::Vec<Scalar>;
  tsdl::RandomStream random(4);
  Index different = 0;
  for (int round = 0; round < 200; ++round) {
    V sigmoids[5], tanhs[5], alone[2][5];
    for (Index j = 0; j < 5; ++j) {
      tsdl::Buffer<Scalar> values(kernels::lanes<Scalar>);
      for (Scalar& value : values) value = static_cast<Scalar>(random.uniform(-30.0, 30.0));
      sigmoids[j] = tanhs[j] = kernels::load(values.data());
      alone[0][j] = sigmoid<tsdl::Accurate>(sigmoids[j]);
      alone[1][j] = tanh_<tsdl::Accurate>(tanhs[j]);
    }
    tsdl::Accurate::sigmoid(sigmoids);
    tsdl::Accurate::tanh(tanhs);
    for (Index j = 0; j < 5; ++j) {
      different += !xsimd::all(sigmoids[j] == alone[0][j]);
      different += !xsimd::all(tanhs[j] == alone[1][j]);
    }
  }
  CHECK(different == 0);
}

TEST_CASE_TEMPLATE("the gates of a unit are within 5 ulp whatever the others are, and within 1",
                   Scalar, float, double) {
  constexpr Index W = kernels::lanes<Scalar>;
  using V = kernels::Vec<Scalar>;
  const Values<Scalar> all = whole_range<Scalar>();
  const auto partners = test::converted<Scalar>(
      std::vector<double>{0, 1e-30, -1e-3, 0.3, -2, 7.7, -17, 18.1, 30, -40, 87, -87, 1e30, -1e30});
  double largest = 0, below = 0;
  Index outside = 0;
  const auto judge = [&](Scalar value, long double exact) {
    const auto error = static_cast<double>(std::abs(static_cast<long double>(value) - exact));
    outside += !(std::abs(value) <= 1);
    if (std::abs(exact) >= static_cast<long double>(std::numeric_limits<Scalar>::min()))
      largest = std::max(largest, error / static_cast<double>(ulp<Scalar>(exact)));
    else
      below = std::max(below, error);
  };
  for (std::size_t start = 0; start + W <= all.size(); start += W)
    for (std::size_t turn = 0; turn < 3; ++turn) {
      const V x = kernels::load_unaligned(all.data() + start);
      const V other(partners[(start / W * 3 + turn) % partners.size()]);
      V lstm[2][4] = {{x, x, other, x}, {other, other, x, other}}, gru[2] = {x, other};
      for (V(&gates)[4] : lstm) tsdl::Accurate::gates<3>(gates);
      tsdl::Accurate::gates<2>(gru);
      for (Index lane = 0; lane < W; lane += turn == 0 ? 1 : 5) {
        const auto at = static_cast<std::size_t>(lane);
        const auto value = static_cast<long double>(x.get(at)),
                   beside = static_cast<long double>(other.get(at));
        for (const int j : {0, 1, 3}) {
          const bool sigmoid_gate = j < 3;
          judge(lstm[0][j].get(at), sigmoid_gate ? exact_sigmoid(value) : exact_tanh(value));
          judge(lstm[1][j].get(at), sigmoid_gate ? exact_sigmoid(beside) : exact_tanh(beside));
        }
        judge(lstm[1][2].get(at), exact_sigmoid(value));
        judge(gru[0].get(at), exact_sigmoid(value));
        judge(gru[1].get(at), exact_sigmoid(beside));
      }
    }
  CHECK(largest <= 5);
  CHECK(below <= static_cast<double>(std::numeric_limits<Scalar>::min()));
  CHECK(outside == 0);
  MESSAGE(scalar_name<Scalar>, ": gates within ", largest, " ulp");
}

TEST_CASE_TEMPLATE("slopes are the derivatives, written in terms of the value", Scalar, float,
                   double) {
  using V = kernels::Vec<Scalar>;
  constexpr double unit = std::numeric_limits<Scalar>::epsilon();
  for (const double x : {-3.0, -0.4, 0.0, 0.7, 2.5}) {
    const double s = 1.0 / (1.0 + std::exp(-x)), c = std::cosh(x);
    const V of_sigmoid = tsdl::Accurate::sigmoid_slope(V(static_cast<Scalar>(s)));
    const V of_tanh = tsdl::Accurate::tanh_slope(V(static_cast<Scalar>(std::tanh(x))));
    // e^x / (1 + e^x)^2 and 1 / cosh^2 x: the textbook forms.
    CHECK(static_cast<double>(of_sigmoid.get(0)) ==
          doctest::Approx(std::exp(x) / std::pow(1.0 + std::exp(x), 2)).epsilon(8 * unit));
    CHECK(std::abs(static_cast<double>(of_tanh.get(0)) - 1.0 / (c * c)) <= 4 * unit);
    CHECK(tsdl::LinearGates::sigmoid_slope(V(static_cast<Scalar>(x))).get(0) == 1);
    CHECK(tsdl::LinearGates::tanh_slope(V(static_cast<Scalar>(x))).get(0) == 1);
    V same[2] = {V(static_cast<Scalar>(x)), V(static_cast<Scalar>(-x))};
    tsdl::LinearGates::gates<1>(same);
    CHECK(same[0].get(0) == static_cast<Scalar>(x));
    CHECK(same[1].get(0) == static_cast<Scalar>(-x));
  }
}
