// Training states with numbers that no run can have: each is refused by its name, and nothing of
// the trainer changes. States that were damaged, and those of before there was a checksum.
#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <limits>
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

constexpr const char* print = "0123456789abcdef";
constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A trainer of at most four epochs, with callbacks whose state is archived.
struct Run {
  tsdl::Prepared<float> data = test::small_data();
  BiLSTM model{test::small_options(), 1};
  tsdl::Trainer<BiLSTM> trainer{model, {.batch_size = 64, .max_epochs = 4}};
  Run() {
    trainer.add(tsdl::ReduceLROnPlateau{.patience = 2, .cooldown = 1});
    trainer.add(tsdl::EarlyStopping{.patience = 3});
  }
};

/// The state after two epochs, as a file of its own.
class StateFile {
 public:
  StateFile() : path_(directory_ / "state") {
    Run run;
    run.trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& state) {
      if (state.epoch == 2) tsdl::save_training_state(path_, run.trainer, print);
    }});
    run.trainer.fit(run.data.train, run.data.validation);
  }
  const std::filesystem::path& path() const { return path_; }

  /// What resume says of the file: the FormatError's message after the path.
  std::string refusal() const {
    Run run;
    const std::string before = test::weight_bytes(run.model);
    const std::string message =
        message_of<tsdl::FormatError>([&] { tsdl::resume(path_, run.trainer, print); });
    if (message != "no exception") {
      CHECK((test::weight_bytes(run.model) == before));
      CHECK(run.trainer.state().epoch == 0);
      CHECK(run.trainer.state().history.empty());
      CHECK(run.trainer.optimizer().steps() == 0);
    }
    const std::string prefix = path_.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  }

  /// What resume says once value i of a tensor of F64 is another.
  std::string with(const std::string& name, double value, std::size_t i = 0) const {
    const std::string bytes = test::read_bytes(path_);
    test::edit_file(path_, [&](auto& tensors, auto&) {
      auto& tensor = tensors.at(name);
      if (tensor.dtype == tsdl::DType::f64) {
        std::memcpy(tensor.bytes.data() + 8 * i, &value, sizeof(value));
      } else {
        const auto narrow = static_cast<float>(value);
        std::memcpy(tensor.bytes.data() + 4 * i, &narrow, sizeof(narrow));
      }
    });
    const std::string message = refusal();
    test::write_bytes(path_, bytes);
    return message;
  }

 private:
  TemporaryDirectory directory_;
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("resume: each number is checked against what it may be") {
  const StateFile file;
  REQUIRE(file.refusal() == "no exception");
  CHECK(file.with("state.epoch", 1e300) ==
        "tensor 'state.epoch': expected a whole number from 0 to 4, found 1e+300");
  CHECK(file.with("state.epoch", 1.7) ==
        "tensor 'state.epoch': expected a whole number from 0 to 4, found 1.7");
  CHECK(file.with("state.learning_rate", no_number) ==
        "tensor 'state.learning_rate': expected a finite number of 0 or more, found nan");
  CHECK(file.with("state.optimizer.steps", -1) ==
        "tensor 'state.optimizer.steps': expected a whole number from 0 to 9007199254740992, found "
        "-1");
  CHECK(file.with("state.status", 7) ==
        "tensor 'state.status': expected a whole number from 0 to 4, found 7");
  CHECK(file.with("state.stop", 2) ==
        "tensor 'state.stop': expected a whole number from 0 to 1, found 2");
  const struct {
    const char* name;
    std::vector<double> refused;
  } others[] = {
      {"state.epoch", {no_number, infinity, -1, 5, 0, 3, 0x1p62}},
      {"state.batches", {no_number, -1, 0.5, 1, 0x1p64, 1e300}},
      {"state.learning_rate", {infinity, -0.1}},
      {"state.best_loss", {no_number, infinity}},
      {"state.best_epoch", {no_number, -1, 0, 3, 1.5}},
      {"state.skipped_steps", {no_number, -1, 0.5, 0x1p62}},
      {"state.skipped_in_a_row", {no_number, -1, 1}},
      {"state.stop", {no_number, -1, 0.5, 255}},
      {"state.status", {no_number, -1, 0.5, 5, 0x1p40}},
      {"state.optimizer.steps", {no_number, 1.7, 0x1p64, 1e300}},
      {"state.plateau.best", {no_number}},
      {"state.plateau.bad_epochs", {no_number, -1, 3, 1e300}},
      {"state.plateau.cooldown_left", {no_number, -1, 2, 1e300}},
      {"state.early_stopping.best", {no_number}},
      {"state.early_stopping.wait", {no_number, -1, 4, 1e300}},
      {"m.fc.weight", {no_number, infinity}},
      {"v.fc.weight", {no_number, -1}},
  };
  for (const auto& other : others)
    for (const double value : other.refused) {
      const std::string name = other.name;
      CAPTURE(name);
      CAPTURE(value);
      CHECK(contains(file.with(name, value), ": expected "));
    }
}

TEST_CASE("resume: each row of the history is checked") {
  const StateFile file;
  const auto columns = static_cast<std::size_t>(tsdl::EpochRecord::columns);
  CHECK(file.with("history", 1e300, columns) ==
        "tensor 'history': row 1, column 0: expected a whole number from 1 to 9007199254740992, "
        "found "
        "1e+300");
  CHECK(file.with("history", 1, columns) ==
        "tensor 'history': expected one row for each epoch of state.epoch, in order");
  const struct {
    std::size_t column;
    double value;
  } refused[] = {{0, no_number}, {0, 0},    {1, no_number}, {1, -1}, {2, -1},
                 {4, -1},        {4, 1.5},  {4, no_number}, {5, -1}, {5, 0.5},
                 {5, 0x1p63},    {7, -0.5}, {7, infinity},  {10, 2}};
  for (const auto& one : refused) {
    const std::size_t column = one.column;
    const double value = one.value;
    CAPTURE(column);
    CAPTURE(value);
    CHECK(contains(file.with("history", value, column), "'history': row 0, column "));
  }
  // What is not defined is NaN, a loss may be anything.
  for (const std::size_t column : {std::size_t{2}, std::size_t{3}, std::size_t{6}, std::size_t{7}})
    CHECK(file.with("history", no_number, column) == "no exception");
  test::edit_file(file.path(), [&](auto& tensors, auto&) {
    auto& history = tensors.at("history");
    --history.shape[0];
    history.bytes.resize(history.bytes.size() / 2);
  });
  CHECK(file.refusal() ==
        "tensor 'history': expected one row for each epoch of state.epoch, in order");
}

TEST_CASE("resume: a bit that has changed is damage, and a file without a checksum is read") {
  const StateFile file;
  const std::string bytes = test::read_bytes(file.path());
  std::string changed = bytes;
  changed[changed.size() - 3] = static_cast<char>(changed[changed.size() - 3] ^ 1);  // of a weight
  test::write_bytes(file.path(), changed);
  CHECK(file.refusal() == "damaged: its contents do not have its checksum");
  const auto without = [&](const std::string& text) {
    test::write_bytes(file.path(), text);
    tsdl::TensorFile read = tsdl::read_safetensors(file.path());
    REQUIRE(read.metadata.erase("tsdl.checksum") == 1);
    tsdl::write_safetensors(file.path(), read);
    return file.refusal();
  };
  CHECK(without(bytes) == "no exception");
  CHECK(without(changed) == "no exception");
}
