// expect: only operators, classes, variables, numbers and _ may stand in a pattern
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x["axis"]), g), g* x);
