// The state of objects as bytes: one program writes it, another reads it and continues from there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Writes the state of objects, or reads it back. A class takes part by naming the members that
/// change after construction, once for both directions:
///
///     void state(tsdl::StateBytes& bytes) { bytes(average_, count_); }
///
/// Members may be numbers, arrays, vectors and buffers of numbers, and objects that have a state()
/// themselves. Sizes are not part of a state: the object that reads it must be constructed like the
/// one that wrote it.
class StateBytes {
 public:
  /// Writes: appends to `to`.
  explicit StateBytes(std::vector<std::byte>& to) noexcept : to_(&to) {}
  /// Reads from `from`.
  explicit StateBytes(std::span<const std::byte> from) noexcept : from_(from) {}

  template <class... Parts>
  void operator()(Parts&... parts) {
    (part(parts), ...);
  }

  /// Whether reading used exactly the bytes given: none was missing, none is left.
  bool is_complete() const noexcept { return !missing_ && from_.empty(); }

 private:
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
      if constexpr (requires(Value & value) { value.state(*this); })
        for (Value& value : part) value.state(*this);
      else
        row(part.data(), static_cast<std::size_t>(part.end() - part.begin()));
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

  std::vector<std::byte>* to_ = nullptr;
  std::span<const std::byte> from_;
  bool missing_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
