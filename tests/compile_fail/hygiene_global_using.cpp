// expect: nothing
// The DSL beside the C library's functions and a program's own short names, in the widest scope there is.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;

double x = 1;
double y = 2;
double gamma_value = 3;

constexpr auto guided_tanh = [] {
  using namespace rulegrad::dsl::vars;
  return rules("guided_tanh", rewrite(grad(tanh(vars::x), g), vjp(tanh(vars::x), max(g, 0))));
}();

double numbers(double w, double b) {
  const double gamma = 0.25;
  double pool = std::max(w, b);
  const double routing = tanh(pool) + exp(x) + log(y) + sqrt(gamma) + floor(w) + pow(b, 2) + std::abs(w);
  return routing + gamma_value + fabs(sin(w)) + cos(b) + round(w);
}

rulegrad::RuleSet lowered() {
  return lower(guided_tanh);
}
