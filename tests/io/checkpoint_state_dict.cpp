// State dicts between tsdl and PyTorch, in both directions, by tests/goldens/state_dict.py.
//
// What PyTorch wrote once is committed. With TSDL_PYTHON set to a python that has torch, new files
// are exchanged both ways.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "io/checkpoint_helpers.hpp"
#include "support/files.hpp"
#include "support/network.hpp"

namespace {

using test::Index;
using test::TemporaryDirectory;

/// Runs the script; its exit status.
int run_script(const std::string& python, const std::string& arguments) {
  const std::string command =
      "'" + python + "' -B '" TSDL_SOURCE_DIR "/tests/goldens/state_dict.py' " + arguments;
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

std::string quoted(const std::filesystem::path& path) {
  const std::string text = path.string();
  return "'" + text + "'";
}

/// Loads weights.safetensors of a directory, strictly, and compares predictions for
/// windows.safetensors.
template <class Model>
void check_reads(const std::filesystem::path& directory) {
  using Scalar = typename Model::Scalar;
  const Index I = 3, T = 7, N = 9, K = 2;
  Model model({.input_size = I, .hidden_size = 5, .num_layers = 2, .outputs = K}, 17);
  const std::string before = test::weight_bytes(model);
  tsdl::load_state_dict(model, directory / "weights.safetensors");
  CHECK((test::weight_bytes(model) != before));

  tsdl::TensorFile windows = tsdl::read_safetensors(directory / "windows.safetensors");
  auto series =
      std::make_shared<tsdl::Series<Scalar>>(tsdl::Series<Scalar>::sized({"a", "b", "c"}, N * T));
  std::vector<double> expected(static_cast<std::size_t>(N * K));
  windows.copy_to("x", {N, T, I}, series->values.span());
  windows.copy_to("probabilities", {N, K}, std::span<double>(expected));
  std::vector<Index> ends;
  for (Index n = 0; n < N; ++n) ends.push_back(n * T + T - 1);
  const tsdl::Matrix<double> predicted =
      tsdl::predict(model, tsdl::Windows<Scalar>(series, T, T, ends, {}));
  const std::vector<double> flat(predicted.data(), predicted.data() + predicted.size());
  CHECK(test::largest_difference(flat, expected) <= 1e-6);
  double low = 1, high = 0;
  for (const double p : expected) {
    low = std::min(low, p);
    high = std::max(high, p);
  }
  CHECK(high - low > 0.1);  // else any weights would do
}

/// Saves a model and its predictions, plus `nudge`, into a new directory for PyTorch to check.
template <class Model>
void write_for_torch(const std::filesystem::path& directory, const tsdl::ClassifierOptions& options,
                     double nudge = 0.0) {
  using Scalar = typename Model::Scalar;
  tsdl::make_directories(directory);
  const auto candles = test::random_candles(200, 8);
  const auto data = tsdl::prepare<Scalar>(candles, {.length = 11});
  Model model(options, 5);
  tsdl::RandomStream random(6);
  test::draw_parameters(model, random, 0.6);
  tsdl::save_model(directory / "model.safetensors", model, data.recipe, 1);
  const auto windows = tsdl::apply<Scalar>(data.recipe, candles);
  const tsdl::Matrix<double> p = tsdl::predict(model, windows);

  tsdl::TensorFile file;
  std::vector<Scalar> x;
  for (const Index end : windows.ends())
    x.insert(x.end(), windows.series().column(end - 10), windows.series().column(end + 1));
  std::vector<double> probabilities(p.data(), p.data() + p.size());
  for (double& value : probabilities) value += nudge;
  file.add("x", {windows.size(), 11, windows.inputs()}, std::span<const Scalar>(x));
  file.add("probabilities", {p.cols(), p.rows()}, std::span<const double>(probabilities));
  tsdl::write_safetensors(directory / "windows.safetensors", file);
}

}  // namespace

TEST_CASE("state dict: what PyTorch wrote loads here and predicts the same") {
  const std::filesystem::path goldens = TSDL_SOURCE_DIR "/tests/goldens/state_dict";
  check_reads<tsdl::BiLSTMClassifier<float>>(goldens / "bilstm");
  check_reads<tsdl::BiLSTMClassifier<double>>(goldens / "bilstm");
  check_reads<tsdl::BiGRUClassifier<float>>(goldens / "bigru");
  check_reads<tsdl::BiGRUClassifier<double>>(goldens / "bigru");
}

TEST_CASE("state dict: new files, both ways (with TSDL_PYTHON)") {
  const char* python = std::getenv("TSDL_PYTHON");
  if (!python) {
    MESSAGE("skipped: TSDL_PYTHON names no python that has torch");
    return;
  }
  const TemporaryDirectory directory;
  for (const char* kind : {"bilstm", "bigru"})
    REQUIRE(run_script(python,
                       "write " + quoted(directory / kind) + " --kind " + kind + " --seed 3") == 0);
  check_reads<tsdl::BiLSTMClassifier<float>>(directory / "bilstm");
  check_reads<tsdl::BiGRUClassifier<double>>(directory / "bigru");

  const tsdl::ClassifierOptions wide{
      .input_size = 5, .hidden_size = 33, .num_layers = 2, .dropout = 0.2};
  auto mean = wide, final_states = wide;
  mean.pooling = tsdl::Pooling::mean;
  mean.hidden_size = 7;
  mean.outputs = 3;
  final_states.pooling = tsdl::Pooling::final_states;
  final_states.hidden_size = 4;
  final_states.num_layers = 1;
  write_for_torch<tsdl::BiLSTMClassifier<float>>(directory / "a", wide);
  write_for_torch<tsdl::BiLSTMClassifier<double>>(directory / "b", mean);
  write_for_torch<tsdl::BiLSTMClassifier<float>>(directory / "c", final_states);
  write_for_torch<tsdl::LSTMClassifier<float>>(directory / "d", mean);
  write_for_torch<tsdl::LSTMClassifier<double>>(directory / "e", final_states);
  write_for_torch<tsdl::GRUClassifier<float>>(directory / "f", mean);
  write_for_torch<tsdl::BiGRUClassifier<float>>(directory / "g", final_states);
  write_for_torch<tsdl::LSTMClassifier<float>>(directory / "off", wide, 3e-6);
  std::string all = "check";
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"})
    all.append(" ").append(quoted(directory / name));
  CHECK(run_script(python, all) == 0);
  MESSAGE("the next line of python's is expected: it must notice predictions that are off");
  const std::string off = quoted(directory / "off");
  CHECK(run_script(python, "check " + off) == 1);
}
