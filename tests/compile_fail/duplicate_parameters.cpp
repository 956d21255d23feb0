// expect: two parameters of a rule set have the same name
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto p1 = param<"p">(1);
constexpr auto wrong = rules("twice", p1, p1, rewrite(grad(relu(x), g), p1* g));
