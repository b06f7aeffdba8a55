#include "tsdl/core/buffer.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <new>
#include <utility>

namespace {

using tsdl::Buffer;
using tsdl::Index;

template <class T>
bool on_cache_line(const Buffer<T>& buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0;
}

Buffer<double> counting(Index size) {
  Buffer<double> buffer(size);
  for (Index i = 0; i < size; ++i) buffer[i] = static_cast<double>(i + 1);
  return buffer;
}

double sum(const Buffer<double>& buffer) {
  double total = 0;
  for (const double value : buffer) total += value;
  return total;
}

}  // namespace

TEST_CASE_TEMPLATE("a Buffer starts on a cache line and holds what it was assigned", T, float,
                   double, char, Index) {
  for (Index size = 1; size < 200; size += 7) {
    Buffer<T> buffer(size);
    CHECK(on_cache_line(buffer));
    CHECK(buffer.size() == size);
    CHECK_FALSE(buffer.empty());
    CHECK(buffer.end() - buffer.begin() == size);
    CHECK(buffer.span().data() == buffer.data());
    for (const T value : buffer) CHECK(value == T{});
    buffer.assign(size, T{3});
    CHECK(buffer[0] == T{3});
    CHECK(buffer[size - 1] == T{3});
  }
}

TEST_CASE("an empty Buffer is usable") {
  Buffer<double> buffer;
  CHECK(buffer.empty());
  CHECK(buffer.size() == 0);
  CHECK(buffer.begin() == buffer.end());
  CHECK(buffer.span().empty());
  buffer.assign(0, 1.0);
  const Buffer<double> copy = buffer;
  CHECK(copy.empty());
}

TEST_CASE("a Buffer keeps its memory when it shrinks and grows back") {
  Buffer<double> buffer(100);
  const double* const data = buffer.data();
  buffer.resize(3);
  CHECK(buffer.size() == 3);
  CHECK(buffer.data() == data);
  buffer.resize(0);
  CHECK(buffer.data() == data);
  buffer.assign(100, 2.0);
  CHECK(buffer.data() == data);
  CHECK(sum(buffer) == 200.0);
  buffer.assign(1000, 1.0);
  CHECK(sum(buffer) == 1000.0);
  CHECK(on_cache_line(buffer));
}

TEST_CASE("copies of a Buffer are independent and reuse memory that suffices") {
  Buffer<double> a = counting(10);
  Buffer<double> b = a;
  CHECK(b.data() != a.data());
  CHECK(sum(b) == 55.0);
  a[0] = 100.0;
  CHECK(b[0] == 1.0);

  Buffer<double> large(50);
  const double* const data = large.data();
  large = b;
  CHECK(large.data() == data);
  CHECK(large.size() == 10);
  CHECK(sum(large) == 55.0);

  Buffer<double>& self = large;
  large = self;
  CHECK(sum(large) == 55.0);
}

TEST_CASE("a Buffer moves without copying and leaves an empty one") {
  Buffer<double> a = counting(10);
  const double* const data = a.data();
  Buffer<double> b = std::move(a);
  CHECK(b.data() == data);
  CHECK(sum(b) == 55.0);
  CHECK(a.empty());  // NOLINT: the state after a move is specified
  a.assign(4, 1.0);
  CHECK(sum(a) == 4.0);

  a = std::move(b);
  CHECK(a.data() == data);
  CHECK(b.empty());
  Buffer<double>& self = a;
  a = std::move(self);
  CHECK(sum(a) == 55.0);

  Buffer<double> c = counting(3);
  a.swap(c);
  CHECK(sum(a) == 6.0);
  CHECK(sum(c) == 55.0);
}

TEST_CASE("a Buffer whose bytes cannot be counted is refused and stays as it was") {
  Buffer<double> buffer = counting(3);
  CHECK_THROWS_AS(buffer.resize(std::numeric_limits<Index>::max() / 4), std::bad_alloc);
  CHECK(buffer.size() == 3);
  CHECK(sum(buffer) == 6.0);
}
