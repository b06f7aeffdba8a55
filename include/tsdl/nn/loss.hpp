// Losses on logits: the mean over a batch, and its gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl::inline TSDL_ABI {

/// Binary cross-entropy of one logit and a label in [0, 1], stable for any logit.
///   loss = mean over b of (1 - y) x + (1 + (w - 1) y) (log1p(exp(-|x|)) + max(-x, 0))
///   dx   = ((1 + (w - 1) y) sigmoid(x) - w y) / B
/// Source: https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
struct BCEWithLogits {
  double pos_weight = 1.0;
};

/// Cross-entropy of K logits and a class 0 ... K - 1, with optional class weights.
///   loss = sum w[y] (-log softmax(x)[y]) / sum w[y]
///   dx   = w[y] (softmax(x) - onehot(y)) / sum w[y]
/// Source: https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
struct CrossEntropy {
  std::vector<double> class_weights{};  ///< empty: all 1
};

/// Mean squared error of one output:  loss = mean (x - y)^2,  dx = 2 (x - y) / B.
struct MSE {};

using Loss = std::variant<BCEWithLogits, CrossEntropy, MSE>;

/// What a classifier with this many outputs is trained on unless something else is asked for.
inline Loss default_loss(Index outputs) {
  return outputs == 1 ? Loss(BCEWithLogits{}) : Loss(CrossEntropy{});
}

/// Weights that give each of `classes` the same share of the loss, whatever its share of the
/// labels. Equations: w[k] = N / (classes * number of labels k). Throws: DataError when a label is
/// none of 0 ... classes - 1, or a class has no label. Source:
/// sklearn.utils.class_weight.compute_class_weight("balanced").
template <class Scalar>
std::vector<double> balanced_class_weights(std::span<const Scalar> labels, Index classes) {
  std::vector<double> counts(static_cast<std::size_t>(std::max<Index>(classes, 0)));
  for (const Scalar label : labels) {
    const auto y = static_cast<double>(label);
    if (!(is_finite(y) && y >= 0 && y < static_cast<double>(classes) && y == std::floor(y)))
      throw DataError("class weights: label ", y, " is not one of ", classes, " classes");
    ++counts[static_cast<std::size_t>(y)];
  }
  const double share = static_cast<double>(labels.size()) / static_cast<double>(classes);
  for (std::size_t k = 0; k < counts.size(); ++k) {
    if (counts[k] == 0)
      throw DataError("class weights: none of ", labels.size(), " labels is class ", k);
    counts[k] = share / counts[k];
  }
  return counts;
}

/// A loss over some samples: divide `sum` by `weight` for the mean.
struct LossSum {
  double sum = 0.0;
  double weight = 0.0;
  double mean() const noexcept { return sum / weight; }
  LossSum& operator+=(const LossSum& other) noexcept {
    sum += other.sum;
    weight += other.weight;
    return *this;
  }
};

inline double sigmoid(double x) noexcept {
  if (x >= 0) return 1.0 / (1.0 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1.0 + e);
}

namespace internal {

template <class Scalar>
LossSum loss_of(const BCEWithLogits& loss, const Scalar* logits, std::span<const Scalar> labels,
                Index, Scalar* gradient) {
  LossSum total;
  const double w = loss.pos_weight, B = static_cast<double>(labels.size());
  for (std::size_t b = 0; b < labels.size(); ++b) {
    const double x = logits[b], y = labels[b], positive = 1.0 + (w - 1.0) * y;
    total.sum +=
        (1.0 - y) * x + positive * (std::log1p(std::exp(-std::abs(x))) + std::max(-x, 0.0));
    if (gradient) gradient[b] = static_cast<Scalar>((positive * sigmoid(x) - w * y) / B);
  }
  total.weight = B;
  return total;
}

template <class Scalar>
LossSum loss_of(const CrossEntropy& loss, const Scalar* logits, std::span<const Scalar> labels,
                Index K, Scalar* gradient) {
  const auto weight_of = [&](Scalar label) {
    return loss.class_weights.empty() ? 1.0 : loss.class_weights[static_cast<std::size_t>(label)];
  };
  LossSum total;
  for (const Scalar label : labels) total.weight += weight_of(label);
  for (std::size_t b = 0; b < labels.size(); ++b) {
    const Scalar* x = logits + static_cast<Index>(b) * K;
    const auto y = static_cast<Index>(labels[b]);
    const double top = *std::max_element(x, x + K), w = weight_of(labels[b]);
    double sum = 0.0;
    for (Index k = 0; k < K; ++k) sum += std::exp(static_cast<double>(x[k]) - top);
    total.sum += w * (std::log(sum) + top - static_cast<double>(x[y]));
    for (Index k = 0; gradient && k < K; ++k) {
      const double p = std::exp(static_cast<double>(x[k]) - top) / sum;
      gradient[static_cast<Index>(b) * K + k] =
          static_cast<Scalar>(w * (p - (k == y ? 1.0 : 0.0)) / total.weight);
    }
  }
  return total;
}

template <class Scalar>
LossSum loss_of(const MSE&, const Scalar* logits, std::span<const Scalar> labels, Index,
                Scalar* gradient) {
  LossSum total;
  total.weight = static_cast<double>(labels.size());
  for (std::size_t b = 0; b < labels.size(); ++b) {
    const double error = static_cast<double>(logits[b]) - static_cast<double>(labels[b]);
    total.sum += error * error;
    if (gradient) gradient[b] = static_cast<Scalar>(2.0 * error / total.weight);
  }
  return total;
}

}  // namespace internal

/// Refuses labels and options that a loss cannot take. Throws: ShapeError, DataError.
template <class Scalar>
void check_labels(const Loss& loss, std::span<const Scalar> labels, Index K) {
  const bool entropy = std::holds_alternative<CrossEntropy>(loss);
  if (!entropy && K != 1)
    throw ShapeError("loss: BCEWithLogits and MSE take one output, the model has ", K);
  const auto check_weight = [](double weight) {
    if (!(is_finite(weight) && weight >= 0))
      throw ShapeError("loss: a weight must be finite and at least 0, not ", weight);
  };
  if (entropy) {
    const std::vector<double>& weights = std::get<CrossEntropy>(loss).class_weights;
    if (!weights.empty() && std::ssize(weights) != K)
      throw ShapeError("CrossEntropy: expected ", K, " class weights, got ", weights.size());
    for (const double weight : weights) check_weight(weight);
  } else if (const auto* bce = std::get_if<BCEWithLogits>(&loss)) {
    check_weight(bce->pos_weight);
  }
  for (const Scalar label : labels) {
    const auto y = static_cast<double>(label);
    const bool ok = entropy ? y >= 0 && y < static_cast<double>(K) && y == std::floor(y)
                            : std::holds_alternative<MSE>(loss) || (y >= 0 && y <= 1);
    if (!is_finite(y) || !ok)
      throw DataError("loss: label ", y, " is not one that ", K, " outputs can be trained on");
  }
}

/// The loss of B samples and, where `gradient` is given, the gradient of its mean.
/// Shapes: logits and gradient [B][K]; labels B, checked by check_labels.
template <class Scalar>
LossSum evaluate(const Loss& loss, const Scalar* logits, std::span<const Scalar> labels, Index K,
                 Scalar* gradient = nullptr) {
  return std::visit(
      [&](const auto& kind) { return internal::loss_of(kind, logits, labels, K, gradient); }, loss);
}

}  // namespace tsdl::inline TSDL_ABI
