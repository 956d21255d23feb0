// expect: the second operand of grad or vjp on the left side must be a variable or _
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x), 2 * g), g);
