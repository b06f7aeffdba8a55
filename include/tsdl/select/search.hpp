// Runs a study: its open units on workers, in one process or on all ranks, until nothing is left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/select/study.hpp"
#include "tsdl/spread/communicator.hpp"
#include "tsdl/train/workers.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How a study is run. Nothing here changes its results.
struct SearchOptions {
  Index workers = 1;                                ///< of this process
  std::function<bool()> stop{};                     ///< asked before each unit
  std::function<bool(const StudyUnit&)> is_ours{};  ///< of a job array: which units are done here
};

enum class SearchStatus {
  finished,    ///< the study is
  incomplete,  ///< all units that are ours are done, others are not
  stopped      ///< stop() was true, here or on another rank
};

/// Does the study's open units until it is finished or stopped, rung after rung. All ranks call it
/// with the same study.
///
///   work(unit, worker)      trains and judges; no result when it was stopped. From several
///   threads. record(result, worker)  keeps a result, from the thread that made it, before work
///   goes on share(results)          gives those of all ranks for those of this one; for one
///   process, the
///                           same
///
/// Throws: what these throw, once the other workers have ended their units; as run_workers.
template <class Work, class Record, class Share>
SearchStatus run_study(Study& study, const SearchOptions& options, Communicator& ranks,
                       const Work& work, const Record& record, const Share& share) {
  for (;;) {
    std::vector<StudyUnit> units = study.open();
    if (units.empty()) return SearchStatus::finished;
    if (options.is_ours) std::erase_if(units, [&](const auto& u) { return !options.is_ours(u); });
    if (units.empty()) return SearchStatus::incomplete;
    ranks.reset_counter();
    std::mutex mutex;
    std::vector<UnitResult> results;
    bool stopped = false;
    const auto stop = [&] {
      stopped = stopped || (options.stop && options.stop());
      return stopped;
    };
    run_workers(
        std::min(options.workers, std::ssize(units)),
        [&]() -> Index {
          const std::lock_guard lock(mutex);
          if (stop()) return -1;
          const Index next = ranks.take();
          return next < std::ssize(units) ? next : -1;
        },
        [&](Index number, Index worker) {
          std::optional<UnitResult> result = work(units[static_cast<std::size_t>(number)], worker);
          if (result) record(*result, worker);
          const std::lock_guard lock(mutex);
          if (result)
            results.push_back(std::move(*result));
          else
            stopped = true;
        });
    for (UnitResult& result : share(std::move(results))) study.add(std::move(result));
    for (const std::string& flag : ranks.all_gather(stopped ? "stopped" : ""))
      if (!flag.empty()) return SearchStatus::stopped;
  }
}

/// The same in one process.
template <class Work, class Record>
SearchStatus run_study(Study& study, const SearchOptions& options, const Work& work,
                       const Record& record) {
  SingleProcess alone;
  return run_study(study, options, alone, work, record,
                   [](std::vector<UnitResult> results) { return results; });
}

}  // namespace TSDL_ABI
}  // namespace tsdl
