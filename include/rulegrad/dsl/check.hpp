#pragma once

#include "rulegrad/dsl/operators.hpp"

/// What can be wrong with a rule, found on its flat form while it is compiled. The sentences stand in
/// rewrite.hpp.
namespace rulegrad::dsl {

enum class Mistake : std::uint8_t {
  none,
  left_side,
  pattern_content,
  cotangent,
  operator_as_variable,
  label_twice,
  wrt_not_operand,
  wrt_forward,
  several_wrt_or_when,
  unbound,
  unbound_in_guard,
  let_twice,
  gradient_in_guard,
  open_grad,
  open_vjp,
  gradient_in_forward,
  hole_in_result,
  class_in_result,
  operands,
  unused_variable,
  unused_let,
};

struct Diagnosis {
  Mistake mistake = Mistake::none;
  std::string_view about{};  ///< the name that is meant
};

namespace detail {

struct Checker {
  const FlatRule& rule;

  constexpr const FlatTerm& term(int id) const { return rule.terms[static_cast<std::size_t>(id)]; }
  constexpr const FlatLink& operand(const FlatTerm& parent, int i) const {
    return rule.links[static_cast<std::size_t>(parent.first_link + i)];
  }
  constexpr const FlatTerm& below_labels(int id) const {
    while (term(id).kind == TermKind::label) id = operand(term(id), 0).term;
    return term(id);
  }

  static constexpr bool binds(const FlatTerm& t) {
    return t.side == Side::pattern && !t.parameter &&
           (t.kind == TermKind::variable || t.kind == TermKind::label);
  }
  static constexpr bool uses(const FlatTerm& t) {
    return t.side != Side::pattern && !t.parameter &&
           (t.kind == TermKind::variable || t.kind == TermKind::replace || t.kind == TermKind::spread);
  }
  static constexpr bool is_function(const FlatTerm& t, std::string_view name) {
    return t.kind == TermKind::call && t.call == CallKind::function && t.name == name;
  }

  constexpr int times_in_pattern(std::string_view name) const {
    int times = 0;
    for (const FlatTerm& t : rule.terms) times += static_cast<int>(binds(t) && t.name == name);
    return times;
  }
  constexpr bool bound_by_left(std::string_view name) const {
    return name == rule.cotangent || name == rule.wrt || times_in_pattern(name) > 0;
  }
  constexpr bool is_used(std::string_view name) const {
    for (const FlatTerm& t : rule.terms)
      if (uses(t) && t.name == name) return true;
    return false;
  }

  /// Does the variable stand for the operand `i` of the pattern's root?
  constexpr bool stands_at(const FlatTerm& root, int i, std::string_view name) const {
    int id = operand(root, i).term;
    while (term(id).kind == TermKind::label) {
      if (term(id).name == name) return true;
      id = operand(term(id), 0).term;
    }
    return term(id).kind == TermKind::variable && term(id).name == name;
  }
  /// Does the pattern's root say which operands it has?
  constexpr bool names_operands(const FlatTerm& root) const {
    return root.kind == TermKind::call && root.args > 0 &&
           term(operand(root, 0).term).kind != TermKind::ellipsis;
  }

  constexpr Diagnosis left_side() const {
    const FlatTerm& root = below_labels(rule.pattern);
    const bool operation = root.kind == TermKind::call && root.call != CallKind::function;
    const bool anything = root.kind == TermKind::variable || root.kind == TermKind::wildcard;
    if (!operation && (rule.level == RuleLevel::forward || !anything)) return {Mistake::left_side, root.name};
    if (rule.cotangent.empty() && rule.level != RuleLevel::forward) return {Mistake::cotangent, {}};
    for (const FlatTerm& t : rule.terms) {
      if (t.side != Side::pattern) continue;
      const bool allowed =
          t.kind == TermKind::variable || t.kind == TermKind::wildcard || t.kind == TermKind::ellipsis ||
          t.kind == TermKind::number || t.kind == TermKind::text || t.kind == TermKind::list ||
          t.kind == TermKind::label || (t.kind == TermKind::call && t.call != CallKind::function);
      if (!allowed) return {Mistake::pattern_content, t.name};
      if (!binds(t)) continue;
      if (is_operator_name(t.name)) return {Mistake::operator_as_variable, t.name};
      if (t.kind == TermKind::label && (times_in_pattern(t.name) > 1 || t.name == rule.cotangent))
        return {Mistake::label_twice, t.name};
    }
    return {};
  }

  constexpr Diagnosis operand_counts() const {
    for (const FlatTerm& t : rule.terms)
      if (t.kind == TermKind::call && t.call != CallKind::function)
        if (t.args > t.max_operands || (t.side == Side::value && t.args < t.min_operands))
          return {Mistake::operands, t.name};
    return {};
  }

  constexpr Diagnosis slot() const {
    if (rule.wrt.empty()) return {};
    if (rule.level == RuleLevel::forward) return {Mistake::wrt_forward, rule.wrt};
    const FlatTerm& root = below_labels(rule.pattern);
    if (!names_operands(root)) return {};
    for (int i = 0; i < root.args; ++i)
      if (stands_at(root, i, rule.wrt)) return {};
    return {Mistake::wrt_not_operand, rule.wrt};
  }

  constexpr Diagnosis lets() const {
    for (std::size_t i = 0; i < rule.lets.size(); ++i) {
      const std::string_view name = rule.lets[i].name;
      if (bound_by_left(name)) return {Mistake::let_twice, name};
      for (std::size_t k = 0; k < i; ++k)
        if (rule.lets[k].name == name) return {Mistake::let_twice, name};
      if (!is_used(name)) return {Mistake::unused_let, name};
    }
    return {};
  }

  constexpr bool bound_for(std::size_t id, std::string_view name) const {
    if (bound_by_left(name)) return true;
    for (const FlatLet& let : rule.lets)
      if (let.name == name && id >= static_cast<std::size_t>(let.terms_before)) return true;
    return false;
  }

  constexpr Diagnosis guard_and_result() const {
    for (std::size_t id = 0; id < rule.terms.size(); ++id) {
      const FlatTerm& t = rule.terms[id];
      if (t.side == Side::pattern) continue;
      const bool in_guard = t.side == Side::guard;
      const bool gradient = is_function(t, "grad") || is_function(t, "vjp") || is_function(t, "next");
      if (gradient && in_guard) return {Mistake::gradient_in_guard, t.name};
      if (gradient && rule.level == RuleLevel::forward) return {Mistake::gradient_in_forward, t.name};
      if ((gradient || is_function(t, "diff")) && rule.level == RuleLevel::vjp)
        return {Mistake::open_vjp, t.name};
      if (is_function(t, "grad")) return {Mistake::open_grad, t.name};
      if (t.kind == TermKind::wildcard || t.kind == TermKind::ellipsis) return {Mistake::hole_in_result, "_"};
      if (t.kind == TermKind::call && !in_guard) {
        if (t.call == CallKind::op_class) return {Mistake::class_in_result, t.name};
      }
      if (!uses(t)) continue;
      if (in_guard ? !bound_by_left(t.name) : !bound_for(id, t.name))
        return {in_guard ? Mistake::unbound_in_guard : Mistake::unbound, t.name};
    }
    return {};
  }

  /// Operands of the root may name slots rather than values: the one that the rule is for, and beside a `wrt`
  /// those that the operator cannot do without (`grad(a + b, r)`, `wrt(a)`).
  constexpr bool names_slot(std::string_view name) const {
    if (rule.level == RuleLevel::forward) return false;
    if (name == rule.wrt) return true;
    const FlatTerm& root = below_labels(rule.pattern);
    if (!names_operands(root)) return false;
    const int slots = rule.wrt.empty() ? 1 : root.min_operands;
    for (int i = 0; i < slots && i < root.args; ++i)
      if (stands_at(root, i, name)) return true;
    return false;
  }

  /// Every name that the left side binds is used or names a slot.
  constexpr Diagnosis unused() const {
    for (const FlatTerm& t : rule.terms) {
      if (!binds(t) || is_used(t.name) || times_in_pattern(t.name) > 1 || t.name == rule.cotangent) continue;
      if (!names_slot(t.name)) return {Mistake::unused_variable, t.name};
    }
    const bool has_cotangent = rule.level != RuleLevel::forward && rule.cotangent != "_";
    if (has_cotangent && !is_used(rule.cotangent) && times_in_pattern(rule.cotangent) == 0)
      return {Mistake::unused_variable, rule.cotangent};
    return {};
  }
};

}  // namespace detail

[[nodiscard]] constexpr Diagnosis diagnose(const FlatRule& rule) {
  const detail::Checker checker{rule};
  for (const Diagnosis found : {checker.left_side(), checker.operand_counts(), checker.slot()})
    if (found.mistake != Mistake::none) return found;
  if (const Diagnosis found = checker.guard_and_result(); found.mistake != Mistake::none) return found;
  if (const Diagnosis found = checker.lets(); found.mistake != Mistake::none) return found;
  return checker.unused();
}

}  // namespace rulegrad::dsl
