// expect: a forward rule has no gradient, so it has no wrt
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(a + b, wrt(a), b + a);
