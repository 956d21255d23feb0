#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/rule/rule.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// A rule as it ran on one gradient node: its text, what its names stood for, why it was the one. Read by
/// explain.hpp.
struct RuleMatch;

/// A forward rule that changed the graph before it was explained.
struct ForwardRewrite {
  Expr before, after;
  std::string rule_set;
  SourceRange where;
};

/// A rule, as tables speak of it.
struct RuleOrigin {
  std::string rule_set;  ///< or "default gradient" and the like
  std::string rule;      ///< its name if it has one
  SourceRange where;     ///< where it stands
};

/// How one gradient node of one analyzer was closed.
struct Step {
  Expr node;  ///< the forward operation
  std::size_t slot = 0;
  Expr cotangent;                          ///< what reached the operation
  Expr gradient;                           ///< the explicit gradient node grad(node, cotangent)
  std::shared_ptr<const RuleOrigin> by;    ///< what closed it; never null
  std::shared_ptr<const RuleMatch> match;  ///< null where no rule claimed it
  Expr rewritten;                          ///< what the rule made of it, with its vjp nodes; absent for zero
  Expr result;                             ///< with those closed by the derivatives; absent for zero
};

/// All steps of one analyzer, in the order of the reverse walk: the provenance table.
using Provenance = std::vector<Step>;

}  // namespace rulegrad
