// expect: the left side of a rule must be grad(pattern, g), vjp(pattern, g) or an operator
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(x, x);
