// Predicts candle by candle, as a live process does: from a file, or from standard input as its
// lines come. Prints each prediction at once, and at the end how long they took.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <tsdl/core/file.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/serve/streaming.hpp>
#include <utility>
#include <vector>

#include "support/latency.hpp"
#include "support/lines.hpp"
#include "support/models.hpp"
#include "support/predictions.hpp"
#include "support/program.hpp"
#include "support/signals.hpp"
#include "support/validators.hpp"

namespace {

using tsdl::Index;

struct Options {
  std::string model, data = "-", mode = "rerun", histogram, restore, snapshot;
  std::optional<tsdl::Index> max_steps{};
};

/// A StreamingPredictor, its predictions on standard output, and its times.
template <class Stream>
class Session {
 public:
  Session(Stream& stream, const Options& options) : stream_(stream), options_(options) {}

  void candle(const tsdl::Candle& candle, const std::string& where) {
    take(
        where, [&] { return stream_.push(candle); },
        [&] { return tsdl::format_time(candle.time); });
  }
  void features(std::span<const double> row, const std::optional<std::int64_t>& time,
                const std::string& where) {
    take(
        where, [&] { return stream_.push_features(row); },
        [&] { return time ? tsdl::format_time(*time) : std::to_string(taken_ - 1); });
  }
  /// Whether the model holds as many rows as it can: it takes no more.
  bool is_full() const noexcept { return stream_.is_full(); }

  /// A line that could not be read: said, and left out.
  void refuse(const std::string& what) {
    ++refused_;
    std::fprintf(stderr, "stream: %s\n", what.c_str());
  }

  void finish() const {
    std::fflush(stdout);
    std::fprintf(
        stderr, "%s rows, %s predictions%s\n", examples::format_count(taken_).c_str(),
        examples::format_count(latencies_.count()).c_str(),
        refused_ == 0 ? "" : (", " + examples::format_count(refused_) + " refused").c_str());
    if (latencies_.count() == 0) return;
    std::fputs(examples::latency_table(latencies_).c_str(), stderr);
    if (options_.histogram.empty()) return;
    const tsdl::Config config = stream_.model().describe();
    tsdl::write_file(
        options_.histogram,
        examples::latency_chart(
            latencies_, "Time from candle to prediction",
            config.kind + ", " + std::to_string(stream_.model().inputs()) + " features, " +
                examples::format_count(stream_.model().parameter_count()) +
                " parameters, windows of " + std::to_string(stream_.recipe().length) + ", " +
                options_.mode + ", " + examples::format_count(latencies_.count()) +
                " predictions"));
  }

 private:
  template <class Push, class Name>
  void take(const std::string& where, const Push& push, const Name& name) {
    const auto start = std::chrono::steady_clock::now();
    const tsdl::Prediction prediction = push();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (prediction.status == tsdl::Prediction::Status::refused)
      return refuse(where + stream_.fault());
    ++taken_;
    if (prediction.status == tsdl::Prediction::Status::not_finite)
      std::fprintf(stderr, "stream: %s%s\n", where.c_str(), stream_.fault().c_str());
    if (!prediction) return;
    latencies_.add(elapsed.count());
    std::fputs(examples::predictions_line(name(), prediction.values).c_str(), stdout);
    stream_.prepare();
  }

  Stream& stream_;
  const Options& options_;
  examples::Latencies latencies_;
  Index taken_ = 0, refused_ = 0;
};

/// A file, from its first row to its last.
template <class Stream>
void replay(Session<Stream>& session, const tsdl::Recipe& recipe, const std::string& path) {
  if (!recipe.features.empty()) {
    const tsdl::Candles candles = tsdl::read_candles(path);
    for (const tsdl::Candle& candle : candles.rows) {
      if (examples::StopSignals::requested() || session.is_full()) return;
      session.candle(candle, path + ": ");
    }
    return;
  }
  const tsdl::Table table =
      tsdl::read_table(path, {.feature_columns = recipe.columns, .label_column = {}});
  for (Index row = 0; row < table.features.rows; ++row) {
    if (examples::StopSignals::requested() || session.is_full()) return;
    std::optional<std::int64_t> time;
    if (!table.time.empty()) time = table.time[static_cast<std::size_t>(row)];
    session.features({table.features.column(row), recipe.columns.size()}, time, path + ": ");
  }
}

/// Standard input, whose first line is the header. A line that is wrong is said and left out.
template <class Stream>
void follow(Session<Stream>& session, const tsdl::Recipe& recipe) {
  examples::Lines lines(STDIN_FILENO, [] { return examples::StopSignals::requested() != 0; });
  std::string header, line;
  if (!lines.next(header)) throw tsdl::FormatError("standard input: it is empty");
  while (!session.is_full() && lines.next(line)) {
    if (line.empty()) continue;
    const std::string where = "standard input:" + std::to_string(lines.number()) + ": ";
    try {
      const std::string text = header + '\n' + line;
      if (recipe.features.empty()) {
        const tsdl::Table table = tsdl::parse_table(
            text, "line", {.feature_columns = recipe.columns, .label_column = {}});
        std::optional<std::int64_t> time;
        if (!table.time.empty()) time = table.time.front();
        session.features({table.features.column(0), recipe.columns.size()}, time, where);
      } else {
        session.candle(tsdl::parse_candles(text, "line")[0], where);
      }
    } catch (const tsdl::Error& error) {
      // The parser saw the line as the second of a file called "line": its column stays.
      std::string what = error.what();
      if (what.starts_with("line:1:")) throw tsdl::FormatError("standard input:1:", what.substr(7));
      if (what.starts_with("line:2:")) what.erase(0, 7);
      session.refuse(where.substr(0, where.size() - 1) + what);
    }
    std::fflush(stdout);
  }
}

std::vector<std::byte> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file && text.empty()) throw tsdl::Error(path, ": cannot be read");
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

int stream(const Options& o) {
  auto loaded = tsdl::load_any_model<float>(o.model);
  const bool carries = o.mode == "carry";
  if (o.max_steps && !carries)
    throw tsdl::OptionError("--max-steps has no effect without --mode carry");
  if (carries && !o.max_steps && loaded.model.describe().kind == "transformer")
    throw tsdl::OptionError(
        "--mode carry: a transformer keeps keys and values of every row: say for how many with "
        "--max-steps");
  tsdl::StreamingPredictor predictor(
      std::move(loaded.model), std::move(loaded.recipe),
      {carries ? tsdl::StreamMode::carry : tsdl::StreamMode::rerun, o.max_steps.value_or(0)});
  if (!o.restore.empty()) predictor.restore(read_bytes(o.restore));
  const tsdl::FloatModeGuard guard;
  const examples::StopSignals signals;
  Session session(predictor, o);
  std::fputs(
      examples::predictions_header(predictor.model().task(), predictor.recipe(), true).c_str(),
      stdout);
  std::fflush(stdout);
  if (o.data == "-")
    follow(session, predictor.recipe());
  else
    replay(session, predictor.recipe(), o.data);
  session.finish();
  if (!o.snapshot.empty()) {
    const std::vector<std::byte> bytes = predictor.snapshot();
    tsdl::write_file(o.snapshot, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  if (!session.is_full()) return 0;
  std::fprintf(stderr, "stream: stopped: the model keeps no more than --max-steps %lld rows\n",
               static_cast<long long>(o.max_steps.value_or(0)));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Predict candle by candle with a model that train_bilstm or train_baseline wrote.",
               "stream");
  app.footer("Predictions go to standard output as they come, times to standard error at the end.");
  Options options;
  app.option_defaults()->always_capture_default();
  app.add_option("--model", options.model, "Model file: best.safetensors")->required();
  app.add_option("--data", options.data,
                 "CSV like the one it was trained on, - for standard input");
  app.add_option("--mode", options.mode,
                 "rerun: each window anew, as predict; carry: one step a candle")
      ->check(CLI::IsMember({"rerun", "carry"}));
  app.add_option(
         "--max-steps", options.max_steps,
         "Of --mode carry and a transformer: the most rows, whose keys and\nvalues it keeps")
      ->check(examples::whole_number(1, 1000000000));
  app.add_option("--histogram", options.histogram, "SVG to write: times as a histogram");
  app.add_option("--restore", options.restore, "Snapshot to go on from");
  app.add_option("--snapshot", options.snapshot, "Snapshot to write at the end");
  return examples::run_program(app, argc, argv, [&] { return stream(options); });
}
