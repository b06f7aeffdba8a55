// Training the members of an ensemble, and making one model of them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "options.hpp"

namespace examples {

/// Trains one member of each kind of --ensemble, or of each kind with each of --seeds, --workers at
/// a time, into directories of their own below --out; fits their weights, writes the model file of
/// all of them, figures of each (members.csv) and the report. Returns the exit status. Defined in
/// ensemble.cpp.
/// Throws: tsdl::Error when options, data or files cannot be used.
int train_ensemble(const TrainOptions& o, const CLI::App& app, const std::string& warning);

}  // namespace examples
