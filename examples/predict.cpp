// Predicts with a model file: one probability for each window that the data holds.
#include <filesystem>
#include <string>
#include <tsdl/bilstm.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <vector>

#include "support/program.hpp"
#include "support/report.hpp"

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

std::string predictions_csv(const Input& input, const tsdl::Matrix<double>& probabilities) {
  std::string text = input.times.empty() ? "row" : "time";
  if (probabilities.rows() == 1)
    text += ",probability";
  else
    for (Index k = 0; k < probabilities.rows(); ++k) text += ",probability_" + std::to_string(k);
  text += '\n';
  for (Index i = 0; i < input.windows.size(); ++i) {
    const Index row = input.windows.end_row(i);
    text += input.times.empty() ? std::to_string(row)
                                : tsdl::format_time(input.times[static_cast<std::size_t>(row)]);
    for (Index k = 0; k < probabilities.rows(); ++k)
      text += ',' + examples::format_exact(probabilities(k, i));
    text += '\n';
  }
  return text;
}

template <class Model>
int predict(const Options& o) {
  const auto loaded = tsdl::load_model<Model>(o.model);
  const Input input = read_input(loaded.recipe, o.data);
  const tsdl::Matrix<double> probabilities = tsdl::predict(loaded.model, input.windows);
  const std::filesystem::path out(o.out);
  tsdl::remove_stale_temporaries(out.has_parent_path() ? out.parent_path() : ".");
  tsdl::write_file(out, predictions_csv(input, probabilities));
  std::printf("%s predictions in %s\n", examples::format_count(input.windows.size()).c_str(),
              o.out.c_str());
  return 0;
}

int run(const Options& o) {
  const std::string kind = tsdl::read_model_info(o.model).kind;
  if (kind == tsdl::BiLSTMClassifier<float>::kind())
    return predict<tsdl::BiLSTMClassifier<float>>(o);
  if (kind == tsdl::LSTMClassifier<float>::kind()) return predict<tsdl::LSTMClassifier<float>>(o);
  throw tsdl::FormatError(o.model, ": a model of kind '", kind, "' is not known");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Predict with a model that train_bilstm wrote.", "predict");
  Options options;
  app.option_defaults()->always_capture_default();
  app.add_option("--model", options.model, "Model file: best.safetensors")->required();
  app.add_option("--data", options.data, "CSV like the one it was trained on")->required();
  app.add_option("--out", options.out, "CSV to write: time, probability");
  return examples::run_program(app, argc, argv, [&] { return run(options); });
}
