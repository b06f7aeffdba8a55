// Writes ONNX files, and for each what it must give: NAME.json beside NAME.onnx holds features and
// what tsdl makes of them, by the name of each output.
//
// Usage: tsdl_onnx_cases DIRECTORY
//          every combination of cell, directions, layers, pooling, scaler and outputs, every task,
//          attention pooling with an input projection and without, Transformers of every option,
//          and ensembles
//        tsdl_onnx_cases DIRECTORY NAME MODEL CANDLES
//          for a model file and its two exports, NAME_raw.onnx with the scaler and NAME_scaled.onnx
//          without, that are already there
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/io/onnx.hpp>
#include <utility>
#include <vector>

namespace {

using tsdl::Index;
using tsdl::Pooling;
using tsdl::internal::Json;

constexpr Index batch = 17;

/// Raw features: rows of doubles.
tsdl::Series<double> series_of(std::vector<std::string> names, const std::vector<double>& rows) {
  const Index count = std::ssize(rows) / std::ssize(names);
  auto series = tsdl::Series<double>::sized(std::move(names), count);
  std::copy(rows.begin(), rows.end(), series.values.begin());
  return series;
}

/// `batch` windows of raw features, one after the other by `stride` rows, and the same scaled.
struct Input {
  const tsdl::Series<double>& raw;
  const tsdl::Recipe& recipe;
  Index length, stride;

  tsdl::Windows<float> windows() const {
    std::vector<Index> ends;
    for (Index b = 0; b < batch; ++b) ends.push_back(b * stride + length - 1);
    auto scaled = std::make_shared<const tsdl::Series<float>>(recipe.scaler.transform<float>(raw));
    return {std::move(scaled), length, stride, std::move(ends), {}};
  }
};

/// Describes a case: raw or scaled windows go in, and what `model` makes of the scaled ones comes
/// out.
void write_case(const std::filesystem::path& json, const tsdl::AnyModel<float>& model,
                const Input& input, bool raw) {
  const tsdl::Windows<float> windows = input.windows();
  std::vector<double> features;
  for (const Index end : windows.ends())
    for (Index row = end + 1 - input.length; row <= end; ++row)
      for (Index i = 0; i < windows.inputs(); ++i)
        features.push_back(raw ? input.raw.column(row)[i]
                               : static_cast<double>(windows.series().column(row)[i]));
  tsdl::AnyModel<float>::Cache cache;
  tsdl::Buffer<float> gathered;
  const auto outputs = model.forward(windows.batch(0, batch, gathered), cache);
  const tsdl::Task task = model.task();
  const Index K = task->outputs(), P = task->predictions();
  const Index S = tsdl::target_steps(model, input.length);
  std::vector<double> raw_outputs, predictions(static_cast<std::size_t>(batch * S * P)), one;
  for (Index row = 0; row < batch * S; ++row) {  // [batch][S], of columns that are [S][batch]
    const Index column = row % S * batch + row / S;
    one.assign(outputs.data() + column * K, outputs.data() + (column + 1) * K);
    raw_outputs.insert(raw_outputs.end(), one.begin(), one.end());
    task->decode(one.data(), predictions.data() + row * P);
  }
  Json expected;
  const auto expect = [&](const char* name, const std::vector<double>& values, Index width,
                          const std::vector<double>& units) {
    std::vector<Index> shape = {width};
    if (S > 1) shape.insert(shape.begin(), S);
    expected[name] = {{"shape", shape}, {"values", values}, {"units", units}};
  };
  if (task->classes() > 0) {
    expect("logits", raw_outputs, K, {});
    expect("probabilities", predictions, P, {});
  } else {
    std::vector<double> units;
    const auto scale = tsdl::TargetScale::from(task->describe());
    for (Index i = 0; i < P; ++i) units.push_back(scale.scale_of(i * task->targets() / P));
    expect("prediction", predictions, P, units);
  }
  const Json text = {{"type", raw ? "float64" : "float32"},
                     {"shape", {batch, input.length, windows.inputs()}},
                     {"features", features},
                     {"expected", expected}};
  tsdl::write_file(json, text.dump());
}

/// The size of a parameter's values, about, for outputs that depend on every part. A Transformer's
/// scores must stay moderate: a softmax of large ones reads one step alone.
double bound_of(const tsdl::Parameter<float>& parameter, const tsdl::Config& model) {
  const double root = std::sqrt(static_cast<double>(model.index("hidden_size")));
  if (parameter.name.starts_with("fc.")) return 4 / root;
  return model.kind == "transformer" ? 1.3 / root : 1 + 1 / root;
}

/// Draws weights, larger ones until the windows' probabilities differ: else any weights would do.
void draw_weights(tsdl::AnyModel<float>& model, const Input& input, tsdl::RandomStream& random) {
  const tsdl::Windows<float> windows = input.windows();
  const tsdl::Config config = model.describe();
  for (double scale = 0.5; scale < 10; scale *= 1.1) {
    model.visit([&](tsdl::Parameter<float>& parameter) {
      const double bound = scale * bound_of(parameter, config);
      const bool is_gain =
          parameter.name.find("norm") != std::string::npos && parameter.name.ends_with(".weight");
      for (float& value : parameter.value)
        value =
            static_cast<float>(is_gain ? random.uniform(0.5, 1.5) : random.uniform(-bound, bound));
    });
    model.repack();
    const tsdl::Matrix<double> p = tsdl::predict(model, windows);
    const tsdl::Config task = model.task()->describe();
    const double unit = task.contains("scale") ? tsdl::TargetScale::from(task).scale_of(0) : 1;
    double most = 0;
    for (Index b = 1; b < batch; ++b) most = std::max(most, std::abs(p(0, b) - p(0, 0)) / unit);
    if (most > 0.2) return;
  }
  throw tsdl::Error("no weights found whose probabilities differ");
}

/// One of the combinations.
struct Case {
  std::string kind;
  Index layers;
  Pooling pooling;
  Index outputs;
  tsdl::OnnxOptions onnx;
  double clip = 0;
  std::optional<tsdl::Task> task{};  ///< none: classes
  bool projection = false;
  /// Of kind transformer: its hidden_size, heads, feed_forward, activation and flags.
  tsdl::TransformerOptions transformer{};
  Index learnt = 0;  ///< the length trained on; 0: a few rows
};

/// Sizes and options that no other name of a case has.
std::string transformer_name(const tsdl::TransformerOptions& o) {
  std::string name = "_d" + std::to_string(o.hidden_size) + "_h" + std::to_string(o.heads) + "_";
  return name + to_string(o.activation) + (o.norm_first ? "_first" : "") +
         (o.causal ? "_causal" : "") + (o.final_norm ? "_normed" : "");
}

/// The model of a case, of I inputs and, if it is recurrent, H hidden units.
tsdl::AnyModel<float> make_case_model(const Case& c, Index I, Index H) {
  if (c.kind != "transformer")
    return tsdl::make_classifier<float>(c.kind, {.input_size = I,
                                                 .hidden_size = H,
                                                 .num_layers = c.layers,
                                                 .pooling = c.pooling,
                                                 .outputs = c.outputs,
                                                 .input_projection = c.projection});
  tsdl::TransformerOptions options = c.transformer;
  options.input_size = I;
  options.num_layers = c.layers;
  options.pooling = c.pooling;
  options.outputs = c.outputs;
  return tsdl::TransformerNetwork<float>(options);
}

/// What a case is run on: a recipe, and raw features around 1e9, -3e4, 0.02 and 1e9 again, with
/// deviations of 1, 300, 0.001 and 50: in float32 the first would be a constant.
struct Drawn {
  tsdl::Recipe recipe;
  tsdl::Series<double> raw;
  Index length, hidden;

  Input input() const { return {raw, recipe, length, length}; }
};

Drawn drawn_input(const Case& c, std::uint64_t number, tsdl::RandomStream& random) {
  constexpr std::array<std::array<double, 2>, 4> around = {
      {{1e9, 1.0}, {-3e4, 300.0}, {0.02, 0.001}, {1e9, 50.0}}};
  constexpr std::array<Index, 5> inputs = {3, 1, 5, 9, 2}, hidden = {5, 7, 17, 33, 2};
  const Index I = inputs[number % 5], H = hidden[number / 2 % 5];
  const Index learnt = c.learnt > 0 ? c.learnt : 3 + static_cast<Index>(number % 7);
  const Index length = c.onnx.dynamic_length ? learnt + 4 : learnt;
  tsdl::Recipe recipe{.length = learnt};
  recipe.scaler = tsdl::StandardScaler({.clip = c.clip});
  recipe.regression = c.task && (*c.task)->classes() == 0;
  for (Index k = 0; !recipe.regression && k < std::max<Index>(2, c.outputs); ++k)
    recipe.class_values.push_back(static_cast<double>(k));
  for (Index i = 0; i < I; ++i) recipe.columns.push_back("x" + std::to_string(i));
  std::vector<double> rows;
  for (Index row = 0; row < batch * length; ++row)
    for (Index i = 0; i < I; ++i) {
      const auto& [mean, deviation] = around[static_cast<std::size_t>(i) % around.size()];
      rows.push_back(mean + deviation * random.normal());
    }
  tsdl::Series<double> raw = series_of(recipe.columns, rows);
  recipe.scaler.fit(raw);
  return {std::move(recipe), std::move(raw), length, H};
}

/// The model of a case with drawn weights.
tsdl::AnyModel<float> drawn_model(const Case& c, const Drawn& drawn, tsdl::RandomStream& random) {
  auto model = make_case_model(c, std::ssize(drawn.recipe.columns), drawn.hidden);
  if (c.task) model.set_task(*c.task);
  draw_weights(model, drawn.input(), random);
  return model;
}

void write_files(const std::filesystem::path& directory, const std::string& name,
                 const tsdl::AnyModel<float>& model, const Drawn& drawn,
                 const tsdl::OnnxOptions& onnx) {
  tsdl::save_onnx(directory / (name + ".onnx"), model, drawn.recipe, onnx);
  write_case(directory / (name + ".json"), model, drawn.input(), onnx.include_scaler);
}

/// Exports a model with drawn weights.
void write_drawn(const std::filesystem::path& directory, const Case& c, std::uint64_t number) {
  tsdl::RandomStream random(1000 + number);
  const Drawn drawn = drawn_input(c, number, random);
  const auto model = drawn_model(c, drawn, random);
  std::string name = c.kind;
  name.append("_").append(std::to_string(c.layers));
  name.append("_").append(to_string(c.pooling));
  name.append(c.projection ? "_projected" : "");
  if (c.kind == "transformer") name.append(transformer_name(c.transformer));
  name.append("_k").append(std::to_string(c.outputs));
  if (c.task) name.append("_").append((*c.task)->describe().kind);
  name.append(c.onnx.include_scaler ? "_raw" : "_scaled");
  name.append(c.onnx.dynamic_length ? "_any_length" : "");
  name.append(c.clip > 0 ? "_clip" : "");
  write_files(directory, name, model, drawn, c.onnx);
}

void write_combinations(const std::filesystem::path& directory) {
  std::uint64_t number = 0;
  for (const char* kind : {"lstm", "gru", "bilstm", "bigru"})
    for (const Index layers : {1, 2, 3})
      for (const Pooling pooling : {Pooling::last, Pooling::each_direction_end, Pooling::mean})
        for (const Index outputs : {1, 3})
          for (const bool scaler : {true, false})
            write_drawn(directory, {kind, layers, pooling, outputs, {.include_scaler = scaler}},
                        number++);
  for (const char* kind : {"lstm", "bigru"})
    for (const Pooling pooling : {Pooling::last, Pooling::each_direction_end, Pooling::mean})
      write_drawn(directory,
                  {kind, 2, pooling, 3, {.include_scaler = true, .dynamic_length = true}, 0.7},
                  number++);
}

/// Attention pooling, and an input projection with it and without.
void write_attention(const std::filesystem::path& directory) {
  std::uint64_t number = 800;
  for (const char* kind : {"lstm", "gru", "bilstm", "bigru"})
    for (const Index layers : {1, 2})
      for (const bool projection : {false, true})
        for (const bool any_length : {false, true})
          write_drawn(directory,
                      {kind,
                       layers,
                       Pooling::attention,
                       3,
                       {.include_scaler = layers == 1, .dynamic_length = any_length},
                       0,
                       {},
                       projection},
                      number++);
  for (const Pooling pooling : {Pooling::last, Pooling::mean, Pooling::each_direction_end})
    write_drawn(directory, {"bigru", 2, pooling, 1, {}, 0, {}, true}, number++);
}

/// Tasks of numbers and their outputs, with a price of 1e9 that moves by 1.
std::vector<std::pair<tsdl::Task, Index>> number_tasks() {
  const tsdl::TargetScale one{{1e9}, {1.5}, {}}, three{{1e9, 0, -4}, {1.0, 0.01, 300}, {}};
  return {{tsdl::Regression{.scale = one}, 1},
          {tsdl::Regression{.targets = 3, .loss = tsdl::Huber{0.5}, .scale = three}, 3},
          {tsdl::Quantiles{.levels = {0.5}, .scale = one}, 1},
          {tsdl::Quantiles{.levels = {0.1, 0.9}, .scale = one}, 2},
          {tsdl::Quantiles{.levels = {0.05, 0.25, 0.5, 0.75}, .targets = 3, .scale = three}, 12}};
}

/// Each task, and a target for every step.
void write_tasks(const std::filesystem::path& directory) {
  const auto tasks = number_tasks();
  std::uint64_t number = 500;
  for (const char* kind : {"gru", "bilstm"})
    for (const auto& [task, outputs] : tasks)
      for (const bool scaler : {true, false})
        write_drawn(directory,
                    {kind, 2, Pooling::last, outputs, {.include_scaler = scaler}, 0, task},
                    number++);
  for (const bool any_length : {true, false})
    for (const char* kind : {"gru", "lstm"}) {
      const tsdl::OnnxOptions onnx{.include_scaler = true, .dynamic_length = any_length};
      write_drawn(directory, {kind, 1, Pooling::each, 1, onnx}, number++);
      write_drawn(directory, {kind, 2, Pooling::each, 3, onnx}, number++);
      write_drawn(directory, {kind, 2, Pooling::each, 3, onnx, 0, tasks[1].first}, number++);
      write_drawn(directory, {kind, 1, Pooling::each, 2, onnx, 0, tasks[3].first}, number++);
    }
}

/// The n-th of Transformers of 1 to 8 heads and odd sizes. Columns of fewer than 8 values would do
/// less well: a layer norm of few values enlarges roundings.
tsdl::TransformerOptions transformer_of(std::uint64_t n) {
  constexpr std::array<Index, 8> head = {9, 7, 5, 3, 3, 2, 3, 1};
  constexpr std::array<Index, 5> units = {7, 16, 33, 3, 20};
  const auto heads = static_cast<Index>(n % 8) + 1;
  return {.hidden_size = heads * head[n % 8],
          .heads = heads,
          .feed_forward = units[n % 5],
          .dropout = 0.3,
          .activation =
              n % 2 == 0 ? tsdl::FeedForwardActivation::relu : tsdl::FeedForwardActivation::gelu,
          .norm_first = n / 2 % 2 == 1,
          .causal = n / 4 % 2 == 1,
          .final_norm = n % 3 == 0};
}

/// Transformers: each option with each, every pooling, windows of one row and of 300, every task.
void write_transformers(const std::filesystem::path& directory) {
  std::uint64_t number = 900;
  constexpr std::array<Pooling, 4> cycle = {Pooling::last, Pooling::mean, Pooling::attention,
                                            Pooling::each_direction_end};
  const auto write = [&](tsdl::TransformerOptions o, Case c) {
    o.causal |= c.pooling == Pooling::each;
    c.kind = "transformer";
    c.transformer = o;
    write_drawn(directory, c, number++);
  };
  for (const Index layers : {1, 2, 3})
    for (std::uint64_t n = 0; n < 8; ++n) {
      tsdl::TransformerOptions o = transformer_of(n);
      const auto turned = transformer_of(n + 3 * static_cast<std::uint64_t>(layers));
      o.hidden_size = turned.hidden_size;  // so that sizes differ from layers to layers
      o.heads = turned.heads;
      o.feed_forward = turned.feed_forward;
      write(o, {.kind = {},
                .layers = layers,
                .pooling = cycle[number % 4],
                .outputs = n % 3 == 0 ? 1 : 3,
                .onnx = {.include_scaler = n % 4 < 2, .dynamic_length = n / 4 != n % 2},
                .clip = n == 5 ? 0.7 : 0});
    }
  for (const Pooling pooling : tsdl::poolings)
    for (const bool any_length : {false, true})
      for (const Index learnt : {296, pooling == Pooling::each ? 2 : 1})
        write(transformer_of(number), {.kind = {},
                                       .layers = 2,
                                       .pooling = pooling,
                                       .outputs = learnt > 2 ? 3 : 1,
                                       .onnx = {.dynamic_length = any_length},
                                       .learnt = learnt});
  for (const auto& [task, outputs] : number_tasks())
    for (const Pooling pooling : {Pooling::last, Pooling::each})
      write(transformer_of(number), {.kind = {},
                                     .layers = 2,
                                     .pooling = pooling,
                                     .outputs = outputs,
                                     .onnx = {.include_scaler = number % 2 == 0},
                                     .task = task});
}

/// Ensembles of three kinds, every task and pooling, classes with a temperature and without.
void write_ensembles(const std::filesystem::path& directory) {
  std::uint64_t number = 1200;
  auto tasks = number_tasks();
  tasks.emplace_back(tsdl::Binary{}, 1);
  tasks.emplace_back(tsdl::Classes{.count = 3}, 3);
  for (const auto& [task, outputs] : tasks)
    for (const Pooling pooling : {Pooling::last, Pooling::each, Pooling::attention})
      for (const bool calibrated : {false, true}) {
        if (calibrated && task->classes() == 0) continue;
        Case c{.kind = {},
               .layers = 2,
               .pooling = pooling,
               .outputs = outputs,
               .onnx = {.include_scaler = number % 2 == 0, .dynamic_length = number % 3 == 0},
               .task = task,
               .transformer = transformer_of(number)};
        c.transformer.causal |= pooling == Pooling::each;
        tsdl::RandomStream random(number);
        const Drawn drawn = drawn_input(c, number, random);
        std::vector<tsdl::AnyModel<float>> members;
        for (const char* kind : {"lstm", "gru", "transformer"}) {
          c.kind = kind;
          members.push_back(drawn_model(c, drawn, random));
        }
        tsdl::Ensemble<float> ensemble(members, {0.5, 0.2, 0.3});
        if (calibrated) ensemble.set_task(task.with_temperature(1.7));
        std::string name = "ensemble_" + std::string(to_string(pooling)) + "_" +
                           task->describe().kind + "_k" + std::to_string(outputs);
        if (calibrated) name += "_calibrated";
        if (c.onnx.dynamic_length) name += "_any_length";
        write_files(directory, name, ensemble, drawn, c.onnx);
        ++number;
      }
}

/// The latest windows of the candles.
void write_trained(const std::filesystem::path& directory, const std::string& name,
                   const std::string& model_file, const std::string& candles) {
  const auto loaded = tsdl::load_any_model<float>(model_file);
  const tsdl::Recipe& recipe = loaded.recipe;
  const tsdl::Series<double> all =
      tsdl::engineer_features(tsdl::read_candles(candles), tsdl::feature_set(recipe.features));
  const Index stride = 3, rows = (batch - 1) * stride + recipe.length;
  const Index I = all.features;
  const double* first = all.column(all.rows - rows);
  const auto raw = series_of(recipe.columns, std::vector<double>(first, first + rows * I));
  const Input input{raw, recipe, recipe.length, stride};
  write_case(directory / (name + "_raw.json"), loaded.model, input, true);
  write_case(directory / (name + "_scaled.json"), loaded.model, input, false);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 1) {
      write_combinations(arguments[0]);
      write_tasks(arguments[0]);
      write_attention(arguments[0]);
      write_transformers(arguments[0]);
      write_ensembles(arguments[0]);
    } else if (arguments.size() == 4)
      write_trained(arguments[0], arguments[1], arguments[2], arguments[3]);
    else
      throw tsdl::Error("usage: tsdl_onnx_cases DIRECTORY [NAME MODEL CANDLES]");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
