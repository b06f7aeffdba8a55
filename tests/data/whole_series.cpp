// Whole series as samples: what a window reads, who is in which part, and on which rows the scaler
// is fitted.
#include "tsdl/data/whole_series.hpp"

#include <set>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

/// Case i of class i % classes: i + 1 rows of two dimensions, 10 i + t and -(10 i + t).
tsdl::TsCases numbered(Index count, Index classes) {
  tsdl::TsCases cases;
  cases.name = "train.ts";
  cases.dimensions = 2;
  for (Index k = 0; k < classes; ++k) cases.class_names.push_back("class " + std::to_string(k));
  for (Index i = 0; i < count; ++i) {
    tsdl::TsCase one;
    one.label = i % classes;
    one.values.resize(2, i + 1);
    for (Index t = 0; t <= i; ++t) {
      one.values(0, t) = static_cast<double>(10 * i + t);
      one.values(1, t) = -one.values(0, t);
    }
    cases.cases.push_back(one);
  }
  return cases;
}

/// What the mean and deviation of these cases' first dimension make of a value.
double scaled(const tsdl::TsCases& cases, const std::vector<Index>& of, double value) {
  double n = 0, sum = 0, squares = 0;
  for (const Index i : of)
    for (const double x : cases.cases[test::at(i)].values.row(0))
      if (!std::isnan(x)) n += 1, sum += x, squares += x * x;
  const double mean = sum / n;
  return (value - mean) / std::sqrt(squares / n - mean * mean);
}

}  // namespace

TEST_CASE("whole series: a batch has each case from its first row, and zeros after its last") {
  const tsdl::TsCases cases = numbered(6, 2);
  const tsdl::CaseSplit split{.train = {0, 1, 4}, .validation = {2}, .test = {3, 5}};
  const auto data = tsdl::prepare_cases<double>(cases, split);
  CHECK(data.inputs() == 2);
  CHECK(data.outputs() == 1);
  CHECK(data.recipe.length == 6);
  CHECK(data.recipe.whole_series);
  CHECK(tsdl::class_names(data.recipe) == std::vector<std::string>{"class 0", "class 1"});
  CHECK(data.train.length() == 5);
  CHECK(data.train.targets() == std::vector<double>{0, 1, 0});
  CHECK(data.validation.targets() == std::vector<double>{0});
  CHECK(data.test.targets() == std::vector<double>{1, 1});

  tsdl::Buffer<double> scratch;
  tsdl::Buffer<Index> lengths;
  const std::vector<Index> chosen = {2, 0};
  struct Read {
    tsdl::Sequence<const double> past;
    std::span<const Index> lengths;
    std::vector<Index> of;
  };
  for (const bool gathered : {false, true}) {
    const Read read =
        gathered ? Read{data.train.gather(chosen, scratch),
                        data.train.gather_lengths(chosen, lengths),
                        {4, 0}}
                 : Read{data.train.batch(0, 3, scratch), data.train.lengths(0, 3), {0, 1, 4}};
    CHECK(read.past.steps == 5);
    CHECK(read.past.batch == std::ssize(read.of));
    REQUIRE(read.lengths.size() == read.of.size());
    for (std::size_t b = 0; b < read.of.size(); ++b) {
      const Index i = read.of[b];
      CHECK(read.lengths[b] == i + 1);
      for (Index t = 0; t < 5; ++t) {
        const double* column = read.past.column(t, static_cast<Index>(b));
        const double expected =
            t <= i ? scaled(cases, split.train, static_cast<double>(10 * i + t)) : 0.0;
        CHECK(column[0] == doctest::Approx(expected));
        CHECK(column[1] == doctest::Approx(-expected));
      }
    }
  }
  CHECK(data.train.batch(0, 2, scratch).steps == 2);  // the longest of the batch
}

TEST_CASE("whole series: the scaler knows the training cases alone, and what is missing is 0") {
  tsdl::TsCases cases = numbered(5, 2);
  cases.cases[3].values(0, 1) = test::nan;
  cases.cases[4].values(0, 2) = 1e9;
  const auto data = tsdl::prepare_cases<double>(cases, {{0, 1, 2, 3}, {}, {4}});
  tsdl::Buffer<double> scratch;
  const auto last = data.train.batch(3, 1, scratch);
  CHECK(last.column(1, 0)[0] == 0.0);
  CHECK(last.column(2, 0)[0] == doctest::Approx(scaled(cases, {0, 1, 2, 3}, 32)));
  CHECK(data.test.batch(0, 1, scratch).column(2, 0)[0] > 1e6);
}

TEST_CASE(
    "whole series: cases of a test file, whose header may name the classes in another order") {
  const tsdl::TsCases cases = numbered(6, 3);
  tsdl::TsCases test = numbered(4, 2);
  test.name = "test.ts";
  test.class_names = {"class 2", "class 0"};
  const auto data = tsdl::prepare_cases<float>(cases, tsdl::stratified_split(cases, 0, 1), &test);
  CHECK(data.train.size() == 6);
  CHECK(data.validation.empty());
  CHECK(data.test.targets() == std::vector<double>{2, 0, 2, 0});
  CHECK(data.outputs() == 3);
  // The same windows by the recipe alone.
  const auto again = tsdl::apply_cases<float>(data.recipe, test);
  CHECK(again.targets() == data.test.targets());
  tsdl::Buffer<float> one, other;
  const auto a = again.batch(0, 4, one), b = data.test.batch(0, 4, other);
  REQUIRE(a.steps == b.steps);
  CHECK(one.size() == other.size());
  CHECK(std::equal(one.begin(), one.end(), other.begin()));
  test.class_names.clear();
  for (tsdl::TsCase& one_case : test.cases) one_case.label = -1;
  CHECK(std::isnan(tsdl::apply_cases<float>(data.recipe, test).label(0)));
}

TEST_CASE("whole series: a stratified share, and folds that hold each case once") {
  tsdl::TsCases cases = numbered(53, 3);  // 18, 18 and 17 of a class
  const auto of_class = [&](const std::vector<Index>& part, Index k) {
    return std::count_if(part.begin(), part.end(),
                         [&](Index i) { return cases.cases[test::at(i)].label == k; });
  };
  const tsdl::CaseSplit split = tsdl::stratified_split(cases, 0.25, 7);
  CHECK(std::is_sorted(split.train.begin(), split.train.end()));
  std::set<Index> all(split.train.begin(), split.train.end());
  all.insert(split.validation.begin(), split.validation.end());
  CHECK(all.size() == 53);
  CHECK(split.train.size() + split.validation.size() == 53);
  CHECK(of_class(split.validation, 0) == 5);  // 4.5
  CHECK(of_class(split.validation, 2) == 4);  // 4.25
  CHECK(tsdl::stratified_split(cases, 0.25, 7).train == split.train);
  CHECK(tsdl::stratified_split(cases, 0.25, 8).train != split.train);
  CHECK(of_class(tsdl::stratified_split(cases, 0.999, 7).train, 1) == 1);

  std::vector<int> tested(53);
  const auto folds = tsdl::stratified_folds(cases, 5, 3);
  CHECK(folds.size() == 5);
  for (const tsdl::CaseSplit& fold : folds) {
    CHECK(fold.train.size() + fold.test.size() == 53);
    CHECK((fold.test.size() == 10 || fold.test.size() == 11));
    for (Index k = 0; k < 3; ++k)
      CHECK((of_class(fold.test, k) == 3 || of_class(fold.test, k) == 4));
    for (const Index i : fold.test) {
      ++tested[test::at(i)];
      CHECK_FALSE(std::binary_search(fold.train.begin(), fold.train.end(), i));
    }
  }
  CHECK(tested == std::vector<int>(53, 1));
}

TEST_CASE("whole series: what does not fit is refused") {
  const tsdl::TsCases cases = numbered(6, 2);
  const tsdl::CaseSplit all{{0, 1, 2, 3, 4, 5}, {}, {}};
  const auto refused = [](const tsdl::TsCases& train, const tsdl::CaseSplit& split,
                          const tsdl::TsCases* test = nullptr) {
    return message_of<tsdl::DataError>([&] { tsdl::prepare_cases<float>(train, split, test); });
  };
  CHECK(contains(refused(cases, {{}, {0}, {}}), "train.ts: there are no training cases"));
  CHECK(contains(refused(cases, {{0, 2}, {}, {}}), "one class only"));
  CHECK(contains(refused(numbered(3, 1), {{0, 1}, {}, {}}), "two classes or more, found 1"));
  tsdl::TsCases test = cases;
  test.name = "test.ts";
  test.class_names[1] = "other";
  CHECK(contains(refused(cases, all, &test),
                 "test.ts: @classLabel: the class \"other\" is not one of the training file's: "
                 "class 0, class 1"));
  test = cases;
  test.dimensions = 3;
  CHECK(contains(refused(cases, all, &test), "expected 2 dimensions, found 3"));
  tsdl::TsCases numbers = cases;
  numbers.class_names.clear();
  CHECK_THROWS_AS(tsdl::stratified_split(numbers, 0.1, 1), tsdl::DataError);
  for (const double share : {-0.1, 1.0, test::nan})
    CHECK_THROWS_AS(tsdl::stratified_split(cases, share, 1), tsdl::OptionError);
  for (const Index folds : {1, 7})
    CHECK_THROWS_AS(tsdl::stratified_folds(cases, folds, 1), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::prepare_cases<float>(cases, {{0, 1, 6}, {}, {}}), tsdl::ShapeError);

  // A recipe of windows does not read cases, nor the other way round.
  tsdl::Recipe rows;
  CHECK_THROWS_AS(tsdl::apply_cases<float>(rows, cases), tsdl::DataError);
  const tsdl::Recipe recipe = tsdl::prepare_cases<float>(cases, all).recipe;
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized(recipe.columns, 20);
  for (double& value : table.features.values) value = 0;
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::apply<float>(recipe, table); }),
                 "whole series"));
}

TEST_CASE("windows of their own lengths check their bounds") {
  const auto series =
      std::make_shared<const tsdl::Series<float>>(tsdl::Series<float>::sized({"a"}, 10));
  const auto made = [&](std::vector<Index> ends, std::vector<Index> lengths) {
    return tsdl::Windows<float>::of_lengths(series, std::move(ends), std::move(lengths), {});
  };
  CHECK(made({2, 9}, {3, 7}).length() == 7);
  CHECK_THROWS_AS(made({2, 9}, {3}), tsdl::ShapeError);
  CHECK_THROWS_AS(made({2, 9}, {4, 7}), tsdl::ShapeError);
  CHECK_THROWS_AS(made({2, 9}, {0, 7}), tsdl::ShapeError);
  CHECK_THROWS_AS(made({2, 2}, {1, 1}), tsdl::ShapeError);
  CHECK_THROWS_AS(made({2, 10}, {1, 1}), tsdl::ShapeError);
  const auto windows = made({2, 9}, {3, 7});
  tsdl::Buffer<float> scratch;
  const std::vector<Index> outside = {0, 2};
  CHECK_THROWS_AS(windows.gather(outside, scratch), tsdl::ShapeError);
  CHECK_THROWS_AS(windows.lengths(1, 2), tsdl::ShapeError);
}
