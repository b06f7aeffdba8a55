// What is not finite is caught although the compiler may assume that it does not occur: these tests
// are run as they are and, by fast_math.sh, built with -ffast-math.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <tsdl/bilstm.hpp>
#include <tsdl/data/synthetic.hpp>
#include <vector>

#include "support/training.hpp"
#include "tsdl/kernels/gelu.hpp"
#include "tsdl/kernels/softmax.hpp"

namespace {

using tsdl::Index;

// Bits that no compiler can see through.
double number(std::uint64_t bits) {
  volatile std::uint64_t hidden = bits;
  return std::bit_cast<double>(std::uint64_t{hidden});
}
const double not_a_number = number(0x7ff8000000000000u), infinity = number(0x7ff0000000000000u);
const std::vector<double> neither = {not_a_number, -not_a_number, infinity, -infinity};

Index undefined_values(const tsdl::Series<double>& series) {
  Index count = 0;
  for (const double value : series.values) count += tsdl::is_nan(value);
  return count;
}

tsdl::Series<double> one_feature(const std::vector<double>& values) {
  auto series = tsdl::Series<double>::sized({"x"}, std::ssize(values));
  std::copy(values.begin(), values.end(), series.values.begin());
  return series;
}

std::vector<std::uint32_t> weights(const tsdl::BiLSTMClassifier<float>& model) {
  std::vector<std::uint32_t> bits;
  model.visit([&](const auto& parameter) {
    for (const float value : parameter.value) bits.push_back(std::bit_cast<std::uint32_t>(value));
  });
  return bits;
}

/// A small model, trained one epoch on windows whose input `row` of feature 0 is `value`.
struct Run {
  tsdl::BiLSTMClassifier<float> model{{.input_size = 3, .hidden_size = 5}, 3};
  tsdl::History history;
  bool updated = false;

  Run(Index row, float value, tsdl::TrainerOptions options) {
    auto toy = test::make_toy<float>(80, 3, 1, [](double sum) { return sum > 0 ? 1 : 0; });
    if (row >= 0) toy.series->column(row)[0] = value;
    const auto before = weights(model);
    options.batch_size = 8;
    tsdl::Trainer trainer(model, options);
    history = trainer.fit(toy.windows(10, 32), toy.windows(60, 8));
    updated = weights(model) != before;
  }
};

}  // namespace

TEST_CASE("fast math: what is finite, and what is NaN") {
  const double zero = number(0), largest = number(0x7fefffffffffffffu);
  for (const double x : neither) CHECK_FALSE(tsdl::is_finite(x));
  for (const double x : {zero, -zero, largest, -largest, number(1)}) {
    CHECK(tsdl::is_finite(x));
    CHECK_FALSE(tsdl::is_nan(x));
  }
  CHECK(tsdl::is_nan(not_a_number));
  CHECK(tsdl::is_nan(-not_a_number));
  CHECK_FALSE(tsdl::is_nan(infinity));
  // Worked out, not only read.
  CHECK_FALSE(tsdl::is_finite(largest + largest));
  CHECK_FALSE(tsdl::is_finite(static_cast<float>(largest)));
  CHECK_FALSE(tsdl::is_nan(largest * 2));
  static_assert(tsdl::is_finite(1.0) && !tsdl::is_nan(1.0));
}

TEST_CASE("fast math: candles and tables") {
  for (const char* text : {"nan", "inf", "-inf", "1e999"}) {
    CAPTURE(text);
    const std::string row = std::string("\n2020-01-02,1,2,1,") + text + ",5\n";
    CHECK_THROWS_AS(tsdl::parse_candles("time,open,high,low,close,volume" + row, "t"),
                    tsdl::DataError);
    CHECK_THROWS_AS(tsdl::parse_table("time,a,b,c,d,y" + row, "t", {{"a", "b", "c", "d"}, "y"}),
                    tsdl::DataError);
  }
  tsdl::Candles candles = tsdl::synthetic_candles(50);
  CHECK_NOTHROW(tsdl::validate(candles));
  for (double tsdl::Candle::*field : {&tsdl::Candle::open, &tsdl::Candle::high, &tsdl::Candle::low,
                                      &tsdl::Candle::close, &tsdl::Candle::volume})
    for (const double bad : neither) {
      tsdl::Candles broken = candles;
      broken.rows[7].*field = bad;
      CHECK_THROWS_AS(tsdl::validate(broken), tsdl::DataError);
    }
}

TEST_CASE("fast math: features are undefined until they are warm, and else finite") {
  tsdl::Candles candles = tsdl::synthetic_candles(300);
  CHECK(undefined_values(tsdl::engineer_features(candles, "technical23")) == 432);
  CHECK(undefined_values(tsdl::engineer_features(candles, "hybrid")) == 2009);
  CHECK(undefined_values(tsdl::engineer_features(candles, "ta86")) == 1748);
  for (tsdl::Candle& candle : candles.rows)
    for (double* price : {&candle.open, &candle.high, &candle.low, &candle.close}) *price *= 1e306;
  CHECK_THROWS_AS(tsdl::engineer_features(candles, "ta86"), tsdl::DataError);
}

TEST_CASE("fast math: the scaler") {
  for (const double bad : {infinity, -infinity}) {
    CHECK_THROWS_AS(tsdl::StandardScaler().fit(one_feature({1, bad, 2})), tsdl::DataError);
    tsdl::StandardScaler scaler({.clip = 3});
    scaler.fit(one_feature({1, 2, 3}));
    CHECK_THROWS_AS(scaler.transform<float>(one_feature({1, bad})), tsdl::DataError);
  }
  CHECK_THROWS_AS(tsdl::StandardScaler().fit(one_feature({1e300, -1e300, 2})), tsdl::DataError);
  for (const double bad : neither)
    CHECK_THROWS_AS(tsdl::StandardScaler({.clip = bad}), tsdl::Error);
  tsdl::StandardScaler scaler;
  scaler.fit(one_feature({not_a_number, 1, 2, 3, -not_a_number}));
  CHECK(scaler.count()[0] == 3);
  CHECK(scaler.mean()[0] == doctest::Approx(2));
  CHECK_THROWS_AS(scaler.transform<float>(one_feature({1e300})), tsdl::DataError);
  const auto scaled = scaler.transform<float>(one_feature({not_a_number, 2}));
  CHECK(tsdl::is_nan(scaled.values[0]));
  CHECK_FALSE(scaled.is_complete(0));
  CHECK(scaled.is_complete(1));
}

TEST_CASE("fast math: labels and windows") {
  const tsdl::Candles candles = tsdl::synthetic_candles(60);
  std::vector<Index> rows(100);
  std::iota(rows.begin(), rows.end(), Index{4});
  for (const double bad : neither) {
    CHECK_THROWS_AS(tsdl::make_labels(candles, tsdl::ThresholdLabel{.width = bad}),
                    tsdl::DataError);
    CHECK_THROWS_AS(tsdl::make_labels(candles, tsdl::TripleBarrierLabel{.take_profit = bad}),
                    tsdl::DataError);
    const std::vector<double> labels = {0, 1, bad};
    for (const tsdl::Task& task : {tsdl::Task(tsdl::Binary{}), tsdl::Task(tsdl::Classes{3}),
                                   tsdl::Task(tsdl::Regression{}), tsdl::Task(tsdl::Quantiles{})})
      CHECK_THROWS_AS(task.check_targets(labels, 1, 3), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::balanced_class_weights(labels, 2), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::TargetScale::fit(labels, 1), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::task_of(tsdl::BCEWithLogits{bad}, 1), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::task_of(tsdl::CrossEntropy{{1, bad}}, 2), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::task_of(tsdl::Huber{bad}, 1), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::Task(tsdl::Quantiles{.levels = {bad}}), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::Task(tsdl::Regression{.scale = {{0}, {bad}}}), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::Task(tsdl::Regression{.scale = {{bad}, {1}}}), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::chronological_split(rows, 5, 1, {.validation = bad}), tsdl::DataError);
  }
  const std::vector<double> known = {0, 0, 1, 1, not_a_number, 1, 0, 1};
  const auto ends =
      tsdl::window_ends(one_feature({1, not_a_number, 2, 3, 4, 5, infinity, 7}), known, 2, 1);
  CHECK(ends == std::vector<Index>{3, 5});
}

TEST_CASE("fast math: options") {
  for (const double bad : neither) {
    CAPTURE(bad);
    CHECK_THROWS_AS(tsdl::AdamW{.lr = bad}.check(), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::AdamW{.beta1 = bad}.check(), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::AdamW{.beta2 = bad}.check(), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::AdamW{.eps = bad}.check(), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::AdamW{.weight_decay = bad}.check(), tsdl::OptionError);
    CHECK_THROWS_AS((tsdl::AdamW{.groups = {{.name = "b", .lr_scale = bad}}}.check()),
                    tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::ReduceLROnPlateau{.factor = bad}.check(), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::GRUClassifier<float>({.input_size = 2, .dropout = bad}),
                    tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::GRUClassifier<float>({.input_size = 2, .head_dropout = bad}),
                    tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::synthetic_candles(9, {.volatilities = {bad}}), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::synthetic_candles(9, {.persistence = bad}), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::synthetic_candles(9, {.price = bad}), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::PSAR{bad}, tsdl::ShapeError);
  }
  CHECK_THROWS_AS(tsdl::PSAR(0.02, not_a_number), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::ReduceLROnPlateau{.min_lr = not_a_number}.check(), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::ReduceLROnPlateau{.threshold = not_a_number}.check(), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::TrainerOptions{.clip_norm = not_a_number}.check(), tsdl::OptionError);
  Run run(-1, 0, {.max_epochs = 1});
  tsdl::Trainer trainer(run.model);
  CHECK_THROWS_AS(trainer.add(tsdl::EarlyStopping{.min_delta = not_a_number}), tsdl::OptionError);
}

TEST_CASE("fast math: a step whose gradient is not finite is skipped and changes nothing") {
  const Run good(-1, 0, {.max_epochs = 1});
  CHECK(good.history.skipped_steps == 0);
  CHECK(good.updated);
  for (const double bad : {not_a_number, infinity, -infinity}) {
    CAPTURE(bad);
    // Row 20 is in windows 10 to 15, all of the second batch.
    const Run some(20, static_cast<float>(bad), {.max_epochs = 1});
    CHECK(some.history.skipped_steps == 1);
    CHECK(some.history.status == tsdl::Status::finished);
    CHECK(some.updated);
  }
  const auto broken_weight = [](double bad) {
    auto toy = test::make_toy<float>(80, 3, 1, [](double sum) { return sum > 0 ? 1 : 0; });
    tsdl::BiLSTMClassifier<float> model({.input_size = 3, .hidden_size = 5}, 3);
    model.visit([&](auto& parameter) {
      if (parameter.name == "fc.weight") parameter.value[0] = static_cast<float>(bad);
    });
    model.repack();
    const auto before = weights(model);
    tsdl::Trainer trainer(model, {.batch_size = 4, .max_skipped_in_a_row = 3});
    const tsdl::History history = trainer.fit(toy.windows(10, 32));
    CHECK(history.status == tsdl::Status::diverged);
    CHECK(history.skipped_steps == 3);
    CHECK(weights(model) == before);
  };
  broken_weight(not_a_number);
  broken_weight(infinity);
}

TEST_CASE("fast math: a loss that is NaN is no improvement") {
  tsdl::PlateauState plateau;
  CHECK(plateau.next({.patience = 0}, not_a_number, 1.0) == doctest::Approx(0.5));
  CHECK(plateau.next({.patience = 0}, 3.0, 1.0) == doctest::Approx(1.0));
  CHECK(plateau.next({.patience = 0}, not_a_number, 1.0) == doctest::Approx(0.5));
  CHECK(plateau.best == doctest::Approx(3.0));
  // The validation windows hold an infinity or NaN, the training windows do not.
  const Run run(64, static_cast<float>(not_a_number), {.max_epochs = 2});
  CHECK(run.history.epochs.size() == 2);
  CHECK(run.history.best_epoch == 0);
  CHECK(tsdl::is_nan(run.history.epochs[0].validation.loss));
}

TEST_CASE("fast math: NaN in one window spoils its own prediction only") {
  auto toy = test::make_toy<float>(60, 3, 1, [](double sum) { return sum > 0 ? 1 : 0; });
  const tsdl::BiLSTMClassifier<float> bilstm({.input_size = 3, .hidden_size = 5}, 3);
  const tsdl::GRUClassifier<float> gru({.input_size = 3, .hidden_size = 5, .outputs = 3}, 3);
  toy.series->column(20)[1] = static_cast<float>(not_a_number);
  const auto check = [&](const tsdl::Matrix<double>& p) {
    for (Index i = 0; i < p.cols(); ++i)
      for (Index k = 0; k < p.rows(); ++k)
        CHECK(tsdl::is_nan(p(k, i)) == (i >= 10 && i < 16));  // windows of 6 that end at rows 20 on
  };
  check(tsdl::predict(bilstm, toy.windows(10, 30)));
  check(tsdl::predict(gru, toy.windows(10, 30)));
}

TEST_CASE_TEMPLATE("fast math: NaN in, NaN out of softmax, gelu and relu", Scalar, float, double) {
  const auto bad = static_cast<Scalar>(not_a_number);
  const Index padded = tsdl::round_up(11, tsdl::kernels::lanes<Scalar>);
  for (Index at = 0; at < 11; ++at) {
    tsdl::Buffer<Scalar> x(padded), y(padded), slope(padded);
    for (Index i = 0; i < 11; ++i) x[i] = i == at ? bad : static_cast<Scalar>(i - 5);
    tsdl::kernels::gelu(y.data(), slope.data(), x.data(), padded);
    for (Index i = 0; i < 11; ++i) {
      CHECK(tsdl::is_nan(y[i]) == (i == at));
      CHECK(tsdl::is_nan(slope[i]) == (i == at));
    }
    tsdl::kernels::relu(y.data(), static_cast<Scalar*>(nullptr), x.data(), padded);
    for (Index i = 0; i < 11; ++i) CHECK(tsdl::is_nan(y[i]) == (i == at));
    tsdl::kernels::softmax(x.data(), Index{11}, padded, Scalar{1});
    for (Index i = 0; i < 11; ++i) CHECK(tsdl::is_nan(x[i]));
  }
}

TEST_CASE("fast math: metrics of what is not a number") {
  const std::vector<double> p = {0.2, not_a_number, 0.7, 0.9}, labels = {0, 1, 1, 0};
  const auto metrics = tsdl::classification_metrics(p, 1, labels);
  CHECK(metrics.count == 4);
  CHECK(tsdl::is_nan(metrics.accuracy));
  CHECK(tsdl::is_nan(metrics.roc_auc));
  CHECK(tsdl::confusion_matrix(p, 1, labels).counts[1][1] == 1);
  CHECK(tsdl::confusion_matrix(p, 1, labels).counts[1][0] == 0);
  const std::vector<double> good = {0.2, 0.4, 0.7, 0.9};
  for (const double bad : neither)
    CHECK_THROWS_AS(tsdl::classification_metrics(good, 1, std::vector<double>{0, 1, bad, 1}),
                    tsdl::DataError);
}
