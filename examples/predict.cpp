// Predicts with a model file: the probability of each class for each window that the data holds.
#include <filesystem>
#include <string>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/nn/factory.hpp>
#include <variant>
#include <vector>

#include "support/predictions.hpp"
#include "support/program.hpp"

namespace {

using tsdl::Index;

struct Options {
  std::string model, data, out = "predictions.csv";
};

/// What is predicted on: windows, and the name of each row.
struct Input {
  tsdl::Windows<float> windows;
  std::vector<std::int64_t> times;  ///< empty: rows are numbered
};

Input read_input(const tsdl::Recipe& recipe, const std::string& path) {
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

std::string predictions_csv(const Input& input, const tsdl::Recipe& recipe,
                            const tsdl::Matrix<double>& probabilities) {
  const auto K = static_cast<std::size_t>(probabilities.rows());
  std::string text =
      examples::predictions_header(recipe, !input.times.empty(), probabilities.rows());
  for (Index i = 0; i < input.windows.size(); ++i) {
    const Index row = input.windows.end_row(i);
    const std::string name = input.times.empty()
                                 ? std::to_string(row)
                                 : tsdl::format_time(input.times[static_cast<std::size_t>(row)]);
    text += examples::predictions_line(name, {probabilities.col(i).data(), K});
  }
  return text;
}

int predict(const Options& o) {
  const auto loaded = tsdl::load_classifier<float>(o.model);
  const Input input = read_input(loaded.recipe, o.data);
  const tsdl::Matrix<double> probabilities = std::visit(
      [&](const auto& model) { return tsdl::predict(model, input.windows); }, loaded.model);
  examples::check_outputs(o.model, loaded.recipe, probabilities.rows());
  const std::filesystem::path out(o.out);
  tsdl::remove_stale_temporaries(out.has_parent_path() ? out.parent_path() : ".");
  tsdl::write_file(out, predictions_csv(input, loaded.recipe, probabilities));
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
  app.add_option("--data", options.data, "CSV like the one it was trained on")->required();
  app.add_option("--out", options.out, "CSV to write: time, probability of each class");
  return examples::run_program(app, argc, argv, [&] { return predict(options); });
}
