// expect: rule guard uses a variable that its pattern does not bind
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x), g), when(depends(w)), g);
