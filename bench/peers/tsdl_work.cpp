// Our library at the work of work.hpp, through its public classes.
#include "tsdl_work.hpp"

#include <algorithm>
#include <span>
#include <tsdl/bilstm.hpp>
#include <tsdl/nn/transformer/encoder.hpp>
#include <type_traits>
#include <vector>

namespace peers {

namespace {

/// Gives a model, or a stack, the tensors of the contest.
template <class Model>
void load(Model& model, const Network& network) {
  const std::vector<Tensor> given = tensors(network);
  auto tensor = given.begin();
  model.visit([&](tsdl::Parameter<float>& parameter) {
    std::copy(tensor->values.begin(), tensor->values.end(), parameter.value.begin());
    ++tensor;
  });
  model.repack();
}

/// Consecutive windows as a view of a series, or copied to a dense batch.
class Input {
 public:
  explicit Input(const Work& work)
      : values_(work.dense ? windows(work.network, work.batch)
                           : series(work.network, work.network.steps + work.batch - 1)) {
    const Index I = work.network.inputs;
    view_ = {values_.data(), I, work.network.steps, work.batch, work.dense ? I * work.batch : I, I};
  }
  const tsdl::Sequence<const float>& view() const { return view_; }

 private:
  std::vector<float> values_;
  tsdl::Sequence<const float> view_;
};

using Transformer = tsdl::TransformerNetwork<float>;

template <class Model>
Model make_model(const Work& work) {
  const Network& n = work.network;
  typename Model::Options options{.input_size = n.inputs,
                                  .hidden_size = n.hidden,
                                  .num_layers = n.layers,
                                  .dropout = work.dropout(),
                                  .outputs = n.outputs};
  options.pooling = n.mean ? tsdl::Pooling::mean : tsdl::Pooling::last;
  if constexpr (std::is_same_v<Model, Transformer>) {
    options.heads = n.heads;
    options.feed_forward = n.feed_forward;
  }
  Model model(options);
  load(model, n);
  return model;
}

template <class Model>
class Training : public Job {
 public:
  explicit Training(const Work& work)
      : model_(make_model<Model>(work)),
        trainer_(model_, {.optimizer = {.lr = work.learning_rate()}, .clip_norm = 1.0}),
        input_(work) {
    for (const int label : labels(work.network, work.batch))
      labels_.push_back(static_cast<float>(label));
  }
  void call() override { loss_ = trainer_.step(input_.view(), labels_).mean(); }
  std::vector<double> result() override { return {loss_, tsdl::gradient_norm(model_)}; }

 private:
  Model model_;
  tsdl::Trainer<Model> trainer_;
  Input input_;
  std::vector<float> labels_;
  double loss_ = 0;
};

template <class Model>
class Inference : public Job {
 public:
  explicit Inference(const Work& work) : model_(make_model<Model>(work)), input_(work) {}
  void call() override { model_.forward(input_.view(), cache_); }
  std::vector<double> result() override {
    const auto logits = model_.forward(input_.view(), cache_);
    return {logits.data(), logits.data() + logits.size()};
  }

 private:
  const Model model_;
  typename Model::Cache cache_;
  Input input_;
};

/// One layer, one step a call, sizes known when compiling. That denormals are flushed is settled
/// outside the step, as it is for the peers.
template <class Cell, class Weight, Index H>
class Stream : public Job {
 public:
  explicit Stream(const Work& work)
      : stack_({.input_size = I, .hidden_size = H}),
        series_(series(work.network, stream_columns)),
        stream_((load(stack_, work.network), stack_)) {}
  void call() override {
    h_ = stream_.push(series_.data() + next_ * I, guard_);
    next_ = (next_ + 1) % stream_columns;
  }
  void prepare() override { stream_.prepare(); }
  std::vector<double> result() override { return {h_.begin(), h_.end()}; }

 private:
  static constexpr Index I = 23;
  tsdl::RecurrentStack<Cell> stack_;
  std::vector<float> series_;
  tsdl::RecurrentStream<Cell, Weight, I, H> stream_;
  tsdl::FloatModeGuard guard_;
  std::span<const float> h_;
  Index next_ = 0;
};

template <class Cell, class Weight>
std::unique_ptr<Job> make_stream(const Work& work) {
  switch (work.network.hidden) {
    case 8:
      return std::make_unique<Stream<Cell, Weight, 8>>(work);
    case 16:
      return std::make_unique<Stream<Cell, Weight, 16>>(work);
    case 32:
      return std::make_unique<Stream<Cell, Weight, 32>>(work);
    case 64:
      return std::make_unique<Stream<Cell, Weight, 64>>(work);
    case 128:
      return std::make_unique<Stream<Cell, Weight, 128>>(work);
    default:
      return nullptr;
  }
}

template <class Cell>
std::unique_ptr<Job> make_stream(const Work& work) {
  return work.half_width ? make_stream<Cell, tsdl::BFloat16>(work) : make_stream<Cell, float>(work);
}

template <class Model>
std::unique_ptr<Job> make_for(const Work& work) {
  if (work.kind == Kind::train) return std::make_unique<Training<Model>>(work);
  return std::make_unique<Inference<Model>>(work);
}

}  // namespace

std::unique_ptr<Job> make_tsdl(const Work& work) {
  const Network& network = work.network;
  if (work.kind == Kind::stream) {
    if (network.gru) return make_stream<tsdl::GRUCell<float>>(work);
    return make_stream<tsdl::LSTMCell<float>>(work);
  }
  if (network.transformer()) return make_for<Transformer>(work);
  if (network.gru) return make_for<tsdl::GRUClassifier<float>>(work);
  if (network.directions == 2) return make_for<tsdl::BiLSTMClassifier<float>>(work);
  return make_for<tsdl::LSTMClassifier<float>>(work);
}

}  // namespace peers
