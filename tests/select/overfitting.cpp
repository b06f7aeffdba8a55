// The probability of backtest overfitting against splits written out one by one, and on noise, on a
// strategy that is better than all others, and on blocks without returns.
#include "tsdl/select/overfitting.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Index;
using tsdl::Matrix;
using tsdl::Moments;
using tsdl::Overfitting;

Matrix<double> noise(Index rows, Index strategies, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  Matrix<double> returns(rows, strategies);
  for (Index j = 0; j < strategies; ++j)
    for (Index i = 0; i < rows; ++i) returns(i, j) = random.normal();
  return returns;
}

/// The Sharpe ratios of the rows of some blocks, which are concatenated first.
std::vector<double> naive_sharpe(const Matrix<double>& returns, Index blocks, unsigned chosen) {
  std::vector<double> result;
  for (Index j = 0; j < returns.cols(); ++j) {
    std::vector<double> values;
    for (Index block = 0; block < blocks; ++block)
      if (chosen >> block & 1u)
        for (Index row = block * returns.rows() / blocks;
             row < (block + 1) * returns.rows() / blocks; ++row)
          values.push_back(returns(row, j));
    double mean = 0, square = 0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    for (const double value : values) square += (value - mean) * (value - mean);
    result.push_back(mean / std::sqrt(square / static_cast<double>(values.size())));
  }
  return result;
}

/// Every subset of half of the blocks, by its bits.
Overfitting naive(const Matrix<double>& returns, Index blocks) {
  Overfitting sum;
  const auto strategies = static_cast<double>(returns.cols());
  for (unsigned in = 0; in < 1u << blocks; ++in) {
    if (std::popcount(in) * 2 != blocks) continue;
    const std::vector<double> inside = naive_sharpe(returns, blocks, in);
    const std::vector<double> outside = naive_sharpe(returns, blocks, ~in & ((1u << blocks) - 1));
    const auto best =
        static_cast<std::size_t>(std::max_element(inside.begin(), inside.end()) - inside.begin());
    const auto rank = static_cast<double>(std::count_if(
        outside.begin(), outside.end(), [&](double x) { return x <= outside[best]; }));
    const double w = rank / (strategies + 1), logit = std::log(w / (1 - w));
    ++sum.splits;
    sum.probability += logit <= 0;
    sum.mean_logit += logit;
    sum.loss_probability += outside[best] < 0;
    sum.mean_in_sample += inside[best];
    sum.mean_out_of_sample += outside[best];
  }
  const auto splits = static_cast<double>(sum.splits);
  return {sum.probability / splits,    sum.splits,
          sum.mean_logit / splits,     sum.loss_probability / splits,
          sum.mean_in_sample / splits, sum.mean_out_of_sample / splits};
}

}  // namespace

TEST_CASE("overfitting: splits are those that are written out one by one") {
  const Index cases[][3] = {{8, 2, 2}, {9, 3, 2}, {24, 6, 4}, {41, 5, 8}, {103, 20, 10}};
  for (const auto& sizes : cases) {
    CAPTURE(sizes[0]);
    const Index blocks = sizes[2];
    Matrix<double> returns = noise(sizes[0] * blocks / 2 + 1, sizes[1], 7);
    returns.col(1).array() += 0.2;
    const Overfitting expected = naive(returns, blocks);
    const Overfitting found = tsdl::overfitting_probability(returns, blocks);
    CHECK(found.splits == expected.splits);
    CHECK(test::close_to(found.probability, expected.probability, 1e-12));
    CHECK(test::close_to(found.mean_logit, expected.mean_logit, 1e-12));
    CHECK(test::close_to(found.loss_probability, expected.loss_probability, 1e-12));
    CHECK(test::close_to(found.mean_in_sample, expected.mean_in_sample, 1e-12));
    CHECK(test::close_to(found.mean_out_of_sample, expected.mean_out_of_sample, 1e-12));
  }
}

TEST_CASE("overfitting: of noise, half of the best are below the median") {
  double sum = 0;
  for (std::uint64_t run = 0; run < 200; ++run)
    sum += tsdl::overfitting_probability(noise(200, 20, run), 10).probability;
  CHECK(std::abs(sum / 200 - 0.5) < 0.03);
  CHECK(tsdl::overfitting_probability(noise(320, 20, 1)).splits == 12870);
}

TEST_CASE("overfitting: one strategy that is better than all others is no luck") {
  Matrix<double> returns = noise(320, 20, 3);
  returns.col(13).array() += 1;
  const Overfitting found = tsdl::overfitting_probability(returns);
  CHECK(found.probability == 0);
  CHECK(found.splits == 12870);
  CHECK(test::close_to(found.mean_logit, std::log(20.0), 1e-12));
  CHECK(found.loss_probability == 0);
  CHECK(std::abs(found.mean_out_of_sample - 1) < 0.1);
}

TEST_CASE("overfitting: a strategy that wins in one half and loses in the other is luck alone") {
  // Noise around a mean of 0 in each column: who is best in-sample is worst out-of-sample.
  Matrix<double> returns = noise(160, 20, 5);
  returns.rowwise() -= returns.colwise().mean().eval();
  CHECK(tsdl::overfitting_probability(returns, 8).probability == 1);
}

TEST_CASE("overfitting: scale and order of strategies do not matter") {
  const Matrix<double> returns = noise(100, 5, 11);
  const Overfitting found = tsdl::overfitting_probability(returns, 10);
  Matrix<double> other = returns.rowwise().reverse();
  for (Index j = 0; j < 5; ++j) other.col(j) *= std::ldexp(1.0, static_cast<int>(3 * j - 20));
  const Overfitting same = tsdl::overfitting_probability(other, 10);
  CHECK(same.probability == found.probability);
  CHECK(test::close_to(same.mean_logit, found.mean_logit, 1e-13));
  CHECK(test::close_to(same.mean_in_sample, found.mean_in_sample, 1e-13));
}

TEST_CASE("overfitting: equal strategies share their ranks") {
  const Matrix<double> returns = noise(100, 1, 2).replicate(1, 4);
  const Overfitting found = tsdl::overfitting_probability(returns, 10);
  CHECK(found.probability == 1);  // nobody is above the median
  CHECK(found.mean_logit == 0);
  // Strategies that never trade are level with each other, whatever their constant return.
  Matrix<double> idle = Matrix<double>::Constant(40, 3, 0.1);
  idle.col(2).setZero();
  CHECK(tsdl::overfitting_probability(idle, 4).mean_logit == 0);
  CHECK(tsdl::overfitting_probability(idle, 4).mean_out_of_sample == 0);
}

TEST_CASE("overfitting: blocks without returns are left out") {
  const Index blocks = 4;
  const Matrix<double> returns = noise(80, 4, 21);
  std::vector<Moments> moments = tsdl::block_moments(returns, blocks);
  const Overfitting three = tsdl::overfitting_probability(returns.leftCols(3), blocks);
  for (Index block = 0; block < blocks; ++block)  // strategy 3 has no returns at all
    moments[static_cast<std::size_t>(block * 4 + 3)] = {};
  const Overfitting found = tsdl::overfitting_probability(moments, blocks, 4);
  CHECK(found.probability == three.probability);
  CHECK(found.mean_logit == three.mean_logit);
  CHECK(found.splits == 6);

  // With block 0 as the only one of strategies 1 and 2, the 3 splits that have it out-of-sample
  // count. In the others nobody has returns in both halves but strategy 0, which is alone there.
  for (Index block = 1; block < blocks; ++block)
    for (Index j = 1; j < 4; ++j) moments[static_cast<std::size_t>(block * 4 + j)] = {};
  const Overfitting few = tsdl::overfitting_probability(moments, blocks, 4);
  CHECK(few.splits == 3);
  for (Index j = 1; j < 4; ++j) moments[static_cast<std::size_t>(j)] = {};
  CHECK_THROWS_AS(tsdl::overfitting_probability(moments, blocks, 4), tsdl::DataError);
}

TEST_CASE("overfitting: blocks are those of the rows") {
  const Matrix<double> returns = noise(11, 2, 1);
  const std::vector<Moments> moments = tsdl::block_moments(returns, 4);
  REQUIRE(moments.size() == 8);
  double rows = 0;
  for (std::size_t i = 0; i < 8; i += 2) {
    CHECK(moments[i].n == moments[i + 1].n);
    CHECK((moments[i].n == 2 || moments[i].n == 3));
    rows += moments[i].n;
  }
  CHECK(rows == 11);
  CHECK(test::close_to(moments[1].mean, returns.col(1).head(2).mean(), 1e-15));
}

TEST_CASE("overfitting: what cannot be split is refused") {
  const Matrix<double> returns = noise(50, 3, 1);
  for (const Index blocks : {-2, 0, 1, 3, 15, 26}) {
    CAPTURE(blocks);
    CHECK_THROWS_AS(tsdl::overfitting_probability(returns, blocks), tsdl::OptionError);
  }
  CHECK_THROWS_AS(tsdl::overfitting_probability(returns.leftCols(1), 4), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::overfitting_probability(returns.topRows(9), 10), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::block_moments(returns, 0), tsdl::OptionError);
  Matrix<double> bad = returns;
  bad(20, 1) = test::nan;
  CHECK_THROWS_WITH_AS(tsdl::overfitting_probability(bad, 4),
                       "block_moments: row 20 of column 1 is nan", tsdl::DataError);
  std::vector<Moments> moments(12, Moments{5, 0, 1, 0, 3});
  CHECK_THROWS_AS(tsdl::overfitting_probability(std::span(moments).first(11), 4, 3),
                  tsdl::ShapeError);
  moments[7].m2 = -1;
  CHECK_THROWS_WITH_AS(
      tsdl::overfitting_probability(moments, 4, 3),
      "overfitting_probability: block 2 of strategy 1 has n = 5, mean = 0, m2 = -1",
      tsdl::DataError);
}
