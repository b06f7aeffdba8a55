// Integrated gradients beside their definition in PyTorch; completeness; what scores exactly 0; the
// column and the lag that tell; bits; what is refused.
#include "tsdl/explain/integrated_gradients.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "explain/synthetic.hpp"
#include "support/network.hpp"
#include "support/torch_case.hpp"
#include "support/torch_transformer.hpp"
#include "support/training.hpp"
#include "tsdl/explain/attribution_means.hpp"
#include "tsdl/nn/forecast_factory.hpp"

namespace {

using test::Index;
using tsdl::Attribution, tsdl::IntegratedGradients, tsdl::Sequence;

template <class M>
void check_golden(const std::string& name) {
  test::Worst worst;
  test::Case<double> file(std::filesystem::path(TSDL_SOURCE_DIR) /
                              "tests/goldens/integrated_gradients" / (name + ".safetensors"),
                          worst);
  M model([&] {
    if constexpr (std::is_same_v<M, tsdl::TransformerNetwork<double>>)
      return test::transformer_options(file);
    else
      return test::options_of(file);
  }());
  file.load(model);
  const auto x = file.tensor("x"), baseline = file.tensor("baseline");
  const Index I = file.number("I"), T = file.number("T"), K = file.number("K");
  const auto y = file.tensor("out.y");
  for (Index k = 0; k < K; ++k) {
    IntegratedGradients explain(tsdl::widened(model), {.steps = file.number("steps"), .output = k});
    const Attribution a = explain(test::dense(x, I, T, 1), baseline);
    CHECK(a.inputs == I);
    CHECK(a.steps == T);
    CHECK(test::largest_difference(a.values,
                                   file.tensor("out.attributions_" + std::to_string(k))) <= 1e-13);
    CHECK(a.output == doctest::Approx(y[static_cast<std::size_t>(k)]).epsilon(1e-13));
    CHECK(a.baseline_output == doctest::Approx(y[static_cast<std::size_t>(K + k)]).epsilon(1e-13));
    CHECK(a.relative_delta() <= 1e-10);
    CHECK(test::largest(a.values) > 1e-3);
    CHECK(a.nodes == 50);
  }
  file.finish();
}

/// A linear model on all rows of a window of `T` rows: its attributions are known.
struct Linear : tsdl::ModelBase<double> {
  struct Cache {
    tsdl::Buffer<double> outputs;
  };
  Linear(Index inputs, Index steps)
      : ModelBase(1), weight(tsdl::Parameter<double>::matrix("weight", steps, inputs)) {}
  Linear(const tsdl::Config& config, std::uint64_t)
      : Linear(config.index("inputs"), config.index("steps")) {}
  tsdl::Config describe() const {
    return tsdl::Config("linear", {{"inputs", inputs()}, {"steps", weight.rows}});
  }
  Index inputs() const { return weight.cols; }
  Index outputs() const { return 1; }
  void visit(auto&& f) { f(weight); }
  void visit(auto&& f) const { f(weight); }
  void repack() {}
  void zero_gradients() {}
  tsdl::Outputs<double> forward(const tsdl::Batch<double>& batch, Cache& cache,
                                const tsdl::Pass&) const {
    cache.outputs.assign(batch.size(), 0.0);
    for (Index b = 0; b < batch.size(); ++b)
      for (Index t = 0; t < weight.rows; ++t)
        for (Index i = 0; i < inputs(); ++i)
          cache.outputs[b] += weight.value[t * inputs() + i] * batch.past.column(t, b)[i];
    return {cache.outputs.data(), 1, batch.size()};
  }
  void backward(const tsdl::Batch<double>& batch, Cache&, const double* doutputs,
                const Sequence<double>& dx = {}) {
    for (Index b = 0; dx.data && b < batch.size(); ++b)
      for (Index t = 0; t < weight.rows; ++t)
        for (Index i = 0; i < inputs(); ++i)
          dx.column(t, b)[i] = doutputs[b] * weight.value[t * inputs() + i];
  }
  tsdl::Parameter<double> weight;
};
static_assert(tsdl::GivesInputGradients<Linear>);

/// A model without gradients of its inputs.
struct Blind : Linear {
  using Linear::Linear;
  void backward(const tsdl::Batch<double>&, Cache&, const double*) {}
};
static_assert(tsdl::Model<Blind> && !tsdl::GivesInputGradients<Blind>);

/// The gradients of one node at a time, in a batch of one, as their sum is defined.
std::vector<double> one_by_one(tsdl::AnyModel<double> model, const std::vector<double>& x,
                               const std::vector<double>& baseline, Index T, Index steps, Index k) {
  const tsdl::Quadrature rule = tsdl::gauss_legendre(steps);
  std::vector<double> sums(x.size(), 0.0), node(x.size()), dx(x.size());
  tsdl::AnyModel<double>::Cache cache;
  for (std::size_t j = 0; j < rule.nodes.size(); ++j) {
    for (std::size_t v = 0; v < x.size(); ++v)
      node[v] = baseline[v] + rule.nodes[j] * (x[v] - baseline[v]);
    const tsdl::Batch<double> batch(test::dense(std::as_const(node), model.inputs(), T, 1));
    model.forward(batch, cache, {.training = true});
    std::vector<double> doutputs(static_cast<std::size_t>(model.outputs()), 0.0);
    doutputs[static_cast<std::size_t>(k)] = 1;
    model.backward(batch, cache, doutputs.data(), test::dense(dx, model.inputs(), T, 1));
    for (std::size_t v = 0; v < x.size(); ++v) sums[v] += rule.weights[j] * dx[v];
  }
  for (std::size_t v = 0; v < x.size(); ++v) sums[v] *= x[v] - baseline[v];
  return sums;
}

/// Counts the seeds for which the column and the lag that tell come first.
struct Found {
  int column = 0, lag = 0;
};
Found column_and_lag_first(const std::string& kind, std::uint64_t seeds) {
  Found found;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(kind);
    CAPTURE(seed);
    const test::Telling data(seed);
    double accuracy = 0;
    const auto model = test::trained_on(data, kind, seed, accuracy);
    CHECK(accuracy > 0.7);
    IntegratedGradients explain(tsdl::widened(model), {.most_steps = 3200});
    std::vector<Attribution> all;
    const auto windows = data.held_out();
    const auto baseline = tsdl::mean_window(windows);
    for (Index i = 0; i < windows.size(); i += 5) all.push_back(explain(windows, i, baseline));
    const tsdl::AttributionMeans means = tsdl::attribution_means(all);
    found.column += test::first_of(means.columns) == test::Telling::telling;
    found.lag += test::first_of(means.lags) == test::Telling::lag;
    CHECK(means.columns[test::Telling::constant] == 0);
    CHECK(means.largest_delta <= 1e-6);
  }
  return found;
}

}  // namespace

TEST_CASE("integrated gradients: the definition in PyTorch, at the same nodes") {
  check_golden<tsdl::LSTMClassifier<double>>("lstm");
  check_golden<tsdl::GRUClassifier<double>>("gru");
  check_golden<tsdl::BiLSTMClassifier<double>>("bilstm");
  check_golden<tsdl::BiGRUClassifier<double>>("bigru");
  check_golden<tsdl::TransformerNetwork<double>>("transformer");
  check_golden<tsdl::TransformerNetwork<double>>("transformer_mean");
}

TEST_CASE("integrated gradients: they add up, of float models that drop in training") {
  tsdl::RandomStream random(4);
  for (const std::string kind : {"lstm", "gru", "bilstm", "bigru", "transformer"})
    for (const tsdl::Pooling pooling :
         {tsdl::Pooling::last, tsdl::Pooling::mean, tsdl::Pooling::attention}) {
      CAPTURE(kind);
      CAPTURE(tsdl::to_string(pooling));
      auto model = test::small_network(kind, {.input_size = 5,
                                              .hidden_size = 16,
                                              .num_layers = 2,
                                              .dropout = 0.4,
                                              .head_dropout = 0.3,
                                              .pooling = pooling,
                                              .outputs = 3});
      test::draw_parameters(model, random, 0.6);
      const Index T = 40;
      const auto x = test::draw<float>(random, T * 5, 2.0);
      tsdl::AnyModel<float>::Cache cache;
      const auto y = model.forward(test::dense(x, 5, T, 1), cache);
      for (Index k = 0; k < 3; ++k) {
        IntegratedGradients explain(tsdl::widened(model), {.output = k});
        const Attribution a = explain(test::dense(x, 5, T, 1));
        double sum = 0;
        for (const double value : a.values) sum += value;
        CHECK(std::abs(a.output - a.baseline_output) > 1e-3);
        CHECK(a.delta == doctest::Approx(sum - (a.output - a.baseline_output)));
        CHECK(a.relative_delta() <= 1e-6);
        CHECK(std::abs(a.output - static_cast<double>(y(k, 0))) <= 1e-5);
        CHECK(a.output != static_cast<double>(y(k, 0)));  // in double
      }
      // Few nodes miss it: the bound is the rule's merit.
      IntegratedGradients coarse(tsdl::widened(model), {.steps = 1});
      CHECK(coarse(test::dense(x, 5, T, 1)).relative_delta() > 1e-6);
    }
}

TEST_CASE("integrated gradients: twice the nodes until they add up") {
  const test::Telling data(1);
  double accuracy = 0;
  const auto model = tsdl::widened(test::trained_on(data, "gru", 1, accuracy));
  const auto windows = data.held_out();
  IntegratedGradients fixed(model), more(model, {.most_steps = 1600}),
      few(model, {.most_steps = 400, .tolerance = 1e-30});
  bool doubled = false;
  Index most = 0;
  for (Index i = 0; i < windows.size(); i += 10) {
    const Attribution a = fixed(windows, i), b = more(windows, i);
    CHECK(a.nodes == 50);
    CHECK(b.relative_delta() <= 1e-6);
    CHECK((b.nodes == 50) == (a.relative_delta() <= 1e-6));
    CHECK((b.nodes > 50 || b.values == a.values));
    IntegratedGradients same(model, {.steps = b.nodes});
    CHECK((same(windows, i).values == b.values));
    doubled = doubled || b.nodes > 50;
    most = std::max(most, few(windows, i).nodes);
  }
  CHECK(doubled);
  CHECK(most == 400);
}

TEST_CASE("integrated gradients: of a linear function exactly weight times distance") {
  tsdl::RandomStream random(6);
  const Index T = 4, I = 3;
  Linear model(I, T);
  for (double& weight : model.weight.value) weight = random.normal();
  model.weight.value[5] = 0;
  const auto x = test::draw<double>(random, T * I), baseline = test::draw<double>(random, T * I);
  for (const Index steps : {1, 50}) {
    IntegratedGradients explain(tsdl::widened(model), {.steps = steps});
    const Attribution a = explain(test::dense(x, I, T, 1), baseline);
    for (std::size_t v = 0; v < x.size(); ++v) {
      const double expected = model.weight.value[static_cast<Index>(v)] * (x[v] - baseline[v]);
      CHECK(std::abs(a.values[v] - expected) <= 4e-15);
    }
    CHECK(a.values[5] == 0);
    CHECK(std::abs(a.delta) <= 1e-14);
  }
}

TEST_CASE("integrated gradients: a column that is constant in the set scores exactly 0") {
  const test::Telling data(3, 860);
  auto model = tsdl::make_classifier<float>("bilstm", {.input_size = 4, .hidden_size = 5});
  IntegratedGradients explain(tsdl::widened(model));
  const auto windows = data.held_out();
  const std::vector<double> mean = tsdl::mean_window(windows);
  for (Index t = 0; t < 8; ++t)
    CHECK(mean[static_cast<std::size_t>(t * 4 + 1)] == double{test::Telling::constant_value});
  double expected = 0;  // of another column, by another sum
  for (Index i = 0; i < windows.size(); ++i)
    expected += double{data.toy.series->column(windows.end_row(i) - 5)[2]} / 150;
  CHECK(mean[2 * 4 + 2] == doctest::Approx(expected));
  for (const Index i : {0, 77, 149}) {
    const Attribution a = explain(windows, i, mean);
    for (Index t = 0; t < 8; ++t) {
      CHECK(a.at(t, 1) == 0);
      CHECK(a.at(t, 2) != 0);
    }
  }
  CHECK(explain(windows, 0).at(3, 1) != 0);  // beside a baseline of zeros
}

TEST_CASE("integrated gradients: batch, threads, order and cache change no bit") {
  tsdl::RandomStream random(8);
  for (const std::string kind : {"lstm", "bigru", "transformer"}) {
    auto model = test::small_network(kind, {.input_size = 7,
                                            .hidden_size = kind == "transformer" ? 34 : 33,
                                            .num_layers = 2,
                                            .dropout = 0.5,
                                            .outputs = 2});
    const Index T = 21;
    const auto x = test::draw<double>(random, T * 7), baseline = test::draw<double>(random, T * 7);
    const test::ThreadCountGuard guard;
    tsdl::set_thread_count(1);
    const auto expected = one_by_one(tsdl::widened(model), x, baseline, T, 100, 1);
    for (const int threads : {1, 2, 8}) {
      tsdl::set_thread_count(threads);
      IntegratedGradients explain(tsdl::widened(model), {.steps = 100, .output = 1});
      CHECK((explain(test::dense(x, 7, T, 1), baseline).values == expected));
      explain(test::dense(baseline, 7, T, 1));
      const std::vector<double> shorter(x.begin(), x.begin() + 7 * 3);
      explain(test::dense(shorter, 7, 3, 1));
      CHECK((explain(test::dense(x, 7, T, 1), baseline).values == expected));
    }
  }
}

TEST_CASE("integrated gradients: the last step's output, and windows of their own lengths") {
  const test::Telling data(5, 860);
  // Every step has outputs: those of the last one are explained, as predict gives them.
  auto each = tsdl::make_classifier<float>(
      "gru", {.input_size = 4, .hidden_size = 5, .pooling = tsdl::Pooling::each}, 2);
  auto last = tsdl::make_classifier<float>("gru", {.input_size = 4, .hidden_size = 5}, 2);
  const auto windows = data.held_out();
  IntegratedGradients of_each(tsdl::widened(each)), of_last(tsdl::widened(last));
  const Attribution a = of_last(windows, 3);
  CHECK((of_each(windows, 3).values == a.values));
  CHECK(of_each(windows, 3).output == a.output);
  // A window of its own length is explained without its padding.
  const auto lengths =
      tsdl::Windows<float>::of_lengths(data.toy.series, {703, 720}, {8, 15}, nullptr);
  const Attribution b = of_last(lengths, 0);
  CHECK(b.steps == 8);
  CHECK((b.values == a.values));
  const Attribution c = of_last(lengths, 1);
  CHECK(c.steps == 15);
  const std::vector<Attribution> both = {b, c};
  const tsdl::AttributionMeans means = tsdl::attribution_means(both);
  CHECK(means.windows == 2);
  REQUIRE(means.lags.size() == 15);
  double last_row = 0, oldest = 0, column = 0;
  for (Index i = 0; i < 4; ++i) {
    last_row += (std::abs(b.at(7, i)) + std::abs(c.at(14, i))) / 2;
    oldest += std::abs(c.at(0, i)) / 2;
  }
  for (Index t = 0; t < 15; ++t)
    column += (std::abs(c.at(t, 3)) + (t < 8 ? std::abs(b.at(t, 3)) : 0.0)) / 2;
  CHECK(means.lags[0] == doctest::Approx(last_row));
  CHECK(means.lags[14] == doctest::Approx(oldest));
  CHECK(means.columns[3] == doctest::Approx(column));
  CHECK(means.total() ==
        doctest::Approx(means.columns[0] + means.columns[1] + means.columns[2] + column));
  CHECK(means.largest_delta == std::max(b.relative_delta(), c.relative_delta()));
  CHECK_THROWS_WITH_AS(tsdl::mean_window(lengths),
                       "mean_window: windows of their own lengths have no mean window: use zeros",
                       tsdl::OptionError);
}

TEST_CASE("integrated gradients: the column and the lag that tell come first in 19 of 20 seeds") {
  for (const std::string kind : {"lstm", "gru", "bilstm", "transformer"}) {
    CAPTURE(kind);
    const Found found = column_and_lag_first(kind, 20);
    CHECK(found.column >= 19);
    CHECK(found.lag >= 19);
  }
}

TEST_CASE("integrated gradients: what cannot be explained") {
  const auto refused = [](auto&& make, const char* what) {
    CHECK_THROWS_WITH_AS(make(), what, tsdl::OptionError);
  };
  refused([] { IntegratedGradients{tsdl::widened(Blind(2, 3))}; },
          "integrated gradients: a model of kind linear has no gradients of its inputs");
  const tsdl::SegmentGRU<float> segments(
      {.inputs = 2, .length = 4, .horizon = 2, .segment = 2, .hidden_size = 4});
  refused([&] { tsdl::widened(segments); },
          "widened: a model of kind 'segment_gru' is not known in double: expected one of lstm, "
          "gru, bilstm, bigru, transformer, ensemble");
  refused([&] { IntegratedGradients{tsdl::widened<tsdl::Forecasters<double>>(segments)}; },
          "integrated gradients: a model of kind segment_gru has no gradients of its inputs");
  // A model that gives none refuses to be asked for them.
  tsdl::AnyModel<double> blind{Blind(2, 3)};
  tsdl::AnyModel<double>::Cache cache;
  std::vector<double> x(6, 1.0), dx(6), one(1, 1.0);
  CHECK_FALSE(blind.has_input_gradients());
  blind.backward(test::dense(std::as_const(x), 2, 3, 1), cache, one.data());
  refused(
      [&] {
        blind.backward(test::dense(std::as_const(x), 2, 3, 1), cache, one.data(),
                       test::dense(dx, 2, 3, 1));
      },
      "AnyModel: a model of kind linear has no gradients of its inputs");

  const tsdl::ClassifierOptions options{.input_size = 2, .num_layers = 2, .dropout = 0.25};
  refused([&] { IntegratedGradients{tsdl::LSTMClassifier<double>(options)}; },
          "integrated gradients: option dropout of the model is 0.25: expected the model that "
          "widened() makes, which drops nothing");
  const auto model = tsdl::widened(tsdl::LSTMClassifier<float>(options));
  refused([&] { IntegratedGradients(model, {.steps = 0}); },
          "gauss_legendre: expected 1 to 10000 nodes, got 0");
  refused([&] { IntegratedGradients(model, {.most_steps = 10001}); },
          "integrated gradients: most_steps: expected 0 to 10000, got 10001");
  refused([&] { IntegratedGradients(model, {.most_steps = 99}); },
          "integrated gradients: most_steps: expected 0, or at least twice the 50 steps, got 99");
  refused([&] { IntegratedGradients(model, {.tolerance = 0}); },
          "integrated gradients: tolerance: expected more than 0, got 0");
  refused([&] { IntegratedGradients(model, {.output = 1}); },
          "integrated gradients: output 1 of a model that has 1, counted from 0");
  refused([&] { IntegratedGradients(model, {.output = -1}); },
          "integrated gradients: output -1 of a model that has 1, counted from 0");

  IntegratedGradients explain(model);
  CHECK_THROWS_WITH_AS(explain(test::dense(std::as_const(x), 2, 1, 3)),
                       "integrated gradients: expected one window of 2 inputs, got B = 3, T = 1, "
                       "I = 2",
                       tsdl::ShapeError);
  CHECK_THROWS_AS(explain(test::dense(std::as_const(x), 3, 2, 1)), tsdl::ShapeError);
  CHECK_THROWS_WITH_AS(explain(test::dense(std::as_const(x), 2, 3, 1), dx = {1, 2}),
                       "integrated gradients: a baseline of 2 values for a window of 6",
                       tsdl::ShapeError);
  x[4] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(explain(test::dense(std::as_const(x), 2, 3, 1)), tsdl::DataError);
  x[4] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(explain(test::dense(std::as_const(x), 2, 3, 1)), tsdl::DataError);
  const test::Telling data(1, 860);
  CHECK_THROWS_AS(explain(data.held_out(), 0), tsdl::ShapeError);  // of four inputs
  CHECK_THROWS_AS(tsdl::mean_window(data.toy.windows(700, 0)), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::attribution_means({}), tsdl::DataError);
}
