// Live predictions: push a candle, get the prediction of the model's task. One object holds
// indicators, scaler and model, for one thread; a push allocates nothing, locks nothing and makes
// no system call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/window.hpp"
#include "tsdl/serve/prediction.hpp"
#include "tsdl/serve/snapshot.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Runs a trained model on a live series. Its predictions have the bits of predict() on the window
/// that ends at the same candle (StreamMode::rerun), or of one forward pass over all candles since
/// the indicators were warm (StreamMode::carry).
///
///     auto [model, recipe, seed] = tsdl::load_any_model<float>(path);
///     tsdl::StreamingPredictor stream(std::move(model), recipe);
///     if (auto prediction = stream.push(candle)) act(prediction.values[0]);
///
/// Streams can share the weights of one model: give each the same std::shared_ptr<const M>, or copy
/// a stream. A copy continues where the original was.
///
///   Weight, Input, Hidden   for StreamMode::carry (CarriedOf): BFloat16 weights, sizes known at
///                           compile time
///
/// Predictions do not depend on the caller's floating-point mode: each push computes in tsdl's own.
/// Hold a FloatModeGuard around a loop of pushes, so that not each of them sets it. A stream is not
/// safe to use from two threads at once; streams that share a model may each run in a thread of
/// their own.
template <Model M, class Weight = typename M::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
class StreamingPredictor {
 public:
  using Scalar = typename M::Scalar;

  /// For a recipe of candles with a feature set of the library, or a recipe of a table, whose rows
  /// go to push_features().
  /// Throws: DataError when the recipe is not fitted, or its feature set is unknown; ShapeError
  /// when model and recipe do not match, the recipe's length is out of range, or the mode is carry
  /// and the model cannot carry its state, or not max_steps rows; OptionError when the mode is
  /// carry and a Transformer is not causal; Error when memory is not enough.
  StreamingPredictor(M model, Recipe recipe, StreamOptions options = {})
      : StreamingPredictor(std::make_shared<const M>(std::move(model)), std::move(recipe), nullptr,
                           options) {}
  StreamingPredictor(std::shared_ptr<const M> model, Recipe recipe, StreamOptions options = {})
      : StreamingPredictor(std::move(model), std::move(recipe), nullptr, options) {}

  /// For a recipe of candles with your own feature set.
  /// Throws: also DataError when the recipe names another set, or one of this name with other
  /// indicators or periods.
  StreamingPredictor(M model, Recipe recipe, const FeatureSet& set, StreamOptions options = {})
      : StreamingPredictor(std::make_shared<const M>(std::move(model)), std::move(recipe), &set,
                           options) {}
  StreamingPredictor(std::shared_ptr<const M> model, Recipe recipe, const FeatureSet& set,
                     StreamOptions options = {})
      : StreamingPredictor(std::move(model), std::move(recipe), &set, options) {}

  const M& model() const noexcept { return *model_; }
  const Recipe& recipe() const noexcept { return recipe_; }
  StreamMode mode() const noexcept { return carried_ ? StreamMode::carry : StreamMode::rerun; }

  /// Takes the next candle. Refuses a candle that is not valid (see validate) or not later than the
  /// last, and every candle if the recipe is for a table. Allocates nothing.
  Prediction push(const Candle& candle) noexcept {
    const FloatModeGuard guard;
    fault_ = {};
    if (!model_ || row_.empty()) return refuse(Fault::Kind::moved_from);
    if (!features_) return refuse(Fault::Kind::not_candles);
    if (const auto fault = internal::find_fault(candle, needs_volume_)) {
      fault_.candle = candle;
      fault_.in_candle = *fault;
      return refuse(Fault::Kind::candle);
    }
    if (has_time_ && candle.time <= time_) {
      fault_.candle = candle;
      return refuse(Fault::Kind::time);
    }
    if (is_full()) return refuse(Fault::Kind::full);
    time_ = candle.time;
    has_time_ = true;
    features_->push(candle, row_);
    return take_row();
  }

  /// Does what the next push can do before its candle is known (StreamMode::carry): call it after a
  /// prediction has been used, and the next one comes sooner. Changes no result. Allocates nothing.
  void prepare() noexcept {
    if constexpr (requires { carried_->prepare(*model_); })
      if (carried_) carried_->prepare(*model_);
  }

  /// Takes the next row of features computed elsewhere, before scaling. Refuses a row of another
  /// size. Shapes: row recipe().columns.size(). Allocates nothing.
  Prediction push_features(std::span<const double> row) noexcept {
    const FloatModeGuard guard;
    fault_ = {};
    if (!model_ || row_.empty()) return refuse(Fault::Kind::moved_from);
    if (row.size() != row_.size()) return refuse(Fault::Kind::size);
    if (is_full()) return refuse(Fault::Kind::full);
    std::copy(row.begin(), row.end(), row_.begin());
    return take_row();
  }

  /// Whether the model holds max_steps rows: pushes are refused until reset().
  bool is_full() const noexcept { return carried_ && internal::is_full(*carried_); }

  /// The model's outputs for the last prediction: logits, or the numbers of a regression.
  std::span<const Scalar> outputs() const noexcept { return outputs_.span(); }

  /// Why the last push was refused or not finite, in one line; otherwise empty. Allocates: the
  /// text.
  std::string fault() const {
    switch (fault_.kind) {
      case Fault::Kind::none:
        return {};
      case Fault::Kind::candle:
        return format_time(fault_.candle.time) + ": " +
               internal::fault_text(fault_.candle, fault_.in_candle);
      case Fault::Kind::time:
        return format_time(fault_.candle.time) + ": its time is not after that of the last candle";
      case Fault::Kind::not_candles:
        return "the recipe reads the columns of a table, not candles";
      case Fault::Kind::size:
        return "expected a row of " + std::to_string(row_.size()) + " features";
      case Fault::Kind::full:
        return "the model holds the " + std::to_string(rows_) +
               " rows that max_steps made room for: reset() the stream, or make one with more";
      case Fault::Kind::feature:
        return "feature " + recipe_.columns[static_cast<std::size_t>(fault_.feature)] +
               " is not finite, or too large once scaled";
      case Fault::Kind::moved_from:
        return "this stream was moved from";
    }
    return {};
  }

  /// Returns to the state after construction. Allocates: new indicators.
  void reset() {
    if (features_) features_ = fresh_;
    has_time_ = false;
    restart();
  }

  /// The state that the pushes so far have left, as bytes. A restarted program constructs the same
  /// object, calls restore() and continues with the same bits.
  /// Throws: Error when one of your own indicators has no state(StateBytes&).
  std::vector<std::byte> snapshot() const {
    const std::vector<std::byte> state = state_bytes();
    std::vector<std::byte> bytes;
    internal::SnapshotHeader header(made_for_, state);
    StateBytes writer(bytes);
    writer(header);
    bytes.insert(bytes.end(), state.begin(), state.end());
    return bytes;
  }

  /// Restores a snapshot, completely or not at all.
  /// Throws: FormatError when the bytes are not a snapshot, are damaged, or come from a stream with
  /// another model, recipe, feature set, mode or instruction set.
  void restore(std::span<const std::byte> bytes) {
    const auto header = internal::SnapshotHeader::read(bytes);
    const std::span<const std::byte> state = bytes.subspan(header.bytes);
    header.require({made_for_, state_bytes()}, state);
    std::vector<double> probe(probe_.size());
    StateBytes trial(state);
    trial(probe);
    if (!internal::same_probe(probe, probe_))
      throw FormatError("snapshot: of a stream whose feature set ", recipe_.features,
                        " has other indicators or periods");
    StreamingPredictor(*this).state(trial);  // a copy takes what may be refused
    if (!trial.is_complete())
      throw FormatError("snapshot: no stream has this state: ", trial.fault());
    StateBytes payload(state);
    payload(probe);
    this->state(payload);
    if (window_) window_->restore(*model_);
    if (carried_) carried_->restore(*model_);
    fault_ = {};
  }

 private:
  using Carry = CarriedOf<M, Weight, Input, Hidden>;

  struct Fault {
    enum class Kind : std::uint8_t {
      none,
      candle,
      time,
      not_candles,
      size,
      full,
      feature,
      moved_from
    };
    Kind kind = Kind::none;
    Candle candle{};
    internal::CandleFault in_candle{};
    Index feature = 0;
  };

  StreamingPredictor(std::shared_ptr<const M> model, Recipe recipe, const FeatureSet* set,
                     StreamOptions options)
      : model_(std::move(model)), recipe_(std::move(recipe)), task_(checked(model_).task()) {
    if (recipe_.whole_series) throw DataError("StreamingPredictor: a recipe of whole series");
    internal::check_window(recipe_.length, recipe_.stride);
    const Index I = model_->inputs(), K = model_->outputs();
    if (I != std::ssize(recipe_.columns) || I != std::ssize(recipe_.scaler.names()))
      throw ShapeError("StreamingPredictor: a model of ", I, " inputs, and a recipe of ",
                       recipe_.columns.size(), " columns");
    task_.check_outputs(K);
    if (!recipe_.scaler.is_fitted())
      throw DataError("StreamingPredictor: the recipe's scaler is not fitted");
    if (set && set->name() != recipe_.features)
      throw DataError("StreamingPredictor: the recipe was made with the feature set ",
                      recipe_.features, ", given ", set->name());
    if (!set && !recipe_.features.empty()) set = &feature_set(recipe_.features);
    if (set) {
      internal::require_columns(recipe_, set->names());
      features_.emplace(*set);
      fresh_ = features_;
      probe_ = internal::require_set(recipe_, *set);
      needs_volume_ = !set->volume_names().empty();
    }
    internal::with_memory("StreamingPredictor", [&] {
      if (options.mode == StreamMode::carry)
        carried_.emplace(internal::make_carried<Carry>(*model_, options.max_steps));
      else
        window_.emplace(*model_, recipe_.length);
    });
    row_.resize(static_cast<std::size_t>(I));
    values_.resize(static_cast<std::size_t>(task_->predictions()));
    column_.assign(I, Scalar{0});
    outputs_.assign(K, Scalar{0});
    wide_.assign(K, 0.0);
    made_for_ = fingerprint_of(options);
  }

  static const M& checked(const std::shared_ptr<const M>& model) {
    if (!model) throw Error("StreamingPredictor: no model was given");
    return *model;
  }

  Prediction refuse(typename Fault::Kind kind) noexcept {
    fault_.kind = kind;
    return {Prediction::Status::refused};
  }

  Prediction not_finite(Index feature) noexcept {
    restart();
    fault_.kind = Fault::Kind::feature;
    fault_.feature = feature;
    return {Prediction::Status::not_finite};
  }

  /// Restarts the window; the indicators continue.
  void restart() noexcept {
    rows_ = 0;
    if (window_) window_->reset();
    if (carried_) carried_->reset();
    fault_ = {};
  }

  Prediction take_row() noexcept {
    bool warm = true;
    for (std::size_t i = 0; i < row_.size(); ++i) {
      if (is_finite(row_[i])) continue;
      if (rows_ > 0 || !is_nan(row_[i])) return not_finite(static_cast<Index>(i));
      warm = false;
    }
    if (!warm) return {};
    if (const Index fault = recipe_.scaler.transform_row(row_.data(), column_.data()); fault >= 0)
      return not_finite(fault);
    ++rows_;
    std::span<const Scalar> outputs;
    if (window_) {
      window_->push(*model_, column_.data());
      if (rows_ >= recipe_.length) outputs = window_->run(*model_);
    }
    if (carried_) outputs = carried_->push(*model_, column_.data());
    if (rows_ < recipe_.length) return {};
    std::copy(outputs.begin(), outputs.end(), outputs_.begin());
    std::copy(outputs.begin(), outputs.end(), wide_.begin());
    task_->decode(wide_.data(), values_.data());
    return {Prediction::Status::ready, values_};
  }

  /// Reads or writes everything that a push changes.
  void state(StateBytes& bytes) {
    bytes(time_, has_time_);
    bytes.count(rows_);
    if (features_) features_->state(bytes);
    if (carried_) carried_->state(bytes);
    if (window_) window_->state(bytes);
  }

  std::vector<std::byte> state_bytes() const {
    std::vector<std::byte> bytes;
    StateBytes writer(bytes);
    auto& self = const_cast<StreamingPredictor&>(*this);  // a writer only reads it
    writer(self.probe_);
    self.state(writer);
    return bytes;
  }

  /// A digest of everything that a state depends on, except what the features compute.
  std::uint64_t fingerprint_of(const StreamOptions& options) const {
    Fingerprint print;
    print.add_text(TSDL_TEXT(TSDL_ABI)).add_text(recipe_.features);
    for (const std::string& column : recipe_.columns) print.add_text(column);
    print.add(std::span(recipe_.scaler.mean())).add(std::span(recipe_.scaler.scale()));
    print.add(std::span(recipe_.class_values));
    internal::add_to(print, model_->describe());
    internal::add_to(print, task_->describe());
    const double numbers[] = {static_cast<double>(sizeof(Scalar)),
                              static_cast<double>(sizeof(Weight)),
                              static_cast<double>(Input),
                              static_cast<double>(Hidden),
                              static_cast<double>(options.mode == StreamMode::carry),
                              static_cast<double>(recipe_.length),
                              static_cast<double>(recipe_.regression),
                              recipe_.scaler.options().clip};
    print.add(std::span<const double>(numbers));
    const auto most = static_cast<double>(options.max_steps);
    if (options.max_steps != 0) print.add(std::span(&most, 1));
    model_->visit([&](const Parameter<Scalar>& parameter) { print.add(parameter.value.span()); });
    return print.value();
  }

  std::shared_ptr<const M> model_;
  Recipe recipe_;
  Task task_;
  std::optional<FeatureStream> features_, fresh_;  ///< empty for a recipe of a table
  std::vector<double> probe_;                      ///< what the features compute
  bool needs_volume_ = false;
  std::optional<WindowOf<M>> window_;  ///< either this or carried_
  std::optional<Carry> carried_;
  std::vector<double> row_, values_;
  Buffer<Scalar> column_, outputs_;
  Buffer<double> wide_;  ///< the outputs in double
  std::int64_t time_ = 0;
  bool has_time_ = false;
  Index rows_ = 0;  ///< complete rows since the window started
  std::uint64_t made_for_ = 0;
  Fault fault_;
};

template <class M>
StreamingPredictor(std::shared_ptr<const M>, Recipe) -> StreamingPredictor<M>;
template <class M>
StreamingPredictor(std::shared_ptr<const M>, Recipe, StreamOptions) -> StreamingPredictor<M>;

/// The former name of StreamingPredictor, from when it was for classifiers only.
template <Model M, class Weight = typename M::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
class StreamingClassifier : public StreamingPredictor<M, Weight, Input, Hidden> {
 public:
  using StreamingPredictor<M, Weight, Input, Hidden>::StreamingPredictor;
};
template <Model M>
StreamingClassifier(M, Recipe) -> StreamingClassifier<M>;
template <Model M>
StreamingClassifier(M, Recipe, StreamOptions) -> StreamingClassifier<M>;
template <Model M>
StreamingClassifier(M, Recipe, const FeatureSet&) -> StreamingClassifier<M>;
template <Model M>
StreamingClassifier(M, Recipe, const FeatureSet&, StreamOptions) -> StreamingClassifier<M>;

}  // namespace TSDL_ABI
}  // namespace tsdl
