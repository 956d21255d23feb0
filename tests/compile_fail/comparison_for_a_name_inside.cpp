// expect: a pattern names what it matches with =, as in y = relu(x)
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(tanh(y == relu(x)), g), g* y* x);
