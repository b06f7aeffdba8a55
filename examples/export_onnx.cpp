// Writes a model file as ONNX, for ONNX Runtime and whatever else reads it.
#include <cstdio>
#include <filesystem>
#include <string>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/io/onnx.hpp>
#include <variant>

#include "support/program.hpp"

namespace {

struct Options {
  std::string model, out;
  tsdl::OnnxOptions onnx;
};

/// "[batch, 50, 91]".
std::string shape_of(const std::string& middle, tsdl::Index last) {
  return "[batch, " + middle + std::to_string(last) + "]";
}

int export_onnx(const Options& o) {
  const auto loaded = tsdl::load_classifier<float>(o.model);
  const std::filesystem::path out(o.out);
  tsdl::remove_stale_temporaries(out.has_parent_path() ? out.parent_path() : ".");
  tsdl::save_onnx(out, loaded.model, loaded.recipe, o.onnx);
  const tsdl::ClassifierOptions& sizes = std::visit(
      [](const auto& model) -> const tsdl::ClassifierOptions& { return model.options(); },
      loaded.model);
  const std::string length =
      o.onnx.dynamic_length ? "length" : std::to_string(loaded.recipe.length);
  std::printf("%s: features %s %s, %s %s float32\n", o.out.c_str(),
              shape_of(length + ", ", sizes.input_size).c_str(),
              o.onnx.include_scaler ? "float64" : "float32, scaled,",
              loaded.recipe.regression ? "to prediction" : "to logits and probabilities",
              shape_of("", sizes.outputs).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Write a model that train_bilstm or train_baseline made as an ONNX file.",
               "export_onnx");
  Options options;
  app.option_defaults()->always_capture_default();
  app.add_option("MODEL", options.model, "Model file: best.safetensors")->required();
  app.add_option("OUT", options.out, "ONNX file to write: model.onnx")->required();
  app.add_flag("--scaler,!--no-scaler", options.onnx.include_scaler,
               "Take features as they are, in float64, and scale them in the file;\n"
               "--no-scaler: take scaled features in float32");
  app.add_flag("--any-length", options.onnx.dynamic_length,
               "Take windows of any length, not only of that trained on");
  app.footer(
      "In Python, with windows x, batch x length x features as the metadata tsdl.columns name "
      "them:\n"
      "  session = onnxruntime.InferenceSession(\"model.onnx\")\n"
      "  probabilities, = session.run([\"probabilities\"], {\"features\": x})");
  return examples::run_program(app, argc, argv, [&] { return export_onnx(options); });
}
