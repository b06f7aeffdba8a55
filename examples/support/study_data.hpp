// The rows of a study: which are kept for the test, which each fold trains on and judges, the same
// for every trial.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data.hpp"
#include "options.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/select/judge.hpp"
#include "tsdl/select/splits.hpp"

namespace examples {

/// Features and labels are made once for each feature set. Samples are those that every trial has,
/// with the rows that the longest window and label read: so all trials are trained and judged on
/// the same.
struct StudyData {
  std::map<std::string, tsdl::Dataset> datasets;  ///< by feature set
  std::vector<tsdl::SampleSpan> samples;
  tsdl::Fold final;  ///< trains on what the folds have, tests what nothing else has touched
  tsdl::Folds folds;
  std::vector<tsdl::Split> splits;   ///< of each fold
  std::vector<tsdl::Index> borders;  ///< of the blocks by which luck is judged
  double validation = 0;             ///< share of training samples

  /// The dataset of a trial, which shares its features and labels.
  tsdl::Dataset dataset_of(const TrainOptions& o) const {
    tsdl::Dataset dataset = datasets.at(o.data.features);
    tsdl::Recipe recipe = recipe_of(o.data);
    recipe.features = dataset.recipe.features;
    recipe.columns = dataset.recipe.columns;
    dataset.recipe = std::move(recipe);
    return dataset;
  }
  /// The samples before the test, by time.
  std::vector<tsdl::SampleSpan> development() const {
    std::vector<tsdl::SampleSpan> chosen;
    for (const tsdl::Index i : final.train) chosen.push_back(samples[static_cast<std::size_t>(i)]);
    return chosen;
  }
};

namespace internal {

/// The samples that are in both, with the rows that either reads.
inline std::vector<tsdl::SampleSpan> common_samples(const std::vector<tsdl::SampleSpan>& a,
                                                    const std::vector<tsdl::SampleSpan>& b) {
  std::vector<tsdl::SampleSpan> both;
  auto next = b.begin();
  for (const tsdl::SampleSpan& one : a) {
    while (next != b.end() && next->row < one.row) ++next;
    if (next == b.end() || next->row != one.row) continue;
    both.push_back({std::min(one.first, next->first), one.row, std::max(one.last, next->last)});
  }
  return both;
}

/// Keeps the latest `share` of the samples for the test; those before it whose rows meet what the
/// test reads are left out.
inline tsdl::Fold final_fold(std::span<const tsdl::SampleSpan> samples, double share) {
  const auto n = std::ssize(samples);
  const auto test = static_cast<tsdl::Index>(std::llround(static_cast<double>(n) * share));
  tsdl::Fold fold;
  tsdl::Index earliest = std::numeric_limits<tsdl::Index>::max();
  for (tsdl::Index i = n - test; i < n; ++i) {
    fold.test.push_back(i);
    earliest = std::min(earliest, samples[static_cast<std::size_t>(i)].first);
  }
  for (tsdl::Index i = 0; i < n - test; ++i)
    samples[static_cast<std::size_t>(i)].last < earliest ? fold.train.push_back(i)
                                                         : void(++fold.purged);
  return fold;
}

}  // namespace internal

/// Throws: tsdl::Error when data, windows and folds do not go together.
inline StudyData make_study_data(const Source& source, const std::vector<TrainOptions>& trials,
                                 const tsdl::FoldScheme& scheme, tsdl::Index embargo,
                                 tsdl::Index blocks) {
  StudyData data;
  tsdl::Index longest = 1;
  for (const TrainOptions& o : trials) longest = std::max(longest, o.data.seq_len);
  std::map<std::pair<std::string, bool>, bool> seen;
  for (const TrainOptions& o : trials) {
    const bool every_step = o.data.pooling == "each";
    if (!seen.emplace(std::pair(o.data.features, every_step), true).second) continue;
    tsdl::Recipe recipe = recipe_of(o.data);
    if (!data.datasets.contains(o.data.features))
      data.datasets.emplace(o.data.features, make_dataset(source, recipe));
    tsdl::Dataset longest_windows = data.dataset_of(o);
    longest_windows.recipe.length = longest;
    const auto samples = tsdl::sample_spans(longest_windows);
    data.samples = seen.size() == 1 ? samples : internal::common_samples(data.samples, samples);
  }
  const DataOptions& o = trials.front().data;
  data.final = internal::final_fold(data.samples, o.test);
  data.validation = o.validation / (1 - o.test);
  const std::vector<tsdl::SampleSpan> development = data.development();
  data.folds = tsdl::make_folds(scheme, development, embargo);
  for (std::size_t fold = 0; fold < data.folds.folds.size(); ++fold) try {
      data.splits.push_back(tsdl::split_of(data.folds.folds[fold], development, data.validation));
    } catch (const tsdl::DataError& error) {
      throw tsdl::DataError("fold ", fold + 1, ": ", error.what());
    }
  data.borders = tsdl::block_borders(development, blocks);
  return data;
}

/// What is said of the rows before the study begins.
inline TextLines fold_lines(const StudyData& data, const std::string& folds) {
  std::size_t least = data.samples.size(), most = 0, tested = data.samples.size();
  tsdl::Index purged = 0;
  for (std::size_t i = 0; i < data.splits.size(); ++i) {
    least = std::min(least, data.splits[i].train.size());
    most = std::max(most, data.splits[i].train.size());
    tested = std::min(tested, data.splits[i].test.size());
    purged = std::max(purged, data.folds.folds[i].purged);
  }
  const auto count = [](auto n) { return format_count(static_cast<tsdl::Index>(n)); };
  std::string text =
      folds + ": " + count(data.splits.size()) + " folds of " + count(data.final.train.size()) +
      " windows, " + (least == most ? count(least) : count(least) + " to " + count(most)) +
      " to train on, " + count(tested) + " or more to judge, at most " + count(purged) + " purged";
  if (data.folds.paths() > 1) text += ", " + count(data.folds.paths()) + " paths";
  TextLines lines = {{"folds", text}};
  lines.emplace_back("test", data.final.test.empty()
                                 ? "none is kept: --test 0.15 would keep the latest windows"
                                 : count(data.final.test.size()) +
                                       " windows, the latest, which the study does not touch");
  return lines;
}

}  // namespace examples
