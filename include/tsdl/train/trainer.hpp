// The training loop: batches, updates, validation, callbacks, and the best weights at the end.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/random.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/optim/clip.hpp"
#include "tsdl/train/callbacks.hpp"
#include "tsdl/train/predict.hpp"

namespace tsdl::inline TSDL_ABI {

/// How a Trainer trains.
struct TrainerOptions {
  AdamW optimizer{};
  Index batch_size = 32;
  Index max_epochs = 100;
  double clip_norm = 1.0;    ///< largest norm of all gradients together; 0: no clipping
  bool shuffle = false;      ///< a new order of the training windows each epoch
  bool restore_best = true;  ///< end with the weights of the best epoch, else with the last ones
  Index max_skipped_in_a_row = 10;
  std::optional<Loss> loss{};  ///< none: BCEWithLogits for one output, else CrossEntropy
  std::uint64_t seed = 0;      ///< of shuffling and dropout

  /// Throws: ShapeError when an option is out of range.
  void check() const {
    optimizer.check();
    if (batch_size < 1)
      throw ShapeError("Trainer: batch_size must be at least 1, not ", batch_size);
    if (max_epochs < 1)
      throw ShapeError("Trainer: max_epochs must be at least 1, not ", max_epochs);
    if (is_nan(clip_norm) || clip_norm < 0)
      throw ShapeError("Trainer: clip_norm must not be negative");
    if (max_skipped_in_a_row < 1)
      throw ShapeError("Trainer: max_skipped_in_a_row must be at least 1");
  }
};

/// How a run went.
struct History {
  std::vector<EpochRecord> epochs;
  Status status = Status::running;
  Index best_epoch = 0;  ///< from 1; 0: no epoch had a finite loss
  Index skipped_steps = 0;
};

/// Trains a model in place. Everything random follows from the options' seed; the result does not
/// depend on the number of threads.
template <class Model>
class Trainer {
 public:
  using Scalar = typename Model::Scalar;

  /// The model must outlive the trainer. Throws: ShapeError when an option is out of range.
  explicit Trainer(Model& model, TrainerOptions options = {})
      : model_(model),
        options_((options.check(), std::move(options))),
        loss_(options_.loss.value_or(default_loss(model.options().outputs))),
        optimizer_(options_.optimizer, model) {
    state_.learning_rate = options_.optimizer.lr;
    state_.max_epochs = options_.max_epochs;
    model_.visit([&](const Parameter<Scalar>& parameter) { best_.push_back(parameter.value); });
    model_.repack();
  }

  /// Adds a callback by its options, as in add(EarlyStopping{.patience = 10}). They are called in
  /// the order in which they were added.
  template <class Options>
  Trainer& add(const Options& options) {
    callbacks_.push_back(make_callback(options, *this));
    return *this;
  }

  /// Runs epochs until the last, or until a callback stops it, or it diverges; goes on where a
  /// restored state left off. `validation` may be empty: then the training loss is what is
  /// monitored. Throws: ShapeError, DataError when windows or labels do not fit the model; what a
  /// callback throws.
  History fit(const Windows<Scalar>& train, const Windows<Scalar>& validation = {}) {
    if (train.empty()) throw DataError("Trainer: there are no training windows");
    for (const Windows<Scalar>* windows : {&train, &validation}) {
      const Index I = model_.options().input_size;
      if (!windows->empty() && windows->inputs() != I)
        throw ShapeError("Trainer: windows with ", windows->inputs(), " inputs for a model of ", I);
      check_labels(loss_, std::span<const Scalar>(windows->labels()), model_.options().outputs);
    }
    for (auto& callback : callbacks_) callback->on_begin(state_);
    while (state_.status == Status::running) {
      run_epoch(train);
      if (state_.status == Status::interrupted) break;
      finish_epoch(validation);
    }
    if (options_.restore_best && state_.best_epoch > 0) restore_best();
    for (auto& callback : callbacks_) callback->on_end(state_);
    return {state_.history, state_.status, state_.best_epoch, state_.skipped_steps};
  }

  /// One update on a batch: forward, backward, clip, AdamW. A step whose gradient norm is not
  /// finite is skipped and counted. Returns the loss before the update. Allocates: nothing after
  /// the first call with the largest batch.
  LossSum step(const Sequence<const Scalar>& x, std::span<const Scalar> labels) {
    const Index K = model_.options().outputs;
    dlogits_.resize(x.batch * K);
    model_.zero_gradients();
    const auto logits =
        model_.forward_training(x, cache_, {.seed = options_.seed, .update = state_.batches});
    const LossSum loss = evaluate(loss_, logits.data(), labels, K, dlogits_.data());
    model_.backward(x, cache_, dlogits_.data());
    const double norm = gradient_norm(model_);
    ++state_.batches;
    if (is_finite(norm) && is_finite(loss.sum)) {
      optimizer_.step(model_, state_.learning_rate, clip_coefficient(norm, options_.clip_norm));
      state_.skipped_in_a_row = 0;
      state_.epoch_loss += loss;
      norm_sum_ += norm;
      ++steps_in_epoch_;
    } else {
      ++state_.skipped_steps;
      ++state_.skipped_in_a_row;
    }
    return loss;
  }

  Model& model() noexcept { return model_; }
  const Model& model() const noexcept { return model_; }
  const TrainerOptions& options() const noexcept { return options_; }
  const TrainerState& state() const noexcept { return state_; }

  // For checkpoints (io/checkpoint.hpp): everything that a resumed run needs.
  TrainerState& state() noexcept { return state_; }
  AdamWOptimizer<Scalar>& optimizer() noexcept { return optimizer_; }
  std::vector<Buffer<Scalar>>& best_weights() noexcept { return best_; }
  void archive(StateArchive& archive) {
    for (auto& callback : callbacks_) callback->archive(archive);
  }

 private:
  static constexpr std::uint64_t shuffle_stream = 1u << 30;  // apart from the streams of weights

  void run_epoch(const Windows<Scalar>& train) {
    state_.windows_done = 0;
    state_.windows_in_epoch = train.size();
    state_.epoch_loss = {};
    norm_sum_ = 0;
    steps_in_epoch_ = 0;
    skipped_before_ = state_.skipped_steps;
    if (options_.shuffle) {
      order_.resize(static_cast<std::size_t>(train.size()));
      std::iota(order_.begin(), order_.end(), Index{0});
      RandomStream random(options_.seed, shuffle_stream + static_cast<std::uint64_t>(state_.epoch));
      shuffle(order_, random);
    }
    for (Index first = 0; first < train.size(); first += options_.batch_size) {
      const Index count = std::min(options_.batch_size, train.size() - first);
      const auto from = static_cast<std::size_t>(first);
      const auto size = static_cast<std::size_t>(count);
      labels_.resize(count);
      if (options_.shuffle) {
        const std::span<const Index> samples(order_.data() + from, size);
        for (Index b = 0; b < count; ++b)
          labels_[b] = train.label(samples[static_cast<std::size_t>(b)]);
        step(train.gather(samples, gathered_), labels_.span());
      } else {
        std::copy_n(train.labels().data() + from, size, labels_.data());
        step(train.batch(first, count, gathered_), labels_.span());
      }
      state_.windows_done += count;
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

  void finish_epoch(const Windows<Scalar>& validation) {
    EpochRecord record;
    record.epoch = ++state_.epoch;
    record.learning_rate = state_.learning_rate;
    record.train_loss = state_.epoch_loss.mean();
    record.gradient_norm = norm_sum_ / static_cast<double>(steps_in_epoch_);
    record.skipped_steps = state_.skipped_steps - skipped_before_;
    if (!validation.empty()) record.validation = evaluate(model_, validation, loss_, validation_);
    state_.history.push_back(record);
    const double monitored = state_.monitored();
    state_.improved = !is_nan(monitored) && monitored < state_.best_loss;
    if (state_.improved) {
      state_.best_loss = monitored;
      state_.best_epoch = state_.epoch;
      auto best = best_.begin();
      std::as_const(model_).visit(
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

  void restore_best() {
    auto best = best_.begin();
    model_.visit([&](Parameter<Scalar>& parameter) { parameter.value = *best++; });
    model_.repack();
  }

  Model& model_;
  TrainerOptions options_;
  Loss loss_;
  AdamWOptimizer<Scalar> optimizer_;
  TrainerState state_;
  std::vector<std::unique_ptr<Callback>> callbacks_;
  std::vector<Buffer<Scalar>> best_;  // in the order of the model's parameters

  typename Model::Cache cache_;
  internal::PredictionWorkspace<Model> validation_;
  Buffer<Scalar> dlogits_, labels_, gathered_;
  std::vector<Index> order_;
  double norm_sum_ = 0;
  Index steps_in_epoch_ = 0;
  Index skipped_before_ = 0;
};

}  // namespace tsdl::inline TSDL_ABI
