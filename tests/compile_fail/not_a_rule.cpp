// expect: a rule set is made of rules, parameters, uses and other rule sets
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rules("term", grad(relu(x), g));
