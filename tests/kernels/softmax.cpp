// Softmax and layer norm against naive ones in long double.
#include "tsdl/kernels/softmax.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "support/network.hpp"
#include "tsdl/kernels/normalisation.hpp"

namespace {

using test::Index;
namespace kernels = tsdl::kernels;
using Long = std::vector<long double>;

template <class Scalar>
constexpr long double eps = std::numeric_limits<Scalar>::epsilon();

template <class Scalar>
void fill(tsdl::Buffer<Scalar>& values, tsdl::RandomStream& random, double scale) {
  for (Scalar& value : values) value = static_cast<Scalar>(random.uniform(-scale, scale));
}

}  // namespace

TEST_CASE_TEMPLATE("softmax: the documented error, and its gradient", Scalar, float, double) {
  constexpr Index W = kernels::lanes<Scalar>;
  tsdl::RandomStream random(1);
  long double worst = 0;
  for (Index n = 1; n <= 5 * W + 1; ++n)
    for (const double scale : {0.1, 3.0, 60.0}) {
      const Index padded = tsdl::round_up(n, W) + W;
      const auto c = static_cast<Scalar>(0.37);
      tsdl::Buffer<Scalar> x(padded), p(padded), dp(padded);
      fill(x, random, scale);
      for (Index s = n; s < padded; ++s)
        x[s] = std::numeric_limits<Scalar>::quiet_NaN();  // not read
      fill(dp, random, 1.0);
      p = x;
      kernels::softmax(p.data(), n, padded, c);
      long double sum = 0, largest = x[0], bound = 0;
      for (Index s = 0; s < n; ++s) largest = std::max<long double>(largest, x[s]);
      for (Index s = 0; s < n; ++s) {
        sum += std::exp(c * (x[s] - largest));
        bound = std::max<long double>(bound, std::abs(x[s]));
      }
      Long exact(static_cast<std::size_t>(padded));
      long double dot = 0;
      for (Index s = 0; s < padded; ++s) {
        long double& its = exact[static_cast<std::size_t>(s)];
        its = s < n ? std::exp(c * (x[s] - largest)) / sum : 0;
        dot += its * dp[s];
        if (s >= n) CHECK(p[s] == 0);
        if (its > std::numeric_limits<Scalar>::min()) {
          const long double error = std::abs(p[s] - its) / its / eps<Scalar> / (1 + c * bound);
          worst = std::max(worst, error);
          CHECK(error <= 4);
        }
      }
      tsdl::Buffer<Scalar> dx = dp;
      kernels::softmax_backward(dx.data(), p.data(), padded, c);
      for (Index s = 0; s < padded; ++s)
        CHECK(std::abs(dx[s] - c * exact[static_cast<std::size_t>(s)] * (dp[s] - dot)) <=
              20 * eps<Scalar> * (1 + c * bound));
    }
  MESSAGE(std::string(sizeof(Scalar) == 4 ? "float" : "double"), ": ", static_cast<double>(worst),
          " eps (1 + c max|x|)");
}

TEST_CASE_TEMPLATE("softmax: huge scores", Scalar, float, double) {
  constexpr Index W = kernels::lanes<Scalar>;
  for (const double size : {1e10, 1e30})
    for (Index n = 2; n <= 2 * W + 1; ++n)
      for (const Index top : {Index{0}, n - 1}) {
        const Index padded = tsdl::round_up(n, W);
        tsdl::Buffer<Scalar> p(padded);
        for (Index s = 0; s < n; ++s) p[s] = static_cast<Scalar>(s == top ? size : -size);
        kernels::softmax(p.data(), n, padded, static_cast<Scalar>(1 / std::sqrt(8.0)));
        for (Index s = 0; s < padded; ++s) CHECK(p[s] == Scalar(s == top));
      }
}

TEST_CASE_TEMPLATE("layer norm: outputs and gradients", Scalar, float, double) {
  constexpr Index W = kernels::lanes<Scalar>;
  tsdl::RandomStream random(2);
  double worst = 0;
  std::vector<Index> sizes(static_cast<std::size_t>(4 * W + 1));
  std::iota(sizes.begin(), sizes.end(), Index{1});
  sizes.push_back(1'000);
  for (const Index d : sizes)
    for (const bool adds : {false, true})
      for (const double shift : {0.0, 5.0}) {
        const Index J = 3, dp = tsdl::round_up(d, W), count = J * dp;
        tsdl::Buffer<Scalar> x(count), added(count), y(count), n(count), rstd(J), dy(count),
            dx(count), gamma(dp), beta(dp), dgamma(dp), dbeta(dp);
        for (Index i = 0; i < d; ++i) {
          gamma[i] = static_cast<Scalar>(random.uniform(0.5, 1.5));
          beta[i] = static_cast<Scalar>(random.normal());
          for (Index j = 0; j < J; ++j) {
            x[j * dp + i] = static_cast<Scalar>(random.normal() + shift);
            added[j * dp + i] = static_cast<Scalar>(random.normal());
            dy[j * dp + i] = static_cast<Scalar>(random.normal());
          }
        }
        kernels::layer_norm<Scalar>({y.data(), n.data(), rstd.data(), x.data(),
                                     adds ? added.data() : nullptr, gamma.data(), beta.data()},
                                    J, d);
        std::fill(dgamma.begin(), dgamma.end(), Scalar{2});
        kernels::layer_norm_backward<Scalar>({dx.data(), dgamma.data(), dbeta.data(), dy.data(),
                                              n.data(), rstd.data(), gamma.data()},
                                             J, d);
        Long exact_dgamma(static_cast<std::size_t>(d), 2), exact_dbeta(exact_dgamma.size());
        for (Index j = 0; j < J; ++j) {
          Long z, its;
          long double mean = 0, variance = 0, sum = 0, products = 0, top = 0, factor = 0;
          for (Index i = 0; i < d; ++i) {
            // The sum is rounded once, which is not the norm's error.
            z.push_back(adds ? static_cast<Scalar>(x[j * dp + i] + added[j * dp + i])
                             : x[j * dp + i]);
            mean += z.back() / static_cast<long double>(d);
          }
          for (const long double value : z)
            variance += (value - mean) * (value - mean) / static_cast<long double>(d);
          const long double scale = 1 / std::sqrt(variance + 1e-5L);
          for (Index i = 0; i < d; ++i) {
            its.push_back((z[static_cast<std::size_t>(i)] - mean) * scale);
            const long double g = dy[j * dp + i] * static_cast<long double>(gamma[i]);
            sum += g / static_cast<long double>(d);
            products += g * its.back() / static_cast<long double>(d);
            top = std::max(top, std::abs(its.back()));
            factor = std::max<long double>(factor, gamma[i]);
            exact_dgamma[static_cast<std::size_t>(i)] += dy[j * dp + i] * its.back();
            exact_dbeta[static_cast<std::size_t>(i)] += dy[j * dp + i];
          }
          for (Index i = 0; i < dp; ++i) {
            if (i >= d) {
              CHECK(y[j * dp + i] == 0);
              CHECK(n[j * dp + i] == 0);
              continue;
            }
            const long double value = its[static_cast<std::size_t>(i)];
            const long double unit =
                eps<Scalar> *
                ((1 + std::abs(mean) * scale) * (1 + top) * factor + std::abs(beta[i]));
            const long double error = std::abs(y[j * dp + i] - (gamma[i] * value + beta[i])) / unit;
            worst = std::max(worst, static_cast<double>(error));
            CHECK(error <= 4);
            const long double g = dy[j * dp + i] * static_cast<long double>(gamma[i]);
            CHECK(std::abs(dx[j * dp + i] - scale * (g - sum - value * products)) <=
                  200 * eps<Scalar> * scale * (1 + std::abs(mean) * scale));
          }
        }
        for (Index i = 0; i < d; ++i) {
          const auto k = static_cast<std::size_t>(i);
          const long double unit = eps<Scalar> * 400;
          CHECK(std::abs(dgamma[i] - exact_dgamma[k]) <= unit);
          CHECK(std::abs(dbeta[i] - exact_dbeta[k]) <= unit);
        }
      }
  MESSAGE(std::string(sizeof(Scalar) == 4 ? "float" : "double"), ": ", worst, " of 4");
}
