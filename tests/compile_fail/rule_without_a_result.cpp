// expect: a rule needs a result: write rewrite(grad(pattern, g), result)
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rules("none", rewrite(grad(relu(x), g)));
