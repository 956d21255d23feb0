// expect: two rules of a rule set have the same name
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong =
    rules("twice", rule<"a">(rewrite(grad(relu(x), g), g)), rule<"a">(rewrite(grad(tanh(x), g), g)));
