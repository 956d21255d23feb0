// expect: two rules of a rule set have the same name
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto one = rules("one", rule<"a">(rewrite(grad(relu(x), g), g)));
constexpr auto wrong = one + one;
