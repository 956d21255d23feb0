#pragma once

#include <boost/hana/front.hpp>
#include <boost/hana/transform.hpp>

#include "rulegrad/dsl/rule_set.hpp"

/// New rule sets from old ones: sums, parts, and sets with some rules replaced.
namespace rulegrad::dsl {

/// The rules of both, those of `a` first, under the name of `a`.
template <class... A, class... B>
constexpr auto operator+(const Set<A...>& a, const Set<B...>& b) {
  return detail::checked_set(a.name, detail::append(a.items, b.items));
}

/// Is there a rule of that name?
template <FixedString Text, class... Items>
constexpr bool contains(const Set<Items...>&) {
  return (same_name(detail::item_of(std::type_identity<Items>{}).rule, Name<Text>::view) || ...);
}

namespace detail {
template <class P, class... Items>
inline constexpr bool is_read = [] {
  for (const Item& item : {Item{}, item_of(std::type_identity<Items>{})...})
    for (const std::string_view name : item.reads)
      if (same_name(name, item_of(std::type_identity<P>{}).parameter)) return true;
  return false;
}();
}  // namespace detail

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
    return detail::checked_set(set.name, hana::filter(kept, []<class T>(const T&) {
                                 return hana::bool_c < !detail::is_param<T> || detail::is_read < T, Kept... >>
                                     ;
                               }));
  });
}

/// For `filter`: rules of that level.
template <RuleLevel Level>
inline constexpr auto at_level = []<class R>(const R&) { return std::bool_constant<R::level == Level>{}; };
/// For `filter`: the rule of that name.
template <FixedString Text>
inline constexpr auto has_name =
    []<class R>(const R&) { return std::bool_constant<same_name(R::name, Name<Text>::view)>{}; };
/// Rules whose pattern's root is this operator or class.
template <FixedString Text>
inline constexpr auto has_root =
    []<class R>(const R&) { return std::bool_constant<same_name(R::root, Name<Text>::view)>{}; };
/// For `filter`: the rules for which the predicate does not hold.
template <class Predicate>
constexpr auto except(Predicate) {
  return []<class R>(const R&) {
    return std::bool_constant<!std::invoke_result_t<Predicate, const R&>::value>{};
  };
}

namespace detail {

template <class T>
inline constexpr std::string_view rule_name = item_of(std::type_identity<T>{}).rule;

/// Is it a named rule, and one of the others has the same name?
template <class T, class... Others>
inline constexpr bool has_namesake =
    !rule_name<T>.empty() && (same_name(rule_name<T>, rule_name<Others>) || ...);

/// The rule of `changes` with the name of `item`, or `item`.
template <class T, class... Changes>
constexpr auto overridden(const T& item, const Set<Changes...>& changes) {
  if constexpr (has_namesake<T, Changes...>)
    return boost::hana::front(boost::hana::filter(changes.items, []<class C>(const C&) {
      return boost::hana::bool_c<same_name(rule_name<C>, rule_name<T>)>;
    }));
  else
    return item;
}

}  // namespace detail

/// `base` with each rule that has a namesake in `changes` replaced by it, in place. Every rule of `changes`
/// must replace one.
template <class... Items, class... Changes>
constexpr auto override_by_name(const Set<Items...>& base, const Set<Changes...>& changes) {
  constexpr bool replaces = ((!RuleType<Changes> || detail::has_namesake<Changes, Items...>)&&...);
  static_assert(replaces,
                "override_by_name replaces rules by name, but a rule has no namesake in the rule set");
  namespace hana = boost::hana;
  if constexpr (replaces) {
    const auto added = hana::filter(changes.items, []<class C>(const C&) {
      constexpr bool is_new = !RuleType<C> && !(std::same_as<C, Items> || ...);
      return hana::bool_c<is_new>;
    });
    const auto replaced =
        hana::transform(base.items, [&](const auto& item) { return detail::overridden(item, changes); });
    return detail::checked_set(base.name, hana::concat(added, replaced));
  } else {
    return base;
  }
}

}  // namespace rulegrad::dsl
