#pragma once

#include <array>
#include <boost/hana/append.hpp>
#include <boost/hana/bool.hpp>
#include <boost/hana/concat.hpp>
#include <boost/hana/filter.hpp>
#include <boost/hana/front.hpp>
#include <boost/hana/transform.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/unpack.hpp>

#include "rulegrad/dsl/rewrite.hpp"

/// Rule sets: Hana tuples of rules, parameters and uses, with the algebra of sets.
namespace rulegrad::dsl {

/// Open and closed intervals for parameters; other half-open ones are written `NumberRange{...}`.
[[nodiscard]] constexpr NumberRange closed(double low, double high) {
  return {low, high, false, false};
}
[[nodiscard]] constexpr NumberRange open(double low, double high) {
  return {low, high, true, true};
}
[[nodiscard]] constexpr NumberRange above(double low) {
  return {.low = low, .low_open = true, .high_open = true};
}
[[nodiscard]] constexpr NumberRange at_least(double low) {
  return {.low = low, .high_open = true};
}

/// A parameter of a rule set; in its rules it is a value. It is declared by being listed in `rules(...)`.
template <class ParamName, class Type>
struct Param {
  static constexpr Part part = Part::term;
  static constexpr int terms = 1, links = 0;
  static constexpr std::string_view name = ParamName::view;
  static constexpr std::string_view type = Type::view;
  Literals<0> literals{};
  bool has_fallback = false;
  bool has_range = false;
  double fallback = 0;
  NumberRange range{};

  static constexpr int emit(Builder& b) {
    return b.add({.kind = TermKind::variable, .parameter = true, .name = ParamName::view});
  }
};

/// `param<"epsilon">(1e-6, above(0))`; without a default it is required. The second template argument is its
/// type in the text form: `param<"low", "tensor">()`.
template <FixedString Text, FixedString Type = "">
constexpr auto param() {
  return Param<Name<Text>, Name<Type>>{};
}
template <FixedString Text, FixedString Type = "">
constexpr auto param(double fallback) {
  return Param<Name<Text>, Name<Type>>{.has_fallback = true, .fallback = fallback};
}
template <FixedString Text, FixedString Type = "">
constexpr auto param(double fallback, NumberRange range) {
  return Param<Name<Text>, Name<Type>>{
      .has_fallback = true, .has_range = true, .fallback = fallback, .range = range};
}

/// See `use`.
template <class SetName, class... A>
struct Use {
  static constexpr std::string_view set = SetName::view;
  struct Flatten {
    static constexpr auto make() { return detail::flatten_value<Call<rows::custom<SetName::text>, A...>>(); }
  };
  decltype(join(A::literals...)) literals;

  [[nodiscard]] static constexpr FlatRule structure() {
    return detail::flat_rule(detail::structure<Flatten>);
  }
  [[nodiscard]] constexpr FlatRule flat() const {
    FlatRule all = structure();
    if constexpr (requires { literals.at; }) all.literals = literals.at;
    return all;
  }
};

/// The rules of another set, found by its name, stand behind those of this one: `use<"routing">()`,
/// `use<"lrp.epsilon">(epsilon)`.
template <FixedString Text, class... A>
requires(Argument<A>&&...) constexpr auto use(A... arguments) {
  return Use<Name<Text>, AsTerm<A>...>{join(AsTerm<A>(arguments).literals...)};
}

namespace detail {

template <class T>
inline constexpr bool is_param = false;
template <class N, class T>
inline constexpr bool is_param<Param<N, T>> = true;
template <class T>
inline constexpr bool is_use = false;
template <class N, class... A>
inline constexpr bool is_use<Use<N, A...>> = true;

/// What a set checks about each of its items.
struct Item {
  std::string_view rule_name{};
  std::string_view parameter{};
  FlatRule structure{};  ///< of a rule or a use
};

template <class T>
constexpr Item item_of() {
  if constexpr (RuleType<T>)
    return {.rule_name = T::name, .structure = T::structure()};
  else if constexpr (is_param<T>)
    return {.parameter = T::name};
  else
    return {.structure = T::structure()};
}

enum class SetMistake : std::uint8_t {
  none,
  rule_twice,
  parameter_twice,
  undeclared_parameter,
  unread_parameter
};

struct SetDiagnosis {
  SetMistake mistake = SetMistake::none;
  std::string_view about{};
};

constexpr bool reads(const Item& item, std::string_view parameter) {
  for (const FlatTerm& term : item.structure.terms)
    if (term.parameter && term.name == parameter) return true;
  return false;
}

constexpr SetDiagnosis diagnose_set(std::span<const Item> items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (!items[i].rule_name.empty() && items[i].rule_name == items[k].rule_name)
        return {SetMistake::rule_twice, items[i].rule_name};
      if (!items[i].parameter.empty() && items[i].parameter == items[k].parameter)
        return {SetMistake::parameter_twice, items[i].parameter};
    }
    for (const FlatTerm& term : items[i].structure.terms) {
      if (!term.parameter) continue;
      bool declared = false;
      for (const Item& item : items) declared = declared || item.parameter == term.name;
      if (!declared) return {SetMistake::undeclared_parameter, term.name};
    }
    if (items[i].parameter.empty()) continue;
    bool read = false;
    for (const Item& item : items) read = read || reads(item, items[i].parameter);
    if (!read) return {SetMistake::unread_parameter, items[i].parameter};
  }
  return {};
}

template <class... Items>
inline constexpr SetDiagnosis set_diagnosis = [] {
  const std::array<Item, sizeof...(Items)> items{item_of<Items>()...};
  return diagnose_set(items);
}();

template <const SetDiagnosis& Found>
constexpr void explain_set() {
  constexpr auto name = about_text<Found>();
  constexpr SetMistake m = Found.mistake;
  static_assert(m != SetMistake::rule_twice || about<name>, "two rules of a rule set have the same name");
  static_assert(m != SetMistake::parameter_twice || about<name>,
                "two parameters of a rule set have the same name");
  static_assert(m != SetMistake::undeclared_parameter || about<name>,
                "a rule uses a parameter that its rule set does not declare");
  static_assert(m != SetMistake::unread_parameter || about<name>, "no rule of the set reads this parameter");
}

}  // namespace detail

/// The name of a rule set, and where it is made.
struct SetName {
  const char* text;
  Place place;
  // NOLINTNEXTLINE(google-explicit-constructor): so that the default argument sees the caller's line
  constexpr SetName(const char* name, Place at = Place::here()) : text(name), place(at) {}
};

/// A rule set: `items` are rules (first match wins), parameters and uses.
template <class... Items>
struct Set {
  SetName name;
  boost::hana::tuple<Items...> items;

  /// Number of rules.
  static constexpr std::size_t size = (0 + ... + static_cast<std::size_t>(RuleType<Items>));

  /// The flat table: one row per rule, in order. It views this set.
  [[nodiscard]] constexpr std::array<FlatRule, size> table() const {
    std::array<FlatRule, size> rows{};
    [[maybe_unused]] std::size_t next = 0;
    boost::hana::unpack(items, [&](const auto&... item) {
      const auto put = [&]<class T>([[maybe_unused]] const T& one) {
        if constexpr (RuleType<T>) rows[next++] = one.flat();
      };
      (put(item), ...);
    });
    return rows;
  }
};

template <class T>
inline constexpr bool is_set = false;
template <class... Items>
inline constexpr bool is_set<Set<Items...>> = true;

namespace detail {

template <class... Items>
constexpr auto checked_set(SetName name, const boost::hana::tuple<Items...>& items) {
  if constexpr (set_diagnosis<Items...>.mistake != SetMistake::none) explain_set<set_diagnosis<Items...>>();
  return Set<Items...>{name, items};
}

/// Sets that share a parameter declare it once; the first declaration holds.
template <class... Items, class... More>
constexpr auto append(const boost::hana::tuple<Items...>& items, const boost::hana::tuple<More...>& more) {
  return boost::hana::concat(items, boost::hana::filter(more, []<class T>(const T&) {
                               return boost::hana::bool_c<!(is_param<T> && (std::same_as<T, Items> || ...))>;
                             }));
}

template <class... Done>
constexpr auto splice(const boost::hana::tuple<Done...>& done) {
  return done;
}
template <class... Done, class First, class... Rest>
constexpr auto splice(const boost::hana::tuple<Done...>& done, const First& first, const Rest&... rest) {
  if constexpr (is_set<First>)
    return splice(append(done, first.items), rest...);
  else
    return splice(boost::hana::append(done, first), rest...);
}

}  // namespace detail

/// A rule set from rules, parameters, uses, and other sets, whose items are spliced in:
/// `rules("lrp.epsilon", epsilon, rewrite(...), routing)`.
template <class... Items>
constexpr auto rules(SetName name, const Items&... items) {
  constexpr bool known =
      ((RuleType<Items> || detail::is_param<Items> || detail::is_use<Items> || is_set<Items>)&&...);
  static_assert(known, "a rule set is made of rules, parameters, uses and other rule sets");
  if constexpr (!known)
    return Set<>{name, {}};
  else if constexpr ((is_set<Items> || ...))
    return detail::checked_set(name, detail::splice(boost::hana::tuple<>{}, items...));
  else
    return detail::checked_set(name, boost::hana::tuple<Items...>(items...));
}

/// The rules of both, those of `a` first, under the name of `a`.
template <class... A, class... B>
constexpr auto operator+(const Set<A...>& a, const Set<B...>& b) {
  return detail::checked_set(a.name, detail::append(a.items, b.items));
}

/// Is there a rule of that name?
template <FixedString Text, class... Items>
constexpr bool contains(const Set<Items...>&) {
  const auto has_name = []<class T>(std::type_identity<T>) {
    if constexpr (RuleType<T>) return T::name == Name<Text>::view;
    return false;
  };
  return (has_name(std::type_identity<Items>{}) || ...);
}

/// The set with the rules for which `predicate(rule)` returns a true constant; parameters that no rule is
/// left to read go too. `filter(set, at_level<RuleLevel::vjp>)`
template <class... Items, class Predicate>
constexpr auto filter(const Set<Items...>& set, Predicate) {
  namespace hana = boost::hana;
  const auto kept = hana::filter(set.items, []<class T>(const T&) {
    if constexpr (RuleType<T>)
      return hana::bool_c<std::invoke_result_t<Predicate, const T&>::value>;
    else
      return hana::true_c;
  });
  return hana::unpack(kept, [&]<class... Kept>(const Kept&...) {
    return detail::checked_set(
        set.name, hana::filter(kept, []<class T>(const T&) {
          if constexpr (detail::is_param<T>)
            return hana::bool_c<(detail::reads(detail::item_of<Kept>(), T::name) || ...)>;
          else
            return hana::true_c;
        }));
  });
}

/// Predicates for `filter`.
template <RuleLevel Level>
inline constexpr auto at_level = []<class R>(const R&) { return std::bool_constant<R::level == Level>{}; };
template <FixedString Text>
inline constexpr auto has_name =
    []<class R>(const R&) { return std::bool_constant<R::name == Name<Text>::view>{}; };
/// Rules whose pattern's root is this operator or class.
template <FixedString Text>
inline constexpr auto has_root =
    []<class R>(const R&) { return std::bool_constant<R::root == Name<Text>::view>{}; };
template <class Predicate>
constexpr auto except(Predicate) {
  return []<class R>(const R&) {
    return std::bool_constant<!std::invoke_result_t<Predicate, const R&>::value>{};
  };
}

namespace detail {

/// The rule of `changes` with the name of `item`, or `item`.
template <class T, class... Changes>
constexpr auto overridden(const T& item, const Set<Changes...>& changes) {
  if constexpr (RuleType<T>) {
    if constexpr (!T::name.empty() &&
                  ((RuleType<Changes> && item_of<Changes>().rule_name == T::name) || ...)) {
      const auto found = boost::hana::filter(changes.items, []<class C>(const C&) {
        return boost::hana::bool_c<item_of<C>().rule_name == T::name>;
      });
      return boost::hana::front(found);
    } else {
      return item;
    }
  } else {
    return item;
  }
}

}  // namespace detail

/// `base` with each rule that has a namesake in `changes` replaced by it, in place. Every rule of `changes`
/// must replace one.
template <class... Items, class... Changes>
constexpr auto override_by_name(const Set<Items...>& base, const Set<Changes...>& changes) {
  constexpr bool replaces = [] {
    const auto one = []<class C>(std::type_identity<C>) {
      if constexpr (!RuleType<C>)
        return true;
      else
        return !C::name.empty() && ((detail::item_of<Items>().rule_name == C::name) || ...);
    };
    return (one(std::type_identity<Changes>{}) && ...);
  }();
  static_assert(replaces,
                "override_by_name replaces rules by name, but a rule has no namesake in the rule set");
  namespace hana = boost::hana;
  if constexpr (!replaces) {
    return base;
  } else {
    const auto added = hana::filter(changes.items, []<class C>(const C&) {
      return hana::bool_c < !RuleType<C> && !(std::same_as<C, Items> || ...) > ;
    });
    const auto replaced =
        hana::transform(base.items, [&](const auto& item) { return detail::overridden(item, changes); });
    return detail::checked_set(base.name, hana::concat(added, replaced));
  }
}

/// The runtime form.
template <class... Items>
[[nodiscard]] RuleSet lower(const Set<Items...>& set) {
  RuleSet result;
  result.name = set.name.text;
  result.where = to_source_range(set.name.place);
  const auto put = [&]<class T>(const T& item) {
    if constexpr (RuleType<T>)
      result.rules.push_back(lower(item.flat()));
    else if constexpr (detail::is_param<T>)
      detail::add_parameter(result, T::name, T::type, item.has_fallback ? &item.fallback : nullptr,
                            item.has_range ? &item.range : nullptr);
    else
      detail::add_use(result, item.flat());
  };
  boost::hana::unpack(set.items, [&](const auto&... item) { (put(item), ...); });
  return result;
}

}  // namespace rulegrad::dsl
