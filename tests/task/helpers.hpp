// What tests of tasks share: the loss of outputs, and its derivative against central differences.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tsdl/task/task.hpp"

namespace test {

using Values = std::vector<double>;

/// The loss of all samples; `slopes`, where given, takes the derivative of its sum.
inline tsdl::LossSum summed(const tsdl::Task& task, const Values& outputs, const Values& targets,
                            double* slopes = nullptr) {
  const tsdl::Index n = std::ssize(outputs) / task->outputs();
  REQUIRE(std::ssize(outputs) == n * task->outputs());
  REQUIRE(std::ssize(targets) == n * task->targets());
  return task->loss(outputs.data(), targets.data(), n, slopes);
}

/// The derivative of the mean by each output is what central differences say.
inline void check_slopes(const tsdl::Task& task, const Values& outputs, const Values& targets) {
  Values slopes(outputs.size());
  const tsdl::LossSum total = summed(task, outputs, targets, slopes.data());
  CHECK(total.sum == summed(task, outputs, targets).sum);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Values up = outputs, down = outputs;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    const double slope =
        (summed(task, up, targets).mean() - summed(task, down, targets).mean()) / 2e-5;
    CHECK(std::abs(slopes[i] / total.weight - slope) <= 1e-9);
  }
}

}  // namespace test
