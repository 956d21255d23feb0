// expect: 'where' has too few operands: it takes at least 3
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

constexpr auto wrong = rewrite(grad(relu(x), g), let(s = where(x > 0, g)), s);
