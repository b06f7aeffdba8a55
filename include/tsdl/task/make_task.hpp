// Makes tasks from configurations at run time. A new kind of task is added to this list.
#pragma once

#include <string>
#include <string_view>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/task/tasks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline Task regression_from(const Config& config) {
  config.refuse_others({"targets", "loss", "delta", "mean", "scale", "naive"});
  Regression options{.targets = config.index("targets"), .scale = TargetScale::from(config)};
  const std::string& loss = config.text("loss");
  if (loss == "huber")
    options.loss = Huber{config.number("delta")};
  else if (loss == "mae")
    options.loss = MAE{};
  else if (loss != "mse")
    throw OptionError("task regression: loss: expected mse, mae or huber, got '", loss, "'");
  return options;
}

inline Task quantiles_from(const Config& config) {
  config.refuse_others({"levels", "targets", "mean", "scale", "naive"});
  return Quantiles{.levels = config.numbers("levels"),
                   .targets = config.index("targets"),
                   .scale = TargetScale::from(config)};
}

inline Task binary_from(const Config& config) {
  config.refuse_others({"pos_weight", "temperature"});
  return Binary{.pos_weight = config.number("pos_weight"),
                .temperature = config.number("temperature", 1)};
}

inline Task classes_from(const Config& config) {
  config.refuse_others({"count", "weights", "temperature"});
  return Classes{.count = config.index("count"),
                 .weights = config.numbers("weights"),
                 .temperature = config.number("temperature", 1)};
}

struct TaskEntry {
  std::string_view kind;
  Task (*make)(const Config&);
};

inline constexpr TaskEntry task_kinds[] = {{"binary", binary_from},
                                           {"classes", classes_from},
                                           {"regression", regression_from},
                                           {"quantiles", quantiles_from}};

}  // namespace internal

/// The task that a configuration describes. Throws: OptionError when its kind is not known, or an
/// option is missing, unknown or out of range.
inline Task make_task(const Config& config) {
  if (config.kind == "custom")
    throw OptionError("task: the loss '", config.text("name"),
                      "' is a function of the program that trained the model: give that program's "
                      "task, load_model<M>(path, task)");
  std::string known;
  for (const internal::TaskEntry& entry : internal::task_kinds) {
    if (entry.kind == config.kind) return entry.make(config);
    known.append(known.empty() ? "" : ", ").append(entry.kind);
  }
  throw OptionError("task: expected one of ", known, ", got '", config.kind, "'");
}

}  // namespace TSDL_ABI
}  // namespace tsdl
