// After the first step, a SegmentGRU's training and prediction allocate nothing.
#include "tsdl/nn/segment_gru.hpp"

#include <doctest/doctest.h>

#include "allocation/counters.hpp"
#include "support/network.hpp"

TEST_CASE("allocation: none in a SegmentGRU's pass after the first") {
  using test::Index;
  const int threads = tsdl::thread_count();
  for (const int count : {1, 2}) {
    tsdl::set_thread_count(count);
    tsdl::SegmentGRU<float> model(
        {.inputs = 3, .length = 12, .horizon = 8, .segment = 4, .hidden_size = 90}, 3);
    tsdl::SegmentGRU<float>::Cache cache;
    tsdl::RandomStream random(1);
    const Index most = 40;
    const auto x = test::draw<float>(random, 12 * most * 3);
    const auto dy = test::draw<float>(random, most * model.outputs());
    std::uint64_t update = 0;
    const auto step = [&](Index B) {
      const auto view = test::dense(x, 3, 12, B);
      model.forward(view, cache, {.training = true, .dropout = {1, update++}});
      model.zero_gradients();
      model.backward(view, cache, dy.data());
      model.repack();
      model.forward(view, cache);
    };
    CHECK((test::count([&] { step(most); }) > 0 || TSDL_TEST_COUNTS == 0));
    CHECK(test::count([&] { step(most); }) == 0);
    CHECK(test::count([&] { step(most / 2); }) == 0);
  }
  tsdl::set_thread_count(threads);
}
