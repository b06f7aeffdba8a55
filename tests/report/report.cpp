// The page as a C++ user gets it: one call after training, for candles or a table, float or double,
// any model.
#include "tsdl/report/report.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/helpers.hpp"
#include "support/files.hpp"
#include "support/svg.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

namespace report = tsdl::report;
using test::contains;
using tsdl::Index;

/// A model of one's own: K linear answers to a window's last row.
template <class S>
class LastRow : public tsdl::ModelBase<S> {
 public:
  using Scalar = S;
  struct Cache {
    tsdl::Buffer<S> outputs;
  };
  LastRow(Index inputs, Index outputs)
      : tsdl::ModelBase<S>(outputs),
        weight_(tsdl::Parameter<S>::matrix("weight", outputs, inputs)),
        bias_(tsdl::Parameter<S>::vector("bias", outputs)) {}
  tsdl::Config describe() const {
    return tsdl::Config("last_row", {{"inputs", inputs()}, {"outputs", outputs()}});
  }
  Index inputs() const { return weight_.cols; }
  Index outputs() const { return weight_.rows; }
  void visit(auto&& f) { f(weight_), f(bias_); }
  void visit(auto&& f) const { f(weight_), f(bias_); }
  void repack() {}
  void zero_gradients() {
    visit([](auto& parameter) { parameter.zero_gradient(); });
  }
  tsdl::Outputs<S> forward(const tsdl::Batch<S>& batch, Cache& cache, const tsdl::Pass&) const {
    const Index K = outputs();
    cache.outputs.resize(K * batch.size());
    for (Index b = 0; b < batch.size(); ++b)
      for (Index k = 0; k < K; ++k) {
        const S* x = batch.past.column(batch.past.steps - 1, b);
        S& y = cache.outputs[b * K + k] = bias_.value[k];
        for (Index i = 0; i < inputs(); ++i) y += weight_.value[i * K + k] * x[i];
      }
    return {cache.outputs.data(), K, batch.size()};
  }
  void backward(const tsdl::Batch<S>& batch, Cache&, const S* doutputs) {
    const Index K = outputs();
    for (Index b = 0; b < batch.size(); ++b)
      for (Index k = 0; k < K; ++k) {
        const S* x = batch.past.column(batch.past.steps - 1, b);
        for (Index i = 0; i < inputs(); ++i)
          weight_.gradient[i * K + k] += doutputs[b * K + k] * x[i];
        bias_.gradient[k] += doutputs[b * K + k];
      }
  }

 private:
  tsdl::Parameter<S> weight_, bias_;
};
static_assert(tsdl::Model<LastRow<float>> && tsdl::Model<LastRow<double>>);

template <class S>
tsdl::Prepared<S> candle_data(double test_share = 0.3) {
  return tsdl::prepare<S>(test::random_candles(700, 3), {.features = "ohlcv", .length = 10},
                          {.validation = 0.2, .test = test_share});
}

/// A table without times, whose label hangs on its first column; `numbers`: a target in its place.
tsdl::Prepared<float> table_data(bool numbers) {
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a", "b"}, 500);
  table.label_name = numbers ? "" : "up";
  if (numbers) table.targets = tsdl::Series<double>::sized({"y"}, 500);
  tsdl::RandomStream random(5);
  for (Index row = 0; row < 500; ++row) {
    for (Index i = 0; i < 2; ++i) table.features.column(row)[i] = random.normal();
    const double y = table.features.column(row)[0] + 0.5 * random.normal();
    if (numbers)
      table.targets.column(row)[0] = y;
    else
      table.label.push_back(y > 0);
  }
  const tsdl::Label label = numbers ? tsdl::Label(tsdl::ColumnTargets{.columns = {"y"}, .ahead = 0})
                                    : tsdl::Label(tsdl::ColumnLabel{.column = "up"});
  return tsdl::prepare<float>(table, {.length = 3, .label = label});
}

/// A model that was trained for two epochs, and how that went.
template <class S>
struct Trained {
  LastRow<S> model;
  tsdl::History history;

  explicit Trained(const tsdl::Prepared<S>& data, tsdl::TrainerOptions options = {})
      : model(data.inputs(), data.outputs()) {
    options.max_epochs = 2;
    if (!options.task) options.task = data.task();
    tsdl::Trainer trainer(model, options);
    history = trainer.fit(data.train, data.validation);
  }
};

void check_page(const std::string& page) {
  constexpr std::string_view doctype = "<!DOCTYPE html>\n";
  REQUIRE(page.starts_with(doctype));
  CHECK(test::xml_fault(std::string_view(page).substr(doctype.size())) == "");
}

std::string definition(const std::string& name, const std::string& text) {
  return "<dt>" + name + "</dt>\n<dd>" + text + "</dd>";
}

}  // namespace

TEST_CASE_TEMPLATE("one call writes the page of a model of one's own", S, float, double) {
  const test::TemporaryDirectory directory;
  const auto data = candle_data<S>();
  const Trained<S> run(data);
  tsdl::write_report(directory / "report.html", run.model, data, run.history);
  const std::string page = test::read_bytes(directory / "report.html");
  check_page(page);
  CHECK(page == tsdl::html_report(tsdl::make_report(run.model, data, run.history)));
  CHECK(directory.count() == 1);

  // What it says without an option.
  CHECK(contains(page, "<h1>Training of last_row</h1>"));
  CHECK(contains(page, "windows of 10; finished after 2 epochs, best was epoch "));
  CHECK(contains(page, definition("model", "last_row, 6 parameters")));
  CHECK(contains(page, definition("features", "ohlcv, 5")));
  CHECK(contains(page, definition("inputs", "5")));
  CHECK(contains(page, definition("built with", std::string("tsdl ") + tsdl::version + ", " +
                                                    tsdl::instruction_set)));
  CHECK(contains(page, "Probability over price"));
  CHECK_FALSE(contains(page, "Left out"));

  // Its figures are those of evaluate, and of the baselines beside it.
  const tsdl::Metrics m = tsdl::evaluate(run.model, data.test);
  CHECK(contains(page, "<b>" + report::format_percent(m.accuracy) + "</b>\naccuracy"));
  CHECK(contains(page, "<th scope=\"row\">ROC AUC</th><td>" + report::format_fixed(m.roc_auc, 4)));
  CHECK(contains(page, "logistic regression, penalty "));

  // Baselines that were fitted before are the same ones.
  const auto baselines = tsdl::fit_baselines(data.train, data.validation, data.task());
  CHECK(page == tsdl::html_report(
                    tsdl::make_report(run.model, data, run.history, {.baselines = baselines})));
}

TEST_CASE("what predicts a direction is traded on") {
  const auto page_of = [](const tsdl::Label& label, tsdl::ReportOptions options = {}) {
    const auto data = tsdl::prepare<float>(test::random_candles(700, 3),
                                           {.features = "ohlcv", .length = 10, .label = label},
                                           {.validation = 0.2, .test = 0.3});
    const Trained<float> run(data);
    const tsdl::Report made = tsdl::make_report(run.model, data, run.history, std::move(options));
    if (made.backtest) {
      CHECK(made.backtest->result.predictions == data.test.size());
      CHECK(made.backtest->times.front() == data.times[test::at(data.test.ends().front())]);
    }
    return tsdl::html_report(made);
  };
  const std::string heading = "<h2>Backtest</h2>";
  CHECK_FALSE(contains(page_of(tsdl::RangeLabel{}), heading));
  CHECK_FALSE(contains(page_of(tsdl::ColumnTargets{.columns = {"volume"}}), heading));
  for (const tsdl::Label& label :
       {tsdl::Label(tsdl::DirectionLabel{}), tsdl::Label(tsdl::ThresholdLabel{.horizon = 3}),
        tsdl::Label(tsdl::ColumnTargets{.columns = {"close_return"}})}) {
    const std::string page = page_of(label);
    check_page(page);
    CHECK(contains(page, heading));
    CHECK(contains(page, "trading on the predictions for the test windows"));
    CHECK(contains(page, "at a cost of 0.01% of what is traded"));
  }
  CHECK(contains(page_of(tsdl::DirectionLabel{}, {.cost_bps = 20}), "at a cost of 0.2% of"));
  CHECK_THROWS_AS(page_of(tsdl::DirectionLabel{}, {.cost_bps = -1}), tsdl::OptionError);
}

TEST_CASE("what the caller says stands on the page") {
  const test::TemporaryDirectory directory;
  const auto data = candle_data<float>(0);
  const Trained<float> run(data);
  tsdl::write_report(directory / "report.html", run.model, data, run.history,
                     {.subject = "a line on my data",
                      .subtitle = "no hidden units",
                      .summary = {{"data", "mine"}},
                      .settings = {{"Mine", {{"depth", "7"}}}},
                      .test_option = "--keep 0.2",
                      .built = "my compiler"});
  const std::string page = test::read_bytes(directory / "report.html");
  check_page(page);
  CHECK(contains(page, "<h1>Training of a line on my data</h1>"));
  CHECK(contains(page, "no hidden units; finished after 2 epochs"));
  CHECK(contains(page, definition("data", "mine")));
  CHECK(contains(page, "<h3>Mine</h3>\n<dl>" + definition("depth", "7")));
  CHECK(contains(page, definition("built with", "my compiler")));
  CHECK(contains(page, "flatters the figures: --keep 0.2 keeps others apart."));
  CHECK_FALSE(contains(page, "last_row"));
  CHECK(contains(tsdl::html_report(tsdl::make_report(run.model, data, run.history)),
                 "flatters the figures: a test part of SplitFractions keeps others apart."));
}

TEST_CASE("tables without times and without prices have a page: classes, numbers, quantiles") {
  const auto classes = table_data(false);
  CHECK(classes.closes.empty());
  const Trained<float> run(classes);
  const std::string page = tsdl::html_report(tsdl::make_report(run.model, classes, run.history));
  check_page(page);
  CHECK(contains(page, "Left out: the data is a table of columns, and no price is known."));
  CHECK(contains(page, definition("label", "column up")));
  CHECK_FALSE(contains(page, "first ends"));

  const auto numbers = table_data(true);
  const Trained<float> line(numbers);
  const std::string forecast =
      tsdl::html_report(tsdl::make_report(line.model, numbers, line.history));
  check_page(forecast);
  CHECK(contains(forecast, ">row</text>"));
  CHECK(contains(forecast, definition("target", "regression of y, 0 rows ahead")));
  CHECK(contains(forecast, "the target of that row, and the prediction for it."));

  LastRow<float> three(numbers.inputs(), 3);
  three.set_task(numbers.quantiles({0.1, 0.5, 0.9}));
  const std::string quantiles = tsdl::html_report(tsdl::make_report(three, numbers, line.history));
  check_page(quantiles);
  CHECK(contains(quantiles, "Coverage by level"));
  CHECK(contains(quantiles, definition("target", "quantiles of y, 0 rows ahead: 0.1, 0.5, 0.9")));
}

TEST_CASE("classes that a model has and the data has not are told by their numbers") {
  const auto data = candle_data<float>();
  LastRow<float> four(data.inputs(), 4);
  const std::string page = tsdl::html_report(tsdl::make_report(four, data, {}));
  check_page(page);
  CHECK(contains(page, "<th scope=\"row\">3</th><td>"));
  CHECK(contains(page, "running after 0 epochs."));
}

TEST_CASE("prices stand beside candles, row by row") {
  const tsdl::Candles candles = test::random_candles(700, 3);
  const auto data = candle_data<double>();
  REQUIRE(data.closes.size() == candles.rows.size());
  for (std::size_t row = 0; row < candles.rows.size(); ++row)
    CHECK(data.closes[row] == candles.rows[row].close);
  const tsdl::Report contents = tsdl::make_report(LastRow<double>(5, 1), data, {});
  CHECK(contents.closes == data.closes);
  CHECK(contents.times == data.times);
  CHECK(contents.train.ends == data.train.ends());
  CHECK(contents.validation.targets == data.validation.targets());
  CHECK(contents.classes == std::vector<std::string>{"0", "1"});
  CHECK(contents.horizon == 1);
}

TEST_CASE("a page that cannot be written, or has nothing to judge a model by, is an error") {
  const test::TemporaryDirectory directory;
  auto data = candle_data<float>();
  const LastRow<float> model(data.inputs(), 1);
  CHECK_THROWS_AS(tsdl::write_report(directory / "none" / "report.html", model, data, {}),
                  tsdl::Error);
  CHECK_THROWS_AS(tsdl::write_report(directory.path(), model, data, {}), tsdl::Error);
  CHECK(directory.count() == 0);
  data.test = {}, data.validation = {};
  CHECK_THROWS_WITH_AS(tsdl::make_report(model, data, {}),
                       "report: there are no test or validation windows to judge the model by",
                       tsdl::DataError);
}

TEST_CASE("contents whose rows do not fit together are refused") {
  const auto data = candle_data<float>();
  const tsdl::Report good = tsdl::make_report(LastRow<float>(data.inputs(), 1), data, {});
  tsdl::Report bad = good;
  bad.closes.pop_back();
  CHECK_THROWS_WITH_AS(tsdl::html_report(bad), "report: 699 closes with the times of 700 rows",
                       tsdl::ShapeError);
  bad = good;
  bad.train.ends.back() = 700;
  CHECK_THROWS_AS(tsdl::html_report(bad), tsdl::ShapeError);
  bad = good;
  bad.evaluation.ends.front() = -1;
  CHECK_THROWS_AS(tsdl::html_report(bad), tsdl::ShapeError);
  bad = good;
  bad.times.clear();
  CHECK_THROWS_AS(tsdl::html_report(bad), tsdl::ShapeError);
}
