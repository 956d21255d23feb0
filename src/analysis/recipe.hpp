#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rewrite/rule_list.hpp"
#include "rulegrad/analyzer.hpp"

namespace rulegrad {

/// An analyzer with its ancestors (`extends`) and arguments resolved: what remains is to run it on a graph.
struct Recipe {
  std::string name;
  std::shared_ptr<const Scope> parameters;
  const AnalyzerDefinition* seed = nullptr;    ///< whose `seed` holds; null: onehot(target)
  const AnalyzerDefinition* result = nullptr;  ///< whose `result` holds; null: the relevance itself
  std::shared_ptr<const Scope> seed_parameters, result_parameters;
  Fallback fallback = Fallback::error;
  RuleList rules;       ///< gradient rules, in order
  RuleList canonizers;  ///< forward rules, in order
};

/// Terms that parameters are computed with need a graph to stand in; arguments that are tensors become its constants.
[[nodiscard]] Recipe resolve_recipe(Graph& graph, const Operators& operators, const RuleLibrary& library, const AnalyzerCall& call);

}  // namespace rulegrad
