// Updates whose batches are cut into shards: parts whose gradients are made one by one, by one
// process or shared between several, and added in one fixed order.
//
//   part i of a batch of B   samples floor(i B / S) ... floor((i + 1) B / S) - 1, for i < S
//   weight                   that of the whole batch: the loss of each part is divided by it
//   gradient                 ((g_0 + g_1) + (g_2 + g_3)) + ..., a binary tree over all parts
//
// Rank r of R has the S / R consecutive parts from r S / R on, a subtree. Partial sums then go from
// rank to rank, first between neighbours. So the weights are the same bits whichever number of
// ranks divides S, and for any number of threads. They are not those of another S, whose sums are
// in another order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/spread/communicator.hpp"
#include "tsdl/train/predict.hpp"
#include "tsdl/train/stepper.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Makes updates over shards:
///
///   auto ranks = tsdl::connect_ranks();                                   // spread/mpi.hpp
///   tsdl::Trainer<Model, tsdl::ShardedStepper<Model>> trainer(model, options, shards, *ranks);
///
/// Every rank makes the same model and the same trainer, runs it on the same windows, and has the
/// same weights after each update. The losses at an epoch's end are shared between ranks as well.
/// Each part runs on all threads of its process. With one shard, the bits are those of
/// LocalStepper.
///
/// Callbacks run on every rank. What they change (learning_rate, stop) must be the same everywhere;
/// any_rank() makes one decision of several. Let rank 0 alone write files.
template <class M>  // a Model, which the Trainer checks
class ShardedStepper {
 public:
  using Scalar = typename M::Scalar;

  /// Model and communicator must outlive the stepper. Throws: OptionError when an option is out of
  /// range, `shards` is not a power of two, or the number of ranks does not divide it.
  ShardedStepper(M& model, const AdamW& optimizer, Index shards, Communicator& ranks)
      : ShardedStepper(model, optimizer, shards, &ranks) {}
  /// On this process alone.
  ShardedStepper(M& model, const AdamW& optimizer, Index shards)
      : ShardedStepper(model, optimizer, shards, nullptr) {}
  ShardedStepper(const ShardedStepper&) = delete;
  ShardedStepper& operator=(const ShardedStepper&) = delete;

  /// Collective: makes one update on `samples` of a set. Allocates: nothing after the first call
  /// with the largest batch. Throws: as step(batch).
  template <SampleSet Set>
  UpdateResult step(const Set& set, const Samples& samples, const Update& update) {
    return run(set.length(), samples.size(),
               set.targets_of(samples, target_steps(model_, set.length()), scratch_), {}, update,
               [&](Index first, Index count, BatchScratch<Scalar>& scratch) {
                 return set.inputs_of(samples.part(first, count), scratch);
               });
  }

  /// Collective: makes one update on your own batch, the same on every rank. Allocates: as above.
  /// Throws: ShapeError, DataError when the batch's targets do not fit the model's task, on every
  /// rank alike; Error when ranks have different weights at the first update, or cannot be reached.
  UpdateResult step(const Batch<Scalar>& batch, const Update& update) {
    return run(batch.past.steps, batch.size(), batch.targets, batch.keys, update,
               [&](Index first, Index count, BatchScratch<Scalar>&) {
                 return samples_of(batch, first, count);
               });
  }

  /// Collective: internal::for_each_batch, the windows shared between ranks and the outputs of all
  /// gathered, so that every rank uses the same in the same order.
  template <class Set, class Workspace, class Use>
  void each_batch(const Set& windows, Workspace& workspace, const Use& use) {
    const Index R = ranks_.size(), each = internal::prediction_batch;
    if (R == 1) return internal::for_each_batch(std::as_const(model_), windows, workspace, use);
    const FloatModeGuard guard;
    const Index batches = (windows.size() + each - 1) / each;
    const auto begin = [&](Index rank) {
      return std::min(batches * rank / R * each, windows.size());
    };
    std::string mine;
    internal::for_each_batch(
        std::as_const(model_), windows, begin(ranks_.rank()), begin(ranks_.rank() + 1), workspace,
        [&](Index, Index, const Buffer<double>& outputs) {
          mine.append(reinterpret_cast<const char*>(outputs.data()), outputs.span().size_bytes());
        });
    const std::vector<std::string> all = ranks_.all_gather(std::move(mine));
    const Index per_window = model_.outputs() * target_steps(model_, windows.length());
    for (Index rank = 0; rank < R; ++rank) {
      const std::string& bytes = all[static_cast<std::size_t>(rank)];
      const Index end = begin(rank + 1);
      if (bytes.size() !=
          static_cast<std::size_t>((end - begin(rank)) * per_window) * sizeof(double))
        throw Error("ShardedStepper: rank ", rank, " has other windows or another model");
      const char* from = bytes.data();
      for (Index first = begin(rank); first < end; first += each) {
        const Index count = std::min(each, end - first);
        workspace.outputs.resize(count * per_window);
        const std::size_t size = workspace.outputs.span().size_bytes();
        std::memcpy(workspace.outputs.data(), from, size);
        from += size;
        use(first, count, workspace.outputs);
      }
    }
  }

  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  /// The optimizer, for training states.
  Optimizer<Scalar>& optimizer() noexcept { return optimizer_; }
  Index shards() const noexcept { return shards_; }

 private:
  /// Samples first ... first + count - 1 of a batch.
  struct Part {
    Index first = 0, count = 0;
    Batch<Scalar> batch{Sequence<const Scalar>{}};
    std::vector<std::uint32_t> keys{};
    BatchScratch<Scalar> scratch{};
    internal::BatchPass<M> pass{};
    LossSum loss{};
  };

  ShardedStepper(M& model, const AdamW& optimizer, Index shards, Communicator* ranks)
      : model_(model),
        optimizer_(model, optimizer),
        ranks_(ranks ? *ranks : alone_),
        shards_(checked(shards, ranks_.size())),
        parts_(static_cast<std::size_t>(shards / ranks_.size())),
        sums_(static_cast<std::size_t>(std::max(1, std::countr_zero(parts_.size())))) {
    update(model, [&](Parameter<Scalar>& parameter) {
      parameter.need_gradient();
      size_ += parameter.size();
    });
  }

  static Index checked(Index shards, Index ranks) {
    if (shards < 1 || !std::has_single_bit(static_cast<std::uint64_t>(shards)))
      throw OptionError("ShardedStepper: shards must be a power of two, not ", shards);
    if (shards % ranks != 0)
      throw OptionError("ShardedStepper: ", shards, " shards cannot be shared between ", ranks,
                        " ranks: expected a number of ranks that divides them");
    return shards;
  }

  template <class Value>
  static Sequence<const Value> samples_of(const Sequence<const Value>& x, Index first,
                                          Index count) noexcept {
    if (!x.data) return x;
    return {
        x.data + first * x.sample_stride, x.inputs, x.steps, count, x.step_stride, x.sample_stride};
  }

  static Batch<Scalar> samples_of(const Batch<Scalar>& x, Index first, Index count) noexcept {
    Batch<Scalar> part = x;
    part.past = samples_of(x.past, first, count);
    part.future = samples_of(x.future, first, count);
    part.statics = samples_of(x.statics, first, count);
    part.categories = samples_of(x.categories, first, count);
    if (!x.lengths.empty())
      part.lengths =
          x.lengths.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    return part;
  }

  /// inputs_of(first, count, scratch) gives the inputs of those samples of the batch.
  template <class InputsOf>
  UpdateResult run(Index T, Index B, const Sequence<const double>& targets,
                   std::span<const std::uint32_t> keys, const Update& update,
                   const InputsOf& inputs_of) {
    const FloatModeGuard guard;
    check_ranks();
    const Task task = model_.task();
    // All of them on every rank, so that all refuse what one would.
    internal::BatchPass<M>::collect_targets(targets_, targets, task, target_steps(model_, T), B);
    const Index own = std::ssize(parts_);
    for (Index i = 0; i < own; ++i) {
      Part& part = parts_[static_cast<std::size_t>(i)];
      const Index which = ranks_.rank() * own + i;
      part.first = which * B / shards_;
      part.count = (which + 1) * B / shards_ - part.first;
      part.loss = {};
      if (part.count == 0) continue;
      part.keys.resize(static_cast<std::size_t>(part.count));
      for (Index b = 0; b < part.count; ++b)
        part.keys[static_cast<std::size_t>(b)] = sample_key(keys, part.first + b);
      part.batch = inputs_of(part.first, part.count, part.scratch);
      part.batch.targets = samples_of(targets, part.first, part.count);
      part.batch.keys = part.keys;
      part.loss = part.pass.forward(model_, task, part.batch, update.dropout);
    }
    const LossSum loss = add_losses();
    for (Index i = 0; i < own; ++i) {
      Part& part = parts_[static_cast<std::size_t>(i)];
      model_.zero_gradients();
      if (part.count > 0) part.pass.backward(model_, part.batch, loss.weight);
      if (shards_ > 1) add_gradients(i);
    }
    if (shards_ > 1) share_gradients();
    const UpdateResult result = internal::apply_gradients(model_, optimizer_, loss, update);
    if (!result.applied) model_.repack();  // share_gradients() visited the parameters
    return result;
  }

  /// The loss of the whole batch. Leaves sums of several parts in parts_.
  LossSum add_losses() {
    const std::size_t own = parts_.size();
    for (std::size_t distance = 1; distance < own; distance *= 2)
      for (std::size_t i = 0; i < own; i += 2 * distance)
        parts_[i].loss += parts_[i + distance].loss;
    double values[2] = {parts_[0].loss.sum, parts_[0].loss.weight}, received[2];
    internal::add_in_tree<double>(ranks_, values, received);
    return {values[0], values[1]};
  }

  /// Adds the model's gradients, those of own part i, to the sums of the parts before. sums_[k] is
  /// over 2^k parts, while it waits for the 2^k parts to its right; after the last part the sum of
  /// all is sums_.back().
  void add_gradients(Index i) {
    Buffer<Scalar>& first = sums_.front();
    first.resize(size_);
    Scalar* sum = first.data();
    std::as_const(model_).visit([&](const Parameter<Scalar>& parameter) {
      const Buffer<Scalar>& gradient = parameter.gradient;
      if (i % 2 == 0)
        std::copy(gradient.begin(), gradient.end(), sum);
      else
        for (Index n = 0; n < gradient.size(); ++n) sum[n] += gradient[n];
      sum += gradient.size();
    });
    const auto sums = static_cast<std::size_t>(std::countr_one(static_cast<std::uint64_t>(i)));
    for (std::size_t k = 1; k < sums; ++k)
      for (Index n = 0; n < size_; ++n) sums_[k][n] += sums_[k - 1][n];
    if (sums > 0 && sums < sums_.size()) sums_[sums].swap(sums_[sums - 1]);
  }

  /// Adds the sums of all ranks, and makes the total the model's gradients.
  void share_gradients() {
    Buffer<Scalar>& total = sums_.back();
    if (ranks_.size() > 1) {
      received_.resize(size_);
      internal::add_in_tree<Scalar>(ranks_, total.span(), received_.span());
    }
    const Scalar* sum = total.data();
    model_.visit([&](Parameter<Scalar>& parameter) {
      std::copy_n(sum, parameter.size(), parameter.gradient.begin());
      sum += parameter.size();
    });
  }

  /// Before the first update: ranks that begin with different weights would never agree.
  void check_ranks() {
    if (std::exchange(checked_ranks_, true) || ranks_.size() == 1) return;
    Fingerprint print;
    print.add(&shards_, sizeof shards_);
    std::as_const(model_).visit([&](const Parameter<Scalar>& parameter) {
      print.add_text(parameter.name).add(parameter.value.span());
    });
    const std::vector<std::string> all = ranks_.all_gather(print.text());
    for (std::size_t rank = 1; rank < all.size(); ++rank)
      if (all[rank] != all[0])
        throw Error("ShardedStepper: rank ", rank,
                    " begins with other weights or another number of shards than rank 0");
  }

  M& model_;
  Optimizer<Scalar> optimizer_;
  SingleProcess alone_;
  Communicator& ranks_;
  Index shards_ = 1;
  std::vector<Part> parts_;  ///< those of this rank
  std::vector<Buffer<Scalar>> sums_;
  Buffer<Scalar> received_;
  BatchScratch<Scalar> scratch_;
  Buffer<double> targets_;
  Index size_ = 0;  ///< values of all gradients
  bool checked_ranks_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
