// expect: a rule set begins with its name
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rules(rewrite(grad(relu(x), g), g));
