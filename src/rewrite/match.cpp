#include "rewrite/match.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rewrite/classes.hpp"

namespace rulegrad {

std::optional<OpClass> op_class_from_name(std::string_view name) {
  for (std::size_t i = 0; i < std::size(op_class_names); ++i)
    if (op_class_names[i] == name) return static_cast<OpClass>(i);
  return std::nullopt;
}

bool covers(std::string_view name, const OpSchema& op) {
  if (op.name == name) return true;
  const auto op_class = op_class_from_name(name);
  return op_class && op.is(*op_class);
}

bool covers_always(std::string_view name, const OpSchema& op) {
  if (op.name == name) return true;
  const auto op_class = op_class_from_name(name);
  return op_class && op.is_always(*op_class);
}

bool covers_node(std::string_view name, Expr node) {
  if (node.is(name)) return true;
  const auto op_class = op_class_from_name(name);
  return op_class && node.op().is(*op_class, node.attributes());
}

namespace {

const Term& below_labels(const Terms& terms, TermId pattern) {
  const Term* term = &terms[static_cast<std::size_t>(pattern)];
  while (term->kind == TermKind::label) term = &terms[static_cast<std::size_t>(term->args[0])];
  return *term;
}

/// Is it a constant of that value, as its dtype holds it? Exporters round numbers to float32 whatever the
/// network computes in.
bool is_number(Expr expr, double number) {
  const auto value = constant_value(expr);
  if (!value) return false;
  const auto rounded = static_cast<float>(number);
  return *value == number || *value == static_cast<double>(rounded) ||
         (expr.dtype() == DType::float32 && static_cast<float>(*value) == rounded);
}

/// Why the operator or class that a term names does not cover this node.
std::string unlike(const Term& term, Expr node) {
  if (covers(term.name, node.op()))
    return fmt::format("a {} with the attributes of this one is not of class {}", node.op().name, term.name);
  return fmt::format("expected {}, found {}", term.name, node.op().name);
}

bool only_ellipsis(const Terms& terms, const Term& call) {
  return call.args.size() == 1 && terms[static_cast<std::size_t>(call.args[0])].kind == TermKind::ellipsis;
}

}  // namespace

std::string root_name(const Terms& terms, TermId pattern) {
  const Term& term = below_labels(terms, pattern);
  return term.kind == TermKind::call || term.kind == TermKind::variable ? term.name : std::string();
}

const Term* root_call(const Terms& terms, TermId pattern) {
  const Term& term = below_labels(terms, pattern);
  return term.kind == TermKind::call ? &term : nullptr;
}

bool Matcher::fail(std::string why) {
  if (why_.empty()) why_ = std::move(why);
  return false;
}

bool Matcher::covers(const Term& name, const OpSchema& op) const {
  if (op.name == name.name) return true;
  const Meaning& meaning = vocabulary_.of(terms_, name);
  return meaning.op_class && op.is(*meaning.op_class);
}

bool Matcher::match(TermId pattern, Expr expr) {
  const Goal goal{pattern, expr, nullptr};
  const std::size_t before = scope_.size();
  if (solve(&goal)) return true;
  scope_.shrink(before);
  return false;
}

bool Matcher::solve(const Goal* goal) {
  if (goal == nullptr) return true;
  const Term& term = terms_[static_cast<std::size_t>(goal->pattern)];
  const Expr expr = goal->expr;
  const std::size_t before = scope_.size();
  switch (term.kind) {
    case TermKind::wildcard:
      return solve(goal->next);
    case TermKind::variable: {
      if (vocabulary_.of(terms_, term).operators())
        return ((covers(term, expr.op()) && covers_node(term.name, expr)) ||
                (explain_ && fail(unlike(term, expr)))) &&
               solve(goal->next);
      if (const Value* bound = scope_.find(term.name)) {
        const Expr* same = std::get_if<Expr>(bound);
        const double* number = std::get_if<double>(bound);
        if ((same != nullptr && *same == expr) || (number != nullptr && is_number(expr, *number)))
          return solve(goal->next);
        return (explain_ && fail(fmt::format("'{}' stands for two different expressions", term.name)));
      }
      scope_.bind(term.name, expr);
      if (solve(goal->next)) return true;
      scope_.shrink(before);
      return false;
    }
    case TermKind::number:
      return (is_number(expr, term.number) ||
              (explain_ && fail(fmt::format("expected the constant {}", term.number)))) &&
             solve(goal->next);
    case TermKind::label: {
      // Bound first, so that guards of inner patterns may read it.
      scope_.bind(term.name, expr);
      const Goal inner{term.args[0], expr, goal->next};
      if (solve(&inner)) return true;
      scope_.shrink(before);
      return false;
    }
    case TermKind::call:
      return solve_call(term, *goal);
    default:
      return (explain_ && fail("this term cannot stand in a pattern"));
  }
}

bool Matcher::solve_call(const Term& call, const Goal& goal) {
  const Expr expr = goal.expr;
  if (!covers(call, expr.op()) || !covers_node(call.name, expr))
    return (explain_ && fail(unlike(call, expr)));
  if (!match_attributes(call, expr)) return false;
  if (only_ellipsis(terms_, call)) return solve(goal.next);
  if (!same_count(call, expr)) return false;
  const std::size_t before = scope_.size();
  if (solve_operands(call, expr, false, call.args.size(), goal.next)) return true;
  scope_.shrink(before);
  if (!expr.op().commutative || expr.operands().size() != 2) return false;
  if (solve_operands(call, expr, true, call.args.size(), goal.next)) return true;
  scope_.shrink(before);
  return false;
}

bool Matcher::solve_operands(const Term& call, Expr expr, bool swapped, std::size_t count, const Goal* rest) {
  if (count == 0) return solve(rest);
  const std::size_t i = count - 1;
  const Goal goal{call.args[i], expr.operand(swapped ? 1 - i : i), rest};
  return solve_operands(call, expr, swapped, i, &goal);
}

bool Matcher::same_count(const Term& call, Expr expr) {
  if (call.args.size() <= expr.operands().size()) return true;
  return (explain_ && fail(fmt::format("{} has {} operands here, the pattern names {}", expr.op().name,
                                       expr.operands().size(), call.args.size())));
}

bool Matcher::match_attributes(const Term& call, Expr expr) {
  for (const auto& [name, id] : call.named) {
    const Term& wanted = terms_[static_cast<std::size_t>(id)];
    if (!expr.attributes().type().has(name))
      return (explain_ && fail(fmt::format("{} has no attribute '{}'", expr.op().name, name)));
    const AttrValue actual = expr.attributes().get(name);
    const AttrValue expected =
        wanted.kind == TermKind::text ? AttrValue(wanted.name) : AttrValue(wanted.number);
    const bool same = std::visit(
        [&]<class A>(const A& value) {
          if constexpr (std::is_arithmetic_v<A>)
            return wanted.kind == TermKind::number && static_cast<double>(value) == wanted.number;
          else
            return equal(actual, expected);
        },
        actual);
    if (!same)
      return (explain_ &&
              fail(fmt::format("{} is {}, not {}", name, to_string(actual), to_string(expected))));
  }
  return true;
}

bool Matcher::match_slot(TermId pattern, Expr node, const std::string& wrt, std::size_t slot) {
  const Term* call = root_call(terms_, pattern);
  const bool names_operands = call != nullptr && !call->args.empty() && !only_ellipsis(terms_, *call);
  if (wrt.empty()) return is_meant_slot(node.op(), slot, names_operands) && match(pattern, node);
  if (names_operands)
    for (std::size_t position = 0; position < call->args.size(); ++position)
      if (stands_at(call->args[position], wrt))
        return match_named_operand(pattern, *call, node, wrt, position, slot);
  // Otherwise `wrt v` binds whichever operand the cotangent is for; a role name asks for that role.
  if (const auto position = node.op().position_of(wrt); position && *position != slot && !names_operands)
    return (explain_ && fail(fmt::format("the rule is for operand '{}'", wrt)));
  if (!match(pattern, node)) return false;
  scope_.bind(wrt, node.operand(slot));
  return true;
}

/// Without `wrt` a rule is for data: the first of it where the pattern names operands, else any.
bool Matcher::is_meant_slot(const OpSchema& op, std::size_t slot, bool names_operands) {
  if (op.operand(slot).role != Role::data)
    return (explain_ && fail(fmt::format("operand '{}' is a parameter; the rule is for data (write `wrt`)",
                                         op.operand(slot).name)));
  if (!names_operands) return true;
  std::size_t first_data = 0;
  while (op.operand(first_data).role != Role::data) ++first_data;
  if (slot == first_data) return true;
  return (explain_ && fail(fmt::format("the rule is for operand '{}'", op.operand(first_data).name)));
}

/// Does the operand of the pattern stand for a whole operand under this name?
bool Matcher::stands_at(TermId operand, const std::string& name) const {
  const Term* term = &terms_[static_cast<std::size_t>(operand)];
  while (term->kind == TermKind::label && term->name != name)
    term = &terms_[static_cast<std::size_t>(term->args[0])];
  return (term->kind == TermKind::variable || term->kind == TermKind::label) && term->name == name;
}

/// The operand of the pattern at `position` is the one that the rule is for: it must stand at `slot`, in the
/// order as written or, where the operator commutes, in the other one.
bool Matcher::match_named_operand(TermId pattern, const Term& call, Expr node, const std::string& wrt,
                                  std::size_t position, std::size_t slot) {
  const std::size_t before = scope_.size();
  const OpSchema& op = node.op();
  const bool swappable = op.commutative && node.operands().size() == 2;
  for (const bool swapped : {false, true}) {
    if (swapped && !swappable) break;
    if ((swapped ? 1 - position : position) != slot) continue;
    bind_labels(pattern, node);
    if (covers(call, op) && covers_node(call.name, node) && match_attributes(call, node) &&
        same_count(call, node) && solve_operands(call, node, swapped, call.args.size(), nullptr))
      return true;
    scope_.shrink(before);
  }
  return (explain_ && fail(fmt::format("'{}' is not operand '{}'", wrt, op.operand(slot).name)));
}

/// The labels above the call bind the node itself.
void Matcher::bind_labels(TermId pattern, Expr node) {
  for (const Term* term = &terms_[static_cast<std::size_t>(pattern)]; term->kind == TermKind::label;
       term = &terms_[static_cast<std::size_t>(term->args[0])])
    scope_.bind(term->name, node);
}

}  // namespace rulegrad
