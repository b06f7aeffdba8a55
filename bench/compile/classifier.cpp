// One classifier, as a program that only predicts has it.
#include <cstdio>
#include <tsdl/bilstm.hpp>
#include <vector>

int main() {
  const tsdl::BiLSTMClassifier<float> model({.input_size = 86, .hidden_size = 128, .num_layers = 2},
                                            /*seed=*/1);
  const std::vector<float> window(86 * 50, 0.1f);
  tsdl::BiLSTMClassifier<float>::Cache cache;
  const auto logits =
      model.forward(tsdl::Sequence<const float>::dense(window.data(), 86, 50, 1), cache);
  std::printf("%g\n", static_cast<double>(logits(0, 0)));
}
