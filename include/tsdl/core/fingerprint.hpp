// A 64-bit digest, by which configurations, data and weights are compared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tsdl/version.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The digest (FNV-1a) of the bytes added so far, as a number or as 16 hexadecimal digits.
class Fingerprint {
 public:
  Fingerprint& add(const void* data, std::size_t bytes) noexcept {
    const auto* next = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i) hash_ = (hash_ ^ next[i]) * 0x100000001b3u;
    return *this;
  }
  template <class T>
  Fingerprint& add(std::span<const T> values) noexcept {
    return add(values.data(), values.size_bytes());
  }
  Fingerprint& add(std::string_view text) noexcept { return add(text.data(), text.size()); }
  /// The length of a text, then the text: so that "ab", "c" is not "a", "bc".
  Fingerprint& add_text(std::string_view text) noexcept {
    const std::uint64_t size = text.size();
    return add(&size, sizeof(size)).add(text);
  }

  std::uint64_t value() const noexcept { return hash_; }
  std::string text() const {
    static constexpr char digits[] = "0123456789abcdef";
    std::string result(16, '0');
    for (std::size_t i = 0; i < 16; ++i) result[15 - i] = digits[(hash_ >> (4 * i)) & 15u];
    return result;
  }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
