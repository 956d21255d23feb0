// expect: rule takes its name in angle brackets
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rules("own", rule("mine", rewrite(grad(relu(x), g), g)));
