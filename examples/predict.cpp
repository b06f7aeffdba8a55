// Predicts with a model file, for each window that the data holds: the probability of each class,
// numbers or quantiles, as its task says.
#include <filesystem>
#include <optional>
#include <string>
#include <tsdl/core/file.hpp>
#include <tsdl/data/whole_series.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/train/predict.hpp>
#include <vector>

#include "support/models.hpp"
#include "support/predictions.hpp"
#include "support/program.hpp"

namespace {

using tsdl::Index;

struct Options {
  std::string model, data, out = "predictions.csv", attention{};
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

std::string row_name(const Input& input, const tsdl::Recipe& recipe, Index i) {
  if (recipe.whole_series) return std::to_string(i + 1);
  const Index row = input.windows.end_row(i);
  return input.times.empty() ? std::to_string(row)
                             : tsdl::format_time(input.times[static_cast<std::size_t>(row)]);
}

/// The attention weights of each window, oldest row first; rows before a shorter window are empty.
std::string attention_csv(const Input& input, const tsdl::Recipe& recipe,
                          const tsdl::Matrix<double>& weights) {
  std::string text = !input.times.empty() ? "time" : recipe.whole_series ? "case" : "row";
  for (Index lag = weights.rows(); lag-- > 0;) text += ",lag_" + std::to_string(lag);
  text += '\n';
  for (Index i = 0; i < weights.cols(); ++i) {
    const auto lengths = input.windows.lengths(i, 1);
    const Index length = lengths.empty() ? weights.rows() : lengths[0];
    text += row_name(input, recipe, i);
    for (Index lag = weights.rows(); lag-- > 0;) {
      text += ',';
      if (lag < length) text += examples::format_exact(weights(lag, i));
    }
    text += '\n';
  }
  return text;
}

/// `taken`: the class that each window is taken for, written as its label; empty: not asked for.
std::string predictions_csv(const Input& input, const tsdl::Recipe& recipe, const tsdl::Task& task,
                            const tsdl::Matrix<double>& values, const std::vector<Index>& taken) {
  const auto P = static_cast<std::size_t>(values.rows());
  const std::vector<std::string> labels = examples::class_names(recipe);
  std::string text = examples::predictions_header(task, recipe, !input.times.empty(),
                                                  taken.empty() ? "" : ",class");
  for (Index i = 0; i < input.windows.size(); ++i) {
    std::string more;
    if (!taken.empty())
      more = ',' + labels[static_cast<std::size_t>(taken[static_cast<std::size_t>(i)])];
    text += examples::predictions_line(row_name(input, recipe, i), {values.col(i).data(), P}, more);
  }
  return text;
}

int predict(const Options& o) {
  namespace files = std::filesystem;
  // Absolute first: of a file that is not there yet, weakly_canonical leaves "a" and "./a" apart.
  const auto place = [](const std::string& path) {
    return files::weakly_canonical(files::absolute(path));
  };
  if (!o.attention.empty() && place(o.attention) == place(o.out))
    throw tsdl::OptionError("--attention: ", o.attention, " is also --out");
  const auto loaded = tsdl::load_any_model<float>(o.model);
  const tsdl::Task task = loaded.model.task();
  if (o.classes && task->classes() == 0)
    throw tsdl::OptionError("--classes: ", o.model, " holds a task of kind ", task->describe().kind,
                            ", which has no classes");
  const Input input = read_input(loaded.recipe, o.data);
  const tsdl::Matrix<double> values = tsdl::predict(loaded.model, input.windows);
  std::vector<Index> taken;
  if (o.classes) taken = tsdl::predicted_classes(loaded.model, input.windows);
  tsdl::Matrix<double> weights;
  if (!o.attention.empty()) {
    weights = tsdl::attention_weights(loaded.model, input.windows);
    if (weights.size() == 0 && input.windows.size() > 0)
      throw tsdl::OptionError("--attention: the model of ", o.model,
                              " has no attention pooling, and so no weights");
  }
  const std::filesystem::path out(o.out);
  tsdl::remove_stale_temporaries(out.has_parent_path() ? out.parent_path() : ".");
  tsdl::AtomicFile predictions(out);
  std::optional<tsdl::AtomicFile> attention;
  if (!o.attention.empty()) attention.emplace(o.attention);
  predictions.write(predictions_csv(input, loaded.recipe, task, values, taken));
  if (attention) attention->write(attention_csv(input, loaded.recipe, weights));
  predictions.commit();
  if (attention) attention->commit();
  std::printf("%s predictions in %s\n", examples::format_count(input.windows.size()).c_str(),
              o.out.c_str());
  if (attention) std::printf("attention weights in %s\n", o.attention.c_str());
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
  app.add_option("--attention", options.attention,
                 "CSV to write: how much of each row of a window\n"
                 "attention pooling reads")
      ->type_name("FILE");
  return examples::run_program(app, argc, argv, [&] { return predict(options); });
}
