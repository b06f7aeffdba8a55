// What is said of a model beside its baselines: only what an interval bears out.
#include "tsdl/report/verdict.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/files.hpp"

namespace {

namespace report = tsdl::report;
using test::contains;

tsdl::Evaluation numbers(std::vector<tsdl::MeanInterval> gains) {
  tsdl::Evaluation e;
  e.task = "regression";
  e.targets = {"close"};
  const char* const names[] = {"constant", "last", "linear"};
  const char* const titles[] = {"training mean", "last known value", "ridge regression, penalty 1"};
  for (std::size_t i = 0; i < gains.size(); ++i)
    e.baselines.push_back({names[i], titles[i], {}, {}, gains[i]});
  return e;
}

}  // namespace

TEST_CASE("figures as people read them") {
  const auto text = [](const char* name, double value) {
    return report::figure_text(tsdl::figure_of(name), value);
  };
  CHECK(text("accuracy", 0.5432) == "54.3%");
  CHECK(text("mae", 123456) == "1.235e5");
  CHECK(text("r2", -0.5) == "-0.5000");
  CHECK(text("coverage", tsdl::Metrics::undefined) == "n/a");
}

TEST_CASE("a model has learnt something when the whole interval is above the constant answer") {
  CHECK(contains(report::verdict(numbers({{0.1, 0.3, 0.2}})),
                 "mean absolute error is lower by 0.2000 (95% interval: lower by 0.1000 to lower "
                 "by 0.3000): the model has learnt something."));
  CHECK(contains(report::verdict(numbers({{-0.1, 0.3, 0.1}})), "does not show"));
  CHECK(contains(report::verdict(numbers({{-0.3, -0.1, -0.2}})), "does not show"));
  CHECK(contains(report::verdict(numbers({})), "nothing can be said"));
  tsdl::Evaluation classes;
  classes.metrics.count = 1000, classes.metrics.accuracy = 0.6;
  classes.metrics.majority_accuracy = 0.5;
  CHECK(contains(report::verdict(classes), "has learnt something."));
  classes.metrics.majority_accuracy = 0.59;
  CHECK(contains(report::verdict(classes), "does not show"));
}

TEST_CASE("one sentence for each baseline: beaten, not shown, worse") {
  const std::vector<std::string> all =
      report::verdicts(numbers({{0.1, 0.3, 0.2}, {-0.2, -0.1, -0.15}, {-0.1, 0.2, 0.05}}));
  REQUIRE(all.size() == 3);
  CHECK(all[1].starts_with("Beside the last known value on the same windows"));
  CHECK(all[1].ends_with(": the network is worse."));
  CHECK(contains(all[2], "ridge regression on"));
  CHECK(all[2].ends_with("these windows do not show that the network beats it."));
  CHECK(report::verdicts(numbers({{0.1, 0.3, 0.2}, {0.1, 0.2, 0.15}}))[1].ends_with(
      ": the network beats it."));
  tsdl::Evaluation unknown = numbers({{0.1, 0.3, 0.2}});
  unknown.baselines.push_back({"last", "last known value", {}, {}, {}});
  CHECK(report::verdicts(unknown).size() == 1);
}
