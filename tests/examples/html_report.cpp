// The report page: well-formed, self-contained, of a size that does not grow with the data, and its
// pictures and tables say what the metrics say.
#include "../../examples/support/html_report.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <locale>
#include <string>
#include <string_view>
#include <vector>

#include "data/helpers.hpp"
#include "support/svg.hpp"

namespace {

using test::contains;
using test::count;
using test::numbers_in;
using test::quoted_after;
using tsdl::Index;

/// A model whose logits follow the last column of a window and, noisily, the truth, so that it is
/// better than chance.
struct FakeModel {
  using Scalar = float;
  struct Cache {};
  struct Options {
    Index input_size = 5, outputs = 1;
  };
  Options sizes;
  float scale = 0.8f;

  const Options& options() const { return sizes; }
  tsdl::Matrix<float> forward(const tsdl::Sequence<const float>& x, Cache&) const {
    tsdl::Matrix<float> logits(sizes.outputs, x.batch);
    for (Index b = 0; b < x.batch; ++b)
      for (Index k = 0; k < sizes.outputs; ++k)
        logits(k, b) = scale * x.column(x.steps - 1, b)[k % x.inputs];
    return logits;
  }
};

examples::RunData candle_data(Index rows, tsdl::Label label, double test_share = 0.4) {
  return examples::prepare_candles(test::random_candles(rows, 3),
                                   {.features = "ohlcv", .length = 10, .label = label},
                                   {.validation = 0.2, .test = test_share});
}

/// A table whose labels are the classes 0 ... K - 1 and hang on its columns.
examples::RunData table_data(Index K, std::vector<std::string> names = {"a", "b"}) {
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
  return {tsdl::prepare<float>(table, {.length = 5, .label = tsdl::ColumnLabel{.column = "y"}},
                               {.validation = 0.2, .test = 0.3})};
}

examples::Evaluation evaluation_of(const examples::RunData& data, float scale = 0.8f) {
  return examples::evaluate_model(
      FakeModel{{.input_size = data.inputs(), .outputs = data.outputs()}, scale}, data);
}

examples::RunReport report_of(examples::Evaluation evaluation) {
  examples::RunReport run;
  run.subject = "a model on candles.csv";
  run.ending = "finished after 3 epochs, best was epoch 2";
  run.test_option = "--test 0.15";
  run.curves = {"", "2 x 8 units", {0.70, 0.66, 0.61}, {0.69, 0.66, 0.68}, {1e-3, 1e-3, 1e-4},
                1,  0.6931};
  run.evaluation = std::move(evaluation);
  run.summary = {{"data", "candles.csv: 900 rows"}, {"gaps", "none"}};
  run.settings = {{"Model", {{"hidden", "8"}, {"init", ""}}}, {"Output", {{"out", "out"}}}};
  run.built = "tsdl 0.1.0, sse2";
  return run;
}

std::string page_of(const examples::RunData& data) {
  return examples::html_report(report_of(evaluation_of(data)), data);
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
      if (value.find_first_not_of("MLHVZh -.0123456789") != value.npos) return "path " + value;
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

std::string table_row(const std::string& name, const std::string& model, const std::string& base) {
  return "<th scope=\"row\">" + name + "</th><td>" + model + "</td><td>" + base + "</td>";
}

}  // namespace

TEST_CASE("the page of two classes: whole, self-contained, small, the same each time") {
  const examples::RunData data = candle_data(2000, tsdl::RangeLabel{});
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
  const examples::RunData data = table_data(2);
  const examples::Evaluation e = evaluation_of(data);
  const std::string page = examples::html_report(report_of(e), data);
  const tsdl::Metrics& m = e.metrics;
  const auto four = [](double v) { return examples::format_fixed(v, 4); };
  const auto percent = [](double v) { return examples::format_percent(v); };
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
  CHECK(contains(page, examples::verdict(m)));
  CHECK(contains(page, "<th scope=\"row\">share of 1</th>"));
  CHECK(contains(page, "<td>" + percent(ones) + "</td></tr>"));
  CHECK(contains(page, "<td>" + examples::format_count(data.train.size()) + "</td><td>" +
                           examples::format_count(data.validation.size()) + "</td><td>" +
                           examples::format_count(data.test.size()) + "</td>"));
}

TEST_CASE("the ROC picture rises from corner to corner over the area of the metrics") {
  for (const float scale : {0.8f, -0.8f}) {
    const examples::RunData data = table_data(2);
    const examples::Evaluation e = evaluation_of(data, scale);
    const std::string page = examples::html_report(report_of(e), data);
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
    CHECK(contains(page, "class 1: AUC " + examples::format_fixed(e.metrics.roc_auc, 4)));
  }
}

TEST_CASE("the calibration picture has each bin where its windows are") {
  const examples::RunData data = table_data(2);
  const examples::Evaluation e = evaluation_of(data);
  const std::string svg = picture(examples::html_report(report_of(e), data), "Calibration");
  std::vector<double> sums(10), hits(10), sizes(10);
  for (std::size_t i = 0; i < e.labels.size(); ++i) {
    const double p = e.probabilities[i];
    const auto bin = static_cast<std::size_t>(std::ceil(p * 10)) - 1;
    sums[bin] += p, hits[bin] += e.labels[i], sizes[bin] += 1;
  }
  std::vector<std::string> numbers;
  std::vector<double> xs, ys;
  for (std::size_t i = 0; i < 10; ++i) {
    numbers.push_back(examples::format_fixed(sizes[i], 0));
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
  CHECK(contains(svg, ">baseline " + examples::format_percent(ones) + "<"));
}

TEST_CASE("the confusion picture has labels by rows") {
  const examples::RunData data = candle_data(2000, tsdl::ThresholdLabel{});
  const examples::Evaluation e = evaluation_of(data);
  const std::string page = examples::html_report(report_of(e), data);
  CHECK(page_fault(page) == "");
  std::vector<std::string> expected;
  for (std::size_t actual = 0; actual < 3; ++actual)
    for (std::size_t said = 0; said < 3; ++said) {
      Index n = 0;
      for (std::size_t i = 0; i < e.labels.size(); ++i) {
        const double* p = e.probabilities.data() + 3 * i;
        n += e.labels[i] == static_cast<double>(actual) &&
             static_cast<std::size_t>(std::max_element(p, p + 3) - p) == said;
      }
      expected.push_back(examples::format_count(n));
    }
  CHECK(texts_of(picture(page, "Confusion matrix"), "cell-count") == expected);
  // Three classes: a line each, a panel each, and the mean of their areas.
  CHECK(count(picture(page, "ROC"), "class=\"line roc c") == 3);
  CHECK(texts_of(picture(page, "Probability over price"), "label") ==
        std::vector<std::string>{"close", "probability of -1", "probability of 0",
                                 "probability of 1"});
  CHECK(contains(page, "mean AUC " + examples::format_fixed(e.metrics.roc_auc, 4)));
  CHECK(contains(page, "the predicted class was right"));
  double area = 0;
  for (std::size_t k = 0; k < 3; ++k) area += examples::class_roc(e, k).auc / 3;
  CHECK(std::fabs(area - e.metrics.roc_auc) < 1e-12);
}

TEST_CASE("price and probability share their axis of time") {
  const examples::RunData data = candle_data(2000, tsdl::RangeLabel{});
  const examples::Evaluation e = evaluation_of(data);
  const std::string svg =
      picture(examples::html_report(report_of(e), data), "Probability over price");
  const auto price = quoted_after(svg, "class=\"line thin price\" d=\"");
  const auto said = quoted_after(svg, "class=\"line thin c0\" d=\"");
  REQUIRE(price.size() == 1);
  REQUIRE(said.size() == 1);
  const std::vector<double> p = numbers_in(price[0]), q = numbers_in(said[0]);
  CHECK(p.front() == 0);
  CHECK(q.front() == 0);
  CHECK(p[p.size() - 2] == 754);
  CHECK(q[q.size() - 2] == 754);
  CHECK(std::fabs(q[1] - 150 * (1 - e.probabilities.front())) <= 0.051);
  CHECK(std::fabs(q.back() - 150 * (1 - e.probabilities.back())) <= 0.051);
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
  const examples::RunData few = candle_data(12000, tsdl::RangeLabel{}, 0.7);
  const examples::RunData many = candle_data(60000, tsdl::RangeLabel{}, 0.7);
  const std::string small = page_of(few), large = page_of(many);
  CHECK(page_fault(large) == "");
  CHECK(large.size() < 300000);
  CHECK(static_cast<double>(large.size()) < 1.1 * static_cast<double>(small.size()));
}

TEST_CASE("names of files, columns, classes and options cannot become markup") {
  const std::string hostile = "<script>alert(\"1\")</script> & 'x' \xff\x01";
  const examples::RunData data = table_data(2, {hostile, "</style><b>"});
  examples::RunReport run = report_of(evaluation_of(data));
  run.subject = "a model on " + hostile;
  run.curves.subtitle = run.ending = run.test_option = run.built = hostile;
  examples::DataOptions options{.file = hostile, .label_column = hostile};
  options.feature_columns = {hostile};
  run.summary = examples::data_summary(options, hostile, data);
  run.settings = {{hostile, {{hostile, hostile}}}};
  const std::string page = examples::html_report(run, data);
  CHECK(page_fault(page) == "");
  CHECK(count(page, "<style>") == 2);
  CHECK(count(page, "</style>") == 2);
  CHECK(contains(page,
                 "<h1>Training of a model on &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; "
                 "&amp; 'x' \xef\xbf\xbd\xef\xbf\xbd</h1>"));
  CHECK(contains(page, "&lt;/style&gt;&lt;b&gt;"));
}

TEST_CASE("a table has no price, and the page says so") {
  const examples::RunData data = table_data(2);
  const std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "Left out: the data is a table of columns, and no price is known."));
  CHECK(count(page, "<figure>") == 4);
  CHECK_FALSE(contains(page, "first ends"));
}

TEST_CASE("many classes: the most common have lines, the matrix is left out") {
  const examples::RunData data = table_data(12);
  const std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(count(picture(page, "ROC"), "class=\"line roc c") == examples::line_styles);
  CHECK(contains(page, "The 8 most common of 12 classes."));
  CHECK(contains(page, "12 classes do not fit; the table has their figures."));
}

TEST_CASE("windows of one class, probabilities that are no numbers, no test part, no classes") {
  examples::RunData data = candle_data(2000, tsdl::RangeLabel{});
  const tsdl::Windows<float> test = data.test;
  data.test = {data.test.size() > 0
                   ? std::make_shared<const tsdl::Series<float>>(data.test.series())
                   : nullptr,
               10, 1, test.ends(), std::vector<float>(test.labels().size(), 1.0f)};
  std::string page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "windows are all of one class."));
  CHECK(contains(page, table_row("ROC AUC", "n/a", "n/a")));

  data.test = test;
  page = examples::html_report(report_of(evaluation_of(data, NAN)), data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page, "A probability is no number"));
  CHECK(count(page, "<figure>") == 1);

  data.test = {};
  page = page_of(data);
  CHECK(page_fault(page) == "");
  CHECK(contains(page,
                 "These windows also chose the best epoch, which flatters the figures: "
                 "--test 0.15 keeps others apart."));
  CHECK(contains(page, "<td>" + examples::format_count(data.validation.size()) + "</td><td></td>"));

  data.recipe.regression = true;
  data.recipe.class_values.clear();
  examples::RunReport run = report_of(evaluation_of(data));
  run.evaluation.metrics = {.count = 5, .loss = 0.25};
  run.curves.baseline = std::nan("");
  page = examples::html_report(run, data);
  CHECK(test::xml_fault(page.substr(16)) == "");
  CHECK(contains(page, "The labels are numbers to regress"));
  CHECK(contains(page, table_row("loss, lower is better", "0.2500", "n/a")));
}

TEST_CASE("a page does not depend on the locale") {
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    std::string do_grouping() const override { return "\3"; }
  };
  const examples::RunData data = candle_data(1200, tsdl::ThresholdLabel{});
  const std::string before = page_of(data);
  const std::locale old = std::locale::global(std::locale(std::locale(), new Comma));
  const std::string after = page_of(data);
  std::locale::global(old);
  CHECK(before == after);
}

TEST_CASE("what a constant answer loses is the least that any constant answer loses") {
  const std::vector<float> two = {0, 1, 1, 0, 1, 1, 1}, three = {0, 2, 1, 1, 2, 2, 2, 2};
  const auto loses = [](const tsdl::Loss& loss, const std::vector<float>& labels, Index outputs,
                        const std::vector<double>& logits) {
    std::vector<double> all;
    for (std::size_t i = 0; i < labels.size(); ++i)
      all.insert(all.end(), logits.begin(), logits.end());
    const std::vector<double> y(labels.begin(), labels.end());
    return tsdl::evaluate(loss, all.data(), std::span<const double>(y), outputs).mean();
  };
  for (const double weight : {1.0, 0.4, 3.0}) {
    const tsdl::Loss loss = tsdl::BCEWithLogits{weight};
    const double least = examples::constant_loss(loss, two, 1);
    CHECK(loses(loss, two, 1, {std::log(5 * weight / 2)}) == doctest::Approx(least));
    for (const double logit : {-1.0, 0.0, 0.5, 2.0}) CHECK(loses(loss, two, 1, {logit}) >= least);
  }
  for (const std::vector<double>& w : {std::vector<double>{}, {2.0, 1.0, 0.5}}) {
    const tsdl::Loss loss = tsdl::CrossEntropy{w};
    const double least = examples::constant_loss(loss, three, 3);
    const std::vector<double> best =
        w.empty() ? std::vector<double>{0.0, std::log(2.0), std::log(5.0)}
                  : std::vector<double>{std::log(2.0), std::log(2.0), std::log(2.5)};
    CHECK(loses(loss, three, 3, best) == doctest::Approx(least));
    CHECK(loses(loss, three, 3, {0, 0, 0}) > least);
  }
  CHECK(examples::constant_loss(tsdl::MSE{}, std::vector<float>{1, 3}, 1) == 1.0);
}
