// A layer by itself: an LSTM on Eigen matrices, a loss of your own, its gradient, and AdamW.
//
// It learns to say what comes next in sine waves that it has never seen the end of.
#include <Eigen/Core>
#include <cmath>
#include <cstdio>
#include <tsdl/lstm.hpp>

/// A recurrent layer and a linear one: together what an optimizer updates (tsdl::Module).
struct Net {
  using Scalar = double;
  explicit Net(tsdl::Index hidden)
      : lstm({.input_size = 1, .hidden_size = hidden}, /*seed=*/1, "lstm."),
        head(hidden, 1, /*seed=*/2, "head.") {}

  void visit(auto&& f) { lstm.visit(f), head.visit(f); }
  void visit(auto&& f) const { lstm.visit(f), head.visit(f); }
  void repack() { lstm.repack(), head.repack(); }
  void zero_gradients() { lstm.zero_gradients(), head.zero_gradients(); }

  tsdl::LSTM<double> lstm;
  tsdl::Linear<double> head;
};

int main() {
  constexpr tsdl::Index T = 20, B = 64, H = 16;  // steps, samples, hidden units
  // Step t of sample b is column t * B + b. The target is the value after the last step.
  Eigen::MatrixXd X(1, T * B), y(1, B);
  tsdl::RandomStream random(/*seed=*/3);
  for (tsdl::Index b = 0; b < B; ++b) {
    const double phase = random.uniform(0, 6.28), step = random.uniform(0.2, 0.6);
    for (tsdl::Index t = 0; t < T; ++t)
      X(0, t * B + b) = std::sin(phase + step * static_cast<double>(t));
    y(0, b) = std::sin(phase + step * static_cast<double>(T));
  }

  Net net(H);
  tsdl::Optimizer optimizer(net, tsdl::AdamW{.lr = 1e-2});
  tsdl::LSTM<double>::Cache cache;  // what backward needs of forward; reused, nothing is allocated
  tsdl::Linear<double>::Cache head_cache;
  const tsdl::Sequence<const double> x(X, T);  // a view of the matrix
  Eigen::MatrixXd h(H, B), dh(H, B), prediction(1, B), dprediction(1, B);
  for (int update = 0; update <= 300; ++update) {
    net.zero_gradients();
    net.lstm.forward(x, cache, {.steps = tsdl::Steps::last, .training = true});
    for (tsdl::Index b = 0; b < B; ++b) h.col(b) = net.lstm.output(cache, T - 1, b, 0);
    net.head.forward(prediction.data(), h.data(), B);

    // The loss: the mean of log cosh(error). Its derivative: tanh(error) / B.
    const Eigen::ArrayXXd error = (prediction - y).array();
    if (update % 100 == 0)
      std::printf("update %3d, loss %.6f\n", update, error.cosh().log().mean());
    dprediction = error.tanh() / static_cast<double>(B);

    net.head.backward(dh.data(), dprediction.data(), h.data(), B, head_cache);
    net.lstm.backward(x, cache, {.dy = {dh, 1}, .steps = tsdl::Steps::last});
    optimizer.step(net);
  }
}
