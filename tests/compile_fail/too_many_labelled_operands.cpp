// expect: 'relu' has too many operands: it takes at most 1
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(y = conv(x), a), g), g* y* x* a);
