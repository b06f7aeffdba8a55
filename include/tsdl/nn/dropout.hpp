// Dropout between recurrent layers. A mask is a function of key and position, so that masks can be
// drawn in any order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tsdl/core/error.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Identifies a mask: the run's seed and the number of the update. A training pass with dropout
/// refuses a key without an update number, which would repeat the same masks in every update.
struct DropoutKey {
  static constexpr std::uint64_t not_given = ~std::uint64_t{0};

  std::uint64_t seed = 0;
  std::uint64_t update = not_given;  ///< 0, 1, ...: different in each update
};

namespace internal {

/// Throws: OptionError when the key has no update number.
inline void check_dropout_key(const DropoutKey& key) {
  if (key.update == DropoutKey::not_given)
    throw OptionError(
        "dropout: a training pass needs a key that changes with each update: .dropout = {.seed = "
        "1, .update = n}");
}

/// The first random stream of masks, one per update. Weights and shuffling use lower streams.
inline constexpr std::uint64_t dropout_stream = std::uint64_t{1} << 40;

/// A dropout of probability p as it is drawn: by 16 bits per unit, so that p is rounded to a
/// multiple of 2^-16. The scale is that of the rounded p, else the expected value would drift.
struct DropoutRate {
  explicit DropoutRate(double p) noexcept
      : threshold(static_cast<std::uint16_t>(std::min(p * 0x1p16 + 0.5, 65535.0))),
        scale(0x1p16 / (0x1p16 - threshold)) {}
  std::uint16_t threshold;  ///< a unit is dropped when its draw is below
  double scale;             ///< 1 / (1 - p)
};

/// Drops units of one column and scales the rest by 1 / (1 - p), which keeps the expected value.
/// Equations: out[u] = kept[u] ? in[u] / (1 - p) : 0, for D runs of H units, each padded to Hp.
/// The mask is Philox(seed, dropout_stream + update) at counter (unit / 8, sample key, t, layer).
template <class Scalar>
void dropout_column(Scalar* out, std::uint8_t* kept, const Scalar* in, const Philox& philox,
                    double p, Index layer, Index t, std::uint32_t key, Index D, Index H,
                    Index Hp) noexcept {
  const DropoutRate rate(p);
  const auto scale = static_cast<Scalar>(rate.scale);
  constexpr Index at_once = 64, of_counter = 8;
  std::uint32_t words[at_once / 2];
  std::uint16_t draws[at_once];
  for (Index d = 0; d < D; ++d) {
    for (Index u = 0; u < H;) {
      const Index unit = d * H + u, first = unit / of_counter * of_counter, skipped = unit - first;
      const Index count = std::min(at_once - skipped, H - u), j = d * Hp + u;
      philox.block<at_once / of_counter>(words, static_cast<std::uint32_t>(first / of_counter), key,
                                         static_cast<std::uint32_t>(t),
                                         static_cast<std::uint32_t>(layer));
      if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(draws, words, sizeof words);
      } else {
        for (Index i = 0; i < at_once; ++i)
          draws[i] = static_cast<std::uint16_t>(words[i / 2] >> (i % 2 * 16));
      }
      for (Index i = 0; i < count; ++i) {  // branchless: masks are unpredictable
        const bool keep = draws[skipped + i] >= rate.threshold;
        const Scalar scaled = in[j + i] * scale;
        kept[j + i] = keep;
        out[j + i] = keep ? scaled : Scalar{0};
      }
      u += count;
    }
    std::fill(kept + d * Hp + H, kept + (d + 1) * Hp, std::uint8_t{0});
    std::fill(out + d * Hp + H, out + (d + 1) * Hp, Scalar{0});
  }
}

/// The gradient, in place: values[j] = kept[j] ? values[j] / (1 - p) : 0.
template <class Scalar>
void dropout_gradient(Scalar* values, const std::uint8_t* kept, double p, Index count) noexcept {
  const auto scale = static_cast<Scalar>(DropoutRate(p).scale);
  for (Index j = 0; j < count; ++j) {  // branchless
    const Scalar scaled = values[j] * scale;
    values[j] = kept[j] ? scaled : Scalar{0};
  }
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
