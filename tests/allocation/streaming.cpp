// A push into a StreamingClassifier, or a RecurrentStream, calls for no memory, takes no lock,
// starts no parallel region and makes no system call.
//
// System calls are counted by the kernel: a child process forbids itself all but exit, then pushes.
#include "tsdl/serve/streaming.hpp"

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "allocation/counters.hpp"
#include "data/helpers.hpp"
#include "support/training.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::count, tsdl::Index;
using tsdl::StreamMode;

constexpr Index pushes = 10'000, length = 30;

/// How many regions have been shared between threads.
std::uint32_t started_regions() {
#ifdef TSDL_NO_THREADS
  return 0;
#else
  return tsdl::internal::thread_pool.regions();
#endif
}

/// Runs an action in a child that may make no system call, and returns how that ended: 0, or the
/// signal that killed it. -1: this machine does not let a process forbid itself system calls.
template <class Action>
int without_system_calls(const Action& action) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const sock_fprog program{4, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      syscall(SYS_exit, 99);
    action();
    syscall(SYS_exit, 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  return WEXITSTATUS(status) == 0 ? 0 : -1;
}

/// A recipe for random candles that is fitted on the first of them.
tsdl::Recipe recipe_of(const tsdl::Candles& candles, const char* set) {
  return tsdl::prepare<float>(test::first_candles(candles, 700),
                              {.features = set, .length = length, .label = tsdl::RangeLabel{}},
                              {.validation = 0.1, .test = 0.1})
      .recipe;
}

/// Pushes all candles again and again, each time later than before, and sums what comes out.
template <class Stream>
double push_all(Stream& stream, const tsdl::Candles& candles) {
  double sum = 0;
  for (Index i = 0; i < pushes; ++i) {
    tsdl::Candle candle = candles[i % candles.size()];
    candle.time = (i + 1) * std::int64_t{60000};
    if (i % 1000 == 999) candle.close = -1;  // refused
    for (const double p : stream.push(candle).probabilities) sum += p;
  }
  return sum;
}

/// One whose type is not known when compiling is a GRU.
template <class Model>
Model made(const tsdl::ClassifierOptions& options) {
  if constexpr (std::is_same_v<Model, tsdl::AnyModel<float>>)
    return tsdl::make_classifier<float>("gru", options, 1);
  else
    return Model(options, 1);
}

template <class Model>
void check_quiet(const char* set, Index hidden, StreamMode mode,
                 tsdl::Pooling pooling = tsdl::Pooling::last) {
  const test::AllHelpersGuard helpers;
  const tsdl::Candles candles = test::random_candles(1000, 3);
  const tsdl::Recipe recipe = recipe_of(candles, set);
  // Work enough for threads, were it given to them.
  const Model model = made<Model>({.input_size = std::ssize(recipe.columns),
                                   .hidden_size = hidden,
                                   .pooling = pooling,
                                   .input_projection = pooling == tsdl::Pooling::attention});
  tsdl::StreamingClassifier stream(model, recipe, mode);
  const auto fresh = stream;
  const long locked = test::locks;
  const auto regions = started_regions();
  double sum = 0;
  CHECK(count([&] { sum = push_all(stream, candles); }) == 0);
  CHECK(test::locks == locked);
  CHECK(started_regions() == regions);
  CHECK(sum > 1000);
  if (!TSDL_TEST_COUNTS) return;
  auto again = fresh;
  const int ended = without_system_calls([&] {
    if (push_all(again, candles) != sum) syscall(SYS_exit, 1);
  });
  if (ended == -1) MESSAGE("skipped: system calls: seccomp is not available here");
  CHECK((ended == 0 || ended == -1));
}

}  // namespace

#if TSDL_TEST_COUNTS
TEST_CASE("streaming: locks, teams and system calls are seen") {
  const long locked = test::locks;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  CHECK(test::locks == locked + 1);
  if (const int ended = without_system_calls([] { getppid(); }); ended != -1)
    CHECK(ended == SIGSYS);
  if (const int ended = without_system_calls([] {}); ended != -1) CHECK(ended == 0);
#ifndef TSDL_NO_THREADS
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  const auto regions = started_regions();
  tsdl::internal::parallel_team(2, [](Index, Index) noexcept {});
  CHECK(started_regions() == regions + 1);
#endif
}
#endif

TEST_CASE("streaming: 10,000 pushes into an LSTM call for nothing") {
  check_quiet<tsdl::LSTMClassifier<float>>("technical23", 64, StreamMode::carry);
  check_quiet<tsdl::LSTMClassifier<float>>("technical23", 24, StreamMode::rerun);
}

TEST_CASE("streaming: 10,000 pushes into a GRU call for nothing") {
  check_quiet<tsdl::GRUClassifier<double>>("technical23", 20, StreamMode::carry);
  check_quiet<tsdl::GRUClassifier<double>>("technical23", 20, StreamMode::rerun);
}

TEST_CASE("streaming: 10,000 pushes into a model of any type call for nothing") {
  check_quiet<tsdl::AnyModel<float>>("technical23", 20, StreamMode::carry);
  check_quiet<tsdl::AnyModel<float>>("technical23", 20, StreamMode::rerun);
}

TEST_CASE("streaming: 10,000 pushes into a BiLSTM with all features call for nothing") {
  check_quiet<tsdl::BiLSTMClassifier<float>>("hybrid", 48, StreamMode::rerun);
}

TEST_CASE("streaming: 10,000 pushes into an ALSTM call for nothing") {
  check_quiet<tsdl::LSTMClassifier<float>>("technical23", 20, StreamMode::carry,
                                           tsdl::Pooling::attention);
  check_quiet<tsdl::LSTMClassifier<float>>("technical23", 20, StreamMode::rerun,
                                           tsdl::Pooling::attention);
}

TEST_CASE("500 streams of one model hold its weights once") {
  using Model = tsdl::LSTMClassifier<float>;
  const tsdl::Candles candles = test::random_candles(800, 3);
  tsdl::Recipe recipe = recipe_of(candles, "ohlcv");
  recipe.length = 4;
  const auto in_use = [] {
    const auto memory = mallinfo2();
    return memory.uordblks + memory.hblkhd;
  };
  const auto model = std::make_shared<const Model>(
      tsdl::ClassifierOptions{.input_size = 5, .hidden_size = 256, .num_layers = 2}, 1);
  const auto weights = sizeof(float) * static_cast<std::size_t>(model->parameter_count());
  for (const StreamMode mode : {StreamMode::rerun, StreamMode::carry}) {
    std::vector<tsdl::StreamingPredictor<Model>> streams;
    streams.reserve(500);
    const std::size_t before = in_use();
    for (int i = 0; i < 500; ++i) streams.emplace_back(model, recipe, mode);
    for (auto& stream : streams)
      for (Index row = 0; row < 40; ++row) stream.push(candles[row]);
    const std::size_t each = (in_use() - before) / 500;
    INFO("bytes of weights: " << weights << ", bytes of a stream: " << each);
    if (TSDL_TEST_COUNTS) CHECK(each < weights / 20);
  }
}
