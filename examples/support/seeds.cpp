// Trains with several seeds at once, or on the folds of a cross-validation, on a pool of workers.
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
#include "tsdl/select/baselines.hpp"
#include "tsdl/train/workers.hpp"

namespace examples {
namespace {

using tsdl::Index;

/// A training of its own: a seed, and of a cross-validation a fold, from 0.
struct Job {
  std::uint64_t seed = 0;
  Index fold = -1;
  std::string text(const char* between) const {
    return std::to_string(seed) + (fold < 0 ? "" : between + std::to_string(fold + 1));
  }
};

/// What all trainings read: candles or a table, or whole series.
struct Rows {
  std::optional<Cases> cases{};
  tsdl::Dataset dataset{};
  tsdl::Split split{};
};

/// One training; none when a signal stopped it. A fold leaves no files.
std::optional<tsdl::UnitResult> train_job(const TrainOptions& options, const Job& job,
                                          const Rows& rows) {
  TrainOptions o = options;
  o.seed = job.seed;
  FoldRun run{
      .dataset = &rows.dataset, .split = &rows.split, .epochs = o.max_epochs, .figure = "loss"};
  tsdl::Prepared<float> prepared;
  if (rows.cases) {
    prepared = rows.cases->prepare(job.seed, job.fold);
    run.prepared = &prepared;
  }
  if (job.fold < 0) {
    const std::filesystem::path out = std::filesystem::path(o.out) / ("seed-" + job.text(""));
    run.state = out / "last.state.safetensors";
    run.best = out / "best.safetensors";
    tsdl::make_directories(out);
    tsdl::remove_stale_temporaries(out);
    std::error_code code;
    if (!o.resume) std::filesystem::remove(run.state, code);
  }
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

std::string results_csv(const std::vector<Job>& jobs,
                        const std::vector<tsdl::UnitResult>& results) {
  std::string text = jobs.front().fold < 0 ? "seed,status,epochs,best_epoch"
                                           : "seed,fold,status,epochs,best_epoch";
  const auto& named = *std::max_element(
      results.begin(), results.end(),
      [](const auto& a, const auto& b) { return a.figures.size() < b.figures.size(); });
  for (const auto& figure : named.figures) text += ',' + figure.first;
  text += '\n';
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const tsdl::UnitResult& one = results[i];
    text += jobs[i].text(",") + ',' + one.status + ',' + std::to_string(one.epochs) + ',' +
            std::to_string(one.best_epoch);
    for (std::size_t f = 0; f < named.figures.size(); ++f)
      text += ',' + (f < one.figures.size() && is_finite(one.figures[f].second)
                         ? format_exact(one.figures[f].second)
                         : std::string());
    text += '\n';
  }
  return text;
}

/// The loss and the two most telling figures of each training, then their mean and deviation.
void print_results(const std::vector<Job>& jobs, const std::vector<tsdl::UnitResult>& results,
                   const std::string& part) {
  const char* what = jobs.front().fold < 0 ? "seed" : "fold";
  std::printf("\n%s\n%s%s", part.c_str(), pad_left(what, 8).c_str(), pad_left("epochs", 8).c_str());
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
  for (std::size_t i = 0; i < jobs.size(); ++i)
    line(jobs[i].text("/"), std::to_string(results[i].epochs), [&](std::size_t f) {
      return f < results[i].figures.size() ? results[i].figures[f].second
                                           : std::numeric_limits<double>::quiet_NaN();
    });
  line("mean", "", [&](std::size_t f) { return spread_of(results, f).first; });
  line("+-", "", [&](std::size_t f) { return spread_of(results, f).second; });
}

/// What always saying the commonest class of the judged cases would score, on the same cases.
double majority_accuracy(const tsdl::Prepared<float>& data) {
  const auto& judges = data.test.empty() ? data.validation : data.test;
  const tsdl::Task task = data.task();
  const tsdl::Matrix<double> p = tsdl::predict(tsdl::fit_constant(data.train, task), judges, task);
  return task->measure({p.data(), static_cast<std::size_t>(p.size())}, judges.targets())
      .majority_accuracy;
}

}  // namespace

int train_seeds(const TrainOptions& o) {
  const std::vector<std::uint64_t> seeds =
      o.seeds.empty() ? std::vector<std::uint64_t>{o.seed} : seeds_from(o.seeds);
  const Index folds = o.data.folds;
  std::vector<Job> jobs;
  for (const std::uint64_t seed : seeds)
    for (Index fold = 0; fold < std::max(folds, Index{1}); ++fold)
      jobs.push_back({seed, folds > 0 ? fold : Index{-1}});
  if (!o.tracking.target.empty())
    throw tsdl::OptionError("--seeds and --tracking: tune --seeds records its runs");
  if (o.explain) throw tsdl::OptionError("--explain does not go with --seeds: it is of one model");
  Rows rows;
  tsdl::Prepared<float> data;
  if (o.data.uses_cases()) {
    rows.cases.emplace(o.data);
    data = rows.cases->prepare(jobs.front().seed, jobs.front().fold);
  } else {
    const tsdl::Recipe recipe = recipe_of(o.data);
    rows.dataset = make_dataset(read_source(o, recipe), recipe);
    rows.split = tsdl::chronological_split(rows.dataset,
                                           {.validation = o.data.validation, .test = o.data.test});
    data = tsdl::prepare<float>(rows.dataset, rows.split);
    refuse_holes(o, data);
  }
  for (const auto& [label, text] : data_summary(o.data, source_of(o), data)) say(label, text);
  const Index workers = o.workers > 0 ? o.workers : tsdl::thread_count();
  const std::string each =
      ", " + std::to_string(std::min(workers, std::ssize(jobs))) + " at a time, each on one thread";
  if (folds > 0)
    say("folds", std::to_string(folds) + " of seed " +
                     (o.seeds.empty() ? std::to_string(o.seed) : o.seeds) + each);
  else
    say("seeds", o.seeds + each);
  if (rows.cases)
    say("majority", format_fixed(majority_accuracy(data), 4) +
                        " accuracy of always saying the commonest class");
  const StopSignals signals;
  std::mutex mutex;
  StudyProgress progress(0, std::ssize(jobs));
  progress.paint();
  std::vector<tsdl::UnitResult> results(jobs.size());
  bool stopped = false;
  tsdl::for_each_job(workers, std::ssize(jobs), [&](Index i, Index) {
    const auto at = static_cast<std::size_t>(i);
    std::optional<tsdl::UnitResult> result;
    if (StopSignals::requested() == 0) result = train_job(o, jobs[at], rows);
    const std::lock_guard lock(mutex);
    stopped = stopped || !result;
    if (result) results[at] = std::move(*result);
    progress.advance();
  });
  progress.clear();
  if (stopped) {
    std::puts(folds > 0 ? "\nstopped" : "\nstopped; --resume goes on with every seed");
    return 128 + StopSignals::requested();
  }
  const char* file = folds > 0 ? "folds.csv" : "seeds.csv";
  if (folds > 0) tsdl::make_directories(o.out);
  tsdl::write_file(std::filesystem::path(o.out) / file, results_csv(jobs, results));
  print_results(jobs, results,
                folds > 0 ? "the cases that each fold leaves out"
                : data.test.empty()
                    ? "validation, " + format_count(data.validation.size()) + " windows"
                    : "test, " + format_count(data.test.size()) + " windows");
  if (folds == 0) std::printf("\nmodels   %s/seed-*/best.safetensors", o.out.c_str());
  std::printf("\nfigures  %s/%s\n", o.out.c_str(), file);
  const bool scored = std::all_of(results.begin(), results.end(),
                                  [](const auto& one) { return is_finite(one.score); });
  return scored ? 0 : 1;
}

}  // namespace examples
