// What a user's code throws comes out of fit and visit as it was thrown, and leaves model and
// trainer as usable as before. Under a sanitizer these tests also show that nothing leaks.
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "support/training.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using Model = tsdl::BiLSTMClassifier<float>;
using tsdl::Index;

struct Mine {  // not a std::exception
  int number;
};

tsdl::ClassifierOptions small() { return {.input_size = 2, .hidden_size = 4}; }
tsdl::TrainerOptions quick() { return {.batch_size = 8, .max_epochs = 3, .restore_best = false}; }

/// Throws Mine{place} from the callback of that number, the first time that it is called.
class Thrower : public tsdl::Callback {
 public:
  explicit Thrower(int place) : place_(place) {}
  void on_begin(tsdl::TrainerState&) override { at(0); }
  void on_batch(tsdl::TrainerState&) override { at(1); }
  void on_epoch(tsdl::TrainerState&) override { at(2); }
  void on_epoch_complete(const tsdl::TrainerState&) override { at(3); }
  void on_end(const tsdl::TrainerState&) override { at(4); }

 private:
  void at(int place) {
    if (place == place_) throw Mine{std::exchange(place_, -1)};
  }
  int place_;
};

struct Throw {
  int place;
};
template <class Trainer>
std::unique_ptr<tsdl::Callback> make_callback(const Throw& options, Trainer&) {
  return std::make_unique<Thrower>(options.place);
}

}  // namespace

TEST_CASE("what a callback throws comes out of fit, and fit can be called again") {
  const auto toy = test::two_classes<float>(120);
  const auto train = toy.windows(10, 64), validation = toy.windows(90, 24);
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  for (int place = 0; place < 5; ++place) {
    CAPTURE(place);
    Model model(small(), 1);
    tsdl::Trainer trainer(model, quick());
    trainer.add(Throw{place});
    int thrown = -1;
    try {
      trainer.fit(train, validation);
    } catch (const Mine& mine) {
      thrown = mine.number;
    }
    CHECK(thrown == place);
    CHECK(test::has_finite_weights(model));
    if (place == 4) {  // on_end: the run itself had ended
      CHECK_THROWS_AS(trainer.fit(train, validation), tsdl::Error);
      continue;
    }
    const tsdl::History history = trainer.fit(train, validation);
    CHECK(history.status == tsdl::Status::finished);
    CHECK(history.epochs.size() >= 3);
    for (std::size_t i = 0; i < history.epochs.size(); ++i)
      CHECK(history.epochs[i].epoch == static_cast<Index>(i) + 1);
  }
}

TEST_CASE("a model outlives a trainer that a callback ended, and trains as a new one does") {
  const auto toy = test::two_classes<float>(120);
  const auto train = toy.windows(10, 64);
  Model model(small(), 1), untouched(small(), 1);
  {
    tsdl::Trainer trainer(model, quick());
    trainer.add(tsdl::StopWhen{[]() -> bool { throw std::runtime_error("mine"); }});
    CHECK_THROWS_WITH_AS(trainer.fit(train), "mine", std::runtime_error);
  }
  {
    // One batch was trained on before the condition was asked.
    tsdl::Trainer trainer(untouched, quick());
    tsdl::Buffer<float> scratch;
    trainer.step(train.batch(0, 8, scratch),
                 std::span<const float>(test::labels_of(train)).first(8));
  }
  CHECK(test::weight_bytes(model) == test::weight_bytes(untouched));
  for (Model* each : {&model, &untouched}) {
    tsdl::Trainer trainer(*each, quick());
    CHECK(trainer.fit(train).status == tsdl::Status::finished);
  }
  CHECK(test::weight_bytes(model) == test::weight_bytes(untouched));
}

TEST_CASE("what a visitor throws comes out of visit, and the model is as it was") {
  const auto toy = test::two_classes<float>(60);
  const auto windows = toy.windows(10, 16);
  Model model(small(), 1);
  const tsdl::Matrix<double> before = tsdl::predict(model, windows);
  int seen = 0;
  CHECK_THROWS_AS(model.visit([&](auto&) {
    if (++seen == 5) throw Mine{5};
  }),
                  Mine);
  CHECK(seen == 5);
  CHECK_THROWS_AS(std::as_const(model).visit([](const auto&) { throw Mine{1}; }), Mine);
  model.repack();  // as after every visit that may write
  CHECK(tsdl::predict(model, windows) == before);
}

TEST_CASE("after a refused call a model, a cache and a trainer go on") {
  const auto toy = test::two_classes<float>(60), wide = test::two_classes<float>(60, 3);
  const auto windows = toy.windows(10, 16);
  const Model model(small(), 1);
  Model::Cache cache;
  tsdl::Buffer<float> scratch;
  const tsdl::Matrix<float> before = model.forward(windows.batch(0, 16, scratch), cache);
  CHECK_THROWS_AS(tsdl::predict(model, wide.windows(10, 16)), tsdl::ShapeError);
  CHECK_THROWS_AS(model.forward(wide.windows(10, 16).batch(0, 16, scratch), cache),
                  tsdl::ShapeError);
  CHECK(model.forward(windows.batch(0, 16, scratch), cache) == before);

  Model trained(small(), 1);
  tsdl::Trainer trainer(trained, quick());
  CHECK_THROWS_AS(trainer.fit(wide.windows(10, 16)), tsdl::ShapeError);
  CHECK_THROWS_AS(trainer.add(tsdl::EarlyStopping{.patience = 0}), tsdl::OptionError);
  CHECK_THROWS_AS(trainer.add(tsdl::StopWhen{}), tsdl::Error);
  CHECK(trainer.fit(windows).status == tsdl::Status::finished);
}
