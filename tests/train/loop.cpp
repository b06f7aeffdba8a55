// The training loop seen from below: which windows reach the model, in which order, and what
// happens to steps whose gradients are not finite. The model here is a spy with one weight.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "support/archive.hpp"
#include "support/training.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/window.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using test::Index;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Takes series whose row r holds the number r; its logit is always 0, so under MSE the gradient
/// that comes back tells the label.
class Spy : public tsdl::ModelBase<double> {
 public:
  struct Cache {
    std::vector<double> logits;
  };

  // forward is const, but a spy's.
  mutable std::vector<std::vector<Index>> batches;     ///< the last rows of each batch's windows
  mutable std::vector<std::uint64_t> dropout_updates;  ///< of each batch
  mutable Index evaluated = 0;                         ///< windows seen out of training
  std::vector<std::vector<double>> labels;             ///< of each batch
  std::set<std::size_t> poisoned;                      ///< batches whose gradient is infinite
  double slope = 1;                                    ///< the gradient of the others
  Index lost = 0, more = 0;  ///< columns that it does not give, and rows beyond its one
  tsdl::Parameter<double> weight = tsdl::Parameter<double>::vector("weight", 1);

  Spy() : ModelBase(1) {}
  tsdl::Config describe() const { return tsdl::Config("spy"); }
  Index inputs() const { return 1; }
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
    if (pass.training)
      spy(batch.past, pass.dropout);
    else
      evaluated += batch.size();
    cache.logits.assign(static_cast<std::size_t>((1 + more) * batch.size()), 0.0);
    return {cache.logits.data(), 1 + more, batch.size() - lost};
  }
  void backward(const tsdl::Batch<double>& batch, Cache&, const double* dlogits) {
    auto& seen = labels.emplace_back();
    for (Index b = 0; b < batch.size(); ++b)
      seen.push_back(-dlogits[b] * static_cast<double>(batch.size()) / 2);
    weight.need_gradient();
    weight.gradient[0] = poisoned.contains(batches.size() - 1) ? infinity : slope;
  }

  std::vector<Index> order() const {
    std::vector<Index> all;
    for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
    return all;
  }

 private:
  void spy(const tsdl::Sequence<const double>& x, tsdl::DropoutKey key) const {
    dropout_updates.push_back(key.update);
    auto& rows = batches.emplace_back();
    for (Index b = 0; b < x.batch; ++b) {
      for (Index t = 1; t < x.steps; ++t) REQUIRE(*x.column(t, b) == *x.column(t - 1, b) + 1);
      rows.push_back(static_cast<Index>(*x.column(x.steps - 1, b)));
    }
  }
};
static_assert(tsdl::Model<Spy>);

constexpr Index length = 3;

/// n windows over the numbered series, with the label 2 * row + 1; a hole after each `run` windows.
tsdl::Windows<double> numbered(Index n, Index run = 1000) {
  auto series = std::make_shared<tsdl::Series<double>>(
      tsdl::Series<double>::sized({"row"}, length + n + n / run));
  std::iota(series->values.begin(), series->values.end(), 0.0);
  std::vector<Index> ends;
  std::vector<double> labels;
  for (Index i = 0; i < n; ++i) {
    ends.push_back(length - 1 + i + i / run);
    labels.push_back(2.0 * static_cast<double>(ends.back()) + 1.0);
  }
  return {series, length, 1, ends, labels};
}

tsdl::TrainerOptions options(Index epochs, Index batch_size) {
  tsdl::TrainerOptions o;
  o.max_epochs = epochs;
  o.batch_size = batch_size;
  o.loss = tsdl::MSE{};
  return o;
}

Spy spied(const tsdl::Windows<double>& windows, const tsdl::TrainerOptions& o) {
  Spy spy;
  tsdl::Trainer<Spy>(spy, o).fit(windows);
  return spy;
}

void check_labels_follow_their_windows(const Spy& spy) {
  REQUIRE(spy.labels.size() == spy.batches.size());
  for (std::size_t i = 0; i < spy.batches.size(); ++i)
    for (std::size_t b = 0; b < spy.batches[i].size(); ++b)
      CHECK(spy.labels[i][b] ==
            doctest::Approx(2.0 * static_cast<double>(spy.batches[i][b]) + 1.0).epsilon(1e-12));
}

}  // namespace

TEST_CASE("trainer: without shuffling the windows come in order, the last batch smaller") {
  const auto windows = numbered(10);
  const Spy spy = spied(windows, options(2, 4));
  REQUIRE(spy.batches.size() == 6);
  CHECK(spy.batches[0] == std::vector<Index>{2, 3, 4, 5});
  CHECK(spy.batches[1] == std::vector<Index>{6, 7, 8, 9});
  CHECK(spy.batches[2] == std::vector<Index>{10, 11});
  for (std::size_t i = 0; i < 3; ++i) CHECK(spy.batches[i + 3] == spy.batches[i]);
  check_labels_follow_their_windows(spy);
  CHECK(spy.dropout_updates == std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("trainer: a batch across a hole holds the windows of both sides") {
  const auto windows = numbered(12, 5);
  const Spy spy = spied(windows, options(1, 4));
  CHECK(spy.order() == windows.ends());
  CHECK(spy.batches[1] == std::vector<Index>{6, 8, 9, 10});
  check_labels_follow_their_windows(spy);
}

TEST_CASE("trainer: shuffling takes every window once an epoch, in an order that the seed names") {
  const auto windows = numbered(23);
  auto o = options(3, 4);
  o.shuffle = true;
  o.seed = 5;
  const Spy spy = spied(windows, o);
  check_labels_follow_their_windows(spy);
  const std::vector<Index> order = spy.order();
  REQUIRE(order.size() == 69);
  std::vector<std::vector<Index>> epochs;
  for (std::ptrdiff_t epoch = 0; epoch < 3; ++epoch) {
    epochs.emplace_back(order.begin() + 23 * epoch, order.begin() + 23 * (epoch + 1));
    CHECK(epochs.back() != windows.ends());
    std::vector<Index> sorted = epochs.back();
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == windows.ends());
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[1] != epochs[2]);
  CHECK(spied(windows, o).order() == order);
  o.seed = 6;
  CHECK(spied(windows, o).order() != order);
}

TEST_CASE(
    "trainer: shuffled batches are consecutive windows, all once an epoch, cut anew each epoch") {
  for (const Index size : {3, 4, 23}) {
    const auto windows = numbered(size);
    auto o = options(4, 4);
    o.shuffle_batches = true;
    o.seed = 5;
    const Spy spy = spied(windows, o);
    check_labels_follow_their_windows(spy);
    const std::vector<Index> order = spy.order();
    REQUIRE(std::ssize(order) == 4 * size);
    std::vector<std::vector<Index>> epochs(4);
    for (std::size_t i = 0; i < order.size(); ++i)
      epochs[i / static_cast<std::size_t>(size)].push_back(order[i]);
    for (auto epoch : epochs) {
      std::sort(epoch.begin(), epoch.end());
      CHECK(epoch == windows.ends());
    }
    std::vector<std::size_t> sizes;
    for (const std::vector<Index>& batch : spy.batches) {
      CHECK(batch.size() <= 4);
      for (std::size_t i = 1; i < batch.size(); ++i) {
        const auto at = std::find(windows.ends().begin(), windows.ends().end(), batch[i - 1]);
        CHECK(batch[i] == *(at + 1));
      }
      if (batch.front() == windows.ends().front()) sizes.push_back(batch.size());
    }
    CHECK(sizes.size() == 4);
    CHECK(spied(windows, o).order() == order);
    if (size < 23) continue;
    CHECK(epochs[0] != epochs[1]);
    CHECK(epochs[1] != epochs[2]);
    CHECK(std::set<std::size_t>(sizes.begin(), sizes.end()).size() > 1);
    o.seed = 6;
    CHECK(spied(windows, o).order() != order);
  }
}

TEST_CASE("trainer: a step whose gradient is not finite changes nothing and is counted") {
  Spy spy;
  spy.poisoned = {1, 4};
  auto o = options(2, 4);
  o.restore_best = false;
  tsdl::Trainer<Spy> trainer(spy, o);
  std::vector<double> weights;
  std::vector<std::uint64_t> steps;
  trainer.add(tsdl::Observer{.on_batch = [&](const tsdl::TrainerState&) {
    weights.push_back(spy.weight.value[0]);
    steps.push_back(trainer.optimizer().steps());
  }});
  const tsdl::History history = trainer.fit(numbered(10));
  CHECK(steps == std::vector<std::uint64_t>{1, 1, 2, 3, 3, 4});
  REQUIRE(weights.size() == 6);
  CHECK(weights[1] == weights[0]);
  CHECK(weights[2] != weights[1]);
  CHECK(weights[4] == weights[3]);
  CHECK(weights[5] != weights[4]);
  CHECK(history.status == tsdl::Status::finished);
  CHECK(history.skipped_steps == 2);
  REQUIRE(history.epochs.size() == 2);
  CHECK(history.epochs[0].skipped_steps == 1);
  CHECK(history.epochs[1].skipped_steps == 1);
  CHECK(history.epochs[0].gradient_norm == 1.0);
  CHECK(trainer.state().batches == 6);
  CHECK(trainer.state().skipped_in_a_row == 0);

  // Labels are 2 row + 1 and logits 0: the loss is over the windows of steps that were made.
  const auto mean_loss = [](std::vector<double> rows) {
    double sum = 0;
    for (const double row : rows) sum += (2 * row + 1) * (2 * row + 1);
    return sum / static_cast<double>(rows.size());
  };
  CHECK(history.epochs[0].train_loss == doctest::Approx(mean_loss({2, 3, 4, 5, 10, 11})));
}

TEST_CASE("trainer: loss and norm of an epoch are of its own steps") {
  Spy spy;
  spy.poisoned = {1, 5};
  tsdl::Trainer<Spy> trainer(spy, options(2, 4));
  trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState&) { spy.slope = 3; }});
  const tsdl::History history = trainer.fit(numbered(10));
  const auto mean_loss = [](Index first, Index last) {
    double sum = 0;
    for (Index row = first; row <= last; ++row)
      sum += std::pow(2.0 * static_cast<double>(row) + 1, 2);
    return sum;
  };
  REQUIRE(history.epochs.size() == 2);
  CHECK(history.epochs[0].train_loss ==
        doctest::Approx((mean_loss(2, 5) + mean_loss(10, 11)) / 6).epsilon(1e-12));
  CHECK(history.epochs[1].train_loss == doctest::Approx(mean_loss(2, 9) / 8).epsilon(1e-12));
  CHECK(history.epochs[0].gradient_norm == 1);
  CHECK(history.epochs[1].gradient_norm == 3);
}

TEST_CASE("trainer: a step is clipped, has the rate of the state, and needs a finite loss") {
  const auto windows = numbered(4);
  tsdl::Buffer<double> scratch;
  const auto x = windows.batch(0, 4, scratch);
  Spy spy;
  auto o = options(1, 4);
  o.clip_norm = 0.25;
  tsdl::Trainer<Spy> trainer(spy, o);
  const auto step = [&](double label) {
    const double before = spy.weight.value[0];
    trainer.step(x, std::vector<double>{label, 1, 1, 1});
    return before != spy.weight.value[0];
  };
  CHECK(step(1));
  CHECK(trainer.optimizer().moments()[0].m[0] == doctest::Approx(0.1 * 0.25).epsilon(1e-5));
  CHECK_FALSE(step(1e200));  // its square is infinite, its gradient is not
  CHECK(trainer.state().skipped_steps == 1);
  trainer.state().learning_rate = 0;
  CHECK_FALSE(step(1));
  CHECK(trainer.optimizer().steps() == 2);
}

TEST_CASE("trainer: a model that gives other columns than it says is refused") {
  const auto windows = numbered(4);
  for (const bool lost : {true, false}) {
    Spy spy;
    (lost ? spy.lost : spy.more) = 1;
    tsdl::Trainer<Spy> trainer(spy, options(1, 4));
    CHECK_THROWS_AS(trainer.fit(windows), tsdl::ShapeError);
    CHECK(spy.labels.empty());
    CHECK_THROWS_AS(tsdl::evaluate(spy, windows), tsdl::ShapeError);
    CHECK_THROWS_AS(tsdl::predict(spy, windows), tsdl::ShapeError);
    CHECK_THROWS_AS(tsdl::RerunWindow<Spy>(spy, 3), tsdl::ShapeError);
  }
}

TEST_CASE("window: one of no rows is refused whatever the model says to it") {
  CHECK_THROWS_AS(tsdl::RerunWindow<Spy>(Spy(), 0), tsdl::ShapeError);
}

TEST_CASE("early stopping: each improvement starts the wait anew") {
  tsdl::internal::EarlyStoppingCallback callback({.patience = 2});
  tsdl::TrainerState state;
  for (const double loss : {3.0, 4.0, 2.0, 5.0, 1.0, 6.0}) {
    state.monitored = loss;
    callback.on_epoch(state);
    CHECK_FALSE(state.stop);
  }
  callback.on_epoch(state);
  CHECK(state.stop);
}

TEST_CASE("plateau: what it archives goes on to the same rates, wherever it is cut off") {
  const std::vector<double> losses = {3, 4, 4, 4, 2, 4, 4, 4, 4, 4, 4, 4};
  const auto rates = [&](std::size_t cut) {
    tsdl::internal::PlateauCallback whole({.factor = 0.5, .patience = 1, .cooldown = 3}),
        rest({.factor = 0.5, .patience = 1, .cooldown = 3});
    tsdl::TrainerState state;
    state.learning_rate = 1;
    std::vector<double> all;
    for (std::size_t i = 0; i < losses.size(); ++i) {
      if (i == cut) {
        test::MemoryArchive memory;
        whole.archive(memory);
        memory.start_reading();
        rest.archive(memory);
      }
      state.monitored = losses[i];
      (i < cut ? whole : rest).on_epoch(state);
      all.push_back(state.learning_rate);
    }
    return all;
  };
  const std::vector<double> expected = rates(losses.size());
  CHECK(expected.back() < 0.5);
  for (std::size_t cut = 1; cut < losses.size(); ++cut) CHECK(rates(cut) == expected);
}

TEST_CASE("trainer: skipped steps diverge when they come in a row, and only then") {
  Spy in_a_row;
  auto o = options(5, 1);
  for (std::size_t i = 24; i < 60; ++i) in_a_row.poisoned.insert(i);
  tsdl::Trainer<Spy> trainer(in_a_row, o);
  const tsdl::History history = trainer.fit(numbered(20));
  CHECK(history.status == tsdl::Status::diverged);
  CHECK(history.skipped_steps == 10);
  CHECK(in_a_row.batches.size() == 34);
  REQUIRE(history.epochs.size() == 2);
  CHECK(history.epochs[1].skipped_steps == 10);
  CHECK(trainer.optimizer().steps() == 24);

  Spy every_other;
  for (std::size_t i = 0; i < 60; ++i)
    if (i % 10 != 0) every_other.poisoned.insert(i);
  const tsdl::History survived = tsdl::Trainer<Spy>(every_other, options(3, 1)).fit(numbered(20));
  CHECK(survived.status == tsdl::Status::finished);
  CHECK(survived.skipped_steps == 54);

  Spy sooner;
  sooner.poisoned = {0, 2, 3};
  o.max_skipped_in_a_row = 2;
  CHECK(tsdl::Trainer<Spy>(sooner, o).fit(numbered(20)).status == tsdl::Status::diverged);
  CHECK(sooner.batches.size() == 4);
}

TEST_CASE("trainer: skipped steps in a row are counted across the end of an epoch") {
  Spy spy;
  for (std::size_t i = 6; i < 100; ++i) spy.poisoned.insert(i);
  const tsdl::History history = tsdl::Trainer<Spy>(spy, options(9, 1)).fit(numbered(8));
  CHECK(history.status == tsdl::Status::diverged);
  CHECK(spy.batches.size() == 16);
  REQUIRE(history.epochs.size() == 2);
  CHECK(history.epochs[0].skipped_steps == 2);
  CHECK(history.epochs[1].skipped_steps == 8);
}

TEST_CASE("trainer: observers see every batch and every epoch, validation every window") {
  Spy spy;
  tsdl::Trainer<Spy> trainer(spy, options(3, 4));
  Index batches = 0, epochs = 0;
  std::vector<Index> done, finished;
  trainer.add(tsdl::Observer{.on_batch =
                                 [&](const tsdl::TrainerState& state) {
                                   ++batches;
                                   done.push_back(state.windows_done);
                                   CHECK(state.windows_in_epoch == 10);
                                   CHECK(state.epoch == epochs);
                                 },
                             .on_epoch =
                                 [&](const tsdl::TrainerState& state) {
                                   finished.push_back(state.epoch);
                                   CHECK(static_cast<Index>(state.history.size()) == ++epochs);
                                   CHECK(state.max_epochs == 3);
                                 }});
  trainer.add(tsdl::Observer{});  // none of its functions is set
  trainer.fit(numbered(10), numbered(130));
  CHECK(batches == 9);
  CHECK(done == std::vector<Index>{4, 8, 10, 4, 8, 10, 4, 8, 10});
  CHECK(finished == std::vector<Index>{1, 2, 3});
  CHECK(spy.evaluated == 3 * 130);
}

TEST_CASE("trainer: options out of range are refused by name") {
  const auto refused = [](const auto& change) {
    tsdl::TrainerOptions o;
    change(o);
    Spy spy;
    try {
      tsdl::Trainer<Spy> trainer(spy, o);
    } catch (const tsdl::OptionError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const auto names = [](const std::string& message, const char* what) {
    INFO(message);
    return message.find(what) != std::string::npos;
  };
  using O = tsdl::TrainerOptions;
  CHECK(refused([](O&) {}) == "accepted");
  CHECK(names(refused([](O& o) { o.batch_size = 0; }), "batch_size"));
  CHECK(names(refused([](O& o) { o.max_epochs = 0; }), "max_epochs"));
  CHECK(names(refused([](O& o) { o.clip_norm = -1; }), "clip_norm"));
  CHECK(names(refused([](O& o) { o.clip_norm = std::nan(""); }), "clip_norm"));
  CHECK(names(refused([](O& o) { o.max_skipped_in_a_row = 0; }), "max_skipped_in_a_row"));
  CHECK(names(refused([](O& o) { o.optimizer.lr = -1e-3; }), "lr"));
  CHECK(names(refused([](O& o) { o.optimizer.weight_decay = infinity; }), "weight_decay"));

  Spy spy;
  tsdl::Trainer<Spy> trainer(spy);
  CHECK_THROWS_AS(trainer.add(tsdl::EarlyStopping{.patience = 0}), tsdl::OptionError);
  CHECK_THROWS_AS(trainer.add(tsdl::EarlyStopping{.min_delta = -1}), tsdl::OptionError);
  CHECK_THROWS_AS(trainer.add(tsdl::ReduceLROnPlateau{.factor = 1}), tsdl::OptionError);
  CHECK_THROWS_AS(trainer.add(tsdl::ReduceLROnPlateau{.patience = -1}), tsdl::OptionError);
}
