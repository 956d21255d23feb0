#pragma once

#include "rulegrad/dsl/functions.hpp"

/// What stands in a rule beside its two sides, and how its types become the flat form.
namespace rulegrad::dsl {

/// `let(s = r / y, p = ...)`: intermediate values, each of which may use the ones before.
template <class... A>
struct Let {
  static constexpr int terms = (0 + ... + A::terms), links = (0 + ... + A::links), lets = sizeof...(A);
  static constexpr Part part = Part::item;
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
  static constexpr Part part = Part::item;
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
  static constexpr Part part = Part::item;
  Literals<0> literals;
  static constexpr void put(Builder& b) {
    b.wrt = Variable::view;
    ++b.wrts;
  }
};

template <DslType... A>
constexpr auto let(A... bindings) {
  constexpr bool named = sizeof...(A) > 0 && ((A::part == Part::binding) && ...);
  static_assert(named, "let names values: write let(s = ...)");
  if constexpr (named)
    return Let<A...>{join(bindings.literals...)};
  else
    return Let<>{};
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
inline constexpr std::string_view cotangent_name<Hole<TermKind::wildcard>> = Name<"_">::view;

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
  static constexpr bool in_order = ((Result::part == Part::term) && ... && (Done::part == Part::item));
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

}  // namespace detail
}  // namespace rulegrad::dsl
