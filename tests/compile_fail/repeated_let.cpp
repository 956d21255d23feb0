// expect: a let has a name that is bound already
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

constexpr auto wrong = rewrite(grad(relu(x), g), let(s = g), let(s = 2 * g), s);
