// Dropout between recurrent layers. A mask is a function of key and position, so that masks can be
// drawn in any order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tsdl/core/error.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/kernels/dropout.hpp"

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
/// Equations: out[u] = kept[u] ? in[u] / (1 - p) : 0, for D runs of H units, each padded to Hp,
/// with 0 beyond H. out may be in. The mask is Philox(seed, dropout_stream + update) at counter
/// (unit / 8, sample key, t, layer).
template <class Scalar>
void dropout_column(Scalar* out, std::uint8_t* kept, const Scalar* in, const Philox& philox,
                    const DropoutRate& rate, Index layer, Index t, std::uint32_t key, Index D,
                    Index H, Index Hp) noexcept {
  constexpr Index at_once = kernels::mask_units, of_counter = 8;
  const auto scale = static_cast<Scalar>(rate.scale);
  for (Index d = 0; d < D; ++d) {
    for (Index u = 0; u < H;) {
      const Index unit = d * H + u, first = unit / of_counter * of_counter, skipped = unit - first;
      const Index count = std::min(at_once - skipped, H - u), j = d * Hp + u;
      const kernels::MaskCounter counter{static_cast<std::uint32_t>(first / of_counter), key,
                                         static_cast<std::uint32_t>(t),
                                         static_cast<std::uint32_t>(layer)};
      if (skipped == 0 && at_once <= Hp - u) {
        kernels::draw_mask(kept + j, philox, rate.threshold, counter);
      } else {
        std::uint8_t mask[at_once];
        kernels::draw_mask(mask, philox, rate.threshold, counter);
        std::copy_n(mask + skipped, count, kept + j);
      }
      u += count;
    }
    if (H < Hp) std::fill(kept + d * Hp + H, kept + (d + 1) * Hp, std::uint8_t{0});
  }
  kernels::keep_scaled(out, kept, in, scale, D * Hp);
}

template <class Scalar>
void dropout_column(Scalar* out, std::uint8_t* kept, const Scalar* in, const Philox& philox,
                    double p, Index layer, Index t, std::uint32_t key, Index D, Index H,
                    Index Hp) noexcept {
  dropout_column(out, kept, in, philox, DropoutRate(p), layer, t, key, D, H, Hp);
}

/// The gradient: out[j] = kept[j] ? in[j] / (1 - p) : 0. out may be in.
template <class Scalar>
void dropout_gradient(Scalar* out, const Scalar* in, const std::uint8_t* kept, double p,
                      Index count) noexcept {
  kernels::keep_scaled(out, kept, in, static_cast<Scalar>(DropoutRate(p).scale), count);
}
template <class Scalar>
void dropout_gradient(Scalar* values, const std::uint8_t* kept, double p, Index count) noexcept {
  dropout_gradient(values, static_cast<const Scalar*>(values), kept, p, count);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
