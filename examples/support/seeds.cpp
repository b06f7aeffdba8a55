// Trains with several seeds at once, or on the folds of a cross-validation, on a pool of workers.
#include "seeds.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "data.hpp"
#include "jobs.hpp"
#include "names.hpp"
#include "report.hpp"
#include "signals.hpp"
#include "study_display.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/select/baselines.hpp"

namespace examples {
namespace {

using tsdl::Index;

/// A seed, and of a cross-validation its fold from 1.
std::string text_of(const Job& job, const char* between) {
  return std::to_string(job.seed) + (job.fold < 0 ? "" : between + std::to_string(job.fold + 1));
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
    text += text_of(jobs[i], ",") + ',' + one.status + ',' + std::to_string(one.epochs) + ',' +
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
    line(text_of(jobs[i], "/"), std::to_string(results[i].epochs), [&](std::size_t f) {
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
      if (folds > 0)
        jobs.push_back({.seed = seed, .fold = fold});
      else
        jobs.push_back({.seed = seed,
                        .folder = std::filesystem::path(o.out) / ("seed-" + std::to_string(seed))});
  if (!o.tracking.target.empty())
    throw tsdl::OptionError("--seeds and --tracking: tune --seeds records its runs");
  if (o.explain) throw tsdl::OptionError("--explain does not go with --seeds: it is of one model");
  if (o.calibrate)
    throw tsdl::OptionError("--calibrate does not go with --seeds: it is of one model");
  const Rows rows = read_rows(o, jobs.front());
  const tsdl::Prepared<float>& data = rows.prepared;
  for (const auto& [label, text] : data_summary(o.data, source_of(o), data)) say(label, text);
  const std::string each = ", " + workers_text(o, std::ssize(jobs));
  if (folds > 0)
    say("folds", std::to_string(folds) + " of seed " +
                     (o.seeds.empty() ? std::to_string(o.seed) : o.seeds) + each);
  else
    say("seeds", o.seeds + each);
  if (rows.cases)
    say("majority", format_fixed(majority_accuracy(data), 4) +
                        " accuracy of always saying the commonest class");
  const StopSignals signals;
  const auto trained = run_jobs(o, jobs, rows, true);
  if (!trained) {
    std::puts(folds > 0 ? "\nstopped" : "\nstopped; --resume goes on with every seed");
    return 128 + StopSignals::requested();
  }
  const std::vector<tsdl::UnitResult>& results = *trained;
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
