// expect: rule result leaves a grad open; analyzer rules may introduce only vjp and next
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(y = relu(x), g), grad(y, 2 * g));
