// Trains several models on a pool of workers. Compiled once.
#include "jobs.hpp"

#include <algorithm>
#include <mutex>
#include <system_error>
#include <utility>

#include "signals.hpp"
#include "study_display.hpp"
#include "trial.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/train/workers.hpp"

namespace examples {

using tsdl::Index;

Rows read_rows(const TrainOptions& o, const Job& first) {
  Rows rows;
  if (o.data.uses_cases()) {
    rows.cases.emplace(o.data);
    rows.prepared = rows.cases->prepare(first.seed, first.fold);
    return rows;
  }
  const tsdl::Recipe recipe = recipe_of(o.data);
  rows.dataset = make_dataset(read_source(o, recipe), recipe);
  rows.split = tsdl::chronological_split(rows.dataset,
                                         {.validation = o.data.validation, .test = o.data.test});
  rows.prepared = tsdl::prepare<float>(rows.dataset, rows.split);
  refuse_holes(o, rows.prepared);
  return rows;
}

namespace {

/// The options of one training.
TrainOptions job_options(const TrainOptions& o, const Job& job) {
  TrainOptions its = o;
  its.seed = job.seed;
  if (!job.model.empty()) its.model = job.model;
  if (its.is_transformer()) its.input_projection = false;  // it has a linear input of its own
  return its;
}

Index workers_of(const TrainOptions& o) { return o.workers > 0 ? o.workers : tsdl::thread_count(); }

/// None when a signal stopped it.
std::optional<tsdl::UnitResult> train_job(const TrainOptions& options, const Job& job,
                                          const Rows& rows, bool own_split) {
  const TrainOptions o = job_options(options, job);
  FoldRun run{
      .dataset = &rows.dataset, .split = &rows.split, .epochs = o.max_epochs, .figure = "loss"};
  tsdl::Prepared<float> prepared;
  if (rows.cases) {
    if (own_split) prepared = rows.cases->prepare(job.seed, job.fold);
    run.prepared = own_split ? &prepared : &rows.prepared;
  }
  if (!job.folder.empty()) {
    run.state = job.folder / "last.state.safetensors";
    run.best = job.folder / "best.safetensors";
    tsdl::make_directories(job.folder);
    tsdl::remove_stale_temporaries(job.folder);
    std::error_code code;
    if (!o.resume) std::filesystem::remove(run.state, code);
  }
  return train_fold(o, run);
}

}  // namespace

std::string workers_text(const TrainOptions& o, Index jobs) {
  return std::to_string(std::min(workers_of(o), jobs)) + " at a time, each on one thread";
}

std::optional<std::vector<tsdl::UnitResult>> run_jobs(const TrainOptions& o,
                                                      const std::vector<Job>& jobs,
                                                      const Rows& rows, bool own_split) {
  std::mutex mutex;
  StudyProgress progress(0, std::ssize(jobs));
  progress.paint();
  std::vector<tsdl::UnitResult> results(jobs.size());
  bool stopped = false;
  tsdl::for_each_job(workers_of(o), std::ssize(jobs), [&](Index i, Index) {
    const auto at = static_cast<std::size_t>(i);
    std::optional<tsdl::UnitResult> result;
    if (StopSignals::requested() == 0) result = train_job(o, jobs[at], rows, own_split);
    const std::lock_guard lock(mutex);
    stopped = stopped || !result;
    if (result) results[at] = std::move(*result);
    progress.advance();
  });
  progress.clear();
  if (stopped) return std::nullopt;
  return results;
}

}  // namespace examples
