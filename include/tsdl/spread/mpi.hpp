// Ranks that are started together by mpirun and reach each other by MPI.
//
// Needs an MPI library (Open MPI: libopenmpi-dev) and its flags, as mpicc --showme prints them. Its
// old C++ interface, if there is one, is left out by -DOMPI_SKIP_MPICXX.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/spread/communicator.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Throws: Error with MPI's own words when a call of MPI failed.
inline void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error("MPI: ", what, ": ", std::string(text, static_cast<std::size_t>(length)));
}

inline MPI_Datatype mpi_type(float) noexcept { return MPI_FLOAT; }
inline MPI_Datatype mpi_type(double) noexcept { return MPI_DOUBLE; }

}  // namespace internal

/// The ranks of an MPI run. Begins MPI, unless the program has, and then ends it as well. One
/// object at a time.
///
/// take() asks rank 0, where a thread answers while rank 0 works: messages, since Open MPI's remote
/// memory serves threads on some networks only.
class MpiCommunicator final : public Communicator {
 public:
  /// Throws: Error when MPI cannot be started.
  MpiCommunicator() {
    int begun = 0;
    internal::check_mpi(MPI_Initialized(&begun), "MPI_Initialized");
    if (begun == 0) {
      internal::check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &threads_),
                          "MPI_Init_thread");
      ends_mpi_ = true;
    } else {
      internal::check_mpi(MPI_Query_thread(&threads_), "MPI_Query_thread");
    }
    ranks_ = copy_of(MPI_COMM_WORLD);
    leaving_ = copy_of(MPI_COMM_WORLD);
    internal::check_mpi(MPI_Comm_rank(ranks_, &rank_), "MPI_Comm_rank");
    internal::check_mpi(MPI_Comm_size(ranks_, &size_), "MPI_Comm_size");
    MPI_Comm here = MPI_COMM_NULL;
    internal::check_mpi(MPI_Comm_split_type(ranks_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here),
                        "MPI_Comm_split_type");
    internal::check_mpi(MPI_Comm_size(here, &here_), "MPI_Comm_size");
    internal::check_mpi(MPI_Comm_free(&here), "MPI_Comm_free");
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  /// Waits for every rank, since MPI ends on all together. A rank that an exception takes here
  /// waits two seconds, then ends the others with status 1: print its reason, and call end_all(),
  /// before.
  ~MpiCommunicator() override {
    try {
      const bool failed = std::uncaught_exceptions() != unwinding_;
      while (!leave(std::chrono::seconds(2)))
        if (failed) end_all(1);
    } catch (const Error&) {
      end_all(1);
    }
    stop_.store(true, std::memory_order_relaxed);
    if (answering_.joinable()) answering_.join();
    if (counts_ != MPI_COMM_NULL) MPI_Comm_free(&counts_);
    MPI_Comm_free(&leaving_);
    MPI_Comm_free(&ranks_);
    if (ends_mpi_) MPI_Finalize();
  }

  Index rank() const noexcept override { return rank_; }
  Index size() const noexcept override { return size_; }
  Index ranks_here() const noexcept override { return here_; }

  void exchange(std::span<const float> mine, std::span<float> theirs, Index partner) override {
    swap(mine, theirs, partner);
  }
  void exchange(std::span<const double> mine, std::span<double> theirs, Index partner) override {
    swap(mine, theirs, partner);
  }

  std::vector<std::string> all_gather(std::string bytes) override {
    barrier();  // whoever comes first waits without a core
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(size_));
    const std::int64_t own = std::ssize(bytes);
    internal::check_mpi(MPI_Allgather(&own, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, ranks_),
                        "MPI_Allgather");
    std::vector<std::string> all(sizes.size());
    all[static_cast<std::size_t>(rank_)] = std::move(bytes);
    for (int from = 0; from < size_; ++from) {
      std::string& of = all[static_cast<std::size_t>(from)];
      of.resize(static_cast<std::size_t>(sizes[static_cast<std::size_t>(from)]));
      broadcast_bytes(of, from);
    }
    return all;
  }

  std::string broadcast(std::string bytes, Index from = 0) override {
    internal::check_rank(from, size_);
    barrier();
    std::int64_t size = std::ssize(bytes);
    internal::check_mpi(MPI_Bcast(&size, 1, MPI_INT64_T, static_cast<int>(from), ranks_),
                        "MPI_Bcast");
    bytes.resize(static_cast<std::size_t>(size));
    broadcast_bytes(bytes, static_cast<int>(from));
    return bytes;
  }

  void barrier() override {
    MPI_Request all_here = MPI_REQUEST_NULL;
    internal::check_mpi(MPI_Ibarrier(ranks_, &all_here), "MPI_Ibarrier");
    wait({&all_here, 1}, forever);
  }

  /// Throws: Error when MPI was begun without MPI_THREAD_MULTIPLE and there are several ranks.
  void reset_counter() override {
    if (size_ > 1 && threads_ < MPI_THREAD_MULTIPLE)
      throw Error(
          "MpiCommunicator: a count needs MPI_THREAD_MULTIPLE, which MPI was begun without");
    if (counts_ == MPI_COMM_NULL) {
      counts_ = copy_of(ranks_);
      if (rank_ == 0 && size_ > 1) answering_ = std::thread([this] { answer(); });
    }
    barrier();  // nobody still takes from the count before
    if (rank_ == 0) next_ = 0;
    barrier();
  }

  Index take() override {
    if (counts_ == MPI_COMM_NULL) throw Error("MpiCommunicator: take() before reset_counter()");
    if (rank_ == 0) return next_++;
    std::int64_t number = 0;
    internal::check_mpi(MPI_Send(nullptr, 0, MPI_INT64_T, 0, 0, counts_), "MPI_Send");
    internal::check_mpi(MPI_Recv(&number, 1, MPI_INT64_T, 0, 0, counts_, MPI_STATUS_IGNORE),
                        "MPI_Recv");
    return number;
  }

  bool leave(std::chrono::milliseconds patience) override {
    if (!left_) {
      internal::check_mpi(MPI_Ibarrier(leaving_, &all_left_), "MPI_Ibarrier");
      left_ = true;
    }
    return wait({&all_left_, 1}, patience);
  }
  void end_all(int status) noexcept override { MPI_Abort(MPI_COMM_WORLD, status); }

 private:
  /// The most values of one message: MPI counts in int.
  static constexpr std::size_t most_at_once = std::size_t{1} << 30;
  static constexpr std::chrono::hours forever{24 * 365 * 100};

  /// The same ranks, whose messages meet no others and whose errors come back as codes.
  static MPI_Comm copy_of(MPI_Comm ranks) {
    MPI_Comm copy = MPI_COMM_NULL;
    internal::check_mpi(MPI_Comm_dup(ranks, &copy), "MPI_Comm_dup");
    internal::check_mpi(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN),
                        "MPI_Comm_set_errhandler");
    return copy;
  }

  template <class Scalar>
  void swap(std::span<const Scalar> mine, std::span<Scalar> theirs, Index partner) {
    internal::check_rank(partner, size_);
    internal::check_exchange(mine.size(), theirs.size());
    const auto to = static_cast<int>(partner);
    const MPI_Datatype type = internal::mpi_type(Scalar{});
    // Empty messages first: whoever comes before its partner leaves its core to others. MPI's own
    // wait, which does not, is then short.
    MPI_Request both_here[2];
    internal::check_mpi(MPI_Irecv(nullptr, 0, type, to, 1, ranks_, &both_here[0]), "MPI_Irecv");
    internal::check_mpi(MPI_Isend(nullptr, 0, type, to, 1, ranks_, &both_here[1]), "MPI_Isend");
    wait(both_here, forever);
    for (std::size_t first = 0; first < mine.size(); first += most_at_once) {
      const auto count = static_cast<int>(std::min(most_at_once, mine.size() - first));
      internal::check_mpi(
          MPI_Sendrecv(mine.data() + first, count, type, to, 0, theirs.data() + first, count, type,
                       to, 0, ranks_, MPI_STATUS_IGNORE),
          "MPI_Sendrecv");
    }
  }

  void broadcast_bytes(std::string& bytes, int from) {
    for (std::size_t first = 0; first < bytes.size(); first += most_at_once) {
      const auto count = static_cast<int>(std::min(most_at_once, bytes.size() - first));
      internal::check_mpi(MPI_Bcast(bytes.data() + first, count, MPI_BYTE, from, ranks_),
                          "MPI_Bcast");
    }
  }

  /// Waits for requests, from a moment on with sleeps. Returns whether all have come true.
  static bool wait(std::span<MPI_Request> requests, std::chrono::milliseconds patience) {
    using std::chrono::microseconds;
    const auto begin = std::chrono::steady_clock::now();
    for (;;) {
      int done = 0;
      internal::check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done,
                                      MPI_STATUSES_IGNORE),
                          "MPI_Testall");
      if (done != 0) return true;
      const auto waited = std::chrono::steady_clock::now() - begin;
      if (waited >= patience) return false;
      if (waited > microseconds(100))
        std::this_thread::sleep_for(microseconds(waited < microseconds(10000) ? 20 : 500));
    }
  }

  /// Answers take() of other ranks, on a thread of rank 0, until it is stopped.
  void answer() noexcept {
    while (!stop_.load(std::memory_order_relaxed)) {
      int asked = 0;
      MPI_Status asks;
      if (MPI_Iprobe(MPI_ANY_SOURCE, 0, counts_, &asked, &asks) != MPI_SUCCESS) return;
      if (asked == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      if (MPI_Recv(nullptr, 0, MPI_INT64_T, asks.MPI_SOURCE, 0, counts_, MPI_STATUS_IGNORE) !=
          MPI_SUCCESS)
        return;
      const std::int64_t number = next_++;
      if (MPI_Send(&number, 1, MPI_INT64_T, asks.MPI_SOURCE, 0, counts_) != MPI_SUCCESS) return;
    }
  }

  MPI_Comm ranks_ = MPI_COMM_NULL, leaving_ = MPI_COMM_NULL, counts_ = MPI_COMM_NULL;
  MPI_Request all_left_ = MPI_REQUEST_NULL;
  int rank_ = 0, size_ = 1, here_ = 1, threads_ = MPI_THREAD_SINGLE;
  int unwinding_ = std::uncaught_exceptions();
  bool ends_mpi_ = false, left_ = false;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_{false};
  std::thread answering_;  ///< last: it uses the others
};

/// Whether this process was started by mpirun, srun or their kind.
inline bool is_started_by_mpi() noexcept {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"})
    if (std::getenv(name)) return true;
  return false;
}

/// The ranks that this process was started with. Where it runs by itself that is one, and MPI is
/// not touched. Throws: Error when MPI cannot be started.
inline std::unique_ptr<Communicator> connect_ranks() {
  if (!is_started_by_mpi()) return std::make_unique<SingleProcess>();
  return std::make_unique<MpiCommunicator>();
}

}  // namespace TSDL_ABI
}  // namespace tsdl
