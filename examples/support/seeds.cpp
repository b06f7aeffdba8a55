// Trains with several seeds at once, on a pool of workers.
#include "seeds.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data.hpp"
#include "names.hpp"
#include "report.hpp"
#include "signals.hpp"
#include "study_display.hpp"
#include "trial.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/train/workers.hpp"

namespace examples {
namespace {

using tsdl::Index;

std::filesystem::path directory_of(const TrainOptions& o, std::uint64_t seed) {
  return std::filesystem::path(o.out) / ("seed-" + std::to_string(seed));
}

/// The run of one seed; none when a signal stopped it.
std::optional<tsdl::UnitResult> train_seed(const TrainOptions& options, std::uint64_t seed,
                                           const tsdl::Dataset& dataset, const tsdl::Split& split) {
  TrainOptions o = options;
  o.seed = seed;
  const std::filesystem::path out = directory_of(o, seed);
  const FoldRun run{.dataset = &dataset,
                    .split = &split,
                    .epochs = o.max_epochs,
                    .figure = "loss",
                    .state = out / "last.state.safetensors",
                    .best = out / "best.safetensors"};
  tsdl::make_directories(out);
  tsdl::remove_stale_temporaries(out);
  std::error_code code;
  if (!o.resume) std::filesystem::remove(run.state, code);
  return train_fold(o, run);
}

/// Mean and deviation (n - 1) of figure i over the seeds that have it.
std::pair<double, double> spread_of(const std::vector<tsdl::UnitResult>& results, std::size_t i) {
  double n = 0, mean = 0, squares = 0;
  for (const tsdl::UnitResult& one : results) {
    if (one.figures.size() <= i || !is_finite(one.figures[i].second)) continue;
    const double d = one.figures[i].second - mean;
    n += 1;
    mean += d / n;
    squares += d * (one.figures[i].second - mean);
  }
  const double none = std::numeric_limits<double>::quiet_NaN();
  return {n > 0 ? mean : none, n > 1 ? std::sqrt(squares / (n - 1)) : none};
}

std::string seeds_csv(const std::vector<std::uint64_t>& seeds,
                      const std::vector<tsdl::UnitResult>& results) {
  std::string text = "seed,status,epochs,best_epoch";
  const auto& named = *std::max_element(
      results.begin(), results.end(),
      [](const auto& a, const auto& b) { return a.figures.size() < b.figures.size(); });
  for (const auto& figure : named.figures) text += ',' + figure.first;
  text += '\n';
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const tsdl::UnitResult& one = results[i];
    text += std::to_string(seeds[i]) + ',' + one.status + ',' + std::to_string(one.epochs) + ',' +
            std::to_string(one.best_epoch);
    for (std::size_t f = 0; f < named.figures.size(); ++f)
      text += ',' + (f < one.figures.size() && is_finite(one.figures[f].second)
                         ? format_exact(one.figures[f].second)
                         : std::string());
    text += '\n';
  }
  return text;
}

/// The loss and the two most telling figures of each seed, then their mean and deviation.
void print_seeds(const std::vector<std::uint64_t>& seeds,
                 const std::vector<tsdl::UnitResult>& results, const std::string& part) {
  std::printf("\n%s\n%s%s", part.c_str(), pad_left("seed", 8).c_str(),
              pad_left("epochs", 8).c_str());
  const auto& first = results.front().figures;
  const std::size_t shown = std::min<std::size_t>(3, first.size());
  for (std::size_t f = 0; f < shown; ++f)
    std::fputs(pad_left(tsdl::figure_of(first[f].first).short_title, 12).c_str(), stdout);
  std::puts("");
  const auto line = [&](const std::string& head, const std::string& epochs, const auto& value) {
    std::fputs((pad_left(head, 8) + pad_left(epochs, 8)).c_str(), stdout);
    for (std::size_t f = 0; f < shown; ++f)
      std::fputs(pad_left(figure_text(tsdl::figure_of(first[f].first), value(f)), 12).c_str(),
                 stdout);
    std::puts("");
  };
  for (std::size_t i = 0; i < seeds.size(); ++i)
    line(std::to_string(seeds[i]), std::to_string(results[i].epochs), [&](std::size_t f) {
      return f < results[i].figures.size() ? results[i].figures[f].second
                                           : std::numeric_limits<double>::quiet_NaN();
    });
  line("mean", "", [&](std::size_t f) { return spread_of(results, f).first; });
  line("+-", "", [&](std::size_t f) { return spread_of(results, f).second; });
}

}  // namespace

int train_seeds(const TrainOptions& o) {
  const std::vector<std::uint64_t> seeds = seeds_from(o.seeds);
  if (!o.tracking.target.empty())
    throw tsdl::OptionError("--seeds and --tracking: tune --seeds records its runs");
  const tsdl::Recipe recipe = recipe_of(o.data);
  const tsdl::Dataset dataset = make_dataset(read_source(o, recipe), recipe);
  const tsdl::Split split =
      tsdl::chronological_split(dataset, {.validation = o.data.validation, .test = o.data.test});
  const tsdl::Prepared<float> data = tsdl::prepare<float>(dataset, split);
  refuse_holes(o, data);
  for (const auto& [label, text] : data_summary(o.data, source_of(o), data)) say(label, text);
  const Index workers = o.workers > 0 ? o.workers : tsdl::thread_count();
  say("seeds", o.seeds + ", " + std::to_string(std::min(workers, std::ssize(seeds))) +
                   " at a time, each on one thread");
  const StopSignals signals;
  std::mutex mutex;
  StudyProgress progress(0, std::ssize(seeds));
  progress.paint();
  std::vector<tsdl::UnitResult> results(seeds.size());
  bool stopped = false;
  tsdl::for_each_job(workers, std::ssize(seeds), [&](Index i, Index) {
    const auto at = static_cast<std::size_t>(i);
    std::optional<tsdl::UnitResult> result;
    if (StopSignals::requested() == 0) result = train_seed(o, seeds[at], dataset, split);
    const std::lock_guard lock(mutex);
    stopped = stopped || !result;
    if (result) results[at] = std::move(*result);
    progress.advance();
  });
  progress.clear();
  if (stopped) {
    std::puts("\nstopped; --resume goes on with every seed");
    return 128 + StopSignals::requested();
  }
  tsdl::write_file(std::filesystem::path(o.out) / "seeds.csv", seeds_csv(seeds, results));
  print_seeds(seeds, results,
              data.test.empty() ? "validation, " + format_count(data.validation.size()) + " windows"
                                : "test, " + format_count(data.test.size()) + " windows");
  std::printf("\nmodels   %s/seed-*/best.safetensors\nfigures  %s/seeds.csv\n", o.out.c_str(),
              o.out.c_str());
  const bool scored = std::all_of(results.begin(), results.end(),
                                  [](const auto& one) { return is_finite(one.score); });
  return scored ? 0 : 1;
}

}  // namespace examples
