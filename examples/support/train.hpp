// The training program: train_bilstm and train_baseline are two presets of it.
#pragma once

#include "options.hpp"

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

}  // namespace examples
