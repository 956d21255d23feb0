// expect: 'conv' has too many operands: it takes at most 3
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(conv(x, w, b, a), g), g* x* w* b* a);
