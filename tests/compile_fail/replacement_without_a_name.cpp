// expect: y(...) replaces operands by name: write y(w = ...)
#include "rulegrad/dsl.hpp"

using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;

constexpr auto wrong = rewrite(grad(y = conv(x), g), vjp(y(x), g));
