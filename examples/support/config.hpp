// Configuration files: TOML whose keys are the options' names, refused by file and line.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <istream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace examples {

/// The keys of one table, and the option that each of them sets.
struct ConfigTable {
  std::string name;                            ///< as in [name]
  std::map<std::string, std::string> options;  ///< key to option, without its dashes
};

/// Reads `--config FILE` into an app's options. Keys above the first table are the options' own
/// names; those of a table are given. What the command line has set stays, but is checked too.
/// A key that is not known or set twice, and a value that its option refuses, end in one line:
/// FILE:LINE: key 'x': what is wrong. CLI11 reads the TOML, one setting at a time, since it does
/// not tell their lines.
class ConfigFile : public CLI::ConfigTOML {
 public:
  ConfigFile(CLI::App& app, std::vector<ConfigTable> tables)
      : app_(app), tables_(std::move(tables)) {
    commentChar = '\0';  // next_line removes comments: CLI11 2.1 cuts text in quotes at a '#'
  }

  /// The options as a file that sets them again: those of the command line, of the file, and
  /// (`default_also`) the rest.
  std::string to_config(const CLI::App* app, bool default_also, bool /*description*/,
                        std::string /*prefix*/) const override {
    std::string text;
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_configurable() || option->get_lnames().empty()) continue;
      const bool given = option->count() > 0;
      if (!given && (!default_also || option->get_default_str().empty() || is_list(*option) ||
                     !option->get_excludes().empty()))
        continue;
      text += option->get_lnames().front() + " = " + value_text(*option, given) + '\n';
    }
    return text;
  }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::map<const CLI::Option*, Setting> seen;
    given_.clear();
    for (const CLI::Option* option : app_.get_options())
      if (!option->empty()) given_.insert(option);
    std::string table, text;
    for (std::size_t line = 0; next_line(input, line, text);) {
      if (text.empty()) continue;
      if (text.front() == '[') {
        if (text.size() < 3 || text.back() != ']')
          refuse({.line = line}, "expected [name of a table], got '" + text + "'");
        table = text;
        continue;
      }
      const Setting setting = read_setting(input, line, table, text);
      CLI::Option& option = option_of(setting);
      const auto [before, is_new] = seen.emplace(&option, setting);
      if (!is_new)
        refuse(setting, "it sets " + option.get_name() + ", as '" + before->second.key +
                            "' in line " + std::to_string(before->second.line) + " does");
      set(option, setting);
    }
    return {};  // all of it is set already
  }

 private:
  /// One `key = value` of a file.
  struct Setting {
    std::size_t line = 0;
    std::string table{}, key{};
    std::vector<std::string> values{};
  };

  [[noreturn]] void refuse(const Setting& setting, const std::string& what) const {
    const std::string key = setting.key.empty() ? "" : "key '" + setting.key + "': ";
    throw CLI::ConfigError(app_.get_config_ptr()->as<std::string>() + ':' +
                               std::to_string(setting.line) + ": " + key + what,
                           CLI::ExitCodes::ConfigError);
  }

  /// The next line without its comment. Escapes are refused: versions of CLI11 differ in them.
  bool next_line(std::istream& input, std::size_t& line, std::string& text) const {
    if (!std::getline(input, text)) return false;
    if (++line == 1 && text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    char quote = '\0';
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\\' && quote == '"')
        refuse({.line = line}, "expected text with a backslash in single quotes");
      if (c == '#' && !quote)
        text.erase(i);
      else if (quote ? c == quote : c == '"' || c == '\'')
        quote = quote ? '\0' : c;
    }
    if (quote) refuse({.line = line}, "expected text that ends with its quote in the same line");
    CLI::detail::trim(text);
    return true;
  }

  /// The setting that begins with this text; its list may go on in the next lines.
  Setting read_setting(std::istream& input, std::size_t& line, const std::string& table,
                       std::string text) const {
    const std::size_t equals = text.find('=');
    Setting setting{.line = line, .key = CLI::detail::trim_copy(text.substr(0, equals))};
    if (equals == text.npos) refuse(setting, "expected key = value");
    if (setting.key.empty()) refuse(setting, "expected a key before '='");
    const std::string value = CLI::detail::trim_copy(text.substr(equals + 1));
    if (value.empty()) refuse(setting, "expected a value after '='");
    for (std::string more; value.front() == '[' && text.back() != ']'; text += ' ' + more)
      if (!next_line(input, line, more)) refuse(setting, "expected a ']' at the end of a list");
    std::istringstream one(table + '\n' + text);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML::from_config(one)) {
      if (item.name == "++" || item.name == "--") continue;  // a table begins or ends
      setting.table = CLI::detail::trim_copy(CLI::detail::join(item.parents, "."));
      setting.key = item.name;
      setting.values = item.inputs;
    }
    // A space before a comma leaves an empty value.
    if (setting.values.size() > 1) std::erase(setting.values, "");
    return setting;
  }

  CLI::Option& option_of(const Setting& setting) const {
    std::string name = setting.key;
    if (!setting.table.empty()) {
      const ConfigTable* table = nullptr;
      for (const ConfigTable& one : tables_)
        if (one.name == setting.table) table = &one;
      if (!table) refuse(setting, "the table [" + setting.table + "] is not known");
      const auto found = table->options.find(setting.key);
      if (found == table->options.end())
        refuse(setting, "not known in [" + setting.table + "], which has " +
                            CLI::detail::join(
                                table->options, [](const auto& o) { return o.first; }, ", "));
      name = found->second;
    }
    CLI::Option* option = app_.get_option_no_throw("--" + name);
    if (!option) refuse(setting, "no option has this name (--help lists the options)");
    if (!option->get_configurable()) refuse(setting, "it belongs on the command line");
    return *option;
  }

  void set(CLI::Option& option, const Setting& setting) const {
    const std::vector<std::string> given = option.results();
    if (setting.values.empty()) refuse(setting, "expected a value, got an empty list");
    if (setting.values.size() > 1 && !is_list(option))
      refuse(setting, "expected one value, got " + std::to_string(setting.values.size()));
    const std::string& first = setting.values.front();
    if (is_flag(option) && first != "true" && first != "false")
      refuse(setting, "expected true or false, got '" + first + "'");
    try {
      option.clear();
      option.add_result(setting.values);
      option.run_callback();
    } catch (const CLI::Error& error) {
      refuse(setting, without_name(error.what(), option));
    }
    bool excluded = false;
    for (const CLI::Option* other : option.get_excludes()) excluded |= given_.contains(other);
    if (given.empty() && !excluded) return;
    option.clear();  // the command line wins
    if (!given.empty()) option.add_result(given);
  }

  static bool is_flag(const CLI::Option& option) { return option.get_expected_max() == 0; }
  static bool is_list(const CLI::Option& option) { return option.get_expected_max() > 1; }
  static bool is_number(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    return type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT");
  }

  /// Text with both kinds of quotes cannot be read again.
  static std::string value_text(const CLI::Option& option, bool given) {
    if (is_flag(option)) return given && option.as<bool>() ? "true" : "false";
    const auto one = [&](const std::string& value) {
      if (is_number(option)) return value;
      const char quote = value.find_first_of("\"\\") == value.npos ? '"' : '\'';
      return quote + value + quote;
    };
    if (!given) return one(option.get_default_str());
    const std::string text = CLI::detail::join(option.reduced_results(), one, ", ");
    return is_list(option) ? '[' + text + ']' : text;
  }

  static std::string without_name(std::string what, const CLI::Option& option) {
    const std::string start = option.get_name() + ": ";
    if (what.starts_with(start)) what.erase(0, start.size());
    return what;
  }

  CLI::App& app_;
  std::vector<ConfigTable> tables_;
  mutable std::set<const CLI::Option*> given_;  // on the command line
};

/// Gives an option the value that is applied in place of the one that was given, so that files,
/// trackers and reports tell it.
inline void set_applied(CLI::App& app, const std::string& name, const std::string& value) {
  CLI::Option* option = app.get_option(name);
  option->clear();
  option->add_result(value);
  option->run_callback();
}

/// Adds `--config FILE` to an app.
inline void add_config(CLI::App& app, std::vector<ConfigTable> tables = {}) {
  app.set_config("--config", "", "Options from a TOML file; the command line wins")
      ->type_name("FILE")
      ->check(CLI::Validator(CLI::ExistingFile).description(""));
  app.config_formatter(std::make_shared<ConfigFile>(app, std::move(tables)));
}

}  // namespace examples
