// The packed products against Eigen and plain loops, over sizes that are no multiple of a vector.
#include "tsdl/kernels/product.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "kernels/helpers.hpp"
#include "tsdl/core/buffer.hpp"

namespace {

using test::error_of;
using test::Index;
using test::packed_by_columns, test::random_matrix;
using tsdl::Buffer;
namespace kernels = tsdl::kernels;

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
  const Index many = 4 * kernels::panel_width<Scalar>;  // columns from which on rows are copied
  for (const Index J : {6, 25, 57}) {
    check_multiply<Scalar>(kernels::Start::bias, J, 128, many);
    check_multiply<Scalar>(kernels::Start::zero, J, 300, many + W + 1);
    check_multiply<Scalar>(kernels::Start::previous, J, 131, many + 3);
  }
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
  for (const Index N : {Index{3}, 2 * W + 1, 4 * W + 1, 4 * kernels::panel_width<Scalar> + 1}) {
    const Index blocks = N > 16 * W - 1 ? 61 : 3, J = 7, length = 5, K = blocks * length, gap = 4,
                row = 11;
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
