// Ranks that are threads of one process, for tests of what ranks do together.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tsdl/spread/communicator.hpp"

namespace test {

using tsdl::Index;

/// What the ranks of a run share: messages on their way, and the count.
struct RankThreads {
  explicit RankThreads(Index its_size) : size(its_size) {}

  void send(Index from, Index to, std::string bytes) {
    const std::lock_guard lock(mutex);
    messages[{from, to}].push_back(std::move(bytes));
    changed.notify_all();
  }
  /// Throws when a rank has failed, so that a test does not wait for it.
  std::string receive(Index from, Index to) {
    std::unique_lock lock(mutex);
    auto& waiting = messages[{from, to}];
    changed.wait(lock, [&] { return !waiting.empty() || failed; });
    if (waiting.empty()) throw tsdl::Error("another rank failed");
    std::string bytes = std::move(waiting.front());
    waiting.pop_front();
    return bytes;
  }
  void fail() {
    const std::lock_guard lock(mutex);
    failed = true;
    changed.notify_all();
  }

  const Index size;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<Index, Index>, std::deque<std::string>> messages;
  Index next = 0;
  bool failed = false;
};

class ThreadCommunicator final : public tsdl::Communicator {
 public:
  ThreadCommunicator(RankThreads& shared, Index rank) : shared_(shared), rank_(rank) {}

  Index rank() const noexcept override { return rank_; }
  Index size() const noexcept override { return shared_.size; }
  Index ranks_here() const noexcept override { return shared_.size; }
  void exchange(std::span<const float> mine, std::span<float> theirs, Index partner) override {
    swap(mine, theirs, partner);
  }
  void exchange(std::span<const double> mine, std::span<double> theirs, Index partner) override {
    swap(mine, theirs, partner);
  }
  std::vector<std::string> all_gather(std::string bytes) override {
    for (Index to = 0; to < size(); ++to) shared_.send(rank_, to, bytes);
    std::vector<std::string> all;
    for (Index from = 0; from < size(); ++from) all.push_back(shared_.receive(from, rank_));
    return all;
  }
  std::string broadcast(std::string bytes, Index from) override {
    return all_gather(std::move(bytes)).at(static_cast<std::size_t>(from));
  }
  void barrier() override { all_gather({}); }
  void reset_counter() override {
    barrier();
    if (rank_ == 0) shared_.next = 0;
    barrier();
  }
  Index take() override {
    const std::lock_guard lock(shared_.mutex);
    return shared_.next++;
  }
  bool leave(std::chrono::milliseconds) override {
    barrier();
    return true;
  }
  void end_all(int) noexcept override { shared_.fail(); }

 private:
  template <class Scalar>
  void swap(std::span<const Scalar> mine, std::span<Scalar> theirs, Index partner) {
    shared_.send(rank_, partner, {reinterpret_cast<const char*>(mine.data()), mine.size_bytes()});
    const std::string bytes = shared_.receive(partner, rank_);
    if (bytes.size() != theirs.size_bytes()) throw tsdl::Error("an exchange of other sizes");
    std::memcpy(theirs.data(), bytes.data(), bytes.size());
  }

  RankThreads& shared_;
  Index rank_;
};

/// Calls work(communicator) on each of `size` ranks at once and returns the results in the order of
/// ranks. What a rank throws is thrown here, that of the first rank that throws in its own right.
template <class Result>
std::vector<Result> on_ranks(Index size, const std::function<Result(tsdl::Communicator&)>& work) {
  RankThreads shared(size);
  std::vector<Result> results(static_cast<std::size_t>(size));
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (Index rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      ThreadCommunicator communicator(shared, rank);
      try {
        results[static_cast<std::size_t>(rank)] = work(communicator);
      } catch (...) {
        {
          const std::lock_guard lock(shared.mutex);
          if (!shared.failed) first = std::current_exception();
        }
        shared.fail();
      }
    });
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
  return results;
}

}  // namespace test
