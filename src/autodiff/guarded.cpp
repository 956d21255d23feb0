#include "autodiff/guarded.hpp"

#include <algorithm>
#include <cmath>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/walk.hpp"

namespace rulegrad {
namespace {

/// What is known of a constant's elements.
struct Elements {
  bool finite = true, nonzero = true;
  Interval bounds;
};

Elements elements_of(Expr constant) {
  if (const auto* fill = fill_of(constant))
    return {std::isfinite(fill->value), fill->value != 0, {fill->value, fill->value}};
  const Tensor& value = *array_of(constant);
  Elements result;
  if (!is_floating(value.dtype())) return {true, false, {}};
  result.bounds = {intervals::infinite, -intervals::infinite};
  dispatch(value.dtype(), [&]<class T>(T) {
    for (const T v : value.values<T>()) {
      const auto element = static_cast<double>(v);
      result.finite = result.finite && std::isfinite(element);
      result.nonzero = result.nonzero && element != 0;
      result.bounds = {std::min(result.bounds.low, element), std::max(result.bounds.high, element)};
      if (!result.finite) break;
    }
  });
  if (!result.finite) result.bounds = {};
  return result;
}

/// Looks at one forward graph; answers are remembered.
class Looking {
 public:
  explicit Looking(const ForwardFacts& facts) : facts_(facts) {}

  NodeMap<char> guarded() {
    NodeMap<char> result;
    const auto at_risk = [&](Expr e) { return facts_.depends(e) && may_be_infinite(e); };
    std::vector<Expr> branches;
    for (const Expr node : facts_.order()) {
      if (!node.is("where") || !facts_.depends(node)) continue;
      for (const std::size_t branch : {1, 2})
        if (at_risk(node.operand(branch))) branches.push_back(node.operand(branch));
    }
    for_each_below(branches, at_risk, [&](Expr e) { result.emplace(e, 1); });
    return result;
  }

 private:
  const Elements& elements(Expr constant) {
    if (const auto known = elements_.find(constant); known != elements_.end()) return known->second;
    elements_.emplace(constant, elements_of(constant));
    return elements_.at(constant);
  }

  /// May an element be infinite or no number where a choice above does not take it? Operands are known before
  /// their users.
  bool may_be_infinite(Expr root) {
    if (!ready_) {
      ready_ = true;
      for (const Expr node : facts_.order()) infinite_.emplace(node, static_cast<char>(judged(node) ? 1 : 0));
    }
    return infinite_.contains(root) && infinite_.at(root) != 0;
  }

  bool judged(Expr node) {
    if (!is_floating(node.dtype()) || node.operands().empty()) return false;
    // Only where numbers meet element by element are constants looked at: weights were read as finite.
    if (node.op().is(OpClass::elementwise))
      for (const Expr operand : node.operands())
        if (is_given(operand) && is_floating(operand.dtype()) && !elements(operand).finite) return true;
    // A choice keeps off what it does not take.
    if (node.is("where")) return false;
    for (std::size_t i = 0; i < node.operands().size(); ++i) {
      const Expr operand = node.operand(i);
      if (infinite_.contains(operand) && infinite_.at(operand) != 0) return true;
      if (!is_known(operand, node.op().finite_for(node, i))) return true;
    }
    return false;
  }

  /// Are all elements such numbers, whatever the inputs?
  bool is_known(Expr e, FiniteFor wanted) {
    if (wanted == FiniteFor::all) return true;
    if (!is_given(e)) return finite::holds(wanted, bounds(e));
    return finite::holds(wanted, elements(e).bounds) ||
           (wanted == FiniteFor::not_zero && elements(e).nonzero);
  }

  Interval bounds(Expr root) {
    std::vector<Interval> operands;
    post_order(
        root, [&](Expr e) { return bounds_.contains(e); }, is_given,
        [&](Expr e) {
          if (is_given(e)) {
            bounds_.emplace(e, elements(e).bounds);
            return;
          }
          operands.clear();
          for (const Expr operand : e.operands()) operands.push_back(bounds_.at(operand));
          bounds_.emplace(e, e.op().interval_of(e, operands));
        });
    return bounds_.at(root);
  }

  const ForwardFacts& facts_;
  bool ready_ = false;
  NodeMap<char> infinite_;
  NodeMap<Elements> elements_;
  NodeMap<Interval> bounds_;
};

}  // namespace

NodeMap<char> guarded_nodes(const ForwardFacts& facts) {
  return Looking(facts).guarded();
}

}  // namespace rulegrad
