#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

#include "rewrite/evaluate_term.hpp"

/// Operators that rule files define by an expression: `op silu(x): activation = x * sigmoid(x)`. The
/// expression is what they compute, what they are differentiated by, where their shapes come from, and the
/// pattern by which they are found in a graph. They have no kernel: programs compute their expansion.
namespace rulegrad {

/// What an operator's expression may refer to, kept alive by the operator.
struct CompositeScope {
  Operators operators;
  Functions functions;
  std::vector<std::shared_ptr<const Function>> owned;
};

/// The operator. Of its operands those beyond the data operands of its class are parameters (one data operand
/// for `activation`, `pool` and `affine`; all of them otherwise). Throws Error(rule) for a class that does
/// not exist.
[[nodiscard]] std::shared_ptr<const OpSchema> make_composite(const CompositeOp& definition,
                                                             std::shared_ptr<const CompositeScope> scope);

/// The operators of a file, each after those that it is made of, itself or through fns.
[[nodiscard]] std::vector<const CompositeOp*> simplest_first(const RuleFile& file);

/// The forward rule that finds the operator in a graph: its expression as a pattern. Nothing where the
/// expression holds more than operators, numbers and its operands (functions are written out), or leaves an
/// operand unnamed.
[[nodiscard]] std::optional<Rule> raising_rule(const CompositeOp& definition, const CompositeScope& scope);

/// An expression in a graph of its own, over inputs that stand for operands.
struct Standalone {
  std::unique_ptr<Graph> graph;
  std::vector<Expr> inputs;
  Expr root;
};
/// What the composite operator stands for, for operands of these types.
[[nodiscard]] Standalone expand_alone(const OpSchema& op, std::span<const Type> operands);

/// A copy of an expression in the graph of what takes the place of its inputs.
[[nodiscard]] Expr transplant(Expr root, const std::unordered_map<Expr, Expr>& inputs, Graph& into);

}  // namespace rulegrad
