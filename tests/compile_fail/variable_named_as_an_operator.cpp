// expect: a pattern variable has the name of an operator
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr var<"mean"> average;
constexpr auto wrong = rewrite(grad(batch_norm(x, average), g), g / average);
