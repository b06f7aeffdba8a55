// RTNeural as a contestant: a model of one LSTM layer with sizes known at compile time, which is
// what it is made for, and its Eigen backend. It infers one step of one sample; the other work it
// does not do.
#include <RTNeural/RTNeural.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "contest.hpp"
#include "training.hpp"

namespace {

using peers::Index, peers::Job, peers::Kind, peers::Tensor, peers::Work;

/// A weight of PyTorch's shape as RTNeural takes it: [input][gate, unit]. Gates are i f g o in
/// both.
std::vector<std::vector<float>> by_inputs(const Tensor& tensor) {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(tensor.cols));
  for (Index k = 0; k < tensor.cols; ++k)
    for (Index row = 0; row < tensor.rows; ++row)
      out[static_cast<std::size_t>(k)].push_back(
          tensor.values[static_cast<std::size_t>(row * tensor.cols + k)]);
  return out;
}

template <int H>
class Stream : public Job {
 public:
  explicit Stream(const Work& work) {
    const auto given = peers::tensors(work.network);
    auto& layer = model_.template get<0>();
    layer.setWVals(by_inputs(given[0]));
    layer.setUVals(by_inputs(given[1]));
    std::vector<float> bias = given[2].values;
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] += given[3].values[i];
    layer.setBVals(bias);
    model_.reset();
    const auto values = peers::series(work.network, peers::stream_columns);
    for (Index i = 0; i < peers::stream_columns; ++i)
      std::copy_n(values.begin() + i * I, I, series_.begin() + i * stride);
  }

  void call() override {
    model_.forward(series_.data() + next_ * stride);
    next_ = (next_ + 1) % peers::stream_columns;
  }

  std::vector<double> result() override { return {model_.getOutputs(), model_.getOutputs() + H}; }

 private:
  static constexpr int I = 23;
  static constexpr Index stride = 32;  // it reads whole vectors from aligned columns

  RTNeural::ModelT<float, I, H, RTNeural::LSTMLayerT<float, I, H>> model_;
  peers::Floats series_ = peers::Floats(peers::stream_columns * stride);
  Index next_ = 0;
};

std::unique_ptr<Job> make(const Work& work) {
  if (work.kind != Kind::stream || work.half_width) return nullptr;
  switch (work.network.hidden) {
    case 8:
      return std::make_unique<Stream<8>>(work);
    case 16:
      return std::make_unique<Stream<16>>(work);
    case 32:
      return std::make_unique<Stream<32>>(work);
    case 64:
      return std::make_unique<Stream<64>>(work);
    case 128:
      return std::make_unique<Stream<128>>(work);
    default:
      return nullptr;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return peers::serve(argc, argv,
                      {.about = "RTNeural",
                       .set_threads = [](int) {},  // it has one
                       .make = make});
}
