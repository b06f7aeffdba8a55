// Trains one trial on one fold. Compiled once.
#include "trial.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "model.hpp"
#include "signals.hpp"
#include "training.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/select/judge.hpp"
#include "tsdl/spread/sharded_stepper.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

std::optional<tsdl::UnitResult> train_fold(const TrainOptions& o, const FoldRun& run) {
  const tsdl::Prepared<float> data =
      run.prepared ? *run.prepared : tsdl::prepare<float>(*run.dataset, *run.split);
  const tsdl::Task task = task_of(o, data);
  Model model = make_model(o, data, task);
  tsdl::Trainer<Model, tsdl::ShardedStepper<Model>> trainer(model, trainer_options(o, task),
                                                            o.shards);
  bool signalled = false;
  const TrainingOptions rules{.patience = o.patience,
                              .reduce_lr_patience = o.reduce_lr_patience,
                              .shards = o.shards,
                              .stop = [&] {
                                signalled = StopSignals::requested() != 0;
                                return signalled || trainer.state().epoch >= run.epochs;
                              }};
  const std::string fingerprint = tsdl::fingerprint(data, trainer, callback_text(rules));
  add_rules(trainer, rules);
  trainer.add(tsdl::Checkpoint{.best = run.best,
                               .recipe = data.recipe,
                               .last_state = run.state,
                               .fingerprint = fingerprint});
  std::error_code code;
  if (std::filesystem::exists(run.state, code)) tsdl::resume(run.state, trainer, fingerprint);
  const tsdl::History history = trainer.fit(data.train, data.validation);
  if (signalled && history.status == tsdl::Status::interrupted) return std::nullopt;

  tsdl::UnitResult result{.unit = run.unit};
  result.epochs = std::ssize(history.epochs);
  result.best_epoch = history.best_epoch;
  const bool paused = history.status == tsdl::Status::interrupted;
  result.status = paused ? "paused" : tsdl::to_string(history.status);
  if (history.best_epoch == 0) return result;
  const auto& judges = data.test.empty() ? data.validation : data.test;
  const tsdl::Judgement judged = tsdl::judge(model, data.train, judges);
  result.score = judged.metrics.*tsdl::figure_of(run.figure).value;
  result.figures.emplace_back("loss", judged.metrics.loss);
  for (const std::string_view name : task->figures())
    result.figures.emplace_back(name, judged.metrics.*tsdl::figure_of(name).value);
  if (!run.borders.empty())
    result.gains = tsdl::moments_by_block(judged.gains, judges.ends(), run.borders);
  return result;
}

}  // namespace examples
