// The Gauss-Legendre rule, by which a smooth function of one number is integrated.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A rule: the integral of f over [0, 1] is nearly the sum of weights[j] f(nodes[j]).
struct Quadrature {
  std::vector<double> nodes, weights;  ///< nodes ascending
};

namespace internal {

/// The most nodes of a rule.
inline constexpr Index most_nodes = 10000;

/// The Legendre polynomial of degree n at x, and its derivative.
///   (j + 1) P_{j+1} = (2 j + 1) x P_j - j P_{j-1},  (1 - x^2) P_n' = n (P_{n-1} - x P_n)
struct LegendrePoint {
  double value, slope;
};
inline LegendrePoint legendre(Index n, double x) noexcept {
  double before = 1, value = x;
  for (Index j = 1; j < n; ++j) {
    const auto degree = static_cast<double>(j);
    const double next = ((2 * degree + 1) * x * value - degree * before) / (degree + 1);
    before = value;
    value = next;
  }
  return {value, static_cast<double>(n) * (before - x * value) / ((1 - x) * (1 + x))};
}

}  // namespace internal

/// The Gauss-Legendre rule of n nodes on [0, 1], exact for polynomials of degree 2 n - 1.
/// Equations: node j is (1 + x_j) / 2 with P_n(x_j) = 0, found by Newton's method; its weight is
/// 1 / ((1 - x_j^2) P_n'(x_j)^2).
/// Largest error: 2e-15 of a node, 3e-15 of a weight, up to 200 nodes.
/// Throws: OptionError unless n is from 1 to 10000.
/// Source: numpy.polynomial.legendre.leggauss, whose nodes are on [-1, 1].
inline Quadrature gauss_legendre(Index n) {
  if (n < 1 || n > internal::most_nodes)
    throw OptionError("gauss_legendre: expected 1 to ", internal::most_nodes, " nodes, got ", n);
  const FloatModeGuard guard;
  const auto size = static_cast<std::size_t>(n);
  Quadrature rule{std::vector<double>(size), std::vector<double>(size)};
  for (std::size_t j = 0; 2 * j < size; ++j) {
    // The first guess is within O(1 / n^2) of node j from above; Newton's steps double its digits.
    double x = std::cos(std::numbers::pi * (static_cast<double>(j) + 0.75) /
                        (static_cast<double>(n) + 0.5));
    const bool middle = 2 * j + 1 == size;
    for (int step = 0; step < 8 && !middle; ++step) {
      const internal::LegendrePoint p = internal::legendre(n, x);
      x -= p.value / p.slope;
    }
    if (middle) x = 0;
    const double slope = internal::legendre(n, x).slope;
    const std::size_t other = size - 1 - j;
    rule.nodes[j] = (1 - x) / 2;
    rule.nodes[other] = (1 + x) / 2;
    rule.weights[j] = rule.weights[other] = 1 / ((1 - x) * (1 + x) * slope * slope);
  }
  return rule;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
