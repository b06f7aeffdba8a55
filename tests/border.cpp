// The public border: what was moved from, what was never filled, what belongs to another object and
// sizes that overflow are refused or defined, and never crash.
#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "data/helpers.hpp"
#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/bilstm.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/serve/streaming.hpp"

namespace {

using test::Index;

constexpr Index far = Index{1} << 60;
constexpr Index farthest = std::numeric_limits<Index>::max();

tsdl::ClassifierOptions small(Index layers = 1, Index hidden = 4) {
  return {.input_size = 2, .hidden_size = hidden, .num_layers = layers};
}

/// Moves an object into itself, unseen by the compiler's warning.
template <class T>
void move_to_itself(T& object) {
  T& same = object;
  object = std::move(same);
}

/// A candle of a series that always moves.
tsdl::Candle candle(Index row) {
  const double price = 100 + static_cast<double>(row % 7);
  return {row * std::int64_t{60'000}, price, price + 1, price - 1, price + 0.5, 10};
}

/// An indicator that was moved from, and one moved to itself, still take candles.
template <class I>
void check_moves(I indicator) {
  const auto pushed = [](I& to) {
    double last = 0;
    for (Index row = 0; row < 120; ++row) last = tsdl::internal::as_array(to.push(candle(row)))[0];
    return last;
  };
  I fresh = indicator, from = indicator;
  const double expected = pushed(fresh);
  [[maybe_unused]] const I taken = std::move(from);
  pushed(from);  // whatever it gives
  from = indicator;
  CHECK(test::same_bits(pushed(from), expected));
  move_to_itself(indicator);
  CHECK(test::same_bits(pushed(indicator), expected));
}

}  // namespace

TEST_CASE_TEMPLATE("border: a cache that no forward has filled, or another stack has", Cell,
                   tsdl::LSTMCell<float>, tsdl::GRUCell<float>) {
  using Stack = tsdl::RecurrentStack<Cell>;
  using Cache = tsdl::StackCache<float>;
  tsdl::RandomStream random(1);
  const Index T = 5, B = 3;
  const auto x = test::draw<float>(random, T * B * 2);
  const auto view = test::dense(x, 2, T, B);
  Stack stack({.input_size = 2, .hidden_size = 4}, 1);
  Cache fresh;
  std::vector<float> h(100);
  CHECK_THROWS_AS(stack.output(fresh, 0, 0, 0), tsdl::Error);
  CHECK_THROWS_AS(stack.encoded(fresh), tsdl::Error);
  CHECK_THROWS_AS(stack.final_state(fresh, h.data(), nullptr), tsdl::Error);
  CHECK_THROWS_AS(stack.backward(view, fresh, {}), tsdl::Error);

  const auto check_refused = [&](auto&& other) {
    Cache cache;
    stack.forward(view, cache, {.training = true, .want_h_n = true});
    CHECK_THROWS_AS(other.output(cache, 0, 0, 0), tsdl::ShapeError);
    CHECK_THROWS_AS(other.encoded(cache), tsdl::ShapeError);
    CHECK_THROWS_AS(other.final_state(cache, h.data(), nullptr), tsdl::ShapeError);
    CHECK_THROWS_AS(other.backward(view, cache, {}), tsdl::ShapeError);
    CHECK_NOTHROW(stack.backward(view, cache, {}));
  };
  check_refused(Stack({.input_size = 2, .hidden_size = 60}, 1));
  check_refused(Stack({.input_size = 2, .hidden_size = 4, .num_layers = 3}, 1));
  check_refused(Stack({.input_size = 2, .hidden_size = 4, .bidirectional = true}, 1));
  using Other = std::conditional_t<std::is_same_v<Stack, tsdl::LSTM<float>>, tsdl::GRU<float>,
                                   tsdl::LSTM<float>>;
  check_refused(Other({.input_size = 2, .hidden_size = 4}, 1));

  Cache cache;
  stack.forward(view, cache);
  for (const auto& [t, b, d] : {std::array<Index, 3>{T, 0, 0}, {0, B, 0}, {0, 0, 1}, {-1, 0, 0}})
    CHECK_THROWS_AS(stack.output(cache, t, b, d), tsdl::ShapeError);
  // A copy has the sizes of the original: its cache is as good.
  Stack copy = stack;
  stack.forward(view, cache, {.training = true});
  CHECK_NOTHROW(copy.backward(view, cache, {}));
}

TEST_CASE("border: sizes whose products overflow are refused before anything is allocated") {
  const float x = 0;
  tsdl::LSTM<float> stack({.input_size = 2, .hidden_size = 4}, 1);
  tsdl::GRUClassifier<float> model(small(), 1);
  tsdl::StackCache<float> cache;
  tsdl::GRUClassifier<float>::Cache model_cache;
  for (const Index T : {far, farthest, farthest / 2, farthest / 4 + 3}) {
    CAPTURE(T);
    for (const Index B : {Index{1}, Index{2}, Index{16}, far, farthest}) {
      const tsdl::Sequence<const float> view{&x, 2, T, B, 0, 0};
      CHECK_THROWS_AS(stack.forward(view, cache), tsdl::ShapeError);
      CHECK_THROWS_AS(model.forward(view, model_cache), tsdl::ShapeError);
      const tsdl::Sequence<const float> wide{&x, 2, B, T, 0, 0};
      CHECK_THROWS_AS(stack.forward(wide, cache), tsdl::ShapeError);
    }
    CHECK_THROWS_AS(tsdl::SlidingStack(stack, T, tsdl::Steps::last), tsdl::ShapeError);
    CHECK_THROWS_AS(tsdl::RerunWindow(model, T), tsdl::ShapeError);
    CHECK_THROWS_AS(tsdl::Series<double>::sized({"a", "b", "c"}, T), tsdl::ShapeError);
  }
  CHECK_THROWS_AS(tsdl::Series<double>::sized({"a"}, -1), tsdl::ShapeError);
}

TEST_CASE("border: windows of nothing") {
  const tsdl::Windows<float> none;
  CHECK(none.empty());
  CHECK(none.inputs() == 0);
  CHECK(none.targets().empty());
  CHECK(none.last_known().empty());
  CHECK_THROWS_AS(none.series(), tsdl::ShapeError);
  tsdl::Buffer<float> scratch;
  tsdl::Buffer<double> targets;
  const std::vector<Index> first = {0};
  CHECK_THROWS_AS(none.batch(0, 1, scratch), tsdl::ShapeError);
  CHECK_THROWS_AS(none.batch_targets(0, 1, 1, targets), tsdl::ShapeError);
  CHECK_THROWS_AS(none.gather(first, scratch), tsdl::ShapeError);
  CHECK_THROWS_AS(none.gather_targets(first, 1, targets), tsdl::ShapeError);
  CHECK_THROWS_AS(none.end_row(0), tsdl::ShapeError);
  CHECK_THROWS_AS(none.target(0), tsdl::ShapeError);
  CHECK_THROWS_AS(none.label(0), tsdl::ShapeError);

  const auto toy = test::two_classes<float>(50);
  auto windows = toy.windows(5, 40);
  const auto taken = std::move(windows);
  CHECK_THROWS_AS(windows.series(), tsdl::ShapeError);
  CHECK_THROWS_AS(windows.batch(0, 1, scratch), tsdl::ShapeError);
  auto same = taken;
  move_to_itself(same);
  CHECK_NOTHROW(static_cast<void>(same.size()));
}

TEST_CASE_TEMPLATE("border: a model that was moved from refuses to run", Model,
                   tsdl::BiLSTMClassifier<float>, tsdl::GRUClassifier<double>,
                   tsdl::AnyModel<float>) {
  using Scalar = typename Model::Scalar;
  const auto made = [] {
    if constexpr (std::is_same_v<Model, tsdl::AnyModel<float>>)
      return Model(tsdl::GRUClassifier<float>(small(2), 1));
    else
      return Model(small(2), 1);
  };
  tsdl::RandomStream random(1);
  const auto x = test::draw<Scalar>(random, 24);
  const auto view = test::dense(x, 2, 4, 3);
  const std::vector<Scalar> slopes(3, Scalar{1});
  typename Model::Cache cache;
  Model model = made();
  model.forward(view, cache, {.training = true});
  const Model taken = std::move(model);
  CHECK_THROWS_AS(model.forward(view, cache), tsdl::Error);
  CHECK_THROWS_AS(model.backward(view, cache, slopes.data()), tsdl::Error);
  CHECK_THROWS_AS((tsdl::WindowOf<Model>(model, 4)), tsdl::Error);
  model = made();
  CHECK_NOTHROW(model.forward(view, cache));
  move_to_itself(model);
  Index columns = 3;
  try {  // as before, or refused
    columns = model.forward(view, cache).cols();
  } catch (const tsdl::Error&) {
  }
  CHECK(columns == 3);
  CHECK_NOTHROW(taken.forward(view, cache));
}

TEST_CASE("border: layers, streams and tasks that were moved from") {
  tsdl::RandomStream random(1);
  const auto x = test::draw<float>(random, 24);
  std::vector<float> y(24);
  tsdl::Linear<float> linear(2, 3, 1);
  const tsdl::Linear<float> taken_linear = std::move(linear);
  CHECK_THROWS_AS(linear.forward(y.data(), x.data(), 2), tsdl::Error);
  tsdl::update(linear, [](auto&) {});
  CHECK_THROWS_AS(linear.forward(y.data(), x.data(), 2), tsdl::Error);

  const tsdl::LSTM<float> stack({.input_size = 2, .hidden_size = 4}, 1);
  tsdl::RecurrentStream stream(stack);
  const tsdl::RecurrentStream taken_stream = std::move(stream);
  CHECK(stream.push(x.data()).empty());
  stream.reset();

  tsdl::Task task = tsdl::Classes{.count = 3};
  const tsdl::Task taken_task = std::move(task);
  CHECK(task->outputs() == 3);
  move_to_itself(task);
  CHECK(task->outputs() == 3);

  tsdl::FeatureStream features(tsdl::feature_set("ohlcv"));
  tsdl::FeatureStream taken_features = std::move(features);
  std::vector<double> row(5, 1.0);
  features.push(candle(0), row);
  for (const double value : row) CHECK(tsdl::is_nan(value));
  move_to_itself(taken_features);
  for (Index t = 0; t < 60; ++t) taken_features.push(candle(t), row);
  for (const double value : row) CHECK(tsdl::is_finite(value));

  tsdl::Buffer<double> buffer(4);
  buffer.assign(4, 2.0);
  move_to_itself(buffer);
  REQUIRE(buffer.size() == 4);
  CHECK(buffer[3] == 2.0);
}

TEST_CASE("border: indicators that were moved") {
  check_moves(tsdl::RSI());
  check_moves(tsdl::SMA());
  check_moves(tsdl::CCI());
  check_moves(tsdl::ROC());
  check_moves(tsdl::BollingerBands());
  check_moves(tsdl::Aroon());
  check_moves(tsdl::KAMA());
  check_moves(tsdl::UltimateOscillator());
  check_moves(tsdl::IchimokuCloud());
  check_moves(tsdl::to_close(tsdl::SMA(5)));
  check_moves(tsdl::RelativeEaseOfMovement());
}

TEST_CASE("border: a predictor that was moved from refuses what is pushed") {
  const tsdl::Candles candles = test::first_candles(test::shipped_candles(), 260);
  const auto data = tsdl::prepare<float>(
      candles, {.features = "ohlcv", .length = 5, .label = tsdl::DirectionLabel{}});
  for (const auto mode : {tsdl::StreamMode::rerun, tsdl::StreamMode::carry}) {
    tsdl::StreamingPredictor stream(
        tsdl::GRUClassifier<float>({.input_size = 5, .hidden_size = 3, .num_layers = 1}, 1),
        data.recipe, mode);
    auto taken = std::move(stream);
    CHECK(stream.push(candles[0]).status == tsdl::Prediction::Status::refused);
    CHECK(stream.fault() == "this stream was moved from");
    const std::vector<double> row(5, 0.0);
    CHECK(stream.push_features(row).status == tsdl::Prediction::Status::refused);
    move_to_itself(taken);
    for (Index t = 0; t < 40; ++t)
      static_cast<void>(taken.push(candles[t]));  // refused or as before
    stream = tsdl::StreamingPredictor(
        tsdl::GRUClassifier<float>({.input_size = 5, .hidden_size = 3, .num_layers = 1}, 1),
        data.recipe, mode);
    CHECK(stream.push(candles[0]).status == tsdl::Prediction::Status::warming_up);
  }
}
