#pragma once

#include <array>

#include "rulegrad/dsl/check.hpp"
#include "rulegrad/dsl/functions.hpp"

namespace rulegrad::dsl {

/// `let(s = r / y, p = ...)`: intermediate values, each of which may use the ones before.
template <class... A>
struct Let {
  static constexpr int terms = (0 + ... + A::terms), links = (0 + ... + A::links), lets = sizeof...(A);
  static constexpr bool is_item = true;
  decltype(join(A::literals...)) literals;
  static constexpr void put(Builder& b) {
    const auto one = [&]<class Bind>(std::type_identity<Bind>) {
      const int value = Bind::emit(b);
      b.lets[b.let_count++] = {Bind::name, value, b.term_count};
    };
    (one(std::type_identity<A>{}), ...);
  }
};

/// `when(condition)`
template <class Condition>
struct When {
  static constexpr int terms = Condition::terms, links = Condition::links, lets = 0;
  static constexpr bool is_item = true;
  decltype(Condition::literals) literals;
  static constexpr void put(Builder& b) {
    b.side = Side::guard;
    b.guard = Condition::emit(b);
    b.side = Side::value;
    ++b.guards;
  }
};

/// `wrt(v)`: the rule is for the operand that v matches.
template <class Variable>
struct Wrt {
  static constexpr int terms = 0, links = 0, lets = 0;
  static constexpr bool is_item = true;
  Literals<0> literals;
  static constexpr void put(Builder& b) {
    b.wrt = Variable::view;
    ++b.wrts;
  }
};

template <DslType... A>
constexpr auto let(A... bindings) {
  static_assert(sizeof...(A) > 0 && ((A::part == Part::binding) && ...),
                "let names values: write let(s = ...)");
  return Let<A...>{join(bindings.literals...)};
}

template <DslType C>
constexpr auto when(C condition) {
  static_assert(C::part == Part::term, "when takes a condition; to compare, write == and not =");
  return When<C>{condition.literals};
}

template <FixedString Text>
constexpr auto wrt(var<Text>) {
  return Wrt<Name<Text>>{};
}

namespace detail {

/// The left side of a rule, taken apart.
template <class Left>
struct LeftSide {
  using pattern = Left;
  static constexpr RuleLevel level = RuleLevel::forward;
  static constexpr std::string_view cotangent{};
};

template <class Cotangent>
inline constexpr std::string_view cotangent_name{};  // empty: not a variable
template <FixedString Text>
inline constexpr std::string_view cotangent_name<var<Text>> = Name<Text>::view;
template <>
inline constexpr std::string_view cotangent_name<Hole<TermKind::wildcard>> = "_";

template <class P, class G>
struct LeftSide<Call<rows::grad, P, G>> {
  using pattern = P;
  static constexpr RuleLevel level = RuleLevel::grad;
  static constexpr std::string_view cotangent = cotangent_name<G>;
};
template <class P, class G>
struct LeftSide<Call<rows::vjp, P, G>> : LeftSide<Call<rows::grad, P, G>> {
  static constexpr RuleLevel level = RuleLevel::vjp;
};

/// Everything of a rule that its type says. The counts of types are upper bounds (a binding may become a
/// label or not), so the arrays may end in unused entries; no array is empty.
template <int TermCount, int LinkCount, int LetCount>
struct Structure {
  FlatTerm terms[static_cast<std::size_t>(TermCount)];
  FlatLink links[static_cast<std::size_t>(LinkCount + 1)];
  FlatLet lets[static_cast<std::size_t>(LetCount + 1)];
  int term_count = 0;
  int link_count = 0;
  int let_count = 0;
  int pattern = -1;
  int guard = -1;
  int result = -1;
  std::string_view wrt{};
  bool repeated = false;  ///< more than one wrt or when
};

template <class Left, class Result, class... Items>
constexpr auto flatten() {
  using Pattern = typename LeftSide<Left>::pattern;
  Structure<((Pattern::terms + Result::terms) + ... + Items::terms),
            ((Pattern::links + Result::links) + ... + Items::links), (0 + ... + Items::lets)>
      flat{};
  Builder b{.terms = flat.terms, .links = flat.links, .lets = flat.lets};
  flat.pattern = Pattern::emit(b);
  b.side = Side::value;
  (Items::put(b), ...);
  flat.result = Result::emit(b);
  flat.term_count = b.term_count;
  flat.link_count = b.link_count;
  flat.let_count = b.let_count;
  flat.guard = b.guard;
  flat.wrt = b.wrt;
  flat.repeated = b.wrts > 1 || b.guards > 1;
  return flat;
}

/// The last of a rule's arguments is its result, those before are items.
template <class Left, class Done, class... Rest>
struct FlattenRule;
template <class Left, class... Done, class Result>
struct FlattenRule<Left, std::type_identity<void(Done...)>, Result> {
  static constexpr bool in_order = (DslType<Result> && ... && requires { Done::is_item; });
  static constexpr auto make() { return flatten<Left, Result, Done...>(); }
  using result = Result;
};
template <class Left, class... Done, class First, class Second, class... Rest>
struct FlattenRule<Left, std::type_identity<void(Done...)>, First, Second, Rest...>
    : FlattenRule<Left, std::type_identity<void(Done..., First)>, Second, Rest...> {};

/// A term without a rule around it.
template <class Value>
constexpr auto flatten_value() {
  Structure<Value::terms, Value::links, 0> flat{};
  Builder b{.terms = flat.terms, .links = flat.links, .lets = flat.lets, .side = Side::guard};
  flat.result = Value::emit(b);
  flat.term_count = b.term_count;
  flat.link_count = b.link_count;
  return flat;
}

template <class Flatten>
inline constexpr auto structure = Flatten::make();

template <int T, int L, int K>
constexpr FlatRule flat_rule(const Structure<T, L, K>& s) {
  return {.terms = std::span(s.terms, static_cast<std::size_t>(s.term_count)),
          .links = std::span(s.links, static_cast<std::size_t>(s.link_count)),
          .lets = std::span(s.lets, static_cast<std::size_t>(s.let_count)),
          .pattern = s.pattern,
          .wrt = s.wrt,
          .guard = s.guard,
          .result = s.result};
}

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
    constexpr int given = operand_count<S, A...>();
    Row::template check_operands<(S == Side::pattern || given >= Row::min_operands),
                                 (given <= Row::max_operands)>();
    ExplainAll<S, A...>::run();
  }
};

/// Never fine; shows the name that a mistake is about in the compiler's notes.
template <FixedString About>
inline constexpr bool about = false;

template <const auto& Found>
constexpr auto about_text() {
  constexpr std::size_t size = Found.about.size() + 1;
  char text[size]{};
  for (std::size_t i = 0; i + 1 < size; ++i) text[i] = Found.about[i];
  return FixedString<size>(text);
}

/// The sentences. Each mistake is asserted on its own, so that the sentence is all that the first error line
/// says.
template <const Diagnosis& Found>
constexpr void explain() {
  constexpr auto name = about_text<Found>();
  constexpr Mistake m = Found.mistake;
  static_assert(m != Mistake::left_side || about<name>,
                "the left side of a rule must be grad(pattern, g), vjp(pattern, g) or an operator");
  static_assert(m != Mistake::pattern_content || about<name>,
                "only operators, classes, variables, numbers and _ may stand in a pattern");
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

}  // namespace detail

/// A rule: `rewrite(grad(relu(x), g), where(x > 0, g, 0))`. Between the left side and the result may stand
/// `wrt(v)`, `when(condition)` and `let(s = ..., ...)`. The left side is `grad(pattern, g)` (analyzers),
/// `vjp(pattern, g)` (derivatives) or an operator (forward rules). Its structure is checked when the type is.
template <class Left, class... Items>
class rewrite {
  static constexpr bool has_left = DslType<Left>;
  static_assert(has_left, "the left side of a rule must be grad(pattern, g), vjp(pattern, g) or an operator");
  using Flatten = detail::FlattenRule<Left, std::type_identity<void()>, Items...>;
  static constexpr bool in_order = Flatten::in_order;
  static_assert(
      in_order,
      "the last argument of a rule is its result; only wrt(...), when(...) and let(...) stand before it");

  using LeftSide = detail::LeftSide<Left>;

  static constexpr FlatRule flat_structure() {
    FlatRule flat = detail::flat_rule(detail::structure<Flatten>);
    flat.level = LeftSide::level;
    flat.cotangent = LeftSide::cotangent;
    return flat;
  }
  static constexpr Diagnosis diagnosis_ = detail::structure<Flatten>.repeated
                                              ? Diagnosis{Mistake::several_wrt_or_when, {}}
                                              : diagnose(flat_structure());
  static constexpr bool explain_mistakes() {
    if constexpr (diagnosis_.mistake == Mistake::operands) {
      detail::ExplainOperands<Side::pattern, typename LeftSide::pattern>::run();
      detail::ExplainAll<Side::value, Items...>::run();
    } else if constexpr (diagnosis_.mistake != Mistake::none)
      detail::explain<diagnosis_>();
    return true;
  }

 public:
  static constexpr bool is_rule = true;
  static constexpr std::string_view name{};
  static constexpr RuleLevel level = LeftSide::level;
  /// The operator or class that the pattern's root names; empty for variables and `_`.
  static constexpr std::string_view root = [] {
    const FlatRule flat = flat_structure();
    const FlatTerm& term = detail::Checker{flat}.below_labels(flat.pattern);
    return term.kind == TermKind::call ? term.name : std::string_view();
  }();

  constexpr rewrite(Left left, Items... items,
                    Place place = Place::here())  // NOLINT(google-explicit-constructor)
      : literals_(join(left.literals, items.literals...)), place_(place) {
    static_assert(explain_mistakes());
  }

  /// The rule without what is data: literals and place.
  [[nodiscard]] static constexpr FlatRule structure() { return flat_structure(); }
  /// The whole rule; it views this object's literals.
  [[nodiscard]] constexpr FlatRule flat() const {
    FlatRule rule = flat_structure();
    if constexpr (requires { literals_.at; }) rule.literals = literals_.at;
    rule.place = place_;
    return rule;
  }

 private:
  decltype(join(Left::literals, Items::literals...)) literals_;
  Place place_;
};

template <class Left, class Item, class... Items>
rewrite(Left, Item, Items...) -> rewrite<AsTerm<Left>, AsTerm<Item>, AsTerm<Items>...>;

/// A rule with a name, by which another can take its place.
template <class RuleName, class Rewrite>
struct NamedRule {
  static constexpr bool is_rule = true;
  static constexpr std::string_view name = RuleName::view;
  static constexpr RuleLevel level = Rewrite::level;
  static constexpr std::string_view root = Rewrite::root;
  Rewrite rewrite_;

  [[nodiscard]] static constexpr FlatRule structure() { return Rewrite::structure(); }
  [[nodiscard]] constexpr FlatRule flat() const {
    FlatRule rule = rewrite_.flat();
    rule.name = name;
    return rule;
  }
};

template <class T>
concept RuleType = requires {
  T::is_rule;
};

/// `rule<"relu">(rewrite(...))`
template <FixedString Text, RuleType R>
constexpr auto rule(R named) {
  return NamedRule<Name<Text>, R>{named};
}

/// The runtime form of one rule.
template <RuleType R>
[[nodiscard]] Rule lower(const R& rule) {
  return lower(rule.flat());
}

/// The runtime form of several rules, for `OpSchema::derivatives`.
template <RuleType... R>
[[nodiscard]] std::vector<Rule> rule_list(const R&... rules) {
  std::vector<Rule> list;
  list.reserve(sizeof...(R));
  (list.push_back(lower(rules.flat())), ...);
  return list;
}

}  // namespace rulegrad::dsl
