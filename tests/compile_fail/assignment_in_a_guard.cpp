// expect: when takes a condition; to compare, write == and not =
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x), g), when(x = 0), g);
