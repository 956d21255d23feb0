// expect: a rule set of the DSL is lowered before it is used: write lower(set)
#include "rulegrad/dsl.hpp"
#include "rulegrad/recipe/rule_library.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto set = rules("own", rewrite(grad(relu(x), g), g));

void wrong(rulegrad::RuleLibrary& library) {
  library.add(set);
}
