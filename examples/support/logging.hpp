// The log of a run: a line an event, of time, level, message and figures, as text or as JSON.
#pragma once

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <concepts>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "names.hpp"
#include "tsdl/core/error.hpp"

namespace examples {

enum class LogFormat { text, json };

/// A figure or a text of an event, under its name.
struct LogField {
  std::string key;
  nlohmann::json value;

  template <class Value>
  LogField(std::string name, const Value& v) : key(std::move(name)), value(v) {}
};
using LogFields = std::vector<LogField>;

namespace internal {

/// JSON of any bytes: what is no UTF-8 becomes U+FFFD, what is not finite null.
inline std::string json_text(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// A value of a text line: in quotes where it would not be one word.
inline std::string logged_value(const nlohmann::json& value) {
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    return is_finite(number) ? format_exact(number) : not_finite_text(number);
  }
  if (!value.is_string()) return json_text(value);
  const auto& text = value.get_ref<const std::string&>();
  bool plain = !text.empty();
  for (const char c : text) plain = plain && c > ' ' && c != '"' && c != '=' && c != 0x7f;
  return plain ? text : json_text(value);
}

}  // namespace internal

/// What stands after time and level in a line of the log. One line whatever the strings hold.
inline std::string log_line(LogFormat format, std::string_view message, const LogFields& fields) {
  if (format == LogFormat::text) {
    std::string line;
    for (const char c : message) line += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    for (const LogField& field : fields)
      line += ' ' + field.key + '=' + internal::logged_value(field.value);
    return line;
  }
  std::string line = "\"message\":" + internal::json_text(std::string(message));
  for (const LogField& field : fields)
    line += ',' + internal::json_text(field.key) + ':' + internal::json_text(field.value);
  return line;
}

/// A log in a file, appended to. Warnings and errors also go to stderr, as one line for people.
class Log {
 public:
  /// Without a file, until open(): only stderr.
  explicit Log(std::string program) : program_(std::move(program)) {}

  /// Throws: what open() throws.
  Log(std::string program, const std::filesystem::path& file, bool json,
      spdlog::level::level_enum level)
      : program_(std::move(program)) {
    open(file, json, level);
  }

  /// What follows goes to this file too. Throws: tsdl::Error when it cannot be opened.
  void open(const std::filesystem::path& file, bool json, spdlog::level::level_enum level) {
    format_ = json ? LogFormat::json : LogFormat::text;
    try {
      logger_ = std::make_shared<spdlog::logger>(
          program_, std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string()));
    } catch (const spdlog::spdlog_ex& error) {
      throw tsdl::Error(file.string(), ": cannot be written: ", error.what());
    }
    // Times are UTC to the millisecond, in the form of ISO 8601.
    logger_->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                         spdlog::pattern_time_type::utc);
    logger_->set_level(level);
    logger_->flush_on(spdlog::level::trace);  // a line that was written survives a kill
  }

  void debug(std::string_view message, const LogFields& fields = {}) {
    record(spdlog::level::debug, message, fields);
  }
  void info(std::string_view message, const LogFields& fields = {}) {
    record(spdlog::level::info, message, fields);
  }
  void warn(std::string_view message, const LogFields& fields = {}) {
    say("warning: ", message, fields);
    record(spdlog::level::warn, message, fields);
  }
  /// An error that ends the program goes to the file alone: run_program says it on stderr.
  void fatal(std::string_view message, const LogFields& fields = {}) {
    record(spdlog::level::err, message, fields);
  }

 private:
  void record(spdlog::level::level_enum level, std::string_view message, const LogFields& fields) {
    if (logger_ && logger_->should_log(level))
      logger_->log(level, spdlog::string_view_t(log_line(format_, message, fields)));
  }

  void say(const char* kind, std::string_view message, const LogFields& fields) const {
    const std::string line = log_line(LogFormat::text, message, fields);
    std::fprintf(stderr, "%s%s%s%s\n", program_.c_str(), program_.empty() ? "" : ": ", kind,
                 line.c_str());
  }

  std::shared_ptr<spdlog::logger> logger_;
  LogFormat format_ = LogFormat::text;
  std::string program_;
};

}  // namespace examples
