// Baselines, figures and the page of a run: the one place that compiles linear models.
#include "outcome.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "explain_results.hpp"
#include "tsdl/explain/integrated_gradients.hpp"
#include "tsdl/report/report.hpp"

namespace examples {

std::vector<tsdl::Baseline> fit_baselines(const tsdl::Prepared<float>& data,
                                          const tsdl::Task& task) {
  return tsdl::fit_baselines(data.train, data.validation, task);
}

std::vector<TrackedFigure> baseline_figures(const std::vector<tsdl::Baseline>& baselines,
                                            const tsdl::Windows<float>& windows,
                                            const tsdl::Task& task) {
  std::vector<TrackedFigure> all;
  if (windows.empty()) return all;
  const auto names = task->figures();
  for (const tsdl::Baseline& baseline : baselines) {
    if (task->classes() > 0 && baseline.kind == tsdl::Baseline::Kind::constant) continue;
    const tsdl::Matrix<double> p = tsdl::predict(baseline, windows, task);
    const tsdl::Metrics m =
        task->measure({p.data(), static_cast<std::size_t>(p.size())}, windows.targets());
    for (std::size_t i = 0; i < std::min<std::size_t>(2, names.size()); ++i)
      all.push_back(
          {baseline.name + '_' + std::string(names[i]), m.*tsdl::figure_of(names[i]).value});
  }
  return all;
}

namespace {

/// The output that is explained: of classes the last one's, of quantiles the first target's middle
/// one.
tsdl::Index explained_output(const tsdl::Task& task) {
  if (task->classes() > 0) return task->outputs() - 1;
  const tsdl::Config config = task->describe();
  return config.contains("levels") ? (std::ssize(config.numbers("levels")) - 1) / 2 : 0;
}

/// Integrated gradients of some of the windows that judge the model, and of the last one.
Explanation explain_model(const tsdl::AnyModel<float>& model, const tsdl::Prepared<float>& data) {
  constexpr tsdl::Index most = 128;
  const auto& windows = data.test.empty() ? data.validation : data.test;
  const tsdl::Index k = explained_output(model.task());
  tsdl::IntegratedGradients explain(tsdl::widened(model), {.output = k, .most_steps = 800});
  std::vector<tsdl::Attribution> all;
  const tsdl::Index count = std::min(most, windows.size());
  for (tsdl::Index i = 1; i <= count; ++i)
    all.push_back(explain(windows, i * windows.size() / count - 1));
  const std::vector<std::string>& columns = data.recipe.columns;
  Explanation result = explanation_of(tsdl::attribution_means(all), columns,
                                      output_name(model.task(), data.recipe, k), "training means");
  result.method += ", over " + format_count(count) + " windows";
  const tsdl::Attribution& last = all.back();
  result.window = HeatMap{columns, {}, last.values};
  result.window_name = "the last";
  if (!data.times.empty()) {
    const tsdl::Index end = windows.ends().back();
    const auto day = [&](tsdl::Index row) {
      return tsdl::format_time(data.times[static_cast<std::size_t>(row)]);
    };
    result.window->ends = {day(end - last.steps + 1), day(end)};
    result.window_name = day(end);
  }
  return result;
}

}  // namespace

tsdl::Report report_of(const tsdl::AnyModel<float>& model, const tsdl::Prepared<float>& data,
                       const tsdl::History& history, tsdl::ReportOptions options, bool explain) {
  if (explain) options.explanation = explain_model(model, data);
  return tsdl::make_report(model, data, history, std::move(options));
}

void write_page(const std::filesystem::path& path, const tsdl::Report& report) {
  tsdl::write_report(path, report);
}

}  // namespace examples
