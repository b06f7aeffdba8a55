// A stream of candles against predict and one long forward pass: the same bits. Snapshots, and what
// is refused.
#include "tsdl/serve/streaming.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/helpers.hpp"
#include "support/network.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/train/predict.hpp"

namespace {

using test::at, test::Index, test::same_bits;
using Status = tsdl::Prediction::Status;
using tsdl::StreamMode;

constexpr Index rows = 260, length = 12;
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A recipe fitted on the first shipped candles, and an untrained model with it.
template <class Model>
struct Fitted {
  tsdl::Candles candles = test::first_candles(test::shipped_candles(), rows);
  tsdl::Recipe recipe;
  Model model;

  explicit Fitted(const std::string& set, typename Model::Options options, double clip = 5)
      : recipe(tsdl::prepare<float>(candles,
                                    {.features = set,
                                     .length = length,
                                     .label = tsdl::RangeLabel{},
                                     .scaler = tsdl::StandardScaler({.clip = clip})},
                                    {.validation = 0.1, .test = 0.1})
                   .recipe),
        model(drawn(options)) {}

  tsdl::Windows<typename Model::Scalar> windows() const {
    return tsdl::apply<typename Model::Scalar>(recipe, candles);
  }

 private:
  Model drawn(typename Model::Options& options) const {
    options.input_size = std::ssize(recipe.columns);
    Model made(options, 4);
    tsdl::RandomStream random(7);
    test::draw_parameters(made, random, 0.4);
    return made;
  }
};

template <class Stream>
Index count_differences(Stream& stream, const tsdl::Candles& candles, Index from,
                        const tsdl::Windows<typename Stream::Scalar>& windows,
                        const tsdl::Matrix<double>& expected) {
  Index wrong = 0, next = 0;
  while (next < windows.size() && windows.end_row(next) < from) ++next;
  for (Index row = from; row < candles.size(); ++row) {
    const tsdl::Prediction prediction = stream.push(candles[row]);
    const bool due = next < windows.size() && windows.end_row(next) == row;
    wrong += static_cast<bool>(prediction) != due;
    if (!due) continue;
    REQUIRE(prediction.probabilities.size() == at(expected.rows()));
    for (Index k = 0; k < expected.rows(); ++k)
      wrong += !same_bits(prediction.probabilities[at(k)], expected(k, next));
    ++next;
  }
  return wrong;
}

/// Probabilities of windows that are copied out, `batch` at a time.
template <class Model>
tsdl::Matrix<double> predict_dense(const Model& model,
                                   const tsdl::Windows<typename Model::Scalar>& windows,
                                   Index batch) {
  typename Model::Cache cache;
  tsdl::Buffer<typename Model::Scalar> gathered;
  const Index K = model.outputs();
  tsdl::Matrix<double> result(K, windows.size());
  for (Index first = 0; first < windows.size(); first += batch) {
    std::vector<Index> samples;
    for (Index i = first; i < std::min(first + batch, windows.size()); ++i) samples.push_back(i);
    const auto logits = model.forward(windows.gather(samples, gathered), cache);
    const std::vector<double> wide(logits.data(), logits.data() + logits.size());
    for (Index b = 0; b < logits.cols(); ++b)
      model.task()->decode(wide.data() + b * K, result.data() + (first + b) * K);
  }
  return result;
}

struct Setting {
  Index hidden, layers, outputs;
  tsdl::Pooling pooling;
};
constexpr Setting settings[] = {{7, 1, 1, tsdl::Pooling::last},
                                {20, 2, 3, tsdl::Pooling::each_direction_end},
                                {17, 3, 1, tsdl::Pooling::mean},
                                {33, 2, 1, tsdl::Pooling::last},
                                {19, 2, 3, tsdl::Pooling::attention}};

tsdl::ClassifierOptions options_of(const Setting& setting) {
  return {.hidden_size = setting.hidden,
          .num_layers = setting.layers,
          .dropout = 0.3,
          .pooling = setting.pooling,
          .outputs = setting.outputs,
          .input_projection = setting.pooling == tsdl::Pooling::attention};
}

/// `count` columns as one sequence.
template <class Scalar>
tsdl::Sequence<const Scalar> sequence(const tsdl::Series<Scalar>& series, Index first,
                                      Index count) {
  return {series.column(first), series.features, count, 1, series.features, series.features};
}

}  // namespace

TEST_CASE_TEMPLATE("streaming: a window that is run again has the bits of predict", Model,
                   tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>,
                   tsdl::BiLSTMClassifier<float>, tsdl::BiLSTMClassifier<double>,
                   tsdl::BiGRUClassifier<float>) {
  for (const Setting& setting : settings) {
    CAPTURE(setting.hidden);
    const Fitted<Model> fitted("technical23", options_of(setting));
    const auto windows = fitted.windows();
    REQUIRE(windows.size() > 150);
    const auto expected = tsdl::predict(fitted.model, windows);
    for (const Index batch : {1, 7}) {
      CAPTURE(batch);
      CHECK(predict_dense(fitted.model, windows, batch) == expected);
    }
    tsdl::StreamingClassifier stream(fitted.model, fitted.recipe);
    CHECK(stream.mode() == StreamMode::rerun);
    CHECK(count_differences(stream, fitted.candles, 0, windows, expected) == 0);
    stream.reset();
    CHECK(count_differences(stream, fitted.candles, 0, windows, expected) == 0);
  }
}

TEST_CASE("streaming: all features, and a window of one candle") {
  Fitted<tsdl::BiLSTMClassifier<float>> fitted("hybrid", options_of(settings[3]));
  const auto windows = fitted.windows();
  tsdl::StreamingClassifier stream(fitted.model, fitted.recipe);
  CHECK(count_differences(stream, fitted.candles, 0, windows,
                          tsdl::predict(fitted.model, windows)) == 0);
  fitted.recipe.length = 1;
  const auto single = fitted.windows();
  tsdl::StreamingClassifier one(fitted.model, fitted.recipe);
  CHECK(count_differences(one, fitted.candles, 0, single, tsdl::predict(fitted.model, single)) ==
        0);
}

TEST_CASE_TEMPLATE("streaming: a state that is carried has the bits of one long forward", Model,
                   tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>) {
  for (const Setting& setting : settings) {
    CAPTURE(setting.hidden);
    const Fitted<Model> fitted("technical23", options_of(setting));
    const auto windows = fitted.windows();
    const auto& series = windows.series();
    const Index first = windows.end_row(0) - length + 1;
    tsdl::StreamingClassifier stream(fitted.model, fitted.recipe, StreamMode::carry);
    CHECK(stream.mode() == StreamMode::carry);
    typename Model::Cache cache;
    Index wrong = 0, rerun_too = 0;
    const auto rerun = tsdl::predict(fitted.model, windows);
    std::vector<double> expected(at(setting.outputs));
    for (Index row = 0; row < rows; ++row) {
      if (row % 3 == 1) stream.prepare();
      const auto prediction = stream.push(fitted.candles[row]);
      REQUIRE(static_cast<bool>(prediction) == (row >= windows.end_row(0)));
      if (!prediction) continue;
      const Index count = row - first + 1;
      const auto logits = fitted.model.forward(sequence(series, first, count), cache);
      const std::vector<double> wide(logits.data(), logits.data() + logits.size());
      fitted.model.task()->decode(wide.data(), expected.data());
      for (std::size_t k = 0; k < expected.size(); ++k) {
        wrong += !same_bits(prediction.probabilities[k], expected[k]);
        rerun_too += same_bits(prediction.probabilities[k],
                               rerun(static_cast<Index>(k), row - windows.end_row(0)));
      }
    }
    CHECK(wrong == 0);
    // Only the first window begins where the long sequence does.
    CHECK(rerun_too >= setting.outputs);
    CHECK(rerun_too < windows.size() / 4);
  }
}

TEST_CASE_TEMPLATE("streaming: a causal Transformer keeps keys and values, and refuses when full",
                   Model, tsdl::TransformerNetwork<float>, tsdl::TransformerNetwork<double>) {
  for (const auto pooling : {tsdl::Pooling::last, tsdl::Pooling::mean, tsdl::Pooling::attention}) {
    CAPTURE(static_cast<int>(pooling));
    const Fitted<Model> fitted(
        "technical23",
        {.hidden_size = 12, .heads = 3, .feed_forward = 9, .causal = true, .pooling = pooling});
    const auto windows = fitted.windows();
    const auto& series = windows.series();
    const Index first = windows.end_row(0) - length + 1, most = 50;
    const tsdl::AnyModel<typename Model::Scalar> any(fitted.model);
    tsdl::StreamingPredictor stream(any, fitted.recipe, {StreamMode::carry, most});
    typename Model::Cache cache;
    double expected = 0;
    Index wrong = 0, ready = 0;
    for (Index row = 0; row < first + most; ++row) {
      REQUIRE(!stream.is_full());
      if (row == first + 20) {  // goes on from a snapshot
        const auto bytes = stream.snapshot();
        stream = tsdl::StreamingPredictor(any, fitted.recipe, {StreamMode::carry, most});
        stream.restore(bytes);
        CHECK_THROWS_AS(tsdl::StreamingPredictor(any, fitted.recipe, {StreamMode::carry, most + 1})
                            .restore(bytes),
                        tsdl::FormatError);
      }
      const auto prediction = stream.push(fitted.candles[row]);
      if (!prediction) continue;
      const auto outputs = fitted.model.forward(sequence(series, first, row - first + 1), cache);
      const std::vector<double> wide(outputs.data(), outputs.data() + outputs.size());
      fitted.model.task()->decode(wide.data(), &expected);
      wrong += !same_bits(prediction.values[0], expected);
      ++ready;
    }
    CHECK(wrong == 0);
    CHECK(ready == most - length + 1);
    CHECK(stream.is_full());
    const auto bytes = stream.snapshot();
    CHECK(stream.push(fitted.candles[first + most]).status == Status::refused);
    CHECK(stream.fault() ==
          "the model holds the 50 rows that max_steps made room for: reset() the stream, or make "
          "one with more");
    CHECK(stream.snapshot() == bytes);
    stream.reset();
    CHECK(stream.push(fitted.candles[0]).status == Status::warming_up);
  }
  const Fitted<Model> both("ohlcv", {.hidden_size = 4, .heads = 2, .feed_forward = 3});
  CHECK_THROWS_AS(tsdl::StreamingPredictor(both.model, both.recipe, {StreamMode::carry, 9}),
                  tsdl::OptionError);
  const Fitted<Model> causal("ohlcv",
                             {.hidden_size = 4, .heads = 2, .feed_forward = 3, .causal = true});
  CHECK_THROWS_AS(tsdl::StreamingPredictor(causal.model, causal.recipe, StreamMode::carry),
                  tsdl::ShapeError);
}

TEST_CASE("streaming: sizes known when compiling change no bit, weights of half the width do") {
  using Model = tsdl::LSTMClassifier<float>;
  const Fitted<Model> fitted("technical23", options_of({16, 1, 1, tsdl::Pooling::last}));
  tsdl::StreamingClassifier plain(fitted.model, fitted.recipe, StreamMode::carry);
  tsdl::StreamingClassifier<Model, float, 23, 16> known(fitted.model, fitted.recipe,
                                                        StreamMode::carry);
  tsdl::StreamingClassifier<Model, tsdl::BFloat16> half(fitted.model, fitted.recipe,
                                                        StreamMode::carry);
  Index ready = 0, wrong = 0, moved = 0;
  for (const tsdl::Candle& candle : fitted.candles.rows) {
    const auto a = plain.push(candle), b = known.push(candle), c = half.push(candle);
    REQUIRE(a.status == b.status);
    if (!a) continue;
    ++ready;
    wrong += !same_bits(a.probabilities[0], b.probabilities[0]);
    moved += !same_bits(a.probabilities[0], c.probabilities[0]);
    CHECK(c.probabilities[0] == doctest::Approx(a.probabilities[0]).epsilon(0.05));
  }
  CHECK(ready > 150);
  CHECK(wrong == 0);
  CHECK(moved > ready / 2);
}

TEST_CASE("streaming: rows of features that were made elsewhere") {
  using Model = tsdl::GRUClassifier<float>;
  const Fitted<Model> fitted("ohlcv", options_of(settings[0]));
  tsdl::StreamingClassifier from_candles(fitted.model, fitted.recipe);
  tsdl::StreamingClassifier from_rows(fitted.model, fitted.recipe);
  const auto series = tsdl::engineer_features(fitted.candles, "ohlcv");
  for (Index row = 0; row < rows; ++row) {
    const auto a = from_candles.push(fitted.candles[row]);
    const auto b = from_rows.push_features({series.column(row), at(series.features)});
    REQUIRE(a.status == b.status);
    if (a) CHECK(same_bits(a.probabilities[0], b.probabilities[0]));
    CHECK(from_candles.outputs()[0] == from_rows.outputs()[0]);
  }
  const std::vector<double> short_row(3);
  CHECK(from_rows.push_features(short_row).status == Status::refused);
  CHECK(from_rows.fault() == "expected a row of 5 features");
}

TEST_CASE_TEMPLATE("streaming: a snapshot goes on to the same bits, wherever it is taken", Model,
                   tsdl::LSTMClassifier<double>, tsdl::GRUClassifier<float>,
                   tsdl::BiLSTMClassifier<float>) {
  for (const StreamMode mode : {StreamMode::rerun, StreamMode::carry}) {
    if (Model::kind().starts_with("bi") && mode == StreamMode::carry) continue;
    for (const Setting& setting : {settings[1], settings[2], settings[4]}) {
      const Fitted<Model> fitted("hybrid", options_of(setting));
      const auto made = [&] {
        return tsdl::StreamingClassifier(fitted.model, fitted.recipe, mode);
      };
      for (const Index taken : {0, 1, 30, 90, 101, 102, 150}) {
        CAPTURE(taken);
        auto stream = made(), other = made();
        for (Index row = 0; row < taken; ++row) stream.push(fitted.candles[row]);
        const auto bytes = stream.snapshot();
        for (Index row = 0; row < 200; ++row) other.push(fitted.candles[row]);  // of another past
        other.restore(bytes);
        CHECK(other.snapshot() == bytes);
        auto copy = stream;
        Index wrong = 0;
        for (Index row = taken; row < rows; ++row) {
          const auto a = stream.push(fitted.candles[row]), b = other.push(fitted.candles[row]);
          const auto c = copy.push(fitted.candles[row]);
          wrong += a.status != b.status || a.status != c.status;
          if (!a) continue;
          for (std::size_t k = 0; k < a.probabilities.size(); ++k)
            wrong += !same_bits(a.probabilities[k], b.probabilities[k]) ||
                     !same_bits(a.probabilities[k], c.probabilities[k]);
        }
        CHECK(wrong == 0);
        CHECK(other.snapshot() == stream.snapshot());
      }
    }
  }
}

TEST_CASE("streaming: what is no snapshot of this stream is refused, and nothing changes") {
  using Model = tsdl::LSTMClassifier<float>;
  const Fitted<Model> fitted("technical23", options_of(settings[0]));
  tsdl::StreamingClassifier stream(fitted.model, fitted.recipe);
  for (Index row = 0; row < 100; ++row) stream.push(fitted.candles[row]);
  const auto bytes = stream.snapshot();
  stream.push(fitted.candles[100]);
  const auto before = stream.snapshot();
  const auto refused = [&](const std::vector<std::byte>& wrong, const char* message) {
    CHECK_THROWS_WITH_AS(stream.restore(wrong), message, tsdl::FormatError);
    CHECK(stream.snapshot() == before);
  };
  constexpr auto none = "snapshot: these bytes are not a snapshot of a stream";
  constexpr auto other =
      "snapshot: of a stream with another model, recipe, feature set, mode or instruction set";
  refused({}, none);
  refused(std::vector<std::byte>(31), none);
  refused(std::vector<std::byte>(500), none);
  const std::size_t header = 32;
  for (const std::size_t size : {header, header + 1, bytes.size() - 1, bytes.size() + 1}) {
    auto resized = bytes;
    resized.resize(size);
    const std::string message = "snapshot: expected " + std::to_string(bytes.size() - header) +
                                " bytes after the header, got " + std::to_string(size - header);
    refused(resized, message.c_str());
  }
  auto older = bytes;
  CHECK(bytes[7] == std::byte{'3'});  // TSDSTM03
  for (const char version : {'1', '2'}) {
    older[7] = static_cast<std::byte>(version);
    const std::string message = std::string("snapshot: of version ") + version +
                                ", which this version (3) cannot go on from: push the last rows "
                                "again";
    refused(older, message.c_str());
  }
  older[7] = std::byte{'4'};
  refused(older, none);
  for (std::size_t i = 32; i < bytes.size(); i += 97) {
    auto damaged = bytes;
    damaged[i] ^= std::byte{4};
    refused(damaged, "snapshot: damaged: its bytes do not have its checksum");
  }
  const auto taken = [&](const auto& from) { refused(from.snapshot(), other); };
  taken(tsdl::StreamingClassifier(fitted.model, fitted.recipe, StreamMode::carry));
  auto model = fitted.model;
  model.visit([](auto& parameter) { parameter.value[0] += 1e-6f; });
  model.repack();
  taken(tsdl::StreamingClassifier(model, fitted.recipe));
  auto recipe = fitted.recipe;
  ++recipe.length;
  taken(tsdl::StreamingClassifier(fitted.model, recipe));
  tsdl::StreamingClassifier carried(fitted.model, fitted.recipe, StreamMode::carry);
  CHECK_THROWS_WITH_AS(
      carried.restore(
          tsdl::StreamingClassifier(fitted.model, recipe, StreamMode::carry).snapshot()),
      other, tsdl::FormatError);
  recipe = fitted.recipe;
  recipe.scaler = Fitted<Model>("technical23", options_of(settings[0]), 4).recipe.scaler;
  taken(tsdl::StreamingClassifier(fitted.model, recipe));
  recipe.scaler = tsdl::prepare<float>(fitted.candles, fitted.recipe, {.test = 0.4}).recipe.scaler;
  taken(tsdl::StreamingClassifier(fitted.model, recipe));
  const tsdl::StandardScaler& own = fitted.recipe.scaler;
  auto scale = own.scale();
  scale[3] *= 2;
  recipe.scaler = {own.names(), own.mean(), own.variance(), scale, own.count(), own.options()};
  taken(tsdl::StreamingClassifier(fitted.model, recipe));
  model = fitted.model;
  model.set_task(tsdl::Regression{});
  taken(tsdl::StreamingClassifier(model, fitted.recipe));
  stream.push(fitted.candles[0]);
  CHECK(!stream.fault().empty());
  stream.restore(bytes);
  CHECK(stream.fault().empty());
  CHECK(stream.snapshot() == bytes);
  // The time of the last candle is restored too.
  tsdl::StreamingClassifier fresh(fitted.model, fitted.recipe);
  fresh.restore(bytes);
  CHECK(fresh.push(fitted.candles[99]).status == Status::refused);
  CHECK(fresh.push(fitted.candles[100]).status == Status::ready);
}

TEST_CASE(
    "streaming: numbers and quantiles come in the targets' own units, from a model of any type") {
  const auto candles = test::first_candles(test::shipped_candles(), rows);
  const auto data = tsdl::prepare<float>(
      candles,
      {.features = "ohlcv", .length = length, .label = tsdl::ColumnTargets{{"close", "volume"}}},
      {.validation = 0.1, .test = 0.1});
  const auto windows = tsdl::apply<float>(data.recipe, candles);
  for (const tsdl::Task& task : {data.task(), data.quantiles({0.1, 0.5, 0.9})}) {
    CAPTURE(task->describe().kind);
    auto model = tsdl::make_classifier<float>("gru", {.input_size = data.inputs(),
                                                      .hidden_size = 7,
                                                      .num_layers = 1,
                                                      .outputs = task->outputs()});
    model.set_task(task);
    const auto expected = tsdl::predict(model, windows);
    CHECK(expected.minCoeff() > 100);  // prices and volumes, not deviations
    tsdl::StreamingPredictor stream(model, data.recipe);
    CHECK(count_differences(stream, candles, 0, windows, expected) == 0);
  }
}

TEST_CASE("streaming: streams of one model share it, and know nothing of each other") {
  using Model = tsdl::LSTMClassifier<float>;
  const Fitted<Model> fitted("ohlcv", options_of(settings[1]));
  const auto shared = std::make_shared<const Model>(fitted.model);
  tsdl::StreamingPredictor one(shared, fitted.recipe), two(shared, fitted.recipe);
  CHECK(&one.model() == shared.get());
  const auto windows = fitted.windows();
  const auto expected = tsdl::predict(fitted.model, windows);
  for (Index row = 0; row < 77; ++row) two.push(fitted.candles[row]);
  CHECK(count_differences(one, fitted.candles, 0, windows, expected) == 0);
  CHECK(count_differences(two, fitted.candles, 77, windows, expected) == 0);
  CHECK(shared.use_count() == 3);
  CHECK_THROWS_WITH_AS(tsdl::StreamingPredictor(std::shared_ptr<const Model>(), fitted.recipe),
                       "StreamingPredictor: no model was given", tsdl::Error);
}

TEST_CASE("streaming: a candle that is not valid is refused, named, and changes nothing") {
  using Model = tsdl::BiGRUClassifier<float>;
  const Fitted<Model> fitted("technical23", options_of(settings[0]));
  tsdl::StreamingClassifier stream(fitted.model, fitted.recipe);
  for (Index row = 0; row < 200; ++row) stream.push(fitted.candles[row]);
  CHECK(stream.fault().empty());
  const auto before = stream.snapshot();
  const tsdl::Candle next = fitted.candles[200];
  const auto refused = [&](tsdl::Candle candle, const std::string& message) {
    CHECK(stream.push(candle).status == Status::refused);
    CHECK(stream.fault() == message);
    CHECK(stream.snapshot() == before);
  };
  const std::string when = tsdl::format_time(next.time) + ": ";
  const auto with = [&](auto change) {
    tsdl::Candle candle = next;
    change(candle);
    return candle;
  };
  refused(with([](auto& c) { c.close = test::nan; }), when + "close is not finite");
  refused(with([](auto& c) { c.open = -1; }), when + "open -1 is not above zero");
  refused(with([](auto& c) { c.low = 0; }), when + "low 0 is not above zero");
  refused(with([](auto& c) { c.volume = -2; }), when + "volume -2 is negative");
  refused(with([](auto& c) { c.volume = test::nan; }), when + "volume is not finite");
  refused(with([](auto& c) {
            c.low = 2;
            c.high = c.open = c.close = 1;
          }),
          when + "high 1 is below low 2");
  refused(fitted.candles[199], tsdl::format_time(fitted.candles[199].time) +
                                   ": its time is not after that of the last candle");
  CHECK(stream.push(next).status == Status::ready);
  CHECK(stream.fault().empty());
}

TEST_CASE("streaming: a feature that is not finite any more starts the window anew") {
  using Model = tsdl::LSTMClassifier<float>;
  for (const StreamMode mode : {StreamMode::rerun, StreamMode::carry})
    for (const Setting& setting : {settings[0], settings[2]}) {
      const Fitted<Model> fitted("ohlcv", options_of(setting), /*clip=*/0);
      tsdl::StreamingClassifier stream(fitted.model, fitted.recipe, mode);
      const tsdl::StreamingClassifier unused = stream;
      std::vector<double> row{0.1, 0.2, -0.1, 0.3, 1};
      for (Index i = 0; i < length + 3; ++i) stream.push_features(row);
      CHECK(stream.push_features(row).status == Status::ready);
      for (const double wrong : {test::nan, infinity, -infinity, 1e300}) {
        auto broken = row;
        broken[2] = wrong;
        CHECK(stream.push_features(broken).status == Status::not_finite);
        CHECK(stream.fault() == "feature low is not finite, or too large once scaled");
        auto fresh = unused;
        for (Index i = 0; i < length; ++i) {
          row[0] += 0.01;
          const auto a = stream.push_features(row), b = fresh.push_features(row);
          CHECK(a.status == (i + 1 == length ? Status::ready : Status::warming_up));
          CHECK(a.status == b.status);
          if (a) CHECK(same_bits(a.probabilities[0], b.probabilities[0]));
        }
      }
    }
}

TEST_CASE("streaming: before the first complete row NaN is awaited, infinity is a fault") {
  using Model = tsdl::LSTMClassifier<float>;
  const Fitted<Model> fitted("ohlcv", options_of(settings[0]));
  tsdl::StreamingClassifier stream(fitted.model, fitted.recipe);
  std::vector<double> row{0.1, test::nan, -0.1, 0.3, 1};
  CHECK(stream.push_features(row).status == Status::warming_up);
  CHECK(stream.fault().empty());
  row[3] = infinity;
  CHECK(stream.push_features(row).status == Status::not_finite);
  CHECK(stream.fault() == "feature close is not finite, or too large once scaled");
}

TEST_CASE("streaming: what does not fit together is refused at construction") {
  using Model = tsdl::LSTMClassifier<float>;
  const Fitted<Model> fitted("ohlcv", options_of(settings[0]));
  using Stream = tsdl::StreamingClassifier<Model>;
  const tsdl::Recipe unfitted{.features = "ohlcv", .columns = fitted.recipe.columns};
  CHECK_THROWS_AS(Stream(fitted.model, unfitted), tsdl::ShapeError);
  auto recipe = fitted.recipe;
  recipe.features = "nothing";
  CHECK_THROWS_AS(Stream(fitted.model, recipe), tsdl::DataError);
  recipe.features = "technical23";
  CHECK_THROWS_AS(Stream(fitted.model, recipe), tsdl::DataError);
  recipe = fitted.recipe;
  recipe.length = 0;
  CHECK_THROWS_AS(Stream(fitted.model, recipe), tsdl::ShapeError);
  const Model other({.input_size = 4, .hidden_size = 3}, 1);
  CHECK_THROWS_AS(Stream(other, fitted.recipe), tsdl::ShapeError);
  const Fitted<tsdl::BiLSTMClassifier<float>> two("ohlcv", options_of(settings[0]));
  CHECK_THROWS_AS(tsdl::StreamingClassifier(two.model, two.recipe, StreamMode::carry),
                  tsdl::ShapeError);
  const tsdl::FeatureSet mine("mine");
  CHECK_THROWS_WITH_AS(
      Stream(fitted.model, fitted.recipe, mine),
      "StreamingPredictor: the recipe was made with the feature set ohlcv, given mine",
      tsdl::DataError);
  Model other_task = fitted.model;
  other_task.set_task(tsdl::Quantiles{});
  CHECK_THROWS_AS(Stream(other_task, fitted.recipe), tsdl::OptionError);
}

namespace {

/// An indicator of a user's that is neither plain data nor says what it remembers.
struct Secretive {
  static constexpr std::array<std::string_view, 1> names = {"secret"};
  std::vector<double> past{0};
  double push(const tsdl::Candle& c) noexcept { return std::exchange(past[0], c.close); }
};
/// One that is plain data.
struct Plain {
  static constexpr std::array<std::string_view, 1> names = {"plain"};
  double past = 1;
  double push(const tsdl::Candle& c) noexcept { return std::exchange(past, c.close); }
};

}  // namespace

TEST_CASE("streaming: a feature set of one's own") {
  const auto candles = test::first_candles(test::shipped_candles(), rows);
  const auto check = [&](const tsdl::FeatureSet& set, bool saves) {
    const auto data = tsdl::prepare<float>(candles, set, {.length = 4, .label = tsdl::RangeLabel{}},
                                           {.validation = 0.1, .test = 0.1});
    const tsdl::GRUClassifier<float> model({.input_size = data.inputs(), .hidden_size = 5}, 1);
    tsdl::StreamingClassifier stream(model, data.recipe, set);
    const auto windows = tsdl::apply<float>(data.recipe, candles, set);
    CHECK(count_differences(stream, candles, 0, windows, tsdl::predict(model, windows)) == 0);
    if (saves)
      stream.restore(stream.snapshot());
    else
      CHECK_THROWS_WITH_AS(stream.snapshot(),
                           "FeatureStream: indicator 2 of 2 has no state(StateBytes&), and is no "
                           "plain data",
                           tsdl::Error);
  };
  check(tsdl::FeatureSet("mine").add(tsdl::RSI(5)).add(Plain()), true);
  check(tsdl::FeatureSet("mine").add(tsdl::RSI(5)).add(Secretive()), false);
}
