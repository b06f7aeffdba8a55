// Model files that must not be loaded: each is refused with its path and what is wrong in it.
#include <doctest/doctest.h>
#ifndef _WIN32
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "io/checkpoint_helpers.hpp"
#include "support/files.hpp"

namespace {

using test::BiLSTM;
using test::contains;
using test::Index;
using test::message_of;
using test::TemporaryDirectory;
using Tensors = std::map<std::string, tsdl::Tensor>;
using Metadata = std::map<std::string, std::string>;
using Edit = std::function<void(Tensors&, Metadata&)>;
using Json = nlohmann::json;

/// A model file in a directory of its own.
class ModelFile {
 public:
  ModelFile() : path_(directory_ / "model.safetensors") {
    tsdl::save_model(path_, BiLSTM(test::small_options(), 1), test::small_data().recipe, 1);
  }
  const std::filesystem::path& path() const { return path_; }
  /// What load_model says: the FormatError's message after the path, which it must begin with.
  std::string refusal() const {
    const std::string message =
        message_of<tsdl::FormatError>([&] { tsdl::load_model<BiLSTM>(path_); });
    const std::string prefix = path_.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : "no prefix: " + message;
  }

 private:
  TemporaryDirectory directory_;
  std::filesystem::path path_;
};

std::string refusal(const Edit& edit) {
  const ModelFile file;
  test::edit_file(file.path(), edit);
  return file.refusal();
}

/// With one entry of a metadata's JSON set to something else.
Edit setting(const std::string& key, const std::string& entry, const Json& value) {
  return [=](Tensors&, Metadata& metadata) {
    Json json = Json::parse(metadata.at(key));
    json[entry] = value;
    metadata[key] = json.dump();
  };
}

Edit replacing(const std::string& name, const tsdl::Tensor& tensor) {
  return [=](Tensors& tensors, Metadata&) { tensors[name] = tensor; };
}

}  // namespace

TEST_CASE("model files: an edit that changes nothing is accepted") {
  CHECK(refusal([](Tensors&, Metadata&) {}) == "no prefix: no exception");
}

TEST_CASE("model files: missing, unused and wrongly shaped tensors are named") {
  std::vector<std::string> names;
  BiLSTM(test::small_options()).visit([&](auto& parameter) { names.push_back(parameter.name); });
  REQUIRE(names.size() == 18);
  for (const std::string& name : names) {
    CAPTURE(name);
    const std::string quoted = "'" + name + "'";
    CHECK(contains(refusal([&](Tensors& tensors, Metadata&) { tensors.erase(name); }),
                   "tensor " + quoted + ": missing"));
    const std::string shape = refusal(replacing(name, test::zeros({3, 5})));
    CHECK(contains(shape, quoted));
    CHECK(contains(shape, "[3, 5]"));
    CHECK(contains(refusal(replacing(name, test::zeros({2}, tsdl::DType::f64))), quoted));
  }
  CHECK(refusal(replacing("lstm.weight_ih_l2", test::zeros({1})))
            .starts_with("tensor 'lstm.weight_ih_l2': not expected"));
  for (const auto& shape : {std::vector<Index>{}, {64}, {4, 16}, {16, 4, 1}, {15, 4}, {0, 4}})
    CHECK(contains(refusal(replacing("lstm.weight_hh_l0", test::zeros(shape))),
                   "'lstm.weight_hh_l0': shape"));
}

TEST_CASE("model files: other types than F32 and F64 are refused by name") {
  for (const auto dtype : {tsdl::DType::f16, tsdl::DType::bf16, tsdl::DType::i32}) {
    const std::string message = refusal(replacing("fc.bias", test::zeros({1}, dtype)));
    CHECK(contains(message, "'fc.bias'"));
    CHECK(contains(message, "F32 or F64 expected"));
  }
}

TEST_CASE("model files: metadata that is missing or broken is named") {
  for (const std::string key :
       {"tsdl.format", "tsdl.model", "tsdl.task", "tsdl.recipe", "tsdl.seed"}) {
    CAPTURE(key);
    CHECK(refusal([&](Tensors&, Metadata& metadata) { metadata.erase(key); }) ==
          "metadata '" + key + "': missing");
    for (const std::string text : {"", "{", "null", "[]", "\"x\"", "{}"}) {
      CAPTURE(text);
      CHECK(contains(refusal([&](Tensors&, Metadata& metadata) { metadata[key] = text; }),
                     "metadata '" + key + "'"));
    }
  }
  CHECK(refusal([](Tensors&, Metadata& m) { m["tsdl.format"] = "3"; }) ==
        "metadata 'tsdl.format': expected 1 or 2, got 3");
  for (const char* seed : {"-1", "1.5"})
    CHECK(contains(refusal([&](Tensors&, Metadata& m) { m["tsdl.seed"] = seed; }),
                   "metadata 'tsdl.seed': expected a whole number that is not negative"));
}

TEST_CASE("model files: each entry of configuration, task and recipe is needed, of its type") {
  const ModelFile file;
  const Metadata metadata = tsdl::read_safetensors(file.path()).metadata;
  for (const std::string key : {"tsdl.model", "tsdl.task", "tsdl.recipe"}) {
    const Json json = Json::parse(metadata.at(key));
    for (const auto& item : json.items()) {
      const std::string entry = item.key();
      if (entry == "horizon") continue;  // for readers; the label itself tells it
      CAPTURE(entry);
      if (entry != "head_dropout") {  // newer than the format: see below
        const std::string message = refusal([&](Tensors&, Metadata& m) {
          Json without = json;
          without.erase(entry);
          m[key] = without.dump();
        });
        if (key == "tsdl.recipe" || entry == "kind")
          CHECK(contains(message, "metadata '" + key + "'"));
        else
          CHECK(contains(message, ": option '" + entry + "' is missing"));
      }
      CHECK(contains(refusal(setting(key, entry, Json::object())), "metadata '" + key + "'"));
      if (key != "tsdl.recipe" && entry != "kind")
        CHECK(contains(refusal(setting(key, entry, !item.value().is_boolean())),
                       ": option '" + entry + "': expected "));
    }
  }
  CHECK(contains(refusal(setting("tsdl.recipe", "label", {{"kind", "oracle"}})), "oracle"));
  CHECK(contains(refusal(setting("tsdl.model", "pooling", "max")), "max"));
  CHECK(contains(refusal(setting("tsdl.model", "init", "zeros")), "zeros"));
  CHECK(refusal(setting("tsdl.model", "heads", 4)) == "bilstm: option 'heads' is not known");
  CHECK(refusal(setting("tsdl.task", "heads", 4)) == "binary: option 'heads' is not known");
  const Json scaler = Json::parse(metadata.at("tsdl.recipe"))["scaler"];
  for (const char* part : {"mean", "variance", "scale", "count"}) {
    Json shorter = scaler, negative = scaler;
    shorter[part].erase(0);
    CHECK(contains(refusal(setting("tsdl.recipe", "scaler", shorter)), "StandardScaler"));
    negative[part][0] = -1;
    if (part != std::string("mean"))
      CHECK(contains(refusal(setting("tsdl.recipe", "scaler", negative)), "StandardScaler"));
  }
}

TEST_CASE("model files: head_dropout is none in files without it") {
  const ModelFile file;
  test::edit_file(file.path(), [](Tensors&, Metadata& m) {
    Json json = Json::parse(m.at("tsdl.model"));
    json.erase("head_dropout");
    m["tsdl.model"] = json.dump();
  });
  CHECK(tsdl::load_model<BiLSTM>(file.path()).model.options().head_dropout == 0);
}

TEST_CASE("model files: a scaler's clip is checked, and is none in files without it") {
  const ModelFile file;
  const Json recipe = Json::parse(tsdl::read_safetensors(file.path()).metadata.at("tsdl.recipe"));
  Json scaler = recipe.at("scaler");
  for (const Json& bad : {Json(-1), Json("5"), Json(nullptr), Json(true), Json::array()}) {
    CAPTURE(bad.dump());
    scaler["clip"] = bad;
    const std::string message = refusal(setting("tsdl.recipe", "scaler", scaler));
    CHECK(contains(message, "metadata 'tsdl.recipe'"));
    CHECK(contains(message, "clip"));
  }
  scaler["clip"] = 2;
  test::edit_file(file.path(), setting("tsdl.recipe", "scaler", scaler));
  CHECK(tsdl::load_model<BiLSTM>(file.path()).recipe.scaler.options().clip == 2);
  scaler.erase("clip");
  test::edit_file(file.path(), setting("tsdl.recipe", "scaler", scaler));
  CHECK(tsdl::load_model<BiLSTM>(file.path()).recipe.scaler.options().clip == 0);
}

TEST_CASE("model files: each number of a recipe is checked against what it may be") {
  const auto said = [](const std::string& entry, const Json& value) {
    return refusal(setting("tsdl.recipe", entry, value));
  };
  const Index huge = Index{1} << 62;
  CHECK(said("length", huge) ==
        "metadata 'tsdl.recipe': 'length': expected 1 to 1000000, got 4611686018427387904");
  for (const Json& bad : {Json(0), Json(-1), Json(1'000'001), Json(~std::uint64_t{0}), Json(1e300),
                          Json(1.7), Json("8"), Json(true)})
    for (const char* entry : {"length", "stride"})
      CHECK(said(entry, bad)
                .starts_with("metadata 'tsdl.recipe': '" + std::string(entry) + "': expected "));
  for (const char* option : {"lookback", "horizon"}) {
    Json label = {{"kind", "threshold"}, {"horizon", 1}, {"width", 0.5}, {"lookback", 20}};
    label[option] = huge;
    CHECK(said("label", label) == "metadata 'tsdl.recipe': '" + std::string(option) +
                                      "': expected 0 to 1000000, got 4611686018427387904");
  }
  CHECK(
      contains(said("label", {{"kind", "column"}, {"column", "x"}, {"offset", huge}}), "'offset'"));
  CHECK(said("class_values", {true, 2}) ==
        "metadata 'tsdl.recipe': 'class_values': expected a number, got true");
  CHECK(said("every_step", 7) ==
        "metadata 'tsdl.recipe': 'every_step': expected true or false, got 7");
  CHECK(said("probe", {1, 2}) ==
        "metadata 'tsdl.recipe': 'probe': expected 3 numbers for each of 5 columns, got 2");
  // A count that no integer holds, and counts whose sum overflows.
  const ModelFile file;
  const Json scaler =
      Json::parse(tsdl::read_safetensors(file.path()).metadata.at("tsdl.recipe"))["scaler"];
  for (const Json& bad :
       {Json(1e300), Json(1.7), Json(huge), Json(true), Json(~std::uint64_t{0})}) {
    Json changed = scaler;
    changed["count"][1] = bad;
    CAPTURE(bad.dump());
    const std::string message = said("scaler", changed);
    CHECK((contains(message, "'count': expected ") || contains(message, "cannot come from data")));
  }
}

TEST_CASE("model files: JSON that is nested without end is refused, and ends nothing") {
  const std::string deep = std::string(500'000, '[') + std::string(500'000, ']');
  for (const auto& entry :
       Metadata{{"tsdl.recipe", "{\"length\":" + deep + "}"},
                {"tsdl.seed", deep},
                {"tsdl.model", "{\"kind\":\"bilstm\",\"x\":{\"y\":" + deep + "}}"},
                {"tsdl.task", "{\"kind\":\"binary\",\"pos_weight\":" + deep + "}"}}) {
    const std::string &key = entry.first, &text = entry.second;
    CAPTURE(key);
    const std::string message = refusal([&](Tensors&, Metadata& m) {
      if (key != "tsdl.recipe") {
        m[key] = text;
        return;
      }
      std::string& recipe = m.at(key);
      recipe.replace(recipe.find("\"length\":8"), 10, text.substr(1, text.size() - 2));
    });
    CHECK(message.starts_with("metadata '" + key + "': "));
    CHECK(message.size() < 300);
  }
}

TEST_CASE("model files: a label needs each of its options, in range; the message names it") {
  const Json labels[] = {{{"kind", "range"}, {"lookback", 20}},
                         {{"kind", "direction"}, {"horizon", 1}},
                         {{"kind", "threshold"}, {"horizon", 1}, {"width", 0.5}, {"lookback", 20}},
                         {{"kind", "triple_barrier"},
                          {"horizon", 10},
                          {"take_profit", 2.0},
                          {"stop_loss", 2.5},
                          {"lookback", 20}}};
  for (const Json& label : labels) {
    CHECK(refusal(setting("tsdl.recipe", "label", label)) == "no prefix: no exception");
    for (const auto& item : label.items()) {
      CAPTURE(label.dump());
      CAPTURE(item.key());
      Json changed = label;
      changed.erase(item.key());
      CHECK(contains(refusal(setting("tsdl.recipe", "label", changed)), item.key()));
      if (item.key() == "kind") continue;
      for (const Json& bad : {Json(0), Json(-1), Json("x"), Json(nullptr), Json(true)}) {
        changed[item.key()] = bad;
        CHECK(contains(refusal(setting("tsdl.recipe", "label", changed)), item.key()));
      }
    }
  }
}

TEST_CASE("model files: classes are checked, and are 0, 1, ... in files that give their number") {
  const ModelFile file;
  for (const Json& bad : {Json::array(), Json({1}), Json({1, 0}), Json({0, 0}), Json({0, nullptr}),
                          Json({"0", "1"}), Json(2)}) {
    CAPTURE(bad.dump());
    CHECK(contains(refusal(setting("tsdl.recipe", "class_values", bad)), "tsdl.recipe"));
  }
  CHECK(contains(refusal(setting("tsdl.recipe", "regression", true)), "class_values"));
  Json recipe = Json::parse(tsdl::read_safetensors(file.path()).metadata.at("tsdl.recipe"));
  recipe.erase("class_values");
  recipe.erase("regression");
  const auto with = [&](const Json& classes) -> Edit {
    recipe["classes"] = classes;
    return [text = recipe.dump()](Tensors&, Metadata& m) {
      m["tsdl.recipe"] = text;
      m["tsdl.format"] = "1";
      m.erase("tsdl.task");
    };
  };
  for (const Index classes : {0, 2, 4}) {
    auto options = test::small_options();
    options.outputs = classes == 4 ? 4 : 1;
    tsdl::save_model(file.path(), BiLSTM(options, 1), test::small_data().recipe, 1);
    test::edit_file(file.path(), with(classes));
    const tsdl::Recipe read = tsdl::load_model<BiLSTM>(file.path()).recipe;
    CHECK(read.regression == (classes == 0));
    CHECK(std::ssize(read.class_values) == classes);
    for (std::size_t k = 0; k < read.class_values.size(); ++k)
      CHECK(read.class_values[k] == static_cast<double>(k));
  }
  for (const Json& bad : {Json(1), Json(-1), Json(2.5), Json("2"), Json(1'000'001)})
    CHECK(contains(refusal(with(bad)), "class"));
}

TEST_CASE("model files: a task that does not go with the recipe or the model is refused") {
  CHECK(refusal(setting("tsdl.task", "kind", "oracle")) ==
        "task: expected one of binary, classes, regression, quantiles, got 'oracle'");
  CHECK(refusal(setting("tsdl.task", "pos_weight", -1)) ==
        "loss: a weight must be finite and at least 0, not -1");
  const auto task = [](const tsdl::Task& other) -> Edit {
    return [text = tsdl::internal::config_to_json(other->describe()).dump()](
               Tensors&, Metadata& metadata) { metadata["tsdl.task"] = text; };
  };
  CHECK(refusal(task(tsdl::Binary{3})) == "no prefix: no exception");
  CHECK(refusal(task(tsdl::Regression{})) == "a task of kind regression, but a recipe of classes");
  CHECK(refusal(task(tsdl::Classes{.count = 3})) == "a task of 3 classes, but a recipe of 2");
  CHECK(refusal(task(tsdl::Classes{.count = 2})) ==
        "task classes: expected a model of 2 outputs, got 1");
  // A task that is given must be the file's.
  const ModelFile file;
  CHECK_NOTHROW(tsdl::load_model<BiLSTM>(file.path(), tsdl::Binary{}));
  CHECK(message_of<tsdl::FormatError>(
            [&] { tsdl::load_model<BiLSTM>(file.path(), tsdl::Binary{3}); }) ==
        file.path().string() + ": a task of kind binary, which is not the one that was given");
  // Numbers: as many targets as the recipe has columns.
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  const auto data = test::small_data(tsdl::ColumnTargets{.columns = {"close", "high"}});
  BiLSTM model(test::small_options(), 1);
  model.set_task(tsdl::Regression{});
  tsdl::save_model(path, model, data.recipe, 1);
  CHECK(message_of<tsdl::FormatError>([&] { tsdl::load_model<BiLSTM>(path); }) ==
        path.string() + ": a task of 1 targets, but a recipe of 2");
  auto options = test::small_options();
  options.input_size = 4;
  tsdl::save_model(path, BiLSTM(options, 1), test::small_data().recipe, 1);
  CHECK(message_of<tsdl::FormatError>([&] { tsdl::load_model<BiLSTM>(path); }) ==
        path.string() + ": a model of 4 inputs, but 5 columns");
}

TEST_CASE("model files: another kind of model is refused by its name") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  tsdl::save_model(path, tsdl::LSTMClassifier<float>(test::small_options()),
                   test::small_data().recipe, 1);
  const std::string message =
      message_of<tsdl::FormatError>([&] { tsdl::load_model<BiLSTM>(path); });
  CHECK(contains(message, path.string()));
  CHECK(contains(message, "bilstm, got lstm"));
}

TEST_CASE("model files: a configuration out of range or of other tensors is refused") {
  const struct {
    std::string entry;
    Json value;
  } cases[] = {{"hidden_size", 5}, {"hidden_size", 0}, {"hidden_size", -4}, {"num_layers", 1},
               {"num_layers", 3},  {"num_layers", 0},  {"num_layers", -1},  {"input_size", 4},
               {"input_size", 0},  {"input_size", -5}, {"outputs", 2},      {"outputs", 0},
               {"outputs", -1},    {"dropout", 1.0},   {"dropout", -0.1}};
  for (const auto& one : cases) {
    CAPTURE(one.entry);
    CAPTURE(one.value.dump());
    CHECK_FALSE(contains(refusal(setting("tsdl.model", one.entry, one.value)), "no prefix"));
  }
}

#ifndef _WIN32  // needs fork and limits of a process
TEST_CASE("model files: sizes are compared with the tensors before anything is allocated") {
  const auto both = [](const Edit& a, const Edit& b) {
    return [=](Tensors& tensors, Metadata& metadata) {
      a(tensors, metadata);
      b(tensors, metadata);
    };
  };
  const auto configured = [](const char* entry, Index value) {
    return setting("tsdl.model", entry, value);
  };
  const std::pair<std::string, Edit> cases[] = {
      {"hidden_size", configured("hidden_size", 1'000'000'000)},
      {"num_layers", configured("num_layers", 1'000'000'000)},
      {"input_size", configured("input_size", 1'000'000'000)},
      {"outputs of 2^40", configured("outputs", Index{1} << 40)},
      {"outputs of 2^20", configured("outputs", Index{1} << 20)},
      {"hidden_size of a tensor without rows",
       both(configured("hidden_size", 1'000'000'000),
            replacing("lstm.weight_hh_l0", test::zeros({0, 1'000'000'000})))},
      {"hidden_size of a tensor with too few rows",
       both(configured("hidden_size", 100'000),
            replacing("lstm.weight_hh_l0", test::zeros({1, 100'000})))},
      {"many tensors without values",
       [](Tensors& tensors, Metadata&) {
         for (int i = 0; i < 100'000; ++i) tensors[std::to_string(i)] = test::zeros({0});
       }},
      {"num_layers as many as tensors without values", both(configured("num_layers", 100'000),
                                                            [](Tensors& tensors, Metadata&) {
                                                              for (int i = 0; i < 100'000; ++i)
                                                                tensors[std::to_string(i)] =
                                                                    test::zeros({0});
                                                            })},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    const ModelFile file;
    test::edit_file(file.path(), one.second);
    const int status = test::status_of_child([&] {
      // 128 MiB more than is mapped now: the file itself fits, what it claims does not.
      std::int64_t pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      if (pages == 0) return 1;
      const rlim_t bytes =
          static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (128u << 20);
      const rlimit limit{bytes, bytes};
      if (::setrlimit(RLIMIT_AS, &limit) != 0) return 2;
      const std::string refusal = file.refusal();
      if (contains(refusal, "bad_alloc") || contains(refusal, "bad_array")) return 3;
      return contains(refusal, "no prefix") ? 4 : 0;
    });
    CHECK(status == 0);
  }
}
#endif

TEST_CASE("model files: a file that is cut off anywhere, or longer, is refused") {
  const ModelFile file;
  const std::string bytes = test::read_bytes(file.path());
  for (std::size_t length = 0; length < bytes.size(); length += 97) {
    CAPTURE(length);
    test::write_bytes(file.path(), bytes.substr(0, length));
    CHECK_FALSE(contains(file.refusal(), "no prefix"));
  }
  test::write_bytes(file.path(), bytes + '\0');
  CHECK_FALSE(contains(file.refusal(), "no prefix"));
  test::write_bytes(file.path(), bytes);
  CHECK(contains(file.refusal(), "no exception"));
}

TEST_CASE("load_state_dict: a refusal leaves the model as it was") {
  const ModelFile file;
  test::edit_file(file.path(), [](Tensors& tensors, Metadata&) {
    tensors["fc.bias"] = test::zeros({2});  // the last tensor that is looked at
  });
  BiLSTM model(test::small_options(), 99);
  const auto data = test::small_data();
  const std::string before = test::weight_bytes(model);
  const tsdl::Matrix<double> predictions = tsdl::predict(model, data.test);
  CHECK(contains(message_of<tsdl::FormatError>([&] { tsdl::load_state_dict(model, file.path()); }),
                 "'fc.bias'"));
  CHECK((test::weight_bytes(model) == before));
  CHECK(tsdl::predict(model, data.test) == predictions);
  test::edit_file(file.path(), [](Tensors& tensors, Metadata&) {
    tensors["fc.bias"] = test::zeros({1});
    tensors["more"] = test::zeros({1});
  });
  CHECK(contains(message_of<tsdl::FormatError>([&] { tsdl::load_state_dict(model, file.path()); }),
                 "'more'"));
  CHECK((test::weight_bytes(model) == before));
  test::edit_file(file.path(), [](Tensors& tensors, Metadata&) { tensors.erase("more"); });
  tsdl::load_state_dict(model, file.path());
  CHECK((test::weight_bytes(model) != before));
}
