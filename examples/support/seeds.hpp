// Training with several seeds at once.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace examples {

namespace internal {

/// The whole numbers of a text like "6,2"; none when it is no such text.
inline std::vector<tsdl::Index> whole_numbers(std::string_view text, char separator) {
  std::vector<tsdl::Index> numbers;
  for (std::size_t first = 0; first <= text.size();) {
    const std::size_t end = std::min(text.find(separator, first), text.size());
    tsdl::Index value = 0;
    const char* const last = text.data() + end;
    const auto parsed = std::from_chars(text.data() + first, last, value);
    if (parsed.ec != std::errc() || parsed.ptr != last || value < 0) return {};
    numbers.push_back(value);
    first = end + 1;
  }
  return numbers;
}

}  // namespace internal

/// Reads --seeds: "1..5", or "1,2,7". Throws: tsdl::OptionError.
inline std::vector<std::uint64_t> seeds_from(const std::string& text) {
  constexpr tsdl::Index most = 1000;
  std::vector<std::uint64_t> seeds;
  if (const std::size_t dots = text.find(".."); dots != text.npos) {
    const auto low = internal::whole_numbers(text.substr(0, dots), ','),
               high = internal::whole_numbers(text.substr(dots + 2), ',');
    if (low.size() == 1 && high.size() == 1 && low[0] <= high[0] && high[0] - low[0] < most)
      for (tsdl::Index seed = low[0]; seed <= high[0]; ++seed)
        seeds.push_back(static_cast<std::uint64_t>(seed));
  } else {
    for (const tsdl::Index seed : internal::whole_numbers(text, ','))
      seeds.push_back(static_cast<std::uint64_t>(seed));
  }
  std::vector<std::uint64_t> sorted = seeds;
  std::sort(sorted.begin(), sorted.end());
  if (seeds.empty() || std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    throw tsdl::OptionError("--seeds: expected seeds as in 1..5 or 1,2,7, each once and at most ",
                            most, ", got '", text, "'");
  return seeds;
}

/// Trains with each of --seeds, --workers at a time, each into a directory of its own below --out;
/// or on each of --case-folds of each seed, which leaves figures alone (folds.csv).
/// Prints and writes (seeds.csv) what the models are worth, and how much that varies. Returns the
/// exit status. Defined in seeds.cpp.
/// Throws: tsdl::Error when options, data or files cannot be used.
int train_seeds(const TrainOptions& o);

}  // namespace examples
