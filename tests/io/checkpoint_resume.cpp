// Training states: a run that was killed and resumed ends in the bits of one that was not.
#include <doctest/doctest.h>

#include <csignal>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "io/checkpoint_helpers.hpp"
#include "support/files.hpp"

namespace {

using test::BiLSTM;
using test::contains;
using test::Index;
using test::message_of;
using test::TemporaryDirectory;

struct Killed {};  // stands for the signal

constexpr const char* print = "0123456789abcdef";

tsdl::TrainerOptions training_options() {
  tsdl::TrainerOptions options;
  options.optimizer = {.lr = 0.02, .groups = {{.name = "bias", .weight_decay = 0.0}}};
  options.batch_size = 16;
  options.max_epochs = 20;
  options.shuffle = true;
  options.seed = 31;
  return options;
}

/// A model, its trainer and the callbacks of the run that the tests cut off.
template <class Model>
struct Run {
  Model model;
  tsdl::Trainer<Model> trainer;
  explicit Run(std::uint64_t seed, tsdl::TrainerOptions options = training_options())
      : model(test::small_options(), seed), trainer(model, std::move(options)) {
    trainer.add(tsdl::ReduceLROnPlateau{.patience = 1, .cooldown = 1});
    trainer.add(tsdl::EarlyStopping{.patience = 7});
  }
};

template <class Model>
tsdl::Prepared<typename Model::Scalar> data_for() {
  return tsdl::prepare<typename Model::Scalar>(test::random_candles(260, 3), {.length = 8});
}

std::string bytes_of(const tsdl::History& history) {
  std::string bytes = std::string(tsdl::to_string(history.status)) +
                      std::to_string(history.best_epoch) + "," +
                      std::to_string(history.skipped_steps);
  for (const tsdl::EpochRecord& e : history.epochs) {
    std::vector<double> figures = {static_cast<double>(e.epoch),
                                   e.learning_rate,
                                   e.gradient_norm,
                                   e.train_loss,
                                   static_cast<double>(e.skipped_steps),
                                   static_cast<double>(e.validation.count)};
    for (const tsdl::Figure& figure : tsdl::all_figures)
      figures.push_back(e.validation.*figure.value);
    bytes += test::bytes_of(std::span<const double>(figures));
  }
  return bytes;
}

/// Everything that a run ends with, as bytes.
template <class Model>
std::string outcome(Run<Model>& run, const tsdl::History& history) {
  std::string bytes = bytes_of(history) + test::weight_bytes(run.model) +
                      test::bytes_of(run.trainer.best_weights()) +
                      std::to_string(run.trainer.optimizer().steps()) + "," +
                      std::to_string(run.trainer.state().batches);
  for (const auto& moments : run.trainer.optimizer().moments())
    bytes += test::bytes_of(moments.m.span()) + test::bytes_of(moments.v.span());
  return bytes;
}

/// Trains `epochs` epochs and some batches more, then dies; leaves the checkpoint's files behind.
template <class Model>
void train_and_die(const tsdl::Prepared<typename Model::Scalar>& data, Index epochs,
                   const tsdl::Checkpoint& checkpoint) {
  Run<Model> run(1);
  run.trainer.add(checkpoint);
  run.trainer.add(tsdl::Observer{.on_batch = [&](const tsdl::TrainerState& state) {
    if (state.epoch == epochs && state.windows_done > 32) throw Killed{};
  }});
  CHECK_THROWS_AS(run.trainer.fit(data.train, data.validation), Killed);
}

template <class Model>
void check_resume(bool restore_best) {
  const TemporaryDirectory directory;
  const auto data = data_for<Model>();
  auto options = training_options();
  options.restore_best = restore_best;
  const tsdl::Checkpoint whole{directory / "whole", data.recipe, directory / "whole.state", print};
  Run<Model> uninterrupted(1, options);
  uninterrupted.trainer.add(whole);
  const tsdl::History history = uninterrupted.trainer.fit(data.train, data.validation);
  const std::string expected = outcome(uninterrupted, history);

  const auto last = static_cast<Index>(history.epochs.size());
  REQUIRE(history.status == tsdl::Status::stopped_early);
  std::set<double> rates;
  for (const auto& record : history.epochs) rates.insert(record.learning_rate);
  REQUIRE(rates.size() >= 3);  // else the plateau's state need not survive
  for (const Index epochs : {Index{1}, history.best_epoch, last - 1}) {
    CAPTURE(epochs);
    const tsdl::Checkpoint cut{directory / "cut", data.recipe, directory / "cut.state", print};
    train_and_die<Model>(data, epochs, cut);
    Run<Model> resumed(999, options);  // other initial weights: all must come from the file
    resumed.trainer.add(cut);
    tsdl::resume(cut.last_state, resumed.trainer, print);
    CHECK(resumed.trainer.state().epoch == epochs);
    const tsdl::History rest = resumed.trainer.fit(data.train, data.validation);
    CHECK((outcome(resumed, rest) == expected));
    CHECK((test::read_bytes(cut.best) == test::read_bytes(whole.best)));
    CHECK((test::read_bytes(cut.last_state) == test::read_bytes(whole.last_state)));
  }

  Run<Model> done(999, options);
  tsdl::resume(whole.last_state, done.trainer, print);
  CHECK((outcome(done, done.trainer.fit(data.train, data.validation)) == expected));
}

/// Runs resume(path) in a fresh trainer, which must throw, then trains it: as if nothing had been.
template <class Expected>
std::string refused(const std::filesystem::path& path, const std::string& fingerprint,
                    const std::function<void(tsdl::Trainer<BiLSTM>&)>& prepare = {}) {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const auto data = data_for<BiLSTM>();
  auto options = training_options();
  options.max_epochs = 3;
  Run<BiLSTM> touched(5, options), untouched(5, options);
  if (prepare) prepare(touched.trainer);
  const std::string message =
      message_of<Expected>([&] { tsdl::resume(path, touched.trainer, fingerprint); });
  CHECK(contains(message, path.string()));
  CHECK((test::weight_bytes(touched.model) == test::weight_bytes(untouched.model)));
  CHECK(touched.trainer.state().epoch == 0);
  CHECK(touched.trainer.state().history.empty());
  CHECK(touched.trainer.optimizer().steps() == 0);
  const int status = test::status_of_child([&] {  // an assertion may end it
    std::signal(SIGABRT, SIG_DFL);
    const tsdl::History a = touched.trainer.fit(data.train, data.validation);
    const tsdl::History b = untouched.trainer.fit(data.train, data.validation);
    return outcome(touched, a) == outcome(untouched, b) ? 0 : 1;
  });
  CHECK(status == 0);
  return message;
}

/// The state of a run after three epochs.
std::string state_bytes() {
  const TemporaryDirectory directory;
  const auto data = data_for<BiLSTM>();
  train_and_die<BiLSTM>(data, 3, {directory / "best", data.recipe, directory / "state", print});
  return test::read_bytes(directory / "state");
}

}  // namespace

TEST_CASE("resume: the bits of a run that was never cut off") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  check_resume<BiLSTM>(true);
  check_resume<tsdl::BiLSTMClassifier<double>>(false);
}

TEST_CASE("resume: skipped steps and a diverged end survive") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const TemporaryDirectory directory;
  const auto state = directory / "state";
  auto toy = test::two_classes<float>(80);
  for (Index row = 50; row < 80; ++row)
    toy.series->column(row)[0] = std::numeric_limits<float>::infinity();
  auto options = training_options();
  options.shuffle = false;
  options.batch_size = 4;
  options.max_skipped_in_a_row = 5;
  const auto make = [&](auto& model) { return tsdl::Trainer<BiLSTM>(model, options); };
  // 4 of 11 batches see infinity.
  BiLSTM first({.input_size = 2, .hidden_size = 3, .num_layers = 1}, 1), second = first;
  auto whole = make(first);
  const tsdl::History all = whole.fit(toy.windows(20, 44));
  auto part = make(second);
  part.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& s) {
    tsdl::save_training_state(state, part, print);
    if (s.epoch == 2) throw Killed{};
  }});
  CHECK_THROWS_AS(part.fit(toy.windows(20, 44)), Killed);
  BiLSTM third({.input_size = 2, .hidden_size = 3, .num_layers = 1}, 77);
  auto rest = make(third);
  tsdl::resume(state, rest, print);
  CHECK(rest.state().skipped_steps == 8);
  CHECK(rest.state().skipped_in_a_row == 4);
  CHECK((bytes_of(rest.fit(toy.windows(20, 44))) == bytes_of(all)));
  CHECK((test::weight_bytes(third) == test::weight_bytes(first)));
}

TEST_CASE(
    "resume: a trainer whose run has ended goes on from the state, and from no other epochs") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  const auto data = data_for<BiLSTM>();
  auto options = training_options();
  options.max_epochs = 4;
  Run<BiLSTM> run(1, options);
  run.trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& state) {
    if (state.epoch == 2) tsdl::save_training_state(path, run.trainer, print);
  }});
  const std::string expected = outcome(run, run.trainer.fit(data.train, data.validation));
  tsdl::resume(path, run.trainer, print);
  CHECK(run.trainer.state().history.size() == 2);
  CHECK((outcome(run, run.trainer.fit(data.train, data.validation)) == expected));
}

TEST_CASE("resume: another fingerprint is an Error and changes nothing") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  test::write_bytes(path, state_bytes());
  const std::string message = refused<tsdl::Error>(path, "fedcba9876543210");
  CHECK(contains(message, print));
  CHECK(contains(message, "fedcba9876543210"));
  CHECK(contains(message, "other data or options"));
}

TEST_CASE("resume: a missing file is an Error and changes nothing") {
  const TemporaryDirectory directory;
  refused<tsdl::Error>(directory / "absent", print);
}

TEST_CASE("resume: states that are cut off or no states are refused and change nothing") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  const std::string bytes = state_bytes();
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    CAPTURE(length);
    test::write_bytes(path, bytes.substr(0, length));
    refused<tsdl::FormatError>(path, print);
  }
  tsdl::save_model(path, BiLSTM(test::small_options()), test::small_data().recipe, 1);
  CHECK(contains(refused<tsdl::FormatError>(path, print), "tsdl.training_state"));
}

TEST_CASE("resume: states without a tensor, or with another, are refused and change nothing") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  const std::string bytes = state_bytes();
  for (const std::string name :
       {"weights.lstm.weight_hh_l0", "best.fc.bias", "m.lstm.bias_hh_l1", "v.fc.weight",
        "state.epoch", "state.optimizer.steps", "state.early_stopping.wait", "history"}) {
    CAPTURE(name);
    test::write_bytes(path, bytes);
    test::edit_file(path, [&](auto& tensors, auto&) { CHECK(tensors.erase(name) == 1); });
    CHECK(contains(refused<tsdl::FormatError>(path, print), "'" + name + "'"));
    test::write_bytes(path, bytes);
    test::edit_file(path, [&](auto& tensors, auto&) { tensors[name] = test::zeros({2, 3, 1}); });
    CHECK(contains(refused<tsdl::FormatError>(path, print), "'" + name + "'"));
  }
  test::write_bytes(path, bytes);
  test::edit_file(path, [](auto& tensors, auto&) { tensors["more"] = test::zeros({1}); });
  CHECK(contains(refused<tsdl::FormatError>(path, print), "'more'"));
}

TEST_CASE("resume: a state of tsdl 0.1, or of a later version, is refused by its name") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  test::write_bytes(path, state_bytes());
  const auto of_version = [&](const char* version) {
    test::edit_file(path, [&](auto&, auto& metadata) {
      REQUIRE(metadata.contains("tsdl.training_state"));
      metadata["tsdl.training_state"] = version;
    });
    return refused<tsdl::FormatError>(path, print);
  };
  CHECK(of_version("1") ==
        path.string() +
            ": a training state of tsdl 0.1 (version 1), which this version (2) cannot go on from: "
            "start the run anew, or finish it with tsdl 0.1");
  CHECK(of_version("3") == path.string() + ": metadata 'tsdl.training_state': expected 2, got 3");
}

TEST_CASE("resume: two callbacks of a kind keep their numbers apart") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  const auto data = data_for<BiLSTM>();
  // The first has its patience anew with each better epoch, the second never: no epoch is better by
  // that much.
  const auto fit = [&](BiLSTM& model, Index last_epoch, const std::filesystem::path& from) {
    tsdl::Trainer trainer(model, training_options());
    trainer.add(tsdl::EarlyStopping{.patience = 6})
        .add(tsdl::ReduceLROnPlateau{.patience = 1})
        .add(tsdl::EarlyStopping{.patience = 4, .min_delta = 1e9})
        .add(tsdl::ReduceLROnPlateau{.patience = 2, .threshold = 0.5});
    trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& state) {
      if (state.epoch != last_epoch) return;
      tsdl::save_training_state(path, trainer, print);
      throw Killed{};
    }});
    if (!from.empty()) tsdl::resume(from, trainer, print);
    return trainer.fit(data.train, data.validation);
  };
  BiLSTM whole(test::small_options(), 1), part(test::small_options(), 1),
      rest(test::small_options(), 999);
  const tsdl::History expected = fit(whole, 0, {});
  CHECK(expected.status == tsdl::Status::stopped_early);
  REQUIRE(expected.epochs.size() == 5);
  CHECK_THROWS_AS(fit(part, 3, {}), Killed);
  const tsdl::TensorFile state = tsdl::read_safetensors(path);
  for (const std::string name : {"early_stopping", "early_stopping.2", "plateau", "plateau.2"})
    CHECK(state.contains("state." + name + ".best"));
  CHECK(state.contains("state.early_stopping.wait"));
  CHECK(state.contains("state.early_stopping.2.wait"));
  CHECK((bytes_of(fit(rest, 0, path)) == bytes_of(expected)));
  CHECK((test::weight_bytes(rest) == test::weight_bytes(whole)));
}

TEST_CASE("resume: the state of other callbacks is refused") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  const auto data = data_for<BiLSTM>();
  BiLSTM model(test::small_options(), 1);
  auto options = training_options();
  options.max_epochs = 1;
  tsdl::Trainer plain(model, options);
  plain.fit(data.train, data.validation);
  tsdl::save_training_state(path, plain, print);
  CHECK(contains(refused<tsdl::FormatError>(path, print), "'state.plateau.best'"));

  test::write_bytes(path, state_bytes());
  BiLSTM other(test::small_options(), 1);
  options.max_epochs = 3;
  tsdl::Trainer<BiLSTM> fewer(other, options);
  const std::string message =
      message_of<tsdl::FormatError>([&] { tsdl::resume(path, fewer, print); });
  CHECK(contains(message, "state.early_stopping.best"));
  CHECK(fewer.state().epoch == 0);
}

TEST_CASE("resume: the state of another model is refused") {
  const TemporaryDirectory directory;
  const auto path = directory / "state";
  test::write_bytes(path, state_bytes());
  auto wider = test::small_options();
  wider.hidden_size = 5;
  BiLSTM model(wider, 1);
  tsdl::Trainer trainer(model, training_options());
  CHECK(contains(message_of<tsdl::FormatError>([&] { tsdl::resume(path, trainer, print); }),
                 "weights.lstm.weight_ih_l0"));
}

TEST_CASE("fingerprint: changes with data, recipe, model and options, and with nothing else") {
  const auto candles = test::random_candles(260, 3);
  const auto of = [](const tsdl::Candles& source, const tsdl::Recipe& recipe,
                     const tsdl::ClassifierOptions& architecture,
                     const tsdl::TrainerOptions& options, std::string_view more = {}) {
    const auto data = tsdl::prepare<float>(source, recipe);
    BiLSTM model(architecture, 3);
    return tsdl::fingerprint(data, tsdl::Trainer(model, options), more);
  };
  const tsdl::Recipe recipe{.length = 8};
  const auto architecture = test::small_options();
  const auto options = training_options();
  const std::string reference = of(candles, recipe, architecture, options);
  CHECK(reference.size() == 16);
  CHECK(of(candles, recipe, architecture, options) == reference);

  std::set<std::string> prints = {reference};
  std::size_t variants = 1;
  const auto add = [&](const std::string& value) {
    prints.insert(value);
    CHECK(prints.size() == ++variants);
  };
  auto nudged = candles;
  nudged.rows[130].high *= 1.0001;
  add(of(nudged, recipe, architecture, options));
  add(of(candles, {.length = 9}, architecture, options));
  add(of(candles, {.length = 8, .stride = 2}, architecture, options));
  add(of(candles, {.length = 8, .label = tsdl::DirectionLabel{}}, architecture, options));
  add(of(candles, recipe, architecture, options, "patience 4"));
  const auto with_model = [&](const auto& change) {
    auto changed = architecture;
    change(changed);
    add(of(candles, recipe, changed, options));
  };
  with_model([](auto& o) { o.hidden_size = 5; });
  with_model([](auto& o) { o.num_layers = 1; });
  with_model([](auto& o) { o.dropout = 0.5; });
  with_model([](auto& o) { o.pooling = tsdl::Pooling::mean; });
  with_model([](auto& o) { o.init = tsdl::Init::orthogonal; });
  const auto with_options = [&](const auto& change) {
    auto changed = options;
    change(changed);
    add(of(candles, recipe, architecture, changed));
  };
  with_options([](auto& o) { o.optimizer.lr = 0.021; });
  with_options([](auto& o) { o.optimizer.beta1 = 0.8; });
  with_options([](auto& o) { o.optimizer.beta2 = 0.8; });
  with_options([](auto& o) { o.optimizer.eps = 1e-7; });
  with_options([](auto& o) { o.optimizer.weight_decay = 0; });
  with_options([](auto& o) { o.optimizer.groups.clear(); });
  with_options([](auto& o) { o.optimizer.groups[0].lr_scale = 0.5; });
  with_options([](auto& o) { o.batch_size = 17; });
  with_options([](auto& o) { o.max_epochs = 21; });
  with_options([](auto& o) { o.clip_norm = 0; });
  with_options([](auto& o) { o.shuffle = false; });
  with_options([](auto& o) {
    o.shuffle = false;
    o.shuffle_batches = true;
  });
  with_options([](auto& o) { o.restore_best = false; });
  with_options([](auto& o) { o.max_skipped_in_a_row = 3; });
  with_options([](auto& o) { o.loss = tsdl::BCEWithLogits{.pos_weight = 2}; });
  with_options([](auto& o) { o.loss = tsdl::MSE{}; });
  with_options([](auto& o) { o.seed = 32; });

  // Losses of one's own with the same name.
  const auto with_slope = [](double slope) {
    tsdl::CustomLoss loss;
    loss.name = "absolute";
    loss.loss = [slope](std::span<const double> x, std::span<const double> y,
                        std::span<double> dx) {
      dx[0] = x[0] > y[0] ? slope : -1;
      return dx[0] * (x[0] - y[0]);
    };
    return loss;
  };
  for (const double slope : {1.0, 2.0}) with_options([&](auto& o) { o.task = with_slope(slope); });

  // Windows alone: other targets, other ends, another series.
  const auto data = tsdl::prepare<float>(candles, recipe);
  BiLSTM model(architecture, 3);
  const tsdl::Trainer trainer(model, options);
  const auto with_windows = [&](const auto& change) {
    auto series = data.train.series();
    auto ends = data.train.ends();
    std::vector<float> labels;
    for (const double target : data.train.targets()) labels.push_back(static_cast<float>(target));
    change(series, ends, labels);
    auto changed = data;
    changed.train = {std::make_shared<const tsdl::Series<float>>(series), 8, 1, ends, labels};
    return tsdl::fingerprint(changed, trainer);
  };
  CHECK(with_windows([](auto&, auto&, auto&) {}) == reference);
  add(with_windows([](auto&, auto&, auto& labels) { labels[9] = 1 - labels[9]; }));
  add(with_windows([](auto& series, auto& ends, auto&) { series.column(ends[9])[0] += 1; }));
  add(with_windows([](auto&, auto& ends, auto&) { ++ends.back(); }));
}
