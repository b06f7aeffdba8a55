// Saving one file again and again while others do the same, and reading it meanwhile.
#pragma once

#include <cstddef>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>

#include "support/files.hpp"
#include "tsdl/core/file.hpp"

namespace test {

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
      const std::string text = read_bytes(path);
      if (text.size() != parts * part) return "read " + std::to_string(text.size()) + " bytes";
      if (text.find_first_not_of(text[0]) != text.npos) return "read bytes of two saves";
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace test
