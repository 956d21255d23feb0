// expect: nothing
// A program's own letters beside the usual variables; those that it needs for rules hide its own in a block.
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

double s = 1;
int i = 0, n = 3, t = 2;
double use(int times) {
  return times * s;
}

constexpr auto set = rules("own", rewrite(grad(y = relu(x), g), y* g));

namespace mine {
double x = 2, g = 3;

constexpr auto hidden = [] {
  using letters::s, vars::x, vars::g;
  return rules("hidden", rewrite(grad(tanh(x), g), let(s = g * x), s + s));
}();

double sum() {
  return s + i + n + t + x + g + use(n);
}
}  // namespace mine

rulegrad::RuleSet lowered(bool first) {
  return first ? lower(set) : lower(mine::hidden);
}
