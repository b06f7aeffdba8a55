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
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
      counter = {
          static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(b),
          static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(a)};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return counter;
  }

  Words operator()(std::uint32_t c0, std::uint32_t c1 = 0, std::uint32_t c2 = 0,
                   std::uint32_t c3 = 0) const noexcept {
    return encrypt({c0, c1, c2, c3}, static_cast<std::uint32_t>(key_),
                   static_cast<std::uint32_t>(key_ >> 32));
  }

  /// The words of N counters, c0 ... c0 + N - 1: word j of counter i is out[4 * i + j]. The
  /// counters are worked on side by side, so that compilers vectorise them.
  template <std::size_t N>
  void block(std::uint32_t* out, std::uint32_t c0, std::uint32_t c1, std::uint32_t c2,
             std::uint32_t c3) const noexcept {
    std::uint32_t x0[N], x1[N], x2[N], x3[N];
    for (std::size_t i = 0; i < N; ++i) {
      x0[i] = c0 + static_cast<std::uint32_t>(i);
      x1[i] = c1;
      x2[i] = c2;
      x3[i] = c3;
    }
    auto key0 = static_cast<std::uint32_t>(key_), key1 = static_cast<std::uint32_t>(key_ >> 32);
    for (int round = 0; round < 10; ++round) {
      // A compiler that unrolled this loop first would not vectorise it.
      _Pragma("GCC unroll 1") for (std::size_t i = 0; i < N; ++i) {
        const std::uint64_t a = std::uint64_t{0xD2511F53u} * x0[i];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * x2[i];
        x0[i] = static_cast<std::uint32_t>(b >> 32) ^ x1[i] ^ key0;
        x2[i] = static_cast<std::uint32_t>(a >> 32) ^ x3[i] ^ key1;
        x1[i] = static_cast<std::uint32_t>(b);
        x3[i] = static_cast<std::uint32_t>(a);
      }
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    for (std::size_t i = 0; i < N; ++i) {
      out[4 * i] = x0[i];
      out[4 * i + 1] = x1[i];
      out[4 * i + 2] = x2[i];
      out[4 * i + 3] = x3[i];
    }
  }

 private:
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
