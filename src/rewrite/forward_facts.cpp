#include "rewrite/forward_facts.hpp"

#include <algorithm>

#include "rewrite/match.hpp"
#include "rewrite/words.hpp"
#include "support/text.hpp"

namespace rulegrad {

ForwardFacts::ForwardFacts(std::span<const Expr> outputs, std::span<const Expr> explained)
    : order_(topological_order(outputs)), explained_(explained.begin(), explained.end()), facts_(order_.size()) {
  for (std::size_t i = 0; i < order_.size(); ++i) {
    bool dependent = std::find(explained_.begin(), explained_.end(), order_[i]) != explained_.end();
    for (const Expr operand : order_[i].operands()) {
      OfNode& of_operand = facts_[operand];
      ++of_operand.uses;
      dependent = dependent || of_operand.dependent;
    }
    facts_.emplace(order_[i], {i, 0, dependent});
  }
  for (const Expr output : outputs) ++facts_[output].uses;
}

std::size_t ForwardFacts::uses(Expr node) const {
  const auto found = facts_.find(node);
  return found == facts_.end() ? 0 : found->second.uses;
}

bool ForwardFacts::depends(Expr node) const {
  const auto found = facts_.find(node);
  if (found != facts_.end()) return found->second.dependent;
  return std::find(explained_.begin(), explained_.end(), node) != explained_.end();
}

const ForwardFacts::Set& ForwardFacts::extremes(const std::string& op_class, bool first) const {
  const auto [entry, fresh] = extremes_.try_emplace({op_class, first});
  Set& result = entry->second;
  if (!fresh) return result;
  Set shadowed;  // has a node of the class on the way from the inputs (first) or to the outputs (last)
  const auto is_member = [&](Expr node) { return depends(node) && covers(op_class, node.op()); };
  if (first) {
    for (const Expr node : order_) {
      bool hidden = false;
      for (const Expr operand : node.operands()) hidden = hidden || shadowed.contains(operand) || is_member(operand);
      if (hidden) shadowed.insert(node);
      else if (is_member(node)) result.insert(node);
    }
  } else {
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
      const bool hidden = shadowed.contains(*it);
      if (is_member(*it) && !hidden) result.insert(*it);
      if (hidden || is_member(*it))
        for (const Expr operand : it->operands()) shadowed.insert(operand);
    }
  }
  return result;
}

bool ForwardFacts::is_first(Expr node, const std::string& op_class) const { return extremes(op_class, true).contains(node); }
bool ForwardFacts::is_last(Expr node, const std::string& op_class) const { return extremes(op_class, false).contains(node); }

std::optional<Value> ForwardFacts::answer(const Term& term, std::span<const Value> arguments, Expr node) const {
  if (term.kind == TermKind::variable) {
    if (op_class_from_name(term.name) || Operators::builtin().find(term.name) != nullptr)
      return covers(term.name, node.op()) ? 1.0 : 0.0;
    return std::nullopt;
  }
  const Word* word = find_word(term.name);
  if (word == nullptr || word->fact == nullptr) return std::nullopt;
  return word->fact({term, arguments, node, *this}) ? 1.0 : 0.0;
}

namespace answers {

bool first(const FactCall& call) { return call.facts.is_first(call.node, call.text(0)); }
bool last(const FactCall& call) { return call.facts.is_last(call.node, call.text(0)); }
bool depends(const FactCall& call) { return call.facts.depends(call.expr(0)); }
bool only_use(const FactCall& call) { return call.facts.uses(call.expr(0)) <= 1; }

bool name(const FactCall& call) {
  const Expr named = call.arguments.size() == 2 ? call.expr(0) : call.node;
  const std::string glob = call.text(call.arguments.size() - 1);
  const std::vector<std::string> names = named.graph().names(named);
  return std::any_of(names.begin(), names.end(), [&](const std::string& one) { return glob_match(glob, one); });
}

}  // namespace answers
}  // namespace rulegrad
