// A Transformer: after the first step of the largest batch, training and prediction allocate
// nothing, whichever batches follow; nor does a push into a stream.
#include <doctest/doctest.h>

#include <vector>

#include "allocation/counters.hpp"
#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/nn/transformer/encoder.hpp"

namespace {

using test::count, test::Index;
using Model = tsdl::TransformerNetwork<float>;

}  // namespace

TEST_CASE("allocation: none in a Transformer after the largest batch") {
  const test::ThreadCountGuard guard;
  const Index I = 3, T = 40, B = 32;
  tsdl::RandomStream random(1);
  const auto x = test::draw<float>(random, T * B * I), dy = test::draw<float>(random, B);
  std::vector<Index> lengths;
  for (Index b = 0; b < B; ++b) lengths.push_back(1 + 7 * b % T);
  for (const int threads : {1, 2})
    for (const tsdl::Pooling pooling : {tsdl::Pooling::last, tsdl::Pooling::mean})
      for (const bool norm_first : {false, true}) {
        tsdl::set_thread_count(threads);
        Model model({.input_size = I,
                     .hidden_size = 36,
                     .heads = 3,
                     .feed_forward = 50,
                     .dropout = 0.2,
                     .activation = tsdl::FeedForwardActivation::gelu,
                     .norm_first = norm_first,
                     .final_norm = norm_first,
                     .head_dropout = 0.1,
                     .pooling = pooling});
        Model::Cache cache, predictions;
        std::uint64_t update = 0;
        const auto train = [&](Index steps, Index samples, bool unequal) {
          tsdl::Batch<float> batch(
              tsdl::Sequence<const float>(x.data(), I, steps, samples, B * I, I));
          for (Index b = 0; b < samples; ++b)
            lengths[static_cast<std::size_t>(b)] = 1 + 7 * b % steps;
          if (unequal) batch.lengths = std::span(lengths).first(static_cast<std::size_t>(samples));
          model.forward(batch, cache, {.training = true, .dropout = {1, update++}});
          model.backward(batch, cache, dy.data());
          model.repack();
        };
        const auto predict = [&](Index steps, Index samples) {
          model.forward(tsdl::Sequence<const float>(x.data(), I, steps, samples, B * I, I),
                        predictions);
        };
        const long first = count([&] {
          train(T, B, true);
          predict(T, B);
        });
        const long later = count([&] {
          train(T, B, false);
          train(T, B, true);
          train(7, 20, true);
          train(T, 1, false);
          predict(T, B);
          predict(3, 5);
          predict(T, 1);
        });
        if (TSDL_TEST_COUNTS) CHECK(first > 0);
        CHECK(later == 0);
      }
}

TEST_CASE("allocation: none in a Transformer that takes one row at a time") {
  const Index I = 3, rows = 40;
  tsdl::RandomStream random(1);
  const auto x = test::draw<float>(random, rows * I);
  for (const bool norm_first : {false, true}) {
    const tsdl::TransformerEncoder<float> encoder({.input_size = I,
                                                   .hidden_size = 36,
                                                   .heads = 3,
                                                   .feed_forward = 50,
                                                   .norm_first = norm_first,
                                                   .causal = true,
                                                   .final_norm = norm_first});
    tsdl::TransformerStream<float> stream(encoder, rows);
    const long allocations = count([&] {
      for (Index t = 0; t < rows; ++t) stream.push(encoder, x.data() + t * I);
      stream.reset();
      stream.push(encoder, x.data());
    });
    CHECK(stream.steps() == 1);
    CHECK(allocations == 0);
  }
}
