// The one family of exceptions. Public boundaries throw; kernels are noexcept.
#pragma once

#include <concepts>
#include <exception>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tsdl/version.hpp"

namespace tsdl::inline TSDL_ABI {

namespace internal {

template <class... Parts>
std::string concatenate(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << parts);
  return out.str();
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
      : std::runtime_error(internal::concatenate(first, parts...)) {}
};

/// A size, shape or option outside what a layer, optimizer or window can have.
class ShapeError : public Error {
  using Error::Error;
};

/// Data that cannot be used: prices, labels, splits, scalers.
class DataError : public Error {
  using Error::Error;
};

/// A file whose bytes are not what its format demands.
class FormatError : public Error {
  using Error::Error;
};

}  // namespace tsdl::inline TSDL_ABI
