// How a live series is read, and what each of its pushes gives.
#pragma once

#include <cstdint>
#include <span>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What the model reads for a prediction. The two modes give different numbers.
enum class StreamMode : std::uint8_t {
  /// The last T candles from a zero state, where T is the recipe's length: as in training and in
  /// predict(). The only mode for a model that is not causal, such as a bidirectional network,
  /// whose reverse direction begins at the newest candle.
  rerun,
  /// All candles since the start, with the state carried from one to the next: one step per candle,
  /// about T times less work. The model then reads longer sequences than in training.
  carry
};

/// How a live series is read. A mode alone converts to it.
struct StreamOptions {
  StreamMode mode = StreamMode::rerun;
  /// Of carry: the most complete rows, for a model that keeps something of each, as a Transformer
  /// keeps keys and values. Further rows are refused until reset().
  Index max_steps = 0;

  StreamOptions() = default;
  StreamOptions(StreamMode its_mode, Index its_max_steps = 0) noexcept
      : mode(its_mode), max_steps(its_max_steps) {}
};

/// The result of a push.
struct Prediction {
  enum class Status : std::uint8_t {
    warming_up,  ///< accepted; indicators or window are not full yet
    ready,       ///< accepted, and there is a prediction
    refused,     ///< not accepted, nothing changed (see fault())
    not_finite,  ///< accepted, but a feature is not finite (see fault()): the window restarts
  };
  Status status = Status::warming_up;
  /// The prediction of the model's task, as from predict(): the probability of class 1 or of each
  /// class, numbers, or quantiles. Empty unless ready. Valid until the next push.
  std::span<const double> values{};
  /// The same values, under the name for classifiers.
  std::span<const double> probabilities = values;

  explicit operator bool() const noexcept { return status == Status::ready; }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
