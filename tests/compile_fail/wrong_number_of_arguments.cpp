// expect: 'vjp' has a wrong number of arguments: it takes 2
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(y = relu(x), g), g* vjp(y));
