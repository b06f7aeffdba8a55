// What weights of half the width cost in accuracy: an LSTM and a GRU are trained on real candles,
// then tested with the float weights and with those that a stream of bfloat16 weights computes
// with.
//
// bench_half_width [CANDLES.csv]   the shipped S&P 500 when not given; one thread. Each network is
//                                  tested as it was after its best epoch, which is what one keeps,
//                                  and after the last, when its weights have grown. dp is how far a
//                                  probability is from that with float weights, changed the number
//                                  of windows whose class is another; bytes are those of the
//                                  weights that a step reads. Exits 1 when a stream's h is not that
//                                  of the rounded network after any window tested
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <tsdl/gru.hpp>
#include <tsdl/lstm.hpp>
#include <vector>

namespace {

using tsdl::Index;

constexpr Index hidden = 64, layers = 2, length = 50, epochs = 20;

/// Rounds the recurrent layers' weights; biases and the linear layer stay.
template <class Model>
Model rounded(Model model) {
  model.visit([](tsdl::Parameter<float>& parameter) {
    if (parameter.name.find("weight_") == std::string::npos) return;
    for (float& value : parameter.value) value = static_cast<float>(tsdl::BFloat16(value));
  });
  model.repack();
  return model;
}

/// Windows after which a stream of bfloat16 weights has another h than the rounded model.
template <class Cell>
Index other_states(const tsdl::RecurrentNetwork<Cell, 1>& model,
                   const tsdl::RecurrentNetwork<Cell, 1>& rounded_model,
                   const tsdl::Windows<float>& windows) {
  const tsdl::RecurrentStack<Cell>& stack = model.encoder();
  tsdl::RecurrentStream<Cell, tsdl::BFloat16> stream(stack);
  typename tsdl::RecurrentNetwork<Cell, 1>::Cache cache;
  tsdl::Buffer<float> scratch;
  Index others = 0;
  for (Index i = 0; i < windows.size(); ++i) {
    const auto x = windows.batch(i, 1, scratch);
    rounded_model.forward(x, cache);
    const auto expected = stack.output(cache.encoder, length - 1, 0, 0);
    stream.reset();
    for (Index t = 0; t + 1 < length; ++t) stream.push(x.column(t, 0));
    const auto h = stream.push(x.column(length - 1, 0));
    others += !std::equal(h.begin(), h.end(), expected.data());
  }
  return others;
}

/// Of the weights that a stream reads at a step, in its order.
template <class Cell, class Packed>
Index packed_bytes(Index inputs) {
  using tsdl::kernels::packed_rows;
  const Index columns = tsdl::round_up(hidden, Cell::W) * Cell::gates;
  Index rows = packed_rows<Packed>(inputs) + packed_rows<Packed>(hidden);
  rows += (layers - 1) *
          (packed_rows<Packed>(tsdl::round_up(hidden, Cell::W)) + packed_rows<Packed>(hidden));
  return rows * columns * static_cast<Index>(sizeof(Packed));
}

void print_figures(const std::string& what, const char* weights, Index bytes,
                   const tsdl::Metrics& metrics) {
  std::printf("%-20s %-9s %8td %8.2f%% %9.5f %9.6f", what.c_str(), weights, bytes,
              metrics.accuracy * 100, metrics.roc_auc, metrics.loss);
}

/// Returns whether the stream has the bits of the rounded model.
template <class Cell>
bool compare(const std::string& what, const tsdl::RecurrentNetwork<Cell, 1>& model,
             const tsdl::Windows<float>& windows) {
  const auto half = rounded(model);
  const auto p = tsdl::predict(model, windows), q = tsdl::predict(half, windows);
  double largest = 0, sum = 0;
  Index changed = 0;
  for (Index i = 0; i < windows.size(); ++i) {
    const double difference = std::abs(p(0, i) - q(0, i));
    largest = std::max(largest, difference);
    sum += difference;
    changed += (p(0, i) >= 0.5) != (q(0, i) >= 0.5);
  }
  const Index I = windows.inputs();
  print_figures(what, "float", packed_bytes<Cell, float>(I), tsdl::evaluate(model, windows));
  std::printf("\n");
  print_figures("", "bfloat16", packed_bytes<Cell, tsdl::kernels::BFloat16Pair>(I),
                tsdl::evaluate(half, windows));
  std::printf(" %10.6f %10.6f %8td\n", largest, sum / static_cast<double>(windows.size()), changed);
  std::fflush(stdout);
  const Index others = other_states(model, half, windows);
  if (others > 0)
    std::fprintf(stderr,
                 "%s: after %td of %td windows the stream's h is not the rounded network's\n",
                 what.c_str(), others, windows.size());
  return others == 0;
}

template <class Model>
bool measure(const char* name, const tsdl::Prepared<float>& data) {
  Model model({.input_size = data.inputs(),
               .hidden_size = hidden,
               .num_layers = layers,
               .dropout = 0.2,
               .outputs = data.outputs()},
              1);
  tsdl::Trainer trainer(model, {.optimizer = {.lr = 1e-3},
                                .batch_size = 32,
                                .max_epochs = epochs,
                                .restore_best = false,
                                .seed = 1});
  Model best = model;
  const auto keep_best = [&](const tsdl::TrainerState& state) {
    if (state.improved) best = model;
  };
  trainer.add(tsdl::Observer{.on_epoch = keep_best});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  const auto after = [&](Index epoch) {
    return std::string(name) + ", epoch " + std::to_string(epoch);
  };
  const bool same = compare(after(history.best_epoch), best, data.test);
  return compare(after(std::ssize(history.epochs)), model, data.test) && same;
}

}  // namespace

int main(int argc, char** argv) try {
  tsdl::set_thread_count(1);
  const std::string path = argc > 1 ? argv[1] : TSDL_SOURCE_DIR "/examples/data/sp500-daily.csv";
  const tsdl::Recipe recipe{.features = "hybrid", .length = length, .label = tsdl::RangeLabel{}};
  const auto data =
      tsdl::prepare<float>(tsdl::read_candles(path), recipe, {.validation = 0.15, .test = 0.15});
  std::printf("%td inputs, %td hidden units, %td layers, T = %td, %td windows tested, %s\n",
              data.inputs(), hidden, layers, length, data.test.size(), tsdl::instruction_set);
  std::printf("%-20s %-9s %8s %9s %9s %9s %10s %10s %8s\n", "", "weights", "bytes", "accuracy",
              "ROC AUC", "loss", "largest dp", "mean dp", "changed");
  const bool lstm = measure<tsdl::LSTMClassifier<float>>("LSTM", data);
  const bool gru = measure<tsdl::GRUClassifier<float>>("GRU", data);
  return lstm && gru ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
