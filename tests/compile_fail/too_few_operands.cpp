// expect: 'conv' has too few operands: it takes at least 2
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x), g), max(conv(x), g));
