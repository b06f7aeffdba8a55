// What the test of a fold says of a model: its figures, and what it gained over a constant.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/split.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/select/baselines.hpp"
#include "tsdl/select/sharpe.hpp"
#include "tsdl/train/predict.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Borders in time that cut the samples into `blocks` of equal numbers: the last row of each block.
/// Samples that share a row are in one block. Throws: OptionError when `blocks` is below 1;
/// DataError when there are fewer samples than blocks.
inline std::vector<Index> block_borders(std::span<const SampleSpan> samples, Index blocks) {
  const Index n = std::ssize(samples);
  if (blocks < 1) throw OptionError("block_borders: expected 1 block or more, got ", blocks);
  if (n < blocks)
    throw DataError("block_borders: ", n, " samples are too few for ", blocks, " blocks");
  std::vector<Index> borders;
  for (Index b = 1; b <= blocks; ++b)
    borders.push_back(samples[static_cast<std::size_t>(b * n / blocks - 1)].row);
  return borders;
}

/// The moments of values in the blocks that their rows meet, by ascending block. Shapes: one row
/// per value. Throws: ShapeError when there is not, or a row lies behind the last border; DataError
/// when a value is not finite.
inline std::vector<std::pair<Index, Moments>> moments_by_block(std::span<const double> values,
                                                               std::span<const Index> rows,
                                                               std::span<const Index> borders) {
  if (values.size() != rows.size())
    throw ShapeError("moments_by_block: ", values.size(), " values of ", rows.size(), " rows");
  std::vector<std::vector<double>> blocks(borders.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto block = std::lower_bound(borders.begin(), borders.end(), rows[i]) - borders.begin();
    if (block == std::ssize(borders))
      throw ShapeError("moments_by_block: row ", rows[i], " lies behind the last border");
    blocks[static_cast<std::size_t>(block)].push_back(values[i]);
  }
  std::vector<std::pair<Index, Moments>> moments;
  for (std::size_t b = 0; b < blocks.size(); ++b)
    if (!blocks[b].empty()) moments.emplace_back(static_cast<Index>(b), moments_of(blocks[b]));
  return moments;
}

/// What a model is worth on windows.
struct Judgement {
  Metrics metrics;  ///< every window counts the same, whatever the weights of training
  /// By how much its mistakes are smaller than those of the constant baseline that the training
  /// windows give, window by window.
  std::vector<double> gains;
};

/// Judges a model, trained on `train`, on other windows. Throws: DataError when there are none; as
/// evaluate and fit_constant.
template <Model M>
Judgement judge(const M& model, const Windows<typename M::Scalar>& train,
                const Windows<typename M::Scalar>& windows) {
  const FloatModeGuard guard;
  if (windows.empty()) throw DataError("judge: there are no windows");
  const Task task = model.task().unweighted();
  Judgement result;
  result.metrics = evaluate(model, windows, task);
  const std::vector<double> targets = windows.targets();
  const std::vector<double> ours = mistakes(task, predict(model, windows), targets);
  const std::vector<double> others =
      mistakes(task, predict(fit_constant(train, task), windows, task), targets);
  for (std::size_t i = 0; i < ours.size(); ++i) result.gains.push_back(others[i] - ours[i]);
  return result;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
