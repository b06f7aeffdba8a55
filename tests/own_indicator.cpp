// An indicator of one's own: how many candles in a row closed higher, or lower, counted downwards.
#include <cmath>

#include "data/helpers.hpp"
#include "tsdl/lstm.hpp"
#include "tsdl/serve/streaming.hpp"

struct Streak {
  static constexpr std::array<std::string_view, 1> names = {"streak"};
  double push(const tsdl::Candle& candle) noexcept {
    const double before = close, count = streak;
    close = candle.close;
    if (std::isnan(before)) return before;  // not warm yet
    const double direction = close > before ? 1 : close < before ? -1 : 0;
    streak = direction * count > 0 ? count + direction : direction;
    return streak;
  }
  double close = std::nan(""), streak = 0;
};

TEST_CASE("an indicator of one's own is a feature, in batch, in training and live") {
  const auto candles = test::first_candles(test::shipped_candles(), 400);
  const auto set = tsdl::FeatureSet("mine").add(Streak()).add(tsdl::RSI(14));
  const auto data = tsdl::prepare<float>(candles, set, {.length = 5});
  CHECK(data.recipe.columns == std::vector<std::string>{"streak", "rsi"});
  const double closes[] = {3, 4, 5, 5, 4, 3, 2, 3}, expected[] = {1, 2, 0, -1, -2, -3, 1};
  Streak streak;
  CHECK(std::isnan(streak.push({.close = closes[0]})));
  for (int i = 1; i < 8; ++i) CHECK(streak.push({.close = closes[i]}) == expected[i - 1]);

  const tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4}, 1);
  const auto batch = tsdl::predict(model, tsdl::apply<float>(data.recipe, candles, set));
  tsdl::StreamingPredictor stream(model, data.recipe, set);
  double last = 0;
  for (const auto& candle : candles.rows)
    if (const auto live = stream.push(candle)) last = live.values[0];
  CHECK(last == batch(0, batch.cols() - 1));
}
