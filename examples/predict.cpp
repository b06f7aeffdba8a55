// Predicts with a model file, for each window that the data holds: the probability of each class,
// numbers or quantiles, as its task says.
#include <filesystem>
#include <string>
#include <tsdl/data/whole_series.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/train/predict.hpp>
#include <vector>

#include "support/predictions.hpp"
#include "support/program.hpp"

namespace {

using tsdl::Index;

struct Options {
  std::string model, data, out = "predictions.csv";
  bool classes = false;
};

/// What is predicted on: windows, and the name of each row.
struct Input {
  tsdl::Windows<float> windows;
  std::vector<std::int64_t> times;  ///< empty: rows are numbered
};

Input read_input(const tsdl::Recipe& recipe, const std::string& path) {
  if (recipe.whole_series) return {tsdl::apply_cases<float>(recipe, tsdl::read_ts(path)), {}};
  if (recipe.features.empty()) {
    const auto table =
        tsdl::read_table(path, {.feature_columns = recipe.columns, .label_column = {}});
    return {tsdl::apply<float>(recipe, table), table.time};
  }
  const tsdl::Candles candles = tsdl::read_candles(path);
  Input input{tsdl::apply<float>(recipe, candles), {}};
  for (const tsdl::Candle& candle : candles.rows) input.times.push_back(candle.time);
  return input;
}

/// `taken`: the class that each window is taken for, written as its label; empty: not asked for.
std::string predictions_csv(const Input& input, const tsdl::Recipe& recipe, const tsdl::Task& task,
                            const tsdl::Matrix<double>& values, const std::vector<Index>& taken) {
  const auto P = static_cast<std::size_t>(values.rows());
  const std::vector<std::string> labels = examples::class_names(recipe);
  std::string text = examples::predictions_header(task, recipe, !input.times.empty(),
                                                  taken.empty() ? "" : ",class");
  for (Index i = 0; i < input.windows.size(); ++i) {
    const Index row = input.windows.end_row(i);
    const std::string name = recipe.whole_series ? std::to_string(i + 1)
                             : input.times.empty()
                                 ? std::to_string(row)
                                 : tsdl::format_time(input.times[static_cast<std::size_t>(row)]);
    std::string more;
    if (!taken.empty())
      more = ',' + labels[static_cast<std::size_t>(taken[static_cast<std::size_t>(i)])];
    text += examples::predictions_line(name, {values.col(i).data(), P}, more);
  }
  return text;
}

int predict(const Options& o) {
  const auto loaded = tsdl::load_any_model<float>(o.model);
  const tsdl::Task task = loaded.model.task();
  if (o.classes && task->classes() == 0)
    throw tsdl::OptionError("--classes: ", o.model, " holds a task of kind ", task->describe().kind,
                            ", which has no classes");
  const Input input = read_input(loaded.recipe, o.data);
  const tsdl::Matrix<double> values = tsdl::predict(loaded.model, input.windows);
  std::vector<Index> taken;
  if (o.classes) taken = tsdl::predicted_classes(loaded.model, input.windows);
  const std::filesystem::path out(o.out);
  tsdl::remove_stale_temporaries(out.has_parent_path() ? out.parent_path() : ".");
  tsdl::write_file(out, predictions_csv(input, loaded.recipe, task, values, taken));
  std::printf("%s predictions in %s\n", examples::format_count(input.windows.size()).c_str(),
              o.out.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Predict with a model that train_bilstm or train_baseline wrote.", "predict");
  Options options;
  app.option_defaults()->always_capture_default();
  app.add_option("--model", options.model, "Model file: best.safetensors")->required();
  app.add_option("--data", options.data, "CSV, or .ts, like the one it was trained on")->required();
  app.add_option("--out", options.out, "CSV to write: time, what is predicted");
  app.add_flag("--classes", options.classes,
               "A column more: the class that each window is taken for");
  return examples::run_program(app, argc, argv, [&] { return predict(options); });
}
