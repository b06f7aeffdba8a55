// A training by several processes: the one place that is compiled with MPI, where it is installed.
#include "spread.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>

#include "tsdl/core/error.hpp"
#include "tsdl/core/parallel.hpp"
#ifdef TSDL_MPI
#include "tsdl/spread/mpi.hpp"
#endif

namespace examples {
namespace {

#ifdef TSDL_MPI
using tsdl::connect_ranks;
#else
/// Throws: tsdl::Error when this process is one of several: each would think itself the only one.
std::unique_ptr<tsdl::Communicator> connect_ranks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const char* size = std::getenv(name); size && std::atoi(size) > 1)
      throw tsdl::Error("started by mpirun, but built without MPI: apt-get install libopenmpi-dev",
                        " and build again");
  return std::make_unique<tsdl::SingleProcess>();
}
#endif

}  // namespace

Ranks::Ranks(const char* program) {
  try {
    all_ = connect_ranks();
  } catch (const tsdl::Error& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    std::exit(2);
  }
  if (is_first()) return;
  held_ = std::tmpfile();
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  std::fflush(stdout);
  ::dup2(nowhere, STDOUT_FILENO);
  ::close(nowhere);
  if (!held_) return;
  stderr_ = ::dup(STDERR_FILENO);
  ::dup2(::fileno(held_), STDERR_FILENO);
}

Ranks::~Ranks() {
  if (held_) std::fclose(held_);
}

void Ranks::check(const TrainOptions& o) const {
  const tsdl::Index size = all_->size();
  if (o.shards % size == 0) return;
  const bool can_share = std::has_single_bit(static_cast<std::uint64_t>(size));
  throw tsdl::OptionError(
      "--shards ", o.shards, " cannot be shared between ", size, " processes: expected ",
      can_share ? "--shards " + std::to_string(std::max<tsdl::Index>(4, size)) +
                      ", or another power of two of at least " + std::to_string(size)
                : "a number of processes that is a power of two");
}

void Ranks::set_threads(const TrainOptions& o) const {
  if (o.threads > 0) {
    tsdl::set_thread_count(static_cast<int>(o.threads));
  } else if (all_->size() > 1) {
    const auto cores = static_cast<tsdl::Index>(std::thread::hardware_concurrency());
    const auto cores_each = static_cast<int>(std::max<tsdl::Index>(1, cores / all_->ranks_here()));
    tsdl::set_thread_count(std::min(cores_each, tsdl::thread_count()));
  }
}

int Ranks::end(int status) noexcept {
  try {
    if (status == 0) {
      while (!all_->leave(std::chrono::hours(1))) {
      }
    } else if (!all_->leave(std::chrono::seconds(2))) {
      std::fflush(stderr);
      char text[4096];
      if (held_) {
        std::rewind(held_);
        while (const std::size_t size = std::fread(text, 1, sizeof text, held_))
          if (::write(stderr_, text, size) < 0) break;
      }
      all_->end_all(status);
    }
  } catch (const tsdl::Error&) {
    all_->end_all(status == 0 ? 2 : status);
  }
  return status;
}

}  // namespace examples
