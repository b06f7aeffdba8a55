// Nodes and weights beside NumPy's, and what they integrate exactly.
#include "tsdl/explain/quadrature.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "tsdl/io/safetensors.hpp"

namespace {

using tsdl::Index;

std::vector<double> golden(tsdl::TensorFile& file, const std::string& name, Index n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  file.copy_to<double>(name + "_" + std::to_string(n), std::vector<Index>{n}, values);
  return values;
}

}  // namespace

TEST_CASE("Gauss-Legendre: the nodes and weights of NumPy") {
  tsdl::TensorFile file =
      tsdl::read_safetensors(std::filesystem::path(TSDL_SOURCE_DIR) /
                             "tests/goldens/integrated_gradients/nodes.safetensors");
  for (const Index n : {1, 2, 3, 20, 50, 51, 200}) {
    CAPTURE(n);
    const tsdl::Quadrature rule = tsdl::gauss_legendre(n);
    const std::vector<double> nodes = golden(file, "nodes", n),
                              weights = golden(file, "weights", n);
    REQUIRE(rule.nodes.size() == nodes.size());
    double node = 0, weight = 0;
    for (std::size_t j = 0; j < nodes.size(); ++j) {
      node = std::max(node, std::abs(rule.nodes[j] - nodes[j]));
      weight = std::max(weight, std::abs(rule.weights[j] - weights[j]));
    }
    CHECK(node <= 2e-15);
    CHECK(weight <= 3e-15);
  }
}

TEST_CASE("Gauss-Legendre: polynomials of degree 2 n - 1 exactly, and no higher") {
  for (const Index n : {1, 2, 5, 10}) {
    const tsdl::Quadrature rule = tsdl::gauss_legendre(n);
    const auto error = [&](Index degree) {  // of the integral of (x / 2 + 1 / 2)^degree
      double sum = 0;
      for (std::size_t j = 0; j < rule.nodes.size(); ++j)
        sum += rule.weights[j] * std::pow(rule.nodes[j], static_cast<double>(degree));
      return std::abs(sum - 1 / static_cast<double>(degree + 1));
    };
    for (Index degree = 0; degree < 2 * n; ++degree) CHECK(error(degree) <= 1e-15);
    CHECK(error(2 * n) > 1e-14);
  }
}

TEST_CASE("Gauss-Legendre: nodes lie within, ascend and mirror each other; weights add up to 1") {
  for (const Index n : {7, 64, 10000}) {
    const tsdl::Quadrature rule = tsdl::gauss_legendre(n);
    double sum = 0, mirror = 0;
    bool ascend = rule.nodes.front() > 0 && rule.nodes.back() < 1;
    for (std::size_t j = 0; j < rule.nodes.size(); ++j) {
      sum += rule.weights[j];
      mirror =
          std::max(mirror, std::abs(rule.nodes[j] + rule.nodes[rule.nodes.size() - 1 - j] - 1));
      if (j > 0) ascend = ascend && rule.nodes[j] > rule.nodes[j - 1];
    }
    CHECK(ascend);
    CHECK(mirror <= 1e-15);
    CHECK(std::abs(sum - 1) <= 1e-12);
  }
  CHECK_THROWS_WITH_AS(tsdl::gauss_legendre(0), "gauss_legendre: expected 1 to 10000 nodes, got 0",
                       tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::gauss_legendre(10001), tsdl::OptionError);
}
