// expect: param takes its name in angle brackets
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto epsilon = param("epsilon", 1e-7, above(0));
