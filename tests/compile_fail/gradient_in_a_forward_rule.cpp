// expect: a forward rule rewrites values, so its result holds neither grad, vjp nor next
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(y = relu(x), vjp(y, x));
