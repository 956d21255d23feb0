#pragma once

#include <optional>

#include "expr/node_map.hpp"
#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// Closes vjp nodes by the derivative rules that operators carry: ordinary differentiation as the last rule set.
class Derivatives {
 public:
  Derivatives(Graph& graph, const Operators& operators);

  /// The explicit node vjp(operation, cotangent) for one operand.
  [[nodiscard]] Expr make(Expr operation, std::size_t slot, Expr cotangent) const;
  /// The derivative of one operation for one operand; nothing when it is zero. Throws Error(rule) for an operator
  /// without a derivative, naming it.
  [[nodiscard]] std::optional<Expr> close(Expr operation, std::size_t slot, Expr cotangent) const;
  /// The expression with every vjp node in it closed; nothing when it is zero.
  [[nodiscard]] std::optional<Expr> lower(Expr root);

 private:
  Graph& graph_;
  const Operators& operators_;
  Functions no_functions_;
  ForwardFacts no_facts_;
  RuleList rules_;
  NodeMap<Expr> lowered_;
};

}  // namespace rulegrad
