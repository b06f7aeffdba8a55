// Threads that share the units of one step leave the bits of one thread, forward and backward.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/nn/recurrent/stack.hpp"

namespace {

using test::Index;

constexpr Index I = 3;

struct Sizes {
  Index H, B, T;
};
/// Steps of one sample, of a register tile and of a whole tile of samples: at least four panels of
/// any width, not a multiple of it.
constexpr Sizes sizes[] = {{133, 1, 39}, {75, 4, 31}, {75, 16, 8}};

/// Operations of one step whose chains over x are made ahead: the least that a step asks for.
constexpr double least_operations(const Sizes& n, Index gates) {
  return 2.0 * static_cast<double>(n.B * gates * n.H * n.H);
}
static_assert(std::all_of(std::begin(sizes), std::end(sizes), [](const Sizes& n) {
  return least_operations(n, 3) >= tsdl::internal::shared_step_threshold &&
         least_operations(n, 3) * static_cast<double>(n.T) >= tsdl::internal::parallel_threshold &&
         n.H > 4 * tsdl::kernels::lanes<float>;
}));

/// Everything that forward and backward give, one after the other. Of two directions only the last
/// step is asked for: then one runs all steps and the other a single one.
template <class Cell>
std::vector<typename Cell::Scalar> pass(const Sizes& n, Index L, bool two, bool training,
                                        int threads) {
  using Scalar = typename Cell::Scalar;
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(threads);
  tsdl::RecurrentStack<Cell> stack({.input_size = I,
                                    .hidden_size = n.H,
                                    .num_layers = L,
                                    .bidirectional = two,
                                    .dropout = L > 1 ? 0.3 : 0.0},
                                   3);
  const Index T = n.T, D = stack.directions(), state = L * D * n.B * n.H,
              width = stack.output_size();
  tsdl::RandomStream random(8);
  const auto x = test::draw<Scalar>(random, T * n.B * I);
  const auto h0 = test::draw<Scalar>(random, state), c0 = test::draw<Scalar>(random, state);
  const tsdl::Steps steps = two ? tsdl::Steps::last : tsdl::Steps::all;
  typename tsdl::RecurrentStack<Cell>::Cache cache;
  typename tsdl::RecurrentStack<Cell>::Forward options{
      .steps = steps, .training = training, .dropout = {1, 2}, .want_h_n = !two};
  options.h0 = h0.data();
  if (Cell::cell_vectors > 0) options.c0 = c0.data();
  stack.forward(test::dense(x, I, T, n.B), cache, options);

  std::vector<Scalar> all;
  for (Index t = two ? T - 1 : 0; t < T; ++t)
    for (Index b = 0; b < n.B; ++b)
      for (Index d = 0; d < D; ++d) {
        const auto h = stack.output(cache, t, b, d);
        all.insert(all.end(), h.data(), h.data() + h.size());
      }
  std::vector<Scalar> h_n(h0.size()), c_n(h0.size());
  const auto keep = [&](const std::vector<Scalar>& values) {
    all.insert(all.end(), values.begin(), values.end());
  };
  if (!two) {
    stack.final_state(cache, h_n.data(), Cell::cell_vectors > 0 ? c_n.data() : nullptr);
    keep(h_n);
    keep(c_n);
  }
  if (!training) return all;

  const auto dy = test::draw<Scalar>(random, T * n.B * width);
  std::vector<Scalar> dx(x.size()), dh0(h0.size()), dc0(h0.size());
  typename tsdl::RecurrentStack<Cell>::Backward back{
      .dy = test::dense(dy, width, T, n.B), .steps = steps, .dx = test::dense(dx, I, T, n.B)};
  back.dh0 = dh0.data();
  if (Cell::cell_vectors > 0) back.dc0 = dc0.data();
  if (two) back.dy = {dy.data(), width, T, n.B, 0, width};
  stack.backward(test::dense(x, I, T, n.B), cache, back);
  for (const auto& gradient : test::gradients(stack)) keep(gradient);
  for (const auto* values : {&dx, &dh0, &dc0}) keep(*values);
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("shared steps: any number of threads gives the bits of one", Cell,
                   tsdl::LSTMCell<float>, tsdl::GRUCell<double>) {
  for (const Sizes& n : sizes)
    for (const Index L : {1, 2})
      for (const bool two : {false, true})
        for (const bool training : {false, true}) {
          INFO("H ", n.H, " B ", n.B, " L ", L, " two ", two, " training ", training);
          const auto one = pass<Cell>(n, L, two, training, 1);
          CHECK(test::largest(one) > 0.01);
          for (const int threads : {2, 3, 5}) {
            const auto shared = pass<Cell>(n, L, two, training, threads);
            REQUIRE(shared.size() == one.size());
            CHECK(std::memcmp(shared.data(), one.data(), one.size() * sizeof(one[0])) == 0);
          }
        }
}
