// What options accept, checked where they are read, so that a message can name the option.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"

namespace examples {

/// Accepts digits whose number is in a range, and nothing else; CLI11 alone wraps what is negative
/// or too large.
inline CLI::Validator whole_number(std::int64_t least = 0,
                                   std::int64_t most = std::numeric_limits<std::int64_t>::max()) {
  return {[least, most](std::string& text) -> std::string {
            std::int64_t value = 0;
            const char* end = text.data() + text.size();
            const auto parsed = std::from_chars(text.data(), end, value);
            const bool ok = parsed.ec == std::errc() && parsed.ptr == end && value >= 0;
            if (!ok) return "expected a whole number, got '" + text + "'";
            if (value >= least && value <= most) return "";
            const bool open = most == std::numeric_limits<std::int64_t>::max();
            return "expected a whole number " +
                   (open ? "of " + std::to_string(least) + " or more"
                         : "from " + std::to_string(least) + " to " + std::to_string(most)) +
                   ", got '" + text + "'";
          },
          "", "whole number"};
}

/// Accepts 1, 2, 4 and so on, up to 2^20.
inline CLI::Validator power_of_two() {
  return {[](std::string& text) -> std::string {
            for (std::int64_t value = 1; value <= 1 << 20; value *= 2)
              if (text == std::to_string(value)) return "";
            return "expected a power of two, as 1, 2 or 4, got '" + text + "'";
          },
          "", "power of two"};
}

/// Which numbers an option takes, and how a message says so.
struct NumberRange {
  double low, high;                            ///< both included
  bool above_low = false, below_high = false;  ///< left out instead
  const char* text;
};

inline constexpr NumberRange share{0, 1, false, true, "of at least 0 and below 1"};
inline constexpr NumberRange share_above_zero{0, 1, true, true, "above 0 and below 1"};
inline constexpr NumberRange above_zero{0, 1e300, true, false, "above 0"};
inline constexpr NumberRange not_negative{0, 1e300, false, false, "of 0 or more"};

/// Accepts finite numbers in a range.
inline CLI::Validator number(NumberRange range) {
  return {[range](std::string& text) -> std::string {
            double value = 0;
            const char* end = text.data() + text.size();
            const auto parsed = std::from_chars(text.data(), end, value);
            const bool ok = parsed.ec == std::errc() && parsed.ptr == end &&
                            tsdl::is_finite(value) && value >= range.low && value <= range.high &&
                            !(range.above_low && value == range.low) &&
                            !(range.below_high && value == range.high);
            return ok ? ""
                      : std::string("expected a number ") + range.text + ", got '" + text + "'";
          },
          "", "number"};
}

/// Accepts one of these words.
inline CLI::Validator one_of(std::vector<std::string> words) {
  return {[words = std::move(words)](std::string& text) -> std::string {
            std::string all;
            for (const std::string& word : words) {
              if (word == text) return "";
              all += (all.empty() ? "" : ", ") + word;
            }
            return "expected one of " + all + ", got '" + text + "'";
          },
          "", "word"};
}

}  // namespace examples
