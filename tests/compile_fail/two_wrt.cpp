// expect: a rule has at most one wrt and at most one when
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(a + b, g), wrt(a), wrt(b), g);
