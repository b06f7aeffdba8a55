// State dicts that do not fit: everything that is wrong is named at once, with what would fit, and
// the model stays as it was.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"
#include "tsdl/io/state_dict.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace {

using test::contains;
using test::Index;
using test::message_of;
using test::TemporaryDirectory;
using tsdl::StateDictOptions;
using Model = tsdl::LSTMClassifier<float>;
using Tensors = std::map<std::string, tsdl::Tensor>;
using Edit = std::function<void(Tensors&)>;
using Names = std::vector<std::string>;

const tsdl::ClassifierOptions sizes{.input_size = 3, .hidden_size = 4, .num_layers = 2};

tsdl::Tensor zeros(std::vector<Index> shape, tsdl::DType dtype = tsdl::DType::f32) {
  const Index bytes = *tsdl::internal::tensor_bytes(shape, dtype);
  return {dtype, std::move(shape), std::vector<std::byte>(static_cast<std::size_t>(bytes))};
}

template <class Scalar>
tsdl::Tensor values(std::vector<Index> shape, const std::vector<Scalar>& numbers) {
  tsdl::TensorFile file;
  file.add("a", std::move(shape), std::span<const Scalar>(numbers));
  return file.tensors().at("a");
}

/// The state dict of a model or of layers, after `edit`.
template <class Source>
tsdl::TensorFile state_dict(const Source& source, const Edit& edit = {},
                            const StateDictOptions& names = {}) {
  const TemporaryDirectory directory;
  tsdl::save_state_dict(directory / "file", source, names);
  Tensors tensors = tsdl::read_safetensors(directory / "file").tensors();
  if (edit) edit(tensors);
  tsdl::TensorFile file("w.safetensors");
  for (auto& [name, tensor] : tensors) file.add(name, tensor);
  return file;
}

/// What loading `file` says after its name; the model must be as it was.
template <class Target>
std::string refusal(Target& target, tsdl::TensorFile file, const StateDictOptions& options = {}) {
  const std::string before = test::weight_bytes(target);
  const std::string message =
      message_of<tsdl::FormatError>([&] { tsdl::load_state_dict(target, file, options); });
  CHECK((test::weight_bytes(target) == before));
  const std::string prefix = "w.safetensors: ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : "no prefix: " + message;
}

std::string refusal_of(const Edit& edit, const StateDictOptions& options = {}) {
  Model model(sizes, 1);
  return refusal(model, state_dict(Model(sizes, 2), edit), options);
}

/// Everything under `from` gets a name under `to`.
Edit renaming(const std::string& from, const std::string& to) {
  return [=](Tensors& tensors) {
    Tensors renamed;
    for (auto& [name, tensor] : tensors)
      renamed[name.starts_with(from) ? to + name.substr(from.size()) : name] = tensor;
    tensors = renamed;
  };
}

}  // namespace

TEST_CASE("state dict: what is missing, unexpected, misshapen or of another type, all at once") {
  const Edit all = [](Tensors& tensors) {
    tensors.erase("lstm.weight_hh_l0");
    tensors.erase("lstm.bias_ih_l1");
    tensors["norm.weight"] = zeros({4});
    tensors["extra"] = zeros({2}, tsdl::DType::i64);
    tensors["fc.weight"] = zeros({2, 4});
    tensors["fc.bias"] = zeros({1}, tsdl::DType::bf16);
  };
  const std::string text = refusal_of(all);
  CHECK(
      text.starts_with("tensors 'lstm.weight_hh_l0', 'lstm.bias_ih_l1': missing; "
                       "tensors 'extra', 'norm.weight': not expected; "
                       "tensor 'fc.weight': shape [1, 4] expected, [2, 4] found; "
                       "tensor 'fc.bias': dtype F32 or F64 expected, BF16 found"));
  // Not strict: the first two are the caller's business, the others are not.
  CHECK(refusal_of(all, {.strict = false})
            .starts_with("tensor 'fc.weight': shape [1, 4] expected, [2, 4] found; "
                         "tensor 'fc.bias': dtype"));
}

TEST_CASE("state dict: many names are cut short") {
  const std::string text = refusal_of([](Tensors& tensors) {
    for (int i = 0; i < 30; ++i) tensors["more" + std::to_string(10 + i)] = zeros({1});
  });
  CHECK(contains(text, "'more10', 'more11'"));
  CHECK(contains(text, "'more29' and 10 more: not expected"));
  CHECK_FALSE(contains(text, "'more30'"));
}

TEST_CASE("state dict: not strict, it tells what was left alone and loads the rest") {
  const Model source(sizes, 2);
  tsdl::TensorFile file = state_dict(source, [](Tensors& tensors) {
    for (const char* name : {"lstm.bias_ih_l0", "lstm.bias_hh_l0", "fc.bias", "fc.weight"})
      tensors.erase(name);
    tensors["head.bias"] = zeros({1});
  });
  Model model(sizes, 1);
  const auto keys = tsdl::load_state_dict(model, file, {.strict = false});
  CHECK((keys.missing_keys == Names{"lstm.bias_ih_l0", "lstm.bias_hh_l0", "fc.weight", "fc.bias"}));
  CHECK((keys.unexpected_keys == Names{"head.bias"}));
  // Tensor by tensor: of the file, or as the model was made.
  Model mixed(sizes, 1);
  std::map<std::string, std::vector<float>> of_source;
  source.visit([&](const auto& parameter) {
    of_source[parameter.name] = {parameter.value.begin(), parameter.value.end()};
  });
  mixed.visit([&](auto& parameter) {
    if (std::find(keys.missing_keys.begin(), keys.missing_keys.end(), parameter.name) ==
        keys.missing_keys.end())
      std::copy_n(of_source[parameter.name].begin(), parameter.size(), parameter.value.begin());
  });
  mixed.repack();
  CHECK((test::weight_bytes(model) == test::weight_bytes(mixed)));
}

TEST_CASE("state dict: layers and directions are never left out, strict or not") {
  auto deep = sizes;
  deep.num_layers = 3;
  const tsdl::BiLSTMClassifier<float> both(sizes, 2);
  for (const bool strict : {true, false}) {
    CAPTURE(strict);
    Model model(sizes, 1);
    const std::string layers = refusal(model, state_dict(Model(deep, 2)), {.strict = strict});
    CHECK(contains(layers,
                   "tensors 'lstm.bias_hh_l2', 'lstm.bias_ih_l2', 'lstm.weight_hh_l2', "
                   "'lstm.weight_ih_l2': not expected"));
    CHECK(contains(layers,
                   "The model is LSTM(3, 4, num_layers=2) at 'lstm.', the file holds "
                   "LSTM(3, 4, num_layers=3) at 'lstm.'"));
    const std::string directions = refusal(model,
                                           state_dict(both,
                                                      [](Tensors& t) {
                                                        t["fc.weight"] = zeros({1, 4});
                                                      }),
                                           {.strict = strict});
    CHECK(contains(directions, "'lstm.weight_ih_l0_reverse'"));
    CHECK(contains(directions, "the file holds LSTM(3, 4, num_layers=2, bidirectional=True)"));
    CHECK(contains(refusal_of(
                       [](Tensors& t) {
                         t["lstm.weight_hr_l0"] = zeros({2, 4});
                       },
                       {.strict = strict}),
                   "proj_size=2"));
    // The same under a file's own prefix, and of layers by themselves.
    const StateDictOptions names{.prefixes = {{"lstm.", "a.rnn."}}};
    CHECK(contains(refusal(model, state_dict(Model(deep, 2), {}, names),
                           {.prefixes = names.prefixes, .strict = strict}),
                   "'a.rnn.weight_ih_l2': not expected"));
    tsdl::GRU<double> shallow({.input_size = 3, .hidden_size = 4}, 1);
    const tsdl::GRU<double> stack({.input_size = 3, .hidden_size = 4, .num_layers = 12}, 2);
    CHECK(contains(refusal(shallow, state_dict(stack), {.strict = strict}), "'bias_hh_l11'"));
  }
  // Fewer layers than the model's: missing, so told when not strict.
  Model model(deep, 1);
  tsdl::TensorFile file = state_dict(Model(sizes, 2));
  CHECK(contains(refusal(model, file), "'lstm.bias_hh_l2': missing"));
  CHECK(tsdl::load_state_dict(model, file, {.strict = false}).missing_keys.size() == 4);
  // A file that is read twice is judged twice.
  Model all(sizes, 1), first({.input_size = 3, .hidden_size = 4, .num_layers = 1}, 1);
  tsdl::load_state_dict(all, file);
  CHECK(contains(refusal(first, file, {.strict = false}), "'lstm.weight_ih_l1': not expected"));
}

TEST_CASE("state dict: other sizes and cells are said as PyTorch prints them") {
  Model model(sizes, 1);
  const auto says = [&](const tsdl::TensorFile& file, const std::string& text) {
    const std::string message = refusal(model, file);
    CHECK_MESSAGE(
        contains(message, ". The model is LSTM(3, 4, num_layers=2) at 'lstm.', the file " + text),
        message);
  };
  auto wide = sizes;
  wide.hidden_size = 5;
  wide.input_size = 6;
  says(state_dict(Model(wide, 2)), "holds LSTM(6, 5, num_layers=2) at 'lstm.'");
  const tsdl::GRUClassifier<float> gru(sizes, 2);
  says(state_dict(gru), "holds GRU(3, 4, num_layers=2) at 'gru.'");
  CHECK_FALSE(contains(refusal(model, state_dict(gru)), "Would fit"));
  says(state_dict(gru, renaming("gru.", "lstm.")), "holds GRU(3, 4, num_layers=2) at 'lstm.'");
  says(state_dict(Model(sizes),
                  [](Tensors& t) {
                    std::erase_if(
                        t, [](const auto& item) { return contains(item.first, "lstm.bias"); });
                  }),
       "holds LSTM(3, 4, num_layers=2, bias=False) at 'lstm.'");
  says(state_dict(Model(sizes), [](Tensors& t) { t.erase("lstm.weight_hh_l0"); }),
       "has no recurrent layers");
  CHECK_FALSE(contains(refusal_of([](Tensors& t) { t["fc.bias"] = zeros({2}); }), "The model is"));
  // Layer numbers out of any range, sizes of nothing.
  CHECK(contains(refusal_of([](Tensors& t) {
                   t["lstm.weight_ih_l9223372036854775807"] = zeros({1});
                   t["lstm.weight_ih_l99999999999999999999"] = zeros({1});
                   t["lstm.weight_ih_l-1"] = zeros({1});
                   t["lstm.weight_ih_l"] = zeros({1});
                   t["lstm.weight_hh_l0"] = zeros({0, 0});
                 }),
                 "shape [16, 4] expected, [0, 0] found"));
}

TEST_CASE("state dict: prefixes that would fit are named, and do") {
  const Model source(sizes, 2);
  const auto suggestion = [&](const StateDictOptions& names, const Edit& edit = {}) {
    Model model(sizes, 1);
    const std::string text = refusal(model, state_dict(source, edit, names));
    const std::size_t at = text.find(". Would fit: prefixes ");
    return at == std::string::npos ? "" : text.substr(at + 22);
  };
  CHECK(suggestion({.prefixes = {{"lstm.", "rnn."}}}) == R"({{"lstm.", "rnn."}})");
  const StateDictOptions network{.prefixes = {{"lstm.", "encoder.rnn."}, {"fc.", "head.1."}}};
  CHECK(suggestion(network) == R"({{"fc.", "head.1."}, {"lstm.", "encoder.rnn."}})");
  CHECK(suggestion({.prefixes = {{"", "module."}}}) ==
        R"({{"fc.", "module.fc."}, {"lstm.", "module.lstm."}})");
  CHECK(suggestion({.prefixes = {{"lstm.", ""}}}) == R"({{"lstm.", ""}})");
  // By shape where names do not tell; else not at all.
  const Edit norm = [](Tensors& t) {
    t["norm.weight"] = zeros({4});
    t["norm.bias"] = zeros({4});
  };
  CHECK(suggestion({.prefixes = {{"fc.", "head."}}}, norm) == R"({{"fc.", "head."}})");
  const Edit second = [](Tensors& t) {
    t["second.weight"] = zeros({1, 4});
    t["second.bias"] = zeros({1});
  };
  CHECK(suggestion({.prefixes = {{"fc.", "head."}}}, second).empty());
  // With what is suggested the file loads, and the names come back when it is saved.
  Model model(sizes, 1);
  tsdl::TensorFile file = state_dict(source, {}, network);
  tsdl::load_state_dict(model, file, {.prefixes = {{"fc.", "head.1."}, {"lstm.", "encoder.rnn."}}});
  CHECK((test::weight_bytes(model) == test::weight_bytes(source)));
  CHECK(file.contains("encoder.rnn.weight_hh_l1"));
  CHECK(file.contains("head.1.bias"));
  CHECK(file.tensors().size() == 10);
}

TEST_CASE("state dict: of prefixes the longest counts; those of no use are refused") {
  const Model source(sizes, 2);
  const TemporaryDirectory directory;
  const auto path = directory / "file";
  const auto why = [&](const StateDictOptions& names) {
    const std::string saving =
        message_of<tsdl::Error>([&] { tsdl::save_state_dict(path, source, names); });
    Model model(sizes, 1);
    tsdl::TensorFile file = state_dict(source);
    CHECK(message_of<tsdl::Error>([&] { tsdl::load_state_dict(model, file, names); }) == saving);
    CHECK(directory.count() == 0);
    return saving;
  };
  CHECK(contains(why({.prefixes = {{"gru.", "rnn."}}}),
                 "prefix 'gru.': no tensor's name begins so; the first is 'lstm.weight_ih_l0'"));
  CHECK(contains(why({.prefixes = {{"fc.", "a."}, {"fc.", "b."}}}), "prefix 'fc.': given twice"));
  CHECK(contains(why({.prefixes = {{"fc.weight", "a"}, {"fc.bias", "a"}}}), "the name 'a'"));
  // Layers that were modules of their own.
  const StateDictOptions names{.prefixes = {{"", "m."},
                                            {"lstm.", "m.first."},
                                            {"lstm.weight_ih_l1", "m.second.weight_ih_l0"},
                                            {"lstm.weight_hh_l1", "m.second.weight_hh_l0"},
                                            {"lstm.bias_ih_l1", "m.second.bias_ih_l0"},
                                            {"lstm.bias_hh_l1", "m.second.bias_hh_l0"}}};
  tsdl::save_state_dict(path, source, names);
  tsdl::TensorFile file = tsdl::read_safetensors(path);
  for (const char* name : {"m.first.weight_ih_l0", "m.second.bias_hh_l0", "m.fc.bias"})
    CHECK(file.contains(name));
  CHECK(file.metadata_at("format") == "pt");
  Model model(sizes, 1);
  tsdl::load_state_dict(model, path, names);
  CHECK((test::weight_bytes(model) == test::weight_bytes(source)));
}

TEST_CASE("state dict: a file with nothing of the model's is refused, strict or not") {
  for (const bool strict : {true, false})
    CHECK(contains(refusal_of(
                       [](Tensors& t) {
                         t = {{"x", zeros({1})}};
                       },
                       {.strict = strict}),
                   "'fc.weight', 'fc.bias': missing"));
}

TEST_CASE("state dict: values must be finite and in range") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, -nan, HUGE_VALF, -HUGE_VALF})
    CHECK(refusal_of([&](Tensors& t) {
            t["fc.weight"] = values<float>({1, 4}, {0, 1, bad, 2});
          }) == "tensor 'fc.weight': value 2 is not finite");
  CHECK(contains(refusal_of([&](Tensors& t) { t["fc.bias"] = values<double>({1}, {1e39}); }),
                 "tensor 'fc.bias': value 0 is 1e+39, beyond F32's range"));
  Model model(sizes, 1);
  tsdl::TensorFile file =
      state_dict(Model(sizes, 2), [](Tensors& t) { t["fc.bias"] = values<double>({1}, {1e38}); });
  CHECK_NOTHROW(tsdl::load_state_dict(model, file));
}

TEST_CASE("state dict: files that are not safetensors, or cut off") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.pth";
  Model model(sizes, 1);
  const auto why = [&](std::string_view bytes) {
    test::write_bytes(path, bytes);
    return message_of<tsdl::FormatError>([&] { tsdl::load_state_dict(model, path); });
  };
  const std::string_view zip("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00", 12);
  const std::string_view pickle("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 15);
  for (const std::string_view bytes : {zip, pickle})
    CHECK(why(bytes) == path.string() +
                            ": written by torch.save, not safetensors; "
                            "examples/pth_to_safetensors.py converts it");
  CHECK(contains(why("weights: none, this is a text\n"), "header: at most"));
  CHECK(contains(why(""), "at least 8 bytes expected"));
  tsdl::save_state_dict(path, model);
  const std::string whole = test::read_bytes(path);
  CHECK(contains(why(whole.substr(0, whole.size() - 1)), "bytes of data expected"));
  CHECK(contains(why(whole.substr(0, 100)), "bytes declared"));
  CHECK(why(whole) == "no exception");
  CHECK(contains(
      message_of<tsdl::Error>([&] { tsdl::load_state_dict(model, directory / "not there"); }),
      "cannot be read"));
}
