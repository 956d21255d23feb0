#pragma once

#include <utility>
#include <vector>

#include "rulegrad/dsl/sentences.hpp"

namespace rulegrad::dsl {

/// A rule in its flat form. Of the rule's structure its type says only what sets of rules ask, so that the
/// types of sets, and the names of everything made from them, stay short.
template <class RuleName, RuleLevel Level, class Root, int LiteralCount, class... Parameters>
struct FlatRuleOf {
  using Flat = FlatRuleOf;
  static constexpr bool is_rule = true;
  static constexpr std::string_view name = RuleName::view;
  static constexpr RuleLevel level = Level;
  /// The operator or class that the pattern's root names; empty for variables and `_`.
  static constexpr std::string_view root = Root::view;

  FlatRule structure;  ///< views static storage; its literals are the member below
  Literals<LiteralCount> literals;

  /// The whole rule; it views this object's literals.
  [[nodiscard]] constexpr FlatRule flat() const {
    FlatRule rule = structure;
    if constexpr (LiteralCount > 0) rule.literals = literals.at;
    return rule;
  }

  /// The same rule under a name.
  template <class NewName>
  [[nodiscard]] constexpr auto named() const {
    FlatRuleOf<NewName, Level, Root, LiteralCount, Parameters...> rule{structure, literals};
    rule.structure.name = NewName::view;
    return rule;
  }

  /// A rule of types is no rule of the library yet.
  template <class T>
  requires std::same_as<T, Rule> || std::same_as<T, std::vector<Rule>>
  // NOLINTNEXTLINE(google-explicit-constructor): so that a forgotten `lower` is told in a sentence
  constexpr operator T() const {
    static_assert(
        detail::never<T>,
        "a rule of the DSL is lowered before it is used: write lower(rule), or rule_list(rule, ...)");
    return {};
  }
};

/// Is T a rule?
template <class T>
concept RuleType = requires {
  T::is_rule;
};

namespace detail {

/// The flat form of a rule as its type gives it: without literals, name and place.
template <class Left, class... Items>
struct RuleStructure {
  using Flatten = FlattenRule<Left, std::type_identity<void()>, Items...>;
  using Sides = LeftSide<Left>;

  static constexpr FlatRule flat = [] {
    FlatRule rule = flat_rule(structure<Flatten>);
    rule.level = Sides::level;
    rule.cotangent = Sides::cotangent;
    return rule;
  }();
  static constexpr Diagnosis diagnosis =
      structure<Flatten>.repeated ? Diagnosis{Mistake::several_wrt_or_when, {}} : diagnose(flat);
  static constexpr std::string_view root = [] {
    const FlatTerm& term = Checker(flat).root();
    return term.kind == TermKind::call ? term.name : std::string_view();
  }();

  /// The first term that reads the `wanted`-th parameter of the rule, or -1.
  static constexpr int parameter_term(int wanted) {
    const FlatTerm* terms = flat.terms.data();
    for (int i = 0; i < structure<Flatten>.term_count; ++i) {
      if (!terms[i].parameter) continue;
      bool fresh = true;
      for (int k = 0; k < i; ++k)
        fresh = fresh && !(terms[k].parameter && same_name(terms[k].name, terms[i].name));
      if (fresh && wanted-- == 0) return i;
    }
    return -1;
  }
  static constexpr int parameter_count = [] {
    int count = 0;
    while (parameter_term(count) >= 0) ++count;
    return count;
  }();
  template <int I>
  static constexpr std::string_view parameter = flat.terms[static_cast<std::size_t>(parameter_term(I))].name;

  template <int... I>
  static auto type(std::integer_sequence<int, I...>)
      -> FlatRuleOf<Name<"">, Sides::level, Name<fixed<root>()>,
                    (decltype(Left::literals)::count + ... + decltype(Items::literals)::count),
                    Name<fixed<parameter<I>>()>...>;
  using Flat = decltype(type(std::make_integer_sequence<int, parameter_count>{}));

  static constexpr bool explain_mistakes() {
    if constexpr (diagnosis.mistake == Mistake::operands) {
      ExplainOperands<Side::pattern, typename Sides::pattern>::run();
      ExplainAll<Side::value, Items...>::run();
    } else if constexpr (diagnosis.mistake != Mistake::none) {
      explain<diagnosis>();
    }
    return true;
  }
};

/// Stands for the structure of a rule that was told to be wrong already.
template <int LiteralCount>
struct NoStructure {
  using Flat = FlatRuleOf<Name<"">, RuleLevel::grad, Name<"">, LiteralCount>;
  static constexpr FlatRule flat{};
  static constexpr bool explain_mistakes() { return true; }
};

/// Asserted before anything is asked of the structure, so that these sentences come first.
template <class Left, class... Items>
struct CheckedStructure {
  static constexpr bool has_left = Left::part == Part::term || Left::part == Part::binding;
  static_assert(has_left, "the left side of a rule must be grad(pattern, g), vjp(pattern, g) or an operator");
  static constexpr bool in_order = FlattenRule<Left, std::type_identity<void()>, Items...>::in_order;
  static_assert(
      in_order,
      "the last argument of a rule is its result; only wrt(...), when(...) and let(...) stand before it");
  using Structure =
      typename std::conditional_t<has_left && in_order, std::type_identity<RuleStructure<Left, Items...>>,
                                  std::type_identity<NoStructure<(decltype(Left::literals)::count + ... +
                                                                  decltype(Items::literals)::count)>>>::type;
  static_assert(Structure::explain_mistakes());
  using Flat = typename Structure::Flat;
};

}  // namespace detail

/// A rule: `rewrite(grad(relu(x), g), where(x > 0, g, 0))`. Between the left side and the result may stand
/// `wrt(v)`, `when(condition)` and `let(s = ..., ...)`. The left side is `grad(pattern, g)` (analyzers),
/// `vjp(pattern, g)` (derivatives) or an operator (forward rules).
template <class Left, class... Items>
struct rewrite : detail::CheckedStructure<Left, Items...>::Flat {
  /// Left side, what stands between, result; `place` is where the rule is written.
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr rewrite(Left left, Items... items, Place place = Place::here())
      : rewrite::Flat{detail::CheckedStructure<Left, Items...>::Structure::flat,
                      join(left.literals, items.literals...)} {
    this->structure.place = place;
  }
};

/// A left side alone is no rule.
template <class Left>
struct rewrite<Left> : FlatRuleOf<Name<"">, RuleLevel::grad, Name<"">, 0> {
  static_assert(detail::never<Left>, "a rule needs a result: write rewrite(grad(pattern, g), result)");
  /// Never made: the sentence above is told.
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr rewrite(Left /*left*/, Place /*place*/ = Place::here()) : rewrite::Flat{} {}
};

/// Numbers and words become terms.
template <class Left, class Item, class... Items>
rewrite(Left, Item, Items...) -> rewrite<AsTerm<Left>, AsTerm<Item>, AsTerm<Items>...>;

/// A rule with a name, by which another can take its place: `rule<"relu">(rewrite(...))`.
template <FixedString Text, RuleType R>
constexpr auto rule(const R& unnamed) {
  return unnamed.template named<Name<Text>>();
}

/// The name of a rule stands in angle brackets.
template <class... A>
requires(RuleType<A> || ...) constexpr auto rule(const A&...) {
  static_assert(detail::never<A...>,
                "rule takes its name in angle brackets: write rule<\"name\">(rewrite(...))");
  return FlatRuleOf<Name<"">, RuleLevel::grad, Name<"">, 0>{};
}

/// The runtime form of one rule.
template <RuleType R>
[[nodiscard]] Rule lower(const R& rule) {
  return lower(rule.flat());
}

/// The runtime form of several rules, for `OpSchema::derivatives`.
template <RuleType... R>
[[nodiscard]] std::vector<Rule> rule_list(const R&... rules) {
  const FlatRule flat[] = {rules.flat()...};
  return lower(std::span<const FlatRule>(flat));
}

}  // namespace rulegrad::dsl
