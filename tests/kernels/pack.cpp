// The layout of packed weights, counted by walking through it.
#include "tsdl/kernels/pack.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/helpers.hpp"

namespace {

using test::Index;
using test::packed_by_columns, test::random_matrix;
using tsdl::Buffer;
namespace kernels = tsdl::kernels;

TEST_CASE_TEMPLATE("the pack functions put every element where packed_offset says", Scalar, float,
                   double) {
  const Index W = kernels::lanes<Scalar>;
  for (const Index N : {Index{1}, W + 1, 3 * W, 4 * W, 4 * W + 1, 9 * W - 1})
    for (const Index K : {1, 2, 7}) {
      INFO("K ", K, " N ", N);
      tsdl::RandomStream random(1);
      const auto b = random_matrix<Scalar>(random, K, N);
      const Buffer<Scalar> columns = packed_by_columns(b), narrow = packed_by_columns<1>(b);
      // Rows, each in two parts.
      Buffer<Scalar> rows(kernels::packed_size<Scalar>(K, N));
      for (Index k = 0; k < K; ++k) {
        const Index first = N / 3;
        kernels::pack_row(rows.data(), K, N, k, Index{0}, &b(k, 0), first);
        kernels::pack_row(rows.data(), K, N, k, first, b.data() + k * N + first, N - first);
      }
      // Columns, each in two parts.
      Buffer<Scalar> parts(kernels::packed_size<Scalar>(K, N));
      for (Index n = 0; n < N; ++n) {
        const tsdl::Vector<Scalar> column = b.col(n);
        kernels::pack_column(parts.data(), K, N, Index{0}, n, column.data(), K / 2);
        kernels::pack_column(parts.data(), K, N, K / 2, n, column.data() + K / 2, K - K / 2);
      }
      CHECK(std::equal(columns.begin(), columns.end(), rows.begin(), rows.end()));
      CHECK(std::equal(columns.begin(), columns.end(), parts.begin(), parts.end()));
      // The layout of the comment on top of pack.hpp, counted here by walking through it.
      Index place = 0, wrong = 0;
      for (Index n = 0; n < N; ++n)
        for (Index k = 0; k < K; ++k) wrong += narrow[(n / W * K + k) * W + n % W] != b(k, n);
      for (Index panel = 0, width = 0; panel < N; panel += width) {
        const Index left = (tsdl::round_up(N, W) - panel) / W;
        width = (left >= kernels::panel_vectors ? kernels::panel_vectors : left >= 2 ? 2 : 1) * W;
        for (Index k = 0; k < K; ++k)
          for (Index n = panel; n < panel + width; ++n, ++place) {
            wrong += columns[place] != (n < N ? b(k, n) : Scalar{0});
            if (n < N) wrong += kernels::packed_offset<Scalar>(K, N, k, n) != place;
          }
      }
      CHECK(wrong == 0);
      CHECK(place == columns.size());
    }
}

}  // namespace
