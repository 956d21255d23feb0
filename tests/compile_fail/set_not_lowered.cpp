// expect: a rule set of the DSL is lowered before it is used: write lower(set)
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto set = rules("own", rewrite(grad(relu(x), g), g));

rulegrad::RuleSet wrong() {
  return set;
}
