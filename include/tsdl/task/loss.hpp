// Losses of one sample's outputs with their derivatives, as plain functions in double, and the sums
// over samples.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A loss over some samples: the mean is sum / weight. The sums of parts are added before dividing.
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

/// Binary cross-entropy of one logit x and a label y in [0, 1], stable for any logit.
///   loss = (1 - y) x + (1 + (w - 1) y) (log1p(exp(-|x|)) + max(-x, 0))
///   dx   = (1 + (w - 1) y) sigmoid(x) - w y
/// Source: https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
struct BCEWithLogits {
  double pos_weight = 1.0;
};

/// Cross-entropy of K logits and a class y = 0 ... K - 1, with optional class weights.
///   loss = w[y] (-log softmax(x)[y]), of weight w[y]
///   dx   = w[y] (softmax(x) - onehot(y))
/// Source: https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
struct CrossEntropy {
  std::vector<double> class_weights{};  ///< empty: all 1
};

/// Squared error:  loss = e^2,  dx = 2 e,  e = x - y.
struct MSE {};

/// Absolute error:  loss = |e|,  dx = sign(e), 0 at 0, as PyTorch's L1Loss.
struct MAE {};

/// Squared near 0, absolute beyond delta, as PyTorch's HuberLoss:
///   loss = e^2 / 2 for |e| <= delta, else delta (|e| - delta / 2);  dx = clamp(e, -delta, delta)
struct Huber {
  double delta = 1.0;
};

/// A loss of numbers. A struct, since std::variant takes longer to compile.
struct NumberLoss {
  enum class Kind : std::uint8_t { mse, mae, huber };

  Kind kind = Kind::mse;
  double delta = 1.0;  ///< Huber's

  NumberLoss() = default;
  NumberLoss(const MSE&) noexcept {}
  NumberLoss(const MAE&) noexcept : kind(Kind::mae) {}
  NumberLoss(const Huber& huber) noexcept : kind(Kind::huber), delta(huber.delta) {}
};

/// A loss alone, for targets in the outputs' own units; a Trainer makes a task of it.
struct Loss {
  enum class Kind : std::uint8_t { bce_with_logits, cross_entropy, numbers };

  Kind kind;
  double pos_weight = 1.0;
  std::vector<double> class_weights{};
  NumberLoss numbers{};

  Loss(const BCEWithLogits& bce) noexcept
      : kind(Kind::bce_with_logits), pos_weight(bce.pos_weight) {}
  Loss(const CrossEntropy& entropy)
      : kind(Kind::cross_entropy), class_weights(entropy.class_weights) {}
  Loss(const MSE& mse) noexcept : kind(Kind::numbers), numbers(mse) {}
  Loss(const MAE& mae) noexcept : kind(Kind::numbers), numbers(mae) {}
  Loss(const Huber& huber) noexcept : kind(Kind::numbers), numbers(huber) {}
};

inline double sigmoid(double x) noexcept {
  if (x >= 0) return 1.0 / (1.0 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1.0 + e);
}

/// log(1 + exp(x)), for any x.
inline double softplus(double x) noexcept {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

namespace internal {

/// A loss and its derivative by one output.
struct LossPoint {
  double value, slope;
};

inline LossPoint loss_of(const BCEWithLogits& loss, double x, double y) noexcept {
  const double w = loss.pos_weight, positive = 1.0 + (w - 1.0) * y;
  return {(1.0 - y) * x + positive * (std::log1p(std::exp(-std::abs(x))) + std::max(-x, 0.0)),
          positive * sigmoid(x) - w * y};
}

inline LossPoint loss_of(const MSE&, double x, double y) noexcept {
  const double e = x - y;
  return {e * e, 2.0 * e};
}

inline LossPoint loss_of(const MAE&, double x, double y) noexcept {
  const double e = x - y;
  return {std::abs(e), e > 0 ? 1.0 : e < 0 ? -1.0 : e};
}

inline LossPoint loss_of(const Huber& loss, double x, double y) noexcept {
  const double e = x - y, size = std::abs(e), d = loss.delta;
  if (size <= d) return {0.5 * e * e, e};
  return {d * (size - 0.5 * d), e > 0 ? d : e < 0 ? -d : e};
}

inline LossPoint loss_of(const NumberLoss& loss, double x, double y) noexcept {
  if (loss.kind == NumberLoss::Kind::mse) return loss_of(MSE{}, x, y);
  if (loss.kind == NumberLoss::Kind::mae) return loss_of(MAE{}, x, y);
  return loss_of(Huber{loss.delta}, x, y);
}

/// max(q (y - x), (q - 1) (y - x)); the derivative at x = y is 0.
inline LossPoint pinball_of(double level, double x, double y) noexcept {
  const double e = y - x;
  if (e > 0) return {level * e, -level};
  return {(level - 1) * e, e < 0 ? 1 - level : e};
}

/// w (-log softmax(scale x)[y]). `slopes`, where given, takes the derivative by each of the K
/// logits.
inline double cross_entropy(const double* x, Index K, Index y, double w, double scale,
                            double* slopes) noexcept {
  const double top = *std::max_element(x, x + K);
  double sum = 0.0;
  for (Index k = 0; k < K; ++k) sum += std::exp(scale * (x[k] - top));
  for (Index k = 0; slopes && k < K; ++k)
    slopes[k] = w * scale * (std::exp(scale * (x[k] - top)) / sum - (k == y ? 1.0 : 0.0));
  return w * (std::log(sum) + scale * (top - x[y]));
}

inline void check_weight(double weight) {
  if (!(is_finite(weight) && weight >= 0))
    throw OptionError("loss: a weight must be finite and at least 0, not ", weight);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
