// expect: let names values: write let(s = ...)
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x), g), let(2 * g), g);
