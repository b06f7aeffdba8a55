// Live predictions: a candle goes in, what the model's task predicts comes out. Indicators, scaler
// and model in one object, for one thread; a push allocates nothing, locks nothing and makes no
// system call.
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
#include "tsdl/core/state.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/window.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What the model reads for a prediction. The two give different numbers.
enum class StreamMode : std::uint8_t {
  /// The last T candles from a state of zeros, T being the recipe's length: what it was trained on,
  /// and what predict() does. The only mode of a model that is not causal, such as a bidirectional
  /// network, whose reverse direction begins at the newest candle.
  rerun,
  /// All candles since the start, the state being carried from one to the next: one step a candle,
  /// some T times less work. The model then reads longer sequences than those it was trained on.
  carry
};

/// What a push gives.
struct Prediction {
  enum class Status : std::uint8_t {
    warming_up,   ///< taken; indicators or window are not full yet
    ready,        ///< taken, and there is a prediction
    refused,      ///< not taken, nothing changed: the candle is not valid (see fault())
    interrupted,  ///< taken, but a feature is not finite any more: the window starts anew
  };
  Status status = Status::warming_up;
  /// As predict()'s, what the model's task makes of its outputs: the probability of class 1 or of
  /// each class, numbers, quantiles. Empty unless ready. Valid until the next push.
  std::span<const double> values{};
  /// The same, by the name that a classifier's have.
  std::span<const double> probabilities = values;

  explicit operator bool() const noexcept { return status == Status::ready; }
};

/// A trained model at work on a live series. Its predictions have the bits of predict() on the
/// window that ends at the same candle (StreamMode::rerun), or of one forward pass over all candles
/// since the indicators were warm (StreamMode::carry).
///
///     auto [model, recipe, seed] = tsdl::load_any_model<float>(path);
///     tsdl::StreamingPredictor stream(std::move(model), recipe);
///     if (auto prediction = stream.push(candle)) act(prediction.values[0]);
///
/// Many streams of one model share its weights: give each the same std::shared_ptr<const M>, or
/// copy a stream. A copy goes on from where the original was.
///
///   Weight, Input, Hidden   of what carries the state (CarriedOf): BFloat16 weights, sizes known
///                           when compiling
///
/// Hold a kernels::DenormalGuard around a loop of pushes, or each sets the processor's mode. Not
/// safe to use from two threads at once; streams that share a model are, each in a thread.
template <Model M, class Weight = typename M::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
class StreamingPredictor {
 public:
  using Scalar = typename M::Scalar;

  /// For a recipe of candles with a feature set of ours, or of a table, whose rows push_features
  /// takes. Throws: DataError when the recipe is not fitted, or its feature set unknown; ShapeError
  /// when model and recipe do not fit, or the mode is carry and the model cannot carry its state.
  StreamingPredictor(M model, Recipe recipe, StreamMode mode = StreamMode::rerun)
      : StreamingPredictor(std::make_shared<const M>(std::move(model)), std::move(recipe), nullptr,
                           mode) {}
  StreamingPredictor(std::shared_ptr<const M> model, Recipe recipe,
                     StreamMode mode = StreamMode::rerun)
      : StreamingPredictor(std::move(model), std::move(recipe), nullptr, mode) {}

  /// For a recipe of candles with a set of one's own.
  /// Throws: also DataError when the recipe names another set.
  StreamingPredictor(M model, Recipe recipe, const FeatureSet& set,
                     StreamMode mode = StreamMode::rerun)
      : StreamingPredictor(std::make_shared<const M>(std::move(model)), std::move(recipe), &set,
                           mode) {}
  StreamingPredictor(std::shared_ptr<const M> model, Recipe recipe, const FeatureSet& set,
                     StreamMode mode = StreamMode::rerun)
      : StreamingPredictor(std::move(model), std::move(recipe), &set, mode) {}

  const M& model() const noexcept { return *model_; }
  const Recipe& recipe() const noexcept { return recipe_; }
  StreamMode mode() const noexcept { return carried_ ? StreamMode::carry : StreamMode::rerun; }

  /// Takes the next candle. Refused: one that is not valid (see validate), not later than the one
  /// before, or any where the recipe is a table's. Allocates nothing.
  Prediction push(const Candle& candle) noexcept {
    fault_ = {};
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
    time_ = candle.time;
    has_time_ = true;
    features_->push(candle, row_);
    return take_row();
  }

  /// Takes the next row of features that were made elsewhere, as they are before the scaler.
  /// Refused: a row of another size. Shapes: row recipe().columns.size(). Allocates nothing.
  Prediction push_features(std::span<const double> row) noexcept {
    fault_ = {};
    if (row.size() != row_.size()) return refuse(Fault::Kind::size);
    std::copy(row.begin(), row.end(), row_.begin());
    return take_row();
  }

  /// The model's outputs of the last prediction: logits, or the numbers of a regression.
  std::span<const Scalar> outputs() const noexcept { return outputs_.span(); }

  /// Why the last push was refused or interrupted, in one line; else empty. Allocates: the text.
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
      case Fault::Kind::feature:
        return "feature " + recipe_.columns[static_cast<std::size_t>(fault_.feature)] +
               " is not finite, or too large once scaled";
    }
    return {};
  }

  /// Back to where it was when constructed. Allocates: new indicators.
  void reset() {
    if (features_) features_ = fresh_;
    has_time_ = false;
    restart();
  }

  /// All that the pushes so far have left behind, as bytes: a program that is started again
  /// constructs the same object and goes on with restore(), to the same bits.
  /// Throws: Error when an indicator of one's own has no state(StateBytes&).
  std::vector<std::byte> snapshot() const {
    const std::vector<std::byte> state = state_bytes();
    std::vector<std::byte> bytes;
    Header header = header_of(state);
    StateBytes writer(bytes);
    writer(header.magic, header.made_for, header.size, header.checksum);
    bytes.insert(bytes.end(), state.begin(), state.end());
    return bytes;
  }

  /// Takes up a snapshot, whole or not at all.
  /// Throws: FormatError when the bytes are no snapshot, are damaged, or are of a stream with
  /// another model, recipe, mode or instruction set.
  void restore(std::span<const std::byte> bytes) {
    Header header;
    StateBytes reader(bytes.first(std::min(bytes.size(), Header::bytes)));
    reader(header.magic, header.made_for, header.size, header.checksum);
    if (reader.is_complete() && header.magic == Header::magic_of_0_1)
      throw FormatError(
          "snapshot: of tsdl 0.1 (version 1), which this version (2) cannot go on from: push the "
          "last rows again");
    if (!reader.is_complete() || header.magic != Header::expected_magic)
      throw FormatError("snapshot: these bytes are not a snapshot of a stream");
    const std::span<const std::byte> state = bytes.subspan(Header::bytes);
    const Header own = header_of(state_bytes());
    if (header.made_for != own.made_for || header.size != own.size)
      throw FormatError(
          "snapshot: of a stream with another model, recipe, mode or instruction set");
    if (state.size() != header.size)
      throw FormatError("snapshot: expected ", header.size, " bytes after the header, got ",
                        state.size());
    if (Fingerprint().add(state).value() != header.checksum)
      throw FormatError("snapshot: damaged: its bytes do not have its checksum");
    StateBytes payload(state);
    this->state(payload);
    if (window_) window_->restore(*model_);
    if (carried_) carried_->restore(*model_);
    fault_ = {};
  }

 private:
  struct Fault {
    enum class Kind : std::uint8_t { none, candle, time, not_candles, size, feature };
    Kind kind = Kind::none;
    Candle candle{};
    internal::CandleFault in_candle{};
    Index feature = 0;
  };

  struct Header {
    static constexpr std::uint64_t expected_magic = 0x32304d5453445354;  // "TSDSTM02"
    static constexpr std::uint64_t magic_of_0_1 = 0x31304d5453445354;    // "TSDSTM01"
    static constexpr std::size_t bytes = 4 * sizeof(std::uint64_t);
    std::uint64_t magic = expected_magic, made_for = 0, size = 0, checksum = 0;
  };

  StreamingPredictor(std::shared_ptr<const M> model, Recipe recipe, const FeatureSet* set,
                     StreamMode mode)
      : model_(std::move(model)), recipe_(std::move(recipe)), task_(checked(model_).task()) {
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
      needs_volume_ = !set->volume_names().empty();
    }
    if (mode == StreamMode::carry)
      carried_.emplace(*model_);
    else
      window_.emplace(*model_, recipe_.length);
    row_.resize(static_cast<std::size_t>(I));
    values_.resize(static_cast<std::size_t>(task_->predictions()));
    column_.assign(I, Scalar{0});
    outputs_.assign(K, Scalar{0});
    wide_.assign(K, 0.0);
    made_for_ = fingerprint_of(mode);
  }

  static const M& checked(const std::shared_ptr<const M>& model) {
    if (!model) throw Error("StreamingPredictor: no model was given");
    return *model;
  }

  Prediction refuse(typename Fault::Kind kind) noexcept {
    fault_.kind = kind;
    return {Prediction::Status::refused};
  }

  Prediction interrupt(Index feature) noexcept {
    restart();
    fault_.kind = Fault::Kind::feature;
    fault_.feature = feature;
    return {Prediction::Status::interrupted};
  }

  /// The window begins anew; the indicators go on.
  void restart() noexcept {
    rows_ = 0;
    if (window_) window_->reset();
    if (carried_) carried_->reset();
    fault_ = {};
  }

  Prediction take_row() noexcept {
    const kernels::DenormalGuard guard;
    bool warm = true;
    for (std::size_t i = 0; i < row_.size(); ++i) {
      if (is_finite(row_[i])) continue;
      if (rows_ > 0 || !is_nan(row_[i])) return interrupt(static_cast<Index>(i));
      warm = false;
    }
    if (!warm) return {};
    if (const Index fault = recipe_.scaler.transform_row(row_.data(), column_.data()); fault >= 0)
      return interrupt(fault);
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

  /// What changes with a push.
  void state(StateBytes& bytes) {
    bytes(time_, has_time_, rows_);
    if (features_) features_->state(bytes);
    if (carried_) carried_->state(bytes);
    if (window_) window_->state(bytes);
  }

  std::vector<std::byte> state_bytes() const {
    std::vector<std::byte> bytes;
    StateBytes writer(bytes);
    const_cast<StreamingPredictor&>(*this).state(writer);  // a writer only reads it
    return bytes;
  }

  Header header_of(const std::vector<std::byte>& state) const {
    return {Header::expected_magic, made_for_, state.size(),
            Fingerprint().add(std::span(state)).value()};
  }

  /// Of all that a state depends on.
  std::uint64_t fingerprint_of(StreamMode mode) const {
    Fingerprint print;
    print.add(TSDL_TEXT(TSDL_ABI)).add(recipe_.features);
    for (const std::string& column : recipe_.columns) print.add(column).add("\n");
    print.add(std::span(recipe_.scaler.mean())).add(std::span(recipe_.scaler.scale()));
    internal::add_to(print, model_->describe());
    internal::add_to(print, task_->describe());
    const double numbers[] = {static_cast<double>(sizeof(Scalar)),
                              static_cast<double>(sizeof(Weight)),
                              static_cast<double>(Input),
                              static_cast<double>(Hidden),
                              static_cast<double>(mode == StreamMode::carry),
                              static_cast<double>(recipe_.length),
                              recipe_.scaler.options().clip};
    print.add(std::span<const double>(numbers));
    model_->visit([&](const Parameter<Scalar>& parameter) { print.add(parameter.value.span()); });
    return print.value();
  }

  std::shared_ptr<const M> model_;
  Recipe recipe_;
  Task task_;
  std::optional<FeatureStream> features_, fresh_;  ///< none for a table's recipe
  bool needs_volume_ = false;
  std::optional<WindowOf<M>> window_;  ///< one of these two
  std::optional<CarriedOf<M, Weight, Input, Hidden>> carried_;
  std::vector<double> row_, values_;
  Buffer<Scalar> column_, outputs_;
  Buffer<double> wide_;  ///< the outputs in double
  std::int64_t time_ = 0;
  bool has_time_ = false;
  Index rows_ = 0;  ///< complete ones since the window began
  std::uint64_t made_for_ = 0;
  Fault fault_;
};

template <class M>
StreamingPredictor(std::shared_ptr<const M>, Recipe) -> StreamingPredictor<M>;
template <class M>
StreamingPredictor(std::shared_ptr<const M>, Recipe, StreamMode) -> StreamingPredictor<M>;

/// A StreamingPredictor by the name that it had when it was for classifiers only.
template <Model M, class Weight = typename M::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
class StreamingClassifier : public StreamingPredictor<M, Weight, Input, Hidden> {
 public:
  using StreamingPredictor<M, Weight, Input, Hidden>::StreamingPredictor;
};
template <Model M>
StreamingClassifier(M, Recipe) -> StreamingClassifier<M>;
template <Model M>
StreamingClassifier(M, Recipe, StreamMode) -> StreamingClassifier<M>;
template <Model M>
StreamingClassifier(M, Recipe, const FeatureSet&) -> StreamingClassifier<M>;
template <Model M>
StreamingClassifier(M, Recipe, const FeatureSet&, StreamMode) -> StreamingClassifier<M>;

}  // namespace TSDL_ABI
}  // namespace tsdl
