// The space of a search from a TOML file, refused by file, line and key.
//
//   model = ["gru", "lstm"]                          one of these: the same as { choice = [...] }
//   hidden = { choice = [16, 32, 64] }
//   layers = { integer = [1, 3] }                    with step = 2 or log = true where wanted
//   dropout = { uniform = [0.0, 0.5] }               with points = 3 for a grid
//   lr = { log_uniform = [1e-4, 1e-2], points = 3 }
//
// A table [lr] with the same keys below it is the same as the table in braces.
#pragma once

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/space.hpp"

namespace examples {

/// A space and where it stands, so that who knows the options can refuse one as the reader does.
struct SpaceFile {
  std::string path;
  tsdl::SearchSpace space{};         ///< in the order of the file
  std::vector<std::size_t> lines{};  ///< of each dimension

  /// Throws: FormatError "FILE:LINE: key 'x': what", of a dimension by its number.
  [[noreturn]] void refuse(std::size_t dimension, const std::string& what) const {
    throw tsdl::FormatError(path, ':', lines.at(dimension), ": key '",
                            space.dimensions.at(dimension).first, "': ", what);
  }
};

namespace internal {

/// Reads the dimensions of one file.
class SpaceReader {
 public:
  explicit SpaceReader(SpaceFile& file) : file_(file) {}

  void read(const toml::table& table) {
    for (const Entry& entry : in_order(table)) {
      key_ = entry.key->str();
      line_ = entry.key->source().begin.line;
      tsdl::Dimension dimension = dimension_of(*entry.value);
      const std::string problem = tsdl::dimension_problem(dimension);
      if (!problem.empty()) refuse(problem);
      file_.space.dimensions.emplace_back(key_, std::move(dimension));
      file_.lines.push_back(line_);
    }
  }

 private:
  struct Entry {
    const toml::key* key;
    const toml::node* value;
  };
  struct Kind {
    std::string_view name;
    std::array<std::string_view, 2> also;  ///< further keys; empty: none
    const char* takes;
  };
  static constexpr std::array<Kind, 4> kinds{{{"choice", {"", ""}, "nothing else"},
                                              {"integer", {"step", "log"}, "step and log"},
                                              {"uniform", {"points", ""}, "points"},
                                              {"log_uniform", {"points", ""}, "points"}}};
  static constexpr const char* known = "choice, integer, uniform and log_uniform";

  [[noreturn]] void refuse(const std::string& what) const {
    throw tsdl::FormatError(file_.path, ':', line_, ": key '", key_, "': ", what);
  }

  /// A table keeps its entries in the order of their names.
  static std::vector<Entry> in_order(const toml::table& table) {
    std::vector<Entry> entries;
    for (auto entry = table.cbegin(); entry != table.cend(); ++entry)
      entries.push_back({&entry->first, &entry->second});
    const auto place = [](const Entry& entry) {
      const toml::source_position& begin = entry.key->source().begin;
      return std::pair(begin.line, begin.column);
    };
    std::sort(entries.begin(), entries.end(),
              [&](const Entry& a, const Entry& b) { return place(a) < place(b); });
    return entries;
  }

  static std::string type_text(const toml::node& node) {
    switch (node.type()) {
      case toml::node_type::table:
        return "a table";
      case toml::node_type::array:
        return "a list";
      case toml::node_type::string:
        return "a text";
      case toml::node_type::integer:
        return "a whole number";
      case toml::node_type::floating_point:
        return "a number with a fraction";
      case toml::node_type::boolean:
        return "true or false";
      default:
        return "a date or time";
    }
  }

  tsdl::Dimension dimension_of(const toml::node& node) {
    if (node.is_array()) return choice_of(node);
    if (!node.is_table())
      refuse("expected a list of choices, or a table as { uniform = [0, 1] }, got " +
             type_text(node));
    const toml::table& table = *node.as_table();
    const Kind& kind = kind_of(table);
    const toml::node& value = *table.get(kind.name);
    if (kind.name == "choice") return choice_of(value);
    if (kind.name == "integer") return integer_of(value, table);
    const auto [low, high] = bounds_of(value, kind.name);
    const tsdl::Index points = whole_at(table, "points", 0);
    if (kind.name == "uniform") return tsdl::UniformRange{low, high, points};
    return tsdl::LogUniformRange{low, high, points};
  }

  /// The one kind that a table names; it has no key that the kind does not take.
  const Kind& kind_of(const toml::table& table) {
    const Kind* found = nullptr;
    for (const Kind& kind : kinds) {
      if (!table.contains(kind.name)) continue;
      if (found)
        refuse("expected one kind, got " + std::string(found->name) + " and " +
               std::string(kind.name));
      found = &kind;
    }
    for (const Entry& entry : in_order(table)) {
      const std::string name(entry.key->str());
      const std::size_t line = entry.key->source().begin.line;
      if (found) {
        if (name == found->name || name == found->also[0] || name == found->also[1]) continue;
        line_ = line;
        refuse("'" + name + "' is not known beside " + std::string(found->name) + ", which takes " +
               found->takes);
      }
      if (name == "points" || name == "step" || name == "log") continue;
      line_ = line;
      refuse("unknown kind '" + name + "': known are " + known);
    }
    if (!found) refuse(std::string("expected a kind: known are ") + known);
    return *found;
  }

  tsdl::Choice choice_of(const toml::node& node) {
    if (!node.is_array()) refuse("choice: expected a list, got " + type_text(node));
    tsdl::Choice choice;
    for (const toml::node& value : *node.as_array()) choice.values.push_back(text_of(value));
    return choice;
  }

  std::string text_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* whole = node.as_integer()) return std::to_string(whole->get());
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    const auto* number = node.as_floating_point();
    if (!number)
      refuse("expected choices that are texts, numbers, true or false, got " + type_text(node));
    if (!tsdl::is_finite(number->get())) refuse("expected choices that are finite");
    return tsdl::value_text(number->get());
  }

  /// The two values of [low, high]; none when it is no such list.
  static std::pair<const toml::node*, const toml::node*> pair_of(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (!list || list->size() != 2) return {};
    return {list->get(0), list->get(1)};
  }

  std::pair<double, double> bounds_of(const toml::node& node, std::string_view kind) {
    const auto [low, high] = pair_of(node);
    if (!low || !low->is_number() || !high->is_number())
      refuse(std::string(kind) + ": expected two numbers, [low, high]");
    return {low->value<double>().value(), high->value<double>().value()};
  }

  tsdl::IntegerRange integer_of(const toml::node& node, const toml::table& table) {
    const auto [low, high] = pair_of(node);
    if (!low || !low->is_integer() || !high->is_integer())
      refuse("integer: expected two whole numbers, [low, high]");
    tsdl::IntegerRange range{.low = low->as_integer()->get(), .high = high->as_integer()->get()};
    range.step = whole_at(table, "step", 1);
    if (const toml::node* log = table.get("log")) {
      if (!log->is_boolean()) refuse("log: expected true or false, got " + type_text(*log));
      range.log = log->as_boolean()->get();
    }
    return range;
  }

  tsdl::Index whole_at(const toml::table& table, const char* name, tsdl::Index otherwise) {
    const toml::node* node = table.get(name);
    if (!node) return otherwise;
    if (!node->is_integer() || node->as_integer()->get() < 1)
      refuse(std::string(name) + ": expected a whole number of 1 or more");
    return node->as_integer()->get();
  }

  SpaceFile& file_;
  std::string key_{};  ///< the dimension that is being read, and its line
  std::size_t line_ = 0;
};

}  // namespace internal

/// Reads a space. Choices may be texts, numbers, true and false; a number becomes the shortest text
/// that is read as this number. Whether options have these names and take these values is the
/// caller's to check; see SpaceFile::refuse().
/// Throws: Error when the file cannot be read; FormatError "FILE:LINE: key 'x': what is wrong".
inline SpaceFile read_space(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw tsdl::Error(path, ": cannot be read");
  SpaceFile file{.path = path};
  try {
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    internal::SpaceReader(file).read(toml::parse(text, path));
  } catch (const std::ios_base::failure&) {  // a directory
    throw tsdl::Error(path, ": cannot be read");
  } catch (const toml::parse_error& error) {
    throw tsdl::FormatError(path, ':', error.source().begin.line,
                            ": not TOML: ", std::string(error.description()));
  }
  if (file.space.dimensions.empty())
    throw tsdl::FormatError(path, ":1: expected at least one option, as lr = [0.001, 0.01]");
  return file;
}

}  // namespace examples
