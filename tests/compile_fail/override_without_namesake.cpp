// expect: override_by_name replaces rules by name, but a rule has no namesake in the rule set
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto base = rules("base", rule<"a">(rewrite(grad(relu(x), g), g)));
constexpr auto wrong = override_by_name(base, rules("more", rule<"b">(rewrite(grad(tanh(x), g), g))));
