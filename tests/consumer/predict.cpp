// The second translation unit: predicts with the model that the first one trained.
#include "predict.hpp"

#include <tsdl/bilstm.hpp>

double accuracy(const tsdl::BiLSTMClassifier<float>& model, const tsdl::Windows<float>& windows) {
  const tsdl::Matrix<double> probabilities = tsdl::predict(model, windows);
  tsdl::Index right = 0;
  for (tsdl::Index i = 0; i < windows.size(); ++i)
    if ((probabilities(0, i) > 0.5) == (windows.label(i) > 0.5f)) ++right;
  return static_cast<double>(right) / static_cast<double>(windows.size());
}
