#include <cmath>
#include <numbers>

#include "rulegrad/recipe/sampler.hpp"

namespace rulegrad {
namespace {

/// n equal weights at (i + offset) / n.
Quadrature riemann(std::int64_t n, double offset) {
  Quadrature rule;
  for (std::int64_t i = 0; i < n; ++i) {
    rule.nodes.push_back((static_cast<double>(i) + offset) / static_cast<double>(n));
    rule.weights.push_back(1 / static_cast<double>(n));
  }
  return rule;
}

}  // namespace

Quadrature midpoint_rule(std::int64_t n) {
  return riemann(n, 0.5);
}
Quadrature left_rule(std::int64_t n) {
  return riemann(n, 0);
}
Quadrature right_rule(std::int64_t n) {
  return riemann(n, 1);
}

Quadrature trapezoid_rule(std::int64_t n) {
  Quadrature rule;
  const auto steps = static_cast<double>(n - 1);
  for (std::int64_t i = 0; i < n; ++i) {
    rule.nodes.push_back(static_cast<double>(i) / steps);
    rule.weights.push_back((i == 0 || i == n - 1 ? 0.5 : 1.0) / steps);
  }
  return rule;
}

Quadrature gauss_legendre_rule(std::int64_t n) {
  Quadrature rule;
  const auto count = static_cast<double>(n);
  for (std::int64_t i = 0; i < n; ++i) {
    // The usual first guess for the i-th root of P_n, from the last (near -1) to the first.
    double x = std::cos(std::numbers::pi * (static_cast<double>(n - 1 - i) + 0.75) / (count + 0.5));
    double slope = 1;
    for (int step = 0; step < 100; ++step) {
      double p = 1, before = 0;
      for (std::int64_t k = 1; k <= n; ++k) {
        const auto degree = static_cast<double>(k);
        const double next = ((2 * degree - 1) * x * p - (degree - 1) * before) / degree;
        before = p;
        p = next;
      }
      slope = count * (x * p - before) / (x * x - 1);
      const double change = p / slope;
      x -= change;
      if (std::abs(change) < 1e-16) break;
    }
    rule.nodes.push_back((1 + x) / 2);
    rule.weights.push_back(1 / ((1 - x * x) * slope * slope));
  }
  return rule;
}

}  // namespace rulegrad
