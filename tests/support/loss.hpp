// What tests of losses share: a task's mean loss over a model's outputs, and the gradient that
// training makes of it.
#pragma once

#include <vector>

#include "tsdl/nn/module.hpp"
#include "tsdl/task/task.hpp"

namespace test {

/// The mean loss of outputs, a column a sample; `gradient`, where given, takes its derivative by
/// each of them.
template <class Scalar>
double mean_loss(const tsdl::Task& task, const tsdl::Outputs<Scalar>& outputs,
                 const std::vector<double>& targets, Scalar* gradient = nullptr) {
  const std::vector<double> wide(outputs.data(), outputs.data() + outputs.size());
  std::vector<double> slopes(wide.size());
  const tsdl::LossSum total =
      task->loss(wide.data(), targets.data(), outputs.cols(), slopes.data());
  for (std::size_t i = 0; gradient && i < slopes.size(); ++i)
    gradient[i] = static_cast<Scalar>(slopes[i] / total.weight);
  return total.mean();
}

}  // namespace test
