// The options of a study: what is searched, how it is judged, and by how many.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "names.hpp"
#include "seeds.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/select/splits.hpp"
#include "validators.hpp"

namespace examples {

struct StudyOptions {
  std::string space{};  ///< a TOML file; empty: one trial, of the options as they are
  std::string search = "random";
  tsdl::Index trials = 20;
  std::string folds = "purged:5";
  tsdl::Index embargo = 0;
  std::string score{};  ///< a figure; empty: the loss, of a regression the RMSE
  tsdl::Index eta = 3, min_epochs = 5;
  std::string study = "study", shard{};
  bool then_train = false;
};

/// One of the processes of a job array.
struct Shard {
  tsdl::Index number = 1, count = 1;
};

/// Reads --folds. Throws: tsdl::OptionError.
inline tsdl::FoldScheme folds_from(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  std::string rest = colon == text.npos ? std::string() : text.substr(colon + 1);
  constexpr std::string_view expanding = ",expanding";
  const bool expands = kind == "walk-forward" && rest.ends_with(expanding);
  if (expands) rest.resize(rest.size() - expanding.size());
  const std::vector<tsdl::Index> numbers = internal::whole_numbers(rest, ',');
  if (kind == "purged" && numbers.size() == 1) return tsdl::PurgedKFold{.folds = numbers[0]};
  if (kind == "cpcv" && numbers.size() == 2)
    return tsdl::CombinatorialPurged{.groups = numbers[0], .test_groups = numbers[1]};
  if (kind == "walk-forward" && numbers.size() == 2)
    return tsdl::WalkForward{.train = numbers[0], .test = numbers[1], .expanding = expands};
  throw tsdl::OptionError(
      "--folds: expected purged:K, cpcv:N,K or walk-forward:TRAIN,TEST[,expanding], got '", text,
      "'");
}

/// Reads --shard: "2/8". Throws: tsdl::OptionError.
inline Shard shard_from(const std::string& text) {
  const std::vector<tsdl::Index> numbers = internal::whole_numbers(text, '/');
  if (numbers.size() != 2 || numbers[0] < 1 || numbers[0] > numbers[1])
    throw tsdl::OptionError("--shard: expected I/N with I from 1 to N, as in 2/8, got '", text,
                            "'");
  return {numbers[0], numbers[1]};
}

inline void add_study(CLI::App& app, StudyOptions& o) {
  app.option_defaults()->always_capture_default()->group("Search");
  app.add_option("--space", o.space,
                 "TOML file of options and what each may be:\n"
                 "hidden = [16, 32]\n"
                 "lr = { log_uniform = [1e-4, 1e-2] }\n"
                 "dropout = { uniform = [0.0, 0.5] }\n"
                 "layers = { integer = [1, 3] }\n"
                 "Without it the options as they are, one trial")
      ->type_name("FILE");
  app.add_option("--search", o.search,
                 "grid: every combination; random: --trials draws;\n"
                 "halving: the same, and after some epochs only the\n"
                 "best go on")
      ->check(one_of({"grid", "random", "halving"}));
  app.add_option("--trials", o.trials, "Of random and halving")->check(whole_number(1, 1000000));
  app.add_option("--folds", o.folds,
                 "purged:K, K groups of which each is tested once;\n"
                 "cpcv:N,K, each choice of K of N groups;\n"
                 "walk-forward:TRAIN,TEST[,expanding], in windows")
      ->type_name("FOLDS");
  app.add_option("--embargo", o.embargo, "Rows behind a test that are not trained on either")
      ->check(whole_number(0, 1000000));
  app.add_option("--score", o.score,
                 "The figure by which trials are compared, on each\n"
                 "fold's test: loss, or another of the task. The\n"
                 "loss unless given, of a regression the RMSE")
      ->type_name("FIGURE");
  app.add_option("--eta", o.eta, "Of halving: one of so many trials goes on")
      ->check(whole_number(2, 1000));
  app.add_option("--min-epochs", o.min_epochs, "Of halving: no comparison before so many epochs")
      ->check(whole_number(1));
  app.add_option("--study", o.study, "Directory of the study; --resume goes on with it")
      ->type_name("DIR");
  app.add_option("--shard", o.shard,
                 "Of a job array: do every N-th trial from the I-th\n"
                 "on. All share --study; the last makes the\n"
                 "leaderboard")
      ->type_name("I/N");
  app.add_flag("--then-train", o.then_train,
               "Train the winner on all but the test windows, and\n"
               "test it, once");
}

}  // namespace examples
