// What a training run tells its tracker, what happens when the tracker fails, and how a run is
// interrupted. The model has one weight and a loss that the test chooses by its labels.
#include "tsdl/track/tracker.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using test::contains;
using test::Index;
using test::message_of;

/// Says the value of its weight for every window.
class OneWeight : public tsdl::ModelBase<double> {
 public:
  struct Cache {
    std::vector<double> logits;
    std::uint64_t update = 0;
  };

  tsdl::Parameter<double> weight = tsdl::Parameter<double>::vector("weight", 1);
  std::set<std::uint64_t> poisoned;  ///< updates whose gradient is not finite

  OneWeight() : ModelBase(1) {}
  tsdl::Config describe() const { return tsdl::Config("one_weight"); }
  Index inputs() const { return 2; }
  Index outputs() const { return 1; }
  template <class F>
  void visit(F&& f) {
    f(weight);
  }
  template <class F>
  void visit(F&& f) const {
    f(weight);
  }
  void repack() {}
  void zero_gradients() { weight.zero_gradient(); }
  tsdl::Outputs<double> forward(const tsdl::Batch<double>& batch, Cache& cache,
                                const tsdl::Pass& pass) const {
    cache.update = pass.dropout.update;
    cache.logits.assign(static_cast<std::size_t>(batch.size()), weight.value[0]);
    return {cache.logits.data(), 1, batch.size()};
  }
  void backward(const tsdl::Batch<double>& batch, Cache& cache, const double* dlogits) {
    weight.need_gradient();
    for (Index b = 0; b < batch.size(); ++b) weight.gradient[0] += dlogits[b];
    if (poisoned.contains(cache.update))
      weight.gradient[0] = std::numeric_limits<double>::quiet_NaN();
  }
};
static_assert(tsdl::Model<OneWeight>);

/// Writes down what it is told, and throws when `fails` says so.
class Recorder final : public tsdl::Tracker {
 public:
  std::vector<std::vector<tsdl::TrackedMetric>> calls;
  std::function<void(std::size_t)> before{};  ///< with the number of the call, from 1

  void log_metrics(std::span<const tsdl::TrackedMetric> metrics) override {
    calls.emplace_back(metrics.begin(), metrics.end());
    if (before) before(calls.size());
  }
  void start(const tsdl::RunInfo&) override { FAIL("start is the caller's"); }
  void log_params(std::span<const tsdl::TrackedText>) override { FAIL("no params are logged"); }
  void set_tags(std::span<const tsdl::TrackedText>) override { FAIL("no tags are set"); }
  void log_artifact(const std::filesystem::path&, const std::string&) override {
    FAIL("no artifacts are logged");
  }
  void register_model(const std::string&, const std::string&) override { FAIL("not asked for"); }
  void log_child(const tsdl::ChildRun&) override { FAIL("no children are logged"); }
  void end(tsdl::RunStatus) override { FAIL("end is the caller's"); }
  std::string location() const override { return {}; }
};

using Values = std::map<std::string, double>;

Values values_of(const std::vector<tsdl::TrackedMetric>& metrics) {
  Values values;
  for (const auto& metric : metrics) CHECK(values.emplace(metric.key, metric.value).second);
  return values;
}

const auto toy = test::two_classes<double>(200);
const Index batches = 5;  ///< an epoch

tsdl::TrainerOptions options(Index epochs) {
  tsdl::TrainerOptions o;
  o.max_epochs = epochs;
  o.batch_size = 20;
  return o;
}

tsdl::Windows<double> training() { return toy.windows(10, 100); }
tsdl::Windows<double> validation() { return toy.windows(120, 60); }

}  // namespace

TEST_CASE("tracking: each epoch's metrics at its step, and at the end the best") {
  Recorder recorder;
  OneWeight model;
  tsdl::Trainer<OneWeight> trainer(model, options(4));
  trainer.add(tsdl::Tracking{&recorder});
  const tsdl::History history = trainer.fit(training(), validation());
  REQUIRE(history.epochs.size() == 4);
  REQUIRE(recorder.calls.size() == 5);
  for (std::size_t i = 0; i < 4; ++i) {
    const tsdl::EpochRecord& epoch = history.epochs[i];
    for (const auto& metric : recorder.calls[i]) CHECK(metric.step == static_cast<Index>(i) + 1);
    Values expected = {{"train_loss", epoch.train_loss},
                       {"learning_rate", epoch.learning_rate},
                       {"gradient_norm", epoch.gradient_norm},
                       {"skipped_steps", 0.0},
                       {"validation_loss", epoch.validation.loss},
                       {"validation_accuracy", epoch.validation.accuracy},
                       {"validation_balanced_accuracy", epoch.validation.balanced_accuracy},
                       {"validation_roc_auc", epoch.validation.roc_auc},
                       {"validation_mcc", epoch.validation.mcc},
                       {"validation_brier", epoch.validation.brier},
                       {"validation_majority_accuracy", epoch.validation.majority_accuracy}};
    std::erase_if(expected, [](const auto& entry) { return !tsdl::is_finite(entry.second); });
    const Values told = values_of(recorder.calls[i]);
    for (const auto& entry : expected) {
      INFO(entry.first);
      REQUIRE(told.contains(entry.first));
      CHECK(told.at(entry.first) == entry.second);
    }
  }
  REQUIRE(history.best_epoch > 0);
  const double best =
      history.epochs[static_cast<std::size_t>(history.best_epoch) - 1].validation.loss;
  CHECK(values_of(recorder.calls[4]) ==
        Values{{"best_epoch", static_cast<double>(history.best_epoch)}, {"best_loss", best}});
  for (const auto& metric : recorder.calls[4]) CHECK(metric.step == history.best_epoch);
}

TEST_CASE("tracking: what is undefined is left out") {
  Recorder recorder;
  OneWeight model;
  for (std::uint64_t i = 0; i < 5; ++i) model.poisoned.insert(i);  // the first epoch makes no step
  tsdl::Trainer<OneWeight> trainer(model, options(2));
  trainer.add(tsdl::Tracking{&recorder});
  const tsdl::History history = trainer.fit(training());
  REQUIRE(recorder.calls.size() == 3);
  const Values first = values_of(recorder.calls[0]);
  CHECK_FALSE(first.contains("gradient_norm"));
  CHECK(first.at("skipped_steps") == 5.0);
  const Values second = values_of(recorder.calls[1]);
  CHECK(second.at("gradient_norm") == history.epochs[1].gradient_norm);
  CHECK(second.at("skipped_steps") == 0.0);
  for (const Values& values : {first, second})
    for (const auto& [key, value] : values) {
      CHECK(tsdl::is_finite(value));
      CHECK_FALSE(contains(key, "validation"));
    }
}

TEST_CASE("tracking: a tracker that throws does not stop the training and is reported once") {
  OneWeight untracked_model;
  const tsdl::History untracked =
      tsdl::Trainer<OneWeight>(untracked_model, options(6)).fit(training(), validation());
  for (std::size_t failing = 1; failing <= 7; ++failing) {
    Recorder recorder;
    recorder.before = [&](std::size_t call) {
      if (call >= failing) throw tsdl::Error("the disk is full, call ", call);
    };
    std::vector<std::string> problems;
    OneWeight model;
    tsdl::Trainer<OneWeight> trainer(model, options(6));
    trainer.add(
        tsdl::Tracking{&recorder, [&](const std::string& what) { problems.push_back(what); }});
    const tsdl::History history = trainer.fit(training(), validation());
    CHECK(history.status == tsdl::Status::finished);
    CHECK(history.epochs.size() == 6);
    CHECK(test::weight_bytes(model) == test::weight_bytes(untracked_model));
    CHECK(history.best_epoch == untracked.best_epoch);
    CHECK(recorder.calls.size() == failing);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0] == "the disk is full, call " + std::to_string(failing));
  }
  Recorder silent;  // nobody asked to be told
  silent.before = [](std::size_t) { throw tsdl::DataError("no"); };
  OneWeight model;
  tsdl::Trainer<OneWeight> trainer(model, options(2));
  trainer.add(tsdl::Tracking{&silent});
  CHECK(trainer.fit(training()).status == tsdl::Status::finished);
  CHECK(silent.calls.size() == 1);
}

TEST_CASE("StopWhen: the run ends after that batch, interrupted, without the partial epoch") {
  OneWeight whole_model;
  const tsdl::History whole =
      tsdl::Trainer<OneWeight>(whole_model, options(4)).fit(training(), validation());
  for (Index last = 1; last <= 3 * batches + 1; ++last) {
    CAPTURE(last);
    Recorder recorder;
    Index seen = 0, ended = 0;
    OneWeight model;
    tsdl::Trainer<OneWeight> trainer(model, options(4));
    trainer.add(tsdl::StopWhen{[&] { return ++seen == last; }});
    trainer.add(tsdl::Tracking{&recorder});
    trainer.add(tsdl::Observer{.on_batch = [&](const tsdl::TrainerState&) { ++ended; }});
    const tsdl::History history = trainer.fit(training(), validation());
    const auto epochs = static_cast<std::size_t>((last - 1) / batches);
    CHECK(history.status == tsdl::Status::interrupted);
    CHECK(seen == last);
    CHECK(ended == last);  // callbacks after it see the batch too
    CHECK(trainer.state().batches == static_cast<std::uint64_t>(last));
    REQUIRE(history.epochs.size() == epochs);
    for (std::size_t i = 0; i < epochs; ++i)
      CHECK(history.epochs[i].train_loss == whole.epochs[i].train_loss);
    CHECK(recorder.calls.size() == (epochs == 0 ? 0 : epochs + 1));  // and the best, at the end
    CHECK(history.best_epoch <= static_cast<Index>(epochs));
  }
  CHECK(std::string(tsdl::to_string(tsdl::Status::interrupted)) == "interrupted");
}

TEST_CASE("StopWhen: an interrupted run ends with the weights of its best epoch, if it has one") {
  for (const Index last : {batches - 2, 2 * batches + 2}) {
    CAPTURE(last);
    Index seen = 0;
    double best = 0.0, latest = 0.0;
    OneWeight model;
    tsdl::Trainer<OneWeight> trainer(model, options(4));
    trainer.add(tsdl::StopWhen{[&] { return ++seen == last; }});
    trainer.add(tsdl::Observer{
        .on_batch = [&](const tsdl::TrainerState&) { latest = model.weight.value[0]; },
        .on_epoch =
            [&](const tsdl::TrainerState& state) {
              if (state.improved) best = model.weight.value[0];
            }});
    const tsdl::History history = trainer.fit(training());
    CHECK(history.status == tsdl::Status::interrupted);
    if (last < batches) {
      CHECK(history.best_epoch == 0);
      CHECK(model.weight.value[0] == latest);
    } else {
      CHECK(history.best_epoch > 0);
      CHECK(best != latest);
      CHECK(model.weight.value[0] == best);
    }
  }
}

TEST_CASE("StopWhen: a condition that never holds changes nothing; early stopping stays itself") {
  OneWeight plain_model, watched_model;
  const tsdl::History plain = tsdl::Trainer<OneWeight>(plain_model, options(3)).fit(training());
  Index asked = 0;
  tsdl::Trainer<OneWeight> watched(watched_model, options(3));
  watched.add(tsdl::StopWhen{[&] { return ++asked < 0; }});
  const tsdl::History history = watched.fit(training());
  CHECK(asked == 3 * batches);
  CHECK(history.status == tsdl::Status::finished);
  CHECK(history.epochs.size() == plain.epochs.size());
  CHECK(test::weight_bytes(plain_model) == test::weight_bytes(watched_model));

  OneWeight stuck;
  auto o = options(50);
  o.optimizer.lr = 0.0;
  tsdl::Trainer<OneWeight> early(stuck, o);
  early.add(tsdl::EarlyStopping{.patience = 2});
  early.add(tsdl::StopWhen{[] { return false; }});
  const tsdl::History stopped = early.fit(training());
  CHECK(stopped.status == tsdl::Status::stopped_early);
  CHECK(stopped.epochs.size() == 3);
}

TEST_CASE("tracking, StopWhen: without a tracker, without a condition") {
  OneWeight model;
  tsdl::Trainer<OneWeight> trainer(model, options(1));
  CHECK(contains(message_of<tsdl::Error>([&] { trainer.add(tsdl::Tracking{}); }), "no tracker"));
  CHECK(contains(message_of<tsdl::Error>([&] { trainer.add(tsdl::StopWhen{}); }), "no condition"));
}
