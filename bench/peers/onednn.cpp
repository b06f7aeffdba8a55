// oneDNN 2 or 3 as a contestant: one RNN primitive a layer, in the weight formats that it asks for.
// It has no optimiser, and for products as small as the linear layer's a primitive costs more than
// the work: both are plain code.
#include <omp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "contest.hpp"
#include "onednn_layer.hpp"
#include "training.hpp"

namespace {

using dnnl::memory;
using peers::Index, peers::Job, peers::Kind, peers::Network, peers::Work;
namespace onednn = peers::onednn;

template <class Cell>
class NetworkJob : public Job {
 public:
  explicit NetworkJob(const Work& work)
      : work_(work),
        n_(work.network),
        x_(work.kind == Kind::stream ? peers::series(n_, peers::stream_columns)
                                     : peers::windows(n_, work.batch)),
        labels_(peers::labels(n_, work.batch)) {
    layers_.reserve(static_cast<std::size_t>(n_.layers));
    for (Index l = 0; l < n_.layers; ++l) fc_ += layers_.emplace_back(n_, l, work).size();
    parameters_.allocate(fc_ + n_.outputs * (width() + 1));
    connect();
    logits_.resize(static_cast<std::size_t>(n_.outputs * work.batch));
    dlogits_ = logits_;
  }

  void call() override {
    if (work_.kind == Kind::stream) {
      input_.set_data_handle(x_.data() + next_ * n_.inputs);
      next_ = (next_ + 1) % peers::stream_columns;
    }
    for (Layer& layer : layers_) layer.forward();
    if (n_.outputs > 0) linear();
    if (work_.kind != Kind::train) return;
    loss_ = peers::loss(logits_.data(), labels_, n_.outputs, dlogits_.data());
    std::fill(parameters_.gradients.begin(), parameters_.gradients.end(), 0.0f);
    linear_back();
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) layer->backward();
    norm_ = parameters_.update(work_.learning_rate());
    for (Layer& layer : layers_) layer.pack();
  }

  std::vector<double> result() override {
    if (work_.kind == Kind::train) return {loss_, norm_};
    if (work_.kind == Kind::infer) return {logits_.begin(), logits_.end()};
    const float* h = static_cast<const float*>(layers_[0].h.get_data_handle());
    return {h, h + n_.hidden};
  }

 private:
  using Layer = onednn::Layer<Cell>;

  /// Hands each layer its tensors, parameters and neighbours; the linear layer's tensors come last.
  void connect() {
    const auto first = onednn::describe({n_.steps, work_.batch, n_.inputs}, onednn::Format::tnc);
    input_ = memory(first, onednn::engine(), x_.data());
    memory input = input_, dinput(first, onednn::engine());
    const auto tensors = peers::tensors(n_);
    auto tensor = tensors.begin();
    float *values = parameters_.values.data(), *gradients = parameters_.gradients.data();
    for (Layer& layer : layers_) {
      layer.connect(values, gradients, input, dinput, tensor);
      values += layer.size();
      gradients += layer.size();
      input = layer.output;
      dinput = layer.doutput;
    }
    for (; tensor != tensors.end(); ++tensor)
      values = std::copy(tensor->values.begin(), tensor->values.end(), values);
  }

  Index width() const { return n_.directions * n_.hidden; }

  /// The last step of the top layer's output, or of its gradient: [batch][width].
  float* last(const memory& steps) const {
    return static_cast<float*>(steps.get_data_handle()) + (n_.steps - 1) * work_.batch * width();
  }

  void linear() {
    const Index W = width(), K = n_.outputs;
    const float *y = last(layers_.back().output), *fc = parameters_.values.data() + fc_;
    for (Index b = 0; b < work_.batch; ++b)
      for (Index k = 0; k < K; ++k) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < W; ++j) sum += fc[k * W + j] * y[b * W + j];
        logits_[static_cast<std::size_t>(b * K + k)] = sum + fc[K * W + k];
      }
  }

  void linear_back() {
    const Index W = width(), K = n_.outputs;
    const float *y = last(layers_.back().output), *fc = parameters_.values.data() + fc_;
    float *dy = last(layers_.back().doutput), *dfc = parameters_.gradients.data() + fc_;
    std::fill_n(dy, work_.batch * W, 0.0f);
    for (Index b = 0; b < work_.batch; ++b)
      for (Index k = 0; k < K; ++k) {
        const float d = dlogits_[static_cast<std::size_t>(b * K + k)];
#pragma omp simd
        for (Index j = 0; j < W; ++j) {
          dfc[k * W + j] += d * y[b * W + j];
          dy[b * W + j] += d * fc[k * W + j];
        }
        dfc[K * W + k] += d;
      }
  }

  Work work_;
  Network n_;
  std::vector<float> x_;
  std::vector<int> labels_;
  peers::Parameters parameters_;
  memory input_;
  std::vector<Layer> layers_;
  std::vector<float> logits_, dlogits_;
  Index fc_ = 0, next_ = 0;
  double loss_ = 0, norm_ = 0;
};

std::unique_ptr<Job> make(const Work& work) {
  if (work.dense || work.network.transformer()) return nullptr;
  if (work.network.gru) return std::make_unique<NetworkJob<onednn::GRU>>(work);
  return std::make_unique<NetworkJob<onednn::LSTM>>(work);
}

}  // namespace

int main(int argc, char** argv) {
  const dnnl::version_t* version = dnnl::version();
  const std::string about = "oneDNN " + std::to_string(version->major) + '.' +
                            std::to_string(version->minor) + '.' + std::to_string(version->patch);
  const auto set_threads = [](int threads) { omp_set_num_threads(threads); };
  return peers::serve(argc, argv, {.about = about, .set_threads = set_threads, .make = make});
}
