// The exceptions of tsdl. Public boundaries throw; kernels are noexcept.
#pragma once

#include <concepts>
#include <exception>
#include <initializer_list>
#include <locale>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tsdl/version.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// A part of a message: any value that a stream can write. Its type is erased, so that the code
/// that joins parts is compiled once and not for each of hundreds of messages.
class MessagePart {
 public:
  template <class T>
  MessagePart(const T& value) noexcept : value_(&value), write_(&write_as<T>) {}
  MessagePart(const char* text) noexcept : value_(text), write_(&write_text) {}

  void write(std::ostream& out) const { write_(out, value_); }

 private:
  template <class T>
  static void write_as(std::ostream& out, const void* value) {
    out << *static_cast<const T*>(value);
  }
  static void write_text(std::ostream& out, const void* text) {
    out << static_cast<const char*>(text);
  }

  const void* value_;
  void (*write_)(std::ostream&, const void*);
};

[[gnu::cold]] inline std::string joined_parts(std::initializer_list<MessagePart> parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  for (const MessagePart& part : parts) part.write(out);
  return out.str();
}

/// A text with its control characters replaced: names from files may have any.
[[gnu::cold]] inline std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

template <class... Parts>
std::string concatenate(const Parts&... parts) {
  return joined_parts({parts...});
}

}  // namespace internal

/// Base of everything that tsdl throws. The message is one line: where, what, expected, actual; for
/// files it starts with the path and, where they are known, line and column or tensor name.
class Error : public std::runtime_error {
 public:
  /// Joins the parts into the message: Error("read_candles: ", path, ": cannot be opened").
  template <class First, class... Parts>
  requires(!std::derived_from<First, std::exception>) explicit Error(const First& first,
                                                                     const Parts&... parts)
      : std::runtime_error(internal::one_line(internal::joined_parts({first, parts...}))) {}
};

namespace internal {

/// Returns action(). Where memory is not enough, or a size is beyond what a container can hold, the
/// exception is an Error that begins with `where`.
template <class Action>
decltype(auto) with_memory(std::string_view where, const Action& action) {
  try {
    return action();
  } catch (const std::bad_alloc&) {
    throw Error(where, ": not enough memory");
  } catch (const std::length_error&) {
    throw Error(where, ": not enough memory");
  }
}

}  // namespace internal

/// Sizes that a layer, model or window cannot have, or that do not match each other.
class ShapeError : public Error {
  using Error::Error;
};

/// An option whose value is out of range, or that contradicts another.
class OptionError : public Error {
  using Error::Error;
};

/// Data that cannot be used: prices, labels, splits, scalers.
class DataError : public Error {
  using Error::Error;
};

/// A file that violates its format.
class FormatError : public Error {
  using Error::Error;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
