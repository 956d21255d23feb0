#pragma once

#include "rulegrad/dsl/flatten.hpp"
#include "rulegrad/dsl/rule_checks.hpp"

/// The sentences that the compiler shows for wrong rules. A static_assert inside a function puts them on the
/// first line of its output; a constraint would bury them under "no matching function".
namespace rulegrad::dsl::detail {

/// Lets the row of every operator in a term or item say whether its operands are missing or too many.
template <Side S, class T>
struct ExplainOperands {
  static constexpr void run() {}
};
template <Side S, class... A>
struct ExplainAll {
  static constexpr void run() { (ExplainOperands<S, A>::run(), ...); }
};
template <Side S, class Name, class Value>
struct ExplainOperands<S, Binding<Name, Value>> : ExplainOperands<S, Value> {};
template <Side S, class Name, class... A>
struct ExplainOperands<S, Replace<Name, A...>> : ExplainAll<S, A...> {};
template <Side S, class... A>
struct ExplainOperands<S, Let<A...>> : ExplainAll<S, A...> {};
template <Side S, class Row, class... A>
struct ExplainOperands<S, Call<Row, A...>> {
  static constexpr void run() {
    constexpr int given = operand_count<S, A...>;
    Row::template check_operands<(S == Side::pattern || given >= Row::min_operands),
                                 (given <= Row::max_operands)>();
    ExplainAll<S, A...>::run();
  }
};

/// Never fine; shows the name that a mistake is about in the compiler's notes.
template <FixedString About>
inline constexpr bool about = false;

/// Text of a constant view as a template argument.
template <const std::string_view& View>
constexpr auto fixed() {
  char text[View.size() + 1]{};
  for (std::size_t i = 0; i < View.size(); ++i) text[i] = View[i];
  return FixedString(text);
}

/// A view of its own: clang 14 takes no part of an object as a template argument.
template <const auto& Found>
inline constexpr std::string_view about_text = Found.about;

/// The sentences. Each mistake is asserted on its own, so that the sentence is all that the first error line
/// says.
template <const Diagnosis& Found>
constexpr void explain() {
  constexpr auto name = fixed<about_text<Found>>();
  constexpr Mistake m = Found.mistake;
  static_assert(m != Mistake::left_side || about<name>,
                "the left side of a rule must be grad(pattern, g), vjp(pattern, g) or an operator");
  static_assert(m != Mistake::pattern_content || about<name>,
                "only operators, classes, variables, numbers and _ may stand in a pattern");
  static_assert(
      m != Mistake::equals_sign || about<name>,
      "a pattern names what it matches with =, as in y = relu(x); == compares (the operator is equal(a, b))");
  static_assert(m != Mistake::cotangent || about<name>,
                "the second operand of grad or vjp on the left side must be a variable or _");
  static_assert(m != Mistake::operator_as_variable || about<name>,
                "a pattern variable has the name of an operator, which the pattern would match; rename it");
  static_assert(m != Mistake::label_twice || about<name>,
                "a label has a name that the pattern binds already");
  static_assert(m != Mistake::wrt_not_operand || about<name>,
                "wrt names a variable that is not an operand of the pattern");
  static_assert(m != Mistake::wrt_forward || about<name>, "a forward rule has no gradient, so it has no wrt");
  static_assert(m != Mistake::several_wrt_or_when || about<name>,
                "a rule has at most one wrt and at most one when");
  static_assert(m != Mistake::unbound || about<name>,
                "rule result uses a variable that its pattern does not bind");
  static_assert(m != Mistake::unbound_in_guard || about<name>,
                "rule guard uses a variable that its pattern does not bind");
  static_assert(m != Mistake::let_twice || about<name>, "a let has a name that is bound already");
  static_assert(m != Mistake::gradient_in_guard || about<name>, "a guard may not ask for gradients");
  static_assert(m != Mistake::open_grad || about<name>,
                "rule result leaves a grad open; analyzer rules may introduce only vjp and next");
  static_assert(
      m != Mistake::open_vjp || about<name>,
      "rule result leaves a gradient open; derivative rules may introduce neither vjp, grad, next nor diff");
  static_assert(m != Mistake::gradient_in_forward || about<name>,
                "a forward rule rewrites values, so its result holds neither grad, vjp nor next");
  static_assert(m != Mistake::hole_in_result || about<name>,
                "_ and ellipsis have no value; they may stand only in a pattern");
  static_assert(m != Mistake::class_in_result || about<name>,
                "a class of operators has no value; name an operator, or replace operands with y(...)");
  static_assert(
      m != Mistake::unused_variable || about<name>,
      "rule pattern binds a variable that the rule does not use; write _ for it, or leave the operand out");
  static_assert(m != Mistake::unused_let || about<name>, "rule names a let that it does not use");
}

}  // namespace rulegrad::dsl::detail
