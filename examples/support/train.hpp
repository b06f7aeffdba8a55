// The training program: train_bilstm and train_baseline are two presets of it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "names.hpp"
#include "options.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/spread/communicator.hpp"

namespace examples {

/// What a training program is called, and the first line of its help.
struct ProgramText {
  const char* name;
  const char* description;
};

/// Reads the options, whose defaults are the preset's, trains, and returns the exit status: 0; 1
/// when the loss diverged; 2 after one line on stderr when options or input cannot be used; as a
/// shell counts a signal when one ended the run. Defined in train.cpp, which is compiled once.
int train_program(const ProgramText& program, TrainOptions preset, int argc, char** argv);

/// Trains on prepared data by options that apply_options() has completed, in `app` too, and returns
/// the exit status. `warning` is what apply_options() had to say. All ranks
/// call it. `chosen` is said of
/// how the options were found; `evaluation` takes what the model is worth. Throws: what
/// data, model and files throw.
int train_on(const tsdl::Prepared<float>& data, const TrainOptions& o, const CLI::App& app,
             const std::string& warning, tsdl::Communicator& ranks, const TextLines& chosen = {},
             Evaluation* evaluation = nullptr);

}  // namespace examples
