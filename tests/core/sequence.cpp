#include "tsdl/core/sequence.hpp"

#include <doctest/doctest.h>

#include <array>
#include <numeric>
#include <type_traits>
#include <vector>

namespace {

using tsdl::Index;
using tsdl::Sequence;

std::vector<double> counting(Index size) {
  std::vector<double> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 0.0);
  return values;
}

}  // namespace

TEST_CASE("a dense Sequence is a contiguous T x B x I tensor") {
  constexpr Index I = 3, T = 4, B = 5;
  std::vector<double> values = counting(T * B * I);
  const auto x = Sequence<double>::dense(values.data(), I, T, B);
  CHECK(x.is_dense());
  CHECK(x.inputs == I);
  CHECK(x.steps == T);
  CHECK(x.batch == B);
  double expected = 0;
  for (Index t = 0; t < T; ++t)
    for (Index b = 0; b < B; ++b)
      for (Index i = 0; i < I; ++i) CHECK(x.column(t, b)[i] == expected++);

  x.column(2, 1)[0] = -1;
  CHECK(values[(2 * B + 1) * I] == -1);
}

TEST_CASE("consecutive windows are a Sequence over the series itself") {
  constexpr Index I = 2, rows = 20, T = 6;
  std::vector<double> series = counting(rows * I);
  for (const Index stride : {1, 3}) {
    const Index B = (rows - T) / stride + 1;
    const Sequence<double> x{series.data(), I, T, B, I, I * stride};
    CHECK_FALSE(x.is_dense());
    for (Index b = 0; b < B; ++b)
      for (Index t = 0; t < T; ++t)
        for (Index i = 0; i < I; ++i)
          CHECK(x.column(t, b)[i] == static_cast<double>((b * stride + t) * I + i));
    CHECK(x.column(T - 1, B - 1) + I <= series.data() + series.size());
  }
}

TEST_CASE("is_dense looks at both strides") {
  double value = 0;
  CHECK(Sequence<double>{&value, 2, 3, 4, 8, 2}.is_dense());
  CHECK_FALSE(Sequence<double>{&value, 2, 3, 4, 9, 2}.is_dense());
  CHECK_FALSE(Sequence<double>{&value, 2, 3, 4, 8, 3}.is_dense());
  // One window over the series: its only step stride is that of a dense batch of one.
  CHECK(Sequence<double>{&value, 2, 3, 1, 2, 2}.is_dense());
}

TEST_CASE("a Sequence becomes one of const values, and not back") {
  std::vector<double> values = counting(24);
  const Sequence<double> x{values.data(), 2, 3, 4, 8, 2};
  const Sequence<const double> y = x;
  CHECK(y.data == x.data);
  CHECK(y.inputs == 2);
  CHECK(y.steps == 3);
  CHECK(y.batch == 4);
  CHECK(y.step_stride == 8);
  CHECK(y.sample_stride == 2);
  CHECK(y.column(1, 2) == values.data() + 12);
  CHECK(std::is_convertible_v<Sequence<float>, Sequence<const float>>);
  CHECK_FALSE(std::is_convertible_v<Sequence<const float>, Sequence<float>>);
}

TEST_CASE(
    "shared_columns finds the distinct columns of windows and dense batches, and refuses other "
    "views") {
  const float* data = nullptr;
  using View = tsdl::Sequence<const float>;
  const auto check = [](const View& x, Index unit, Index count) {
    const tsdl::SharedColumns shared = tsdl::shared_columns(x);
    CHECK(shared.unit == unit);
    REQUIRE(shared.count == count);
    for (Index t = 0; t < x.steps; ++t)
      for (Index b = 0; b < x.batch; ++b) {
        CHECK(shared.offset(shared.at(t, b)) == t * x.step_stride + b * x.sample_stride);
        CHECK(shared.at(t, b) < shared.count);
      }
  };
  check({data, 3, 5, 4, 3, 3}, 3, 8);    // windows, stride 1: T + B - 1 columns
  check({data, 3, 5, 4, 3, 9}, 3, 14);   // stride 3
  check({data, 3, 5, 4, 3, 15}, 3, 20);  // side by side: nothing is shared
  check({data, 3, 5, 4, 12, 3}, 3, 20);  // dense
  check({data, 3, 5, 4, 24, 6}, 6, 20);  // dense in the columns of two directions
  check({data, 3, 5, 1, 3, 0}, 3, 5);    // one sample, whatever its stride
  check({data, 3, 1, 4, 0, 7}, 7, 4);    // one step
  // Samples or steps with columns between them: those are not the view's.
  check({data, 3, 5, 4, 3, 18}, 3, 20);
  check({data, 3, 5, 2, 3, 3'000'000'000'000}, 3, 10);
  check({data, 3, 5, 4, 15, 3}, 3, 20);
  check({data, 3, 5, 4, 6, 36}, 6, 20);
  CHECK(tsdl::shared_columns(View{data, 3, 5, 4, 3, 7}).count == 0);   // not a multiple
  CHECK(tsdl::shared_columns(View{data, 3, 5, 4, -3, 3}).count == 0);  // backwards
  CHECK(tsdl::shared_columns(View{data, 3, 1, 1, 0, 0}).count == 0);
}

TEST_CASE("a Sequence of more values than memory can hold is refused") {
  using View = tsdl::Sequence<const double>;
  constexpr Index far = Index{1} << 60;
  for (const auto& [I, T, B] : {std::array<Index, 3>{3, far, 16},
                                {3, 16, far},
                                {far, 2, 2},
                                {-1, 2, 2},
                                {1, -2, 2},
                                {1, 2, -2}})
    CHECK_THROWS_AS(View::dense(nullptr, I, T, B), tsdl::ShapeError);
  CHECK_NOTHROW(View::dense(nullptr, 3, 5, 2));
}
