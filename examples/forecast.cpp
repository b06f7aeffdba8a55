// Trains a forecaster on many series, or on one, and judges it on rows that it has not seen:
// several steps ahead, with intervals, beside forecasts that need no network.
//
// support/forecast_*.hpp has its options, data, model and figures.
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/csv.hpp"
#include "support/forecast_judge.hpp"
#include "support/forecast_model.hpp"
#include "support/forecast_options.hpp"
#include "support/logging.hpp"
#include "support/outcome.hpp"
#include "support/program.hpp"
#include "support/signals.hpp"
#include "support/training.hpp"
#include "tsdl/data/panel_apply.hpp"
#include "tsdl/report/forecast_sections.hpp"
#include "tsdl/serve/forecast_stream.hpp"

namespace {

using namespace examples;
using tsdl::Index;
using Trainer = tsdl::Trainer<Forecaster>;

/// A table of figures, a line for each forecast.
void print_figures(const std::vector<Judged>& all) {
  const bool scaled = all.front().own.targets() > 1;
  std::printf("\n  %-20s %9s %9s %9s %9s\n", "", scaled ? "MSE *" : "MSE", scaled ? "MAE *" : "MAE",
              "MASE", "sMAPE");
  for (const Judged& one : all) {
    const tsdl::StepFigures own = one.own.overall();
    const tsdl::StepFigures shown = scaled ? one.scaled.overall() : own;
    std::printf("  %-20s %9s %9s %9s %9s\n", one.name.c_str(), format_loss(shown.mse).c_str(),
                format_loss(shown.mae).c_str(), format_loss(own.mase).c_str(),
                format_loss(own.smape).c_str());
  }
  if (scaled) std::puts("  * of scaled values, which the columns share");
}

/// The steps whose figures are shown: the first, the quarters and the last, from 0.
std::vector<Index> shown_steps(Index H) {
  std::vector<Index> steps;
  for (const std::size_t step : tsdl::report::internal::shown_steps(static_cast<std::size_t>(H)))
    steps.push_back(static_cast<Index>(step));
  return steps;
}

/// The model's figures by step, then those of its intervals.
void print_steps(const Judged& model) {
  const Index H = model.own.steps();
  std::printf("\n  %-20s", "rows ahead");
  for (const Index h : shown_steps(H)) std::printf(" %9td", h + 1);
  std::printf("\n  %-20s", "MAE of scaled values");
  for (const Index h : shown_steps(H))
    std::printf(" %9s", format_loss(model.scaled.step(h).mae).c_str());
  const tsdl::StepFigures all = model.own.overall();
  for (std::size_t c = 0; c < all.intervals.size(); ++c) {
    const std::string name = format_exact(100 * all.intervals[c].meant) + "% interval";
    std::printf("\n  %-20s", (name + " covers").c_str());
    for (const Index h : shown_steps(H))
      std::printf(" %8s%%", format_fixed(100 * model.own.step(h).intervals[c].coverage, 1).c_str());
    std::printf("\n  %-20s %8s%% of all, mean width %s, MSIS %s", "",
                format_fixed(100 * all.intervals[c].coverage, 1).c_str(),
                format_loss(all.intervals[c].width).c_str(),
                format_loss(all.intervals[c].msis).c_str());
  }
  std::puts("");
}

std::string forecasts_header(const std::vector<double>& coverages, bool times) {
  std::string text = times ? "series,time,step,target,forecast" : "series,row,step,target,forecast";
  for (const double coverage : coverages) {
    const std::string percent = format_exact(100 * coverage);
    text += ",low_" + percent + ",high_" + percent;
  }
  return text + ",truth\n";
}

/// A line for each step and target of a forecast, whose first step is `row` of a series.
void add_lines(std::string& text, const std::string& series, const tsdl::TimeAxis& times, Index row,
               const std::vector<std::string>& targets, std::span<const double> point,
               std::span<const tsdl::Interval> intervals, const std::vector<double>& truths) {
  const std::size_t K = targets.size();
  for (std::size_t at = 0; at < point.size(); ++at) {
    const Index ahead = static_cast<Index>(at / K);
    text +=
        series + ',' +
        (times.empty() ? std::to_string(row + ahead) : tsdl::format_time(times.at(row + ahead))) +
        ',' + std::to_string(ahead + 1) + ',' + csv_field(targets[at % K]) + ',' +
        format_exact(point[at]);
    for (std::size_t c = at; c < intervals.size(); c += point.size())
      text += ',' + format_exact(intervals[c].low) + ',' + format_exact(intervals[c].high);
    text += ',' + (is_finite(truths[at]) ? format_exact(truths[at]) : std::string()) + '\n';
  }
}

void add_forecast(std::string& text, const Windows& windows, Index i, const PanelForecast& forecast,
                  const std::vector<std::string>& targets) {
  const auto& data = windows.data();
  const auto series = static_cast<std::size_t>(windows.series(i));
  add_lines(text, data.names[series], data.times[series], windows.row_in_series(i) + 1, targets,
            forecast.point, forecast.intervals, windows.truths(i));
}

/// Fan charts of a page: of the last window of as many series, or targets, as fit.
constexpr std::size_t most_fans = 6;

/// Judges the model on the test windows, or on those of validation where there are none, and writes
/// forecasts.csv and report.html.
void judge(const ForecastRun& o, const Forecaster& model, const PanelData& data,
           const std::optional<tsdl::IntervalWidths>& fitted, const TrainingOptions& training,
           const CLI::App& app) {
  const bool tested = !data.test.empty();
  // Validation rows chose the epoch: what intervals cover there would say nothing.
  const std::optional<tsdl::IntervalWidths> widths = tested ? fitted : std::nullopt;
  const Windows& part = tested ? data.test : data.validation;
  if (part.empty()) {
    say_paragraph(
        "Nothing is left to judge the forecasts on: --test and --validation have no window.");
    return;
  }
  const Windows windows = o.rolling ? part : thinned(part, o.horizon);
  const std::vector<double> coverages = widths ? widths->coverages : std::vector<double>();
  std::string csv = forecasts_header(coverages, !windows.data().times.front().empty());
  tsdl::ForecastReport page{.title = "Forecasts by " + training.subject,
                            .subtitle = training.subtitle,
                            .summary = training.summary,
                            .settings = settings_of(app)};
  Index written = -1;
  const std::vector<Judged> all =
      judge_forecaster(model, data, windows, widths, [&](Index i, const PanelForecast& forecast) {
        const bool last = i + 1 == windows.size() || windows.series(i + 1) != windows.series(i);
        if (last)
          for (Index k = 0; k < windows.data().target_count(); ++k)
            if (page.contents.fans.size() < most_fans)
              page.contents.fans.push_back(
                  fan_of(windows, i, forecast, coverages, data.recipe.targets, k));
        if (written >= 0 && windows.series(written) == windows.series(i) &&
            windows.end_row(i) - windows.end_row(written) < o.horizon)
          return;
        written = i;
        add_forecast(csv, windows, i, forecast, data.recipe.targets);
      });
  std::printf("\n%s, %s forecasts\n", tested ? "test" : "validation",
              format_count(windows.size()).c_str());
  print_figures(all);
  print_steps(all.front());
  tsdl::write_file(training.files.out / "forecasts.csv", csv);
  const bool scaled = all.front().own.targets() > 1;
  for (const Judged& one : all) {
    auto column = tsdl::report::ForecastColumn::of(one.name, one.own);
    (&one == &all.front() ? page.contents.model : page.contents.baselines.emplace_back()) =
        std::move(column);
  }
  page.contents.samples = std::string(tested ? "test" : "validation") + " windows" +
                          (scaled ? ", all targets in their own units" : "");
  if (widths)
    page.contents.intervals =
        "split-conformal, on " + format_count(data.calibration.size()) + " windows";
  tsdl::write_forecast_report(training.files.report(), page);
  tsdl::write_file(training.files.out / "forecasts.svg",
                   tsdl::report::fan_chart(page.contents.fans, training.subtitle));
}

/// Whether a model has learnt what to do with categories that are not known, if it has any.
bool learns_unknown(const Forecaster& model) {
  return model.describe().number("unknown_share", 1) > 0;
}

/// Takes rows one by one, and says after each how often the intervals have held.
int follow(const ForecastRun& o, const tsdl::LoadedForecaster<float>& loaded, tsdl::Panel panel) {
  if (loaded.scores.empty())
    throw tsdl::DataError(o.load, ": it has no calibration: train with --intervals");
  const tsdl::PanelRecipe& recipe = loaded.recipe;
  if (!recipe.future.empty())
    throw tsdl::OptionError("--follow: columns known beforehand come with the rows to forecast");
  if (!recipe.calendar.empty()) {
    for (const tsdl::PanelSeries& one : panel.series)
      if (!one.times.is_even())
        throw tsdl::DataError("--follow: the times of series ", one.name,
                              " are not evenly spaced: the calendar ahead is not known");
    tsdl::internal::add_rows_ahead(panel, recipe.horizon);
    tsdl::add_calendar(panel, recipe.calendar);
  }
  const bool allow_unknown = learns_unknown(loaded.model);
  const std::vector<double>& coverages = loaded.widths->coverages;
  const Index H = recipe.horizon, K = std::ssize(recipe.targets), F = recipe.future_count();
  std::string csv = forecasts_header(coverages, panel.has_times());
  std::vector<Index> places;
  for (const std::string& column : recipe.columns) places.push_back(panel.column(column));
  tsdl::ForecastFigures adaptive(H, K, coverages), split(H, K, coverages);
  for (const tsdl::PanelSeries& one : panel.series) {
    tsdl::ForecastStream<Forecaster> stream(loaded.model, recipe,
                                            {.name = one.name,
                                             .statics = one.statics,
                                             .categories = one.categories,
                                             .allow_unknown = allow_unknown},
                                            loaded.scores,
                                            {.coverages = coverages, .gamma = o.gamma});
    const Index rows = one.values.rows - (F > 0 ? H : 0);
    std::vector<double> row(places.size()), known;
    for (Index r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < places.size(); ++i) row[i] = one.values.column(r)[places[i]];
      known.clear();
      for (Index h = 1; F > 0 && h <= H; ++h)
        for (Index f = 0; f < F; ++f)
          known.push_back(one.values.column(
              r + h)[places[static_cast<std::size_t>(recipe.first_future() + f)]]);
      const auto said = stream.push(row, known);
      if (!said) continue;
      std::vector<double> truths;
      for (Index h = 1; h <= H; ++h)
        for (const std::string& target : loaded.recipe.targets)
          truths.push_back(r + h < one.values.rows ? one.values.column(r + h)[panel.column(target)]
                                                   : tsdl::Metrics::undefined);
      adaptive.add(truths, said->point, said->intervals);
      split.add(truths, said->point,
                tsdl::conformal_intervals(*loaded.widths, said->low, said->high, stream.spreads()));
      if (r + 1 < rows && r % H != 0) continue;
      add_lines(csv, one.name, one.times, r + 1, recipe.targets, said->point, said->intervals,
                truths);
    }
  }
  std::printf("\n  %-20s %12s %12s\n", "", "adaptive", "as trained");
  const tsdl::StepFigures a = adaptive.overall(), s = split.overall();
  for (std::size_t c = 0; c < coverages.size(); ++c) {
    const auto line = [](const std::string& name, const std::string& x, const std::string& y) {
      std::printf("  %-20s %12s %12s\n", name.c_str(), x.c_str(), y.c_str());
    };
    line(format_exact(100 * coverages[c]) + "% covers",
         format_fixed(100 * a.intervals[c].coverage, 1) + '%',
         format_fixed(100 * s.intervals[c].coverage, 1) + '%');
    line("mean width", format_loss(a.intervals[c].width), format_loss(s.intervals[c].width));
  }
  tsdl::write_file(std::filesystem::path(o.out) / "forecasts.csv", csv);
  std::printf("\nforecasts %s/forecasts.csv\n", o.out.c_str());
  return 0;
}

/// Forecasts what follows the rows of the files.
int load(ForecastRun& o) {
  const auto loaded = tsdl::load_forecaster<float>(o.load);
  const tsdl::PanelRecipe& recipe = loaded.recipe;
  o.statics = recipe.static_columns;
  o.categories = recipe.category_columns;
  std::vector<std::string> columns = recipe.columns;
  const std::vector<std::string> made = tsdl::calendar_columns(recipe.calendar);
  std::erase_if(columns,
                [&](const std::string& one) { return tsdl::internal::contains(made, one); });
  tsdl::Panel panel = read_files(o, o.files, std::move(columns));
  tsdl::make_directories(o.out);
  if (o.follow) return follow(o, loaded, std::move(panel));
  std::vector<std::string> too_short;
  const Windows windows = tsdl::panel_windows<float>(
      std::move(panel), recipe, {.allow_unknown = learns_unknown(loaded.model)}, &too_short);
  const std::vector<double> coverages =
      loaded.widths ? loaded.widths->coverages : std::vector<double>();
  std::string csv = forecasts_header(coverages, !windows.data().times.front().empty());
  ForecastRunner runner(loaded.model, windows, loaded.widths);
  runner.run([&](Index i, const PanelForecast& forecast) {
    add_forecast(csv, windows, i, forecast, recipe.targets);
  });
  const std::filesystem::path file = std::filesystem::path(o.out) / "forecasts.csv";
  tsdl::write_file(file, csv);
  if (!too_short.empty())
    say("too short", format_count(std::ssize(too_short)) + " series: " + some_of(too_short));
  std::printf("%s forecasts of %td rows in %s\n", format_count(windows.size()).c_str(),
              recipe.horizon, file.c_str());
  return 0;
}

TrainingOptions training_options(const ForecastRun& o, const CLI::App& app, TextLines lines) {
  TrainingOptions options{.files = {o.out},
                          .patience = o.patience,
                          .reduce_lr_patience = 0,
                          .resume = o.resume,
                          .subject = "a " + forecaster_name(o.model),
                          .subtitle = std::to_string(o.horizon) + " rows ahead, windows of " +
                                      std::to_string(o.length) + ", seed " + std::to_string(o.seed),
                          .summary = std::move(lines),
                          .config = app.config_to_str(true)};
  if (o.model == "lstm") options.subject = "an LSTM";
  if (o.decay < 1)
    options.decay = tsdl::ExponentialDecay{.factor = o.decay, .constant_epochs = o.constant_epochs};
  return options;
}

int train(const ForecastRun& o, const CLI::App& app) {
  tsdl::Panel panel = read_panel_of(o);
  const Index series = std::ssize(panel.series), rows = panel.rows();
  const PanelData data =
      tsdl::prepare_panel<float>(std::move(panel), panel_recipe_of(o), panel_split_of(o));
  refuse_unknown_categories(o, data);
  for (const double coverage : o.intervals)
    if (const Index least = tsdl::least_scores(coverage); data.calibration.size() < least)
      throw tsdl::DataError("--intervals ", coverage, " needs at least ", least,
                            " calibration windows, got ", data.calibration.size(),
                            ": give --calibration more rows");
  const tsdl::Task task = forecast_task(o, data.recipe);
  Forecaster model = make_forecaster(o, data.recipe, task);
  Trainer trainer(model, forecast_trainer(o, task));
  tsdl::make_directories(o.out);
  tsdl::remove_stale_temporaries(o.out);
  TextLines lines = panel_lines(o, data, series, rows);
  lines.emplace_back("model", forecaster_name(o.model) + ", " + std::to_string(o.hidden) +
                                  " units, " + format_count(model.parameter_count()) +
                                  " parameters, seed " + std::to_string(o.seed));
  say_summary(lines);
  TrainingOptions options = training_options(o, app, std::move(lines));
  Log log(app.get_name());
  options.on_start = [&] {
    log.open(options.files.log(), o.log_format == "json", spdlog::level::from_str(o.log_level));
  };
  const StopSignals signals;
  TrackedRun tracked(o.tracking, app, o.model + ", seed " + std::to_string(o.seed),
                     options.files.out, log);
  const tsdl::History history = run_training(trainer, data, options, tracked, log);
  if (history.status != tsdl::Status::interrupted && history.best_epoch > 0) {
    std::optional<tsdl::Calibration> calibration;
    if (!o.intervals.empty()) {
      calibration = calibrate(model, data.calibration, o.intervals);
      tsdl::save_forecaster(options.files.best(), model, data.recipe, calibration, o.seed);
    }
    judge(o, model, data, calibration ? std::optional(calibration->widths) : std::nullopt, options,
          app);
    print_files(options.files);
  }
  end_tracking(tracked, history.status, options.files);
  return exit_status(history.status);
}

int run(ForecastRun& o, const CLI::App& app) {
  check_together(app, o);
  if (o.threads > 0) tsdl::set_thread_count(static_cast<int>(o.threads));
  return o.load.empty() ? train(o, app) : load(o);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Forecast many series, several steps ahead, with intervals.", "forecast");
  ForecastRun options;
  describe(app, options);
  return run_program(app, argc, argv, [&] { return run(options, app); });
}
