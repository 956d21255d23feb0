#pragma once

#include <functional>
#include <memory>

#include "rulegrad/recipe/rule_library.hpp"

#include "recipe/parameters.hpp"
#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// A term of an analyzer, evaluated.
using EvaluateTerm = std::function<Value(TermId)>;

/// Adds the rules of `use SET(arguments)` and of the sets that it uses, restricted by the selectors: forward
/// rules for canonizers, gradient rules otherwise. `evaluate` answers for the arguments.
void gather_rules(Graph& graph, const Operators& operators, const RuleLibrary& library, const Terms& terms,
                  TermId set, const EvaluateTerm& evaluate,
                  const std::vector<ActiveRule::Selector>& selectors, bool forward, RuleList& into);

}  // namespace rulegrad
