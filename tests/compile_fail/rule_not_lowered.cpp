// expect: a rule of the DSL is lowered before it is used: write lower(rule), or rule_list(rule, ...)
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

void wrong(std::vector<rulegrad::Rule>& rules) {
  rules.push_back(rewrite(grad(relu(x), g), g));
}
