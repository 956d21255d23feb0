// expect: use takes the name of a rule set in angle brackets
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rules("own", rewrite(grad(relu(x), g), g), use("routing"));
