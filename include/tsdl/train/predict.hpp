// A trained model over a set of windows: probabilities, and metrics.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "tsdl/data/windows.hpp"
#include "tsdl/nn/loss.hpp"
#include "tsdl/train/metrics.hpp"

namespace tsdl::inline TSDL_ABI {

namespace internal {

/// Windows that are run at once. Results do not depend on it, bit for bit.
inline constexpr Index prediction_batch = 64;

template <class Model>
struct PredictionWorkspace {
  typename Model::Cache cache;
  Buffer<typename Model::Scalar> gathered;
};

/// Calls use(first, logits) for consecutive batches, logits being outputs x B.
template <class Model, class Use>
void for_each_batch(const Model& model, const Windows<typename Model::Scalar>& windows,
                    PredictionWorkspace<Model>& workspace, const Use& use) {
  for (Index first = 0; first < windows.size(); first += prediction_batch) {
    const Index count = std::min(prediction_batch, windows.size() - first);
    use(first, model.forward(windows.batch(first, count, workspace.gathered), workspace.cache));
  }
}

/// Logits to probabilities, K at a time: sigmoid of one, softmax of more.
template <class Scalar>
void probabilities_of(const Scalar* logits, Index K, double* out) noexcept {
  if (K == 1) {
    out[0] = sigmoid(static_cast<double>(logits[0]));
    return;
  }
  const auto top = static_cast<double>(*std::max_element(logits, logits + K));
  double sum = 0;
  for (Index k = 0; k < K; ++k) sum += out[k] = std::exp(static_cast<double>(logits[k]) - top);
  for (Index k = 0; k < K; ++k) out[k] /= sum;
}

}  // namespace internal

/// Probabilities of every window: 1 x N, the probability of class 1, for a model with one output;
/// K x N for one with K.
/// Throws: ShapeError when the windows have another number of inputs than the model.
template <class Model>
Matrix<double> predict(const Model& model, const Windows<typename Model::Scalar>& windows) {
  const Index K = model.options().outputs;
  Matrix<double> result(K, windows.size());
  internal::PredictionWorkspace<Model> workspace;
  internal::for_each_batch(model, windows, workspace, [&](Index first, const auto& logits) {
    for (Index b = 0; b < logits.cols(); ++b)
      internal::probabilities_of(logits.data() + b * K, K, result.data() + (first + b) * K);
  });
  return result;
}

/// Loss and, where labels are classes, metrics on labelled windows.
/// Throws: ShapeError, DataError when windows or labels do not fit the model.
template <class Model>
Metrics evaluate(const Model& model, const Windows<typename Model::Scalar>& windows,
                 const Loss& loss, internal::PredictionWorkspace<Model>& workspace) {
  using Scalar = typename Model::Scalar;
  const Index K = model.options().outputs;
  const std::span<const Scalar> labels(windows.labels());
  check_labels(loss, labels, K);
  LossSum total;
  std::vector<double> probabilities(static_cast<std::size_t>(windows.size() * K));
  internal::for_each_batch(model, windows, workspace, [&](Index first, const auto& logits) {
    const auto part =
        labels.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(logits.cols()));
    total += evaluate(loss, logits.data(), part, K);
    for (Index b = 0; b < logits.cols(); ++b)
      internal::probabilities_of(logits.data() + b * K, K, probabilities.data() + (first + b) * K);
  });
  Metrics result;
  result.count = windows.size();
  const bool classes = std::all_of(labels.begin(), labels.end(),
                                   [](Scalar label) { return label == std::floor(label); });
  if (!std::holds_alternative<MSE>(loss) && classes)
    result =
        classification_metrics(probabilities, K, std::vector<double>(labels.begin(), labels.end()));
  if (windows.size() > 0) result.loss = total.mean();
  return result;
}

template <class Model>
Metrics evaluate(const Model& model, const Windows<typename Model::Scalar>& windows,
                 const Loss& loss) {
  internal::PredictionWorkspace<Model> workspace;
  return evaluate(model, windows, loss, workspace);
}

/// The same with the loss that the model's outputs call for: BCEWithLogits for one, else
/// CrossEntropy.
template <class Model>
Metrics evaluate(const Model& model, const Windows<typename Model::Scalar>& windows) {
  return evaluate(model, windows, default_loss(model.options().outputs));
}

}  // namespace tsdl::inline TSDL_ABI
