// Snapshots that were made up: numbers that no stream has, and feature sets that have only their
// name in common.
#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "data/helpers.hpp"
#include "support/files.hpp"
#include "tsdl/gru.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/serve/streaming.hpp"

namespace {

using test::message_of;
using tsdl::FeatureSet;
using tsdl::Index;
using tsdl::StreamMode;
using Model = tsdl::GRUClassifier<float>;
using Stream = tsdl::StreamingPredictor<Model>;
using Bytes = std::vector<std::byte>;

Model model_for(const tsdl::Recipe& recipe) {
  return Model({.input_size = std::ssize(recipe.columns), .hidden_size = 3, .num_layers = 1}, 1);
}

/// The snapshot in which `value` stands at byte `at` of the state, with the right checksum.
template <class Value>
Bytes with(Bytes snapshot, std::size_t at, const Value& value) {
  constexpr std::size_t header = 32;
  std::memcpy(snapshot.data() + header + at, &value, sizeof(value));
  const auto state = std::span<const std::byte>(snapshot).subspan(header);
  const std::uint64_t checksum = tsdl::Fingerprint().add(state).value();
  std::memcpy(snapshot.data() + header - sizeof(checksum), &checksum, sizeof(checksum));
  return snapshot;
}

struct Fitted {
  tsdl::Candles candles = test::first_candles(test::shipped_candles(), 200);
  tsdl::Recipe recipe;
  explicit Fitted(const std::string& set)
      : recipe(tsdl::prepare<float>(candles, {.features = set, .length = 5}).recipe) {}
};

/// An indicator of a user's that says what it remembers, and not its period.
class Slowed {
 public:
  static constexpr std::array<std::string_view, 1> names = {"slowed"};
  explicit Slowed(double share) : share_(share) {}
  double push(const tsdl::Candle& c) noexcept { return value_ += share_ * (c.close - value_); }
  void state(tsdl::StateBytes& bytes) { bytes(value_); }

 private:
  double share_, value_ = 0;
  std::vector<int> not_plain_data_;
};
/// Another that is plain data.
struct Scaled {
  static constexpr std::array<std::string_view, 1> names = {"scaled"};
  double by = 1;
  double push(const tsdl::Candle& c) noexcept { return by * c.close; }
};

}  // namespace

TEST_CASE("snapshot: a count, flag or index that no stream has is refused, and nothing changes") {
  const Fitted fitted("ohlcv");
  Stream stream(model_for(fitted.recipe), fitted.recipe);
  for (Index row = 0; row < 100; ++row) stream.push(fitted.candles[row]);
  const Bytes before = stream.snapshot();
  const auto refused = [&](std::size_t at, const auto& value, const std::string& why) {
    CHECK(message_of<tsdl::FormatError>([&] { stream.restore(with(before, at, value)); }) ==
          "snapshot: no stream has this state: byte " + std::to_string(at) + ": expected " + why);
    CHECK(stream.snapshot() == before);
  };
  const std::size_t first = 3 * 5 * sizeof(double);  // what the features compute
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused(first + 8, std::uint8_t{7}, "0 or 1, found 7");  // whether there is a time
  refused(first + 9, Index{-1}, "a number from 0 to 9007199254740992, found -1");  // rows
  refused(first + 9, std::numeric_limits<Index>::max(),
          "a number from 0 to 9007199254740992, found 9223372036854775807");
  const std::size_t candle = first + 17;  // RelativeCandle
  refused(candle, std::uint8_t{2}, "0 or 1, found 2");
  refused(candle + 1, nan, "a finite number, found nan");
  for (const Index bad : {Index{-1}, Index{20}, Index{1} << 62})
    refused(candle + 9, bad, "a number from 0 to 19, found " + std::to_string(bad));
}

TEST_CASE("snapshot: whatever stands in it, a stream goes on or refuses it") {
  for (const char* set : {"hybrid", "technical23"})
    for (const StreamMode mode : {StreamMode::rerun, StreamMode::carry}) {
      const Fitted fitted(set);
      Stream stream(model_for(fitted.recipe), fitted.recipe, mode);
      for (Index row = 0; row < 120; ++row) stream.push(fitted.candles[row]);
      const Bytes before = stream.snapshot();
      Index accepted = 0, refused = 0;
      for (std::size_t at = 0; at + 40 < before.size(); at += 61)
        for (const Index value : {Index{-1}, Index{1} << 62, Index{0x0707070707070707}}) {
          try {
            stream.restore(with(before, at, value));
            ++accepted;
            for (Index row = 120; row < 123; ++row) stream.push(fitted.candles[row]);
          } catch (const tsdl::FormatError&) {
            ++refused;
            CHECK(stream.snapshot() == before);
          }
          stream.restore(before);
        }
      CHECK(accepted > 0);
      CHECK(refused > 0);
    }
}

TEST_CASE("snapshot: a set of the same name and columns, of other periods, is another set") {
  const auto candles = test::first_candles(test::shipped_candles(), 300);
  const auto mine = [](const auto& indicator) { return FeatureSet("mine").add(indicator); };
  const struct {
    const char* what;
    FeatureSet one, other;
  } pairs[] = {
      {"window", mine(tsdl::RSI(14)), mine(tsdl::RSI(21))},
      {"span", mine(tsdl::MACD(26, 12, 9)), mine(tsdl::MACD(26, 13, 9))},
      {"width", mine(tsdl::BollingerBands(20, 2)), mine(tsdl::BollingerBands(20, 2.5))},
      {"constant", mine(tsdl::CCI(20, 0.015)), mine(tsdl::CCI(20, 0.02))},
      {"largest step", mine(tsdl::PSAR(0.02, 0.2)), mine(tsdl::PSAR(0.02, 0.06))},
      {"smoothing", mine(tsdl::KAMA(10, 2, 30)), mine(tsdl::KAMA(10, 3, 30))},
      {"one's own", mine(Slowed(0.1)), mine(Slowed(0.11))},
      {"plain data", mine(Scaled{1}), mine(Scaled{1.5})},
      {"another indicator", FeatureSet("mine").add(tsdl::SMA(9), {"x"}),
       FeatureSet("mine").add(tsdl::EMA(9), {"x"})},
  };
  for (const auto& pair : pairs) {
    const std::string what = pair.what;
    const FeatureSet &one = pair.one, &other = pair.other;
    CAPTURE(what);
    const auto data = tsdl::prepare<float>(candles, one, {.length = 4});
    auto unmarked = data.recipe;  // as in files of before
    unmarked.probe.clear();
    Stream from(model_for(unmarked), unmarked, one), to(model_for(unmarked), unmarked, other),
        same(model_for(unmarked), unmarked, one);
    for (Index row = 0; row < 100; ++row) from.push(candles[row]);
    const Bytes before = to.snapshot();
    CHECK(message_of<tsdl::FormatError>([&] {
            to.restore(from.snapshot());
          }).starts_with("snapshot: of a stream "));
    CHECK(to.snapshot() == before);
    same.restore(from.snapshot());
    CHECK(same.snapshot() == from.snapshot());

    // The recipe tells such sets apart as well.
    CHECK(message_of<tsdl::DataError>([&] { tsdl::apply<float>(data.recipe, candles, other); }) ==
          "recipe: it was made with another feature set mine, of other indicators or periods");
    CHECK_THROWS_AS(Stream(model_for(data.recipe), data.recipe, other), tsdl::DataError);
    CHECK_NOTHROW(tsdl::apply<float>(data.recipe, candles, one));
    CHECK_NOTHROW(tsdl::apply<float>(unmarked, candles, other));  // nothing tells them apart
  }
}

TEST_CASE("recipe: a model file keeps what a set of one's own computes, and only that") {
  const test::TemporaryDirectory directory;
  const auto path = directory / "model";
  const auto candles = test::first_candles(test::shipped_candles(), 300);
  const auto set = FeatureSet("mine").add(tsdl::RSI(14)).add(tsdl::SMA(250));
  const auto own = tsdl::prepare<float>(candles, set, {.length = 4}).recipe;
  CHECK(own.probe.size() == 6);
  tsdl::save_model(path, model_for(own), own, 1);
  CHECK((tsdl::load_model<Model>(path).recipe.probe == own.probe));
  CHECK(Fitted("ohlcv").recipe.probe.empty());
  auto library = own;
  library.features = "ohlcv";
  library.columns.clear();
  CHECK(tsdl::prepare<float>(candles, library).recipe.probe.empty());
}

TEST_CASE("streaming: a length that no window has is refused") {
  const Fitted fitted("ohlcv");
  for (const Index length : {Index{-1}, Index{0}, Index{1'000'001}, Index{1} << 40, Index{1} << 62})
    for (const StreamMode mode : {StreamMode::rerun, StreamMode::carry}) {
      auto recipe = fitted.recipe;
      recipe.length = length;
      CHECK(message_of<tsdl::ShapeError>([&] {
              Stream(model_for(recipe), recipe, mode);
            }).starts_with("windows: expected a length of "));
      CHECK(message_of<tsdl::ShapeError>([&] {
              tsdl::apply<float>(recipe, fitted.candles);
            }).starts_with("windows: expected a length of "));
    }
}
