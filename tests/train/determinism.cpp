// Same bits: weights do not depend on threads, outputs not on the batch that a window stands in.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "support/training.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using test::Index;

constexpr tsdl::ClassifierOptions architecture{
    .input_size = 5, .hidden_size = 51, .num_layers = 2, .dropout = 0.25};
constexpr Index length = 8, batch_size = 32;

/// Operations of the steps of one layer, the least of what is shared out in training: the chains
/// over x are made ahead. An update of two directions' parameters counts for about as many.
constexpr double least_operations(Index directions) {
  return 2.0 * length * batch_size * static_cast<double>(directions) * 4 *
         architecture.hidden_size * architecture.hidden_size;
}
static_assert(least_operations(1) > tsdl::internal::parallel_threshold);

template <class Scalar>
test::Toy<Scalar> data() {
  auto toy = test::two_classes<Scalar>(220, architecture.input_size);
  toy.length = length;
  return toy;
}

template <class Model>
std::string trained(int threads, bool shuffle, tsdl::Pooling pooling) {
  using Scalar = typename Model::Scalar;
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(threads);
  tsdl::ClassifierOptions options = architecture;
  options.pooling = pooling;
  options.input_projection = pooling == tsdl::Pooling::attention;
  Model model(options, 21);
  tsdl::TrainerOptions training;
  training.max_epochs = 2;
  training.batch_size = batch_size;
  training.optimizer.lr = 0.01;
  training.shuffle = shuffle;
  training.restore_best = false;
  const auto toy = data<Scalar>();
  const tsdl::History history =
      tsdl::Trainer<Model>(model, training).fit(toy.windows(7, 110), toy.windows(140, 70));
  std::string bytes = test::weight_bytes(model);
  for (const tsdl::EpochRecord& record : history.epochs) {
    const double figures[] = {record.train_loss, record.gradient_norm, record.validation.loss,
                              record.validation.brier};
    bytes += test::bytes_of(std::span<const double>(figures));
  }
  return bytes;
}

template <class Model>
void check_threads(bool shuffle, tsdl::Pooling pooling) {
  const std::string one = trained<Model>(1, shuffle, pooling);
  for (const int threads : {2, 4, 8, 16}) {  // tiles of 16, 8 and 4 samples
    INFO("threads ", threads);
    CHECK((trained<Model>(threads, shuffle, pooling) == one));
  }
}

/// Whether p, predictions of windows `which` of all, are bit for bit those columns of all.
bool same_columns(const tsdl::Matrix<double>& p, const tsdl::Matrix<double>& all, Index first) {
  return std::memcmp(p.data(), all.data() + first * all.rows(),
                     static_cast<std::size_t>(p.size()) * sizeof(double)) == 0;
}

template <class Model>
void check_predictions(Index outputs, tsdl::Pooling pooling) {
  using Scalar = typename Model::Scalar;
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  tsdl::ClassifierOptions options = architecture;
  options.outputs = outputs;
  options.pooling = pooling;
  options.input_projection = pooling == tsdl::Pooling::attention;
  const Model model(options, 22);
  const auto toy = data<Scalar>();
  const auto windows = toy.windows(7, 150);
  const tsdl::Matrix<double> all = tsdl::predict(model, windows);
  for (const int threads : {2, 4}) {
    tsdl::set_thread_count(threads);
    CHECK(same_columns(tsdl::predict(model, windows), all, 0));
  }
  for (Index i = 0; i < 150; i += 7)
    CHECK(same_columns(tsdl::predict(model, toy.windows(7 + i, 1)), all, i));
  for (const Index count : {2, 5, 16, 17, 33, 65, 100})
    CHECK(same_columns(tsdl::predict(model, toy.windows(20, count)), all, 13));
  // Three rows apart: the view has another stride.
  const tsdl::Matrix<double> sparse = tsdl::predict(model, toy.windows(7, 50, 3));
  for (Index i = 0; i < 50; ++i) CHECK(same_columns(sparse.middleCols(i, 1), all, 3 * i));
  // Gathered, in another order.
  std::vector<Index> order(33);
  std::iota(order.rbegin(), order.rend(), Index{40});
  tsdl::Buffer<Scalar> strided, scratch;
  typename Model::Cache cache, other;
  const auto dense = model.forward(windows.gather(order, scratch), cache);
  const auto view = model.forward(windows.batch(40, 33, strided), other);
  for (Index b = 0; b < 33; ++b)
    CHECK(std::memcmp(dense.data() + b * outputs, view.data() + (32 - b) * outputs,
                      static_cast<std::size_t>(outputs) * sizeof(Scalar)) == 0);
}

}  // namespace

#ifndef TSDL_NO_THREADS
TEST_CASE("determinism: work of this size does go to several threads") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(4);
  std::atomic<int> here{0}, met{0};
  tsdl::internal::parallel_for(4, least_operations(1), [&](Index) noexcept {
    ++here;
    met += test::comes_true([&] { return here == 4; });
  });
  CHECK(met == 4);
}
#endif

TEST_CASE("determinism: one, two and four threads train the same weights") {
  check_threads<tsdl::BiLSTMClassifier<float>>(true, tsdl::Pooling::last);
  check_threads<tsdl::BiLSTMClassifier<float>>(false, tsdl::Pooling::mean);
  check_threads<tsdl::BiLSTMClassifier<double>>(false, tsdl::Pooling::each_direction_end);
  check_threads<tsdl::LSTMClassifier<double>>(true, tsdl::Pooling::last);
  check_threads<tsdl::BiGRUClassifier<float>>(true, tsdl::Pooling::last);
  check_threads<tsdl::BiGRUClassifier<float>>(false, tsdl::Pooling::attention);
}

TEST_CASE("determinism: the comparison notices another order of the windows") {
  CHECK((trained<tsdl::LSTMClassifier<float>>(1, true, tsdl::Pooling::last) !=
         trained<tsdl::LSTMClassifier<float>>(1, false, tsdl::Pooling::last)));
}

TEST_CASE("determinism: a window's prediction depends on no other window and on no thread") {
  check_predictions<tsdl::BiLSTMClassifier<float>>(1, tsdl::Pooling::last);
  check_predictions<tsdl::BiLSTMClassifier<double>>(3, tsdl::Pooling::mean);
  check_predictions<tsdl::BiGRUClassifier<float>>(3, tsdl::Pooling::mean);
  check_predictions<tsdl::LSTMClassifier<float>>(2, tsdl::Pooling::each_direction_end);
  check_predictions<tsdl::BiLSTMClassifier<float>>(2, tsdl::Pooling::attention);
}
