// Permutation importance: how much worse a model gets when one column, or one block of lags, holds
// the values of other windows.
//
//   importance = figure(model, data) - figure(model, data with that part permuted)
//
// with the sign of losses turned, so that what the model needs scores above 0. The part is permuted
// between windows: window w gets the part of window p(w), all its rows together.
//
// Source: Breiman, "Random forests" (Machine Learning 45, 2001), section 10; for any model: Fisher,
// Rudin and Dominici (JMLR 20, 2019).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/samples.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Columns first_column ... last_column - 1 of rows first_row ... last_row - 1 of every window.
struct WindowPart {
  Index first_column = 0, last_column = 0, first_row = 0, last_row = 0;
};

/// A set of samples of which one part comes from other samples of the set; targets stay. It is a
/// view: the set is not changed, and must outlive it.
template <SampleSet Set>
class PermutedSamples {
 public:
  using Scalar = typename Set::Scalar;

  /// `source`: for each sample the one whose part it gets.
  /// Throws: ShapeError when the part leaves the windows, or there is not one source for each
  /// sample.
  PermutedSamples(const Set& set, WindowPart part, std::vector<Index> source)
      : set_(&set), part_(part), source_(std::move(source)) {
    const auto within = [](Index first, Index last, Index size) {
      return 0 <= first && first <= last && last <= size;
    };
    if (!within(part.first_column, part.last_column, set.inputs()) ||
        !within(part.first_row, part.last_row, set.length()))
      throw ShapeError("permutation: columns ", part.first_column, " to ", part.last_column,
                       " and rows ", part.first_row, " to ", part.last_row, " of windows of ",
                       set.inputs(), " columns and ", set.length(), " rows");
    if (std::ssize(source_) != set.size() ||
        std::any_of(source_.begin(), source_.end(),
                    [&](Index from) { return from < 0 || from >= set.size(); }))
      throw ShapeError("permutation: ", source_.size(), " sources for ", set.size(), " samples");
  }

  Index size() const { return set_->size(); }
  bool empty() const { return set_->empty(); }
  Index length() const { return set_->length(); }
  Index inputs() const { return set_->inputs(); }
  Index target_count() const { return set_->target_count(); }
  std::vector<double> targets() const { return set_->targets(); }
  Sequence<const double> targets_of(const Samples& samples, Index steps,
                                    BatchScratch<Scalar>& scratch) const {
    return set_->targets_of(samples, steps, scratch);
  }

  /// Always gathered into the scratch. Allocates: memory for the other samples' windows, each time.
  /// Throws: also OptionError when windows have their own lengths, or inputs besides them.
  Batch<Scalar> inputs_of(const Samples& samples, BatchScratch<Scalar>& scratch) const {
    Batch<Scalar> batch = set_->inputs_of(samples, scratch);
    if (!batch.lengths.empty())
      throw OptionError("permutation: windows of their own lengths cannot be permuted");
    if (batch.future.data || batch.statics.data || batch.categories.data)
      throw OptionError("permutation: the samples have inputs besides their windows");
    const Index I = batch.past.inputs, T = batch.past.steps, B = batch.size();
    if (batch.past.data != scratch.past.data() || !batch.past.is_dense()) {
      Buffer<Scalar> copy(I * T * B);
      copy_dense(batch.past, copy.data());
      scratch.past = std::move(copy);
    }
    const auto own = Sequence<Scalar>::dense(scratch.past.data(), I, T, B);
    std::vector<Index> sources;
    for (Index b = 0; b < B; ++b)
      sources.push_back(source_[static_cast<std::size_t>(samples.at(b))]);
    BatchScratch<Scalar> others;
    const auto from = set_->inputs_of(Samples{0, 0, sources}, others).past;
    const Index width = part_.last_column - part_.first_column;
    for (Index t = part_.first_row; t < part_.last_row; ++t)
      for (Index b = 0; b < B; ++b)
        std::copy_n(from.column(t, b) + part_.first_column, width,
                    own.column(t, b) + part_.first_column);
    batch.past = own;
    return batch;
  }

 private:
  const Set* set_;
  WindowPart part_;
  std::vector<Index> source_;
};

/// What is permuted, how often, and the figure that is watched.
struct PermutationOptions {
  std::string figure = "loss";  ///< one of all_figures
  Index repeats = 10;           ///< permutations of each part
  Index block = 0;              ///< rows of a block of lags; 0: a tenth of the window, rounded up
  std::uint64_t seed = 0;
};

/// By how much a figure drops when a part is permuted.
struct Importance {
  WindowPart part{};
  std::vector<double> drops{};  ///< one for each repeat
  double mean = 0;
  double deviation = 0;  ///< of the drops, by repeats - 1; 0 of one repeat
};

/// The importance of every column, and of every block of rows.
struct PermutationImportance {
  std::string figure{};
  double value = 0;  ///< of the figure, with nothing permuted
  Index windows = 0, repeats = 0;
  std::vector<Importance> columns{};  ///< each column at all rows
  std::vector<Importance> blocks{};   ///< all columns at each block of rows, the last rows first
};

namespace internal {

/// The drops of one part. `stream`: a number of its own for the part, below 2^32.
template <class Set, class Measure>
Importance importance_of(const Set& set, WindowPart part, const PermutationOptions& options,
                         std::uint64_t stream, double value, const Figure& figure,
                         const Measure& measure) {
  Importance result{part};
  std::vector<Index> source(static_cast<std::size_t>(set.size()));
  for (Index repeat = 0; repeat < options.repeats; ++repeat) {
    std::iota(source.begin(), source.end(), Index{0});
    RandomStream random(options.seed, stream << 32 | static_cast<std::uint64_t>(repeat));
    shuffle(source, random);
    const Metrics metrics = measure(PermutedSamples<Set>(set, part, source));
    const double permuted = metrics.*figure.value;
    if (!is_finite(permuted))
      throw DataError("permutation: the figure ", options.figure, " of ", set.size(),
                      " permuted windows is not finite");
    const double drop = value - permuted;
    result.drops.push_back(figure.lower_is_better ? -drop : drop);
  }
  const auto n = static_cast<double>(options.repeats);
  for (const double drop : result.drops) result.mean += drop;
  result.mean /= n;
  double squares = 0;
  for (const double drop : result.drops) squares += (drop - result.mean) * (drop - result.mean);
  if (options.repeats > 1) result.deviation = std::sqrt(squares / (n - 1));
  return result;
}

}  // namespace internal

/// The importance of each column, and of each block of rows, on a set of windows with targets.
/// `measure(set)` returns the Metrics of the model on a set of samples:
///
///     permutation_importance(data.test, options, [&](const auto& set) {
///       return evaluate(model, set, model.task().unweighted());
///     });
///
/// Deterministic: the permutations follow from seed, part and repeat alone. A column that is
/// constant in the set scores exactly 0. Columns that tell the same share their importance, and
/// each may score little. Costs (columns + blocks) * repeats + 1 calls of measure.
/// Throws: OptionError when an option is out of range, or the figure is unknown or not defined
/// there, or samples have lengths or inputs besides their windows; DataError when there are fewer
/// than two windows, or the figure of permuted ones is not finite; what measure throws.
template <SampleSet Set, class Measure>
PermutationImportance permutation_importance(const Set& set, const PermutationOptions& options,
                                             const Measure& measure) {
  const FloatModeGuard guard;
  const Index T = set.length(), I = set.inputs();
  if (options.repeats < 1 || options.repeats > 1'000'000)
    throw OptionError("permutation: repeats: expected 1 to 1000000, got ", options.repeats);
  if (options.block < 0 || options.block > T)
    throw OptionError("permutation: block: expected 0 to ", T, " rows, got ", options.block);
  const auto* figure = std::find_if(std::begin(all_figures), std::end(all_figures),
                                    [&](const Figure& f) { return f.name == options.figure; });
  if (figure == std::end(all_figures))
    throw OptionError("permutation: there is no figure named '", options.figure, "'");
  if (set.size() < 2)
    throw DataError("permutation: expected two windows or more, got ", set.size());
  PermutationImportance result{options.figure};
  result.windows = set.size();
  result.repeats = options.repeats;
  result.value = measure(set).*figure->value;
  if (!is_finite(result.value))
    throw OptionError("permutation: the figure ", options.figure, " is not defined for this task ",
                      "and these windows");
  std::uint64_t stream = 0;
  const auto add = [&](std::vector<Importance>& to, WindowPart part) {
    to.push_back(
        internal::importance_of(set, part, options, stream++, result.value, *figure, measure));
  };
  for (Index i = 0; i < I; ++i) add(result.columns, {i, i + 1, 0, T});
  const Index block = options.block > 0 ? options.block : (T + 9) / 10;
  for (Index last = T; last > 0; last -= block)
    add(result.blocks, {0, I, std::max<Index>(0, last - block), last});
  return result;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
