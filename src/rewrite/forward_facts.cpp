#include "rewrite/forward_facts.hpp"

#include "rewrite/match.hpp"
#include "rulegrad/error.hpp"
#include "support/text.hpp"

namespace rulegrad {

ForwardFacts::ForwardFacts(std::span<const Expr> outputs, std::span<const Expr> explained)
    : order_(topological_order(outputs)), dependent_(explained.begin(), explained.end()) {
  for (std::size_t i = 0; i < order_.size(); ++i) {
    rank_.emplace(order_[i], i);
    for (const Expr operand : order_[i].operands()) {
      ++uses_[operand];
      if (depends(operand)) dependent_.insert(order_[i]);
    }
  }
  for (const Expr output : outputs) ++uses_[output];
}

std::size_t ForwardFacts::uses(Expr node) const {
  const auto found = uses_.find(node);
  return found == uses_.end() ? 0 : found->second;
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
  const auto truth = [](bool value) -> Value { return value ? 1.0 : 0.0; };
  const auto text = [&](std::size_t i) -> std::string {
    if (i < arguments.size())
      if (const auto* attribute = std::get_if<AttrValue>(&arguments[i]))
        if (const auto* word = std::get_if<std::string>(attribute)) return *word;
    throw Error(ErrorCode::rule, term.name + " takes a class, an operator or a \"name\" here");
  };
  const auto expr = [&](std::size_t i) -> Expr {
    if (i < arguments.size())
      if (const auto* value = std::get_if<Expr>(&arguments[i])) return *value;
    throw Error(ErrorCode::rule, term.name + " takes an expression that the pattern bound");
  };
  if (term.kind == TermKind::variable) {
    if (op_class_from_name(term.name) || Operators::builtin().find(term.name) != nullptr)
      return truth(covers(term.name, node.op()));
    return std::nullopt;
  }
  if (term.name == "first") return truth(is_first(node, text(0)));
  if (term.name == "last") return truth(is_last(node, text(0)));
  if (term.name == "depends") return truth(depends(expr(0)));
  if (term.name == "only_use") return truth(uses(expr(0)) <= 1);
  if (term.name == "name") {
    const Expr named = arguments.size() == 2 ? expr(0) : node;
    const std::string glob = text(arguments.size() - 1);
    for (const std::string& name : named.graph().names(named))
      if (glob_match(glob, name)) return truth(true);
    return truth(false);
  }
  return std::nullopt;
}

}  // namespace rulegrad
