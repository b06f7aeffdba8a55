// What tests of pictures share: whether SVG is well-formed, and the numbers in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

/// The first thing in `xml` that is not well-formed, or nothing. Knows elements, attributes and the
/// named entities; that is all that a chart may contain.
inline std::string xml_fault(std::string_view xml) {
  std::vector<std::string> open;
  bool seen_root = false;
  const auto text_fault = [](std::string_view text) -> std::string {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (static_cast<unsigned char>(text[i]) < 0x20 && text[i] != '\n') return "control character";
      if (text[i] != '&') continue;
      const std::string_view name = text.substr(i, text.find(';', i) - i + 1);
      if (name != "&amp;" && name != "&lt;" && name != "&gt;" && name != "&quot;") return "bare &";
    }
    return {};
  };
  while (!xml.empty()) {
    if (xml.front() != '<') {
      const std::string_view text = xml.substr(0, xml.find('<'));
      if (open.empty() && text.find_first_not_of('\n') != text.npos) return "text outside the root";
      if (const std::string fault = text_fault(text); !fault.empty()) return fault;
      xml.remove_prefix(text.size());
      continue;
    }
    const std::size_t end = xml.find('>');
    if (end == xml.npos) return "tag without end";
    std::string_view tag = xml.substr(1, end - 1);
    xml.remove_prefix(end + 1);
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "</" + std::string(tag.substr(1));
      open.pop_back();
      continue;
    }
    const bool empty = tag.back() == '/';
    if (empty) tag.remove_suffix(1);
    if (open.empty() && std::exchange(seen_root, true)) return "second root";
    const std::string name(tag.substr(0, tag.find(' ')));
    tag.remove_prefix(name.size());
    std::vector<std::string_view> attributes;
    while (!tag.empty()) {
      const std::size_t equals = tag.find("=\"");
      if (tag.front() != ' ' || equals == tag.npos) return "attribute of " + name;
      for (const auto other : attributes)
        if (other == tag.substr(1, equals - 1)) return "attribute twice in " + name;
      attributes.push_back(tag.substr(1, equals - 1));
      const std::size_t close = tag.find('"', equals + 2);
      if (close == tag.npos) return "open quote in " + name;
      const std::string_view value = tag.substr(equals + 2, close - equals - 2);
      if (value.find('<') != value.npos || !text_fault(value).empty()) return "value in " + name;
      tag.remove_prefix(close + 1);
    }
    if (!empty) open.push_back(name);
  }
  return open.empty() && seen_root ? std::string() : "elements left open";
}

/// What stands between `before` and the next quote, for each place where `before` occurs.
inline std::vector<std::string> quoted_after(std::string_view text, std::string_view before) {
  std::vector<std::string> found;
  for (std::size_t at = text.find(before); at != text.npos; at = text.find(before, at + 1)) {
    const std::size_t start = at + before.size();
    found.emplace_back(text.substr(start, text.find('"', start) - start));
  }
  return found;
}

inline std::vector<double> numbers_in(std::string_view text) {
  std::vector<double> numbers;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t from = text.find_first_of("-.0123456789", i);
    if (from == text.npos) break;
    i = std::min(text.find_first_not_of("-.0123456789", from), text.size());
    numbers.push_back(std::stod(std::string(text.substr(from, i - from))));
  }
  return numbers;
}

inline std::size_t count(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace test
