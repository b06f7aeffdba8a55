// The losses of numbers and quantiles against PyTorch's values and gradients
// (goldens/task_losses.py makes them).
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "task/helpers.hpp"
#include "tsdl/task/tasks.hpp"

namespace {

using test::Values;

Values numbers(const std::string& cell) {
  Values values;
  std::istringstream in(cell);
  for (std::string one; std::getline(in, one, ';');) values.push_back(test::golden_number(one));
  return values;
}

tsdl::Task task_of(const std::string& name, tsdl::Index K, const Values& parameter,
                   const tsdl::TargetScale& scale) {
  if (name == "quantiles")
    return tsdl::Quantiles{.levels = parameter, .targets = K, .scale = scale};
  tsdl::Regression options{.targets = K, .scale = scale};
  if (name == "mae") options.loss = tsdl::MAE{};
  if (name == "huber") options.loss = tsdl::Huber{parameter.at(0)};
  return options;
}

}  // namespace

TEST_CASE("tasks: PyTorch's values and gradients of MSE, MAE, Huber and pinball losses") {
  const auto lines = test::golden_lines("task_losses.csv");
  REQUIRE(lines.size() == 28);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string>& cells = lines[i];
    CAPTURE(cells.at(0));
    CAPTURE(i);
    const auto K = static_cast<tsdl::Index>(std::stoi(cells.at(1)));
    const tsdl::Task task = task_of(cells[0], K, numbers(cells.at(3)),
                                    {numbers(cells.at(4)), numbers(cells.at(5)), {}});
    const Values x = numbers(cells.at(6)), y = numbers(cells.at(7));
    const Values expected = numbers(cells.at(9));
    Values slopes(x.size());
    const tsdl::LossSum loss = test::summed(task, x, y, slopes.data());
    CHECK(test::close_to(loss.mean(), numbers(cells.at(8)).at(0), 1e-12));
    REQUIRE(slopes.size() == expected.size());
    for (std::size_t j = 0; j < slopes.size(); ++j)
      CHECK(test::close_to(slopes[j] / loss.weight, expected[j], 1e-12));
  }
}
