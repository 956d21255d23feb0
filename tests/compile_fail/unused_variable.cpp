// expect: rule pattern binds a variable that the rule does not use; write _ for it
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(y = affine(x, w, b), r), x* vjp(y, r));
