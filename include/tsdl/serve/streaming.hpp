// Live predictions: a candle goes in, a probability comes out. Indicators, scaler and network in
// one object, for one thread; a push allocates nothing, locks nothing and makes no system call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
#include "tsdl/nn/classifier.hpp"
#include "tsdl/nn/sliding.hpp"
#include "tsdl/nn/stream.hpp"
#include "tsdl/train/predict.hpp"

namespace tsdl::inline TSDL_ABI {

/// What the network reads for a prediction. The two give different numbers.
enum class StreamMode : std::uint8_t {
  /// The last T candles from a state of zeros, T being the recipe's length: what it was trained on,
  /// and what predict() does. The only mode of a bidirectional network, whose reverse direction
  /// begins at the newest candle.
  rerun,
  /// All candles since the start, the state being carried from one to the next: one step a candle,
  /// some T times less work. The network then reads longer sequences than those it was trained on.
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
  /// As predict()'s: of class 1 for a model with one output, else of each class; empty unless
  /// ready. Valid until the next push.
  std::span<const double> probabilities{};

  explicit operator bool() const noexcept { return status == Status::ready; }
};

namespace internal {

/// In place of a RecurrentStream where there cannot be one.
template <class Scalar>
struct NoStream {
  template <class Stack>
  explicit NoStream(const Stack&) {
    throw ShapeError("StreamingClassifier: a bidirectional network cannot carry its state");
  }
  std::span<const Scalar> push(const Scalar*) noexcept { return {}; }
  void reset() noexcept {}
  void state(StateBytes&) {}
};

}  // namespace internal

/// A trained model at work on a live series. Its predictions have the bits of predict() on the
/// window that ends at the same candle (StreamMode::rerun), or of one forward pass over all candles
/// since the indicators were warm (StreamMode::carry).
///
///     auto [model, recipe, seed] = tsdl::load_model<tsdl::BiLSTMClassifier<float>>(path);
///     tsdl::StreamingClassifier stream(std::move(model), recipe);
///     if (auto prediction = stream.push(candle)) act(prediction.probabilities[0]);
///
///   Weight, Input, Hidden   of the RecurrentStream that carries the state: BFloat16 weights, sizes
///                           known when compiling
///
/// Hold a kernels::DenormalGuard around a loop of pushes, or each sets the processor's mode. A copy
/// goes on from where the original was. Not safe to use from two threads at once.
template <class Model, class Weight = typename Model::Scalar, Index Input = Eigen::Dynamic,
          Index Hidden = Eigen::Dynamic>
class StreamingClassifier {
 public:
  using Scalar = typename Model::Scalar;

  /// For a recipe of candles with a feature set of ours, or of a table, whose rows push_features
  /// takes. Throws: DataError when the recipe is not fitted, or its feature set unknown; ShapeError
  /// when model and recipe do not fit, or the mode is carry and the model bidirectional.
  StreamingClassifier(Model model, Recipe recipe, StreamMode mode = StreamMode::rerun)
      : StreamingClassifier(std::move(model), std::move(recipe), nullptr, mode) {}

  /// For a recipe of candles with a set of one's own.
  /// Throws: also DataError when the recipe names another set.
  StreamingClassifier(Model model, Recipe recipe, const FeatureSet& set,
                      StreamMode mode = StreamMode::rerun)
      : StreamingClassifier(std::move(model), std::move(recipe), &set, mode) {}

  const Model& model() const noexcept { return model_; }
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
    if (window_) window_->restore(model_.recurrent());
    fault_ = {};
  }

 private:
  using Cell = typename Model::CellType;
  using Carried =
      std::conditional_t<Model::directions == 1, RecurrentStream<Cell, Weight, Input, Hidden>,
                         internal::NoStream<Scalar>>;

  struct Fault {
    enum class Kind : std::uint8_t { none, candle, time, not_candles, size, feature };
    Kind kind = Kind::none;
    Candle candle{};
    internal::CandleFault in_candle{};
    Index feature = 0;
  };

  struct Header {
    static constexpr std::uint64_t expected_magic = 0x31304d5453445354;  // "TSDSTM01"
    static constexpr std::size_t bytes = 4 * sizeof(std::uint64_t);
    std::uint64_t magic = expected_magic, made_for = 0, size = 0, checksum = 0;
  };

  StreamingClassifier(Model model, Recipe recipe, const FeatureSet* set, StreamMode mode)
      : model_(std::move(model)), recipe_(std::move(recipe)) {
    const Index I = model_.options().input_size;
    if (I != std::ssize(recipe_.columns) || I != std::ssize(recipe_.scaler.names()))
      throw ShapeError("StreamingClassifier: a model of ", I, " inputs, and a recipe of ",
                       recipe_.columns.size(), " columns");
    if (!recipe_.scaler.is_fitted())
      throw DataError("StreamingClassifier: the recipe's scaler is not fitted");
    if (set && set->name() != recipe_.features)
      throw DataError("StreamingClassifier: the recipe was made with the feature set ",
                      recipe_.features, ", given ", set->name());
    if (!set && !recipe_.features.empty()) set = &feature_set(recipe_.features);
    if (set) {
      internal::require_columns(recipe_, set->names());
      features_.emplace(*set);
      fresh_ = features_;
      needs_volume_ = !set->volume_names().empty();
    }
    if (mode == StreamMode::carry)
      carried_.emplace(model_.recurrent());
    else
      window_.emplace(model_.recurrent(), recipe_.length,
                      internal::steps_read_by(model_.options().pooling));
    const Index K = model_.options().outputs;
    row_.resize(static_cast<std::size_t>(I));
    probabilities_.resize(static_cast<std::size_t>(K));
    column_.assign(I, Scalar{0});
    pooled_.assign(model_.linear().in(), Scalar{0});
    sum_ = pooled_;
    outputs_.assign(K, Scalar{0});
    made_for_ = fingerprint_of(mode);
  }

  Prediction refuse(typename Fault::Kind kind) noexcept {
    fault_.kind = kind;
    return {Prediction::Status::refused, {}};
  }

  Prediction interrupt(Index feature) noexcept {
    restart();
    fault_.kind = Fault::Kind::feature;
    fault_.feature = feature;
    return {Prediction::Status::interrupted, {}};
  }

  /// The window begins anew; the indicators go on.
  void restart() noexcept {
    rows_ = 0;
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
    if (carried_)
      carry();
    else
      window_->push(model_.recurrent(), column_.data());
    if (rows_ < recipe_.length) return {};
    if (window_)
      internal::pool(pooled_.data(), model_.recurrent(), window_->run(model_.recurrent()),
                     model_.options().pooling);
    model_.linear().forward(outputs_.data(), pooled_.data(), 1);
    internal::probabilities_of(outputs_.data(), outputs_.size(), probabilities_.data());
    return {Prediction::Status::ready, probabilities_};
  }

  /// One step. The mean is that over all steps so far.
  void carry() noexcept {
    const std::span<const Scalar> h = carried_->push(column_.data());
    if (model_.options().pooling != Pooling::mean) {
      std::copy(h.begin(), h.end(), pooled_.begin());
      return;
    }
    for (Index i = 0; i < sum_.size(); ++i) {
      const Scalar value = h[static_cast<std::size_t>(i)];
      sum_[i] = rows_ == 1 ? value : sum_[i] + value;
      pooled_[i] = sum_[i] / static_cast<Scalar>(rows_);
    }
  }

  /// What changes with a push.
  void state(StateBytes& bytes) {
    bytes(time_, has_time_, rows_, sum_);
    if (features_) features_->state(bytes);
    if (carried_) carried_->state(bytes);
    if (window_) window_->state(bytes);
  }

  std::vector<std::byte> state_bytes() const {
    std::vector<std::byte> bytes;
    StateBytes writer(bytes);
    const_cast<StreamingClassifier&>(*this).state(writer);  // a writer only reads it
    return bytes;
  }

  Header header_of(const std::vector<std::byte>& state) const {
    return {Header::expected_magic, made_for_, state.size(),
            Fingerprint().add(std::span(state)).value()};
  }

  /// Of all that a state depends on.
  std::uint64_t fingerprint_of(StreamMode mode) const {
    Fingerprint print;
    print.add(TSDL_TEXT(TSDL_ABI)).add(Model::kind()).add(recipe_.features);
    for (const std::string& column : recipe_.columns) print.add(column).add("\n");
    print.add(std::span(recipe_.scaler.mean())).add(std::span(recipe_.scaler.scale()));
    const ClassifierOptions& o = model_.options();
    const double numbers[] = {static_cast<double>(sizeof(Scalar)),
                              static_cast<double>(sizeof(Weight)),
                              static_cast<double>(Input),
                              static_cast<double>(Hidden),
                              static_cast<double>(mode == StreamMode::carry),
                              static_cast<double>(o.pooling),
                              static_cast<double>(recipe_.length),
                              recipe_.scaler.options().clip};
    print.add(std::span<const double>(numbers));
    model_.visit([&](const Parameter<Scalar>& parameter) { print.add(parameter.value.span()); });
    return print.value();
  }

  Model model_;
  Recipe recipe_;
  std::optional<FeatureStream> features_, fresh_;  ///< none for a table's recipe
  bool needs_volume_ = false;
  std::optional<SlidingStack<Cell>> window_;  ///< one of these two
  std::optional<Carried> carried_;
  std::vector<double> row_, probabilities_;
  Buffer<Scalar> column_, pooled_, sum_, outputs_;
  std::int64_t time_ = 0;
  bool has_time_ = false;
  Index rows_ = 0;  ///< complete ones since the window began
  std::uint64_t made_for_ = 0;
  Fault fault_;
};

}  // namespace tsdl::inline TSDL_ABI
