// A training by several processes that mpirun starts: which of them speaks, and how all end.
#pragma once

#include <cstdio>
#include <memory>

#include "options.hpp"
#include "tsdl/spread/communicator.hpp"

namespace examples {

/// The processes of a run. The first one prints and writes files. The others are silent: what they
/// print is dropped, and what they say on stderr is held back and shown only where one of them
/// fails alone. Defined in spread.cpp, the one place that is compiled with MPI. POSIX.
class Ranks {
 public:
  /// Finds the others, if mpirun has started any. Ends the program with status 2, after one line on
  /// stderr, where that fails.
  explicit Ranks(const char* program);
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;
  ~Ranks();

  tsdl::Communicator& all() noexcept { return *all_; }
  bool is_first() const noexcept { return all_->rank() == 0; }

  /// Throws: tsdl::OptionError when the options' shards cannot be shared between the processes.
  void check(const TrainOptions& o) const;

  /// Sets the number of threads: that of the options, else this process's share of the cores.
  void set_threads(const TrainOptions& o) const;

  /// The last call: waits for the others, and returns the program's exit status. After a failure
  /// they get two seconds to fail as well; then all are ended.
  int end(int status) noexcept;

 private:
  std::unique_ptr<tsdl::Communicator> all_;
  std::FILE* held_ = nullptr;  ///< what goes to stderr
  int stderr_ = -1;            ///< the one that people read
};

}  // namespace examples
