#include "passes/intervals.hpp"

#include "expr/walk.hpp"

namespace rulegrad {

Interval Intervals::of(Expr root) {
  std::vector<Interval> operands;
  post_order(
      root, [&](Expr e) { return known_.contains(e); }, [](Expr) { return false; },
      [&](Expr e) {
        operands.clear();
        for (const Expr operand : e.operands()) operands.push_back(known_.at(operand));
        known_.emplace(e, e.op().interval_of(e, operands));
      });
  return known_.at(root);
}

}  // namespace rulegrad
