// State dicts between tsdl and PyTorch, in both directions, by tests/goldens/state_dict.py.
//
// What PyTorch wrote once is committed. With TSDL_PYTHON set to a python that has torch, new files
// are exchanged both ways.
#include "tsdl/io/state_dict.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/checkpoint_helpers.hpp"
#include "io/windows_file.hpp"
#include "support/files.hpp"
#include "support/network.hpp"

namespace {

using test::Index;
using test::logits;
using test::TemporaryDirectory;
using test::windows_of;
using Windows = test::WindowsFile;
using Names = std::vector<std::string>;

/// The prefixes of `Network` in the script.
template <class Cell>
tsdl::StateDictOptions network_names() {
  return {.prefixes = {{std::string(Cell::prefix) + ".", "encoder.rnn."}, {"fc.", "head.1."}}};
}

/// Outputs of all steps, N x T x D * H as PyTorch's with batch_first.
template <class Scalar, class Layers>
std::vector<Scalar> outputs(const Layers& layers, const tsdl::Sequence<const Scalar>& x) {
  typename Layers::Cache cache;
  layers.forward(x, cache);
  std::vector<Scalar> values;
  for (Index n = 0; n < x.batch; ++n)
    for (Index t = 0; t < x.steps; ++t)
      for (Index d = 0; d < layers.directions(); ++d) {
        const auto column = layers.output(cache, t, n, d);
        values.insert(values.end(), column.data(), column.data() + column.size());
      }
  return values;
}

/// Loads the network of a directory, strictly, and its layers alone; both compute what PyTorch did.
template <class Cell, Index D>
void check_reads(const std::filesystem::path& directory, Windows& windows) {
  using Scalar = typename Cell::Scalar;
  const auto path = directory / "weights.safetensors";
  const Index I = windows.size("I"), H = windows.size("H"), L = windows.size("L");
  const auto x = windows.tensor<Scalar>("x");
  const auto view = windows_of(x, I, windows.size("T"), windows.size("N"));

  tsdl::RecurrentNetwork<Cell, D> model(
      {.input_size = I, .hidden_size = H, .num_layers = L, .outputs = windows.size("K")}, 17);
  const auto keys = tsdl::load_state_dict(model, path, network_names<Cell>());
  CHECK(keys.missing_keys.empty());
  CHECK(keys.unexpected_keys.empty());
  windows.compare("logits", logits(model, view));

  tsdl::RecurrentStack<Cell> layers(
      {.input_size = I, .hidden_size = H, .num_layers = L, .bidirectional = D == 2}, 17);
  const auto rest =
      tsdl::load_state_dict(layers, path, {.prefixes = {{"", "encoder.rnn."}}, .strict = false});
  CHECK(rest.missing_keys.empty());
  CHECK((rest.unexpected_keys == Names{"head.1.bias", "head.1.weight"}));
  windows.compare("outputs", outputs(layers, view));
}

/// Every network in a directory, one for each cell, 1 to 3 layers, and one or two directions.
template <class Scalar>
void check_reads_all(const std::filesystem::path& directory) {
  int networks = 0;
  for (const char* cell : {"lstm", "gru"})
    for (const int L : {1, 2, 3})
      for (const int D : {1, 2}) {
        const std::string name =
            std::string(cell) + "_" + std::to_string(L) + "_" + std::to_string(D);
        CAPTURE(name);
        Windows windows(directory / name);
        REQUIRE(windows.cell() == cell);
        REQUIRE(windows.size("L") == L);
        REQUIRE(windows.size("D") == D);
        if (windows.cell() == "lstm")
          D == 1 ? check_reads<tsdl::LSTMCell<Scalar>, 1>(directory / name, windows)
                 : check_reads<tsdl::LSTMCell<Scalar>, 2>(directory / name, windows);
        else
          D == 1 ? check_reads<tsdl::GRUCell<Scalar>, 1>(directory / name, windows)
                 : check_reads<tsdl::GRUCell<Scalar>, 2>(directory / name, windows);
        ++networks;
      }
  CHECK(networks == 12);
}

/// Saves a network of L layers under PyTorch's names, and what it and its layers compute plus
/// `nudge`.
template <class Cell, Index D>
void write_for_torch(const std::filesystem::path& directory, Index L, float nudge = 0) {
  tsdl::make_directories(directory);
  const Index I = 3 + L, H = 6 * L + 1, K = 3, N = 5, T = 9;
  tsdl::RandomStream random(static_cast<std::uint64_t>(10 * L + D));
  tsdl::RecurrentNetwork<Cell, D> model(
      {.input_size = I, .hidden_size = H, .num_layers = L, .outputs = K});
  test::draw_parameters(model, random, 1.3 / std::sqrt(static_cast<double>(H)));
  tsdl::save_state_dict(directory / "weights.safetensors", model, network_names<Cell>());

  // The layers by themselves go through a file of their own, under nn.LSTM's own names.
  tsdl::RecurrentStack<Cell> layers(
      {.input_size = I, .hidden_size = H, .num_layers = L, .bidirectional = D == 2}, 1);
  tsdl::load_state_dict(layers, directory / "weights.safetensors",
                        {.prefixes = {{"", "encoder.rnn."}}, .strict = false});
  tsdl::save_state_dict(directory / "layers.safetensors", layers);
  CHECK(tsdl::read_safetensors(directory / "layers.safetensors").contains("weight_ih_l0"));

  const auto x = test::draw<float>(random, N * T * I);
  const auto view = windows_of(x, I, T, N);
  std::vector<float> y = outputs(layers, view);
  const std::vector<float> z = logits(model, view);
  y.back() += nudge;
  tsdl::TensorFile file;
  file.metadata = {{"cell", Cell::prefix},   {"I", std::to_string(I)}, {"H", std::to_string(H)},
                   {"L", std::to_string(L)}, {"D", std::to_string(D)}, {"K", std::to_string(K)}};
  file.add("x", {N, T, I}, std::span<const float>(x));
  file.add("outputs", {N, T, D * H}, std::span<const float>(y));
  file.add("logits", {N, K}, std::span<const float>(z));
  tsdl::write_safetensors(directory / "windows.safetensors", file);
}

/// Saves a model file and its predictions, plus `nudge`.
template <class Model>
void write_model_for_torch(const std::filesystem::path& directory,
                           const tsdl::ClassifierOptions& options, double nudge = 0.0) {
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

void write_models_for_torch(const TemporaryDirectory& directory) {
  const tsdl::ClassifierOptions wide{
      .input_size = 5, .hidden_size = 33, .num_layers = 2, .dropout = 0.2};
  auto mean = wide, final_states = wide;
  mean.pooling = tsdl::Pooling::mean;
  mean.hidden_size = 7;
  mean.outputs = 3;
  final_states.pooling = tsdl::Pooling::each_direction_end;
  final_states.hidden_size = 4;
  final_states.num_layers = 1;
  write_model_for_torch<tsdl::BiLSTMClassifier<float>>(directory / "ours/a", wide);
  write_model_for_torch<tsdl::BiLSTMClassifier<double>>(directory / "ours/b", mean);
  write_model_for_torch<tsdl::BiLSTMClassifier<float>>(directory / "ours/c", final_states);
  write_model_for_torch<tsdl::LSTMClassifier<double>>(directory / "ours/d", final_states);
  write_model_for_torch<tsdl::GRUClassifier<float>>(directory / "ours/e", mean);
  write_model_for_torch<tsdl::BiGRUClassifier<float>>(directory / "ours/f", final_states);
  auto attention = wide, alstm = mean;
  attention.pooling = alstm.pooling = tsdl::Pooling::attention;
  alstm.input_projection = true;
  write_model_for_torch<tsdl::BiGRUClassifier<double>>(directory / "ours/g", attention);
  write_model_for_torch<tsdl::LSTMClassifier<double>>(directory / "ours/h", alstm);
  write_model_for_torch<tsdl::BiLSTMClassifier<float>>(directory / "wrong/a", wide, 3e-6);
}

}  // namespace

TEST_CASE("state dict: what PyTorch wrote loads here and computes the same") {
  const std::filesystem::path goldens = TSDL_SOURCE_DIR "/tests/goldens/state_dict";
  check_reads_all<float>(goldens);
  check_reads_all<double>(goldens);
}

TEST_CASE("state dict: new files, both ways (with TSDL_PYTHON)") {
  const char* python = std::getenv("TSDL_PYTHON");
  if (!python) {
    MESSAGE("skipped: TSDL_PYTHON names no python that has torch");
    return;
  }
  const TemporaryDirectory directory;
  for (const Index L : {1, 2, 3}) {
    const std::string layers = std::to_string(L);
    write_for_torch<tsdl::LSTMCell<float>, 1>(directory / ("ours/lstm_1_" + layers), L);
    write_for_torch<tsdl::LSTMCell<float>, 2>(directory / ("ours/lstm_2_" + layers), L);
    write_for_torch<tsdl::GRUCell<float>, 1>(directory / ("ours/gru_1_" + layers), L);
    write_for_torch<tsdl::GRUCell<float>, 2>(directory / ("ours/gru_2_" + layers), L);
  }
  write_for_torch<tsdl::GRUCell<float>, 2>(directory / "wrong/gru_2_1", 1, 1e-5f);
  write_models_for_torch(directory);
  const std::string command = std::string("'") + python +
                              "' -B '" TSDL_SOURCE_DIR "/tests/goldens/state_dict.py' exchange '" +
                              directory.path().string() + "' --seed 3";
  REQUIRE(std::system(command.c_str()) == 0);
  check_reads_all<float>(directory / "theirs");

  // The file of torch.save itself, given in place of what the script made of it.
  tsdl::LSTM<float> model({.input_size = 1, .hidden_size = 1});
  const auto pickle = directory / "theirs/lstm_1_1/weights.pth";
  CHECK(test::contains(
      test::message_of<tsdl::FormatError>([&] { tsdl::load_state_dict(model, pickle); }),
      pickle.string() + ": written by torch.save"));
}
