// Every public call that makes numbers gives the same bits whatever floating-point mode its caller
// has set, and leaves that mode as it was; batch and stream agree over a market that stands still.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/helpers.hpp"
#include "support/float_mode.hpp"
#include "support/network.hpp"
#include "tsdl/bilstm.hpp"
#include "tsdl/data/synthetic.hpp"
#include "tsdl/report/report.hpp"
#include "tsdl/select/baselines.hpp"
#include "tsdl/serve/streaming.hpp"
#include "tsdl/train/curves.hpp"

namespace {

using test::at, test::CallersMode, test::Index, test::InMode;

constexpr Index moving = 700, flat = 20'000, length = 8;

/// Minutes of a random walk, then of a price that stands still, then of the walk again.
const tsdl::Candles& halted_market() {
  static const tsdl::Candles market = [] {
    tsdl::Candles candles = test::random_candles(moving + flat + 100, 5);
    for (Index row = 0; row < candles.size(); ++row) {
      tsdl::Candle& candle = candles.rows[at(row)];
      candle.time = row * std::int64_t{60'000};
      if (row < moving || row >= moving + flat) continue;
      const double price = candles[moving - 1].close;
      candle = {candle.time, price, price, price, price, 0};
    }
    return candles;
  }();
  return market;
}

bool is_denormal(double value) { return std::fpclassify(value) == FP_SUBNORMAL; }

/// The columns of a series that must stay within two bounds.
struct Range {
  const char* column;
  double low, high;
};
constexpr Range ranges[] = {
    {"momentum_rsi", 0, 100},  {"momentum_tsi", -100, 100}, {"momentum_stoch_rsi", 0, 1},
    {"momentum_uo", 0, 100},   {"momentum_pvo", -100, 1e3}, {"trend_adx", 0, 100},
    {"trend_adx_pos", 0, 100}, {"trend_adx_neg", 0, 100},   {"trend_mass_index", 0, 225},
    {"trend_stc", 0, 100},     {"momentum_mfi", 0, 100}};

/// A recipe fitted on the candles that move, and a model with drawn weights.
template <class M>
struct Halted {
  tsdl::Recipe recipe;
  std::shared_ptr<const M> model;

  explicit Halted(const std::string& set)
      : recipe(tsdl::prepare<typename M::Scalar>(test::first_candles(halted_market(), moving),
                                                 {.features = set,
                                                  .length = length,
                                                  .label = tsdl::DirectionLabel{},
                                                  .scaler = tsdl::StandardScaler({.clip = 5})},
                                                 {.validation = 0.2, .test = 0})
                   .recipe) {
    M made({.input_size = std::ssize(recipe.columns), .hidden_size = 4, .num_layers = 1}, 3);
    tsdl::RandomStream random(7);
    test::draw_parameters(made, random, 0.5);
    model = std::make_shared<const M>(std::move(made));
  }
};

template <class Values>
std::string bytes_of(const Values& values) {
  std::string bytes(values.size() * sizeof(values[0]), '\0');
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// The bits of numbers, so that NaN equals itself.
std::string bits(std::initializer_list<double> values) {
  return bytes_of(std::vector<double>(values));
}
template <class M>
std::string weights_of(const M& model) {
  std::string bytes;
  model.visit([&](const auto& parameter) { bytes += bytes_of(parameter.value.span()); });
  return bytes;
}

/// Runs `make` in each of the caller's modes. It must give the same bytes, and leave the mode.
void check_in_every_mode(const char* what, const std::function<std::string()>& make) {
  INFO(std::string(what));
  const std::string expected = make();
  CHECK(!expected.empty());
  for (const CallersMode& mode : test::callers_modes) {
    INFO(std::string(mode.name));
    const InMode caller(mode);
    constexpr auto set = tsdl::internal::float_mode_bits;
    const auto before = tsdl::internal::float_mode() & set;
    CHECK((make() == expected));
    CHECK((tsdl::internal::float_mode() & set) == before);
  }
}

}  // namespace

TEST_CASE("features of a market that stands still are defined, within their ranges, and causal") {
  const tsdl::Candles& market = halted_market();
  for (const std::string& set : tsdl::feature_sets()) {
    CAPTURE(set);
    const tsdl::Series<double> whole = tsdl::engineer_features(market, set);
    Index denormals = 0;
    for (const double value : whole.values) denormals += is_denormal(value);
    CHECK(denormals == 0);
    for (const Range& range : ranges) {
      const auto found = std::find(whole.names.begin(), whole.names.end(), range.column);
      if (found == whole.names.end()) continue;
      CAPTURE(range.column);
      Index outside = 0;
      for (Index row = 200; row < market.size(); ++row) {
        const double value = whole.column(row)[found - whole.names.begin()];
        outside += !(value >= range.low && value <= range.high);
      }
      CHECK(outside == 0);
    }
    for (const CallersMode& mode : test::callers_modes) {
      INFO(std::string(mode.name));
      const InMode caller(mode);
      for (const Index n : {moving + 1, moving + 2'000, moving + 12'345, moving + flat + 1}) {
        const auto part = tsdl::engineer_features(test::first_candles(market, n), set);
        CHECK(std::memcmp(part.values.data(), whole.values.data(),
                          sizeof(double) * part.values.size()) == 0);
      }
      for (const bool guarded : {false, true}) {
        CAPTURE(guarded);
        std::unique_ptr<tsdl::FloatModeGuard> guard;
        if (guarded) guard = std::make_unique<tsdl::FloatModeGuard>();
        tsdl::FeatureStream stream(tsdl::feature_set(set));
        std::vector<double> row(at(stream.features()));
        Index wrong = 0;
        for (Index t = 0; t < market.size(); ++t) {
          stream.push(market[t], row);
          wrong += std::memcmp(row.data(), whole.column(t), sizeof(double) * row.size()) != 0;
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("indicators settle to their neutral values in a market that stands still, in any mode") {
  const tsdl::Candles& market = halted_market();
  for (const CallersMode& mode : test::callers_modes) {
    INFO(std::string(mode.name));
    const InMode caller(mode);  // single indicators hold no guard, and need none
    tsdl::RSI rsi;
    tsdl::TSI tsi;
    tsdl::ADX adx;
    tsdl::ATR atr;
    tsdl::MassIndex mass;
    tsdl::ForceIndex force;
    tsdl::PVO pvo;
    Index denormals = 0;
    double last[7] = {};
    for (Index row = 0; row < moving + flat; ++row) {
      const tsdl::Candle& c = market[row];
      const double now[7] = {rsi.push(c),  tsi.push(c),   adx.push(c)[0], atr.push(c),
                             mass.push(c), force.push(c), pvo.push(c)[0]};
      for (const double value : now) denormals += is_denormal(value);
      std::copy_n(now, 7, last);
    }
    CHECK(denormals == 0);
    CHECK(last[0] == 50);
    CHECK(last[1] == 0);
    CHECK(last[2] == 0);
    CHECK(last[3] == 0);
    CHECK(last[4] == 25);
    CHECK(last[5] == 0);
    CHECK(last[6] == 0);
  }
}

TEST_CASE_TEMPLATE("predict and stream agree over a market that stands still, in any mode", Scalar,
                   float, double) {
  using M = tsdl::GRUClassifier<Scalar>;
  const tsdl::Candles& market = halted_market();
  for (const std::string& set : tsdl::feature_sets()) {
    CAPTURE(set);
    const Halted<M> halted(set);
    const auto windows = tsdl::apply<Scalar>(halted.recipe, market);
    const tsdl::Matrix<double> expected = tsdl::predict(*halted.model, windows);
    REQUIRE(windows.size() > flat);
    for (const CallersMode& mode : test::callers_modes) {
      INFO(std::string(mode.name));
      const InMode caller(mode);
      CHECK(bytes_of(tsdl::predict(*halted.model, tsdl::apply<Scalar>(halted.recipe, market))) ==
            bytes_of(expected));
      for (const bool guarded : {false, true}) {
        CAPTURE(guarded);
        std::unique_ptr<tsdl::FloatModeGuard> guard;
        if (guarded) guard = std::make_unique<tsdl::FloatModeGuard>();
        tsdl::StreamingPredictor<M> stream(halted.model, halted.recipe);
        Index next = 0, wrong = 0;
        for (Index row = 0; row < market.size(); ++row) {
          const auto prediction = stream.push(market[row]);
          if (!prediction) continue;
          wrong += windows.end_row(next) != row ||
                   !test::same_bits(prediction.values[0], expected(0, next));
          ++next;
        }
        CHECK(wrong == 0);
        CHECK(next == windows.size());
      }
    }
  }
}

TEST_CASE("public calls give the same bits in any mode") {
  using tsdl::internal::undefined;
  const tsdl::Candles market = test::first_candles(test::shipped_candles(), 400);
  // A table whose numbers make denormals: what is small is 1e-310 and its like.
  tsdl::Series<double> tiny = tsdl::Series<double>::sized({"a", "b"}, 300);
  tsdl::RandomStream random(3);
  for (double& value : tiny.values) value = 1e-308 * random.normal();
  const std::vector<double> small = [&] {
    std::vector<double> values;
    for (int i = 0; i < 64; ++i) values.push_back(1e-309 * random.normal());
    return values;
  }();
  const std::vector<double> unit = [&] {
    std::vector<double> values;
    for (int i = 0; i < 64; ++i) values.push_back(random.uniform());
    return values;
  }();
  std::vector<double> classes;
  std::vector<Index> indices;
  std::vector<bool> positive;
  for (int i = 0; i < 64; ++i) {
    classes.push_back(i % 3 == 0);
    indices.push_back(i % 3 == 0);
    positive.push_back(i % 3 == 0);
  }

  SUBCASE("data") {
    check_in_every_mode("engineer_features",
                        [&] { return bytes_of(tsdl::engineer_features(market, "hybrid").values); });
    check_in_every_mode("make_labels", [&] {
      return bytes_of(tsdl::make_labels(market, tsdl::ThresholdLabel{}).values);
    });
    check_in_every_mode("StandardScaler", [&] {
      tsdl::StandardScaler scaler;
      scaler.fit(tiny);
      std::vector<float> row(2);
      scaler.transform_row(tiny.column(7), row.data());
      return bytes_of(scaler.mean()) + bytes_of(scaler.scale()) +
             bytes_of(scaler.transform<float>(tiny).values) + bytes_of(row);
    });
    check_in_every_mode("TargetScale", [&] {
      const auto scale = tsdl::TargetScale::fit(unit, 2);
      return bytes_of(scale.mean) + bytes_of(scale.scale);
    });
    check_in_every_mode("prepare", [&] {
      const auto data = tsdl::prepare<float>(
          market, {.features = "ohlcv", .length = 5, .label = tsdl::RangeLabel{}});
      return bytes_of(data.train.series().values) + bytes_of(data.recipe.scaler.mean());
    });
    check_in_every_mode("synthetic_candles", [&] {
      std::vector<double> closes;
      for (const tsdl::Candle& candle : tsdl::synthetic_candles(200).rows)
        closes.push_back(candle.close);
      return bytes_of(closes);
    });
    check_in_every_mode("parse_candles", [&] {
      const auto read = tsdl::parse_candles(
          "time,open,high,low,close,volume\n2024-01-02,1.1,1.3,1.1,1.2,123456789012345678901\n",
          "x");
      return bits({read[0].open, read[0].high, read[0].close, read[0].volume});
    });
  }

  SUBCASE("tasks") {
    const std::pair<const char*, tsdl::Task> tasks[] = {
        {"binary", tsdl::Binary{}},
        {"classes", tsdl::Classes{.count = 2, .weights = {0.3, 1.7}}},
        {"regression", tsdl::Regression{.targets = 1}},
        {"quantiles", tsdl::Quantiles{.levels = {0.1, 0.5, 0.9}, .targets = 1}}};
    for (const auto& [name, task] : tasks) {
      const Index n = 16, K = task->outputs();
      std::vector<double> outputs(at(n * K));
      for (std::size_t i = 0; i < outputs.size(); ++i)
        outputs[i] = i % 4 == 0 ? -740 : i % 4 == 1 ? 1e-310 : 2 * unit[i] - 1;
      check_in_every_mode(name, [&, kind = task] {
        std::vector<double> slopes(outputs.size()), decoded(at(n * kind->predictions()));
        const auto loss = kind->loss(outputs.data(), classes.data(), n, slopes.data());
        for (Index i = 0; i < n; ++i)
          kind->decode(outputs.data() + i * K, decoded.data() + i * kind->predictions());
        const std::span<const double> targets(classes.data(), at(n));
        const tsdl::Metrics metrics = kind->measure(decoded, targets);
        std::string all = bytes_of(slopes) + bytes_of(decoded) + bits({loss.sum, loss.weight});
        for (const tsdl::Figure& figure : tsdl::all_figures) all += bits({metrics.*figure.value});
        return all;
      });
    }
    check_in_every_mode("regression_metrics", [&] {
      const auto m = tsdl::regression_metrics(small, unit);
      return bits({m.rmse, m.mae});
    });
    check_in_every_mode("wilson_interval", [&] {
      const auto interval = tsdl::wilson_interval(0.37, 91);
      return bits({interval.low, interval.high});
    });
    check_in_every_mode("curves", [&] {
      std::string all;
      for (const auto& point : tsdl::roc_curve(unit, positive))
        all += bits({point.false_positive_rate, point.true_positive_rate});
      for (const auto& bin : tsdl::calibration_curve(unit, positive))
        all += bits({bin.low, bin.mean_probability, bin.share_positive});
      return all + bits({tsdl::roc_auc(unit, positive),
                         tsdl::area_under(tsdl::roc_curve(unit, positive))});
    });
  }

  SUBCASE("layers and training") {
    check_in_every_mode("initial weights", [&] {
      std::string all;
      for (const tsdl::Init init : {tsdl::Init::pytorch, tsdl::Init::orthogonal})
        all += weights_of(
            tsdl::BiLSTMClassifier<double>({.input_size = 3, .hidden_size = 5, .init = init}, 9));
      return all;
    });
    check_in_every_mode("Linear", [&] {
      tsdl::Linear<double> linear(4, 3, 1);
      std::vector<double> y(48), dx(64), x(small), dy(unit.begin(), unit.begin() + 48);
      linear.forward(y.data(), x.data(), 16);
      tsdl::Linear<double>::Cache cache;
      linear.backward(dx.data(), dy.data(), x.data(), 16, cache);
      std::string all = bytes_of(y) + bytes_of(dx);
      std::as_const(linear).visit(
          [&](const auto& parameter) { all += bytes_of(parameter.gradient.span()); });
      return all;
    });
    const auto data = tsdl::prepare<float>(
        market, {.features = "ohlcv", .length = 6, .label = tsdl::DirectionLabel{}});
    const tsdl::ClassifierOptions options{.input_size = data.inputs(),
                                          .hidden_size = 6,
                                          .dropout = 0.1,
                                          .pooling = tsdl::Pooling::mean};
    check_in_every_mode("Trainer, predict, evaluate", [&] {
      tsdl::BiGRUClassifier<float> model(options, 2);
      tsdl::Trainer trainer(model, {.max_epochs = 2, .shuffle = true});
      trainer.add(tsdl::ReduceLROnPlateau{.factor = 0.3, .patience = 0});
      const auto history = trainer.fit(data.train, data.validation);
      const auto metrics = tsdl::evaluate(model, data.test);
      return weights_of(model) + bytes_of(tsdl::predict(model, data.test)) +
             bits({history.epochs.back().train_loss, history.epochs.back().gradient_norm,
                   metrics.loss, metrics.roc_auc});
    });
    check_in_every_mode("carried and sliding windows", [&] {
      const tsdl::LSTMClassifier<float> model(options, 2);
      tsdl::WindowOf<tsdl::LSTMClassifier<float>> window(model, 4);
      tsdl::CarriedOf<tsdl::LSTMClassifier<float>> carried(model);
      std::string all;
      for (Index row = 30; row < 50; ++row) {
        const float* x = data.train.series().column(row);
        window.push(model, x);
        if (row >= 40) all += bytes_of(window.run(model));
        all += bytes_of(carried.push(model, x));
      }
      return all;
    });
    check_in_every_mode("baselines and report", [&] {
      const tsdl::GRUClassifier<float> model(options, 2);
      return tsdl::html_report(tsdl::make_report(model, data, tsdl::History{}));
    });
  }

  SUBCASE("selection") {
    check_in_every_mode("block_bootstrap_mean", [&] {
      const auto interval = tsdl::block_bootstrap_mean(unit);
      return bits({interval.low, interval.high, interval.mean});
    });
    tsdl::Matrix<double> X(3, 64), Y(1, 64);
    for (double& value : X.reshaped()) value = random.normal();
    for (double& value : Y.reshaped()) value = random.normal();
    check_in_every_mode("linear models", [&] {
      const auto ridge = tsdl::fit_ridge(X, Y, 0.3);
      const auto logistic = tsdl::fit_logistic(X, indices, 2, 0.3);
      return bytes_of(ridge.weights) + bytes_of(ridge.bias) + bytes_of(logistic.weights) +
             bytes_of(ridge.outputs(X)) +
             bits({tsdl::mean_squared_error(ridge, X, Y),
                   tsdl::mean_log_loss(logistic, X, indices)});
    });
  }
}
