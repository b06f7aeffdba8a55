// What follows a training in a program: its page is the library's.
#include "../../examples/support/outcome.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "data/helpers.hpp"
#include "support/files.hpp"
#include "tsdl/gru.hpp"
#include "tsdl/nn/any_model.hpp"
#include "tsdl/report/report.hpp"

namespace {

/// Sends what is printed to nowhere.
class Quiet {
 public:
  Quiet() : stdout_((std::fflush(stdout), ::dup(1))) {
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, 1);
    ::close(nowhere);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  ~Quiet() {
    std::fflush(stdout);
    ::dup2(stdout_, 1);
    ::close(stdout_);
  }

 private:
  int stdout_;
};

}  // namespace

TEST_CASE("a program's page is what write_report writes with the same options") {
  const test::TemporaryDirectory directory;
  const auto data =
      tsdl::prepare<float>(test::random_candles(500, 3), {.features = "ohlcv", .length = 8},
                           {.validation = 0.2, .test = 0.3});
  tsdl::AnyModel<float> model(tsdl::GRUClassifier<float>(
      {.input_size = data.inputs(), .hidden_size = 4, .outputs = data.outputs()}, 1));
  tsdl::Trainer trainer(model, {.max_epochs = 2, .task = data.task()});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  const auto baselines = examples::fit_baselines(data, trainer.task());

  CLI::App app{"test", "train_test"};
  double rate = 0.5;
  std::string folder;
  app.option_defaults()->always_capture_default();
  app.add_option("--rate", rate)->group("Training");
  app.add_option("--tracking", folder)->group(examples::tracking_group);
  examples::Log log("train_test");
  examples::TrackedRun tracked({}, app, "run", directory.path(), log);
  examples::TrainingOptions options;
  options.files = {directory.path()};
  options.subject = "a GRU on candles", options.subtitle = "4 units";
  options.summary = {{"data", "random"}}, options.test_option = "--test 0.15";

  const tsdl::Evaluation e = [&] {
    const Quiet quiet;
    return examples::tell_outcome(model, data, baselines, options, history, history.best_epoch, app,
                                  tracked);
  }();
  CHECK(e.metrics.count == data.test.size());
  CHECK(e.metrics.accuracy == tsdl::evaluate(model, data.test).accuracy);
  tsdl::write_report(directory / "library.html", model, data, history,
                     {.subject = "a GRU on candles",
                      .subtitle = "4 units",
                      .summary = {{"data", "random"}},
                      .settings = {{"Training", {{"rate", "0.5"}}}},
                      .test_option = "--test 0.15"});
  const std::string page = test::read_bytes(options.files.report());
  CHECK(page.size() > 10000);
  CHECK(page == test::read_bytes(directory / "library.html"));
}
