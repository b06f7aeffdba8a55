// The contract through which processes that work together, the ranks of a run, reach each other;
// and its form for one process by itself.
//
// Several processes: MpiCommunicator in spread/mpi.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The ranks of a run, counted from 0. For use from one thread. "Collective": every rank calls it,
/// and all make their collective calls in the same order.
///
/// Throws, everywhere: Error when a rank cannot be reached.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual Index rank() const noexcept = 0;  ///< the one that calls
  virtual Index size() const noexcept = 0;
  /// How many of the ranks run on the same machine as the one that calls, itself included.
  virtual Index ranks_here() const noexcept = 0;

  /// Sends `mine` to `partner` and receives what it sends here, as many values. Both call it.
  /// Allocates: nothing in tsdl. Throws: ShapeError when the two spans differ in size.
  virtual void exchange(std::span<const float> mine, std::span<float> theirs, Index partner) = 0;
  virtual void exchange(std::span<const double> mine, std::span<double> theirs, Index partner) = 0;

  /// Collective: the bytes of every rank, in the order of ranks.
  virtual std::vector<std::string> all_gather(std::string bytes) = 0;
  /// Collective: the bytes of rank `from`; those that other ranks pass are ignored.
  virtual std::string broadcast(std::string bytes, Index from = 0) = 0;
  /// Collective: waits until every rank is here. A rank that waits for more than a moment leaves
  /// its core to others.
  virtual void barrier() = 0;

  /// Collective: a new count, for work that is given out while it is done:
  ///
  ///     ranks.reset_counter();
  ///     for (Index i = ranks.take(); i < jobs; i = ranks.take()) run(i);
  virtual void reset_counter() = 0;
  /// The next number of the count, from 0: each goes to one rank. Others may be at any other work.
  virtual Index take() = 0;

  /// Says that this rank is done, whether it succeeded or not, and waits until all are, at most for
  /// so long. Returns whether they are: if not, others may still wait for this rank, in a
  /// collective call for one. May be called again; no other call but end_all() may follow.
  virtual bool leave(std::chrono::milliseconds patience) = 0;
  /// Ends the processes of all ranks at once, with this exit status; print the reason before. Of
  /// one process by itself it does nothing, and returns.
  virtual void end_all(int status) noexcept = 0;
};

/// The only rank of a run on one process.
class SingleProcess final : public Communicator {
 public:
  Index rank() const noexcept override { return 0; }
  Index size() const noexcept override { return 1; }
  Index ranks_here() const noexcept override { return 1; }

  void exchange(std::span<const float> mine, std::span<float> theirs, Index partner) override {
    copy(mine, theirs, partner);
  }
  void exchange(std::span<const double> mine, std::span<double> theirs, Index partner) override {
    copy(mine, theirs, partner);
  }
  std::vector<std::string> all_gather(std::string bytes) override {
    std::vector<std::string> all;
    all.push_back(std::move(bytes));
    return all;
  }
  std::string broadcast(std::string bytes, Index from = 0) override;
  void barrier() override {}
  void reset_counter() override { next_ = 0; }
  Index take() override { return next_++; }
  bool leave(std::chrono::milliseconds) override { return true; }
  void end_all(int) noexcept override {}

 private:
  template <class Scalar>
  void copy(std::span<const Scalar> mine, std::span<Scalar> theirs, Index partner);

  Index next_ = 0;
};

namespace internal {

/// Throws: Error unless `rank` is one of `size`; ShapeError unless both buffers of an exchange have
/// the same number of values.
inline void check_rank(Index rank, Index size) {
  if (rank < 0 || rank >= size)
    throw Error("Communicator: expected a rank from 0 to ", size - 1, ", got ", rank);
}
inline void check_exchange(std::size_t mine, std::size_t theirs) {
  if (mine != theirs)
    throw ShapeError("Communicator: an exchange of ", mine, " values for ", theirs);
}

/// values += those of the ranks before and after, in a binary tree: pairs of neighbours, then pairs
/// of pairs, and so on. Every rank ends with the same bits, since a + b is b + a. `received` takes
/// what partners send. The number of ranks is a power of two.
template <class Scalar>
void add_in_tree(Communicator& ranks, std::span<Scalar> values, std::span<Scalar> received) {
  for (Index distance = 1; distance < ranks.size(); distance *= 2) {
    ranks.exchange(std::span<const Scalar>(values), received, ranks.rank() ^ distance);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += received[i];
  }
}

}  // namespace internal

/// Collective: whether `here` is true on any rank.
inline bool any_rank(Communicator& ranks, bool here) {
  if (std::has_single_bit(static_cast<std::uint64_t>(ranks.size()))) {
    double value = here ? 1.0 : 0.0, received = 0.0;
    internal::add_in_tree(ranks, std::span<double>(&value, 1), std::span<double>(&received, 1));
    return value > 0;
  }
  const std::vector<std::string> all = ranks.all_gather(here ? "1" : "0");
  return std::find(all.begin(), all.end(), "1") != all.end();
}

inline std::string SingleProcess::broadcast(std::string bytes, Index from) {
  internal::check_rank(from, 1);
  return bytes;
}

template <class Scalar>
void SingleProcess::copy(std::span<const Scalar> mine, std::span<Scalar> theirs, Index partner) {
  internal::check_rank(partner, 1);
  internal::check_exchange(mine.size(), theirs.size());
  std::copy(mine.begin(), mine.end(), theirs.begin());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
