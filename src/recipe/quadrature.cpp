#include <boost/math/special_functions/legendre.hpp>
#include <vector>

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
  const auto degree = static_cast<int>(n);
  const auto add = [&](double x) {
    const double slope = boost::math::legendre_p_prime(degree, x);
    rule.nodes.push_back((1 + x) / 2);
    rule.weights.push_back(1 / ((1 - x * x) * slope * slope));
  };
  // From 0 up; the others are their mirror images.
  const std::vector<double> zeros = boost::math::legendre_p_zeros<double>(degree);
  for (auto zero = zeros.rbegin(); zero != zeros.rend(); ++zero)
    if (*zero != 0) add(-*zero);
  for (const double zero : zeros) add(zero);
  return rule;
}

}  // namespace rulegrad
