// expect: rule pattern binds a variable that the rule does not use; write _ for it
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(floor(x), r), 0);
