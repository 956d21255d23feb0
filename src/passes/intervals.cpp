#include "passes/intervals.hpp"

#include <boost/container/small_vector.hpp>

#include "expr/walk.hpp"

namespace rulegrad {

Interval Intervals::of(Expr root) {
  if (const auto found = known_.find(root); found != known_.end()) return found->second;
  boost::container::small_vector<Interval, 8> operands;
  post_order(
      root, [&](Expr e) { return known_.contains(e); }, [](Expr) { return false; },
      [&](Expr e) {
        operands.clear();
        for (const Expr operand : e.operands()) operands.push_back(known_.at(operand));
        known_.emplace(e, e.op().interval_of(e, {operands.data(), operands.size()}));
      });
  return known_.at(root);
}

}  // namespace rulegrad
