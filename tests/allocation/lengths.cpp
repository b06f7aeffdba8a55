// Samples of unequal length: after the first step of the largest batch, training and prediction
// allocate nothing, whichever batches follow.
#include <doctest/doctest.h>

#include <memory>
#include <utility>
#include <vector>

#include "allocation/counters.hpp"
#include "support/training.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"
#include "tsdl/train/predict.hpp"
#include "tsdl/train/stepper.hpp"

namespace {

using test::count, test::Index;
using Model = tsdl::GRUClassifier<float>;

}  // namespace

TEST_CASE("allocation: none for samples of unequal length after the first batch") {
  const test::ThreadCountGuard guard;
  // 40 windows of 1 to 20 rows over one series, the longest among the first.
  const auto toy = test::two_classes<float>(500, 5);
  std::vector<Index> ends, lengths;
  tsdl::Targets targets;
  for (const float label : toy.labels) targets.values.push_back(label > 0.5f ? 1.0 : 0.0);
  for (Index i = 0; i < 40; ++i) {
    ends.push_back(30 + 10 * i);
    lengths.push_back(1 + (19 + 7 * i) % 20);
  }
  const auto windows = tsdl::Windows<float>::of_lengths(
      toy.series, ends, lengths, std::make_shared<const tsdl::Targets>(targets));
  std::vector<Index> order;
  for (Index i = 0; i < windows.size(); ++i) order.push_back(i);
  for (const int threads : {1, 2})
    for (const tsdl::Pooling pooling :
         {tsdl::Pooling::last, tsdl::Pooling::mean, tsdl::Pooling::attention}) {
      tsdl::set_thread_count(threads);
      Model model({.input_size = 5,
                   .hidden_size = 33,
                   .num_layers = 2,
                   .dropout = 0.2,
                   .head_dropout = 0.1,
                   .pooling = pooling,
                   .input_projection = pooling == tsdl::Pooling::attention});
      model.set_task(tsdl::Binary{});
      tsdl::LocalStepper<Model> stepper(model, {});
      const tsdl::Update update{.learning_rate = 0.01, .dropout = {1, 1}};
      const auto chosen = [&](std::size_t first, std::size_t n) {
        stepper.step(windows,
                     {.count = static_cast<Index>(n),
                      .chosen = std::span(std::as_const(order)).subspan(first, n)},
                     update);
      };
      const long first = count([&] { chosen(0, 16); });
      const long later = count([&] {
        chosen(16, 16);
        chosen(32, 8);
        stepper.step(windows, {.first = 5, .count = 16}, update);
        stepper.step(windows, {.first = 20, .count = 3}, update);
      });
      if (TSDL_TEST_COUNTS) CHECK(first > 0);
      CHECK(later == 0);

      typename Model::Cache cache;
      tsdl::Buffer<float> scratch;
      const auto predict = [&](Index from, Index n) {
        tsdl::Batch<float> batch(windows.batch(from, n, scratch));
        batch.lengths = windows.lengths(from, n);
        model.forward(batch, cache);
      };
      predict(0, 40);
      CHECK(count([&] {
              predict(3, 20);
              predict(30, 10);
              predict(7, 1);
            }) == 0);
    }
}
