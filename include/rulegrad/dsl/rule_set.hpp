#pragma once

#include <array>
#include <boost/hana/append.hpp>
#include <boost/hana/bool.hpp>
#include <boost/hana/concat.hpp>
#include <boost/hana/filter.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/unpack.hpp>

#include "rulegrad/dsl/parameter.hpp"

/// Rule sets: Hana tuples of rules, parameters and uses. set_algebra.hpp makes new ones from them.
namespace rulegrad::dsl {

namespace detail {

/// What a set checks about each of its items.
struct Item {
  std::string_view rule{};
  std::string_view parameter{};
  std::span<const std::string_view> reads{};  ///< parameters
};

template <class... Read>
inline constexpr std::array<std::string_view, sizeof...(Read)> names{Read::view...};

template <class N, RuleLevel L, class R, int K, class... Read>
constexpr Item item_of(std::type_identity<FlatRuleOf<N, L, R, K, Read...>>) {
  return {.rule = N::view, .reads = names<Read...>};
}
template <class N, class T>
constexpr Item item_of(std::type_identity<Param<N, T>>) {
  return {.parameter = N::view};
}
template <class T>
struct ReadName {
  static constexpr std::string_view view{};
};
template <class N, class T>
struct ReadName<Param<N, T>> : N {};
template <class N, class... A>
constexpr Item item_of(std::type_identity<Use<N, A...>>) {
  return {.reads = names<ReadName<A>...>};
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

constexpr SetDiagnosis diagnose_set(std::span<const Item> items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (!item.rule.empty())
      for (const Item& other : items.first(i))
        if (same_name(item.rule, other.rule)) return {SetMistake::rule_twice, item.rule};
    if (!item.parameter.empty())
      for (const Item& other : items.first(i))
        if (same_name(item.parameter, other.parameter)) return {SetMistake::parameter_twice, item.parameter};
    for (const std::string_view name : item.reads) {
      bool declared = name.empty();
      for (const Item& other : items) declared = declared || same_name(other.parameter, name);
      if (!declared) return {SetMistake::undeclared_parameter, name};
    }
    if (item.parameter.empty()) continue;
    bool read = false;
    for (const Item& other : items)
      for (const std::string_view name : other.reads) read = read || same_name(name, item.parameter);
    if (!read) return {SetMistake::unread_parameter, item.parameter};
  }
  return {};
}

template <class... Items>
inline constexpr SetDiagnosis set_diagnosis = [] {
  const std::array<Item, sizeof...(Items)> items{item_of(std::type_identity<Items>{})...};
  return diagnose_set(items);
}();

template <const SetDiagnosis& Found>
constexpr void explain_set() {
  constexpr auto name = fixed<about_text<Found>>();
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
  /// A word stands for a name; `at` is the line of whoever writes it.
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

  /// A set of types is no set of the library yet.
  template <std::same_as<RuleSet> T>
  // NOLINTNEXTLINE(google-explicit-constructor): so that a forgotten `lower` is told in a sentence
  constexpr operator T() const {
    static_assert(detail::never<T>, "a rule set of the DSL is lowered before it is used: write lower(set)");
    return {};
  }
};

/// Is T a rule set?
template <class T>
inline constexpr bool is_set = false;
template <class... Items>
inline constexpr bool is_set<Set<Items...>> = true;

namespace detail {

/// What a rule set is made of.
template <class T>
inline constexpr bool is_item = RuleType<T> || is_param<T> || is_use<T> || is_set<T>;

/// Rules lose their long types.
template <class T>
constexpr const auto& as_item(const T& item) {
  if constexpr (RuleType<T>)
    return static_cast<const typename T::Flat&>(item);
  else
    return item;
}

template <class... Items>
constexpr auto make_items(const Items&... items) {
  return boost::hana::tuple<Items...>(items...);
}

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
    return splice(boost::hana::append(done, as_item(first)), rest...);
}

}  // namespace detail

/// A rule set from rules, parameters, uses, and other sets, whose items are spliced in:
/// `rules("lrp.epsilon", epsilon, rewrite(...), routing)`.
template <class... Items>
constexpr auto rules(SetName name, const Items&... items) {
  constexpr bool known = (detail::is_item<Items> && ...);
  static_assert(known, "a rule set is made of rules, parameters, uses and other rule sets");
  if constexpr (!known)
    return Set<>{name, {}};
  else if constexpr ((is_set<Items> || ...))
    return detail::checked_set(name, detail::splice(boost::hana::tuple<>{}, items...));
  else
    return detail::checked_set(name, detail::make_items(detail::as_item(items)...));
}

namespace detail {
template <class... A>
inline constexpr bool begins_with_name = false;
template <class First, class... Rest>
inline constexpr bool begins_with_name<First, Rest...> = std::convertible_to<const First&, SetName>;
}  // namespace detail

/// A rule set without a name.
template <class... A>
requires(!detail::begins_with_name<A...> && (detail::is_item<A> || ...)) constexpr auto rules(const A&...) {
  static_assert(detail::never<A...>,
                "a rule set begins with its name: write rules(\"name\", rewrite(...), ...)");
  return Set<>{"", {}};
}

/// A rule set whose name stands where `use` has one.
template <FixedString Text, class... A>
constexpr auto rules(const A&...) {
  static_assert(detail::never<Name<Text>, A...>,
                "the name of a rule set is its first operand: write rules(\"name\", rewrite(...), ...)");
  return Set<>{"", {}};
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
