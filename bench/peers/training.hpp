// The parts of an update that some peers lack: losses, the gradient norm, AdamW.
//
// Parameters, gradients and moments are one array each, so that the norm is one pass and the update
// another, divided among the threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <new>
#include <vector>

#include "work.hpp"

namespace peers {

/// Memory that starts on a cache line: vectors loaded from elsewhere cost a matrix times a vector a
/// third of its speed.
template <class T>
struct OnCacheLine {
  using value_type = T;
  OnCacheLine() = default;
  template <class Other>
  OnCacheLine(const OnCacheLine<Other>&) {}
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64)));
  }
  void deallocate(T* data, std::size_t) { ::operator delete(data, std::align_val_t(64)); }
  bool operator==(const OnCacheLine&) const { return true; }
};
using Floats = std::vector<float, OnCacheLine<float>>;

/// The mean loss of a batch of logits [batch][outputs], and its gradient: binary cross-entropy of
/// one logit, softmax cross-entropy of several.
inline double loss(const float* logits, const std::vector<int>& labels, Index outputs,
                   float* gradient) {
  const auto B = static_cast<Index>(labels.size());
  const auto scale = 1.0f / static_cast<float>(B);
  double sum = 0.0;
  for (Index b = 0; b < B; ++b) {
    const float* x = logits + b * outputs;
    float* dx = gradient + b * outputs;
    const int y = labels[static_cast<std::size_t>(b)];
    if (outputs == 1) {
      sum += std::log1p(std::exp(-std::abs(x[0]))) + std::max(y == 1 ? -x[0] : x[0], 0.0f);
      dx[0] = (1.0f / (1.0f + std::exp(-x[0])) - static_cast<float>(y)) * scale;
      continue;
    }
    const float top = *std::max_element(x, x + outputs);
    float total = 0.0f;
    for (Index k = 0; k < outputs; ++k) total += std::exp(x[k] - top);
    for (Index k = 0; k < outputs; ++k)
      dx[k] = (std::exp(x[k] - top) / total - (k == y ? 1.0f : 0.0f)) * scale;
    sum += std::log(total) + top - x[y];
  }
  return sum / static_cast<double>(B);
}

/// Parameters with their gradients and AdamW's moments.
class Parameters {
 public:
  Floats values, gradients;

  void allocate(Index size) {
    const auto count = static_cast<std::size_t>(size);
    values.assign(count, 0.0f);
    gradients.assign(count, 0.0f);
    m_.assign(count, 0.0f);
    v_.assign(count, 0.0f);
  }

  /// Clips the gradients to norm 1 and updates. Returns the norm before clipping.
  double update(double lr) {
    const Index size = static_cast<Index>(values.size());
    const float* gradient = gradients.data();
    double squares = 0.0;
    constexpr Index block = 4096;
#pragma omp parallel for schedule(static) reduction(+ : squares) if (size > parallel_size)
    for (Index first = 0; first < size; first += block) {
      const Index last = std::min(size, first + block);
      float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
      for (Index i = first; i < last; ++i) sum += gradient[i] * gradient[i];
      squares += static_cast<double>(sum);
    }
    const double norm = std::sqrt(squares);
    apply(lr, std::min(1.0, 1.0 / (norm + 1e-6)));
    return norm;
  }

 private:
  static constexpr Index parallel_size = 1 << 16;

  void apply(double lr, double clip) {
    ++steps_;
    constexpr double beta1 = 0.9, beta2 = 0.999, decay = 0.01;
    const auto scale = static_cast<float>(clip);
    const auto keep = static_cast<float>(1.0 - lr * decay);
    const auto step = static_cast<float>(lr / (1.0 - std::pow(beta1, steps_)));
    const auto correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, steps_)));
    constexpr auto b1 = static_cast<float>(beta1), b2 = static_cast<float>(beta2), eps = 1e-8f;
    const Index size = static_cast<Index>(values.size());
    float *p = values.data(), *m = m_.data(), *v = v_.data();
    const float* gradient = gradients.data();
#pragma omp parallel for simd schedule(static) if (parallel : size > parallel_size)
    for (Index i = 0; i < size; ++i) {
      const float g = gradient[i] * scale;
      m[i] += (1.0f - b1) * (g - m[i]);
      v[i] = b2 * v[i] + (1.0f - b2) * g * g;
      p[i] = p[i] * keep - step * m[i] / (std::sqrt(v[i]) * correction + eps);
    }
  }

  Floats m_, v_;
  int steps_ = 0;
};

}  // namespace peers
