// The state of objects as bytes: one program writes it, another reads it and continues from there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Writes the state of objects, or reads it back. A class takes part by naming the members that
/// change after construction, once for both directions:
///
///     void state(tsdl::StateBytes& bytes) {
///       bytes(average_);
///       bytes.within(next_, 0, size_ - 1);
///     }
///
/// Members may be numbers, arrays, vectors and buffers of numbers, and objects that have a state()
/// themselves. Sizes are not part of a state: the object that reads it must be constructed like the
/// one that wrote it.
///
/// Bytes may be damaged or made up. A number that is used as an index or a count is named by
/// within(), and a class's own rules by require(); a bool is 0 or 1 in any case. A reader keeps an
/// object's own value instead of one that is refused, so that the object can still be used, and
/// then is_complete() is false.
class StateBytes {
 public:
  /// Writes: appends to `to`.
  explicit StateBytes(std::vector<std::byte>& to) noexcept : to_(&to) {}
  /// Reads from `from`.
  explicit StateBytes(std::span<const std::byte> from) noexcept : from_(from), all_(from.size()) {}

  // Each returns this object: bytes(has_close_).finite(close_)(average_).

  template <class... Parts>
  StateBytes& operator()(Parts&... parts) {
    (part(parts), ...);
    return *this;
  }

  /// A number from `least` to `most`; never NaN.
  template <class Number>
  StateBytes& within(Number& value, std::type_identity_t<Number> least,
                     std::type_identity_t<Number> most) {
    static_assert(std::is_arithmetic_v<Number>);
    Number stored = value;
    row(&stored, 1);
    if (to_ || missing_) return *this;
    // By the bits where it is not whole: -ffast-math takes every number for a finite one.
    if (is_finite(static_cast<double>(stored)) && stored >= least && stored <= most)
      value = stored;
    else
      refuse("expected a number from ", least, " to ", most, ", found ", stored);
    return *this;
  }

  /// A count of anything: from 0 to 2^53, so that it can grow further.
  StateBytes& count(Index& value) { return within(value, 0, Index{1} << 53); }

  /// Numbers, and buffers of numbers, that are finite.
  template <class... Parts>
  StateBytes& finite(Parts&... parts) {
    (finite_part(parts), ...);
    return *this;
  }

  /// A condition that holds for every state that was written. Refuses the bytes when they are read
  /// and it does not hold; `what` completes "expected ...".
  void require(bool holds, const char* what) {
    if (!to_ && !holds) refuse("expected ", what);
  }

  /// Whether reading used exactly the bytes given, and refused none.
  bool is_complete() const noexcept { return !missing_ && fault_.empty() && from_.empty(); }
  /// What was refused first, and at which byte; empty if nothing was.
  const std::string& fault() const noexcept { return fault_; }

 private:
  template <class Number>
  void finite_part(Number& value) {
    static_assert(std::is_floating_point_v<Number>);
    Number stored = value;
    row(&stored, 1);
    if (to_ || missing_) return;
    if (is_finite(static_cast<double>(stored)))
      value = stored;
    else
      refuse("expected a finite number, found ", stored);
  }
  template <class Scalar>
  void finite_part(Buffer<Scalar>& values) {
    part(values);
    if (to_ || missing_) return;
    for (Scalar& value : values) {
      if (is_finite(static_cast<double>(value))) continue;
      refuse("expected finite numbers, found ", value);
      value = 0;
    }
  }

  template <class T>
  struct IsRow : std::false_type {};
  template <class T>
  struct IsRow<std::vector<T>> : std::true_type {};
  template <class T>
  struct IsRow<Buffer<T>> : std::true_type {};
  template <class T, std::size_t N>
  struct IsRow<std::array<T, N>> : std::true_type {};

  template <class Part>
  void part(Part& part) {
    if constexpr (requires { part.state(*this); }) {
      part.state(*this);
    } else if constexpr (IsRow<Part>::value) {
      using Value = std::remove_cvref_t<decltype(*part.begin())>;
      if constexpr (requires(Value & value) { value.state(*this); } || std::is_same_v<Value, bool>)
        for (Value& value : part) this->part(value);
      else
        row(part.data(), static_cast<std::size_t>(part.end() - part.begin()));
    } else if constexpr (std::is_same_v<Part, bool>) {
      auto as_byte = static_cast<std::uint8_t>(part);
      row(&as_byte, 1);
      if (as_byte <= 1)
        part = as_byte == 1;
      else
        refuse("expected 0 or 1, found ", static_cast<int>(as_byte));
    } else {
      row(&part, 1);
    }
  }

  template <class Value>
  void row(Value* values, std::size_t count) {
    static_assert(std::is_trivially_copyable_v<Value> && !std::is_pointer_v<Value>,
                  "a class names its parts in state(StateBytes&)");
    bytes(values, count * sizeof(Value));
  }

  void bytes(void* data, std::size_t size) {
    if (size == 0) return;
    at_ = all_ - from_.size();
    if (to_) {
      const auto* first = static_cast<const std::byte*>(data);
      to_->insert(to_->end(), first, first + size);
    } else if (size <= from_.size()) {
      std::memcpy(data, from_.data(), size);
      from_ = from_.subspan(size);
    } else {
      missing_ = true;
      from_ = {};
    }
  }

  template <class... Parts>
  [[gnu::cold]] void refuse(const Parts&... parts) {
    if (fault_.empty()) fault_ = internal::concatenate("byte ", at_, ": ", parts...);
  }

  std::vector<std::byte>* to_ = nullptr;
  std::span<const std::byte> from_;
  std::size_t all_ = 0, at_ = 0;  ///< bytes to read; the first byte of the last part
  bool missing_ = false;
  std::string fault_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
