// Writes a model file as ONNX, for ONNX Runtime and whatever else reads it.
#include <cstdio>
#include <filesystem>
#include <string>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/io/onnx.hpp>

#include "support/models.hpp"
#include "support/program.hpp"

namespace {

struct Options {
  std::string model, out;
  tsdl::OnnxOptions onnx;
};

/// What goes in and what comes out: "features [batch, 50, 91] float64 to ...".
std::string description(const tsdl::OnnxOptions& options, const tsdl::Recipe& recipe,
                        const tsdl::AnyModel<float>& model) {
  const std::string length = options.dynamic_length ? "length" : std::to_string(recipe.length);
  const std::string windows = "[batch, " + length + ", " + std::to_string(model.inputs()) + "]";
  const std::string rows = tsdl::target_steps(model, 2) > 1 ? "batch, " + length : "batch";
  std::string text = options.include_scaler ? "features " + windows + " float64"
                                            : "scaled features " + windows + " float32";
  text += model.task()->classes() > 0 ? " to logits and probabilities" : " to prediction";
  text += " [" + rows + ", " + std::to_string(model.task()->predictions()) + "]";
  return text + (model.task()->classes() > 0 ? " float32" : " float64");
}

int export_onnx(const Options& o) {
  const auto loaded = tsdl::load_any_model<float>(o.model);
  const std::filesystem::path out(o.out);
  tsdl::remove_stale_temporaries(out.has_parent_path() ? out.parent_path() : ".");
  tsdl::save_onnx(out, loaded.model, loaded.recipe, o.onnx);
  std::printf("%s: %s\n", o.out.c_str(), description(o.onnx, loaded.recipe, loaded.model).c_str());
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
