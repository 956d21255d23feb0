#pragma once

/// Rules as C++: terms are types, so that a wrong rule does not compile and the compiler's first line says
/// why; rule sets are Hana tuples, lowered to the runtime form of rule.hpp.
///
///     using namespace rulegrad::dsl;
///     using namespace rulegrad::dsl::vars;
///     constexpr auto guided_tanh = rules("guided_tanh", rewrite(grad(tanh(x), g), vjp(tanh(x), max(g, 0))));
///     const rulegrad::RuleSet set = lower(guided_tanh);
#include "rulegrad/dsl/set_algebra.hpp"
#include "rulegrad/dsl/vars.hpp"
