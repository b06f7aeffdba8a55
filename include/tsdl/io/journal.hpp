// A journal: events that are on the disk before their writer goes on, one JSON object a line.
//
//   {"trial":3,"loss":0.25,"check":"0123456789abcdef"}
//
// `check` is the Fingerprint of the line's text without it, here of {"trial":3,"loss":0.25}, and so
// a changed bit is noticed. Only the last line can be cut off, by a kill while it was written: it
// then lacks its line end, and counts as not written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/line_file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/io/json.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr std::string_view check_field = "\"check\":\"";
inline constexpr std::size_t check_digits = 16;

/// JSON has no text for NaN and infinity, and null would stand for each of them.
inline void require_finite(const Json& json) {
  if (json.is_number_float() && !is_finite(json.get<double>()))
    throw OptionError("journal: a number that is not finite: number_to_json() makes a text of it");
  if (json.is_structured())
    for (const Json& value : json) require_finite(value);
}

/// An event as a line, with its check and line end.
inline std::string journal_line(const Json& event) {
  if (!event.is_object()) throw OptionError("journal: expected an object, got ", found_text(event));
  if (event.contains("check")) throw OptionError("journal: 'check' is the journal's own key");
  require_finite(event);
  std::string line;
  try {
    line = event.dump();
  } catch (const Json::exception&) {
    throw OptionError("journal: a text in the event is not UTF-8");
  }
  const std::string check = Fingerprint().add(line).text();
  line.pop_back();
  if (!event.empty()) line += ',';
  return line.append(check_field).append(check) + "\"}\n";
}

/// The object of a text. Throws: Error when it is something else, or has a key twice.
inline Json parse_object(std::string_view text) {
  std::vector<std::set<std::string>> keys;  // of the objects around the parser's place
  std::string twice;
  const auto look = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      twice = parsed.get<std::string>();
    return true;
  };
  // The parser takes a zero byte for the end of its input.
  Json json(Json::value_t::discarded);
  if (text.find('\0') == text.npos) json = Json::parse(text, look, false);
  if (json.is_discarded()) throw Error("not JSON");
  if (!json.is_object()) throw Error("expected an object, got ", found_text(json));
  if (!twice.empty()) throw Error("key '", printable(twice), "' appears twice");
  return json;
}

/// The event of a line without its end. Throws: Error when the line is not what a journal writes.
inline Json journal_event(std::string_view line) {
  Json event = parse_object(line);
  constexpr std::size_t ending = check_field.size() + check_digits + 2;
  const std::size_t at = line.size() - std::min(ending, line.size());
  if (!line.substr(at).starts_with(check_field) || !line.ends_with("\"}"))
    throw Error("it does not end with its check");
  std::string text(line.substr(0, at));
  if (text.ends_with(',')) text.pop_back();
  const std::string check = Fingerprint().add(text += '}').text();
  if (line.substr(at + check_field.size(), check_digits) != check)
    throw Error("its check does not match its text");
  event.erase("check");
  return event;
}

/// Whether the text behind the last line end is what a kill may leave of a line. A whole line
/// before another byte is not: its end was changed.
inline bool is_torn_line(std::string_view text) {
  if (text.empty()) return true;
  try {
    journal_event(text.substr(0, text.size() - 1));
    return false;
  } catch (const Error&) {
    return text.front() == '{' || text.front() == '\0';  // zeros: of a system that stopped
  }
}

inline std::string journal_text(const std::filesystem::path& path) {
  SystemFile file(path, OpenFor::reading_regular);
  if (!file.is_open()) throw Error(path_text(path), ": cannot be read: ", last_error_text());
  const std::optional<FileState> state = file.state();
  if (!state || !state->is_regular) throw Error(path_text(path), ": cannot be read: not a file");
  return with_memory(path_text(path), [&] {
    std::string text;
    for (;;) {
      const std::size_t before = text.size();
      text.resize(before + LineFile::chunk);
      const std::ptrdiff_t got = file.read(text.data() + before, LineFile::chunk);
      if (got < 0) throw Error(path_text(path), ": cannot be read: ", last_error_text());
      text.resize(before + static_cast<std::size_t>(got));
      if (got == 0) return text;
    }
  });
}

/// The events of a journal's text, which a file of this path holds.
inline std::vector<Json> journal_events(std::string_view text, const std::filesystem::path& path) {
  std::vector<Json> events;
  std::size_t line = 1;
  const auto refuse = [&](const std::string& why) {
    throw FormatError(path_text(path), ':', line, ": damaged: ", why,
                      "; nothing was changed; take this line out, and its work is done again");
  };
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n', begin), ++line) {
    try {
      events.push_back(journal_event(text.substr(begin, end - begin)));
    } catch (const Error& error) {
      refuse(error.what());
    }
    begin = end + 1;
  }
  if (!is_torn_line(text.substr(begin))) refuse("its end is not that of a line");
  return events;
}

}  // namespace internal

/// The events of a journal, oldest first. A last line without its end is left out, as a kill while
/// it was written cut it off; it may also be one that another process is just writing. Numbers have
/// the bits that they were written with; read those of number_to_json() by number_from_json().
/// Throws: Error when the file cannot be read; FormatError, with file and line, when another line
/// is not a JSON object, has a key twice, or does not match its check.
inline std::vector<nlohmann::json> read_journal(const std::filesystem::path& path) {
  return internal::journal_events(internal::journal_text(path), path);
}

/// Appends events to a journal. Not for several threads at once.
class JournalWriter {
 public:
  /// Opens a journal, or makes an empty one in a directory that exists, and holds it until the end
  /// of the object or of the process. What a kill left of a last line is cut off. Where a disk has
  /// no locks, several writers are not noticed.
  /// Throws: Error when another writer holds the journal, or the file cannot be opened; FormatError
  /// where read_journal() does, and nothing is changed.
  explicit JournalWriter(const std::filesystem::path& path) : path_(path), file_(path) {
    if (file_.lock() == internal::Lock::held_by_other)
      throw Error(internal::path_text(path), ": in use: another process writes this journal");
    read_journal(path);
    file_.drop_torn_line();
    internal::sync_directory(path.has_parent_path() ? path.parent_path() : ".");
  }

  /// Returns when the event is on the disk. Where that fails, the event may or may not be in the
  /// journal, and the writer takes no more: open the journal again.
  /// Throws: OptionError when it is no object, has the key "check", a number that is not finite
  /// (see number_to_json()), or a text that is not UTF-8; Error when the disk is full or fails.
  void append(const nlohmann::json& event) {
    const std::string line = internal::journal_line(event);
    if (failed_)
      throw Error(internal::path_text(path_), ": cannot be written: an earlier event failed");
    failed_ = true;
    file_.append(line);
    if (!file_.sync())
      throw Error(internal::path_text(path_), ": cannot be synced: ", internal::last_error_text());
    failed_ = false;
  }

 private:
  std::filesystem::path path_;
  internal::LineFile file_;
  bool failed_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
