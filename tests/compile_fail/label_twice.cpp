// expect: a label has a name that the pattern binds already
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(x = relu(x), g), x* g);
