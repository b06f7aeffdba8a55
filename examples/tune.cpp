// Searches the options of a training program over folds that cannot leak, says how likely the best
// is luck, and trains it. mpirun spreads a search over processes.
//
// support/study.cpp does the work, and support/trial.hpp trains one fold.
#include "support/describe.hpp"
#include "support/presets.hpp"
#include "support/program.hpp"
#include "support/spread.hpp"
#include "support/study.hpp"

int main(int argc, char** argv) {
  examples::Ranks ranks("tune");
  CLI::App app("Search options of train_bilstm over purged folds, on all cores.", "tune");
  const examples::TrainOptions preset = examples::bilstm_preset();
  examples::TrainOptions options = preset;
  examples::StudyOptions study;
  examples::describe(app, options);
  app.remove_option(app.get_option("--out"));
  app.get_option("--resume")->description("Go on with the study in --study");
  examples::add_study(app, study);
  const auto tune = [&] { return examples::run_study_program(preset, options, study, app, ranks); };
  return ranks.end(examples::run_program(app, argc, argv, tune));
}
