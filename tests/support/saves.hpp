// Saving one file again and again while others do the same, and reading it meanwhile.
#pragma once

#include <cstddef>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "tsdl/core/file.hpp"
#include "tsdl/core/system_file.hpp"

namespace test {

/// All bytes of a file that may be replaced meanwhile, which Windows allows who shares it.
inline std::string shared_bytes(const std::filesystem::path& path) {
  tsdl::internal::SystemFile file(path, tsdl::internal::OpenFor::reading);
  std::string bytes;
  char part[1000];
  for (std::ptrdiff_t got = 0; (got = file.read(part, sizeof part)) != 0;) {
    if (got < 0) throw std::runtime_error("cannot read: " + tsdl::internal::last_error_text());
    bytes.append(part, static_cast<std::size_t>(got));
  }
  return bytes;
}

/// Replaces `directory`/same.txt `saves` times, each time by many equal bytes in several writes,
/// and reads it after each. Returns what went wrong first; empty: nothing.
inline std::string save_and_read(const std::filesystem::path& directory, int saves) {
  constexpr std::size_t part = 4096, parts = 4;
  const std::filesystem::path path = directory / "same.txt";
  try {
    for (int i = 0; i < saves; ++i) {
      {
        tsdl::AtomicFile file(path);
        const std::string bytes(part, static_cast<char>('a' + i % 26));
        for (std::size_t p = 0; p < parts; ++p) file.write(bytes);
        file.commit();
      }
      const std::string text = shared_bytes(path);
      if (text.size() != parts * part) return "read " + std::to_string(text.size()) + " bytes";
      if (text.find_first_not_of(text[0]) != text.npos) return "read bytes of two saves";
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace test
