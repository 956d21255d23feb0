// expect: _ and ellipsis have no value; they may stand only in a pattern
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(relu(x), g), g* _);
