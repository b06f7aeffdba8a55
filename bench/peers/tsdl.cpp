// Our library as a contestant, through its public classes.
#include <memory>
#include <span>
#include <tsdl/bilstm.hpp>

#include "contest.hpp"

namespace {

using peers::Index, peers::Job, peers::Kind, peers::Work;

/// Gives a model, or a stack, the tensors of the contest.
template <class Model>
void load(Model& model, const peers::Network& network) {
  const auto tensors = peers::tensors(network);
  auto tensor = tensors.begin();
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
      : values_(work.dense ? peers::windows(work.network, work.batch)
                           : peers::series(work.network, work.network.steps + work.batch - 1)) {
    const Index I = work.network.inputs;
    view_ = {values_.data(), I, work.network.steps, work.batch, work.dense ? I * work.batch : I, I};
  }
  const tsdl::Sequence<const float>& view() const { return view_; }

 private:
  std::vector<float> values_;
  tsdl::Sequence<const float> view_;
};

template <class Model>
Model make_model(const Work& work) {
  Model model({.input_size = work.network.inputs,
               .hidden_size = work.network.hidden,
               .num_layers = work.network.layers,
               .dropout = work.dropout(),
               .outputs = work.network.outputs});
  load(model, work.network);
  return model;
}

template <class Model>
class Training : public Job {
 public:
  explicit Training(const Work& work)
      : model_(make_model<Model>(work)),
        trainer_(model_, {.optimizer = {.lr = work.learning_rate()}, .clip_norm = 1.0}),
        input_(work) {
    for (const int label : peers::labels(work.network, work.batch))
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

/// One layer, one step a call, sizes known when compiling. Not flushing denormals is kept out of
/// the step, as it is for the others.
template <Index H, class Weight>
class Stream : public Job {
 public:
  explicit Stream(const Work& work)
      : stack_({.input_size = I, .hidden_size = H}),
        series_(peers::series(work.network, peers::stream_columns)),
        stream_((load(stack_, work.network), stack_)) {}
  void call() override {
    h_ = stream_.push(series_.data() + next_ * I);
    next_ = (next_ + 1) % peers::stream_columns;
  }
  std::vector<double> result() override { return {h_.begin(), h_.end()}; }

 private:
  static constexpr Index I = 23;
  using Cell = tsdl::LSTMCell<float>;
  tsdl::RecurrentStack<Cell> stack_;
  std::vector<float> series_;
  tsdl::RecurrentStream<Cell, Weight, I, H> stream_;
  tsdl::kernels::DenormalGuard guard_;
  std::span<const float> h_;
  Index next_ = 0;
};

template <Index H>
std::unique_ptr<Job> make_stream(const Work& work) {
  if (work.half_width) return std::make_unique<Stream<H, tsdl::BFloat16>>(work);
  return std::make_unique<Stream<H, float>>(work);
}

std::unique_ptr<Job> make_stream(const Work& work) {
  switch (work.network.hidden) {
    case 8:
      return make_stream<8>(work);
    case 16:
      return make_stream<16>(work);
    case 32:
      return make_stream<32>(work);
    case 64:
      return make_stream<64>(work);
    case 128:
      return make_stream<128>(work);
    default:
      return nullptr;
  }
}

template <class Model>
std::unique_ptr<Job> make_for(const Work& work) {
  if (work.kind == Kind::train) return std::make_unique<Training<Model>>(work);
  return std::make_unique<Inference<Model>>(work);
}

std::unique_ptr<Job> make(const Work& work) {
  if (work.kind == Kind::stream) return make_stream(work);
  if (work.network.gru) return make_for<tsdl::GRUClassifier<float>>(work);
  if (work.network.directions == 2) return make_for<tsdl::BiLSTMClassifier<float>>(work);
  return make_for<tsdl::LSTMClassifier<float>>(work);
}

}  // namespace

int main(int argc, char** argv) {
  return peers::serve(argc, argv,
                      {.about = std::string("tsdl ") + tsdl::version + ", " + tsdl::instruction_set,
                       .set_threads = [](int threads) { tsdl::set_thread_count(threads); },
                       .make = make,
                       .fewer_threads_allowed = false});
}
