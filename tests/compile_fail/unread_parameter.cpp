// expect: no rule of the set reads this parameter
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto epsilon = param<"epsilon">(1e-6);
constexpr auto wrong = rules("idle", epsilon, rewrite(grad(relu(x), g), g));
