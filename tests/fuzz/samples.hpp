// The files that are changed, and what is done with a changed one: all that a program does with it.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/mutate.hpp"
#include "tsdl/bilstm.hpp"
#include "tsdl/gru.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/lstm.hpp"
#include "tsdl/serve/streaming.hpp"

namespace fuzz {

/// A file as it was written, and its use, which may throw tsdl::Error only.
struct Sample {
  std::string name;
  std::string bytes;
  /// Reads the file, or bytes that are one; returns when it is used up.
  std::function<void(const std::string& bytes, const std::filesystem::path& path)> use;
  /// Whether it is a safetensors file, and not a snapshot.
  bool has_tensors = true;
  tsdl::TensorFile file{};  ///< its contents, if it is one
};

inline void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

inline std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline tsdl::Candles make_candles(Index n) {
  tsdl::RandomStream random(1);
  tsdl::Candles candles;
  candles.has_volume = true;
  double close = 100;
  for (Index t = 0; t < n; ++t) {
    const double open = close;
    close *= 1 + 0.02 * random.normal();
    const double high = std::max(open, close) * (1 + 0.01 * random.uniform());
    const double low = std::min(open, close) * (1 - 0.01 * random.uniform());
    candles.rows.push_back(
        {(t + 1) * std::int64_t{3600000}, open, high, low, close, 1000 * random.uniform()});
  }
  return candles;
}

inline tsdl::Table make_table(Index n) {
  tsdl::RandomStream random(2);
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a", "b"}, n);
  table.label_name = "y";
  for (double& value : table.features.values) value = random.normal();
  for (Index row = 0; row < n; ++row) table.label.push_back(row % 2 == 0 ? 0.0 : 1.0);
  return table;
}

struct Data {
  tsdl::Candles candles = make_candles(60), few = make_candles(30);
  tsdl::Table table = make_table(40);
};

/// Predicts with a loaded model, then runs it live.
inline void predict_with(tsdl::LoadedModel<tsdl::AnyModel<float>> loaded, const Data& data) {
  const tsdl::Recipe& recipe = loaded.recipe;
  tsdl::class_names(recipe);
  tsdl::target_names(recipe);
  const bool is_table = recipe.features.empty();
  const auto guarded = [](const auto& action) {
    try {
      action();
    } catch (const tsdl::Error&) {  // the next use may be possible all the same
    }
  };
  guarded([&] {
    tsdl::predict(loaded.model, is_table ? tsdl::apply<float>(recipe, data.table)
                                         : tsdl::apply<float>(recipe, data.few));
  });
  const auto model = std::make_shared<const tsdl::AnyModel<float>>(std::move(loaded.model));
  for (const auto mode : {tsdl::StreamMode::rerun, tsdl::StreamMode::carry})
    guarded([&] {
      tsdl::StreamingPredictor stream(model, recipe, mode);
      for (Index row = 0; row < data.few.size(); ++row)
        is_table ? stream.push_features({data.table.features.column(row), 2})
                 : stream.push(data.few[row]);
    });
}

inline std::string save_to_bytes(const auto& model, const tsdl::Recipe& recipe,
                                 const std::filesystem::path& path) {
  tsdl::save_model(path, model, recipe, 1);
  return read(path);
}

/// Model files of each kind of network, task and label.
inline void add_models(std::vector<Sample>& samples, const std::shared_ptr<const Data>& data,
                       const std::filesystem::path& path) {
  const auto add_made = [&](const std::string& name, tsdl::AnyModel<float> model,
                            const tsdl::Prepared<float>& prepared, const tsdl::Task& task) {
    model.set_task(task);
    samples.push_back({"model " + name, save_to_bytes(model, prepared.recipe, path),
                       [data](const std::string& bytes, const std::filesystem::path& file) {
                         write(file, bytes);
                         predict_with(tsdl::load_any_model<float>(file), *data);
                       }});
  };
  const auto sized = [&](auto options, const tsdl::Prepared<float>& prepared,
                         const tsdl::Task& task) {
    options.input_size = prepared.inputs();
    options.hidden_size = 2;
    options.outputs = task->outputs();
    return options;
  };
  const auto add = [&](const std::string& name, const std::string& kind,
                       const tsdl::ClassifierOptions& options,
                       const tsdl::Prepared<float>& prepared, const tsdl::Task& task) {
    add_made(name, tsdl::make_classifier<float>(kind, sized(options, prepared, task), 1), prepared,
             task);
  };
  const auto of = [&](tsdl::Recipe recipe) {
    return tsdl::prepare<float>(data->candles, std::move(recipe), {.validation = 0.1, .test = 0.1});
  };
  const auto two = of({.features = "ohlc", .length = 3, .label = tsdl::DirectionLabel{}});
  add("bilstm, two classes", "bilstm", {.num_layers = 1}, two, two.task());
  const auto three =
      of({.features = "ohlcv", .length = 3, .label = tsdl::ThresholdLabel{.lookback = 2}});
  add("gru, three classes", "gru",
      {.num_layers = 2, .dropout = 0.2, .head_dropout = 0.1, .pooling = tsdl::Pooling::mean}, three,
      tsdl::Classes{.count = 3, .weights = {1, 2, 0.5}});
  const auto numbers = of({.features = "ohlc",
                           .length = 3,
                           .label = tsdl::ColumnTargets{{"close", "close_return"}},
                           .scaler = tsdl::StandardScaler({.clip = 5})});
  add("lstm, numbers", "lstm", {.num_layers = 1}, numbers,
      tsdl::Regression{.targets = 2, .loss = tsdl::Huber{1.5}, .scale = numbers.scale});
  add("bigru, quantiles", "bigru", {.num_layers = 1, .pooling = tsdl::Pooling::each_direction_end},
      numbers, numbers.quantiles({0.1, 0.5, 0.9}));
  const tsdl::TransformerOptions attends{
      .heads = 1, .feed_forward = 3, .final_norm = true, .pooling = tsdl::Pooling::attention};
  add_made("transformer, two classes",
           tsdl::TransformerNetwork<float>(sized(attends, two, two.task()), 1), two, two.task());
  const auto member = [&](const char* kind) {
    auto model = tsdl::make_classifier<float>(
        kind, sized(tsdl::ClassifierOptions{.num_layers = 1}, three, three.task()), 1);
    model.set_task(three.task());
    return model;
  };
  add_made("ensemble, three classes",
           tsdl::Ensemble<float>({member("lstm"), member("gru")}, {0.25, 0.75}), three,
           three.task().with_temperature(1.5));
  const auto rows = tsdl::prepare<float>(
      data->table, {.length = 3, .label = tsdl::ColumnLabel{.offset = 1}, .every_step = true},
      {.validation = 0.1, .test = 0.1});
  add("gru, a table", "gru", {.num_layers = 1, .pooling = tsdl::Pooling::each}, rows, rows.task());
}

/// A run of two tiny epochs, or the rest of one.
template <class M>
struct Run {
  M model;
  tsdl::Trainer<M> trainer;
  explicit Run(const tsdl::Prepared<typename M::Scalar>& data, bool callbacks)
      : model({.input_size = data.inputs(), .hidden_size = 2, .num_layers = 1}, 1),
        trainer(
            model,
            {.optimizer = {.lr = 0.05}, .batch_size = 8, .max_epochs = 3, .shuffle = callbacks}) {
    if (!callbacks) return;
    trainer.add(tsdl::ReduceLROnPlateau{.patience = 1, .cooldown = 1});
    trainer.add(tsdl::EarlyStopping{.patience = 2});
  }
};

template <class M>
void add_state(std::vector<Sample>& samples, const Data& data, const std::string& name,
               bool callbacks, const std::filesystem::path& path) {
  constexpr const char* print = "0123456789abcdef";
  const auto prepared =
      std::make_shared<const tsdl::Prepared<typename M::Scalar>>(tsdl::prepare<typename M::Scalar>(
          data.candles, {.features = "ohlc", .length = 3, .label = tsdl::DirectionLabel{}},
          {.validation = 0.2, .test = 0.2}));
  Run<M> run(*prepared, callbacks);
  run.trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& state) {
    if (state.epoch == 2) tsdl::save_training_state(path, run.trainer, print);
  }});
  run.trainer.fit(prepared->train, prepared->validation);
  samples.push_back(
      {"state " + name, read(path),
       [prepared, callbacks](const std::string& bytes, const std::filesystem::path& file) {
         write(file, bytes);
         Run<M> rest(*prepared, callbacks);
         const M before = rest.model;
         try {
           tsdl::resume(file, rest.trainer, print);
         } catch (const tsdl::Error&) {
           auto weight = before.linear().weight().value.begin();
           for (const auto value : rest.model.linear().weight().value)
             if (value != *weight++ || rest.trainer.state().epoch != 0 ||
                 rest.trainer.optimizer().steps() != 0)
               throw std::logic_error("a state that was refused has changed the trainer");
           throw;
         }
         rest.trainer.fit(prepared->train, prepared->validation);
       }});
}

/// Snapshots of a model with these options, but for their sizes. All are restored in one stream,
/// which stays as it was when one is refused.
template <class M>
void add_snapshot(std::vector<Sample>& samples, const Data& data, const std::string& set,
                  tsdl::StreamOptions how, typename M::Options options) {
  const tsdl::Recipe recipe =
      tsdl::prepare<float>(make_candles(200),
                           {.features = set, .length = 3, .label = tsdl::DirectionLabel{}})
          .recipe;
  options.input_size = std::ssize(recipe.columns);
  options.hidden_size = 2;
  options.num_layers = 2;
  using Stream = tsdl::StreamingPredictor<M>;
  const auto stream = std::make_shared<Stream>(M(options, 1), recipe, how);
  const tsdl::Candles past = make_candles(150);
  for (const tsdl::Candle& candle : past.rows) stream->push(candle);
  const auto snapshot = stream->snapshot();
  const std::string bytes(reinterpret_cast<const char*>(snapshot.data()), snapshot.size());
  std::vector<tsdl::Candle> next = data.few.rows;
  next.resize(4);
  for (tsdl::Candle& candle : next) candle.time += std::int64_t{3600000} * 1000;
  samples.push_back(
      {"snapshot " + set, bytes,
       [stream, snapshot, next](const std::string& changed, const std::filesystem::path&) {
         try {
           stream->restore(std::as_bytes(std::span(changed)));
         } catch (const tsdl::Error&) {
           if (stream->snapshot() != snapshot)
             throw std::logic_error("a snapshot that was refused has changed the stream");
           throw;
         }
         for (const tsdl::Candle& candle : next) {
           stream->push(candle);
           stream->fault();
         }
         stream->restore(snapshot);
       },
       false});
}

/// All samples; `path`: a file that may be written.
inline std::vector<Sample> make_samples(const std::filesystem::path& path) {
  const auto data = std::make_shared<const Data>();
  std::vector<Sample> samples;
  add_models(samples, data, path);
  add_state<tsdl::BiLSTMClassifier<float>>(samples, *data, "bilstm, callbacks", true, path);
  add_state<tsdl::GRUClassifier<double>>(samples, *data, "gru", false, path);
  using tsdl::Pooling, tsdl::StreamMode;
  add_snapshot<tsdl::GRUClassifier<float>>(samples, *data, "ohlcv", StreamMode::carry,
                                           {.pooling = Pooling::mean});
  add_snapshot<tsdl::BiLSTMClassifier<float>>(samples, *data, "technical23", StreamMode::rerun, {});
  add_snapshot<tsdl::LSTMClassifier<float>>(samples, *data, "hybrid", StreamMode::carry, {});
  // Keys and values of all candles but the last two that are pushed.
  add_snapshot<tsdl::TransformerNetwork<float>>(
      samples, *data, "ohlc", {StreamMode::carry, 152},
      {.heads = 2, .feed_forward = 3, .causal = true, .pooling = Pooling::attention});
  for (Sample& sample : samples) {
    if (!sample.has_tensors) continue;
    write(path, sample.bytes);
    sample.file = tsdl::read_safetensors(path);
  }
  return samples;
}

/// The sample's bytes with the changes that (seed, number) names.
inline std::string changed(const Sample& sample, const Sample& other, Mutator& mutator) {
  std::string bytes = sample.bytes;
  if (!sample.has_tensors) {
    constexpr std::size_t header = 32;
    std::string state = bytes.substr(header);
    if (mutator.one_in(8)) {
      mutator.bytes(bytes, other.bytes);
      return bytes;
    }
    mutator.bytes(state, other.bytes);
    const std::uint64_t size = state.size();
    if (mutator.one_in(4)) std::memcpy(bytes.data() + 16, &size, sizeof(size));
    const std::uint64_t sum = tsdl::Fingerprint().add(std::as_bytes(std::span(state))).value();
    if (!mutator.one_in(20)) std::memcpy(bytes.data() + 24, &sum, sizeof(sum));
    return bytes.substr(0, header) + state;
  }
  switch (mutator.below(8)) {
    case 0:
      mutator.bytes(bytes, other.bytes);
      return bytes;
    case 1:
      mutator.header(bytes);
      return bytes;
    default: {
      tsdl::TensorFile file = sample.file;
      mutator.tensors(file);
      return bytes_of(file);
    }
  }
}

}  // namespace fuzz
