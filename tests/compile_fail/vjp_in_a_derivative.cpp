// expect: rule result leaves a gradient open; derivative rules may introduce neither vjp, grad, next nor diff
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(vjp(y = relu(x), g), vjp(y, 2 * g));
