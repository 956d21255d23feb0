// expect: a rule uses a parameter that its rule set does not declare
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto epsilon = param<"epsilon">(1e-6);
constexpr auto wrong = rules("forgot", rewrite(grad(relu(x), g), g / epsilon));
