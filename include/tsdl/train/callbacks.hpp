// Callbacks of a Trainer: the state that they see, and the callbacks that need nothing else.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/archive.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/optim/schedule.hpp"
#include "tsdl/task/loss.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

enum class Status {
  running,
  finished,       ///< all epochs were run
  stopped_early,  ///< a callback stopped the run after an epoch
  interrupted,    ///< a callback stopped the run within an epoch, which is not recorded
  /// Too many steps in a row had a loss or gradient that is not finite, or an epoch ended with
  /// weights that are not.
  diverged
};

inline const char* to_string(Status status) noexcept {
  switch (status) {
    case Status::running:
      return "running";
    case Status::finished:
      return "finished";
    case Status::stopped_early:
      return "stopped early";
    case Status::interrupted:
      return "interrupted";
    case Status::diverged:
      return "diverged";
  }
  return "";
}

/// One epoch of a run. Records no times, so that two runs can be compared byte for byte.
struct EpochRecord {
  Index epoch = 0;           ///< from 1
  double learning_rate = 0;  ///< during the epoch
  double gradient_norm = 0;  ///< mean over its steps, before clipping
  double train_loss = 0;     ///< mean over its windows, before each step's update
  Metrics validation;
  Index skipped_steps = 0;  ///< in this epoch

  /// The record as a row of numbers in the history of a training state: the fields of training,
  /// then every figure of the validation.
  static constexpr Index columns = 6 + std::ssize(all_figures);
  void append_to(std::vector<double>& rows) const {
    rows.insert(rows.end(),
                {static_cast<double>(epoch), learning_rate, gradient_norm, train_loss,
                 static_cast<double>(skipped_steps), static_cast<double>(validation.count)});
    for (const Figure& figure : all_figures) rows.push_back(validation.*figure.value);
  }
  /// What each number of a row may be.
  static std::array<NumberRange, static_cast<std::size_t>(columns)> ranges() {
    constexpr double most = 9007199254740992.0;  // 2^53
    const NumberRange count = NumberRange::whole(0, most);
    std::array<NumberRange, static_cast<std::size_t>(columns)> all{
        NumberRange::whole(1, most),
        NumberRange{.least = 0},
        NumberRange{.least = 0, .may_be_infinite = true, .may_be_nan = true},
        NumberRange::any(),
        count,
        count};
    std::size_t column = 6;
    for (const Figure& figure : all_figures) all[column++] = range_of(figure);
    return all;
  }
  /// The numbers of a row that ranges() contain.
  static EpochRecord from(const double* row) {
    EpochRecord e;
    e.epoch = static_cast<Index>(row[0]);
    e.learning_rate = row[1];
    e.gradient_norm = row[2];
    e.train_loss = row[3];
    e.skipped_steps = static_cast<Index>(row[4]);
    e.validation.count = static_cast<Index>(row[5]);
    row += 6;
    for (const Figure& figure : all_figures) e.validation.*figure.value = *row++;
    return e;
  }

 private:
  /// A figure is NaN where it is undefined. The bounds allow for rounding.
  static NumberRange range_of(const Figure& figure) {
    NumberRange range = NumberRange::any();
    const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
      return std::find(names.begin(), names.end(), figure.name) != names.end();
    };
    if (figure.name != "loss" && figure.name != "r2")
      range.least = figure.name == "mcc" ? -1.001 : 0;
    if (is_one_of({"accuracy", "balanced_accuracy", "roc_auc", "mcc", "majority_accuracy",
                   "coverage", "r2"}))
      range.most = 1.001;
    if (figure.name == "brier") range.most = 2.001;
    return range;
  }
};

/// What a Trainer shows its callbacks, which may change learning_rate and set stop.
struct TrainerState {
  Index epoch = 0;  ///< finished epochs
  Index max_epochs = 0;
  Index windows_done = 0;  ///< in the current epoch
  Index windows_in_epoch = 0;
  LossSum epoch_loss{};       ///< of the current epoch so far
  std::uint64_t batches = 0;  ///< since the start; identifies the dropout masks
  double learning_rate = 0;
  /// The loss that stopping and checkpoints watch: that of the weights at the last epoch's end, on
  /// the validation windows or, without them, on the training windows. NaN when the weights are not
  /// finite.
  double monitored = internal::nan_of<double>;
  double best_loss = internal::infinity_of<double>;
  Index best_epoch = 0;   ///< 0: none yet
  bool improved = false;  ///< whether the last epoch is the best so far
  Index skipped_steps = 0;
  Index skipped_in_a_row = 0;
  bool stop = false;  ///< end after this epoch or, if set in on_batch, after this batch
  Status status = Status::running;
  std::vector<EpochRecord> history;

  /// Reads or writes what a resumed run continues from.
  void archive(StateArchive& archive) {
    constexpr std::uint64_t most = std::uint64_t{1} << 53;
    const Index epochs = archive.integer("state.epoch", epoch, 0, max_epochs);
    const auto updates = static_cast<Index>(
        archive.integer("state.batches", batches, static_cast<std::uint64_t>(epochs), most));
    archive.number("state.learning_rate", learning_rate, {.least = 0});
    const double loss = archive.number("state.best_loss", best_loss, {.may_be_infinite = true});
    const Index best = archive.integer("state.best_epoch", best_epoch, 0, epochs);
    archive.require((best > 0) == (is_finite(loss) || loss < 0), "state.best_epoch",
                    "expected an epoch where state.best_loss is below infinity, and only there");
    const Index skipped = archive.integer("state.skipped_steps", skipped_steps, 0, updates);
    archive.integer("state.skipped_in_a_row", skipped_in_a_row, 0, skipped);
    archive.integer("state.stop", stop);
    archive.integer("state.status", status, Status::running, Status::diverged);
    std::vector<double> rows;
    for (const EpochRecord& record : history) record.append_to(rows);
    const auto stored = archive.rows("history", EpochRecord::ranges(), rows);
    std::vector<EpochRecord> records;
    for (auto row = stored.begin(); row != stored.end(); row += EpochRecord::columns)
      records.push_back(EpochRecord::from(&*row));
    bool in_order = std::ssize(records) == epochs;
    for (std::size_t i = 0; i < records.size(); ++i)
      in_order = in_order && records[i].epoch == static_cast<Index>(i) + 1;
    archive.require(in_order, "history",
                    "expected one row for each epoch of state.epoch, in order");
    if (archive.restores()) history = std::move(records);
  }
};

/// Base class of callbacks, which the Trainer calls at the moments below.
class Callback {
 public:
  virtual ~Callback() = default;
  /// Before the first epoch, or the first after a resume.
  virtual void on_begin(TrainerState&) {}
  /// After each update.
  virtual void on_batch(TrainerState&) {}
  /// After each epoch and its validation.
  virtual void on_epoch(TrainerState&) {}
  /// After every callback's on_epoch: a state that is written here is what a resumed run continues
  /// from.
  virtual void on_epoch_complete(const TrainerState&) {}
  /// After the last epoch, with the best weights restored.
  virtual void on_end(const TrainerState&) {}
  /// The key under which archive() stores its values.
  virtual std::string key() const { return "callback"; }
  /// Reads or writes what must survive a resume.
  virtual void archive(StateArchive&) {}
};

/// Stops once the monitored loss has not improved for `patience` epochs.
struct EarlyStopping {
  Index patience = 10;
  double min_delta = 0.0;  ///< an improvement must be larger than this
};

/// Ends the run after the first batch at which `condition` is true: for a signal, or a deadline.
struct StopWhen {
  std::function<bool()> condition;
};

/// Calls your functions, for progress displays and logs.
struct Observer {
  std::function<void(const TrainerState&)> on_batch{};
  std::function<void(const TrainerState&)> on_epoch{};
};

namespace internal {

class PlateauCallback final : public Callback {
 public:
  explicit PlateauCallback(const ReduceLROnPlateau& options) : options_(options) {
    options_.check();
  }
  void on_epoch(TrainerState& state) override {
    state.learning_rate = plateau_.next(options_, state.monitored, state.learning_rate);
  }
  std::string key() const override { return "plateau"; }
  void archive(StateArchive& archive) override {
    archive.number("best", plateau_.best, {.may_be_infinite = true});
    archive.integer("bad_epochs", plateau_.bad_epochs, 0, options_.patience);
    archive.integer("cooldown_left", plateau_.cooldown_left, 0, options_.cooldown);
  }

 private:
  ReduceLROnPlateau options_;
  PlateauState plateau_;
};

class DecayCallback final : public Callback {
 public:
  explicit DecayCallback(const ExponentialDecay& options) : options_(options) { options_.check(); }
  void on_epoch(TrainerState& state) override {
    state.learning_rate = options_.next(state.epoch, state.learning_rate);
  }
  std::string key() const override { return "decay"; }

 private:
  ExponentialDecay options_;
};

class EarlyStoppingCallback final : public Callback {
 public:
  explicit EarlyStoppingCallback(const EarlyStopping& options) : options_(options) {
    if (options.patience < 1)
      throw OptionError("EarlyStopping: patience must be at least 1, not ", options.patience);
    if (is_nan(options.min_delta) || options.min_delta < 0)
      throw OptionError("EarlyStopping: min_delta must not be negative");
  }
  void on_epoch(TrainerState& state) override {
    if (!is_nan(state.monitored) && state.monitored < best_ - options_.min_delta) {
      best_ = state.monitored;
      wait_ = 0;
    } else if (++wait_ >= options_.patience) {
      state.stop = true;
    }
  }
  std::string key() const override { return "early_stopping"; }
  void archive(StateArchive& archive) override {
    archive.number("best", best_, {.may_be_infinite = true});
    archive.integer("wait", wait_, 0, options_.patience);
  }

 private:
  EarlyStopping options_;
  double best_ = internal::infinity_of<double>;
  Index wait_ = 0;
};

class StopWhenCallback final : public Callback {
 public:
  explicit StopWhenCallback(StopWhen options) : options_(std::move(options)) {
    if (!options_.condition) throw Error("StopWhen: no condition was given");
  }
  void on_batch(TrainerState& state) override {
    if (options_.condition()) state.stop = true;
  }

 private:
  StopWhen options_;
};

class ObserverCallback final : public Callback {
 public:
  explicit ObserverCallback(Observer observer) : observer_(std::move(observer)) {}
  void on_batch(TrainerState& state) override {
    if (observer_.on_batch) observer_.on_batch(state);
  }
  void on_epoch_complete(const TrainerState& state) override {
    if (observer_.on_epoch) observer_.on_epoch(state);
  }

 private:
  Observer observer_;
};

}  // namespace internal

// Trainer::add finds these by argument-dependent lookup. For your own callback, add an overload in
// the namespace of its options.
template <class Trainer>
std::unique_ptr<Callback> make_callback(const ReduceLROnPlateau& options, Trainer&) {
  return std::make_unique<internal::PlateauCallback>(options);
}
template <class Trainer>
std::unique_ptr<Callback> make_callback(const ExponentialDecay& options, Trainer&) {
  return std::make_unique<internal::DecayCallback>(options);
}
template <class Trainer>
std::unique_ptr<Callback> make_callback(const EarlyStopping& options, Trainer&) {
  return std::make_unique<internal::EarlyStoppingCallback>(options);
}
template <class Trainer>
std::unique_ptr<Callback> make_callback(const StopWhen& options, Trainer&) {
  return std::make_unique<internal::StopWhenCallback>(options);
}
template <class Trainer>
std::unique_ptr<Callback> make_callback(const Observer& observer, Trainer&) {
  return std::make_unique<internal::ObserverCallback>(observer);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
