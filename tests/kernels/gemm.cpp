// The packed products against Eigen and plain loops, over sizes that are no multiple of a vector.
#include "tsdl/kernels/gemm.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "kernels/helpers.hpp"
#include "tsdl/core/buffer.hpp"

namespace {

using test::Index;
using test::packed_by_columns, test::random_matrix;
using tsdl::Buffer;
namespace kernels = tsdl::kernels;

template <class Scalar>
inline constexpr double unit = std::numeric_limits<Scalar>::epsilon();

/// The largest difference from a reference in double, in units of rounding and of the sum's length.
template <class Scalar>
double error_of(const tsdl::RowMajorMatrix<Scalar>& actual, const tsdl::Matrix<double>& expected,
                Index length) {
  double top = 0.0;
  for (Index i = 0; i < actual.rows(); ++i)
    for (Index j = 0; j < actual.cols(); ++j)
      top = std::max(top, std::abs(static_cast<double>(actual(i, j)) - expected(i, j)));
  return top / (unit<Scalar> * static_cast<double>(length + 1));
}

template <class Scalar, Index V = kernels::panel_vectors>
void check_multiply(kernels::Start start, Index J, Index K, Index N) {
  INFO("J ", J, " K ", K, " N ", N, " V ", V, " start ", static_cast<int>(start));
  constexpr Scalar untouched = 77;
  constexpr Index W = kernels::lanes<Scalar>;
  tsdl::RandomStream random(static_cast<std::uint64_t>(J + 100 * K + 10000 * N));
  const auto a = random_matrix<Scalar>(random, J, K), b = random_matrix<Scalar>(random, K, N),
             before = random_matrix<Scalar>(random, J, N);
  const auto bias_values = random_matrix<Scalar>(random, 1, N);
  Buffer<Scalar> bias(tsdl::round_up(N, W));
  std::copy_n(bias_values.data(), N, bias.data());
  const Buffer<Scalar> packed = packed_by_columns<V>(b);

  tsdl::Matrix<double> expected = a.template cast<double>().lazyProduct(b.template cast<double>());
  if (start == kernels::Start::previous) expected += before.template cast<double>();
  if (start == kernels::Start::bias)
    expected.rowwise() += bias_values.template cast<double>().row(0);

  // Rows of the output stand 3 values apart, an odd number, and one row more than asked for is
  // there: whatever lies between and behind must stay.
  const Index stride = N + 3;
  std::vector<Scalar> out(static_cast<std::size_t>((J + 1) * stride), untouched);
  for (Index j = 0; j < J; ++j) std::copy_n(&before(j, 0), N, out.data() + j * stride);
  kernels::multiply<V>(start, out.data(), stride, {a.data(), K, 1, K, 0}, packed.data(),
                       bias.data(), J, N);
  tsdl::RowMajorMatrix<Scalar> actual(J, N);
  Index changed = 0;
  for (Index j = 0; j <= J; ++j)
    for (Index n = 0; n < stride; ++n) {
      const Scalar value = out[static_cast<std::size_t>(j * stride + n)];
      if (j < J && n < N)
        actual(j, n) = value;
      else
        changed += value != untouched;
    }
  CHECK(changed == 0);
  CHECK(error_of(actual, expected, K) <= 1.0);

  // The same rows one by one, and in two parts: the same bits.
  for (const Index part : {Index{1}, (J + 1) / 2}) {
    tsdl::RowMajorMatrix<Scalar> pieces = before;
    for (Index j = 0; j < J; j += part)
      kernels::multiply<V>(start, &pieces(j, 0), N, {&a(j, 0), K, 1, K, 0}, packed.data(),
                           bias.data(), std::min(part, J - j), N);
    CHECK(std::memcmp(pieces.data(), actual.data(),
                      static_cast<std::size_t>(J * N) * sizeof(Scalar)) == 0);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("multiply agrees with Eigen for each start, whatever J is split into", Scalar,
                   float, double) {
  const Index W = kernels::lanes<Scalar>;
  for (const Index N :
       {Index{1}, W - 1, W, W + 1, 2 * W + 1, 4 * W - 1, 4 * W, 4 * W + 1, 6 * W, 8 * W + 3})
    for (const Index J : {1, 2, 5, 6, 7, 13}) {
      if (N < 1) continue;
      const Index K = 1 + (7 * J + N) % 19;
      check_multiply<Scalar>(kernels::Start::zero, J, K, N);
      check_multiply<Scalar>(kernels::Start::bias, J, K, N);
      check_multiply<Scalar>(kernels::Start::previous, J, K, N);
    }
  check_multiply<Scalar>(kernels::Start::bias, 9, 300, 5 * W + 2);
  for (const Index N : {Index{1}, W, 2 * W + 1, 3 * W}) {
    check_multiply<Scalar, 1>(kernels::Start::bias, 7, 5, N);
    check_multiply<Scalar, 2>(kernels::Start::previous, 7, 5, N);
  }
}

TEST_CASE_TEMPLATE("multiply is one fused chain by ascending k", Scalar, float, double) {
  const Index J = 3, K = 57, N = 2 * kernels::lanes<Scalar> + 1;
  tsdl::RandomStream random(5);
  const auto a = random_matrix<Scalar>(random, J, K), b = random_matrix<Scalar>(random, K, N);
  Buffer<Scalar> bias(tsdl::round_up(N, kernels::lanes<Scalar>));
  for (Scalar& value : bias) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
  tsdl::RowMajorMatrix<Scalar> out(J, N);
  const Buffer<Scalar> packed = packed_by_columns(b);
  kernels::multiply(kernels::Start::bias, out.data(), N, {a.data(), K, 1, K, 0}, packed.data(),
                    bias.data(), J, N);
  Index different = 0;
  for (Index j = 0; j < J; ++j)
    for (Index n = 0; n < N; ++n) {
      Scalar chain = bias[n];
      for (Index k = 0; k < K; ++k) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
        chain = std::fma(a(j, k), b(k, n), chain);
#else
        chain += a(j, k) * b(k, n);
#endif
      }
      different += chain != out(j, n);
    }
  CHECK(different == 0);
}

TEST_CASE_TEMPLATE("multiply reads a left operand in several blocks", Scalar, float, double) {
  const Index W = kernels::lanes<Scalar>;
  for (const Index N : {Index{3}, 2 * W + 1, 4 * W + 1}) {
    const Index J = 7, blocks = 3, length = 5, K = blocks * length, gap = 4, row = 11;
    tsdl::RandomStream random(9);
    const auto b = random_matrix<Scalar>(random, K, N);
    // Block i of row j starts at i * (J * row + gap) + j * row.
    const Index block_stride = J * row + gap;
    const auto memory = test::draw<Scalar>(random, blocks * block_stride);
    tsdl::Matrix<double> a(J, K);
    for (Index j = 0; j < J; ++j)
      for (Index k = 0; k < K; ++k)
        a(j, k) = static_cast<double>(
            memory[static_cast<std::size_t>(k / length * block_stride + j * row + k % length)]);
    tsdl::RowMajorMatrix<Scalar> out(J, N);
    const Scalar* none = nullptr;
    kernels::multiply(kernels::Start::zero, out.data(), N,
                      {memory.data(), row, blocks, length, block_stride},
                      packed_by_columns(b).data(), none, J, N);
    const tsdl::Matrix<double> expected = a.lazyProduct(b.template cast<double>());
    CHECK(error_of(out, expected, K) <= 1.0);
  }
}

TEST_CASE("for_each_rows covers every row once, in order, with no more block sizes than it says") {
  const auto check = [](auto most) {
    for (Index count = 0; count <= 40; ++count) {
      Index next = 0;
      kernels::for_each_rows<most()>(count, [&](auto M, Index j) {
        CHECK(j == next);
        CHECK((M == most() || (M < most() && (M == 4 || M == 2 || M == 1))));
        next += M();
      });
      CHECK(next == count);
    }
  };
  check(std::integral_constant<Index, kernels::rows_of<1>>{});
  check(std::integral_constant<Index, kernels::rows_of<2>>{});
  check(std::integral_constant<Index, kernels::rows_of<3>>{});
  check(std::integral_constant<Index, kernels::rows_of<4>>{});
}

template <class Scalar_, Index Vectors>
struct Panel {
  using Scalar = Scalar_;
  static constexpr Index vectors = Vectors;
};
using Panel4f = Panel<float, 4>;
using Panel4d = Panel<double, 4>;
using Panel3f = Panel<float, 3>;

TEST_CASE_TEMPLATE("add_outer adds products of columns, add_rows and add_each the columns", P,
                   Panel4f, Panel4d, Panel3f) {
  using Scalar = typename P::Scalar;
  constexpr Index V = P::vectors, width = V * kernels::lanes<Scalar>;
  struct Grid {
    Index steps, samples, K;
  };
  for (const Grid& g : {Grid{1, 1, 1}, Grid{3, 5, 2}, Grid{4, 3, 7}, Grid{1, 300, 5},
                        Grid{40, 16, 13}, Grid{70, 9, 6}, Grid{257, 1, 8}})
    for (const bool backwards : {false, true}) {
      INFO("steps ", g.steps, " samples ", g.samples, " K ", g.K, " backwards ", backwards);
      tsdl::RandomStream random(2);
      // Columns of a stand K + 2 apart, with three spare values after each step.
      const Index a_sample = g.K + 2, a_step = g.samples * a_sample + 3;
      const auto a = test::draw<Scalar>(random, g.steps * a_step);
      Buffer<Scalar> d(g.steps * g.samples * width);
      for (Scalar& value : d) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
      Buffer<Scalar> out(g.K * width), sums(width);
      for (Scalar& value : out) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
      for (Scalar& value : sums) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));

      tsdl::Matrix<double> expected(g.K, width), expected_sums(1, width);
      for (Index k = 0; k < g.K; ++k)
        for (Index n = 0; n < width; ++n) expected(k, n) = static_cast<double>(out[k * width + n]);
      for (Index n = 0; n < width; ++n) expected_sums(0, n) = static_cast<double>(sums[n]);
      const auto a_of = [&](Index t) { return (backwards ? g.steps - 1 - t : t) * a_step; };
      for (Index t = 0; t < g.steps; ++t)
        for (Index b = 0; b < g.samples; ++b)
          for (Index n = 0; n < width; ++n) {
            const auto dn = static_cast<double>(d[(t * g.samples + b) * width + n]);
            expected_sums(0, n) += dn;
            for (Index k = 0; k < g.K; ++k)
              expected(k, n) +=
                  dn * static_cast<double>(a[static_cast<std::size_t>(a_of(t) + b * a_sample + k)]);
          }

      const kernels::Columns<Scalar> left{a.data() + a_of(0), backwards ? -a_step : a_step,
                                          a_sample};
      const kernels::Columns<Scalar> right{d.data(), g.samples * width, width};
      kernels::add_outer<V, Scalar>({1, out.data(), 0, right, 0}, left, g.steps, g.samples, g.K);
      Buffer<Scalar> each(g.samples * 2 * width);
      for (Index t = 0; t < g.steps; ++t) {
        const Scalar* rows = d.data() + t * g.samples * width;
        kernels::add_rows<V>(sums.data(), rows, width, g.samples);
        kernels::add_each<V>(each.data(), 2 * width, rows, width, g.samples);
      }
      for (Index b = 0; b < g.samples; ++b)
        for (Index n = 0; n < 2 * width; ++n) {
          Scalar sum{0};
          for (Index t = 0; t < g.steps && n < width; ++t)
            sum += d[(t * g.samples + b) * width + n];
          REQUIRE(each[b * 2 * width + n] == sum);  // and nothing between the columns
        }
      const tsdl::RowMajorMatrix<Scalar> actual =
          Eigen::Map<tsdl::RowMajorMatrix<Scalar>>(out.data(), g.K, width);
      const tsdl::RowMajorMatrix<Scalar> actual_sums =
          Eigen::Map<tsdl::RowMajorMatrix<Scalar>>(sums.data(), 1, width);
      CHECK(error_of(actual, expected, g.steps * g.samples) <= 1.0);
      CHECK(error_of(actual_sums, expected_sums, g.steps * g.samples) <= 1.0);
    }
}
