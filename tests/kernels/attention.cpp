// Attention of one head against a naive one in long double, forward and backward: every size of
// head, rows that are read, causal or not.
#include "tsdl/kernels/attention.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/network.hpp"

namespace {

using test::Index;
namespace kernels = tsdl::kernels;

/// Rows of a head within wider rows.
template <class Scalar>
struct Rows {
  Index count, size, stride, first = 3;
  tsdl::Buffer<Scalar> values;
  Rows(Index its_count, Index its_size, tsdl::RandomStream& random)
      : count(its_count), size(its_size), stride(its_size + 5), values(count * stride + 64) {
    for (Scalar& value : values) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
  }
  kernels::HeadRows<Scalar> head() { return {values.data() + first, stride}; }
  kernels::HeadRows<const Scalar> fixed() const { return {values.data() + first, stride}; }
  long double at(Index r, Index i) const { return values[first + r * stride + i]; }
};

struct Naive {
  std::vector<std::vector<long double>> a, P, dq, dk, dv;
};

template <class Scalar>
Naive naive(const Rows<Scalar>& q, const Rows<Scalar>& k, const Rows<Scalar>& v,
            const Rows<Scalar>& da, const kernels::AttentionShape& shape) {
  const auto zeros = [](Index rows, Index columns) {
    return std::vector<std::vector<long double>>(
        static_cast<std::size_t>(rows),
        std::vector<long double>(static_cast<std::size_t>(columns)));
  };
  const Index n = shape.keys, m = shape.queries, s = shape.size;
  Naive all{zeros(m, s), zeros(m, n), zeros(m, s), zeros(n, s), zeros(n, s)};
  const auto at = [](auto& matrix, Index r, Index c) -> long double& {
    return matrix[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)];
  };
  const long double c = 1 / std::sqrt(static_cast<long double>(s));
  for (Index r = 0; r < m; ++r) {
    const Index end = shape.causal ? n - m + r + 1 : n;
    long double sum = 0, dot = 0;
    for (Index t = 0; t < end; ++t) {
      long double score = 0;
      for (Index i = 0; i < s; ++i) score += q.at(r, i) * k.at(t, i);
      sum += at(all.P, r, t) = std::exp(c * score);
    }
    std::vector<long double> dP(static_cast<std::size_t>(n));
    for (Index t = 0; t < end; ++t) {
      const long double p = at(all.P, r, t) /= sum;
      for (Index i = 0; i < s; ++i) {
        at(all.a, r, i) += p * v.at(t, i);
        dP[static_cast<std::size_t>(t)] += da.at(r, i) * v.at(t, i);
        at(all.dv, t, i) += p * da.at(r, i);
      }
      dot += p * dP[static_cast<std::size_t>(t)];
    }
    for (Index t = 0; t < end; ++t) {
      const long double dS = c * at(all.P, r, t) * (dP[static_cast<std::size_t>(t)] - dot);
      for (Index i = 0; i < s; ++i) {
        at(all.dq, r, i) += dS * k.at(t, i);
        at(all.dk, t, i) += dS * q.at(r, i);
      }
    }
  }
  return all;
}

template <class Scalar>
void compare(const Rows<Scalar>& got, const std::vector<std::vector<long double>>& exact,
             const Rows<Scalar>& before) {
  const auto tolerance = 100 * static_cast<long double>(std::numeric_limits<Scalar>::epsilon());
  for (Index r = 0; r < got.count; ++r)
    for (Index i = 0; i < got.stride; ++i) {
      if (i < got.size)
        CHECK(std::abs(got.at(r, i) -
                       exact[static_cast<std::size_t>(r)][static_cast<std::size_t>(i)]) <=
              tolerance);
      else
        CHECK(got.at(r, i) == before.at(r, i));  // another head's
    }
}

}  // namespace

TEST_CASE_TEMPLATE("attention: a head's outputs and gradients", Scalar, float, double) {
  constexpr Index W = kernels::lanes<Scalar>;
  tsdl::RandomStream random(1);
  for (const Index s : {Index{1}, Index{3}, W, 2 * W - 1, 3 * W, 5 * W + 2})
    for (const Index n : {Index{1}, Index{2}, W + 1, 4 * W, 5 * W + 3})
      for (const Index m : {Index{1}, (n + 1) / 2, n})
        for (const bool causal : {false, true}) {
          CAPTURE(s);
          CAPTURE(n);
          CAPTURE(m);
          CAPTURE(causal);
          const kernels::AttentionShape shape{n, m, s, causal};
          const Index padded = tsdl::round_up(n, W);
          Rows<Scalar> q(m, s, random), k(n, s, random), v(n, s, random), da(m, s, random),
              a(m, s, random), as = a;
          tsdl::Buffer<Scalar> P(m * padded), dP(m * padded),
              scratch(kernels::attention_scratch<Scalar>(shape)),
              back(kernels::attention_backward_scratch<Scalar>(shape));
          const Naive exact = naive(q, k, v, da, shape);
          kernels::attention_weights(P.data(), q.fixed(), k.fixed(), shape, scratch.data());
          kernels::attention_values(a.head(), P.data(), v.fixed(), shape, scratch.data());
          compare(a, exact.a, as);
          for (Index r = 0; r < m; ++r)
            for (Index t = n; t < padded; ++t) CHECK(P[r * padded + t] == 0);
          // In place, as the encoder has it.
          const Rows<Scalar> q0 = q, k0 = k, v0 = v;
          kernels::attention_values_backward(dP.data(), v.head(), da.fixed(), P.data(), v.fixed(),
                                             shape, back.data());
          kernels::attention_weights_backward(q.head(), k.head(), dP.data(), P.data(), q.fixed(),
                                              k.fixed(), shape, back.data());
          compare(q, exact.dq, q0);
          compare(k, exact.dk, k0);
          compare(v, exact.dv, v0);
        }
}
