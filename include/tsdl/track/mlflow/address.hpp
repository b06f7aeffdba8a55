// The address of an MLflow server, and text for requests and messages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "tsdl/core/error.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// An address, split for httplib: the server, and the path below it.
struct MLflowAddress {
  std::string server;  ///< scheme://host:port
  std::string base;    ///< "" or "/path"
};

/// Throws: Error when it is not the address of a server. The message does not repeat a text that
/// may hold a password.
inline MLflowAddress parse_mlflow_uri(std::string uri) {
  while (uri.ends_with('/')) uri.pop_back();
  const std::size_t scheme = uri.starts_with("http://") ? 7 : uri.starts_with("https://") ? 8 : 0;
  const std::size_t path = std::min(uri.find_first_of("/?#", scheme), uri.size());
  const std::string authority = uri.substr(scheme, path - scheme);
  if (authority.find('@') != std::string::npos)
    throw Error("MLflow: user and password do not belong into the address: set ",
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD");
  if (scheme == 0 || authority.empty() || uri.find_first_of("?# ") != std::string::npos)
    throw Error("MLflow: '", uri, "' is not an address like http://localhost:5000");
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
  if (scheme == 8) throw Error("MLflow: ", uri, ": this build has no OpenSSL: only http works");
#endif
  return {uri.substr(0, path), uri.substr(path)};
}

/// Percent-encodes everything except letters, digits, "-._~" and the characters of `also`.
inline std::string url_encoded(std::string_view text, std::string_view also = {}) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || std::string_view("-._~").find(c) != std::string_view::npos ||
        also.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte / 16], digits[byte % 16]};
    }
  }
  return out;
}

/// The server's message, as part of one line.
inline std::string as_one_line(std::string text) {
  if (text.size() > 300) text = text.substr(0, 300) + "...";
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  return text;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
