// Writes a feature set of candles as CSV, a row per candle, and on request a picture of all
// columns.
#include <filesystem>
#include <string>
#include <system_error>
#include <tsdl/core/file.hpp>
#include <tsdl/data/features.hpp>
#include <tsdl/data/gaps.hpp>
#include <tsdl/report/small_multiples.hpp>
#include <vector>

#include "support/program.hpp"
#include "support/report.hpp"

namespace {

using examples::format_count;
using examples::say;
using tsdl::Index;

struct Options {
  std::string data, features, out, picture;
  bool refuse_gaps = false;
};

void describe(CLI::App& app, Options& o) {
  app.add_option("--data", o.data, "CSV of candles")->required();
  app.add_option("--features", o.features, "Feature set made from them")
      ->required()
      ->check(CLI::IsMember(tsdl::feature_sets()));
  app.add_option("--out", o.out, "CSV to write: time, then a column per feature")->required();
  app.add_option("--picture", o.picture, "SVG to write: every column over time");
  app.add_flag("--refuse-gaps", o.refuse_gaps, "Stop when candles are missing in time");
}

/// Throws: DataError when two of the options name the same file.
void require_distinct(const Options& o) {
  const struct {
    const char* option;
    const std::string& path;
  } files[] = {{"--data", o.data}, {"--out", o.out}, {"--picture", o.picture}};
  for (const auto& a : files)
    for (const auto& b : files) {
      if (&a >= &b || a.path.empty() || b.path.empty()) continue;
      std::error_code code;
      if (std::filesystem::weakly_canonical(a.path, code) ==
              std::filesystem::weakly_canonical(b.path, code) ||
          std::filesystem::equivalent(a.path, b.path, code))
        throw tsdl::DataError(a.option, " and ", b.option, " name the same file: ", b.path);
    }
}

/// Streams the rows out: the text of millions of them would be several times the series itself.
void write_csv(tsdl::AtomicFile& file, const tsdl::Series<double>& series,
               const std::vector<std::int64_t>& times) {
  constexpr std::size_t chunk = std::size_t{1} << 20;
  std::string text = "time";
  for (const std::string& name : series.names) (text += ',') += name;
  text += '\n';
  for (Index row = 0; row < series.rows; ++row) {
    text += tsdl::format_time(times[static_cast<std::size_t>(row)]);
    const double* value = series.column(row);
    for (Index i = 0; i < series.features; ++i) {
      text += ',';
      if (tsdl::is_finite(value[i])) text += examples::format_exact(value[i]);
    }
    text += '\n';
    if (text.size() < chunk) continue;
    file.write(text);
    text.clear();
  }
  file.write(text);
}

/// "from row 33 (2000-02-18) on, 5,072 rows", or that there is none.
std::string complete_rows(const tsdl::Series<double>& series,
                          const std::vector<std::int64_t>& times) {
  Index first = series.rows, count = 0;
  for (Index row = series.rows; row-- > 0;)
    if (series.is_complete(row)) first = row, ++count;
  if (count == 0) return "no row";
  return "from row " + format_count(first) + " (" +
         tsdl::format_time(times[static_cast<std::size_t>(first)]) + ") on, " +
         format_count(count) + " rows";
}

std::string span_of(const std::vector<std::int64_t>& times) {
  return format_count(static_cast<Index>(times.size())) + " rows, " +
         tsdl::format_time(times.front()) + " to " + tsdl::format_time(times.back());
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// Frees the directory of a file to come of what killed runs left there.
/// Throws: Error when the file cannot be one.
void prepare_file(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) throw tsdl::Error(path.string(), ": is a directory");
  tsdl::remove_stale_temporaries(path.has_parent_path() ? path.parent_path() : ".");
}

int run(const Options& o) {
  require_distinct(o);
  const tsdl::Candles candles = tsdl::read_candles(o.data);
  const tsdl::TimeGaps gaps = tsdl::find_gaps(candles);
  if (o.refuse_gaps) tsdl::refuse_gaps(gaps, o.data);
  const tsdl::Series<double> series = tsdl::engineer_features(candles, o.features);
  std::vector<std::int64_t> times;
  for (const tsdl::Candle& candle : candles.rows) times.push_back(candle.time);
  const std::string complete = complete_rows(series, times);

  // Neither file appears before both are written.
  prepare_file(o.out);
  if (!o.picture.empty()) prepare_file(o.picture);
  tsdl::AtomicFile csv(o.out);
  write_csv(csv, series, times);
  if (!o.picture.empty()) {
    const std::string title = o.features + ": " + format_count(series.features) + " features of " +
                              std::filesystem::path(o.data).filename().string();
    tsdl::AtomicFile picture(o.picture);
    picture.write(examples::small_multiples(series, times, title,
                                            span_of(times) + "; complete: " + complete));
    picture.commit();
  }
  csv.commit();

  say("data", o.data + ": " + span_of(times));
  say("gaps", to_string(gaps));
  say("features",
      o.features + ", " + std::to_string(series.features) + ": " + listed(series.names));
  say("complete", complete);
  say("written", o.out);
  if (!o.picture.empty()) say("picture", o.picture);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Write features made from candles as CSV, empty while they warm up.", "features");
  Options options;
  describe(app, options);
  return examples::run_program(app, argc, argv, [&] { return run(options); });
}
