// An ensemble: after the first step of the largest batch, training and prediction allocate nothing;
// nor does a push into a stream.
#include "tsdl/nn/ensemble.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "allocation/counters.hpp"
#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::count, test::Index;
using Model = tsdl::Ensemble<float>;

}  // namespace

TEST_CASE("allocation: none in an ensemble after the largest batch") {
  const test::ThreadCountGuard guard;
  const Index I = 3, T = 20, B = 32, K = 3;
  tsdl::RandomStream random(1);
  const auto x = test::draw<float>(random, T * B * I), dy = test::draw<float>(random, B * K);
  std::vector<tsdl::AnyModel<float>> members;
  for (const char* kind : {"lstm", "gru"})
    members.push_back(tsdl::make_classifier<float>(
        kind, {.input_size = I, .hidden_size = 20, .num_layers = 2, .dropout = 0.2, .outputs = K}));
  for (const int threads : {1, 2}) {
    tsdl::set_thread_count(threads);
    Model model(members, {1, 3});
    Model::Cache cache, predictions;
    std::vector<float> dx(x.size());
    std::uint64_t update = 0;
    const auto train = [&](Index steps, Index samples) {
      const tsdl::Sequence<const float> batch(x.data(), I, steps, samples, B * I, I);
      model.forward(batch, cache, {.training = true, .dropout = {1, update++}});
      model.backward(batch, cache, dy.data(),
                     tsdl::Sequence<float>::dense(dx.data(), I, steps, samples));
      model.repack();
    };
    const auto predict = [&](Index steps, Index samples) {
      model.forward(tsdl::Sequence<const float>(x.data(), I, steps, samples, B * I, I),
                    predictions);
    };
    const long first = count([&] {
      train(T, B);
      predict(T, B);
    });
    const long later = count([&] {
      train(7, 20);
      train(T, 1);
      train(T, B);
      predict(3, 5);
      predict(T, 1);
    });
    if (TSDL_TEST_COUNTS) CHECK(first > 0);
    CHECK(later == 0);

    Model::Window window(model, T);
    Model::Carried<> carried(model);
    CHECK(count([&] {
            for (Index t = 0; t < 2 * T; ++t) {
              window.push(model, x.data() + t * I);
              window.run(model);
              carried.prepare(model);
              carried.push(model, x.data() + t * I);
            }
          }) == 0);
  }
}
