// The kinds of task, and which one stands for what is not said.
#pragma once

#include "tsdl/task/binary.hpp"
#include "tsdl/task/classes.hpp"
#include "tsdl/task/custom.hpp"
#include "tsdl/task/quantiles.hpp"
#include "tsdl/task/regression.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What a model of so many outputs does unless something else is asked for: two classes with one,
/// else as many classes.
template <class = void>
Task default_task(Index outputs) {
  if (outputs == 1) return Binary{};
  return Classes{.count = outputs};
}

/// The task of a loss by itself, for a model of so many outputs; numbers are taken as they are.
/// Throws: OptionError when they do not go together, or an option is out of range.
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
