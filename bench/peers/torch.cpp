// PyTorch as a contestant, through libtorch: nn::LSTM or nn::GRU over steps, then nn::Linear.
//
// Sequences have the step first, which is what its layers work in; inference runs in
// InferenceMode. PyTorch calls the BLAS that the system has: OpenBLAS, where compare installs it.
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

template <class Recurrent, class Options>
Recurrent make_recurrent(const Work& work) {
  const Network& n = work.network;
  return Recurrent(Options(n.inputs, n.hidden)
                       .num_layers(n.layers)
                       .bidirectional(n.directions == 2)
                       .dropout(n.layers > 1 ? work.dropout() : 0.0));
}

template <class Recurrent, class Options>
class NetworkJob : public Job {
 public:
  explicit NetworkJob(const Work& work)
      : work_(work),
        recurrent_(make_recurrent<Recurrent, Options>(work)),
        fc_(work.network.directions * work.network.hidden, work.network.outputs) {
    const Network& n = work.network;
    load(*fc_, n, load(*recurrent_, n, 0));
    x_ = copy(peers::windows(n, work.batch), {n.steps, work.batch, n.inputs});
    const auto labels = peers::labels(n, work.batch);
    labels_ = torch::tensor(std::vector<std::int64_t>(labels.begin(), labels.end()));
    if (n.outputs == 1) labels_ = labels_.to(torch::kFloat32).unsqueeze(1);
    recurrent_->train(work.kind == Kind::train);
    parameters_ = recurrent_->parameters();
    for (const torch::Tensor& parameter : fc_->parameters()) parameters_.push_back(parameter);
    optimizer_ = std::make_unique<torch::optim::AdamW>(
        parameters_, torch::optim::AdamWOptions(work.learning_rate()));
  }

  void call() override {
    if (work_.kind == Kind::infer) {
      const c10::InferenceMode inference;
      logits_ = forward();
      return;
    }
    for (torch::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
    const torch::Tensor logits = forward();
    const torch::Tensor loss =
        work_.network.outputs == 1
            ? torch::nn::functional::binary_cross_entropy_with_logits(logits, labels_)
            : torch::nn::functional::cross_entropy(logits, labels_);
    loss.backward();
    norm_ = torch::nn::utils::clip_grad_norm_(parameters_, 1.0);
    optimizer_->step();
    loss_ = loss.item<double>();
  }

  std::vector<double> result() override {
    if (work_.kind == Kind::train) return {loss_, norm_};
    const float* logits = logits_.template data_ptr<float>();
    return {logits, logits + logits_.numel()};
  }

 private:
  torch::Tensor forward() { return fc_(std::get<0>(recurrent_(x_))[-1]); }

  Work work_;
  Recurrent recurrent_;
  torch::nn::Linear fc_;
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
  if (work.network.gru)
    return std::make_unique<NetworkJob<torch::nn::GRU, torch::nn::GRUOptions>>(work);
  return std::make_unique<NetworkJob<torch::nn::LSTM, torch::nn::LSTMOptions>>(work);
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
