// Counter-based random numbers: a draw depends on key and counter alone, not on earlier draws.
//
// Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011): ten rounds of two 32 x 32 -> 64 bit products over a 128-bit counter.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Four 32-bit words per counter value, a pure function of (key, counter).
class Philox {
 public:
  using Words = std::array<std::uint32_t, 4>;

  /// Key: two 64-bit numbers, hashed together, as in (seed, update number).
  explicit Philox(std::uint64_t seed, std::uint64_t stream = 0) noexcept
      : key_(mix(seed ^ mix(stream + 0x9e3779b97f4a7c15u))) {}

  /// The raw cipher, for known-answer tests.
  static constexpr Words encrypt(Words counter, std::uint32_t key0, std::uint32_t key1) noexcept {
    std::uint64_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
    rounds(x, key0, key1, [](std::uint64_t a, std::uint64_t factor) noexcept {
      return (a & 0xffffffffu) * factor;
    });
    return {static_cast<std::uint32_t>(x[0]), static_cast<std::uint32_t>(x[1]),
            static_cast<std::uint32_t>(x[2]), static_cast<std::uint32_t>(x[3])};
  }

  Words operator()(std::uint32_t c0, std::uint32_t c1 = 0, std::uint32_t c2 = 0,
                   std::uint32_t c3 = 0) const noexcept {
    return encrypt({c0, c1, c2, c3}, static_cast<std::uint32_t>(key_),
                   static_cast<std::uint32_t>(key_ >> 32));
  }

  /// The same for a vector of counters. Word: unsigned 64-bit numbers, or vectors of them, of which
  /// only the lower halves count, before and after; multiply(x, factor): the product of the lower
  /// halves of x and factor.
  template <class Word, class Multiply>
  void encrypt_each(Word (&x)[4], const Multiply& multiply) const noexcept {
    rounds(x, static_cast<std::uint32_t>(key_), static_cast<std::uint32_t>(key_ >> 32), multiply);
  }

 private:
  template <class Word, class Multiply>
  static constexpr void rounds(Word (&x)[4], std::uint32_t key0, std::uint32_t key1,
                               const Multiply& multiply) noexcept {
    const Word factor0(std::uint64_t{0xD2511F53u}), factor1(std::uint64_t{0xCD9E8D57u});
    const Word step0(std::uint64_t{0x9E3779B9u}), step1(std::uint64_t{0xBB67AE85u});
    Word k0(std::uint64_t{key0}), k1(std::uint64_t{key1});
    for (int round = 0; round < 10; ++round) {
      const Word a = multiply(x[0], factor0), b = multiply(x[2], factor1);
      x[0] = Word((b >> 32) ^ x[1] ^ k0);
      x[1] = b;
      x[2] = Word((a >> 32) ^ x[3] ^ k1);
      x[3] = a;
      k0 = Word(k0 + step0);
      k1 = Word(k1 + step1);
    }
  }

  static constexpr std::uint64_t mix(std::uint64_t z) noexcept {  // the finaliser of SplitMix64
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t key_;
};

/// Draws in sequence from one Philox key, for code that runs on one thread: initial weights, a
/// shuffle. (seed, stream) names the sequence.
class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed, std::uint64_t stream = 0) noexcept
      : philox_(seed, stream) {}

  std::uint64_t bits() noexcept {
    if (next_ == 0) refill();
    const std::uint64_t value = words_[next_] | std::uint64_t{words_[next_ + 1]} << 32;
    next_ = (next_ + 2) % 4;
    return value;
  }

  /// Uniform in [0, 1), 53 bits.
  double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }

  /// Standard normal, by Box and Muller's transform.
  double normal() noexcept {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

  /// Uniform in [0, n), n > 0, without bias (rejects the incomplete last interval).
  std::uint64_t below(std::uint64_t n) noexcept {
    TSDL_ASSERT(n > 0);
    const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % n;
    std::uint64_t value = bits();
    while (value >= limit) value = bits();
    return value % n;
  }

 private:
  // Not inlined: ten rounds at every call would take long to compile.
  [[gnu::noinline]] void refill() noexcept {
    words_ = philox_(static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32));
    ++block_;
  }

  Philox philox_;
  Philox::Words words_{};
  std::uint64_t block_ = 0;
  std::size_t next_ = 0;
};

/// Shuffles `order` (Fisher and Yates).
inline void shuffle(std::vector<Index>& order, RandomStream& random) noexcept {
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(i))]);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
