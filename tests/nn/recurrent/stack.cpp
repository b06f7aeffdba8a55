// What a stack promises beyond its numbers: the same bits however samples are batched or laid out,
// dead steps that change nothing, state handling, and refusals.
#include "tsdl/nn/recurrent/stack.hpp"

#include <doctest/doctest.h>

#ifndef _WIN32
#include <sys/mman.h>
#endif

#include <thread>

#include "support/network.hpp"

namespace {

using test::Index;

template <class Cell>
struct Net {
  Index I, H;
  tsdl::RecurrentStack<Cell> stack;
  Net(Index inputs, Index hidden, Index layers, bool two, double dropout = 0.0)
      : I(inputs),
        H(hidden),
        stack({.input_size = inputs,
               .hidden_size = hidden,
               .num_layers = layers,
               .bidirectional = two,
               .dropout = dropout},
              3) {
    tsdl::RandomStream random(21);
    test::draw_parameters(stack, random, 0.7);
  }
};

/// All outputs of sample b, step by step.
template <class Stack>
auto outputs_of(const Stack& stack, const typename Stack::Cache& cache, Index b) {
  std::vector<typename Stack::Scalar> values;
  for (Index t = 0; t < cache.T; ++t)
    for (Index d = 0; d < stack.directions(); ++d) {
      const auto column = stack.output(cache, t, b, d);
      values.insert(values.end(), column.data(), column.data() + column.size());
    }
  return values;
}

struct Passed {
  std::vector<std::vector<double>> parameters;
  std::vector<double> dx;
};

/// Gradients of a pass whose upstream enters as `backward_steps` after a forward for
/// `forward_steps`.
template <class Cell>
Passed pass(Net<Cell>& net, const std::vector<double>& x, const std::vector<double>& dy, Index T,
            Index B, tsdl::Steps forward_steps, bool final_states, tsdl::Steps backward_steps,
            tsdl::Index step_stride) {
  tsdl::StackCache<double> cache;
  net.stack.zero_gradients();
  net.stack.forward(test::dense(x, net.I, T, B), cache,
                    {.steps = forward_steps, .training = true, .want_h_n = final_states});
  Passed result;
  result.dx.resize(x.size());
  const Index width = net.stack.output_size();
  net.stack.backward(test::dense(x, net.I, T, B), cache,
                     {.dy = {dy.data(), width, T, B, step_stride, width},
                      .steps = backward_steps,
                      .dx = test::dense(result.dx, net.I, T, B)});
  result.parameters = test::gradients(net.stack);
  return result;
}

/// What a training pass over windows, `stride` rows apart, gives as a view of their series and as a
/// dense copy. Returns how many gradients of W_ih differ, within rounding.
template <class Cell>
Index compare_layouts(const test::Sizes& n, Index T, Index stride) {
  INFO("I ", n.I, " H ", n.H, " B ", n.B, " T ", T, " stride ", stride);
  using Scalar = typename Cell::Scalar;
  Net<Cell> net(n.I, n.H, 2, true, 0.3);
  const Index width = net.stack.output_size();
  tsdl::RandomStream random(2);
  const auto series = test::draw<Scalar>(random, (T + (n.B - 1) * stride) * n.I);
  const auto dy = test::draw<Scalar>(random, T * n.B * width);
  const auto strided = test::windows(series.data(), n.I, T, n.B, stride);
  const auto copy = test::gathered(strided);
  std::vector<std::vector<std::vector<Scalar>>> gradients;
  std::vector<std::vector<Scalar>> ys, dxs;
  for (const auto& view : {strided, test::dense(copy, n.I, T, n.B)}) {
    tsdl::StackCache<Scalar> cache;
    std::vector<Scalar> dx(copy.size());
    net.stack.zero_gradients();
    net.stack.forward(view, cache, {.training = true, .dropout = {1, 1}});
    ys.push_back(test::outputs(net.stack, cache));
    net.stack.backward(view, cache,
                       {.dy = test::dense(dy, width, T, n.B), .dx = test::dense(dx, n.I, T, n.B)});
    gradients.push_back(test::gradients(net.stack));
    dxs.push_back(dx);
  }
  CHECK(ys[0] == ys[1]);
  CHECK(dxs[0] == dxs[1]);
  CHECK(test::largest(dxs[0]) > 0.0);
  return test::check_shared_gradients(net.stack, gradients[0], gradients[1]);
}

}  // namespace

TEST_CASE("tiles: whole groups, one thread takes the largest, and more threads are not later") {
  for (const auto& [directions, far] :
       {std::pair{Index{1}, false}, {Index{2}, false}, {Index{1}, true}, {Index{2}, true}})
    for (Index B = 1; B <= 300; ++B) {
      const auto latest = [&](Index threads) {
        const Index size = tsdl::Extent::best_tile(B, directions, threads, far);
        REQUIRE((size == 4 || size == 8 || size == 16 || (far && (size == 32 || size == 64))));
        REQUIRE(size % tsdl::kernels::bias_group == 0);
        const Index tasks = directions * ((B + size - 1) / size);
        return (tasks + threads - 1) / threads * std::min(size, B);
      };
      CHECK(tsdl::Extent::best_tile(B, directions, 1, far) == (far ? 64 : 16));
      Index before = latest(1), later = 0;
      for (Index threads = 2; threads <= 64; ++threads) {
        const Index now = latest(threads);
        later += now > before + before / 8;
        before = std::min(before, now);
      }
      CAPTURE(B);
      CHECK(later == 0);
    }
}

TEST_CASE_TEMPLATE("a window's outputs do not depend on batch, place, or layout, bit for bit", Cell,
                   tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>,
                   tsdl::GRUCell<double>) {
  using Scalar = typename Cell::Scalar;
  for (const bool two : {false, true}) {
    Net<Cell> net(3, 2 * tsdl::kernels::lanes<Scalar> + 3, 2, two);
    const Index T = 6, N = 40;
    tsdl::RandomStream random(1);
    for (const Index stride : {1, 2}) {
      const auto series = test::draw<Scalar>(random, (T + (N - 1) * stride) * net.I);
      std::vector<std::vector<Scalar>> alone;
      tsdl::StackCache<Scalar> cache;
      for (Index b = 0; b < N; ++b) {
        const auto one = test::windows(series.data() + b * stride * net.I, net.I, T, 1, stride);
        net.stack.forward(one, cache);
        alone.push_back(outputs_of(net.stack, cache, 0));
      }
      for (Index B = 1; B <= N; ++B)
        for (const Index first : {Index{0}, N - B}) {
          const auto strided =
              test::windows(series.data() + first * stride * net.I, net.I, T, B, stride);
          const auto copy = test::gathered(strided);
          Index different = 0;
          for (const bool training : {false, true}) {
            for (const auto& view : {strided, test::dense(copy, net.I, T, B)}) {
              net.stack.forward(view, cache, {.training = training});
              for (Index b = 0; b < B; ++b)
                different +=
                    outputs_of(net.stack, cache, b) != alone[static_cast<std::size_t>(first + b)];
            }
          }
          INFO("B ", B, " first ", first, " stride ", stride, " two ", two);
          CHECK(different == 0);
        }
    }
  }
}

TEST_CASE_TEMPLATE("wide layers, whose tiles are larger: the same bits for every number of threads",
                   Cell, tsdl::LSTMCell<float>, tsdl::GRUCell<float>) {
  const Index T = 3, B = 75;
  Net<Cell> net(5, 301, 1, false);
  tsdl::RandomStream random(6);
  const auto x = test::draw<float>(random, T * B * net.I),
             dy = test::draw<float>(random, B * net.H);
  const int threads = tsdl::thread_count();
  std::vector<std::vector<float>> outputs, dxs;
  std::vector<std::vector<std::vector<float>>> gradients;
  for (const int count : {1, 2, 40}) {
    tsdl::set_thread_count(count);
    tsdl::StackCache<float> cache;
    std::vector<float> dx(x.size());
    net.stack.zero_gradients();
    net.stack.forward(test::dense(x, net.I, T, B), cache, {.training = true});
    outputs.push_back(test::outputs(net.stack, cache));
    net.stack.backward(test::dense(x, net.I, T, B), cache,
                       {.dy = test::dense(dy, net.H, Index{1}, B),
                        .steps = tsdl::Steps::last,
                        .dx = test::dense(dx, net.I, T, B)});
    gradients.push_back(test::gradients(net.stack));
    dxs.push_back(dx);
  }
  tsdl::set_thread_count(threads);
  for (std::size_t i = 1; i < outputs.size(); ++i) {
    CHECK(outputs[i] == outputs[0]);
    CHECK(dxs[i] == dxs[0]);
    CHECK(gradients[i] == gradients[0]);
  }
  CHECK(test::largest(dxs[0]) > 0.0);
}

TEST_CASE_TEMPLATE(
    "strided and dense windows give the same gradients: those of W_ih to rounding, all others bit "
    "for bit",
    Cell, tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>,
    tsdl::GRUCell<double>) {
  // The first layer sums da over the windows that share a column before it multiplies.
  CHECK(compare_layouts<Cell>({3, 19, 21}, 5, 2) > 0);

  // Over odd sizes. A few sums may come out the same, in W_ih of one column and small batches.
  tsdl::RandomStream random(9);
  Index different = 0, shared = 0;
  for (const test::Sizes& sizes : test::odd_sizes(random)) {
    const Index T = 2 + static_cast<Index>(random.below(4)),
                stride = 1 + static_cast<Index>(random.below(2));
    different += compare_layouts<Cell>(sizes, T, stride);
    shared += sizes.B > 1 && stride < T ? 2 : 0;  // directions
  }
  CHECK(shared > 40);
  CHECK(different > shared * 3 / 4);
}

TEST_CASE_TEMPLATE("steps that nobody reads are skipped without a trace", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  for (const bool two : {false, true})
    for (const tsdl::Steps steps : {tsdl::Steps::last, tsdl::Steps::each_direction_end}) {
      Net<Cell> net(2, 5, 2, two);
      const Index T = 5, B = 3, D = two ? 2 : 1, width = D * net.H;
      tsdl::RandomStream random(4);
      const auto x = test::draw<double>(random, T * B * net.I);
      tsdl::StackCache<double> all, some;
      net.stack.forward(test::dense(x, net.I, T, B), all);
      net.stack.forward(test::dense(x, net.I, T, B), some, {.steps = steps});
      for (Index b = 0; b < B; ++b)
        for (Index d = 0; d < D; ++d) {
          const Index t = steps == tsdl::Steps::each_direction_end && d == 1 ? 0 : T - 1;
          CHECK(net.stack.output(all, t, b, d) == net.stack.output(some, t, b, d));
        }

      // The same upstream gradient as one column a sample, and spread over T steps of zeros.
      const auto dy = test::draw<double>(random, B * width);
      std::vector<double> spread(static_cast<std::size_t>(T * B * width), 0.0);
      for (Index b = 0; b < B; ++b)
        for (Index j = 0; j < width; ++j) {
          const Index t = steps == tsdl::Steps::each_direction_end && j >= net.H ? 0 : T - 1;
          spread[static_cast<std::size_t>((t * B + b) * width + j)] =
              dy[static_cast<std::size_t>(b * width + j)];
        }
      const Passed dense =
          pass(net, x, spread, T, B, tsdl::Steps::all, false, tsdl::Steps::all, B * width);
      for (const bool states : {false, true})
        for (const bool asked_for_all : {false, true}) {
          INFO("two ", two, " steps ", static_cast<int>(steps), " states ", states, " all ",
               asked_for_all);
          const Passed sparse =
              pass(net, x, dy, T, B, asked_for_all ? tsdl::Steps::all : steps, states, steps, 0);
          CHECK(test::largest_difference(sparse.dx, dense.dx) <= 1e-15);
          for (std::size_t n = 0; n < dense.parameters.size(); ++n)
            CHECK(test::largest_difference(sparse.parameters[n], dense.parameters[n]) <=
                  1e-14 * std::max(1.0, test::largest(dense.parameters[n])));
        }
    }
}

TEST_CASE_TEMPLATE("a step stride of 0 sends one upstream column into every step", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  Net<Cell> net(2, 5, 1, true);
  const Index T = 4, B = 3, width = 10;
  tsdl::RandomStream random(4);
  const auto x = test::draw<double>(random, T * B * net.I),
             dy = test::draw<double>(random, B * width);
  std::vector<double> repeated;
  for (Index t = 0; t < T; ++t) repeated.insert(repeated.end(), dy.begin(), dy.end());
  const auto all = tsdl::Steps::all;
  const Passed once = pass(net, x, dy, T, B, all, false, all, 0);
  const Passed many = pass(net, x, repeated, T, B, all, false, all, B * width);
  CHECK(once.dx == many.dx);
  CHECK(once.parameters == many.parameters);
}

TEST_CASE("a null initial state is zeros, and each half may be given alone") {
  Net<tsdl::LSTMCell<double>> net(2, 5, 2, true);
  const Index T = 3, B = 2, state = 4 * B * net.H;
  tsdl::RandomStream random(4);
  const auto x = test::draw<double>(random, T * B * net.I), h0 = test::draw<double>(random, state);
  const std::vector<double> zeros(static_cast<std::size_t>(state), 0.0);
  const auto run = [&](const double* h, const double* c) {
    tsdl::StackCache<double> cache;
    net.stack.forward(test::dense(x, net.I, T, B), cache, {.h0 = h, .c0 = c});
    return test::outputs(net.stack, cache);
  };
  CHECK(run(nullptr, nullptr) == run(zeros.data(), zeros.data()));
  CHECK(run(h0.data(), nullptr) == run(h0.data(), zeros.data()));
  CHECK(run(nullptr, h0.data()) == run(zeros.data(), h0.data()));
  CHECK(run(h0.data(), nullptr) != run(nullptr, nullptr));
  CHECK(run(nullptr, h0.data()) != run(nullptr, nullptr));
}

TEST_CASE("a GRU starts from h0, and has no cell state to give or take") {
  Net<tsdl::GRUCell<double>> net(2, 5, 2, true);
  const Index T = 3, B = 2, state = 4 * B * net.H;
  tsdl::RandomStream random(4);
  const auto x = test::draw<double>(random, T * B * net.I), h0 = test::draw<double>(random, state);
  const std::vector<double> zeros(static_cast<std::size_t>(state), 0.0);
  std::vector<double> out(zeros);
  const auto view = test::dense(x, net.I, T, B);
  tsdl::StackCache<double> cache;
  const auto run = [&](const double* h) {
    net.stack.forward(view, cache, {.training = true, .want_h_n = true, .h0 = h});
    return test::outputs(net.stack, cache);
  };
  CHECK(run(nullptr) == run(zeros.data()));
  CHECK(run(nullptr) != run(h0.data()));
  CHECK_NOTHROW(net.stack.final_state(cache, out.data(), nullptr));
  CHECK_THROWS_WITH_AS(net.stack.forward(view, cache, {.c0 = h0.data()}),
                       "GRU::forward: c0: there is no cell state", tsdl::ShapeError);
  CHECK_THROWS_AS(net.stack.final_state(cache, nullptr, out.data()), tsdl::ShapeError);
  CHECK_THROWS_AS(net.stack.backward(view, cache, {.dc_n = h0.data()}), tsdl::ShapeError);
  CHECK_THROWS_AS(net.stack.backward(view, cache, {.dc0 = out.data()}), tsdl::ShapeError);
}

TEST_CASE_TEMPLATE("an initial state of an earlier pass does not linger in a reused cache", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  Net<Cell> net(2, 5, 2, true);
  tsdl::RandomStream random(4);
  const auto x = test::draw<double>(random, 7 * 20 * net.I);
  const auto state = test::draw<double>(random, 4 * 20 * net.H);
  const auto run = [&](tsdl::StackCache<double>& cache, Index T, Index B, const double* h0) {
    const auto view = test::dense(x, net.I, T, B);
    const std::vector<double> dy(static_cast<std::size_t>(T * B * 2 * net.H), 1.0);
    net.stack.zero_gradients();
    const double* c0 = Cell::cell_vectors > 0 ? h0 : nullptr;
    net.stack.forward(view, cache,
                      {.training = true, .want_h_n = h0 != nullptr, .h0 = h0, .c0 = c0});
    net.stack.backward(view, cache, {.dy = test::dense(dy, 2 * net.H, T, B)});
    return std::pair(test::outputs(net.stack, cache), test::gradients(net.stack));
  };
  tsdl::StackCache<double> fresh, used;
  run(used, 7, 20, state.data());
  CHECK(run(used, 3, 2, nullptr) == run(fresh, 3, 2, nullptr));
  CHECK(run(used, 5, 18, nullptr) == run(fresh, 5, 18, nullptr));
}

TEST_CASE_TEMPLATE("backward adds to the gradients of parameters and assigns those of inputs", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  Net<Cell> net(2, 5, 1, true);
  const Index T = 3, B = 2;
  tsdl::RandomStream random(4);
  const auto x = test::draw<double>(random, T * B * net.I),
             dy = test::draw<double>(random, T * B * 10);
  const auto view = test::dense(x, net.I, T, B);
  std::vector<double> dx(x.size(), 5.0);
  std::vector<std::vector<std::vector<double>>> gradients;
  std::vector<std::vector<double>> dxs;
  tsdl::StackCache<double> cache;
  net.stack.zero_gradients();
  for (int n = 0; n < 2; ++n) {
    net.stack.forward(view, cache, {.training = true});
    net.stack.backward(view, cache,
                       {.dy = test::dense(dy, 10, T, B), .dx = test::dense(dx, net.I, T, B)});
    gradients.push_back(test::gradients(net.stack));
    dxs.push_back(dx);
  }
  CHECK(dxs[0] == dxs[1]);
  for (std::size_t n = 0; n < gradients[0].size(); ++n) {
    auto twice = gradients[0][n];
    for (double& value : twice) value *= 2.0;
    CHECK(twice == gradients[1][n]);
  }
}

TEST_CASE_TEMPLATE("concurrent forwards with separate caches give the bits of one alone", Cell,
                   tsdl::LSTMCell<float>, tsdl::GRUCell<float>) {
  Net<Cell> net(5, 33, 2, true);
  const Index T = 20, B = 9;
  tsdl::RandomStream random(4);
  const auto x = test::draw<float>(random, T * B * net.I),
             z = test::draw<float>(random, T * B * net.I);
  const auto& stack = net.stack;
  const auto run = [&](const std::vector<float>& input) {
    tsdl::StackCache<float> cache;
    std::vector<float> values;
    for (int n = 0; n < 10; ++n) {
      stack.forward(test::dense(input, net.I, T, B), cache);
      values = test::outputs(stack, cache);
    }
    return values;
  };
  const auto x_alone = run(x), z_alone = run(z);
  std::vector<float> x_beside, z_beside;
  std::thread one([&] { x_beside = run(x); }), other([&] { z_beside = run(z); });
  one.join();
  other.join();
  CHECK(x_beside == x_alone);
  CHECK(z_beside == z_alone);
}

TEST_CASE_TEMPLATE("a stack refuses options out of range", Cell, tsdl::LSTMCell<float>,
                   tsdl::GRUCell<float>) {
  const auto make = [](const tsdl::RecurrentOptions& options) {
    tsdl::RecurrentStack<Cell> stack(options);
  };
  CHECK_NOTHROW(make({.input_size = 1, .hidden_size = 1, .dropout = 0.99}));
  CHECK_THROWS_AS(make({.input_size = 0, .hidden_size = 4}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 0}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = -4}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .num_layers = 0}), tsdl::ShapeError);
  for (const double dropout : {1.0, 1.5, -0.1, std::nan(""), HUGE_VAL})
    CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .dropout = dropout}),
                    tsdl::OptionError);
}

TEST_CASE_TEMPLATE("a stack refuses sequences and gradients of other shapes", Cell,
                   tsdl::LSTMCell<float>, tsdl::GRUCell<float>) {
  Net<Cell> net(3, 5, 1, true);
  const Index T = 4, B = 2, width = 10;
  std::vector<float> x(static_cast<std::size_t>(T * B * 4), 0.5f), dy(200, 1.0f), dx(200),
      state(200);
  tsdl::StackCache<float> cache;
  const auto view = test::dense(std::as_const(x), 3, T, B);
  CHECK_THROWS_AS(net.stack.forward(test::dense(std::as_const(x), 2, T, B), cache),
                  tsdl::ShapeError);
  CHECK_THROWS_AS(net.stack.forward(test::dense(std::as_const(x), 4, T, B), cache),
                  tsdl::ShapeError);
  CHECK_THROWS_AS(net.stack.forward(test::dense(std::as_const(x), 3, 0, B), cache),
                  tsdl::ShapeError);
  CHECK_THROWS_AS(net.stack.forward(test::dense(std::as_const(x), 3, T, 0), cache),
                  tsdl::ShapeError);

  SUBCASE("backward without a training forward, or twice") {
    CHECK_THROWS_AS(net.stack.backward(view, cache, {}), tsdl::Error);
    net.stack.forward(view, cache);
    CHECK_THROWS_AS(net.stack.backward(view, cache, {}), tsdl::Error);
    net.stack.forward(view, cache, {.training = true});
    CHECK_NOTHROW(net.stack.backward(view, cache, {}));
    CHECK_THROWS_AS(net.stack.backward(view, cache, {}), tsdl::Error);
  }
  SUBCASE("final states that forward was not asked for") {
    net.stack.forward(view, cache, {.training = true});
    CHECK_THROWS_AS(net.stack.final_state(cache, state.data(), nullptr), tsdl::Error);
    CHECK_THROWS_AS(net.stack.backward(view, cache, {.dh_n = state.data()}), tsdl::ShapeError);
    CHECK_THROWS_AS(net.stack.backward(view, cache, {.dc_n = state.data()}), tsdl::ShapeError);
  }
  SUBCASE("other gradients, or another x") {
    const auto refused = [&](const tsdl::BackwardOptions<float>& options,
                             const tsdl::Sequence<const float>& given) {
      net.stack.zero_gradients();
      net.stack.forward(view, cache, {.training = true});
      CHECK_THROWS_AS(net.stack.backward(given, cache, options), tsdl::ShapeError);
      for (const auto& gradient : test::gradients(net.stack)) CHECK(test::largest(gradient) == 0.0);
    };
    const auto good = test::dense(std::as_const(dy), width, T, B);
    refused({.dy = test::dense(std::as_const(dy), 5, T, B)}, view);
    refused({.dy = test::dense(std::as_const(dy), width, T, B - 1)}, view);
    refused({.dy = test::dense(std::as_const(dy), width, T - 1, B)}, view);
    refused({.dy = good}, test::dense(std::as_const(x), 3, T - 1, B));
    refused({.dy = good}, test::dense(std::as_const(x), 3, T, B - 1));
    refused({.dy = good, .dx = test::dense(dx, 3, T, B - 1)}, view);
    refused({.dy = good, .dx = test::dense(dx, 3, T - 1, B)}, view);
    refused({.dy = good, .dx = test::dense(dx, 2, T, B)}, view);
    refused({.dy = good, .dx = {dx.data(), 3, T, B, 3, 3}}, view);  // overlapping windows
  }
  SUBCASE("gradients into steps that did not run") {
    for (const tsdl::Steps steps : {tsdl::Steps::all, tsdl::Steps::each_direction_end}) {
      net.stack.forward(view, cache, {.steps = tsdl::Steps::last, .training = true});
      CHECK_THROWS_AS(
          net.stack.backward(view, cache,
                             {.dy = test::dense(std::as_const(dy), width, T, B), .steps = steps}),
          tsdl::ShapeError);
    }
  }
}

#ifndef _WIN32
TEST_CASE("samples far apart are read where they are, and nothing between them") {
  // 8 GiB of addresses of which the first and the last pages can be read.
  constexpr std::size_t bytes = std::size_t{8} << 30, page = std::size_t{1} << 16;
  void* all = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(all != MAP_FAILED);
  auto* first = static_cast<float*>(all);
  float* last = first + (bytes - page) / sizeof(float);
  REQUIRE(::mprotect(first, page, PROT_READ | PROT_WRITE) == 0);
  REQUIRE(::mprotect(last, page, PROT_READ | PROT_WRITE) == 0);
  const Index I = 2, T = 6;
  tsdl::RandomStream random(1);
  const auto values = test::draw<float>(random, 2 * T * I);
  const Index far = last - first;
  for (const bool samples : {true, false}) {  // two samples of T steps, or T samples of two steps
    CAPTURE(samples);
    std::copy_n(values.data(), T * I, first);
    std::copy_n(values.data() + T * I, T * I, last);
    const tsdl::Sequence<const float> view =
        samples ? tsdl::Sequence<const float>{first, I, T, 2, I, far}
                : tsdl::Sequence<const float>{first, I, 2, T, far, I};
    std::vector<float> copy(values.size());
    tsdl::copy_dense(view, copy.data());
    const auto dense = test::dense(std::as_const(copy), I, view.steps, view.batch);
    for (const bool both : {false, true}) {
      tsdl::GRU<float> gru({.input_size = I, .hidden_size = 20, .bidirectional = both}, 3);
      std::vector<std::vector<float>> outputs;
      std::vector<std::vector<std::vector<float>>> gradients;
      for (const tsdl::Sequence<const float>& x : {view, dense}) {
        tsdl::StackCache<float> cache;
        gru.zero_gradients();
        gru.forward(x, cache, {.training = true, .want_h_n = true});
        outputs.push_back(test::outputs(gru, cache));
        const std::vector<float> dh(static_cast<std::size_t>(view.batch * 40), 1.0f);
        gru.backward(x, cache, {.dh_n = dh.data()});
        gradients.push_back(test::gradients(gru));
        CHECK(cache.layers[0].direction[0].projection.size() <= 12 * 100);
      }
      CHECK(outputs[0] == outputs[1]);
      CHECK(gradients[0] == gradients[1]);
    }
  }
  ::munmap(all, bytes);
}
#endif
