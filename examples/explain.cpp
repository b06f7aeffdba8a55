// Explains a model's outputs: which columns and which rows of its windows they hang on, by
// integrated gradients or by permutation, for one window or a split.
#include <filesystem>
#include <string>
#include <tsdl/core/file.hpp>
#include <tsdl/explain/integrated_gradients.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/train/predict.hpp>
#include <utility>
#include <vector>

#include "support/explain_data.hpp"
#include "support/explain_results.hpp"
#include "support/models.hpp"
#include "support/program.hpp"
#include "support/report.hpp"
#include "support/validators.hpp"

namespace {

using examples::say;
using tsdl::Index;

struct Options {
  std::string model, data, method = "gradients", window, baseline = "zero", figure = "loss",
                           out = "explanation";
  examples::SplitChoice split{};
  Index steps = 50, most_steps = 0, output = 0, most_windows = 256, repeats = 10, block = 0;
  std::uint64_t seed = 0;
};

void describe(CLI::App& app, Options& o) {
  using namespace examples;
  app.option_defaults()->always_capture_default();
  app.add_option("model,--model", o.model, "Model file: best.safetensors")->required();
  app.add_option("data,--data", o.data, "CSV, or .ts, like the one it was\ntrained on")->required();
  app.add_option("--out", o.out, "Directory for CSV files and pictures");
  app.add_option("--method", o.method, "gradients (integrated) or permutation")
      ->check(one_of({"gradients", "permutation"}));
  app.add_option("--split", o.split.name, "Windows: train, validation, test or all")
      ->check(one_of({"train", "validation", "test", "all"}));
  app.add_option("--validation", o.split.fractions.validation, "Its share, as in training")
      ->check(number(share_above_zero));
  app.add_option("--test", o.split.fractions.test, "Its share, as in training")
      ->check(number(share));
  const std::string gradients = "Of gradients";
  const auto of_gradients = [&](CLI::Option* option) { return option->group(gradients); };
  of_gradients(
      app.add_option("--window", o.window,
                     "One window: the time of its last row (or\nits row, or case) as in the "
                     "data"));
  of_gradients(app.add_option("--baseline", o.baseline,
                              "zero (training means of scaled columns)\nor mean (the split's mean "
                              "window)"))
      ->check(one_of({"zero", "mean"}));
  of_gradients(app.add_option("--steps", o.steps, "Nodes between baseline and window"))
      ->check(whole_number(1, 10000));
  of_gradients(app.add_option("--most-steps", o.most_steps,
                              "Twice the nodes, up to so many, while the\nsum misses by more than "
                              "1e-6"))
      ->check(whole_number(0, 10000));
  of_gradients(app.add_option("--output", o.output, "Which of the model's outputs, from 0"))
      ->check(whole_number());
  of_gradients(app.add_option("--most-windows", o.most_windows,
                              "At most so many of the split, evenly\nspaced; 0: all"))
      ->check(whole_number());
  const std::string permutation = "Of permutation";
  const auto of_permutation = [&](CLI::Option* option) { return option->group(permutation); };
  of_permutation(app.add_option("--figure", o.figure, "loss, or a figure of the model's task"));
  of_permutation(app.add_option("--repeats", o.repeats, "Permutations of each part"))
      ->check(whole_number(1, 1000000));
  of_permutation(
      app.add_option("--block", o.block, "Rows permuted together; 0: a tenth of\nthe window"))
      ->check(whole_number());
  of_permutation(app.add_option("--seed", o.seed, "Of the permutations"))->check(whole_number());
}

/// Refuses the shares of a split where nothing is split. Throws: OptionError.
void refuse_fractions(const CLI::App& app, const std::string& where) {
  for (const char* option : {"--validation", "--test"})
    if (app.count(option) > 0) throw tsdl::OptionError(option, " has no effect on ", where);
}

/// Throws: OptionError when options contradict each other.
void check_together(const CLI::App& app, const Options& o) {
  const std::string other = o.method == "gradients" ? "Of permutation" : "Of gradients";
  for (const CLI::Option* option : app.get_options())
    if (option->get_group() == other && option->count() > 0)
      throw tsdl::OptionError(option->get_name(), " has no effect on --method ", o.method);
  if (!o.window.empty() && app.count("--most-windows") > 0)
    throw tsdl::OptionError("--most-windows is of a split, not of one --window");
  if (!o.window.empty() && o.baseline == "zero" && app.count("--split") > 0)
    throw tsdl::OptionError("--split has no effect on one --window with --baseline zero");
  if (o.most_steps > 0 && o.most_steps < 2 * o.steps)
    throw tsdl::OptionError("--most-steps: expected 0, or at least twice the ", o.steps,
                            " of --steps, got ", o.most_steps);
  if (o.split.name == "all") refuse_fractions(app, "--split all");
  if (!o.window.empty() && o.baseline == "zero")
    refuse_fractions(app, "one --window with --baseline zero");
  if (std::filesystem::exists(o.out) && !std::filesystem::is_directory(o.out))
    throw tsdl::Error("--out: ", o.out, " is no directory");
}

/// Files that are written together, at the end.
class Files {
 public:
  explicit Files(const std::string& folder) : folder_(folder) {}
  void add(const std::string& name, std::string text) { all_.emplace_back(name, std::move(text)); }
  /// Throws: Error when one cannot be written.
  void write() const {
    tsdl::make_directories(folder_);
    tsdl::remove_stale_temporaries(folder_);
    std::string names;
    for (const auto& [name, text] : all_) {
      tsdl::write_file(folder_ / name, text);
      names += (names.empty() ? "" : ", ") + (folder_ / name).string();
    }
    std::puts("");
    say("written", names);
  }

 private:
  std::filesystem::path folder_;
  std::vector<std::pair<std::string, std::string>> all_;
};

void finish(const examples::Explanation& explanation, const std::string& subtitle, Files& files) {
  using namespace examples;
  print_explanation(explanation);
  files.add("columns.csv", columns_csv(explanation));
  files.add("lags.csv", lags_csv(explanation));
  files.add("columns.svg",
            svg_document(column_figure(explanation), "Columns: " + explanation.measure, subtitle));
  files.add("lags.svg",
            svg_document(lag_figure(explanation), "Lags: " + explanation.measure, subtitle));
  files.write();
}

using Loaded = tsdl::LoadedModel<tsdl::AnyModel<float>>;

/// How well attributions add up, and with how many nodes.
std::string nodes_text(const std::vector<tsdl::Attribution>& all, const Options& o) {
  constexpr Index advised = 3200;
  Index least = all.front().nodes, most = least;
  double delta = 0;
  for (const tsdl::Attribution& one : all) {
    least = std::min(least, one.nodes);
    most = std::max(most, one.nodes);
    delta = std::max(delta, one.relative_delta());
  }
  return std::to_string(least) + (most > least ? " to " + std::to_string(most) : std::string()) +
         " nodes; the sums miss the change of the output by at most " +
         examples::format_rate(delta) + " of it, or of 1 where it is smaller" +
         (delta > 1e-6 && o.most_steps < advised && 2 * o.steps <= advised
              ? ": --most-steps " + std::to_string(advised) + " may bring it down"
              : std::string());
}

void print_window(const examples::ExplainData& data, Index window,
                  const tsdl::Attribution& attribution, const std::string& output, Files& files) {
  const std::vector<std::string>& columns = data.recipe.columns;
  const Index end = data.windows.end_row(window);
  std::vector<std::string> rows;
  for (Index t = 0; t < attribution.steps; ++t)
    rows.push_back(data.cases() ? std::to_string(t)
                                : data.row_name(end - attribution.steps + 1 + t));
  say("output", examples::format_exact(attribution.output) + " at the window, " +
                    examples::format_exact(attribution.baseline_output) +
                    " at the baseline; attributions add up to the difference, but for a delta of " +
                    examples::format_exact(attribution.delta));
  files.add("window.csv",
            examples::window_csv(attribution, columns, rows,
                                 data.times.empty() ? std::string("row") : std::string("time")));
  files.add(
      "window.svg",
      examples::svg_document(
          examples::heat_map_figure({columns, {rows.front(), rows.back()}, attribution.values}),
          "Attributions of the window " + data.window_name(window), "to " + output));
}

int by_gradients(const Options& o, const Loaded& loaded) {
  tsdl::IntegratedGradients explain(
      tsdl::widened(loaded.model),
      {.steps = o.steps, .output = o.output, .most_steps = o.most_steps});
  const bool set_needed = o.window.empty() || o.baseline == "mean";
  const auto data =
      examples::read_explain_data(loaded.recipe, o.data, set_needed && o.split.name != "all");
  std::vector<Index> windows;
  std::vector<double> baseline;
  if (set_needed) windows = examples::windows_of_split(data, o.split, false);
  if (o.baseline == "mean") {
    if (data.cases())
      throw tsdl::OptionError("--baseline mean: whole series have no mean window: use zero");
    baseline = tsdl::mean_window(examples::chosen_windows(data, windows));
  }
  const Index in_split = std::ssize(windows);
  windows = o.window.empty() ? examples::thinned(windows, o.most_windows)
                             : std::vector<Index>{examples::window_at(data, o.window)};
  std::vector<tsdl::Attribution> all;
  for (const Index i : windows) all.push_back(explain(data.windows, i, baseline));

  const std::string output = examples::output_name(loaded.model.task(), loaded.recipe, o.output);
  const std::string beside = o.baseline == "zero" ? "zeros" : "the mean window";
  std::string which = "the window " + data.window_name(windows.front());
  if (o.window.empty()) {
    which = o.split.name + ", " + examples::format_count(in_split) + " windows";
    if (std::ssize(windows) < in_split)
      which += ", " + examples::format_count(std::ssize(windows)) + " of them, evenly spaced";
  }
  say("data", o.data + ": " + which);
  say("method", "integrated gradients of " + output + ", from " + beside);
  say("sums", nodes_text(all, o));
  Files files(o.out);
  if (!o.window.empty()) print_window(data, windows.front(), all.front(), output, files);
  finish(
      examples::explanation_of(tsdl::attribution_means(all), loaded.recipe.columns, output, beside),
      which + "; " + output, files);
  return 0;
}

int by_permutation(const Options& o, const Loaded& loaded) {
  const tsdl::Task task = loaded.model.task().unweighted();
  std::vector<std::string_view> figures = task->figures();
  figures.insert(figures.begin(), "loss");
  if (std::find(figures.begin(), figures.end(), o.figure) == figures.end()) {
    std::string names;
    for (const std::string_view name : figures)
      names += (names.empty() ? "" : ", ") + std::string(name);
    throw tsdl::OptionError("--figure: expected one of ", names, ", got '", o.figure, "'");
  }
  const auto data = examples::read_explain_data(loaded.recipe, o.data, true);
  if (data.cases())
    throw tsdl::OptionError("--method permutation: ", o.data,
                            " holds whole series of their own lengths: use gradients");
  const auto windows =
      examples::chosen_windows(data, examples::windows_of_split(data, o.split, true));
  const auto found = tsdl::permutation_importance(
      windows, {.figure = o.figure, .repeats = o.repeats, .block = o.block, .seed = o.seed},
      [&](const auto& set) { return tsdl::evaluate(loaded.model, set, task); });
  const std::string which =
      o.split.name + ", " + examples::format_count(windows.size()) + " windows";
  say("data", o.data + ": " + which);
  say("method", "permutation of each column and each block of rows, " + std::to_string(o.repeats) +
                    " times, seed " + std::to_string(o.seed));
  say("figure", std::string(tsdl::figure_of(o.figure).title) + " " +
                    examples::format_loss(found.value) + " with nothing permuted");
  Files files(o.out);
  finish(examples::explanation_of(found, loaded.recipe.columns, windows.length()), which, files);
  return 0;
}

int run(const CLI::App& app, Options o) {
  check_together(app, o);
  const Loaded loaded = tsdl::load_any_model<float>(o.model);
  if (loaded.recipe.whole_series) refuse_fractions(app, "whole series");
  if (loaded.recipe.whole_series && app.count("--split") == 0) o.split.name = "all";
  say("model",
      loaded.model.describe().kind + " of " + std::to_string(loaded.model.inputs()) + " columns, " +
          (loaded.recipe.whole_series ? std::string("whole series")
                                      : "windows of " + std::to_string(loaded.recipe.length)));
  return o.method == "gradients" ? by_gradients(o, loaded) : by_permutation(o, loaded);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Say which columns and rows a model's outputs hang on.", "explain");
  Options options;
  describe(app, options);
  return examples::run_program(app, argc, argv, [&] { return run(app, options); });
}
