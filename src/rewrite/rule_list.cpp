#include "rewrite/rule_list.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {

void RuleList::add(ActiveRule rule) {
  const Terms& terms = rule.rule->terms;
  rule.leads_on =
      std::any_of(terms.begin(), terms.end(), [](const Term& term) { return term.name == "next"; });
  rule.origin = std::make_shared<const RuleOrigin>(RuleOrigin{rule.set, rule.rule->name, rule.rule->where});
  std::string root = root_name(terms, rule.rule->pattern);
  const auto op_class = op_class_from_name(root);
  roots_.push_back({std::move(root), op_class, root_call(terms, rule.rule->pattern) != nullptr});
  rules_.push_back(std::make_shared<const ActiveRule>(std::move(rule)));
}

std::vector<std::size_t> RuleList::candidates(const OpSchema& op) const {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Root& root = roots_[i];
    const bool covered = root.op_class && op.is(*root.op_class);
    if (root.name.empty() || covered || op.name == root.name ||
        (!root.call && !root.op_class && operators_->find(root.name) == nullptr))
      result.push_back(i);
  }
  return result;
}

GradientRules::GradientRules(const RewriteContext& context, const RuleList& rules, EvaluationHooks hooks)
    : context_(context), rules_(rules), candidates_(rules), hooks_(std::move(hooks)) {
  about_asked_.fact = [this](const Term& term, const Meaning& meaning, std::span<const Value> arguments) {
    return context_.facts.answer(term, meaning, arguments, asked_);
  };
}

bool GradientRules::selected(const ActiveRule& rule, Expr node) const {
  for (const ActiveRule::Selector& selector : rule.selectors) {
    std::vector<char>& answers = selected_[{selector.terms.get(), selector.term, selector.parameters.get()}];
    if (answers.empty()) answers.assign(context_.facts.order().size() + 1, 0);
    const std::size_t rank = std::min(context_.facts.rank(node), answers.size() - 1);
    // Nodes outside of the forward graph share the last place, which is never remembered.
    const bool known = rank + 1 < answers.size();
    if (known && answers[rank] != 0) {
      if (answers[rank] == 1) return false;
      continue;
    }
    asked_ = node;
    Evaluator evaluator(context_.graph, context_.vocabulary, about_asked_);
    Scope scope = *selector.parameters;
    scope.bind("node", node);
    const bool holds = evaluator.evaluate_condition(*selector.terms, selector.term, scope);
    if (known) answers[rank] = holds ? 2 : 1;
    if (!holds) return false;
  }
  return true;
}

bool GradientRules::matches(const ActiveRule& active, Expr node, std::size_t slot, Scope& scope,
                            std::string* why) const {
  const Rule& rule = *active.rule;
  Matcher matcher(context_.vocabulary, rule.terms, scope, why != nullptr);
  if (!matcher.match_slot(rule.pattern, node, rule.wrt, slot)) {
    if (why != nullptr) *why = matcher.why();
    return false;
  }
  for (const auto& [name, value] : active.parameters->entries()) scope.bind(name, value);
  if (!selected(active, node)) {
    if (why != nullptr) *why = "its `on` selector leaves this node out";
    return false;
  }
  if (rule.guard == no_term) return true;
  asked_ = node;
  Evaluator evaluator(context_.graph, context_.vocabulary, about_asked_);
  evaluator.set_match(node, slot);
  if (evaluator.evaluate_condition(rule.terms, rule.guard, scope)) return true;
  if (why != nullptr) *why = "its `when` guard does not hold";
  return false;
}

std::optional<RuleResult> GradientRules::apply(Expr node, std::size_t slot, Expr cotangent,
                                               std::size_t from) const {
  Scope scope;
  for (const std::size_t index : candidates_.of(node.op())) {
    if (index < from) continue;
    const ActiveRule& active = rules_[index];
    scope.shrink(0);
    if (!matches(active, node, slot, scope, nullptr)) continue;
    const Rule& rule = *active.rule;
    if (rule.cotangent != "_") scope.bind(rule.cotangent, cotangent);
    std::vector<std::size_t> led_to;
    Evaluator evaluator(context_.graph, context_.vocabulary, hooks_);
    evaluator.set_match(node, slot);
    const auto next = [&, index](Expr other) -> Value {
      const auto below = apply(node, slot, other, index + 1);
      if (!below)
        throw Error(ErrorCode::rule, fmt::format("{}next(...) found no rule below this one for {}",
                                                 at_place(rule.where), describe(node)));
      led_to.push_back(below->index);
      led_to.insert(led_to.end(), below->below.begin(), below->below.end());
      return below->value;
    };
    if (active.leads_on) evaluator.set_next(next);
    Value value = evaluator.evaluate_body(rule.terms, rule.lets, rule.result, scope);
    return RuleResult{index, std::move(value), std::move(scope), std::move(led_to)};
  }
  return std::nullopt;
}

NearMiss GradientRules::nearest(Expr node, std::size_t slot) const {
  NearMiss best;
  for (const std::size_t index : candidates_.of(node.op())) {
    const ActiveRule& active = rules_[index];
    Scope scope;
    std::string why;
    if (!matches(active, node, slot, scope, &why)) return {&active, why};
  }
  return best;
}

bool spread_by(Expr node, const Shape& operand, const Shape& given) {
  if (!node || !node.op().is(OpClass::elementwise) || given.dims() != node.shape().dims()) return false;
  const auto wide = broadcast(operand, given);
  return wide && wide->dims() == given.dims();
}

std::optional<Expr> conform(const RewriteContext& context, const Value& value, const Type& type,
                            const std::function<std::string()>& what, Expr node) {
  if (const auto* number = std::get_if<double>(&value)) {
    if (*number == 0) return std::nullopt;
    return context.graph.apply(context.vocabulary.operators().at("fill"), {},
                               FillAttributes{*number, type.dtype, type.shape.with_samples(false)});
  }
  const auto* expr = std::get_if<Expr>(&value);
  if (expr == nullptr)
    throw Error(ErrorCode::rule, fmt::format("{} gives {}, which is no expression", what(), describe(value)));
  if (is_zero(*expr)) return std::nullopt;
  if (expr->dtype() != type.dtype)
    throw Error(ErrorCode::dtype, fmt::format("{} gives {} where the operand is {}", what(),
                                              to_string(expr->type()), to_string(type)));
  if (expr->shape().dims() == type.shape.dims()) return *expr;
  if (spread_by(node, type.shape, expr->shape()))
    return context.graph.apply(context.vocabulary.operators().at("sum_to"), {*expr},
                               ShapeAttributes{type.shape.with_samples(false)});
  const auto wide = broadcast(expr->shape(), type.shape);
  if (!wide || wide->dims() != type.shape.dims())
    throw Error(ErrorCode::shape, fmt::format("{} gives shape {} but the operand it is for has shape {}",
                                              what(), to_string(expr->shape()), to_string(type.shape)));
  return context.graph.apply(context.vocabulary.operators().at("expand"), {*expr},
                             ShapeAttributes{type.shape.with_samples(false)});
}

}  // namespace rulegrad
