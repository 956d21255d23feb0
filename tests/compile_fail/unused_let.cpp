// expect: rule names a let that it does not use
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

constexpr auto wrong = rewrite(grad(relu(x), g), let(s = 2 * g), g);
