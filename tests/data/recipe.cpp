// prepare and apply: against the parts done by hand, leaks, classes, tables.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/data/prepare.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

template <class Scalar>
bool same_windows(const tsdl::Windows<Scalar>& a, const tsdl::Windows<Scalar>& b) {
  if (a.size() != b.size() || a.ends() != b.ends() || a.targets() != b.targets()) return false;
  tsdl::Buffer<Scalar> scratch;
  for (Index i = 0; i < a.size(); ++i) {
    const auto x = a.batch(i, 1, scratch);
    const auto y = b.batch(i, 1, scratch);
    for (Index t = 0; t < a.length(); ++t)
      for (Index k = 0; k < a.inputs(); ++k)
        if (!(x.column(t, 0)[k] == y.column(t, 0)[k])) return false;
  }
  return true;
}

/// Replaces every candle from `first` on by others, at the same times.
tsdl::Candles changed_from(const tsdl::Candles& candles, Index first) {
  tsdl::Candles changed = candles;
  const tsdl::Candles other = test::random_candles(candles.size(), 99);
  for (Index t = first; t < candles.size(); ++t) {
    changed.rows[test::at(t)] = other[t];
    changed.rows[test::at(t)].time = candles[t].time;
  }
  return changed;
}

bool same_scaler(const tsdl::StandardScaler& a, const tsdl::StandardScaler& b) {
  return a.names() == b.names() && a.mean() == b.mean() && a.variance() == b.variance() &&
         a.scale() == b.scale() && a.count() == b.count();
}

/// Two features and a label column, `up`, which alternates.
tsdl::Table small_table(Index rows) {
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a", "b"}, rows);
  for (Index t = 0; t < rows; ++t) {
    table.features.column(t)[0] = std::sin(static_cast<double>(t));
    table.features.column(t)[1] = static_cast<double>(t * t % 17);
    table.label.push_back(static_cast<double>(t % 2));
    table.time.push_back(t * 86400000);
  }
  table.label_name = "up";
  return table;
}

}  // namespace

TEST_CASE("prepare on the shipped candles does what its parts do by hand") {
  const tsdl::Candles& candles = test::shipped_candles();
  tsdl::Recipe recipe{.features = "ohlcv", .length = 50, .label = tsdl::RangeLabel{}};
  auto data = tsdl::prepare<float>(candles, recipe, {.validation = 0.15, .test = 0.15});
  CHECK(data.inputs() == 5);
  CHECK(data.recipe.columns == tsdl::feature_names("ohlcv"));
  CHECK(data.recipe.scaler.is_fitted());
  CHECK(data.times.size() == 5105);
  CHECK(data.times[4] == candles[4].time);

  // Rows 20 to 5103 have features and a label: 5035 windows of 50 end in them.
  CHECK(data.train.size() + data.validation.size() + data.test.size() + data.split.dropped == 5035);
  CHECK(data.split.dropped == 100);
  CHECK(data.train.end_row(0) == 69);
  CHECK(data.test.end_row(data.test.size() - 1) == 5103);

  const tsdl::Series<double> features = tsdl::engineer_features(candles, "ohlcv");
  const std::vector<double> labels = tsdl::make_labels(candles, recipe.label).values;
  const Index last_train = data.train.ends().back();
  for (Index k = 0; k < 5; ++k) {
    double mean = 0;
    for (Index t = 20; t <= last_train; ++t) mean += features.column(t)[k];
    mean /= static_cast<double>(last_train - 19);
    double variance = 0;
    for (Index t = 20; t <= last_train; ++t)
      variance += (features.column(t)[k] - mean) * (features.column(t)[k] - mean);
    variance /= static_cast<double>(last_train - 19);
    CHECK(test::close_to(data.recipe.scaler.mean()[test::at(k)], mean, 1e-12));
    CHECK(test::close_to(data.recipe.scaler.variance()[test::at(k)], variance, 1e-12));
  }
  tsdl::Buffer<float> scratch;
  for (const auto* part : {&data.train, &data.validation, &data.test}) {
    CHECK(&part->series() == &data.train.series());
    bool same = true;
    for (Index i = 0; i < part->size(); i += 13) {
      const auto window = part->batch(i, 1, scratch);
      same = same && part->label(i) == labels[test::at(part->end_row(i))];
      for (Index t = 0; t < 50; ++t)
        for (Index k = 0; k < 5; ++k) {
          const double raw = features.column(part->end_row(i) - 49 + t)[k];
          const double scaled = (raw - data.recipe.scaler.mean()[test::at(k)]) /
                                data.recipe.scaler.scale()[test::at(k)];
          same = same && window.column(t, 0)[k] == static_cast<float>(scaled);
        }
    }
    CHECK(same);
  }
  CHECK(scratch.size() == 0);
}

TEST_CASE("no candle after what a part reads changes anything in it") {
  const tsdl::Candles candles = test::random_candles(900, 11);
  const std::vector<tsdl::Label> kinds = {tsdl::RangeLabel{}, tsdl::DirectionLabel{.horizon = 7},
                                          tsdl::ThresholdLabel{.horizon = 3}};
  for (const tsdl::Label& label : kinds) {
    for (const Index stride : {1, 3}) {
      const tsdl::Recipe recipe{
          .features = "ohlcv", .length = 20, .label = label, .stride = stride};
      const auto before = tsdl::prepare<double>(candles, recipe, {0.2, 0.2});
      const Index horizon = tsdl::horizon(label);

      const Index train_reads = before.train.ends().back() + horizon;
      const auto after =
          tsdl::prepare<double>(changed_from(candles, train_reads + 1), recipe, {0.2, 0.2});
      CHECK(same_scaler(before.recipe.scaler, after.recipe.scaler));
      CHECK(same_windows(before.train, after.train));
      CHECK_FALSE(same_windows(before.validation, after.validation));

      const Index validation_reads = before.validation.ends().back() + horizon;
      CHECK(validation_reads < before.test.ends().front() - 20 + 1);
      const auto test_changed =
          tsdl::prepare<double>(changed_from(candles, validation_reads + 1), recipe, {0.2, 0.2});
      CHECK(same_scaler(before.recipe.scaler, test_changed.recipe.scaler));
      CHECK(same_windows(before.train, test_changed.train));
      CHECK(same_windows(before.validation, test_changed.validation));
      CHECK_FALSE(same_windows(before.test, test_changed.test));

      // The last row that a training window covers does count.
      const auto inside = tsdl::prepare<double>(changed_from(candles, before.train.ends().back()),
                                                recipe, {0.2, 0.2});
      CHECK_FALSE(same_scaler(before.recipe.scaler, inside.recipe.scaler));
    }
  }
}

TEST_CASE("with triple-barrier labels no row that a later part reads changes an earlier one") {
  const tsdl::Candles candles = test::random_candles(900, 16);
  const tsdl::Recipe recipe{.length = 20, .label = tsdl::TripleBarrierLabel{.horizon = 30}};
  const auto before = tsdl::prepare<double>(candles, recipe, {0.2, 0.2});
  const Index validation_from = before.split.validation.front() - 20 + 1;
  const auto after =
      tsdl::prepare<double>(changed_from(candles, validation_from), recipe, {0.2, 0.2});
  CHECK(same_scaler(before.recipe.scaler, after.recipe.scaler));
  CHECK(same_windows(before.train, after.train));
  CHECK_FALSE(same_windows(before.validation, after.validation));
  const Index test_from = before.split.test.front() - 20 + 1;
  const auto later = tsdl::prepare<double>(changed_from(candles, test_from), recipe, {0.2, 0.2});
  CHECK(same_windows(before.train, later.train));
  CHECK(same_windows(before.validation, later.validation));
  CHECK_FALSE(same_windows(before.test, later.test));
  // The row before does count: a label that ends there.
  const auto inside =
      tsdl::prepare<double>(changed_from(candles, validation_from - 1), recipe, {0.2, 0.2});
  CHECK_FALSE(same_windows(before.train, inside.train));
}

TEST_CASE("apply makes the same windows, also of candles that end today") {
  const tsdl::Candles candles = test::random_candles(400, 12);
  const auto data = tsdl::prepare<float>(candles, {.features = "ohlc", .length = 30});
  const tsdl::Windows<float> all = tsdl::apply<float>(data.recipe, candles);
  CHECK(all.size() == 400 - 20 - 29);
  CHECK(all.end_row(all.size() - 1) == 399);
  CHECK(std::isnan(all.label(all.size() - 1)));
  tsdl::Buffer<float> scratch;
  for (Index i = 0; i < data.test.size(); ++i) {
    const Index j = data.test.end_row(i) - all.end_row(0);
    CHECK(all.label(j) == data.test.label(i));
    const auto x = data.test.batch(i, 1, scratch);
    const auto y = all.batch(j, 1, scratch);
    bool same = true;
    for (Index t = 0; t < 30; ++t)
      for (Index k = 0; k < 4; ++k) same = same && x.column(t, 0)[k] == y.column(t, 0)[k];
    CHECK(same);
  }
  // Just enough for one prediction, and for no label at all.
  const tsdl::Windows<float> one =
      tsdl::apply<float>(data.recipe, test::first_candles(candles, 50));
  CHECK(one.size() == 1);
  CHECK(one.end_row(0) == 49);
  CHECK(contains(message_of<tsdl::DataError>(
                     [&] { tsdl::apply<float>(data.recipe, test::first_candles(candles, 49)); }),
                 "window of 30"));
}

TEST_CASE("prepare and apply on a table") {
  const tsdl::Table table = small_table(200);
  const tsdl::Recipe recipe{.length = 5, .label = tsdl::ColumnLabel{.column = "Up", .offset = 1}};
  const auto data = tsdl::prepare<double>(table, recipe, {0.2, 0.2});
  CHECK(data.recipe.features.empty());
  CHECK(data.recipe.columns == std::vector<std::string>{"a", "b"});
  CHECK(data.inputs() == 2);
  CHECK(data.train.end_row(0) == 4);
  CHECK(data.train.label(0) == 1);  // of row 5
  CHECK(data.split.dropped == 2 * 5);
  CHECK(data.times == table.time);

  tsdl::Table fresh = table;  // as read for predictions
  fresh.label.clear();
  fresh.label_name.clear();
  const tsdl::Windows<double> all = tsdl::apply<double>(data.recipe, fresh);
  CHECK(all.size() == 196);
  CHECK(std::isnan(all.label(0)));
  const tsdl::Windows<double> labelled = tsdl::apply<double>(data.recipe, table);
  CHECK(labelled.label(0) == 1);
  CHECK(std::isnan(labelled.label(195)));

  fresh.features.names = {"b", "a"};
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::apply<double>(data.recipe, fresh); }),
                 "expected the columns a, b, found b, a"));
  CHECK(contains(message_of<tsdl::DataError>(
                     [&] { tsdl::apply<double>(data.recipe, test::random_candles(99, 1)); }),
                 "columns of a table (a, b)"));
}

TEST_CASE("labels become class indices, the classes are kept, and apply maps the same way") {
  const tsdl::Candles candles = test::random_candles(600, 14);
  const std::vector<double> three{-1, 0, 1};
  const struct {
    tsdl::Label label;
    std::vector<double> values;
    Index outputs;
  } kinds[] = {{tsdl::RangeLabel{}, {0, 1}, 1},
               {tsdl::DirectionLabel{}, {0, 1}, 1},
               {tsdl::ThresholdLabel{.horizon = 2}, three, 3},
               {tsdl::TripleBarrierLabel{.horizon = 5}, three, 3}};
  for (const auto& kind : kinds) {
    const auto data = tsdl::prepare<float>(candles, {.length = 9, .label = kind.label});
    CHECK(data.recipe.class_values == kind.values);
    CHECK(data.outputs() == kind.outputs);
    const std::vector<double> labels = tsdl::make_labels(candles, kind.label).values;
    Index counts[3] = {};
    for (const auto* part : {&data.train, &data.validation, &data.test})
      for (Index i = 0; i < part->size(); ++i) {
        const auto k = static_cast<std::size_t>(part->label(i));
        REQUIRE(kind.values.at(k) == labels[test::at(part->end_row(i))]);
        ++counts[k];
      }
    for (std::size_t k = 0; k < kind.values.size(); ++k) CHECK(counts[k] > 20);
    const auto all = tsdl::apply<float>(data.recipe, candles);
    for (Index i = 0; i < all.size(); ++i) {
      const double label = labels[test::at(all.end_row(i))];
      const double k = all.label(i);
      CHECK(
          (std::isnan(label) ? std::isnan(k) : kind.values[static_cast<std::size_t>(k)] == label));
    }
  }
  // A prepared recipe's classes hold: another label that has others is refused.
  tsdl::Recipe other = tsdl::prepare<float>(candles, {.length = 9}).recipe;
  other.label = tsdl::ThresholdLabel{};
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::prepare<float>(candles, other); }),
                 "expected a label that is one of 0, 1, found -1"));
}

TEST_CASE("prepare purges a triple-barrier label by its touch, not by its horizon") {
  const tsdl::Candles candles = test::random_candles(900, 15);
  const tsdl::TripleBarrierLabel label{.horizon = 60, .take_profit = 1, .stop_loss = 1};
  const auto data = tsdl::prepare<float>(candles, {.length = 10, .label = label});
  const std::vector<Index>& ends = tsdl::make_labels(candles, label).ends;
  CHECK(data.split.dropped < 2 * (10 + 60 - 1));
  const Index inputs_from = data.split.validation.front() - 10 + 1;
  CHECK(data.split.train.back() + 60 >= inputs_from);
  for (const Index end : data.split.train) CHECK(ends[test::at(end)] < inputs_from);
}

TEST_CASE("the classes of a table's label column") {
  const auto prepared = [](const std::vector<double>& pattern, const tsdl::Recipe& recipe) {
    tsdl::Table table = small_table(200);
    for (std::size_t t = 0; t < 200; ++t) table.label[t] = pattern[t % pattern.size()];
    return tsdl::prepare<float>(table, recipe, {0.2, 0.2});
  };
  const tsdl::Recipe plain{.length = 5, .label = tsdl::ColumnLabel{"up"}};
  const auto refused = [&](const std::vector<double>& pattern, const tsdl::Recipe& recipe) {
    return message_of<tsdl::DataError>([&] { prepared(pattern, recipe); });
  };
  const std::vector<std::vector<double>> accepted = {{0, 1}, {-1, 0, 1}, {0, 1, 2, 3}, {3, 4, 5}};
  for (const auto& values : accepted) CHECK(prepared(values, plain).recipe.class_values == values);
  tsdl::Recipe strided = plain;  // its windows end in rows of two classes only
  strided.stride = 2;
  CHECK(prepared({0, 1, 2, 3}, strided).recipe.class_values == accepted[2]);
  CHECK(prepared({0, 1}, plain).outputs() == 1);
  CHECK(prepared({3, 4, 5}, plain).train.label(0) == 1);  // row 4 holds 4

  CHECK(contains(refused({-1, 1}, plain), "expected 0 and 1, or three or more whole numbers"));
  CHECK(contains(refused({0, 2}, plain), "found 0, 2"));
  CHECK(contains(refused({1, 2}, plain), "found 1, 2"));
  CHECK(contains(refused({0, 1, 3}, plain), "found 0, 1, 3"));
  CHECK(contains(refused({5}, plain), "one class only in the training rows: all"));
  tsdl::Table stray = small_table(100);  // the row of a stray label is named
  stray.label[30] = 7;
  const auto stray_refused = [&](const tsdl::Recipe& recipe) {
    return message_of<tsdl::DataError>([&] { tsdl::prepare<float>(stray, recipe, {0.2, 0.2}); });
  };
  CHECK(contains(stray_refused(plain), "row 30 (1970-01-31): label 7"));
  stray.label[30] = 0.5;
  CHECK(contains(stray_refused(plain), "row 30 (1970-01-31): expected a whole number"));
  CHECK(contains(stray_refused(plain), "found 0.5"));
  std::vector<double> many(101);
  for (std::size_t i = 0; i < 101; ++i) many[i] = static_cast<double>(i);
  CHECK(contains(refused(many, plain), "at most 100 classes"));
  many.pop_back();
  CHECK(prepared(many, plain).recipe.class_values == many);

  tsdl::Recipe named = plain;
  named.class_values = {-1, 1};
  CHECK(prepared({-1, 1}, named).train.label(0) == 0);  // row 4 holds -1
  named.class_values = {0, 0.5, 1};
  CHECK_NOTHROW(prepared({0, 1}, named));
  CHECK(contains(stray_refused(plain), "found 0.5"));
  CHECK_NOTHROW(tsdl::prepare<float>(stray, named, {0.2, 0.2}));
  named.class_values = {0, 1};
  CHECK(contains(stray_refused(named),
                 "row 30 (1970-01-31): expected a label that is one of 0, 1, found 0.5"));
  const std::vector<std::vector<double>> bad = {
      {1}, {0, 0}, {1, 0}, {0, test::nan}, {0, std::numeric_limits<double>::infinity()}};
  for (const auto& values : bad) {
    named.class_values = values;
    CHECK(contains(refused({0, 1}, named), "class_values"));
  }

  tsdl::Recipe regression = plain;
  regression.regression = true;
  const auto data = prepared({0.25, -3}, regression);
  CHECK(data.train.label(0) == 0.25);
  CHECK(data.outputs() == 1);
  CHECK(data.recipe.class_values.empty());
  regression.class_values = {0, 1};
  CHECK(contains(refused({0, 1}, regression), "a regression has no class_values"));

  const tsdl::Recipe fitted = prepared({-1, 0, 1}, plain).recipe;
  tsdl::Table fresh = small_table(20);
  fresh.label[9] = 2;
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::apply<float>(fitted, fresh); }),
                 "row 9 (1970-01-10): expected a label that is one of -1, 0, 1, found 2"));
  fresh.label[9] = -1;
  CHECK(tsdl::apply<float>(fitted, fresh).label(5) == 0);
}

TEST_CASE("training rows must hold more than one class") {
  const tsdl::Recipe recipe{.length = 5, .label = tsdl::ColumnLabel{"up"}};
  tsdl::Table one = small_table(100);  // both after the training part
  for (std::size_t t = 0; t < 60; ++t) one.label[t] = 1;
  const std::string message = message_of<tsdl::DataError>([&] {
    tsdl::prepare<float>(one, recipe, {0.2, 0.2});
  });
  CHECK(contains(message, "one class only in the training rows"));
  CHECK(contains(message, "labels are 1"));
  one.label[10] = 0;
  CHECK_NOTHROW(tsdl::prepare<float>(one, recipe, {0.2, 0.2}));
}

TEST_CASE("what prepare and apply refuse") {
  const tsdl::Candles candles = test::random_candles(200, 13);
  const auto refused = [&](const tsdl::Recipe& recipe, tsdl::SplitFractions fractions = {}) {
    return message_of<tsdl::DataError>([&] { tsdl::prepare<float>(candles, recipe, fractions); });
  };
  CHECK(contains(refused({.length = 201}), "200 rows are fewer than one window of 201"));
  CHECK(contains(refused({.length = 190}), "too few for a window of 190"));
  CHECK(contains(refused({.length = 60}), "a part is left empty"));
  CHECK(contains(refused({.length = 5}, {.validation = 0.6, .test = 0.6}), "fractions"));
  CHECK(contains(refused({.features = "hybird"}), "\"hybird\""));
  CHECK(contains(refused({.features = ""}), "table"));
  CHECK(contains(refused({.label = tsdl::DirectionLabel{.horizon = 200}}), "beyond the end"));
  CHECK(
      contains(message_of<tsdl::ShapeError>([&] { tsdl::prepare<float>(candles, {.length = 0}); }),
               "length of 1 or more"));
  CHECK(contains(message_of<tsdl::ShapeError>(
                     [&] { tsdl::prepare<float>(candles, {.length = 5, .stride = 0}); }),
                 "stride of 1 or more"));
  const tsdl::Recipe unfitted{.length = 5};
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::apply<float>(unfitted, candles); }),
                 "not fitted"));
  tsdl::Recipe other = tsdl::prepare<float>(candles, {.length = 5}).recipe;
  other.features = "ohlc";
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::apply<float>(other, candles); }),
                 "fitted on 5 features, given 4"));

  const tsdl::Table table = small_table(200);
  const auto table_refused = [&](const tsdl::Table& with, const tsdl::Recipe& recipe) {
    return message_of<tsdl::DataError>([&] { tsdl::prepare<float>(with, recipe); });
  };
  CHECK(contains(table_refused(table, {.length = 5}), "a table needs a ColumnLabel"));
  CHECK(contains(table_refused(table, {.length = 5, .label = tsdl::ColumnLabel{"down"}}), "down"));
  tsdl::Table own = table;
  own.label_name = "A";
  CHECK(contains(table_refused(own, {.length = 5, .label = tsdl::ColumnLabel{"a"}}),
                 "among the features of its own row"));
  CHECK_NOTHROW(tsdl::prepare<float>(
      own, {.length = 5, .label = tsdl::ColumnLabel{.column = "a", .offset = 1}}));
}

TEST_CASE("numbers are targets in their own units, on a scale of the training windows") {
  const tsdl::Candles candles = test::random_candles(400, 12);
  const tsdl::Recipe recipe{
      .features = "ohlc", .length = 10, .label = tsdl::ColumnTargets{{"close", "High"}, 3}};
  const auto data = tsdl::prepare<float>(candles, recipe, {0.2, 0.2});
  CHECK(data.recipe.regression);
  CHECK(data.recipe.class_values.empty());
  CHECK(data.targets() == 2);
  CHECK(data.outputs() == 2);
  CHECK(data.missing_targets == 0);
  for (const auto* part : {&data.train, &data.validation, &data.test})
    for (Index i = 0; i < part->size(); ++i) {
      const Index row = part->end_row(i);
      REQUIRE(part->target(i)[0] == candles[row + 3].close);
      REQUIRE(part->target(i)[1] == candles[row + 3].high);
    }
  CHECK(data.test.end_row(data.test.size() - 1) == 396);
  double mean = 0, off = 0;
  for (Index i = 0; i < data.train.size(); ++i) {
    const Index row = data.train.end_row(i);
    mean += candles[row + 3].high / static_cast<double>(data.train.size());
    off += std::abs(candles[row + 3].high - candles[row].high) /
           static_cast<double>(data.train.size());
  }
  CHECK(data.scale.mean_of(1) == doctest::Approx(mean).epsilon(1e-12));
  CHECK(data.scale.naive_of(1) == doctest::Approx(off).epsilon(1e-12));
  // Other candles after the training rows change nothing of it.
  const auto after =
      tsdl::prepare<float>(changed_from(candles, data.train.ends().back() + 4), recipe, {0.2, 0.2});
  CHECK(after.scale.mean == data.scale.mean);
  CHECK(after.scale.scale == data.scale.scale);
  CHECK(after.scale.naive == data.scale.naive);

  CHECK(data.task()->describe().kind == "regression");
  CHECK(data.task()->describe().numbers("mean") == data.scale.mean);
  CHECK(data.quantiles({0.2, 0.8})->outputs() == 4);
  CHECK(data.quantiles({0.2, 0.8})->describe().numbers("scale") == data.scale.scale);
  CHECK_THROWS_AS(tsdl::prepare<float>(candles, {.length = 10}).quantiles({0.5}),
                  tsdl::OptionError);
  // Up to the newest candle, whose targets nobody knows.
  const auto all = tsdl::apply<float>(data.recipe, candles);
  CHECK(all.end_row(all.size() - 1) == 399);
  CHECK(std::isnan(all.target(all.size() - 1)[0]));
  CHECK(all.target(all.size() - 4)[1] == candles[399].high);
}

TEST_CASE("a table's own columns are forecast, and may be its features too") {
  tsdl::Table table = small_table(200);
  table.targets = tsdl::Series<double>::sized({"b", "c"}, 200);
  for (Index t = 0; t < 200; ++t) {
    table.targets.column(t)[0] = table.features.column(t)[1];
    table.targets.column(t)[1] = static_cast<double>(t);
  }
  table.targets.column(50)[1] = test::nan;  // an empty cell
  const tsdl::Recipe recipe{.length = 5, .label = tsdl::ColumnTargets{{"b", "c"}, 1}};
  const auto data = tsdl::prepare<double>(table, recipe, {0.2, 0.2});
  CHECK(data.train.target(0)[0] == table.features.column(5)[1]);
  CHECK(data.train.target(0)[1] == 5);
  CHECK(data.missing_targets == 1);
  for (const Index end : data.train.ends()) CHECK(end != 49);
  tsdl::Table another = table;
  another.targets.column(5)[0] = test::nan;  // of the first complete window
  CHECK(tsdl::prepare<double>(another, recipe, {0.2, 0.2}).missing_targets == 2);
  another.time[7] = another.time[6];
  CHECK_THROWS_AS(tsdl::apply<double>(data.recipe, another), tsdl::DataError);
  tsdl::Table fresh = table;
  fresh.targets = {};
  const auto all = tsdl::apply<double>(data.recipe, fresh);
  CHECK(all.size() == 196);
  CHECK(std::isnan(all.target(0)[1]));
  const auto refused = [&](const tsdl::Recipe& other) {
    return message_of<tsdl::DataError>([&] { tsdl::prepare<double>(table, other); });
  };
  CHECK(contains(refused({.length = 5, .label = tsdl::ColumnTargets{{"b"}, 1}}),
                 "expected the target columns b, the table was read with b, c"));
  CHECK(contains(refused({.length = 5, .label = tsdl::ColumnTargets{{"b", "c"}, 0}}),
                 "among the features of its own row"));
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::prepare<double>(fresh, recipe); }),
                 "the table was read with none"));
}

TEST_CASE("every step of a window has a target, where it is asked") {
  const tsdl::Candles candles = test::random_candles(300, 12);
  tsdl::Recipe recipe{
      .length = 7, .label = tsdl::ThresholdLabel{.lookback = 40}, .every_step = true};
  const auto data = tsdl::prepare<double>(candles, recipe, {0.2, 0.2});
  const std::vector<double> labels = tsdl::make_labels(candles, recipe.label).values;
  // The label needs 40 returns: the first window begins at row 40, and one of the last step only
  // ends there.
  CHECK(data.train.end_row(0) == 46);
  tsdl::Buffer<double> scratch;
  for (const auto* part : {&data.train, &data.validation, &data.test})
    for (Index i = 0; i < part->size(); ++i) {
      const auto targets = part->batch_targets(i, 1, 7, scratch);
      for (Index t = 0; t < 7; ++t)
        REQUIRE(*targets.column(t, 0) == labels[test::at(part->end_row(i) - 6 + t)] + 1);
    }
  recipe.every_step = false;
  CHECK(tsdl::prepare<double>(candles, recipe, {0.2, 0.2}).train.end_row(0) == 40);
}

TEST_CASE("a feature set of one's own prepares, and is wanted again") {
  const tsdl::Candles candles = test::random_candles(300, 9);
  const auto set = tsdl::FeatureSet("mine").add(tsdl::RSI()).add(to_close(tsdl::SMA(5)));
  const auto data = tsdl::prepare<double>(candles, set, {.length = 5});
  CHECK(data.recipe.features == "mine");
  CHECK(data.recipe.columns == std::vector<std::string>{"rsi", "sma"});
  CHECK(data.train.end_row(0) == 20);  // the label's twenty true ranges; the RSI needs 14 candles
  const auto again = tsdl::apply<double>(data.recipe, candles, set);
  for (Index row = 20; row < 200; ++row)
    CHECK(test::same_bits(again.series().column(row)[1], data.train.series().column(row)[1]));
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   tsdl::apply<double>(data.recipe, candles, tsdl::feature_set("ohlcv"));
                 }),
                 "feature set mine, given ohlcv"));
  CHECK_THROWS_AS(tsdl::apply<double>(data.recipe, candles), tsdl::DataError);
}

TEST_CASE("classes are named after their labels") {
  tsdl::Recipe recipe;
  recipe.class_values = {-1, 0, 1};
  CHECK(tsdl::class_names(recipe) == std::vector<std::string>{"-1", "0", "1"});
  CHECK(tsdl::target_names(recipe) == tsdl::class_names(recipe));
  recipe.class_values = {-0.0, 0.5, 100000, 1e20};
  CHECK(tsdl::class_names(recipe) == std::vector<std::string>{"0", "0.5", "100000", "1e+20"});
  recipe.label = tsdl::ColumnTargets{.columns = {"close", "volume"}};
  CHECK(tsdl::target_names(recipe) == std::vector<std::string>{"close", "volume"});
  recipe.label = tsdl::ColumnLabel{.column = "y"};
  recipe.class_values = {}, recipe.regression = true;
  CHECK(tsdl::target_names(recipe) == std::vector<std::string>{"y"});
}
