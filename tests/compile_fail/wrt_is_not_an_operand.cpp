// expect: wrt names a variable that is not an operand of the pattern
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(a + relu(b), g), wrt(b), g* a);
