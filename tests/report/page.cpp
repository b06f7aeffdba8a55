// The report page: well-formed, self-contained, of a size that does not grow with the data, and its
// pictures and tables say what the metrics say.
#include "tsdl/report/page.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <locale>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/helpers.hpp"
#include "support/svg.hpp"
#include "tsdl/report/report.hpp"
#include "tsdl/report/summary.hpp"

namespace {

namespace report = tsdl::report;
using test::contains;
using test::count;
using test::numbers_in;
using test::quoted_after;
using tsdl::Index;

using Data = tsdl::Prepared<float>;

/// A model whose outputs follow the columns of a window's last row and, noisily, the truth, so that
/// it is better than chance.
struct FakeModel : tsdl::ModelBase<float> {
  struct Cache {
    tsdl::Matrix<float> outputs;
  };
  Index size;
  float scale;

  FakeModel(const tsdl::Task& task, float its_scale)
      : tsdl::ModelBase<float>(task->outputs()), size(task->outputs()), scale(its_scale) {
    set_task(task);
  }
  Index inputs() const { return 2; }
  Index outputs() const { return size; }
  tsdl::Config describe() const { return tsdl::Config("fake", {{"scale", 0.5}}); }
  void visit(auto&&) const {}
  void repack() {}
  void zero_gradients() {}
  void backward(const tsdl::Batch<float>&, Cache&, const float*) {}
  tsdl::Outputs<float> forward(const tsdl::Batch<float>& batch, Cache& cache,
                               const tsdl::Pass&) const {
    const auto& x = batch.past;
    cache.outputs.resize(size, x.batch);
    for (Index b = 0; b < x.batch; ++b)
      for (Index k = 0; k < size; ++k)
        cache.outputs(k, b) = scale * x.column(x.steps - 1, b)[k % x.inputs];
    return {cache.outputs.data(), size, x.batch};
  }
};

Data candle_data(Index rows, tsdl::Label label, double test_share = 0.4) {
  return tsdl::prepare<float>(test::random_candles(rows, 3),
                              {.features = "ohlcv", .length = 10, .label = label},
                              {.validation = 0.2, .test = test_share});
}

/// A table whose labels are the classes 0 ... K - 1 and hang on its columns.
Data table_data(Index K, std::vector<std::string> names = {"a", "b"}) {
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized(std::move(names), 900);
  tsdl::RandomStream random(5);
  for (Index row = 0; row < 900; ++row) {
    const double u = random.uniform();
    table.features.column(row)[0] = u + 0.2 * random.normal();
    table.features.column(row)[1] = random.normal();
    table.label.push_back(std::floor(u * static_cast<double>(K)));
  }
  table.label_name = "y";
  return tsdl::prepare<float>(table, {.length = 5, .label = tsdl::ColumnLabel{.column = "y"}},
                              {.validation = 0.2, .test = 0.3});
}

/// A table whose targets are K numbers of the next row: target k is 10^k times its column a, moved
/// and noisy.
Data number_data(Index K, const std::string& name = "y", Index rows = 900) {
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a", "b"}, rows);
  std::vector<std::string> names;
  for (Index k = 0; k < K; ++k) names.push_back(name + std::to_string(k));
  table.targets = tsdl::Series<double>::sized(names, rows);
  tsdl::RandomStream random(7);
  for (Index row = 0; row < rows; ++row) {
    for (Index k = 0; k < K; ++k)
      table.targets.column(row)[k] =
          std::pow(10.0, static_cast<double>(k)) *
          (3 + (row > 0 ? table.features.column(row - 1)[0] : 0) + random.normal());
    for (Index i = 0; i < 2; ++i) table.features.column(row)[i] = random.normal();
  }
  return tsdl::prepare<float>(table, {.length = 5, .label = tsdl::ColumnTargets{.columns = names}},
                              {.validation = 0.2, .test = 0.3});
}

const std::vector<double> three_levels = {0.1, 0.5, 0.9};

/// A run of three epochs, the second of them the best.
tsdl::History three_epochs() {
  tsdl::History history;
  const double train[] = {0.70, 0.66, 0.61}, validation[] = {0.69, 0.66, 0.68};
  for (std::size_t i = 0; i < 3; ++i) {
    tsdl::EpochRecord& e = history.epochs.emplace_back();
    e.epoch = static_cast<Index>(i) + 1;
    e.train_loss = train[i], e.validation.loss = validation[i];
    e.learning_rate = i < 2 ? 1e-3 : 1e-4;
  }
  history.status = tsdl::Status::finished;
  history.best_epoch = 2;
  return history;
}

tsdl::Report report_of(const Data& data, const tsdl::Task& task, float scale = 0.8f) {
  tsdl::Report run = tsdl::make_report(
      FakeModel(task, scale), data, three_epochs(),
      {.subject = "a model on candles.csv",
       .subtitle = "2 x 8 units",
       .summary = {{"data", "candles.csv: 900 rows"}, {"gaps", "none"}},
       .settings = {{"Model", {{"hidden", "8"}, {"init", ""}}}, {"Output", {{"out", "out"}}}},
       .test_option = "--test 0.15",
       .built = "tsdl 0.1.0, sse2"});
  run.curves.baseline = 0.6931;
  return run;
}
tsdl::Report report_of(const Data& data, float scale = 0.8f) {
  return report_of(data, data.task(), scale);
}

std::string page_of(const Data& data) { return tsdl::html_report(report_of(data)); }
std::string quantile_page(const Data& data) {
  return tsdl::html_report(report_of(data, data.quantiles(three_levels)));
}

/// What is wrong with a page, or nothing: it must be well-formed and ask for nothing.
std::string page_fault(std::string_view page) {
  constexpr std::string_view doctype = "<!DOCTYPE html>\n";
  if (!page.starts_with(doctype)) return "no doctype";
  for (const char* outside :
       {"<script", "://", "src=", "url(", "@import", "<link", "href", "onload"})
    if (contains(page, outside)) return std::string("it has ") + outside;
  const std::size_t figures = count(page, "<figure>");
  if (figures != count(page, "<figcaption>")) return "a figure without caption";
  if (figures != count(page, "<b>Baseline:</b>")) return "a figure without baseline";
  constexpr std::string_view chart = "<svg class=\"tsdl-chart";  // others only cut what is in them
  for (std::size_t at = page.find(chart); at != page.npos; at = page.find(chart, at + 1)) {
    const std::string_view tag = page.substr(at, page.find('>', at) - at);
    if (!contains(tag, "aria-hidden") &&
        !(contains(tag, "role=\"img\"") && contains(tag, "aria-label=\"")))
      return "a picture without words";
  }
  for (const char* name : {" d=\"", " cx=\"", " cy=\"", " x=\"", " y=\"", " height=\""})
    for (const std::string& value : quoted_after(page, name))
      if (value.find_first_not_of("MLHVZhv -.0123456789") != value.npos) return "path " + value;
  return test::xml_fault(page.substr(doctype.size()));
}

/// The picture that `heading` has, in its wide or only size.
std::string picture(std::string_view page, std::string_view heading) {
  const std::size_t at = page.find("<h2>" + std::string(heading) + "</h2>");
  REQUIRE(at != page.npos);
  const std::size_t from = page.find("<svg", at);
  std::size_t end = page.npos;
  for (const char* next : {"</svg>\n<svg class=\"tsdl-chart narrow", "<ul", "<figcaption"})
    end = std::min(end, page.find(next, from));
  return std::string(page.substr(from, end - from));
}

std::vector<std::string> texts_of(std::string_view svg, std::string_view style) {
  std::vector<std::string> found;
  const std::string mark = "class=\"" + std::string(style) + "\"";
  for (std::size_t at = svg.find(mark); at != svg.npos; at = svg.find(mark, at + 1)) {
    const std::size_t from = svg.find('>', at) + 1;
    found.emplace_back(svg.substr(from, svg.find('<', from) - from));
  }
  return found;
}

/// The start of a table's row, or all of it.
std::string table_row(const std::string& name, const std::vector<std::string>& cells) {
  std::string row = "<th scope=\"row\">" + name + "</th>";
  for (const std::string& cell : cells) row += "<td>" + cell + "</td>";
  return row;
}
std::string table_row(const std::string& name, const std::string& model, const std::string& base) {
  return table_row(name, {model, base});
}

/// The only path of this class in a picture.
std::vector<double> path_of(std::string_view svg, const std::string& style) {
  const auto paths = quoted_after(svg, "class=\"" + style + "\" d=\"");
  REQUIRE(paths.size() == 1);
  return numbers_in(paths[0]);
}

/// The line value = slope pixel + offset of an axis, from its first and its last label; `anchor`
/// tells the axis: "end" is upright.
std::pair<double, double> axis_of(std::string_view svg, const std::string& anchor) {
  std::vector<std::pair<double, double>> ticks;
  const std::string mark = "\" class=\"tick\" text-anchor=\"" + anchor + "\">";
  for (std::size_t at = svg.find(mark); at != svg.npos; at = svg.find(mark, at + 1)) {
    const auto place = numbers_in(svg.substr(svg.rfind("<text", at), at - svg.rfind("<text", at)));
    const std::string text(svg.substr(at + mark.size(), svg.find('<', at) - at - mark.size()));
    if (text.starts_with("baseline")) continue;
    ticks.emplace_back(anchor == "end" ? place[1] - 4 : place[0], std::stod(text));
  }
  REQUIRE(ticks.size() >= 2);
  const double slope =
      (ticks.back().second - ticks.front().second) / (ticks.back().first - ticks.front().first);
  return {slope, ticks.front().second - slope * ticks.front().first};
}

}  // namespace

TEST_CASE("the page of two classes: whole, self-contained, small, the same each time") {
  const Data data = candle_data(2000, tsdl::RangeLabel{});
  const std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(data.test.size() > 700);
  CHECK(page.size() < 200000);
  CHECK(page == page_of(data));
  for (const char* heading : {"Loss by epoch", "ROC", "Calibration", "Confusion matrix", "By class",
                              "Probability over price", "Data and model", "Configuration"})
    CHECK(count(page, "<h2>" + std::string(heading) + "</h2>") == 1);
  CHECK(count(page, "<figure>") == 5);
  CHECK(contains(page, "<meta name=\"color-scheme\" content=\"light dark\"/>"));
  CHECK(contains(page, "width=device-width"));
  CHECK(contains(page, "<h1>Training of a model on candles.csv</h1>"));
  CHECK(contains(page, "2 x 8 units; finished after 3 epochs, best was epoch 2."));
  CHECK(contains(page, "<dt>hidden</dt>\n<dd>8</dd>"));
  CHECK(contains(page, "<dt>init</dt>\n<dd>not set</dd>"));
  CHECK(contains(page, "<dt>gaps</dt>\n<dd>none</dd>"));
  CHECK_FALSE(contains(page, "chose the best epoch"));
}

TEST_CASE("the page's tables hold the metrics, and the baseline's beside them") {
  const Data data = table_data(2);
  const tsdl::Report run = report_of(data);
  const tsdl::Evaluation& e = run.evaluation;
  const std::string page = tsdl::html_report(run);
  const tsdl::Metrics& m = e.metrics;
  const auto four = [](double v) { return report::format_fixed(v, 4); };
  const auto percent = [](double v) { return report::format_percent(v); };
  CHECK(m.roc_auc > 0.52);
  const double ones = static_cast<double>(std::count(e.labels.begin(), e.labels.end(), 1.0)) /
                      static_cast<double>(e.labels.size());
  const double majority = std::max(ones, 1 - ones);
  CHECK(contains(page, table_row("accuracy", percent(m.accuracy), percent(majority))));
  CHECK(contains(page, table_row("balanced accuracy", percent(m.balanced_accuracy), "50.0%")));
  CHECK(contains(page, table_row("macro F1", four(e.macro_f1), four(majority / (1 + majority)))));
  CHECK(contains(page, table_row("ROC AUC", four(m.roc_auc), "0.5000")));
  CHECK(contains(page, table_row("MCC", four(m.mcc), "0.0000")));
  CHECK(contains(
      page, table_row("Brier score, lower is better", four(m.brier), four(ones * (1 - ones)))));
  const double entropy = -ones * std::log(ones) - (1 - ones) * std::log(1 - ones);
  CHECK(contains(page, table_row("loss, lower is better", four(m.loss), four(entropy))));
  CHECK(contains(page, "<b>" + percent(m.accuracy) + "</b>"));
  CHECK(contains(page, "<b>" + percent(majority) + "</b>"));
  const std::string most = ones > 0.5 ? "1" : "0";
  CHECK(contains(page, "baseline: always answering " + most + "<"));
  CHECK(contains(page, "always answering " + most + " fills that column alone"));
  const auto [low, high] = tsdl::wilson_interval(m.accuracy, m.count);
  CHECK(count(page, percent(low) + " to " + percent(high)) == 2);
  for (const std::string& text : report::verdicts(e)) CHECK(contains(page, "<p>" + text + "</p>"));
  const tsdl::BaselineResult* linear = e.baseline_named("linear");
  REQUIRE(linear);
  CHECK(report::verdicts(e).size() == 2);
  CHECK(contains(page, "<b>" + percent(linear->metrics.accuracy) + "</b>\nbaseline: logistic"));
  CHECK(contains(page, table_row("accuracy", {percent(m.accuracy), percent(majority),
                                              percent(linear->metrics.accuracy)})));
  CHECK(contains(page, table_row("loss, lower is better",
                                 {four(m.loss), four(entropy), four(linear->metrics.loss)})));
  CHECK(contains(page, "<th scope=\"row\">share of 1</th>"));
  CHECK(contains(page, "<td>" + percent(ones) + "</td></tr>"));
  CHECK(contains(page, "<td>" + report::format_count(data.train.size()) + "</td><td>" +
                           report::format_count(data.validation.size()) + "</td><td>" +
                           report::format_count(data.test.size()) + "</td>"));
}

TEST_CASE("the ROC picture rises from corner to corner over the area of the metrics") {
  for (const float scale : {0.8f, -0.8f}) {
    const Data data = table_data(2);
    const tsdl::Report run = report_of(data, scale);
    const tsdl::Evaluation& e = run.evaluation;
    const std::string page = tsdl::html_report(run);
    const auto path = quoted_after(picture(page, "ROC"), "class=\"line roc c0\" d=\"");
    REQUIRE(path.size() == 1);
    const std::vector<double> p = numbers_in(path[0]);
    CHECK(p.front() == 0);
    CHECK(p[1] == 332);
    CHECK(p[p.size() - 2] == 332);
    CHECK(p.back() == 0);
    double area = 0;
    for (std::size_t i = 2; i < p.size(); i += 2) {
      CHECK(p[i] >= p[i - 2]);
      CHECK(p[i + 1] <= p[i - 1]);
      area += (p[i] - p[i - 2]) * (332 - (p[i + 1] + p[i - 1]) / 2);
    }
    CHECK(std::fabs(area / (332 * 332) - e.metrics.roc_auc) < 0.003);
    CHECK(std::fabs(e.metrics.roc_auc - 0.5) > 0.02);
    CHECK(contains(page, "class 1: AUC " + report::format_fixed(e.metrics.roc_auc, 4)));
  }
}

TEST_CASE("the calibration picture has each bin where its windows are") {
  const Data data = table_data(2);
  const tsdl::Report run = report_of(data);
  const tsdl::Evaluation& e = run.evaluation;
  const std::string svg = picture(tsdl::html_report(run), "Calibration");
  std::vector<double> sums(10), hits(10), sizes(10);
  for (std::size_t i = 0; i < e.labels.size(); ++i) {
    const double p = e.predictions[i];
    const auto bin = static_cast<std::size_t>(std::ceil(p * 10)) - 1;
    sums[bin] += p, hits[bin] += e.labels[i], sizes[bin] += 1;
  }
  std::vector<std::string> numbers;
  std::vector<double> xs, ys;
  for (std::size_t i = 0; i < 10; ++i) {
    numbers.push_back(report::format_fixed(sizes[i], 0));
    if (sizes[i] == 0) continue;
    xs.push_back(54 + 332 * sums[i] / sizes[i]);
    ys.push_back(14 + 270 * (1 - hits[i] / sizes[i]));
  }
  CHECK(texts_of(svg, "count") == numbers);
  const auto cx = quoted_after(svg, "class=\"point\" cx=\""), cy = quoted_after(svg, " cy=\"");
  REQUIRE(cx.size() == xs.size());
  REQUIRE(xs.size() >= 3);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    CHECK(std::fabs(std::stod(cx[i]) - xs[i]) <= 0.011);
    CHECK(std::fabs(std::stod(cy[i]) - ys[i]) <= 0.011);
  }
  const double ones = static_cast<double>(e.counts()[1]) / static_cast<double>(e.metrics.count);
  CHECK(contains(svg, ">baseline " + report::format_percent(ones) + "<"));
}

TEST_CASE("the confusion picture has labels by rows") {
  const Data data = candle_data(2000, tsdl::ThresholdLabel{});
  const tsdl::Report run = report_of(data);
  const tsdl::Evaluation& e = run.evaluation;
  const std::string page = tsdl::html_report(run);
  CHECK(page_fault(page) == "");
  std::vector<std::string> expected;
  for (std::size_t actual = 0; actual < 3; ++actual)
    for (std::size_t said = 0; said < 3; ++said) {
      Index n = 0;
      for (std::size_t i = 0; i < e.labels.size(); ++i) {
        const double* p = e.predictions.data() + 3 * i;
        n += e.labels[i] == static_cast<double>(actual) &&
             static_cast<std::size_t>(std::max_element(p, p + 3) - p) == said;
      }
      expected.push_back(report::format_count(n));
    }
  CHECK(texts_of(picture(page, "Confusion matrix"), "cell-count") == expected);
  // Three classes: a line each, a panel each, and the mean of their areas.
  CHECK(count(picture(page, "ROC"), "class=\"line roc c") == 3);
  CHECK(texts_of(picture(page, "Probability over price"), "label") ==
        std::vector<std::string>{"close", "probability of -1", "probability of 0",
                                 "probability of 1"});
  CHECK(contains(page, "mean AUC " + report::format_fixed(e.metrics.roc_auc, 4)));
  CHECK(contains(page, "the predicted class was right"));
  double area = 0;
  for (std::size_t k = 0; k < 3; ++k) area += report::class_roc(e, k).auc / 3;
  CHECK(std::fabs(area - e.metrics.roc_auc) < 1e-12);
}

TEST_CASE("price and probability share their axis of time") {
  const Data data = candle_data(2000, tsdl::RangeLabel{});
  const tsdl::Report run = report_of(data);
  const tsdl::Evaluation& e = run.evaluation;
  const std::string svg = picture(tsdl::html_report(run), "Probability over price");
  const auto price = quoted_after(svg, "class=\"line thin price\" d=\"");
  const auto said = quoted_after(svg, "class=\"line thin c0\" d=\"");
  REQUIRE(price.size() == 1);
  REQUIRE(said.size() == 1);
  const std::vector<double> p = numbers_in(price[0]), q = numbers_in(said[0]);
  CHECK(p.front() == 0);
  CHECK(q.front() == 0);
  CHECK(p[p.size() - 2] == 754);
  CHECK(q[q.size() - 2] == 754);
  CHECK(std::fabs(q[1] - 150 * (1 - e.predictions.front())) <= 0.051);
  CHECK(std::fabs(q.back() - 150 * (1 - e.predictions.back())) <= 0.051);
  // The highest close of the part is the highest point, and lies where that candle is in time.
  const std::size_t first = test::at(e.ends.front()), last = test::at(e.ends.back());
  std::size_t top = first;
  for (std::size_t row = first; row <= last; ++row)
    if (data.closes[row] > data.closes[top]) top = row;
  std::size_t highest = 0;
  for (std::size_t i = 0; i < p.size(); i += 2)
    if (p[i + 1] < p[highest + 1]) highest = i;
  CHECK(std::fabs(p[highest] - 754 * static_cast<double>(top - first) /
                                   static_cast<double>(last - first)) <= 0.6);
}

TEST_CASE("a page does not grow with its windows") {
  const Data few = candle_data(12000, tsdl::RangeLabel{}, 0.7);
  const Data many = candle_data(60000, tsdl::RangeLabel{}, 0.7);
  const std::string small = page_of(few), large = page_of(many);
  CHECK(page_fault(large) == "");
  CHECK(large.size() < 300000);
  CHECK(static_cast<double>(large.size()) < 1.1 * static_cast<double>(small.size()));
}

TEST_CASE("names of files, columns, classes and options cannot become markup") {
  const std::string hostile = "<script>alert(\"1\")</script> & 'x' \xff\x01";
  const Data data = table_data(2, {hostile, "</style><b>"});
  tsdl::Report run = report_of(data);
  run.subject = "a model on " + hostile;
  run.curves.subtitle = run.ending = run.test_option = run.built = hostile;
  run.summary = report::data_lines(data, hostile, hostile);
  run.settings = {{hostile, {{hostile, hostile}}}};
  const std::string page = tsdl::html_report(run);
  CHECK(page_fault(page) == "");
  CHECK(count(page, "<style>") == 2);
  CHECK(count(page, "</style>") == 2);
  CHECK(contains(page,
                 "<h1>Training of a model on &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; "
                 "&amp; 'x' \xef\xbf\xbd\xef\xbf\xbd</h1>"));
  CHECK(contains(page, "&lt;/style&gt;&lt;b&gt;"));
}

TEST_CASE("a table has no price, and the page says so") {
  const Data data = table_data(2);
  const std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "Left out: the data is a table of columns, and no price is known."));
  CHECK(count(page, "<figure>") == 4);
  CHECK_FALSE(contains(page, "first ends"));
}

TEST_CASE("many classes: the most common have lines, the matrix is left out") {
  const Data data = table_data(12);
  const std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(count(picture(page, "ROC"), "class=\"line roc c") == report::line_styles);
  CHECK(contains(page, "The 8 most common of 12 classes."));
  CHECK(contains(page, "12 classes do not fit; the table has their figures."));
}

TEST_CASE("windows of one class, probabilities that are no numbers, no test part, no classes") {
  Data data = candle_data(2000, tsdl::RangeLabel{});
  const tsdl::Windows<float> test = data.test;
  data.test = tsdl::Windows<float>(std::make_shared<const tsdl::Series<float>>(test.series()), 10,
                                   1, test.ends(), std::vector<float>(test.ends().size(), 1.0f));
  std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "windows are all of one class."));
  CHECK(contains(page, table_row("ROC AUC", "n/a", "n/a")));

  data.test = test;
  page = tsdl::html_report(report_of(data, NAN));
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "A probability is no number"));
  CHECK(count(page, "<figure>") == 1);

  data.test = {};
  page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page,
                 "These windows also chose the best epoch, which flatters the figures: "
                 "--test 0.15 keeps others apart."));
  CHECK(contains(page, "<td>" + report::format_count(data.validation.size()) + "</td><td></td>"));
}

TEST_CASE("the page of numbers: forecasts in place of classes, small, the same each time") {
  const Data data = candle_data(2000, tsdl::ColumnTargets{.columns = {"close_return"}, .ahead = 5});
  const std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(page == page_of(data));
  CHECK(page.size() < 150000);
  for (const char* heading : {"Loss by epoch", "Forecast over time", "Predicted against actual",
                              "Backtest", "Data and model", "Configuration"})
    CHECK(count(page, "<h2>" + std::string(heading) + "</h2>") == 1);
  for (const char* other : {"ROC", "Calibration", "Confusion", "By class", "Probability over price",
                            "Coverage by level", "By target", "class shares", "accuracy"})
    CHECK_FALSE(contains(page, other));
  CHECK(count(page, "<figure>") == 4);
  CHECK(contains(page, "the target 5 rows later, and the prediction for it."));
  CHECK(contains(page, "the best constant answer for the validation windows loses 0.6931."));
  CHECK(contains(page, "aria-label=\"Forecast over time from 1970-"));
  CHECK(contains(page, "aria-label=\"Predicted against actual close_return: "));
}

TEST_CASE("the tables of numbers hold the figures of the network and of every baseline") {
  const Data data = number_data(1);
  for (const tsdl::Task& task : {data.task(), data.quantiles(three_levels)}) {
    const tsdl::Report run = report_of(data, task);
    const tsdl::Evaluation& e = run.evaluation;
    const std::string page = tsdl::html_report(run);
    CHECK(page_fault(page) == "");
    REQUIRE(e.baselines.size() == 3);
    for (const std::string_view name : e.figures) {
      const tsdl::Figure& figure = tsdl::figure_of(name);
      std::vector<std::string> cells = {report::figure_text(figure, e.metrics.*figure.value)};
      for (const tsdl::BaselineResult& one : e.baselines)
        cells.push_back(report::figure_text(figure, one.metrics.*figure.value));
      std::string title(figure.title);
      if (name == "coverage") title += ", 80.0% meant";
      CHECK(contains(page, table_row(title, cells)));
    }
    CHECK(contains(page, table_row("loss", {report::format_fixed(e.metrics.loss, 4)})));
    const tsdl::Figure& first = tsdl::figure_of(e.figures.front());
    CHECK(contains(page, "<b>" + report::figure_text(first, e.metrics.*first.value) + "</b>"));
    for (const tsdl::BaselineResult& one : e.baselines) {
      const std::string value = report::figure_text(first, one.metrics.*first.value);
      CHECK(contains(page, "<b>" + value + "</b>\nbaseline: " + one.title + "</div>"));
    }
    CHECK(report::verdicts(e).size() == 3);
    for (const std::string& text : report::verdicts(e))
      CHECK(contains(page, "<p>" + text + "</p>"));
  }
  std::vector<std::string> means, deviations;
  for (const auto* part : {&data.train, &data.validation, &data.test}) {
    const std::vector<double> y = part->targets();
    const auto n = static_cast<double>(y.size());
    double sum = 0, squares = 0;
    for (const double v : y) sum += v, squares += v * v;
    means.push_back(report::format_loss(sum / n));
    deviations.push_back(report::format_loss(std::sqrt(squares / n - sum / n * sum / n)));
  }
  const std::string page = page_of(data);
  CHECK(contains(page, table_row("mean of y0", means)));
  CHECK(contains(page, table_row("standard deviation of y0", deviations)));
  CHECK_FALSE(contains(page, "share of"));
}

TEST_CASE("the forecast picture has actual values, predictions and the constant on one axis") {
  const Data data = candle_data(2000, tsdl::ColumnTargets{.columns = {"close_return"}, .ahead = 5});
  const tsdl::Report run = report_of(data, data.quantiles(three_levels));
  const tsdl::Evaluation& e = run.evaluation;
  const std::string page = tsdl::html_report(run);
  CHECK(page_fault(page) == "");
  const std::string svg = picture(page, "Forecast over time");
  const auto [slope, offset] = axis_of(svg, "end");
  const double top = numbers_in(quoted_after(svg, "<g transform=\"translate(")[0])[1];
  const auto value = [&](double y) { return slope * (y + top) + offset; };
  const double tenth = std::fabs(slope) * 0.11;
  const std::vector<double> actual = path_of(svg, "line thin actual");
  const std::vector<double> middle = path_of(svg, "line thin c0"), band = path_of(svg, "band");
  CHECK(std::fabs(value(actual[1]) - e.labels.front()) < tenth);
  CHECK(std::fabs(value(actual.back()) - e.labels.back()) < tenth);
  CHECK(std::fabs(value(middle[1]) - e.predictions[1]) < tenth);
  CHECK(std::fabs(value(middle.back()) - e.predictions[e.predictions.size() - 2]) < tenth);
  CHECK(actual[0] == 0);
  CHECK(middle[0] == 0);
  CHECK(band[0] == 0);
  CHECK(actual[actual.size() - 2] == middle[middle.size() - 2]);
  // The band goes along the upper quantiles and back along the lower ones, around the middle.
  CHECK(value(band[1]) > e.predictions[2] - tenth);
  CHECK(value(band.back()) < e.predictions[0] + tenth);
  CHECK(band[band.size() - 2] == 0);
  const auto base = quoted_after(svg, "class=\"baseline\" d=\"");
  REQUIRE(base.size() == 1);
  CHECK(std::fabs(value(numbers_in(base[0])[1]) - e.baseline_named("constant")->predictions[1]) <
        tenth);
}

TEST_CASE("the scatter has a dot for each window, and few where there are many") {
  const Data few = number_data(1, "y", 90);
  const tsdl::Report run = report_of(few);
  const tsdl::Evaluation& e = run.evaluation;
  const std::string svg = picture(tsdl::html_report(run), "Predicted against actual");
  const auto [y_slope, y_offset] = axis_of(svg, "end");
  const auto [x_slope, x_offset] = axis_of(svg, "middle");
  std::size_t dots = 0;
  for (const char* style : {"dots d0", "dots d1", "dots d2"})
    for (const std::string& path : quoted_after(svg, "class=\"" + std::string(style) + "\" d=\"")) {
      const std::vector<double> p = numbers_in(path);
      REQUIRE(p.size() % 3 == 0);  // M x y h0
      for (std::size_t i = 0; i < p.size(); i += 3, ++dots) {
        bool found = false;
        for (std::size_t w = 0; w < e.labels.size(); ++w)
          found = found ||
                  (std::fabs(x_slope * p[i] + x_offset - e.labels[w]) < x_slope * 0.11 &&
                   std::fabs(y_slope * p[i + 1] + y_offset - e.predictions[w]) < -y_slope * 0.11);
        CHECK(found);
      }
    }
  CHECK(dots > e.labels.size() / 2);
  CHECK(dots <= e.labels.size());
  const std::string many = picture(page_of(number_data(1, "y", 30000)), "Predicted against actual");
  CHECK(many.size() < 60000);
  CHECK(contains(many, "class=\"dots d2\""));
}

TEST_CASE("the coverage picture has the share of targets below each quantile at its level") {
  const Data data = number_data(1);
  const tsdl::Report run = report_of(data, data.quantiles(three_levels));
  const tsdl::Evaluation& e = run.evaluation;
  const std::string page = tsdl::html_report(run);
  const std::string svg = picture(page, "Coverage by level");
  const auto cx = quoted_after(svg, "class=\"mark c0\" cx=\""), cy = quoted_after(svg, " cy=\"");
  REQUIRE(cx.size() == 3);
  const std::vector<double> constant = path_of(svg, "constant");
  REQUIRE(constant.size() == 6);
  for (std::size_t j = 0; j < 3; ++j) {
    double below = 0, always = 0;
    for (std::size_t i = 0; i < e.labels.size(); ++i) {
      below += e.labels[i] <= e.predictions[3 * i + j];
      always += e.labels[i] <= e.baseline_named("constant")->predictions[j];
    }
    const auto n = static_cast<double>(e.labels.size());
    CHECK(std::fabs(std::stod(cx[j]) - (54 + 332 * three_levels[j])) <= 0.011);
    CHECK(std::fabs(std::stod(cy[j]) - (14 + 332 * (1 - below / n))) <= 0.011);
    CHECK(std::fabs(constant[2 * j + 1] - (14 + 332 * (1 - always / n))) <= 0.011);
    CHECK(contains(svg, report::format_percent(below / n) + " below quantile " +
                            report::format_exact(three_levels[j])));
  }
  CHECK(contains(page, "lie " + report::format_percent(e.metrics.coverage) +
                           " of the targets; 80.0% are meant."));
  CHECK(count(page, "<figure>") == 4);
}

TEST_CASE("several targets: a panel each of the first four, a row each in a table") {
  const Data data = number_data(6);
  for (const tsdl::Task& task : {data.task(), data.quantiles(three_levels)}) {
    const tsdl::Report run = report_of(data, task);
    const tsdl::Evaluation& e = run.evaluation;
    const std::string page = tsdl::html_report(run);
    CHECK(page_fault(page) == "");
    CHECK(texts_of(picture(page, "Forecast over time"), "label") ==
          std::vector<std::string>{"y0", "y1", "y2", "y3"});
    CHECK(count(picture(page, "Predicted against actual"), "<svg class=\"tsdl-chart square") == 4);
    CHECK(contains(page, "The first 4 of 6 targets."));
    CHECK(contains(page, "<b>" + report::format_fixed(e.metrics.r2, 4) + "</b>\nR2, the mean"));
    const std::size_t Q = e.levels.empty() ? 1 : 3;
    for (std::size_t k = 0; k < 6; ++k) {
      const auto of = [&](const std::vector<double>& all) {
        std::vector<double> x, y;
        for (std::size_t i = 0; i < e.ends.size(); ++i) {
          x.push_back(all[(i * 6 + k) * Q + Q / 2]);
          y.push_back(e.labels[i * 6 + k]);
        }
        return tsdl::regression_metrics(x, y);
      };
      const tsdl::Metrics m = of(e.predictions), l = of(e.baseline_named("linear")->predictions);
      CHECK(contains(page,
                     table_row("y" + std::to_string(k),
                               {report::format_loss(m.mae), report::format_loss(l.mae),
                                report::format_fixed(m.r2, 4), report::format_fixed(l.r2, 4)})));
      CHECK(contains(page, "mean of y" + std::to_string(k) + "<"));
    }
  }
}

TEST_CASE("a page of numbers does not grow with its windows") {
  const tsdl::Label label = tsdl::ColumnTargets{.columns = {"close_return", "volume"}};
  const std::string small = quantile_page(candle_data(12000, label, 0.7));
  const std::string large = quantile_page(candle_data(60000, label, 0.7));
  CHECK(page_fault(large) == "");
  CHECK(large.size() < 600000);
  CHECK(static_cast<double>(large.size()) < 1.2 * static_cast<double>(small.size()));
}

TEST_CASE("numbers of a table without time stand over its rows, whatever their names") {
  const std::string hostile = "</svg><script>\"&\xff";
  const Data data = number_data(2, hostile);
  for (const std::string& page : {page_of(data), quantile_page(data)}) {
    CHECK(page_fault(page) == "");
    CHECK(contains(picture(page, "Forecast over time"), ">row</text>"));
    CHECK(contains(page, "one row later"));
    CHECK(contains(page, "&lt;/svg&gt;&lt;script&gt;&quot;&amp;\xef\xbf\xbd"));
  }
}

TEST_CASE("predictions that are no numbers, and windows all of one value") {
  Data data = number_data(1);
  const std::string page = tsdl::html_report(report_of(data, NAN));
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "A prediction is no number, so nothing can be said."));
  CHECK(count(page, "<figure>") == 1);
  CHECK(contains(page, "<th scope=\"row\">MAE</th><td>n/a</td>"));

  const tsdl::Windows<float> test = data.test;
  data.test = tsdl::Windows<float>(std::make_shared<const tsdl::Series<float>>(test.series()), 5, 1,
                                   test.ends(), std::vector<float>(test.ends().size(), 2.0f));
  CHECK(page_fault(page_of(data)) == "");
  CHECK(page_fault(quantile_page(data)) == "");
  data.test = {};
  CHECK(page_fault(page_of(data)) == "");
  CHECK(contains(page_of(data), "These windows also chose the best epoch"));
}

TEST_CASE("a page does not depend on the locale") {
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    std::string do_grouping() const override { return "\3"; }
  };
  const Data data = candle_data(1200, tsdl::ThresholdLabel{});
  const std::string before = page_of(data);
  const std::locale old = std::locale::global(std::locale(std::locale(), new Comma));
  const std::string after = page_of(data);
  std::locale::global(old);
  CHECK(before == after);
}
