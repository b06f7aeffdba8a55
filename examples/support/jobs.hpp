// Several trainings at once, on a pool of workers: seeds, folds, members of an ensemble.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data.hpp"
#include "options.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/io/study_folder.hpp"

namespace examples {

/// A training of its own.
struct Job {
  std::uint64_t seed = 0;
  tsdl::Index fold = -1;           ///< of a cross-validation, from 0; below 0: none
  std::string model{};             ///< the kind; empty: that of the options
  std::filesystem::path folder{};  ///< of its model and its state; empty: it leaves no files
};

/// What all trainings read: candles or a table, or whole series.
struct Rows {
  std::optional<Cases> cases{};
  tsdl::Dataset dataset{};
  tsdl::Split split{};
  tsdl::Prepared<float> prepared{};  ///< what the first of the jobs is trained on
};

/// Throws: tsdl::Error when options or data cannot be used.
Rows read_rows(const TrainOptions& o, const Job& first);

/// How many are trained at a time, for the summary: "2 at a time, each on one thread".
std::string workers_text(const TrainOptions& o, tsdl::Index jobs);

/// Trains them, --workers at a time, and shows how far it is; `own_split`: of whole series, each
/// seed draws its own part for validation. None when a signal stopped it, which the caller's
/// StopSignals took: what is finished stays.
/// Throws: what data, trainer and files throw.
std::optional<std::vector<tsdl::UnitResult>> run_jobs(const TrainOptions& o,
                                                      const std::vector<Job>& jobs,
                                                      const Rows& rows, bool own_split);

}  // namespace examples
