// Initial weights: ranges, orthogonality, zero biases, seeds.
#include "tsdl/nn/init.hpp"

#include <doctest/doctest.h>

#include <type_traits>

#include "support/network.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace {

using test::Index;

template <class Scalar>
tsdl::BiLSTMClassifier<Scalar> model_with(tsdl::Init init, std::uint64_t seed) {
  return tsdl::BiLSTMClassifier<Scalar>(
      {.input_size = 7, .hidden_size = 19, .num_layers = 2, .outputs = 3, .init = init}, seed);
}

template <class Model>
auto values_of(const Model& model) {
  std::vector<std::vector<typename Model::Scalar>> values;
  model.visit([&](const auto& parameter) {
    values.emplace_back(parameter.value.begin(), parameter.value.end());
  });
  return values;
}

/// Uniform in +-bound: nothing outside, something near either end, mean and variance as they
/// should be within five standard errors.
template <class Values>
void check_uniform(const Values& values, double bound) {
  const auto n = static_cast<double>(std::ssize(values));
  double sum = 0.0, squares = 0.0;
  for (const auto value : values) {
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  CHECK(test::largest(values) <= bound * (1.0 + 1e-7));
  CHECK(std::abs(sum / n) <= 5.0 * bound / std::sqrt(3.0 * n));
  // The variance of u^2 for u uniform in +-1 is 1/5 - 1/9 = 4/45.
  CHECK(std::abs(squares / n - bound * bound / 3.0) <=
        5.0 * bound * bound * std::sqrt(4.0 / 45.0 / n));
  if (n > 100) CHECK(test::largest(values) >= 0.9 * bound);
}

}  // namespace

TEST_CASE_TEMPLATE("PyTorch's default: uniform in 1/sqrt(H), the linear layer in 1/sqrt(in)",
                   Scalar, float, double) {
  const auto model = model_with<Scalar>(tsdl::Init::pytorch, 3);
  model.visit([&](const tsdl::Parameter<Scalar>& parameter) {
    INFO(parameter.name);
    check_uniform(parameter.value,
                  1.0 / std::sqrt(parameter.name.starts_with("fc.") ? 38.0 : 19.0));
  });
}

TEST_CASE_TEMPLATE("orthogonal: W^T W = I, Xavier input and linear weights, zero biases", Scalar,
                   float, double) {
  const double tolerance = std::is_same_v<Scalar, float> ? 1e-6 : 1e-12;
  const auto model = model_with<Scalar>(tsdl::Init::orthogonal, 3);
  Index recurrent = 0, biases = 0, others = 0;
  model.visit([&](const tsdl::Parameter<Scalar>& parameter) {
    INFO(parameter.name);
    if (parameter.name.find("weight_hh") != std::string::npos) {
      ++recurrent;
      double off = 0.0;
      for (Index i = 0; i < parameter.cols; ++i)
        for (Index j = 0; j < parameter.cols; ++j) {
          double product = 0.0;
          for (Index row = 0; row < parameter.rows; ++row)
            product += static_cast<double>(parameter.value[row * parameter.cols + i]) *
                       static_cast<double>(parameter.value[row * parameter.cols + j]);
          off = std::max(off, std::abs(product - (i == j ? 1.0 : 0.0)));
        }
      CHECK(off <= tolerance);
    } else if (parameter.is_vector) {
      ++biases;
      CHECK(test::largest(parameter.value) == 0.0);
    } else {
      ++others;
      check_uniform(parameter.value,
                    std::sqrt(6.0 / static_cast<double>(parameter.rows + parameter.cols)));
    }
  });
  CHECK(recurrent == 4);
  CHECK(biases == 9);
  CHECK(others == 5);
}

TEST_CASE("the seed names the weights, and no two tensors are the same draws") {
  for (const tsdl::Init init : {tsdl::Init::pytorch, tsdl::Init::orthogonal}) {
    const auto values = values_of(model_with<double>(init, 3));
    CHECK(values == values_of(model_with<double>(init, 3)));
    const auto others = values_of(model_with<double>(init, 4));
    for (std::size_t n = 0; n < values.size(); ++n) {
      if (test::largest(values[n]) == 0.0) continue;
      CHECK(values[n] != others[n]);
      // Scaled by the bounds, two tensors of one stream would start alike.
      for (std::size_t m = 0; m < n; ++m)
        if (test::largest(values[m]) > 0.0)
          CHECK(std::abs(values[m][0] / values[n][0] - values[m][1] / values[n][1]) > 1e-9);
    }
  }
}
