// After the first step or prediction, training and prediction allocate nothing.
#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "allocation/counters.hpp"
#include "support/training.hpp"
#include "tsdl/bilstm.hpp"
#include "tsdl/spread/sharded_stepper.hpp"
#include "tsdl/task/adaptive_conformal.hpp"

namespace {

using test::count, test::Index;
using BiLSTM = tsdl::BiLSTMClassifier<float>;
using BiGRU = tsdl::BiGRUClassifier<float>;
using Any = tsdl::AnyModel<float>;

/// Keeps the compiler from removing an allocation.
void* kept(void* pointer) {
  static void* volatile sink;
  sink = pointer;
  return sink;
}

constexpr Index length = 12, batch_size = 32, stride = 2;

struct Setting {
  tsdl::Pooling pooling;
  Index outputs;
};

/// Two layers, two directions, dropout in both places, a width that no vector divides; enough work
/// for threads.
template <class Model>
struct Network {
  test::Toy<float> toy;
  Model model;
  tsdl::Trainer<Model> trainer;
  tsdl::Windows<float> windows;
  std::vector<float> labels;

  explicit Network(const Setting& setting)
      : toy(test::two_classes<float>(300, 5)),
        model(made({.input_size = 5,
                    .hidden_size = 33,
                    .num_layers = 2,
                    .dropout = 0.2,
                    .head_dropout = 0.1,
                    .pooling = setting.pooling,
                    .outputs = setting.outputs,
                    .attention_dropout = setting.pooling == tsdl::Pooling::attention ? 0.1 : 0,
                    .input_projection = setting.pooling == tsdl::Pooling::attention})),
        trainer(model) {
    toy.length = length;
    windows = toy.windows(length - 1, 3 * batch_size + 7, stride);
    labels = test::labels_of(windows);
  }

  static Model made(const tsdl::ClassifierOptions& options) {
    if constexpr (std::is_same_v<Model, Any>)
      return tsdl::make_classifier<float>("bilstm", options, 1);
    else
      return Model(options, 1);
  }

  /// One epoch by hand: three whole batches and the smaller last one.
  void epoch(bool gathered, tsdl::Buffer<float>& scratch, const std::vector<Index>& order) {
    for (Index first = 0; first < windows.size(); first += batch_size) {
      const Index size = std::min(batch_size, windows.size() - first);
      const auto at = static_cast<std::size_t>(first), n = static_cast<std::size_t>(size);
      const auto part = std::span(std::as_const(labels)).subspan(at, n);
      trainer.step(gathered ? windows.gather(std::span(order).subspan(at, n), scratch)
                            : windows.batch(first, size, scratch),
                   part);
    }
  }
};

const Setting settings[] = {{tsdl::Pooling::last, 1},
                            {tsdl::Pooling::mean, 3},
                            {tsdl::Pooling::each_direction_end, 1},
                            {tsdl::Pooling::attention, 2}};

template <class Model>
void check_training(int threads, bool gathered) {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(threads);
  for (const Setting& setting : settings) {
    CAPTURE(threads);
    CAPTURE(gathered);
    CAPTURE(setting.outputs);
    Network<Model> network(setting);
    std::vector<Index> order;
    for (Index i = network.windows.size(); i-- > 0;) order.push_back(i);
    tsdl::Buffer<float> scratch;
    const auto first_batch = [&] {
      const std::span<const Index> samples(order.data(), batch_size);
      network.trainer.step(gathered ? network.windows.gather(samples, scratch)
                                    : network.windows.batch(0, batch_size, scratch),
                           std::span(std::as_const(network.labels)).first(batch_size));
    };
    const long first = count(first_batch);
    const long later = count([&] {
      for (int i = 0; i < 3; ++i) network.epoch(gathered, scratch, order);
    });
    if (TSDL_TEST_COUNTS) CHECK(first > 0);
    CHECK(later == 0);
    CHECK(network.trainer.optimizer().steps() == 13);
    CHECK(test::has_finite_weights(network.model));
  }
}

template <class Model>
void check_prediction(int threads) {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(threads);
  for (const Setting& setting : settings) {
    CAPTURE(threads);
    CAPTURE(setting.outputs);
    const Network<Model> network(setting);
    typename Model::Cache cache;
    tsdl::Buffer<float> scratch;
    double sum = 0;
    const auto predict = [&](Index first, Index size) {
      const auto logits = network.model.forward(network.windows.batch(first, size, scratch), cache);
      sum += static_cast<double>(logits(0, size - 1));
    };
    const long first = count([&] { predict(0, batch_size); });
    const long later = count([&] {
      predict(batch_size, batch_size);
      predict(3 * batch_size, 7);
      for (Index i = 0; i < 5; ++i) predict(i, 1);
      predict(0, batch_size);
    });
    if (TSDL_TEST_COUNTS) CHECK(first > 0);
    CHECK(later == 0);
    CHECK(sum != 0);
  }
}

}  // namespace

#if TSDL_TEST_COUNTS
TEST_CASE("allocation: every way to allocate is counted") {
  CHECK(count([] {}) == 0);
  CHECK(count([] { ::free(kept(::malloc(3))); }) == 1);
  CHECK(count([] { ::free(kept(::calloc(3, 5))); }) == 1);
  CHECK(count([] { ::free(kept(::realloc(kept(::malloc(3)), 50000))); }) == 2);
  CHECK(count([] { ::free(kept(::aligned_alloc(64, 128))); }) == 1);
  CHECK(count([] { ::free(kept(::memalign(64, 128))); }) == 1);
  CHECK(count([] {
          void* pointer = nullptr;
          if (::posix_memalign(&pointer, 64, 128) == 0) ::free(kept(pointer));
        }) == 1);
  CHECK(count([] { ::operator delete(kept(::operator new(8))); }) == 1);
  CHECK(count([] { ::operator delete[](kept(::operator new[](8))); }) == 1);
  CHECK(count([] { ::operator delete(kept(::operator new(8, std::nothrow))); }) == 1);
  constexpr std::align_val_t line{64};
  CHECK(count([&] { ::operator delete(kept(::operator new(8, line)), line); }) == 1);
  CHECK(count([&] { ::operator delete[](kept(::operator new[](8, line)), line); }) == 1);
  CHECK(count([] { tsdl::Buffer<float> buffer(100); }) == 1);
}

#ifndef TSDL_NO_THREADS
TEST_CASE("allocation: those of worker threads are counted too") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  const auto region = [] {
    std::atomic<bool> helped{false};
    tsdl::internal::parallel_team(2, [&](Index thread, Index) noexcept {
      if (thread == 0) {
        test::comes_true([&] { return helped.load(); });
        return;
      }
      ::free(kept(::malloc(3)));
      helped = true;
    });
  };
  region();
  CHECK(count(region) == 1);
}
#endif
#endif

TEST_CASE("allocation: none in a training step on views after the first") {
  check_training<BiLSTM>(1, false);
  check_training<BiLSTM>(2, false);
  check_training<BiGRU>(2, false);
  check_training<Any>(1, false);
}

TEST_CASE("allocation: none in a training step on gathered batches after the first") {
  check_training<BiLSTM>(1, true);
  check_training<BiLSTM>(2, true);
  check_training<BiGRU>(1, true);
}

TEST_CASE("allocation: none in an update over shards after the first") {
  for (const bool shuffle : {false, true}) {
    Network<BiLSTM> network(settings[0]);
    tsdl::ShardedStepper<BiLSTM> stepper(network.model, {}, 4);
    std::vector<Index> order;
    for (Index i = network.windows.size(); i-- > 0;) order.push_back(i);
    std::uint64_t updates = 0, applied = 0;
    const auto step = [&](Index first, Index count) {
      tsdl::Samples samples{first, count, {}};
      if (shuffle)
        samples.chosen = std::span<const Index>(order).subspan(static_cast<std::size_t>(first),
                                                               static_cast<std::size_t>(count));
      ++updates;
      applied += stepper
                     .step(network.windows, samples,
                           {.learning_rate = 0.01, .dropout = {.seed = 1, .update = updates}})
                     .applied;
    };
    const long first = count([&] { step(0, batch_size); });
    const long later = count([&] {
      for (Index i = 0; i < 3; ++i) step(i * batch_size, batch_size);
      step(3 * batch_size, 7);
      step(5, 3);  // fewer samples than shards
    });
    if (TSDL_TEST_COUNTS) CHECK(first > 0);
    CHECK(later == 0);
    CHECK(applied == 6);
  }
}

TEST_CASE("allocation: none in a prediction after the first") {
  check_prediction<BiLSTM>(1);
  check_prediction<BiLSTM>(2);
  check_prediction<BiGRU>(2);
  check_prediction<Any>(1);
}

TEST_CASE("allocation: none in a stream") {
  const tsdl::GRU<float> stack({.input_size = 3, .hidden_size = 5, .num_layers = 2}, 1);
  tsdl::RecurrentStream<tsdl::GRUCell<float>> stream(stack);
  const float x[] = {0.1f, 0.2f, 0.3f};
  float sum = 0;
  CHECK(count([&] {
          for (int i = 0; i < 100; ++i) sum += stream.push(x)[0];
          stream.reset();
        }) == 0);
  CHECK(sum != 0);
}

TEST_CASE("allocation: none in adaptive intervals") {
  const tsdl::Index H = 4, K = 2;
  tsdl::AdaptiveIntervals intervals(std::vector<double>(30 * H * K, 1.0), H, K, {.window = 25});
  const std::vector<double> low(H * K, -1.0), high(H * K, 1.0), spreads(K, 2.0);
  std::vector<double> truth(K);
  double sum = 0;
  CHECK(count([&] {
          for (int t = 0; t < 100; ++t) {
            truth[0] = t % 7 - 3, truth[1] = t % 50;
            intervals.observe(truth);
            sum += intervals.forecast(low, high, spreads)[3].high;
          }
        }) == 0);
  CHECK(sum > 0);
}

TEST_CASE("allocation: none where a step is skipped") {
  Network<BiLSTM> network(settings[0]);
  for (float& value : network.toy.series->values) value = std::numeric_limits<float>::infinity();
  tsdl::Buffer<float> scratch;
  network.epoch(false, scratch, {});
  CHECK(count([&] { network.epoch(false, scratch, {}); }) == 0);
  CHECK(network.trainer.state().skipped_steps == 8);
}
