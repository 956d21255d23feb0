// expect: rule result uses a variable that its pattern does not bind
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

constexpr auto wrong = rewrite(grad(relu(x), g), let(s = t * x, t = g), s* t);
