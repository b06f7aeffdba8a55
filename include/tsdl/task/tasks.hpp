// The kinds of task, and the default for a model's number of outputs.
#pragma once

#include "tsdl/task/binary.hpp"
#include "tsdl/task/classes.hpp"
#include "tsdl/task/custom.hpp"
#include "tsdl/task/quantiles.hpp"
#include "tsdl/task/regression.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The task of a model with this number of outputs unless another one is chosen: two classes with
/// one output, else one class per output.
template <class = void>
Task default_task(Index outputs) {
  if (outputs == 1) return Binary{};
  return Classes{.count = outputs};
}

/// The task of a loss alone, for a model with this number of outputs; numbers are used as they are.
/// Throws: OptionError when loss and outputs do not match, or an option is out of range.
template <class = void>
Task task_of(const Loss& loss, Index outputs) {
  const auto made = [&]() -> Task {
    if (loss.kind == Loss::Kind::bce_with_logits) return Binary{loss.pos_weight};
    if (loss.kind == Loss::Kind::cross_entropy)
      return Classes{.count = outputs, .weights = loss.class_weights};
    return Regression{.targets = outputs, .loss = loss.numbers};
  };
  const Task task = made();
  task.check_outputs(outputs);
  return task;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
