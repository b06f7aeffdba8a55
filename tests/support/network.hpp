// What tests of networks share: drawn arrays, copies of parameters, outputs as plain vectors.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/parameter.hpp"

namespace test {

using tsdl::Index;

/// n values uniform in +-scale, each a float's value, so that float and double see the same.
template <class Scalar>
std::vector<Scalar> draw(tsdl::RandomStream& random, Index n, double scale = 1.0) {
  std::vector<Scalar> values(static_cast<std::size_t>(n));
  for (Scalar& value : values)
    value = static_cast<Scalar>(static_cast<float>(random.uniform(-scale, scale)));
  return values;
}

template <class To, class From>
std::vector<To> converted(const From& from) {
  std::vector<To> to;
  for (const auto value : from) to.push_back(static_cast<To>(value));
  return to;
}

/// Draws every parameter of a model anew, uniform in +-scale, and repacks.
template <class Model>
void draw_parameters(Model& model, tsdl::RandomStream& random, double scale) {
  model.visit([&](auto& parameter) {
    for (auto& value : parameter.value)
      value = static_cast<std::remove_reference_t<decltype(value)>>(
          static_cast<float>(random.uniform(-scale, scale)));
  });
  model.repack();
}

/// A dense view of T x B x I values.
template <class Scalar>
tsdl::Sequence<Scalar> dense(std::vector<Scalar>& values, Index I, Index T, Index B) {
  return tsdl::Sequence<Scalar>::dense(values.data(), I, T, B);
}
template <class Scalar>
tsdl::Sequence<const Scalar> dense(const std::vector<Scalar>& values, Index I, Index T, Index B) {
  return tsdl::Sequence<const Scalar>::dense(values.data(), I, T, B);
}

/// B windows of T rows over a series of I columns, `stride` rows apart, as a view.
template <class Scalar>
tsdl::Sequence<const Scalar> windows(const Scalar* series, Index I, Index T, Index B,
                                     Index stride) {
  return {series, I, T, B, I, I * stride};
}

/// A dense copy of any view: T x B x I.
template <class Scalar>
std::vector<Scalar> gathered(const tsdl::Sequence<const Scalar>& x) {
  std::vector<Scalar> values;
  for (Index t = 0; t < x.steps; ++t)
    for (Index b = 0; b < x.batch; ++b)
      values.insert(values.end(), x.column(t, b), x.column(t, b) + x.inputs);
  return values;
}

/// Every output of a stack's last forward, T x B x D * H as PyTorch's.
template <class Stack, class Cache>
auto outputs(const Stack& stack, const Cache& cache) {
  std::vector<typename Stack::Scalar> values;
  for (Index t = 0; t < cache.T; ++t)
    for (Index b = 0; b < cache.B; ++b)
      for (Index d = 0; d < stack.directions(); ++d) {
        const auto column = stack.output(cache, t, b, d);
        values.insert(values.end(), column.data(), column.data() + column.size());
      }
  return values;
}

/// The Scalar of a model's parameters, whether or not the model names it.
template <class Model>
struct ScalarOfModel {
  using type = typename Model::Scalar;
};
template <class Scalar>
struct ScalarOfModel<tsdl::Linear<Scalar>> {
  using type = Scalar;
};
template <class Model>
using ScalarOf = typename ScalarOfModel<Model>::type;

/// Copies of every parameter's gradient, in the model's order.
template <class Model>
auto gradients(const Model& model) {
  std::vector<std::vector<ScalarOf<Model>>> all;
  model.visit([&](const auto& parameter) {
    all.emplace_back(parameter.gradient.begin(), parameter.gradient.end());
  });
  return all;
}

template <class Values>
double largest(const Values& values) {
  double top = 0.0;
  for (const auto value : values) top = std::max(top, std::abs(static_cast<double>(value)));
  return top;
}

/// The largest |a - b|; infinity when the sizes differ or either holds a NaN.
template <class A, class B>
double largest_difference(const A& a, const B& b) {
  if (std::ssize(a) != std::ssize(b)) return HUGE_VAL;
  double top = 0.0;
  auto other = std::begin(b);
  for (const auto value : a) {
    const double difference = std::abs(static_cast<double>(value) - static_cast<double>(*other++));
    if (!(difference <= HUGE_VAL)) return HUGE_VAL;
    top = std::max(top, difference);
  }
  return top;
}

/// Gradients of overlapping windows as a view against those of a copy: of the first layer's W_ih, a
/// sum in another order, to rounding; all others bit for bit. Returns how many differ: 0 when no
/// sum was shared.
template <class Model, class Gradients>
Index check_shared_gradients(const Model& model, const Gradients& view, const Gradients& copy) {
  using Scalar = ScalarOf<Model>;
  std::size_t n = 0;
  Index different = 0;
  model.visit([&](const auto& parameter) {
    INFO(parameter.name);
    const auto &a = view.at(n), &b = copy.at(n);
    if (parameter.name.find("weight_ih_l0") == std::string::npos) {
      CHECK((a == b));
    } else {
      CHECK(largest_difference(a, b) <=
            64 * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) * largest(b));
      CHECK(largest(b) > 0);
      different += a != b;
    }
    ++n;
  });
  return different;
}

/// The sizes of a network and its batch.
struct Sizes {
  Index I, H, B;
};

/// Each of I, H and B takes every odd value from 1 to 67 once, in an order drawn from `random`.
inline std::vector<Sizes> odd_sizes(tsdl::RandomStream& random) {
  std::vector<Index> I, H, B;
  for (std::vector<Index>* values : {&I, &H, &B}) {
    for (Index n = 1; n <= 67; n += 2) values->push_back(n);
    tsdl::shuffle(*values, random);
  }
  std::vector<Sizes> all;
  for (std::size_t n = 0; n < I.size(); ++n) all.push_back({I[n], H[n], B[n]});
  return all;
}

}  // namespace test
