// expect: the name of a rule set is its first operand
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rules<"mine">(rewrite(grad(relu(x), g), g));
