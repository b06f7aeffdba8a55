// Aligned memory for parameters, packs and caches.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// An array of trivially copyable values that starts on a cache line. It keeps its memory when it
/// shrinks: a buffer that alternates between a few sizes soon stops allocating.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t alignment = 64;

  Buffer() = default;
  explicit Buffer(Index size) { assign(size, T{}); }
  Buffer(const Buffer& other) { *this = other; }
  Buffer(Buffer&& other) noexcept { swap(other); }
  [[gnu::noinline]] Buffer& operator=(const Buffer& other) {
    if (this != &other) {
      resize(other.size_);
      std::copy_n(other.data_, other.size_, data_);
    }
    return *this;
  }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Buffer() { release(); }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  /// Sets the size. The contents are unspecified afterwards.
  /// Allocates: only when `size` exceeds every size so far.
  void resize(Index size) {
    TSDL_ASSERT(size >= 0);
    if (size > capacity_) grow(size);
    size_ = size;
  }

  /// Sets the size and fills with `value`.
  [[gnu::noinline]] void assign(Index size, T value) {
    resize(size);
    std::fill_n(data_, size_, value);
  }

  Index size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }
  T& operator[](Index i) noexcept { return data_[i]; }
  const T& operator[](Index i) const noexcept { return data_[i]; }
  std::span<T> span() noexcept { return {data_, static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const noexcept { return {data_, static_cast<std::size_t>(size_)}; }

 private:
  // Not inlined, like copies, assign and release: every layer has dozens of calls, none of them in
  // a loop that matters.
  [[gnu::noinline]] void grow(Index size) {
    if (size > std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(T)))
      throw std::bad_array_new_length();
    T* fresh = static_cast<T*>(
        ::operator new(static_cast<std::size_t>(size) * sizeof(T), std::align_val_t(alignment)));
    release();
    data_ = fresh;
    capacity_ = size;
  }
  [[gnu::noinline]] void release() noexcept {
    if (data_) ::operator delete(data_, std::align_val_t(alignment));
  }

  T* data_ = nullptr;
  Index size_ = 0;
  Index capacity_ = 0;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
