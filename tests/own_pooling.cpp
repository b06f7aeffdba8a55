// A pooling of one's own: the largest value over time of each output of a one-directional encoder.
#include "support/own.hpp"

struct MaxPooling {
  using Scalar = float;
  struct Cache {
    tsdl::Buffer<float> dy;  // [T][B][width]
  };
  explicit MaxPooling(tsdl::Index width) : width_(width) {}
  MaxPooling(const tsdl::Config&, tsdl::Index width) : width_(width) {}
  void describe(tsdl::Config& config) const { config.options["pooling"] = "max"; }
  tsdl::Steps steps() const { return tsdl::Steps::all; }
  tsdl::Index output_size() const { return width_; }
  static tsdl::Index best(const tsdl::Encoded<float>& y, tsdl::Index b, tsdl::Index i) {
    tsdl::Index at = 0;
    for (tsdl::Index t = 1; t < y.columns.steps; ++t)
      if (y.segment(t, b, 0)[i] > y.segment(at, b, 0)[i]) at = t;
    return at;
  }
  void forward(float* rows, const tsdl::Encoded<float>& y, Cache&) const {
    for (tsdl::Index n = 0; n < y.columns.batch * width_; ++n)
      rows[n] = y.segment(best(y, n / width_, n % width_), n / width_, 0)[n % width_];
  }
  tsdl::Upstream<float> backward(const float* drows, const tsdl::Encoded<float>& y, Cache& cache) {
    const tsdl::Index T = y.columns.steps, size = y.columns.batch * width_;
    cache.dy.assign(T * size, 0.0f);
    for (tsdl::Index n = 0; n < size; ++n)
      cache.dy[best(y, n / width_, n % width_) * size + n] = drows[n];
    return {tsdl::Sequence<const float>::dense(cache.dy.data(), width_, T, y.columns.batch)};
  }
  tsdl::Index width_;
};

TEST_CASE("a pooling of one's own is trained, saved, loaded, predicts and streams") {
  using Encoder = tsdl::RecurrentEncoder<tsdl::GRUCell<float>, 1>;
  const tsdl::ClassifierOptions options{.input_size = 2, .hidden_size = 8};
  tsdl::Network<Encoder, MaxPooling> model(Encoder(options, 1), MaxPooling(8), {}, 1);
  test::check_own_model(model, false);
}
