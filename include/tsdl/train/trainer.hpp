// The training loop: batches, updates, validation, callbacks, and the best weights at the end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/archive.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/samples.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/train/callbacks.hpp"
#include "tsdl/train/predict.hpp"
#include "tsdl/train/stepper.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of a Trainer.
struct TrainerOptions {
  AdamW optimizer{};
  Index batch_size = 32;
  Index max_epochs = 100;
  double clip_norm = 1.0;  ///< largest norm of all gradients together; 0: no clipping
  bool shuffle = false;    ///< a new order of the training windows each epoch
  /// Instead: a new order of batches of consecutive windows, cut at other places each epoch. Such
  /// windows share the columns of the series, and less is computed than for shuffled windows.
  bool shuffle_batches = false;
  bool restore_best = true;  ///< end with the weights of the best epoch, not the last
  Index max_skipped_in_a_row = 10;
  /// What the outputs mean, as from Prepared::task(). If empty, the model's own task, by default
  /// two classes for one output and K classes for K outputs.
  std::optional<Task> task{};
  std::optional<Loss> loss{};  ///< instead of a task: the task of this loss, targets unscaled
  std::uint64_t seed = 0;      ///< for shuffling and dropout

  /// Throws: OptionError when an option is out of range, or both task and loss are given.
  void check() const {
    optimizer.check();
    if (batch_size < 1)
      throw OptionError("Trainer: batch_size must be at least 1, not ", batch_size);
    if (max_epochs < 1)
      throw OptionError("Trainer: max_epochs must be at least 1, not ", max_epochs);
    if (is_nan(clip_norm) || clip_norm < 0)
      throw OptionError("Trainer: clip_norm must not be negative");
    if (max_skipped_in_a_row < 1)
      throw OptionError("Trainer: max_skipped_in_a_row must be at least 1");
    if (shuffle && shuffle_batches)
      throw OptionError("Trainer: expected shuffle or shuffle_batches, got both");
    if (task && loss) throw OptionError("Trainer: expected a task or a loss, got both");
  }
};

/// The result of a run.
struct History {
  std::vector<EpochRecord> epochs;
  Status status = Status::running;
  Index best_epoch = 0;  ///< from 1; 0: no epoch ended with finite weights and a finite loss
  Index skipped_steps = 0;
};

/// Trains a model in place. All random draws follow from the seed in the options; the result does
/// not depend on the number of threads. A Trainer cannot be copied or moved, because callbacks
/// refer to it.
template <class M, class Stepper = LocalStepper<M>>
class Trainer {
 public:
  using Scalar = typename M::Scalar;

  /// Gives the model the task. The model must outlive the trainer. `arguments` are for the stepper,
  /// after the model and the options of AdamW.
  /// Throws: OptionError when an option is out of range, or the task needs another number of
  /// outputs than the model has; what the stepper's constructor throws.
  template <class... Arguments>
  explicit Trainer(M& model, TrainerOptions options = {}, Arguments&&... arguments)
      : options_((options.check(), std::move(options))),
        stepper_(model, options_.optimizer, std::forward<Arguments>(arguments)...) {
    Task task = options_.task   ? *options_.task
                : options_.loss ? task_of(*options_.loss, model.outputs())
                                : model.task();
    task.check_outputs(model.outputs());
    model.set_task(std::move(task));
    state_.learning_rate = options_.optimizer.lr;
    state_.max_epochs = options_.max_epochs;
    std::as_const(model).visit(
        [&](const Parameter<Scalar>& parameter) { best_.push_back(parameter.value); });
  }
  /// Deleted: a temporary model would not outlive the trainer.
  explicit Trainer(M&& model, TrainerOptions options = {}) = delete;
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Adds a callback by its options, as in add(EarlyStopping{.patience = 10}). Callbacks are called
  /// in the order in which they were added. In a training state, this order identifies two of the
  /// same kind.
  template <class Options>
  Trainer& add(const Options& options) {
    callbacks_.push_back(make_callback(options, *this));
    return *this;
  }

  /// Runs epochs until the last, until a callback stops the run, or until it diverges. Continues
  /// where a restored state left off. What is monitored is the loss of the weights at an epoch's
  /// end: on `validation` or, if that is empty, on `train` once more. Weights that are not finite
  /// are never the best, and never what the model ends with: without a best epoch it then has the
  /// weights that it began with.
  /// Throws: Error when the run has already ended; ShapeError, DataError when windows or targets do
  /// not fit the model; what a callback throws.
  template <SampleSet Set = Windows<Scalar>>
  History fit(const Set& train, const std::type_identity_t<Set>& validation = {}) {
    const FloatModeGuard guard;
    if (ended_)
      throw Error("Trainer: this run has ended (", to_string(state_.status), " after ",
                  state_.epoch,
                  " epochs): make another Trainer to train the model further, or resume a state");
    check_model();
    check_windows(train, "training");
    if (!validation.empty()) check_windows(validation, "validation");
    for (auto& callback : callbacks_) callback->on_begin(state_);
    while (state_.status == Status::running) {
      run_epoch(train);
      if (state_.status == Status::interrupted) break;
      finish_epoch(train, validation);
    }
    ended_ = true;
    check_model();
    if ((options_.restore_best && state_.best_epoch > 0) ||
        !has_finite_parameters(std::as_const(*this).model()))
      restore_best();
    for (auto& callback : callbacks_) callback->on_end(state_);
    return {state_.history, state_.status, state_.best_epoch, state_.skipped_steps};
  }

  /// Makes one update on your own batch: forward, backward, clip, AdamW. A step whose loss or
  /// gradient norm is not finite is skipped and counted. Returns the loss before the update.
  /// Allocates: nothing after the first call with the largest batch.
  /// Throws: ShapeError, DataError when the batch's targets do not fit the model's task.
  LossSum step(const Batch<Scalar>& batch) {
    check_model();
    return count(stepper_.step(batch, update()));
  }

  /// step() with one label per sample.
  LossSum step(const Sequence<const Scalar>& x, std::span<const Scalar> labels) {
    labels_.resize(std::ssize(labels));
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels_[static_cast<Index>(i)] = static_cast<double>(labels[i]);
    return step({x, Sequence<const double>::dense(labels_.data(), 1, 1, labels_.size())});
  }

  Task task() const { return stepper_.model().task(); }
  M& model() noexcept { return stepper_.model(); }
  const M& model() const noexcept { return stepper_.model(); }
  const TrainerOptions& options() const noexcept { return options_; }
  const TrainerState& state() const noexcept { return state_; }

  TrainerState& state() noexcept { return state_; }
  Optimizer<Scalar>& optimizer() noexcept { return stepper_.optimizer(); }
  const std::vector<Buffer<Scalar>>& best_weights() const noexcept { return best_; }

  /// Reads or writes everything that a resumed run continues from: the weights, the best weights so
  /// far, the optimizer, the state, and the values of each callback under its key (a second
  /// callback with the same key is "key.2", and so on). After a restore, fit() continues from
  /// there.
  void archive(StateArchive& archive) {
    check_model();
    std::size_t i = 0;
    tsdl::update(model(), [&](Parameter<Scalar>& parameter) {
      const std::vector<Index> shape = parameter.shape();
      archive.tensor("weights." + parameter.name, shape, parameter.value);
      archive.tensor("best." + parameter.name, shape, best_[i++]);
    });
    optimizer().archive(archive, std::as_const(*this).model());
    state_.archive(archive);
    std::vector<std::string> keys;
    for (auto& callback : callbacks_) {
      const std::string key = callback->key();
      const auto before = std::count(keys.begin(), keys.end(), key);
      keys.push_back(key);
      KeyedArchive keyed(archive,
                         "state." + (before == 0 ? key : key + '.' + std::to_string(before + 1)));
      callback->archive(keyed);
    }
    if (archive.restores()) ended_ = false;
  }

 private:
  static constexpr std::uint64_t shuffle_stream = 1u << 30;  // apart from the streams of weights

  /// Throws: ShapeError when another model has been assigned to the one that is trained, with
  /// parameters of other sizes.
  void check_model() const {
    auto best = best_.begin();
    bool same = true;
    stepper_.model().visit([&](const Parameter<Scalar>& parameter) {
      same = same && best != best_.end() && best->size() == parameter.size();
      if (same) ++best;
    });
    if (!same || best != best_.end())
      throw ShapeError(
          "Trainer: the model is no longer the one that it was made for: it has parameters of "
          "other "
          "sizes");
  }

  template <class Set>
  void check_windows(const Set& windows, const char* part) const {
    const M& model = stepper_.model();
    if (windows.empty()) throw DataError("Trainer: there are no ", part, " windows");
    if (windows.inputs() != model.inputs())
      throw ShapeError("Trainer: windows with ", windows.inputs(), " inputs for a model of ",
                       model.inputs());
    const Index S = tsdl::target_steps(model, windows.length());
    // Of classes all targets at once: a task may ask what they have together.
    const Task task = this->task();
    const Index at_once = task->classes() > 0 ? windows.size() : internal::prediction_batch;
    BatchScratch<Scalar> scratch;
    std::vector<double> targets;
    for (Index i = 0; i < windows.size(); ++i) {
      const auto one = windows.targets_of(Samples{i, 1, {}}, S, scratch);
      targets.insert(targets.end(), one.data, one.data + S * one.inputs);
      if ((i + 1) % at_once != 0 && i + 1 < windows.size()) continue;
      task.check_targets(targets, windows.target_count(),
                         std::ssize(targets) / windows.target_count());
      targets.clear();
    }
  }

  Update update() const noexcept {
    return {.learning_rate = state_.learning_rate,
            .clip_norm = options_.clip_norm,
            .dropout = {.seed = options_.seed, .update = state_.batches}};
  }

  /// Counts an update and its result.
  LossSum count(const UpdateResult& result) noexcept {
    ++state_.batches;
    if (result.applied) {
      state_.skipped_in_a_row = 0;
      state_.epoch_loss += result.loss;
      norm_sum_ += result.norm;
      ++steps_in_epoch_;
    } else {
      ++state_.skipped_steps;
      ++state_.skipped_in_a_row;
    }
    return result.loss;
  }

  template <class Set>
  void run_epoch(const Set& train) {
    state_.windows_done = 0;
    state_.windows_in_epoch = train.size();
    state_.epoch_loss = {};
    norm_sum_ = 0;
    steps_in_epoch_ = 0;
    skipped_before_ = state_.skipped_steps;
    const Index size = train.size(), batches = order_windows(size);
    for (Index i = 0; i < batches; ++i) {
      const Samples samples = batch(i, size);
      count(stepper_.step(train, samples, update()));
      state_.windows_done += samples.count;
      for (auto& callback : callbacks_) callback->on_batch(state_);
      if (state_.stop) {
        state_.status = Status::interrupted;
        return;
      }
      if (state_.skipped_in_a_row >= options_.max_skipped_in_a_row) {
        state_.status = Status::diverged;
        return;
      }
    }
  }

  /// Draws this epoch's order and returns the number of batches.
  Index order_windows(Index size) {
    const Index each = options_.batch_size;
    RandomStream random(options_.seed, shuffle_stream + static_cast<std::uint64_t>(state_.epoch));
    first_cut_ = each;
    if (options_.shuffle_batches && size > each)
      first_cut_ = 1 + static_cast<Index>(random.below(static_cast<std::uint64_t>(each)));
    const Index batches = 1 + std::max(Index{0}, size - first_cut_ + each - 1) / each;
    if (options_.shuffle || options_.shuffle_batches) {
      order_.resize(static_cast<std::size_t>(options_.shuffle ? size : batches));
      std::iota(order_.begin(), order_.end(), Index{0});
      shuffle(order_, random);
    }
    return batches;
  }

  /// Batch i of this epoch.
  Samples batch(Index i, Index size) const noexcept {
    const Index at = options_.shuffle_batches ? order_[static_cast<std::size_t>(i)] : i;
    const Index end = first_cut_ + at * options_.batch_size,
                first = at == 0 ? 0 : end - options_.batch_size;
    Samples samples{first, std::min(end, size) - first, {}};
    if (options_.shuffle)
      samples.chosen = std::span<const Index>(order_).subspan(
          static_cast<std::size_t>(first), static_cast<std::size_t>(samples.count));
    return samples;
  }

  template <class Set>
  void finish_epoch(const Set& train, const Set& validation) {
    EpochRecord record;
    record.epoch = ++state_.epoch;
    record.learning_rate = state_.learning_rate;
    record.train_loss = state_.epoch_loss.mean();
    record.gradient_norm = norm_sum_ / static_cast<double>(steps_in_epoch_);
    record.skipped_steps = state_.skipped_steps - skipped_before_;
    const auto each_batch = [this](const auto&, const auto& windows, auto& workspace,
                                   const auto& use) {
      this->make_outputs(windows, workspace, use);
    };
    if (!validation.empty())
      record.validation = evaluate(model(), validation, task(), validation_, each_batch);
    state_.history.push_back(record);
    check_model();  // callbacks ran
    // Not the mean over the epoch's steps: its last weights may be those that broke.
    const bool finite = has_finite_parameters(std::as_const(*this).model());
    state_.monitored = !finite              ? internal::nan_of<double>
                       : validation.empty() ? internal::training_loss(model(), train, task(),
                                                                      validation_, each_batch)
                                            : record.validation.loss;
    if (!finite) state_.status = Status::diverged;
    state_.improved = is_finite(state_.monitored) && state_.monitored < state_.best_loss;
    if (state_.improved) {
      state_.best_loss = state_.monitored;
      state_.best_epoch = state_.epoch;
      auto best = best_.begin();
      std::as_const(*this).model().visit(
          [&](const Parameter<Scalar>& parameter) { *best++ = parameter.value; });
    }
    for (auto& callback : callbacks_) callback->on_epoch(state_);
    if (state_.status == Status::running) {
      if (state_.stop)
        state_.status = Status::stopped_early;
      else if (state_.epoch >= state_.max_epochs)
        state_.status = Status::finished;
    }
    for (auto& callback : callbacks_) callback->on_epoch_complete(state_);
  }

  /// internal::for_each_batch, by the stepper where it shares the batches between processes.
  template <class Set, class Use>
  void make_outputs(const Set& windows, internal::PredictionWorkspace<M>& workspace,
                    const Use& use) {
    if constexpr (requires { stepper_.each_batch(windows, workspace, use); })
      stepper_.each_batch(windows, workspace, use);
    else
      internal::for_each_batch(model(), windows, workspace, use);
  }

  void restore_best() {
    auto best = best_.begin();
    tsdl::update(model(), [&](Parameter<Scalar>& parameter) { parameter.value = *best++; });
  }

  TrainerOptions options_;
  Stepper stepper_;
  TrainerState state_;
  std::vector<std::unique_ptr<Callback>> callbacks_;
  std::vector<Buffer<Scalar>> best_;  // in the order of the model's parameters
  internal::PredictionWorkspace<M> validation_;
  Buffer<double> labels_;
  std::vector<Index> order_;  ///< of windows, or of batches
  Index first_cut_ = 0;       ///< where this epoch's first batch ends
  double norm_sum_ = 0;
  Index steps_in_epoch_ = 0;
  Index skipped_before_ = 0;
  bool ended_ = false;  ///< fit() has run
};

/// One clear error for a type that is not a Model, instead of pages of them.
template <class M, class Stepper>
requires(!Model<M>) class Trainer<M, Stepper> {
  static_assert(Model<M>,
                "Trainer: this type does not keep the contract of a model, tsdl::Model in "
                "nn/model.hpp; the compiler's notes name what it lacks");

 public:
  explicit Trainer(M&, const TrainerOptions& = {}, const auto&...) {}
};

}  // namespace TSDL_ABI
}  // namespace tsdl
