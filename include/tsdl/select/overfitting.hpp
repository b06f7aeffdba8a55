// The probability that a search chose by luck: backtest overfitting by combinatorially symmetric
// cross-validation (CSCV).
//
// The periods are cut into S blocks, and every half of the blocks is in-sample once, with the other
// half out-of-sample: C(S, S / 2) splits. Of N strategies, the one with the best Sharpe ratio
// in-sample is chosen; its rank r out-of-sample, 1 for the worst, gives
//   w = r / (N + 1),  logit = log(w / (1 - w)),
// and the probability of overfitting is the share of splits with logit <= 0: the chosen strategy is
// no better than the median one.
// Source: Bailey, Borwein, Lopez de Prado and Zhu, The probability of backtest overfitting (2015).
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/sharpe.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What choosing the best in-sample was worth out-of-sample, over all splits.
struct Overfitting {
  double probability = 0;  ///< the share of splits with logit <= 0
  Index splits = 0;        ///< those that count
  double mean_logit = 0;
  double loss_probability = 0;  ///< the share in which the chosen strategy lost out-of-sample
  double mean_in_sample = 0;    ///< the chosen strategy's Sharpe ratio, per period
  double mean_out_of_sample = 0;
};

namespace internal {

/// A strategy's returns of some blocks, for its Sharpe ratio alone.
struct BlockSum {
  double n = 0, mean = 0, m2 = 0;
};

/// As Moments::operator+=, without the higher moments and without a branch.
inline BlockSum merged(const BlockSum& a, const BlockSum& b) noexcept {
  const double n = a.n + b.n, share = n > 0 ? b.n / n : 0.0, d = b.mean - a.mean;
  return {n, a.mean + d * share, a.m2 + b.m2 + d * d * share * a.n};
}

/// As SharpeSummary::sharpe.
inline double sharpe_of(const BlockSum& sum) noexcept {
  if (!(sum.n > 0)) return 0;
  const double deviation = std::sqrt(sum.m2 / sum.n);
  const double rounding = sum.n * std::numeric_limits<double>::epsilon() * std::abs(sum.mean);
  return deviation > rounding ? sum.mean / deviation : 0.0;
}

/// Goes through the splits of blocks into two halves. A split and its mirror image share their
/// sums, so that the first block is always in half 0; halves are merged block by block along the
/// tree of choices, which costs about four merges a split and strategy.
class SymmetricSplits {
 public:
  SymmetricSplits(std::span<const BlockSum> sums, Index blocks, Index strategies)
      : sums_(sums),
        blocks_(static_cast<std::size_t>(blocks)),
        strategies_(static_cast<std::size_t>(strategies)),
        halves_((blocks_ + 1) * 2 * strategies_),
        sharpe_{std::vector<double>(strategies_), std::vector<double>(strategies_)},
        filled_{std::vector<char>(strategies_), std::vector<char>(strategies_)} {}

  Overfitting result() {
    descend(0, 0);
    if (found_.splits == 0)
      throw DataError(
          "overfitting_probability: in no split has the best strategy returns in both halves and "
          "another one to be compared with");
    const auto splits = static_cast<double>(found_.splits);
    found_.probability /= splits;
    found_.mean_logit /= splits;
    found_.loss_probability /= splits;
    found_.mean_in_sample /= splits;
    found_.mean_out_of_sample /= splits;
    return found_;
  }

 private:
  BlockSum* half(std::size_t depth, std::size_t which) {
    return halves_.data() + (depth * 2 + which) * strategies_;
  }

  /// The splits whose first `depth` blocks are given, `taken` of them in half 0.
  void descend(std::size_t depth, std::size_t taken) {
    if (depth == blocks_) {
      judge();
      return;
    }
    for (std::size_t which = 0; which < 2; ++which) {
      const std::size_t filled = which == 0 ? taken : depth - taken;
      if (filled == blocks_ / 2 || (depth == 0 && which == 1)) continue;
      const BlockSum *const into = half(depth, which), *const other = half(depth, 1 - which);
      const BlockSum* const block = sums_.data() + depth * strategies_;
      BlockSum *const to = half(depth + 1, which), *const kept = half(depth + 1, 1 - which);
      for (std::size_t j = 0; j < strategies_; ++j) {
        to[j] = merged(into[j], block[j]);
        kept[j] = other[j];
      }
      descend(depth + 1, taken + (which == 0 ? 1 : 0));
    }
  }

  void judge() {
    for (std::size_t which = 0; which < 2; ++which) {
      const BlockSum* const sums = half(blocks_, which);
      for (std::size_t j = 0; j < strategies_; ++j) {
        sharpe_[which][j] = sharpe_of(sums[j]);
        filled_[which][j] = sums[j].n > 0;
      }
    }
    choose(0, 1);
    choose(1, 0);
  }

  /// Chooses in half `in` and ranks in half `out`.
  void choose(std::size_t in, std::size_t out) {
    std::size_t best = strategies_;
    for (std::size_t j = 0; j < strategies_; ++j)
      if (filled_[in][j] && (best == strategies_ || sharpe_[in][j] > sharpe_[in][best])) best = j;
    if (best == strategies_ || !filled_[out][best]) return;
    const double reached = sharpe_[out][best];
    double ranked = 0, below = 0, above = 0;
    for (std::size_t j = 0; j < strategies_; ++j) {
      if (!filled_[out][j]) continue;
      ranked += 1;
      below += sharpe_[out][j] < reached ? 1 : 0;
      above += sharpe_[out][j] > reached ? 1 : 0;
    }
    if (ranked < 2) return;
    // The mean of the ranks that equal ones share: w / (1 - w) = rank / (ranked + 1 - rank).
    const double rank = below + (ranked - below - above + 1) / 2;
    ++found_.splits;
    found_.probability += 2 * rank <= ranked + 1 ? 1 : 0;
    found_.mean_logit += std::log(rank / (ranked + 1 - rank));
    found_.loss_probability += reached < 0 ? 1 : 0;
    found_.mean_in_sample += sharpe_[in][best];
    found_.mean_out_of_sample += reached;
  }

  std::span<const BlockSum> sums_;  // [block][strategy]
  std::size_t blocks_, strategies_;
  std::vector<BlockSum> halves_;  // [depth][half][strategy]
  std::vector<double> sharpe_[2];
  std::vector<char> filled_[2];
  Overfitting found_;
};

/// More blocks than these have more than 2,704,156 splits.
inline constexpr Index most_overfitting_blocks = 24;

inline void check_overfitting(Index blocks, Index strategies) {
  if (blocks < 2 || blocks > most_overfitting_blocks || blocks % 2 != 0)
    throw OptionError("overfitting_probability: expected an even number of blocks from 2 to ",
                      most_overfitting_blocks, ", not ", blocks);
  if (strategies < 2)
    throw ShapeError("overfitting_probability: expected 2 strategies or more, not ", strategies);
}

}  // namespace internal

/// The probability of overfitting, from the moments of each block and strategy,
/// moments[block * strategies + strategy].
///
/// Blocks may be empty: a strategy without returns in a half is neither chosen nor ranked there,
/// and N is the number of those ranked. A split does not count when nothing can be chosen in it,
/// the chosen strategy has no returns out-of-sample, or no other one has. Returns that do not vary
/// have a Sharpe ratio of 0. Of strategies that are equal in-sample, the first is chosen;
/// out-of-sample, equal ones share the mean of their ranks.
/// Shapes: moments, S x N.
/// Allocates: O(S N); takes O(C(S, S / 2) N) operations on the calling thread.
/// Throws: OptionError when S is odd, less than 2 or more than 24; ShapeError when N is less than 2
/// or the moments are not S x N; DataError naming a block and strategy whose moments are not
/// finite, or when no split counts.
inline Overfitting overfitting_probability(std::span<const Moments> moments, Index blocks,
                                           Index strategies) {
  const FloatModeGuard guard;
  internal::check_overfitting(blocks, strategies);
  if (static_cast<Index>(moments.size()) != internal::saturated_product(blocks, strategies))
    throw ShapeError("overfitting_probability: expected ", blocks, " x ", strategies,
                     " moments, not ", moments.size());
  std::vector<internal::BlockSum> sums;
  sums.reserve(moments.size());
  for (const Moments& block : moments) {
    const auto at = static_cast<Index>(sums.size());
    if (!is_finite(block.n) || !is_finite(block.mean) || !is_finite(block.m2) || block.n < 0 ||
        block.m2 < 0)
      throw DataError("overfitting_probability: block ", at / strategies, " of strategy ",
                      at % strategies, " has n = ", block.n, ", mean = ", block.mean,
                      ", m2 = ", block.m2);
    sums.push_back(block.n > 0 ? internal::BlockSum{block.n, block.mean, block.m2}
                               : internal::BlockSum{});
  }
  return internal::SymmetricSplits(sums, blocks, strategies).result();
}

/// The moments of each block of each column, [block][column]: of T rows in time order, block i has
/// rows i T / S to (i + 1) T / S - 1, so that block lengths differ by at most 1.
/// Throws: OptionError when S is less than 1; ShapeError when there are fewer rows than blocks;
/// DataError naming a row and column whose return is not finite.
inline std::vector<Moments> block_moments(const Eigen::Ref<const Matrix<double>>& returns,
                                          Index blocks) {
  if (blocks < 1) throw OptionError("block_moments: expected 1 block or more, not ", blocks);
  const Index rows = returns.rows();
  if (rows < blocks)
    throw ShapeError("block_moments: ", rows, " rows cannot fill ", blocks, " blocks");
  std::vector<Moments> moments;
  for (Index block = 0; block < blocks; ++block) {
    const Index first = block * rows / blocks, last = (block + 1) * rows / blocks;
    for (Index j = 0; j < returns.cols(); ++j) {
      const std::span<const double> values(returns.col(j).data() + first,
                                           static_cast<std::size_t>(last - first));
      for (Index row = first; row < last; ++row)
        if (!is_finite(returns(row, j)))
          throw DataError("block_moments: row ", row, " of column ", j, " is ", returns(row, j));
      moments.push_back(moments_of(values));
    }
  }
  return moments;
}

/// The probability of overfitting from the returns of each period and strategy.
/// Shapes: returns, T x N, rows in time order.
/// Throws: as block_moments() and the other overfitting_probability().
inline Overfitting overfitting_probability(const Eigen::Ref<const Matrix<double>>& returns,
                                           Index blocks = 16) {
  internal::check_overfitting(blocks, returns.cols());
  return overfitting_probability(block_moments(returns, blocks), blocks, returns.cols());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
