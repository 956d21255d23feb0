#pragma once

#include "rulegrad/dsl/operator_terms.hpp"

/// What can be wrong with a rule, found on its flat form while it is compiled. The sentences stand in
/// rewrite.hpp.
namespace rulegrad::dsl {

enum class Mistake : std::uint8_t {
  none,
  left_side,
  pattern_content,
  equals_sign,
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

/// Plain pointers: the compiler interprets this for every rule.
struct Checker {
  const FlatTerm* terms;
  const FlatLink* links;
  const FlatLet* lets;
  int term_count;
  int pattern_end;  ///< the pattern's root is its last term
  int let_count;
  RuleLevel level;
  std::string_view cotangent;
  std::string_view wrt;

  constexpr explicit Checker(const FlatRule& rule)
      : terms(rule.terms.data()),
        links(rule.links.data()),
        lets(rule.lets.data()),
        term_count(static_cast<int>(rule.terms.size())),
        pattern_end(rule.pattern + 1),
        let_count(static_cast<int>(rule.lets.size())),
        level(rule.level),
        cotangent(rule.cotangent),
        wrt(rule.wrt) {}

  static constexpr bool is_operation(const FlatTerm& t) {
    return t.kind == TermKind::call && (t.call == CallKind::op || t.call == CallKind::op_class);
  }
  constexpr const FlatTerm& operand(const FlatTerm& parent, int i) const {
    return terms[links[parent.first_link + i].term];
  }
  /// The pattern without its labels.
  constexpr const FlatTerm& root() const {
    const FlatTerm* t = terms + pattern_end - 1;
    while (t->kind == TermKind::label) t = &operand(*t, 0);
    return *t;
  }

  constexpr int times_in_pattern(std::string_view name) const {
    int times = 0;
    for (int i = 0; i < pattern_end; ++i)
      if (same_name(terms[i].variable, name)) ++times;
    return times;
  }
  constexpr bool bound_by_left(std::string_view name) const {
    if (same_name(name, cotangent) || same_name(name, wrt)) return true;
    for (int i = 0; i < pattern_end; ++i)
      if (same_name(terms[i].variable, name)) return true;
    return false;
  }
  constexpr bool is_used(std::string_view name) const {
    for (int i = pattern_end; i < term_count; ++i)
      if (same_name(terms[i].variable, name)) return true;
    return false;
  }
  constexpr bool bound_for(int term, std::string_view name) const {
    if (bound_by_left(name)) return true;
    for (int i = 0; i < let_count; ++i)
      if (same_name(lets[i].name, name) && term >= lets[i].terms_before) return true;
    return false;
  }

  /// Does the variable stand for the operand `i` of the pattern's root?
  constexpr bool stands_at(int i, std::string_view name) const {
    const FlatTerm* t = &operand(root(), i);
    while (t->kind == TermKind::label && !same_name(t->variable, name)) t = &operand(*t, 0);
    return same_name(t->variable, name);
  }
  /// Does the pattern's root say which operands it has?
  constexpr bool names_operands() const {
    const FlatTerm& r = root();
    return r.kind == TermKind::call && r.args > 0 && operand(r, 0).kind != TermKind::ellipsis;
  }

  constexpr Diagnosis left_side() const {
    const FlatTerm& r = root();
    const bool anything = r.kind == TermKind::variable || r.kind == TermKind::wildcard;
    if (!is_operation(r) && (level == RuleLevel::forward || !anything)) return {Mistake::left_side, r.name};
    if (cotangent.empty() && level != RuleLevel::forward) return {Mistake::cotangent, {}};
    for (int i = 0; i < pattern_end; ++i) {
      const FlatTerm& t = terms[i];
      if (t.equals_sign) return {Mistake::equals_sign, t.name};
      if (t.kind >= TermKind::member || (t.kind == TermKind::call && !is_operation(t)))
        return {Mistake::pattern_content, t.name};
      if (t.operator_name) return {Mistake::operator_as_variable, t.name};
      if (t.kind == TermKind::label && (same_name(t.variable, cotangent) || times_in_pattern(t.variable) > 1))
        return {Mistake::label_twice, t.name};
    }
    return {};
  }

  constexpr Diagnosis slot() const {
    if (wrt.empty()) return {};
    if (level == RuleLevel::forward) return {Mistake::wrt_forward, wrt};
    if (!names_operands()) return {};
    for (int i = 0; i < root().args; ++i)
      if (stands_at(i, wrt)) return {};
    return {Mistake::wrt_not_operand, wrt};
  }

  constexpr Mistake gradient(const FlatTerm& t) const {
    if (t.side == Side::guard) return Mistake::gradient_in_guard;
    if (level == RuleLevel::forward && t.call != CallKind::diff) return Mistake::gradient_in_forward;
    if (level == RuleLevel::vjp) return Mistake::open_vjp;
    return t.call == CallKind::grad ? Mistake::open_grad : Mistake::none;
  }

  constexpr Diagnosis guard_and_result() const {
    for (int i = pattern_end; i < term_count; ++i) {
      const FlatTerm& t = terms[i];
      const bool in_guard = t.side == Side::guard;
      if (t.kind == TermKind::call) {
        if (t.call >= CallKind::grad)
          if (const Mistake found = gradient(t); found != Mistake::none) return {found, t.name};
        if (t.call == CallKind::op_class && !in_guard) return {Mistake::class_in_result, t.name};
      } else if (t.kind == TermKind::wildcard || t.kind == TermKind::ellipsis) {
        return {Mistake::hole_in_result, "_"};
      } else if (!t.variable.empty()) {
        if (in_guard ? !bound_by_left(t.variable) : !bound_for(i, t.variable))
          return {in_guard ? Mistake::unbound_in_guard : Mistake::unbound, t.name};
      }
    }
    return {};
  }

  constexpr Diagnosis operand_counts() const {
    for (int i = 0; i < term_count; ++i) {
      const FlatTerm& t = terms[i];
      if (t.kind != TermKind::call || !is_operation(t)) continue;
      if (t.args > t.max_operands || (t.side == Side::value && t.args < t.min_operands))
        return {Mistake::operands, t.name};
    }
    return {};
  }

  constexpr Diagnosis named_lets() const {
    for (int i = 0; i < let_count; ++i) {
      std::string_view name = lets[i].name;
      bool twice = bound_by_left(name);
      for (int before = 0; before < i; ++before) twice = twice || same_name(lets[before].name, name);
      if (twice) return {Mistake::let_twice, name};
      if (!is_used(name)) return {Mistake::unused_let, name};
    }
    return {};
  }

  /// Operands of the root may name slots rather than values: the one that the rule is for, and beside a `wrt`
  /// those that the operator cannot do without (`grad(a + b, r)`, `wrt(a)`).
  constexpr bool names_slot(std::string_view name) const {
    if (level == RuleLevel::forward) return false;
    if (same_name(name, wrt)) return true;
    if (!names_operands()) return false;
    const int slots = wrt.empty() ? 1 : root().min_operands;
    for (int i = 0; i < slots && i < root().args; ++i)
      if (stands_at(i, name)) return true;
    return false;
  }

  /// Every name that the left side binds is used or names a slot.
  constexpr Diagnosis unused() const {
    for (int i = 0; i < pattern_end; ++i) {
      std::string_view name = terms[i].variable;
      if (name.empty() || same_name(name, cotangent) || is_used(name) || times_in_pattern(name) > 1) continue;
      if (!names_slot(name)) return {Mistake::unused_variable, name};
    }
    const bool has_cotangent = level != RuleLevel::forward && !same_name(cotangent, "_");
    if (has_cotangent && !is_used(cotangent) && times_in_pattern(cotangent) == 0)
      return {Mistake::unused_variable, cotangent};
    return {};
  }
};

}  // namespace detail

[[nodiscard]] constexpr Diagnosis diagnose(const FlatRule& rule) {
  const detail::Checker checker{rule};
  Diagnosis found = checker.left_side();
  if (found.mistake == Mistake::none) found = checker.operand_counts();
  if (found.mistake == Mistake::none) found = checker.slot();
  if (found.mistake == Mistake::none) found = checker.guard_and_result();
  if (found.mistake == Mistake::none) found = checker.named_lets();
  if (found.mistake == Mistake::none) found = checker.unused();
  return found;
}

}  // namespace rulegrad::dsl
