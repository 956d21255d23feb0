// expect: a class of operators has no value
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(affine(x), g), affine(g));
