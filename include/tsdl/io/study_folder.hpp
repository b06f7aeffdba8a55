// A study on disk, which any kill leaves whole:
//
//   study.json             what the study is: its digest and, for people, its options
//   journal-*.jsonl        one append-only journal per worker, a line a result, synced
//   summary.json           trials, scores and what follows, from the journals alone; no times
//   leaderboard.csv        the trials, the best first
//
// A result is in a journal before its worker goes on. Whoever reads all journals knows the study,
// so that results may be made by any number of workers, processes and machines that share a disk.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tsdl/core/directory_lock.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/io/journal.hpp"
#include "tsdl/io/json.hpp"
#include "tsdl/select/study.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What a study is: two runs with the same digest do the same work.
struct StudyIdentity {
  std::string fingerprint;  ///< a digest of data, options and trials
  /// What the digest is of, by name, for people and for messages.
  std::vector<std::pair<std::string, std::string>> options{};
};

namespace internal {

inline constexpr const char* study_key = "tsdl.study";
inline constexpr const char* study_version = "1";

inline Json result_to_json(const UnitResult& result, const std::string& fingerprint) {
  Json figures = Json::object(), gains = Json::array();
  for (const auto& [name, value] : result.figures) figures[name] = number_to_json(value);
  for (const auto& [block, m] : result.gains)
    gains.push_back({block, m.n, m.mean, m.m2, m.m3, m.m4});
  return {{"event", "result"},
          {"study", fingerprint},
          {"trial", result.unit.trial},
          {"rung", result.unit.rung},
          {"fold", result.unit.fold},
          {"seed", result.unit.seed},
          {"score", number_to_json(result.score)},
          {"epochs", result.epochs},
          {"best_epoch", result.best_epoch},
          {"status", result.status},
          {"figures", std::move(figures)},
          {"gains", std::move(gains)}};
}

/// Throws: Error, or an exception of nlohmann-json, when it is not what result_to_json makes.
inline UnitResult result_from_json(const Json& json) {
  UnitResult result;
  result.unit = {index_at(json, "trial", 0), index_at(json, "rung", 0), index_at(json, "fold", 0),
                 index_at(json, "seed", 0)};
  result.score = number_from_json(json.at("score"), "score");
  result.epochs = index_at(json, "epochs", 0);
  result.best_epoch = index_at(json, "best_epoch", 0);
  result.status = json.at("status").get<std::string>();
  for (const auto& [name, value] : json.at("figures").items())
    result.figures.emplace_back(name, number_from_json(value, name.c_str()));
  for (const Json& block : json.at("gains")) {
    if (!block.is_array() || block.size() != 6) throw Error("'gains': expected lists of 6 numbers");
    const auto at = [&](std::size_t i) { return number_of(block[i], "gains"); };
    result.gains.emplace_back(index_of(block[0], "gains", 0),
                              tsdl::Moments{at(1), at(2), at(3), at(4), at(5)});
  }
  return result;
}

}  // namespace internal

/// Results as text that other processes read: a line each.
inline std::string results_to_text(const std::vector<UnitResult>& results) {
  std::string text;
  for (const UnitResult& result : results)
    text += internal::result_to_json(result, "").dump() + '\n';
  return text;
}

/// The results of such a text. Throws: FormatError when it is none.
inline std::vector<UnitResult> results_from_text(const std::string& text) {
  std::vector<UnitResult> results;
  for (std::size_t first = 0; first < text.size();) {
    const std::size_t end = std::min(text.find('\n', first), text.size());
    try {
      results.push_back(
          internal::result_from_json(internal::Json::parse(text.substr(first, end - first))));
    } catch (const std::exception& error) {
      throw FormatError("study: a result cannot be read: ", error.what());
    }
    first = end + 1;
  }
  return results;
}

/// The folder of a study, for one process that adds results. Workers record from threads of their
/// own, each with its own number.
class StudyFolder {
 public:
  enum class Hold {
    alone,   ///< no other process may be at work in the folder
    shared,  ///< others are: the shards of a job array, or the ranks of a run
  };

  /// Opens or begins the study. `part` names this process among several that share the folder.
  /// Throws: Error when the folder is in use, holds another study, cannot be written, or
  /// (`resume` false) holds results of this part already; FormatError when study.json is damaged.
  StudyFolder(std::filesystem::path path, StudyIdentity identity, bool resume, Hold hold,
              std::string part = {})
      : path_(std::move(path)), identity_(std::move(identity)), part_(std::move(part)) {
    make_directories(path_);
    if (hold == Hold::alone) lock_.emplace(path_);
    remove_stale_temporaries(path_);
    const bool begun = std::filesystem::exists(file());
    if (begun)
      check_identity();
    else if (!journals().empty())
      throw Error(internal::path_text(path_), ": has journals of a study, and no study.json");
    if (!resume)
      for (const std::filesystem::path& journal : journals())
        if (journal.filename().string().starts_with(journal_prefix()) &&
            std::filesystem::file_size(journal) > 0)
          throw Error(internal::path_text(path_),
                      ": holds results of this study already: resume it, or take another folder");
    if (begun) return;
    internal::Json options = internal::Json::array();
    for (const auto& [name, value] : identity_.options) options.push_back({name, value});
    write_file(file(), internal::Json{{internal::study_key, internal::study_version},
                                      {"fingerprint", identity_.fingerprint},
                                      {"options", std::move(options)}}
                               .dump(1) +
                           '\n');
  }

  const std::filesystem::path& path() const noexcept { return path_; }

  /// The results in all journals, whoever wrote them. Throws: Error when a journal cannot be read
  /// or has results of another study; FormatError, with file and line, when a line is damaged.
  std::vector<UnitResult> read() const {
    std::vector<UnitResult> results;
    for (const std::filesystem::path& journal : journals()) {
      Index line = 0;
      for (const internal::Json& event : read_journal(journal)) {
        ++line;
        try {
          if (event.at("event") != "result") continue;
          if (event.at("study") != identity_.fingerprint)
            throw Error("a result of another study (fingerprint ",
                        internal::printable(event.at("study").dump()), ", this one's is ",
                        identity_.fingerprint, ')');
          results.push_back(internal::result_from_json(event));
        } catch (const std::exception& error) {
          throw FormatError(internal::path_text(journal), ':', line, ": ", error.what(),
                            ": nothing was changed");
        }
      }
    }
    return results;
  }

  /// Opens the journals of workers 0 to `workers` - 1. Throws: Error when another process writes
  /// one of them; as JournalWriter.
  void open_journals(Index workers) {
    for (Index worker = std::ssize(writers_); worker < workers; ++worker)
      writers_.push_back(std::make_unique<JournalWriter>(
          path_ / (journal_prefix() + "w" + std::to_string(worker) + ".jsonl")));
  }
  /// Returns when the result is on the disk. Throws: as JournalWriter::append.
  void record(Index worker, const UnitResult& result) {
    writers_.at(static_cast<std::size_t>(worker))
        ->append(internal::result_to_json(result, identity_.fingerprint));
  }

  /// Writes summary.json and leaderboard.csv, which follow from the study's results alone.
  /// `figure` names the score, `seeds` are those of the plan. Throws: Error when they cannot be
  /// written.
  void write_summary(const Study& study, const std::string& figure,
                     const std::vector<std::uint64_t>& seeds) const {
    const std::vector<TrialResult> board = study.leaderboard();
    write_file(path_ / "summary.json", summary_text(study, board, figure, seeds));
    write_file(path_ / "leaderboard.csv", leaderboard_text(study, board, figure));
  }

 private:
  std::filesystem::path file() const { return path_ / "study.json"; }
  std::string journal_prefix() const { return "journal-" + (part_.empty() ? "" : part_ + '-'); }

  /// In the order of their names.
  std::vector<std::filesystem::path> journals() const {
    std::vector<std::filesystem::path> all;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("journal-") && name.ends_with(".jsonl")) all.push_back(entry.path());
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  /// Throws: Error that names what differs when study.json is of another study.
  void check_identity() const {
    const std::string where = internal::path_text(file());
    internal::Json json;
    try {
      json = internal::Json::parse(read_text(file()));
      if (json.at(internal::study_key) != internal::study_version)
        throw Error("of version ", internal::printable(json.at(internal::study_key).dump()));
      if (json.at("fingerprint") == identity_.fingerprint) return;
      std::map<std::string, std::string> before, now;
      for (const auto& pair : json.at("options"))
        before[pair.at(0).get<std::string>()] = pair.at(1).get<std::string>();
      for (const auto& [name, value] : identity_.options) now[name] = value;
      throw Error("another study: ", difference(before, now));
    } catch (const std::exception& error) {
      throw Error(where, ": ", error.what(), "; nothing was changed");
    }
  }

  static std::string difference(std::map<std::string, std::string>& before,
                                std::map<std::string, std::string>& now) {
    for (const auto& [name, value] : now) before.try_emplace(name, "not set");
    for (const auto& [name, value] : before) {
      const auto found = now.find(name);
      const std::string current = found == now.end() ? "not set" : found->second;
      if (current != value)
        return internal::concatenate(internal::printable(name), " was ", internal::printable(value),
                                     ", and is ", internal::printable(current));
    }
    return "its data differ";
  }

  static std::string read_text(const std::filesystem::path& path) {
    return internal::journal_text(path);
  }

  static internal::Json values_to_json(const TrialValues& values) {
    internal::Json json = internal::Json::object();
    for (const auto& [name, value] : values) json[name] = value;
    return json;
  }

  std::string summary_text(const Study& study, const std::vector<TrialResult>& board,
                           const std::string& figure,
                           const std::vector<std::uint64_t>& seeds) const {
    using internal::Json;
    using internal::number_to_json;
    const StudyPlan& plan = study.plan();
    Json trials = Json::array();
    for (const TrialResult& one : board) {
      Json units = Json::array();
      for (const auto& [unit, result] : study.results()) {
        if (unit.trial != one.trial || unit.rung != one.rung) continue;
        Json found = {{"fold", unit.fold},
                      {"seed", seeds.at(static_cast<std::size_t>(unit.seed))},
                      {"score", number_to_json(result.score)},
                      {"epochs", result.epochs},
                      {"best_epoch", result.best_epoch},
                      {"status", result.status}};
        for (const auto& [name, value] : result.figures)
          found["figures"][name] = number_to_json(value);
        units.push_back(std::move(found));
      }
      trials.push_back(
          {{"trial", one.trial},
           {"values", values_to_json(plan.trials[static_cast<std::size_t>(one.trial)])},
           {"rung", one.rung},
           {"score", number_to_json(one.score)},
           {"deviation", number_to_json(one.deviation)},
           {"rows", one.gains.n},
           {"mean_gain", one.gains.mean},
           {"sharpe_of_gains", one.gains.sharpe},
           {"runs", std::move(units)}});
    }
    Json summary = {{"study", identity_.fingerprint},
                    {"score", figure},
                    {"folds", plan.folds},
                    {"seeds", seeds},
                    {"rungs", plan.rungs},
                    {"finished", study.is_finished()},
                    {"trials", std::move(trials)}};
    if (!is_nan(board.front().score)) {
      const StudyLuck luck = study.luck();
      summary["luck"] = {{"trials", luck.trials},
                         {"variance_of_sharpe", luck.variance},
                         {"expected_maximum_sharpe", luck.expected_maximum},
                         {"probabilistic_sharpe_ratio", number_to_json(luck.probability)},
                         {"deflated_sharpe_ratio", number_to_json(luck.deflated_probability)},
                         {"minimum_track_record_rows", number_to_json(luck.track_record)}};
      if (luck.overfitting.splits > 0)
        summary["luck"]["probability_of_overfitting"] = luck.overfitting.probability;
    }
    return summary.dump(1) + '\n';
  }

  static std::string csv_cell(const std::string& text) {
    if (text.find_first_of(",\"\n\r") == text.npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + '"';
  }

  static std::string leaderboard_text(const Study& study, const std::vector<TrialResult>& board,
                                      const std::string& figure) {
    const StudyPlan& plan = study.plan();
    const auto cell = [](double value) {
      return is_finite(value) ? internal::exact_text(value) : std::string();
    };
    std::string text = "rank,trial," + figure + ",deviation,epochs";
    for (const auto& value : plan.trials.front()) text += ',' + csv_cell(value.first);
    for (Index fold = 0; fold < plan.folds; ++fold) text += ",fold_" + std::to_string(fold + 1);
    text += ",mean_gain,sharpe_of_gains\n";
    for (std::size_t i = 0; i < board.size(); ++i) {
      const TrialResult& one = board[i];
      text += std::to_string(i + 1) + ',' + std::to_string(one.trial) + ',' + cell(one.score) +
              ',' + cell(one.deviation) + ',';
      if (one.rung >= 0) text += std::to_string(plan.rungs[static_cast<std::size_t>(one.rung)]);
      for (const auto& value : plan.trials[static_cast<std::size_t>(one.trial)])
        text += ',' + csv_cell(value.second);
      for (Index fold = 0; fold < plan.folds; ++fold) {
        text += ',';
        if (!one.fold_scores.empty()) text += cell(one.fold_scores[static_cast<std::size_t>(fold)]);
      }
      text += ',' + cell(one.gains.mean) + ',' + cell(one.gains.sharpe) + '\n';
    }
    return text;
  }

  std::filesystem::path path_;
  StudyIdentity identity_;
  std::string part_;
  std::optional<DirectoryLock> lock_;
  std::vector<std::unique_ptr<JournalWriter>> writers_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
