// An encoder of one's own: the causal mean of the rows so far, times one learnt weight per input.
// In a Network it is trained, saved, loaded, predicts and streams without a change to the library.
#include "support/own.hpp"

namespace {
using tsdl::Index, tsdl::Sequence;

struct MovingAverage {
  using Scalar = float;
  struct Cache {
    tsdl::Buffer<float> means, columns;  // [T][B][I]
  };
  explicit MovingAverage(Index inputs)
      : weight_(tsdl::Parameter<float>::vector("average.weight", inputs)) {
    weight_.value.assign(inputs, 1.0f);
  }
  MovingAverage(const tsdl::Config& config, std::uint64_t)
      : MovingAverage(config.index("input_size")) {}
  void describe(tsdl::Config& config) const {
    config.kind = "moving_average";
    config.options["input_size"] = input_size();
  }
  Index input_size() const { return weight_.rows; }
  Index output_size() const { return weight_.rows; }
  bool is_causal() const { return true; }
  void visit(auto&& f) { f(weight_); }
  void visit(auto&& f) const { f(weight_); }
  void repack() {}
  void zero_gradients() { weight_.zero_gradient(); }

  Sequence<const float> forward(const Sequence<const float>& x, Cache& cache,
                                const tsdl::EncoderPass&) const {
    const Index I = x.inputs, row = x.batch * I, size = x.steps * row;
    for (auto* buffer : {&cache.means, &cache.columns}) buffer->resize(size);
    for (Index i = 0; i < size; ++i) {  // m[t] = m[t-1] + (x[t] - m[t-1]) / (t + 1)
      const float before = i >= row ? cache.means[i - row] : 0.0f;
      const float now = x.column(i / row, i % row / I)[i % I];
      cache.means[i] = before + (now - before) / static_cast<float>(i / row + 1);
      cache.columns[i] = weight_.value[i % I] * cache.means[i];
    }
    return Sequence<const float>::dense(cache.columns.data(), I, x.steps, x.batch);
  }
  void backward(const Sequence<const float>& x, Cache& cache, const tsdl::Upstream<float>& dy,
                const Sequence<float>&) {
    const Index I = x.inputs, B = x.batch;
    for (Index n = 0; n < x.steps * B; ++n)
      if (const float* d = dy.at(n / B, n % B, x.steps))
        for (Index i = 0; i < I; ++i) weight_.gradient[i] += d[i] * cache.means[n * I + i];
  }
  tsdl::Parameter<float> weight_;
};
static_assert(tsdl::Encoder<MovingAverage>);

}  // namespace
TEST_CASE("an encoder of one's own is trained, saved, loaded, predicts and streams") {
  for (const tsdl::Pooling pooling : tsdl::poolings) {
    tsdl::Network<MovingAverage> model(MovingAverage(2), {.pooling = pooling}, 1);
    test::check_own_model(model, pooling == tsdl::Pooling::each);
  }
}
