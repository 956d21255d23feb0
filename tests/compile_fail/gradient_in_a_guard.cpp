// expect: a guard may not ask for gradients
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(y = relu(x), g), when(vjp(y, g) > 0), g);
