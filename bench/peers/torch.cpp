// PyTorch as a contestant, through libtorch: nn::LSTM, nn::GRU or nn::TransformerEncoder over
// steps, then nn::Linear. Inference runs in InferenceMode. PyTorch calls the BLAS that the system
// has: OpenBLAS, where compare installs it.
#include <torch/torch.h>

#include <memory>
#include <vector>

#include "contest.hpp"

namespace {

using peers::Index, peers::Job, peers::Kind, peers::Network, peers::Work;

torch::Tensor copy(const std::vector<float>& values, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape, torch::kFloat32).clone();
}

/// Gives a module's parameters the tensors of the contest from number `first` on, and returns the
/// number of the next.
std::size_t load(torch::nn::Module& module, const Network& n, std::size_t first) {
  const torch::NoGradGuard no_gradients;
  const auto tensors = peers::tensors(n);
  for (torch::Tensor& parameter : module.parameters())
    parameter.copy_(copy(tensors[first++].values, parameter.sizes()));
  return first;
}

/// Recurrent layers and a linear layer over the last step's outputs. Sequences have the step first.
template <class Recurrent, class Options>
class RecurrentModel {
 public:
  explicit RecurrentModel(const Work& work)
      : recurrent_(Options(work.network.inputs, work.network.hidden)
                       .num_layers(work.network.layers)
                       .bidirectional(work.network.directions == 2)
                       .dropout(work.network.layers > 1 ? work.dropout() : 0.0)),
        fc_(work.network.directions * work.network.hidden, work.network.outputs) {
    load(*fc_, work.network, load(*recurrent_, work.network, 0));
    recurrent_->train(work.kind == Kind::train);
  }
  static torch::Tensor input(const Work& work) {
    const Network& n = work.network;
    return copy(peers::windows(n, work.batch), {n.steps, work.batch, n.inputs});
  }
  std::vector<torch::nn::Module*> modules() { return {recurrent_.get(), fc_.get()}; }
  torch::Tensor forward(const torch::Tensor& x) { return fc_(std::get<0>(recurrent_(x))[-1]); }

 private:
  Recurrent recurrent_;
  torch::nn::Linear fc_;
};

/// A linear layer, positions, nn::TransformerEncoder, and a linear layer over the last step or the
/// mean of all. Training has the step first, which is what the encoder's layers work in. Inference
/// has the sample first, for the fused function of one layer, which PyTorch's Python module calls.
class TransformerModel {
 public:
  explicit TransformerModel(const Work& work)
      : n_(work.network),
        training_(work.kind == Kind::train),
        input_(n_.inputs, n_.hidden),
        encoder_(torch::nn::TransformerEncoderOptions(
            torch::nn::TransformerEncoderLayerOptions(n_.hidden, n_.heads)
                .dim_feedforward(n_.feed_forward)
                .dropout(work.dropout()),
            n_.layers)),
        fc_(n_.hidden, n_.outputs),
        positions_(copy(peers::positions(n_), {n_.steps, n_.hidden})) {
    load(*fc_, n_, load(*encoder_, n_, load(*input_, n_, 0)));
    encoder_->train(training_);
    if (training_) positions_ = positions_.unsqueeze(1);
  }
  static torch::Tensor input(const Work& work) {
    const Network& n = work.network;
    if (work.kind == Kind::train)
      return copy(peers::windows(n, work.batch), {n.steps, work.batch, n.inputs});
    return copy(peers::samples(n, work.batch), {work.batch, n.steps, n.inputs});
  }
  std::vector<torch::nn::Module*> modules() { return {input_.get(), encoder_.get(), fc_.get()}; }
  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor h = input_(x) + positions_;
    const torch::Tensor y = training_ ? encoder_(h) : infer(h);
    const int step = training_ ? 0 : 1;
    return fc_(n_.mean ? y.mean(step) : y.select(step, -1));
  }

 private:
  torch::Tensor infer(torch::Tensor h) {
    for (const auto& module : *encoder_->layers) {
      auto& layer = *module->as<torch::nn::TransformerEncoderLayer>();
      const auto& attention = layer.self_attn;
      const auto &norm1 = layer.norm1, &norm2 = layer.norm2;
      h = torch::_transformer_encoder_layer_fwd(
          h, n_.hidden, n_.heads, attention->in_proj_weight, attention->in_proj_bias,
          attention->out_proj->weight, attention->out_proj->bias, false, false, 1e-5, norm1->weight,
          norm1->bias, norm2->weight, norm2->bias, layer.linear1->weight, layer.linear1->bias,
          layer.linear2->weight, layer.linear2->bias);
    }
    return h;
  }

  Network n_;
  bool training_;
  torch::nn::Linear input_;
  torch::nn::TransformerEncoder encoder_;
  torch::nn::Linear fc_;
  torch::Tensor positions_;
};

template <class Model>
class NetworkJob : public Job {
 public:
  explicit NetworkJob(const Work& work) : work_(work), model_(work), x_(Model::input(work)) {
    const auto labels = peers::labels(work.network, work.batch);
    labels_ = torch::tensor(std::vector<std::int64_t>(labels.begin(), labels.end()));
    if (work.network.outputs == 1) labels_ = labels_.to(torch::kFloat32).unsqueeze(1);
    for (torch::nn::Module* module : model_.modules())
      for (const torch::Tensor& parameter : module->parameters()) parameters_.push_back(parameter);
    optimizer_ = std::make_unique<torch::optim::AdamW>(
        parameters_, torch::optim::AdamWOptions(work.learning_rate()));
  }

  void call() override {
    if (work_.kind == Kind::infer) {
      const c10::InferenceMode inference;
      logits_ = model_.forward(x_);
      return;
    }
    for (torch::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
    const torch::Tensor logits = model_.forward(x_);
    const torch::Tensor loss =
        work_.network.outputs == 1
            ? torch::nn::functional::binary_cross_entropy_with_logits(logits, labels_)
            : torch::nn::functional::cross_entropy(logits, labels_);
    loss.backward();
    norm_ = torch::nn::utils::clip_grad_norm_(parameters_, 1.0);
    optimizer_->step();
    loss_ = loss.template item<double>();
  }

  std::vector<double> result() override {
    if (work_.kind == Kind::train) return {loss_, norm_};
    const float* logits = logits_.template data_ptr<float>();
    return {logits, logits + logits_.numel()};
  }

 private:
  Work work_;
  Model model_;
  torch::Tensor x_, labels_, logits_;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
  double loss_ = 0, norm_ = 0;
};

/// One layer, one step a call.
class Stream : public Job {
 public:
  explicit Stream(const Work& work)
      : lstm_(work.network.inputs, work.network.hidden),
        series_(copy(peers::series(work.network, peers::stream_columns),
                     {peers::stream_columns, 1, 1, work.network.inputs})) {
    load(*lstm_, work.network, 0);
    lstm_->eval();
    for (Index i = 0; i < peers::stream_columns; ++i) steps_.push_back(series_[i]);
    const torch::Tensor zeros = torch::zeros({1, 1, work.network.hidden});
    state_ = {zeros, zeros};
  }
  void call() override {
    const c10::InferenceMode inference;
    state_ = std::get<1>(lstm_->forward(steps_[next_], state_));
    next_ = (next_ + 1) % steps_.size();
  }
  std::vector<double> result() override {
    const torch::Tensor& h = std::get<0>(state_);
    return {h.data_ptr<float>(), h.data_ptr<float>() + h.numel()};
  }

 private:
  torch::nn::LSTM lstm_;
  torch::Tensor series_;
  std::vector<torch::Tensor> steps_;
  std::tuple<torch::Tensor, torch::Tensor> state_;
  std::size_t next_ = 0;
};

std::unique_ptr<Job> make(const Work& work) {
  if (work.dense) return nullptr;
  if (work.kind == Kind::stream) return std::make_unique<Stream>(work);
  if (work.network.transformer()) return std::make_unique<NetworkJob<TransformerModel>>(work);
  if (work.network.gru)
    return std::make_unique<NetworkJob<RecurrentModel<torch::nn::GRU, torch::nn::GRUOptions>>>(
        work);
  return std::make_unique<NetworkJob<RecurrentModel<torch::nn::LSTM, torch::nn::LSTMOptions>>>(
      work);
}

void start() {
  at::set_num_interop_threads(1);
  at::globalContext().setFlushDenormal(true);
}

}  // namespace

int main(int argc, char** argv) {
  const auto set_threads = [](int threads) { at::set_num_threads(threads); };
  return peers::serve(argc, argv,
                      {.about = "PyTorch " TORCH_VERSION,
                       .start = start,
                       .set_threads = set_threads,
                       .make = make});
}
