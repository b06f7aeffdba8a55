// Trains several models and averages what they predict. Compiled once.
#include "ensemble.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data.hpp"
#include "jobs.hpp"
#include "logging.hpp"
#include "model.hpp"
#include "names.hpp"
#include "outcome.hpp"
#include "report.hpp"
#include "seeds.hpp"
#include "signals.hpp"
#include "training.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/io/ensemble.hpp"
#include "tsdl/train/calibrate.hpp"

namespace examples {
namespace {

using tsdl::Index;

/// A trained member, and what it is worth alone.
struct Member {
  std::string kind, name;
  std::uint64_t seed = 0;
  double weight = 0, validation_loss = tsdl::Metrics::undefined;
  tsdl::UnitResult result{};
};

std::string kinds_text(const TrainOptions& o) {
  std::string text;
  for (const std::string& kind : o.ensemble) text += (text.empty() ? "" : ", ") + model_name(kind);
  return text;
}

std::vector<Job> jobs_of(const TrainOptions& o) {
  const std::vector<std::uint64_t> seeds =
      o.seeds.empty() ? std::vector<std::uint64_t>{o.seed} : seeds_from(o.seeds);
  std::vector<Job> jobs;
  for (const std::uint64_t seed : seeds)
    for (const std::string& kind : o.ensemble)
      jobs.push_back({.seed = seed,
                      .model = kind,
                      .folder = std::filesystem::path(o.out) / "members" /
                                (kind + '-' + std::to_string(seed))});
  return jobs;
}

/// Of each member the kind, the seed, its weight, its loss on the validation windows, and its
/// figures on the windows that judge the ensemble; then the same figures of the ensemble and of the
/// baselines.
std::string members_csv(const std::vector<Member>& members, const Evaluation& together) {
  const auto& named = members.front().result.figures;
  std::string text = "model,seed,weight,epochs,best_epoch,validation_loss";
  for (const auto& figure : named) text += ',' + figure.first;
  text += '\n';
  const auto add = [&](double value) {
    text += ',' + (is_finite(value) ? format_exact(value) : std::string());
  };
  for (const Member& one : members) {
    text += one.kind + ',' + std::to_string(one.seed) + ',' + format_exact(one.weight) + ',' +
            std::to_string(one.result.epochs) + ',' + std::to_string(one.result.best_epoch);
    add(one.validation_loss);
    for (const auto& figure : one.result.figures) add(figure.second);
    text += '\n';
  }
  const auto row = [&](const std::string& name, const tsdl::Metrics& metrics) {
    text += name + ",,,,,";
    for (const auto& figure : named) add(metrics.*tsdl::figure_of(figure.first).value);
    text += '\n';
  };
  row("ensemble", together.metrics);
  for (const BaselineResult& one : together.baselines) row(one.name, one.metrics);
  return text;
}

/// The weight of each member, its losses and its two most telling figures.
void print_members(const std::vector<Member>& members, const std::string& part) {
  std::printf("\nmembers; figures: %s\n%s%s%s%s", part.c_str(), pad_right("", 20).c_str(),
              pad_left("weight", 8).c_str(), pad_left("epochs", 8).c_str(),
              pad_left("valid loss", 12).c_str());
  const auto& named = members.front().result.figures;
  const std::size_t shown = std::min<std::size_t>(3, named.size());
  for (std::size_t f = 0; f < shown; ++f)
    std::fputs(pad_left(tsdl::figure_of(named[f].first).short_title, 12).c_str(), stdout);
  std::puts("");
  for (const Member& one : members) {
    std::printf("%s%s%s%s", pad_right(one.name, 20).c_str(),
                pad_left(format_fixed(one.weight, 3), 8).c_str(),
                pad_left(std::to_string(one.result.epochs), 8).c_str(),
                pad_left(format_loss(one.validation_loss), 12).c_str());
    for (std::size_t f = 0; f < shown; ++f)
      std::fputs(
          pad_left(figure_text(tsdl::figure_of(named[f].first), one.result.figures[f].second), 12)
              .c_str(),
          stdout);
    std::puts("");
  }
}

/// Loads the members and makes one model of them. Throws: tsdl::Error when one never had a finite
/// loss.
Model combine(const TrainOptions& o, const std::vector<Job>& jobs,
              const std::vector<tsdl::UnitResult>& results, const tsdl::Prepared<float>& data,
              std::vector<Member>& members) {
  std::vector<std::filesystem::path> files;
  for (std::size_t m = 0; m < jobs.size(); ++m) {
    Member one{.kind = jobs[m].model,
               .name = model_name(jobs[m].model) + ", seed " + std::to_string(jobs[m].seed),
               .seed = jobs[m].seed,
               .result = results[m]};
    if (results[m].best_epoch == 0)
      throw tsdl::Error("the ensemble is not written: the loss of its member ", one.name,
                        " was never finite");
    files.push_back(jobs[m].folder / "best.safetensors");
    members.push_back(std::move(one));
  }
  tsdl::Ensemble<float> ensemble = tsdl::load_ensemble<float>(files).model;
  if (o.ensemble_weights == "fitted")
    ensemble.set_weights(tsdl::fit_weights(ensemble, data.validation));
  for (std::size_t m = 0; m < members.size(); ++m) {
    members[m].weight = ensemble.weights()[m];
    if (!data.validation.empty()) {
      const Model one = ensemble.member(static_cast<Index>(m));
      members[m].validation_loss =
          tsdl::evaluate(one, data.validation, one.task().unweighted()).loss;
    }
  }
  Model model = std::move(ensemble);
  calibrate(model, o, data);
  return model;
}

/// The members that are trained, and what is made of them, once data and options are known to be
/// good.
int fit_ensemble(const TrainOptions& o, const CLI::App& app, const std::vector<Job>& jobs,
                 const Rows& rows, TextLines lines, Log& log) {
  const tsdl::Prepared<float>& data = rows.prepared;
  TrainingOptions options{
      .files = {o.out},
      .subject = "an ensemble of " + std::to_string(jobs.size()) + " on " + source_name(o),
      .subtitle = kinds_text(o),
      .test_option = o.data.uses_cases() ? "--test-data FILE" : "--test 0.15",
      .explain = o.explain,
      .by_class = o.details == "full",
      .config = app.config_to_str(true)};
  const StopSignals signals;
  TrackedRun tracked(o.tracking, app, "ensemble", options.files.out, log);
  tracked.start();
  const auto trained = run_jobs(o, jobs, rows, false);
  if (!trained) {
    tracked.end(tsdl::RunStatus::killed, {});
    log.info("end", {{"status", "interrupted"}});
    std::puts("\nstopped; --resume goes on with every member");
    return 128 + StopSignals::requested();
  }
  std::vector<Member> members;
  const Model model = combine(o, jobs, *trained, data, members);
  const std::filesystem::path table = options.files.out / "members.csv";
  std::error_code code;  // an earlier run's would stand beside this one's model
  std::filesystem::remove(options.files.report(), code);
  std::filesystem::remove(table, code);
  tsdl::save_model(options.files.best(), model, data.recipe, jobs.front().seed);
  tsdl::write_file(options.files.config(), options.config);
  print_members(members, data.test.empty()
                             ? "validation, " + format_count(data.validation.size()) + " windows"
                             : "test, " + format_count(data.test.size()) + " windows");
  for (const Member& one : members) {
    std::string text = one.name + ", weight " + format_fixed(one.weight, 3);
    if (is_finite(one.validation_loss))
      text += ", validation loss " + format_loss(one.validation_loss);
    lines.emplace_back("member", std::move(text));
    log.info("member", {{"model", one.kind},
                        {"seed", one.seed},
                        {"weight", one.weight},
                        {"validation_loss", one.validation_loss}});
  }
  if (o.calibrate) log.info("calibration", {{"temperature", model.task()->temperature()}});
  options.summary = std::move(lines);
  options.ending = std::to_string(members.size()) + " members, " + o.ensemble_weights + " weights";
  const std::vector<tsdl::Baseline> baselines = fit_baselines(data, model.task());
  const Evaluation together = tell_outcome(model, data, baselines, options, {}, 0, app, tracked);
  tsdl::write_file(table, members_csv(members, together));
  report_outcome(together, data, options.by_class, log);
  log.info("end", {{"status", "finished"}});
  std::printf("\nmodel    %s\nmembers  %s\nreport   %s\n", options.files.best().c_str(),
              table.c_str(), options.files.report().c_str());
  tracked.end(tsdl::RunStatus::finished,
              {options.files.best(), table, options.files.report(), options.files.config()},
              options.files.best());
  if (const std::string location = tracked.location(); !location.empty())
    std::printf("tracking %s\n", location.c_str());
  return 0;
}

}  // namespace

int train_ensemble(const TrainOptions& o, const CLI::App& app, const std::string& warning) {
  const std::vector<Job> jobs = jobs_of(o);
  constexpr Index most = tsdl::Ensemble<float>::most_members;
  if (jobs.size() < 2 || std::ssize(jobs) > most)
    throw tsdl::OptionError("--ensemble: expected 2 to ", most, " members, got ", jobs.size(),
                            ": one of each kind, or of each kind with each of --seeds");
  const Rows rows = read_rows(o, {.seed = o.seed});
  TextLines lines = data_summary(o.data, source_of(o), rows.prepared);
  lines.emplace_back("ensemble", kinds_text(o) + "; " + std::to_string(jobs.size()) + " members, " +
                                     o.ensemble_weights + " weights; " +
                                     workers_text(o, std::ssize(jobs)));
  for (const auto& [label, text] : lines) say(label, text);
  tsdl::make_directories(o.out);
  tsdl::remove_stale_temporaries(o.out);
  Log log(app.get_name());
  try {
    log.open(RunFiles{o.out}.log(), o.log_format == "json", spdlog::level::from_str(o.log_level));
    if (!warning.empty()) log.warn(warning);
    log.info("run", {{"members", jobs.size()}, {"data", source_of(o)}, {"seed", o.seed}});
    return fit_ensemble(o, app, jobs, rows, std::move(lines), log);
  } catch (const std::exception& error) {
    log.fatal("the run failed", {{"error", error.what()}});
    throw;
  }
}

}  // namespace examples
