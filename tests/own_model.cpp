// A model of one's own that is no Network: a linear regression on a window's last row. It is
// trained, saved, loaded, predicts and streams without a change to the library.
#include "support/own.hpp"

namespace {

using tsdl::Index, tsdl::Parameter;

class LastRow : public tsdl::ModelBase<double> {
 public:
  struct Cache {
    tsdl::Buffer<double> outputs;
  };
  explicit LastRow(Index inputs)
      : ModelBase(1),
        weight_(Parameter<double>::vector("weight", inputs)),
        bias_(Parameter<double>::vector("bias", 1)) {}
  LastRow(const tsdl::Config& config, std::uint64_t) : LastRow(config.index("inputs")) {}
  tsdl::Config describe() const { return tsdl::Config("last_row", {{"inputs", inputs()}}); }
  Index inputs() const { return weight_.rows; }
  Index outputs() const { return 1; }
  void visit(auto&& f) { f(weight_), f(bias_); }
  void visit(auto&& f) const { f(weight_), f(bias_); }
  void repack() {}
  void zero_gradients() {
    visit([](auto& parameter) { parameter.zero_gradient(); });
  }

  tsdl::Outputs<double> forward(const tsdl::Batch<double>& batch, Cache& cache,
                                const tsdl::Pass&) const {
    cache.outputs.resize(batch.size());
    for (Index b = 0; b < batch.size(); ++b) {
      const double* x = batch.past.column(batch.past.steps - 1, b);
      cache.outputs[b] = bias_.value[0];
      for (Index i = 0; i < inputs(); ++i) cache.outputs[b] += weight_.value[i] * x[i];
    }
    return {cache.outputs.data(), 1, batch.size()};
  }
  void backward(const tsdl::Batch<double>& batch, Cache&, const double* doutputs) {
    for (Index b = 0; b < batch.size(); ++b) {
      const double* x = batch.past.column(batch.past.steps - 1, b);
      for (Index i = 0; i < inputs(); ++i) weight_.gradient[i] += doutputs[b] * x[i];
      bias_.gradient[0] += doutputs[b];
    }
  }

 private:
  Parameter<double> weight_, bias_;
};
static_assert(tsdl::Model<LastRow>);

}  // namespace

TEST_CASE("a model of one's own is trained, saved, loaded, predicts and streams") {
  LastRow model(2);
  test::check_own_model(model, false);
}
