// The products of weight gradients, and sums of columns, against plain loops.
#include "tsdl/kernels/outer.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "kernels/helpers.hpp"
#include "tsdl/core/buffer.hpp"

namespace {

using test::error_of;
using test::Index;
using tsdl::Buffer;
namespace kernels = tsdl::kernels;

template <class Scalar_, Index Vectors>
struct Panel {
  using Scalar = Scalar_;
  static constexpr Index vectors = Vectors;
};
using Panel4f = Panel<float, 4>;
using Panel4d = Panel<double, 4>;
using Panel3f = Panel<float, 3>;

}  // namespace

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

TEST_CASE_TEMPLATE("add_outer: many panels have the bits of each by itself", P, Panel4f, Panel4d,
                   Panel3f) {
  using Scalar = typename P::Scalar;
  constexpr Index V = P::vectors, width = V * kernels::lanes<Scalar>, panels = 5;
  struct Grid {
    Index steps, samples, K;
  };
  for (const Grid& g : {Grid{1, 1, 1}, Grid{7, 16, 131}, Grid{130, 1, 64}, Grid{3, 70, 9}}) {
    INFO("steps ", g.steps, " samples ", g.samples, " K ", g.K);
    tsdl::RandomStream random(3);
    const auto a = test::draw<Scalar>(random, g.steps * g.samples * (g.K + 1));
    Buffer<Scalar> d(panels * g.steps * g.samples * width), together(panels * g.K * width), alone;
    for (Scalar& value : d) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
    for (Scalar& value : together) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
    alone = together;
    const kernels::Columns<Scalar> left{a.data(), g.samples * (g.K + 1), g.K + 1};
    const auto add = [&](Scalar* out, const Scalar* right, Index count) {
      const kernels::Columns<Scalar> columns{right, g.samples * panels * width, panels * width};
      kernels::add_outer<V, Scalar>({count, out, g.K * width, columns, width}, left, g.steps,
                                    g.samples, g.K);
    };
    add(together.data(), d.data(), panels);
    for (Index p = 0; p < panels; ++p) add(alone.data() + p * g.K * width, d.data() + p * width, 1);
    CHECK(std::memcmp(together.data(), alone.data(),
                      static_cast<std::size_t>(alone.size()) * sizeof(Scalar)) == 0);
  }
}
