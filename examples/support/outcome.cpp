// Baselines, figures and the page of a run: the one place that compiles linear models.
#include "outcome.hpp"

#include <algorithm>
#include <utility>

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

tsdl::Report report_of(const tsdl::AnyModel<float>& model, const tsdl::Prepared<float>& data,
                       const tsdl::History& history, tsdl::ReportOptions options) {
  return tsdl::make_report(model, data, history, std::move(options));
}

void write_page(const std::filesystem::path& path, const tsdl::Report& report) {
  tsdl::write_report(path, report);
}

}  // namespace examples
