// Model files: what is saved comes back to the bit, and alone is enough to predict.
#include "tsdl/io/checkpoint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "io/checkpoint_helpers.hpp"
#include "support/files.hpp"

namespace {

using test::Index;
using test::TemporaryDirectory;

void check_same(const tsdl::Recipe& a, const tsdl::Recipe& b) {
  CHECK(a.features == b.features);
  CHECK(a.length == b.length);
  CHECK(a.stride == b.stride);
  CHECK(a.class_values == b.class_values);
  CHECK(a.regression == b.regression);
  CHECK(a.every_step == b.every_step);
  CHECK(a.columns == b.columns);
  CHECK(a.label.index() == b.label.index());
  CHECK(tsdl::horizon(a.label) == tsdl::horizon(b.label));
  CHECK(a.scaler.names() == b.scaler.names());
  CHECK(a.scaler.mean() == b.scaler.mean());
  CHECK(a.scaler.variance() == b.scaler.variance());
  CHECK(a.scaler.scale() == b.scaler.scale());
  CHECK(a.scaler.count() == b.scaler.count());
  CHECK(a.scaler.options().clip == b.scaler.options().clip);
}

void check_same(const tsdl::ClassifierOptions& a, const tsdl::ClassifierOptions& b) {
  CHECK(a.input_size == b.input_size);
  CHECK(a.hidden_size == b.hidden_size);
  CHECK(a.num_layers == b.num_layers);
  CHECK(a.dropout == b.dropout);
  CHECK(a.head_dropout == b.head_dropout);
  CHECK(a.pooling == b.pooling);
  CHECK(a.outputs == b.outputs);
  CHECK(a.init == b.init);
  CHECK(a.attention_size == b.attention_size);
  CHECK(a.attention_dropout == b.attention_dropout);
  CHECK(a.input_projection == b.input_projection);
}

bool same(const tsdl::Matrix<double>& a, const tsdl::Matrix<double>& b) {
  return a.size() > 0 && a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(double)) == 0;
}

template <class Model>
void check_round_trip(const tsdl::ClassifierOptions& options, const tsdl::Label& label,
                      std::uint64_t seed) {
  using Scalar = typename Model::Scalar;
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  const auto data = test::small_data(label);
  Model model(options, 7);
  model.visit([](tsdl::Parameter<Scalar>& parameter) {  // values that text would not keep
    for (Scalar& value : parameter.value) value = std::nextafter(value * Scalar(1.1), Scalar(0));
  });
  model.repack();
  tsdl::save_model(path, model, data.recipe, seed);
  CHECK(directory.count() == 1);

  const tsdl::LoadedModel<Model> loaded = tsdl::load_model<Model>(path);
  CHECK((test::weight_bytes(loaded.model) == test::weight_bytes(model)));
  CHECK(loaded.seed == seed);
  check_same(loaded.recipe, data.recipe);
  check_same(loaded.model.options(), options);
  const tsdl::ModelInfo info = tsdl::read_model_info(path);
  CHECK(info.model.kind == Model::kind());
  CHECK((info.model == model.describe()));
  CHECK((info.task == model.task()->describe()));
  CHECK((loaded.model.task()->describe() == model.task()->describe()));
  CHECK(info.seed == seed);
  check_same(info.recipe, data.recipe);

  const tsdl::Candles others = test::random_candles(120, 44);
  CHECK(same(tsdl::predict(loaded.model, tsdl::apply<Scalar>(loaded.recipe, others)),
             tsdl::predict(model, tsdl::apply<Scalar>(data.recipe, others))));

  const auto again = directory / "again.safetensors", resaved = directory / "resaved.safetensors";
  tsdl::save_model(again, model, data.recipe, seed);
  tsdl::save_model(resaved, loaded.model, loaded.recipe, loaded.seed);
  CHECK((test::read_bytes(again) == test::read_bytes(path)));
  CHECK((test::read_bytes(resaved) == test::read_bytes(path)));
}

}  // namespace

TEST_CASE("model files: what was saved is loaded, bit for bit") {
  check_round_trip<tsdl::BiLSTMClassifier<float>>(test::small_options(), tsdl::RangeLabel{}, 5);
  check_round_trip<tsdl::BiLSTMClassifier<double>>(
      {.input_size = 5, .hidden_size = 3, .num_layers = 1, .pooling = tsdl::Pooling::mean},
      tsdl::RangeLabel{.lookback = 7}, 0);
  check_round_trip<tsdl::LSTMClassifier<float>>(
      {.input_size = 5, .hidden_size = 9, .num_layers = 1, .outputs = 2}, tsdl::DirectionLabel{3},
      std::numeric_limits<std::uint64_t>::max());
  check_round_trip<tsdl::BiLSTMClassifier<float>>(
      {.input_size = 5, .hidden_size = 2, .num_layers = 1, .outputs = 3},
      tsdl::TripleBarrierLabel{}, 6);
  check_round_trip<tsdl::LSTMClassifier<double>>({.input_size = 5,
                                                  .hidden_size = 1,
                                                  .num_layers = 3,
                                                  .dropout = 0.1,
                                                  .pooling = tsdl::Pooling::each_direction_end,
                                                  .init = tsdl::Init::orthogonal},
                                                 tsdl::DirectionLabel{}, 1);
  check_round_trip<tsdl::BiGRUClassifier<float>>(
      {.input_size = 5, .hidden_size = 3, .num_layers = 2, .head_dropout = 0.3}, tsdl::RangeLabel{},
      4);
  check_round_trip<tsdl::BiLSTMClassifier<float>>({.input_size = 5,
                                                   .hidden_size = 3,
                                                   .num_layers = 2,
                                                   .pooling = tsdl::Pooling::attention,
                                                   .attention_size = 5,
                                                   .attention_dropout = 0.25,
                                                   .input_projection = true},
                                                  tsdl::RangeLabel{}, 4);
  check_round_trip<tsdl::GRUClassifier<double>>({.input_size = 5,
                                                 .hidden_size = 4,
                                                 .num_layers = 1,
                                                 .pooling = tsdl::Pooling::attention,
                                                 .attention_size = 2},
                                                tsdl::RangeLabel{}, 4);
}

TEST_CASE("model files: a file of any kind is loaded as what it is") {
  const TemporaryDirectory directory;
  const tsdl::Candles candles = test::random_candles(120, 44);
  const auto data = tsdl::prepare<float>(candles, {.length = 9, .label = tsdl::ThresholdLabel{}});
  const auto windows = tsdl::apply<float>(data.recipe, candles);
  for (const std::string kind : {"lstm", "gru", "bilstm", "bigru"}) {
    const auto path = directory / (kind + ".safetensors");
    const auto model = tsdl::make_classifier<float>(
        kind, {.input_size = 5, .hidden_size = 4, .num_layers = 1, .outputs = 3}, 9);
    tsdl::save_model(path, model, data.recipe, 9);
    const auto loaded = tsdl::load_any_model<float>(path);
    CHECK(loaded.model.describe().kind == kind);
    CHECK(loaded.seed == 9);
    check_same(loaded.recipe, data.recipe);
    CHECK(same(tsdl::predict(loaded.model, windows), tsdl::predict(model, windows)));
  }
}

TEST_CASE("model files: those of tsdl 0.1 load, and compute what they did there") {
  // tests/goldens/format_1: tsdl 0.1 wrote them, and what the models gave for every window of the
  // first 120 shipped candles.
  const std::string directory = TSDL_SOURCE_DIR "/tests/goldens/format_1/";
  const tsdl::Candles candles = test::first_candles(test::shipped_candles(), 120);
  const auto check = [&]<class Model>(std::type_identity<Model>, const std::string& name,
                                      const tsdl::Task& task) {
    using Scalar = typename Model::Scalar;
    CAPTURE(name);
    const auto path = directory + name + ".safetensors";
    const tsdl::ModelInfo info = tsdl::read_model_info(path);
    CHECK(info.model.kind == name);
    CHECK(info.seed == 11);
    CHECK((info.task == task->describe()));
    const auto loaded = tsdl::load_model<Model>(path);
    CHECK((loaded.model.task()->describe() == task->describe()));
    const auto windows = tsdl::apply<Scalar>(loaded.recipe, candles);
    typename Model::Cache cache;
    tsdl::Buffer<Scalar> scratch;
    const auto outputs = loaded.model.forward(windows.batch(0, windows.size(), scratch), cache);
    tsdl::TensorFile expected = tsdl::read_safetensors(directory + name + "_outputs.safetensors");
    std::vector<double> values(static_cast<std::size_t>(outputs.size()));
    const std::vector<Index> shape = {outputs.cols(), outputs.rows()};
    expected.copy_to<double>("outputs", shape, values);
    REQUIRE(values.size() > 90);
    for (std::size_t i = 0; i < values.size(); ++i)
      CHECK(std::abs(static_cast<double>(outputs.data()[i]) - values[i]) <= 2e-6);
    // Written anew they are of this version.
    const TemporaryDirectory temporary;
    tsdl::save_model(temporary / "again", loaded.model, loaded.recipe, loaded.seed);
    CHECK(tsdl::read_safetensors(temporary / "again").metadata_at("tsdl.format") == "2");
    CHECK(same(tsdl::predict(tsdl::load_any_model<Scalar>(path).model, windows),
               tsdl::predict(tsdl::load_model<Model>(temporary / "again").model, windows)));
    return loaded.recipe;
  };
  const std::type_identity<tsdl::BiLSTMClassifier<float>> bilstm;
  const std::type_identity<tsdl::GRUClassifier<double>> gru;
  const std::type_identity<tsdl::LSTMClassifier<float>> lstm;
  CHECK(check(bilstm, "bilstm", tsdl::Binary{}).class_values == std::vector<double>{0, 1});
  CHECK(check(gru, "gru", tsdl::Classes{.count = 3}).class_values == std::vector<double>{-1, 0, 1});
  CHECK(check(lstm, "lstm", tsdl::Regression{}).regression);
}

TEST_CASE("model files: every task is kept, with its options to the bit") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  const auto prepared = test::small_data(tsdl::ColumnTargets{.columns = {"close", "high"}});
  const auto loaded = [&](Index outputs, const tsdl::Task& task, const tsdl::Recipe& recipe) {
    auto options = test::small_options();
    options.outputs = outputs;
    test::BiLSTM model(options, 2);
    model.set_task(task);
    tsdl::save_model(path, model, recipe, 1);
    const auto back = tsdl::load_model<test::BiLSTM>(path);
    CHECK((back.model.task()->describe() == task->describe()));
    CHECK((tsdl::load_any_model<float>(path).model.task()->describe() == task->describe()));
    return back;
  };
  const auto two = loaded(2, prepared.task(), prepared.recipe);
  CHECK(two.recipe.regression);
  const auto& label = std::get<tsdl::ColumnTargets>(two.recipe.label);
  CHECK((label.columns == std::vector<std::string>{"close", "high"}));
  CHECK(label.ahead == 1);
  loaded(6, prepared.quantiles({1.0 / 3, 0.5, 0.9}), prepared.recipe);
  loaded(2, tsdl::Regression{.targets = 2, .loss = tsdl::Huber{1.0 / 3}, .scale = prepared.scale},
         prepared.recipe);
  const auto classes = test::small_data().recipe;
  loaded(1, tsdl::Binary{.pos_weight = 0.1 + 0.2}, classes);
  loaded(2, tsdl::Classes{.count = 2, .weights = {1.0 / 3, 2}}, classes);
}

TEST_CASE("model files: loaded weights have no gradients") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  test::BiLSTM model(test::small_options(), 2);
  tsdl::Trainer trainer(model, {});
  tsdl::save_model(path, model, test::small_data().recipe, 1);
  const auto loaded = tsdl::load_model<test::BiLSTM>(path);
  Index trained = 0, held = 0;
  model.visit([&](const tsdl::Parameter<float>& p) { trained += p.gradient.size(); });
  loaded.model.visit([&](const tsdl::Parameter<float>& p) { held += p.gradient.size(); });
  CHECK(trained == model.parameter_count());
  CHECK(held == 0);
}

TEST_CASE("model files: each kind of label keeps its settings") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  const test::BiLSTM model(test::small_options());
  auto recipe = test::small_data().recipe;
  const auto loaded = [&](const tsdl::Label& label) {
    recipe.label = label;
    tsdl::save_model(path, model, recipe, 1);
    return tsdl::load_model<test::BiLSTM>(path).recipe.label;
  };
  CHECK(std::get<tsdl::RangeLabel>(loaded(tsdl::RangeLabel{33})).lookback == 33);
  CHECK(std::get<tsdl::DirectionLabel>(loaded(tsdl::DirectionLabel{12})).horizon == 12);
  const auto threshold = std::get<tsdl::ThresholdLabel>(
      loaded(tsdl::ThresholdLabel{.horizon = 3, .width = 0.1 + 0.2, .lookback = 31}));
  CHECK(threshold.horizon == 3);
  CHECK(threshold.width == 0.1 + 0.2);
  CHECK(threshold.lookback == 31);
  const auto triple = std::get<tsdl::TripleBarrierLabel>(loaded(tsdl::TripleBarrierLabel{
      .horizon = 11, .take_profit = 1.1, .stop_loss = 1.0 / 3, .lookback = 32}));
  CHECK(triple.horizon == 11);
  CHECK(triple.take_profit == 1.1);
  CHECK(triple.stop_loss == 1.0 / 3);
  CHECK(triple.lookback == 32);
  const std::string name = "a \"quoted\", UTF-8 name: \xc3\xa9";
  const auto column = std::get<tsdl::ColumnLabel>(loaded(tsdl::ColumnLabel{name, 4}));
  CHECK(column.column == name);
  CHECK(column.offset == 4);
  const auto targets =
      std::get<tsdl::ColumnTargets>(loaded(tsdl::ColumnTargets{{"close", name}, 5}));
  CHECK(targets.columns == std::vector<std::string>{"close", name});
  CHECK(targets.ahead == 5);
}

TEST_CASE("model files: classes keep their values, a regression has none") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  auto options = test::small_options();
  options.outputs = 3;
  const test::BiLSTM model(options);
  auto recipe = test::small_data(tsdl::ThresholdLabel{}).recipe;
  CHECK(recipe.class_values == std::vector<double>{-1, 0, 1});
  tsdl::save_model(path, model, recipe, 1);
  check_same(tsdl::load_model<test::BiLSTM>(path).recipe, recipe);
  recipe.class_values = {-1.0 / 3, 2, 1e9};
  recipe.every_step = true;
  tsdl::save_model(path, model, recipe, 1);
  check_same(tsdl::load_model<test::BiLSTM>(path).recipe, recipe);
  recipe.class_values.clear();
  recipe.regression = true;
  test::BiLSTM forecaster(test::small_options());
  forecaster.set_task(tsdl::Regression{.loss = tsdl::Huber{0.1}, .scale = {{1.0 / 3}, {1e-3}}});
  tsdl::save_model(path, forecaster, recipe, 1);
  CHECK((tsdl::load_model<test::BiLSTM>(path).model.task()->describe() ==
         forecaster.task()->describe()));
  check_same(tsdl::load_model<test::BiLSTM>(path).recipe, recipe);
}

TEST_CASE("model files: a recipe of a table's columns") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  tsdl::RandomStream random(4);
  const auto table = [&](Index rows) {
    tsdl::Table result;
    result.features = tsdl::Series<double>::sized({"alpha", "b \\ \xe2\x82\xac"}, rows);
    for (double& value : result.features.values) value = random.normal() * 1e-3 + 5;
    for (Index row = 0; row < rows; ++row) result.label.push_back(random.uniform() < 0.5 ? 0 : 1);
    return result;
  };
  const auto data = tsdl::prepare<float>(
      table(200), {.length = 5, .label = tsdl::ColumnLabel{"", 1}, .stride = 2});
  const test::BiLSTM model({.input_size = 2, .hidden_size = 4, .num_layers = 1}, 3);
  tsdl::save_model(path, model, data.recipe, 9);
  const auto loaded = tsdl::load_model<test::BiLSTM>(path);
  check_same(loaded.recipe, data.recipe);
  const tsdl::Table others = table(60);
  CHECK(same(tsdl::predict(loaded.model, tsdl::apply<float>(loaded.recipe, others)),
             tsdl::predict(model, tsdl::apply<float>(data.recipe, others))));
}

TEST_CASE("model files: a clip of features holds from prepare to prediction and tells runs apart") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  const auto clipped = [](double clip) {
    tsdl::Recipe recipe{.length = 8};
    recipe.scaler = tsdl::StandardScaler({.clip = clip});
    return tsdl::prepare<float>(test::random_candles(260, 3), recipe);
  };
  const auto data = clipped(0.7);
  CHECK(data.recipe.scaler.options().clip == 0.7);
  const test::BiLSTM model(test::small_options(), 3);
  tsdl::save_model(path, model, data.recipe, 1);
  const auto loaded = tsdl::load_model<test::BiLSTM>(path);
  check_same(loaded.recipe, data.recipe);
  const tsdl::Candles others = test::random_candles(60, 44);
  const auto windows = tsdl::apply<float>(loaded.recipe, others);
  float largest = 0;
  for (const float value : windows.series().values)
    if (!std::isnan(value)) largest = std::max(largest, std::abs(value));
  CHECK(largest == 0.7f);
  const auto probabilities = tsdl::predict(loaded.model, windows);
  CHECK(same(probabilities, tsdl::predict(model, tsdl::apply<float>(data.recipe, others))));
  const auto open = tsdl::apply<float>(clipped(0).recipe, others);
  CHECK_FALSE(same(probabilities, tsdl::predict(model, open)));

  test::BiLSTM trained(test::small_options(), 3);
  const tsdl::Trainer trainer(trained, {});
  const auto wide = clipped(1000), wider = clipped(2000);  // no value reaches either
  CHECK(tsdl::fingerprint(wide, trainer) == tsdl::fingerprint(clipped(1000), trainer));
  CHECK(tsdl::fingerprint(wide, trainer) != tsdl::fingerprint(wider, trainer));
}

TEST_CASE("model files: float files load into double models and back") {
  const TemporaryDirectory directory;
  const auto single = directory / "single.safetensors", both = directory / "both.safetensors";
  const auto recipe = test::small_data().recipe;
  const test::BiLSTM model(test::small_options(), 2);
  tsdl::save_model(single, model, recipe, 1);
  const auto wide = tsdl::load_model<tsdl::BiLSTMClassifier<double>>(single);
  tsdl::save_model(both, wide.model, wide.recipe, wide.seed);
  CHECK((test::read_bytes(both) != test::read_bytes(single)));
  const auto narrow = tsdl::load_model<test::BiLSTM>(both);
  CHECK((test::weight_bytes(narrow.model) == test::weight_bytes(model)));
}

TEST_CASE("model files: names that are not UTF-8 are refused as an Error, nothing written") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.safetensors";
  auto recipe = test::small_data().recipe;
  recipe.label = tsdl::ColumnLabel{"Pr\xe4mie", 1};  // Latin-1
  const test::BiLSTM model(test::small_options());
  const auto save = [&] { tsdl::save_model(path, model, recipe, 1); };
  CHECK_THROWS_AS(save(), tsdl::Error);
  CHECK(directory.count() == 0);
}

TEST_CASE("Checkpoint: writes the best model so far and the state of every epoch") {
  const TemporaryDirectory directory;
  const auto best = directory / "best.safetensors", last = directory / "last.state.safetensors";
  const auto data = test::small_data();
  test::BiLSTM model(test::small_options(), 3);
  tsdl::TrainerOptions options;
  options.max_epochs = 25;
  options.optimizer.lr = 0.005;
  options.seed = 12;
  tsdl::Trainer trainer(model, options);
  trainer.add(tsdl::Checkpoint{best, data.recipe, last, "print"});
  std::vector<bool> written;
  std::vector<std::string> states;
  std::string before;
  trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& state) {
    const std::string now = test::read_bytes(best);
    CHECK((now != before) == state.improved);
    before = now;
    written.push_back(state.improved);
    states.push_back(test::read_bytes(last));
    CHECK((states.size() < 2 || states.back() != states[states.size() - 2]));
  }});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  REQUIRE(history.best_epoch > 1);   // else the file was written once only,
  REQUIRE(history.best_epoch < 25);  // or in every epoch
  CHECK(written[static_cast<std::size_t>(history.best_epoch) - 1]);
  CHECK_FALSE(written.back());
  const auto loaded = tsdl::load_model<test::BiLSTM>(best);
  CHECK((test::weight_bytes(loaded.model) == test::weight_bytes(model)));
  CHECK(loaded.seed == 12);
  CHECK(tsdl::evaluate(loaded.model, data.validation).loss ==
        history.epochs[static_cast<std::size_t>(history.best_epoch) - 1].validation.loss);
  CHECK(directory.count() == 2);
}

TEST_CASE("Checkpoint: a path that cannot be written is an Error that names it") {
  const TemporaryDirectory directory;
  test::write_bytes(directory / "file", "x");
  const auto path = directory / "file/best.safetensors";
  const auto data = test::small_data();
  test::BiLSTM model(test::small_options(), 3);
  tsdl::Trainer trainer(model, {.max_epochs = 2});
  trainer.add(tsdl::Checkpoint{path, data.recipe});
  CHECK(test::contains(
      test::message_of<tsdl::Error>([&] { trainer.fit(data.train, data.validation); }),
      path.string()));
}
