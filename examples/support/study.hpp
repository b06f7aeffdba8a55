// A study of trials from its options to its winner. Defined in study.cpp; examples/tune.cpp is its
// program.
#pragma once

#include <CLI/CLI.hpp>

#include "options.hpp"
#include "spread.hpp"
#include "study_options.hpp"

namespace examples {

/// Runs the study that the options ask for and returns the exit status: 0, also of a shard whose
/// trials are done; 1 when no trial has a score; as a shell counts a signal when one ended it.
/// `preset` holds the trainers' options before `app` has parsed the command line.
/// Throws: tsdl::Error, CLI::Error when options, space or data cannot be used, or the directory is
/// that of another study.
int run_study_program(const TrainOptions& preset, const TrainOptions& given, const StudyOptions& s,
                      const CLI::App& app, Ranks& ranks);

}  // namespace examples
