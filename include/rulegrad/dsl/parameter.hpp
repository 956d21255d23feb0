#pragma once

#include "rulegrad/dsl/rewrite.hpp"

/// What a rule set holds beside rules: its parameters and the sets that it uses.
namespace rulegrad::dsl {

/// [low, high], for parameters; half-open ones are written `NumberRange{...}`.
[[nodiscard]] constexpr NumberRange closed(double low, double high) {
  return {low, high, false, false};
}
/// (low, high)
[[nodiscard]] constexpr NumberRange open(double low, double high) {
  return {low, high, true, true};
}
/// (low, infinity)
[[nodiscard]] constexpr NumberRange above(double low) {
  return {.low = low, .low_open = true, .high_open = true};
}
/// [low, infinity)
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

  /// Adds the term to the flat form.
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
  /// How the arguments become the flat form.
  struct Flatten {
    /// Once for each type.
    static constexpr auto make() { return detail::flatten_value<Call<rows::custom<SetName::text>, A...>>(); }
  };
  decltype(join(A::literals...)) literals;

  /// The arguments as a rule that is only its result.
  [[nodiscard]] constexpr FlatRule flat() const {
    FlatRule all = detail::flat_rule(detail::structure<Flatten>);
    if constexpr (decltype(literals)::count > 0) all.literals = literals.at;
    return all;
  }
};

/// The rules of another set, found by its name, stand behind those of this one: `use<"routing">()`,
/// `use<"lrp.epsilon">(epsilon)`.
template <FixedString Text, class... A>
requires(Argument<A>&&...) constexpr auto use(A... arguments) {
  return Use<Name<Text>, AsTerm<A>...>{join(AsTerm<A>(arguments).literals...)};
}

/// The name of the set stands in angle brackets.
template <class First, class... A>
requires(Argument<First>&&...&& Argument<A>) constexpr auto use(First, A...) {
  static_assert(detail::never<First, A...>,
                "use takes the name of a rule set in angle brackets: write use<\"name\">()");
  return Use<Name<"">>{};
}

/// The name of the parameter stands in angle brackets.
template <class... A>
requires((std::is_arithmetic_v<A> || std::same_as<A, NumberRange>)&&...) constexpr auto param(const char*,
                                                                                              A...) {
  static_assert(detail::never<A...>,
                "param takes its name in angle brackets: write param<\"name\">(default)");
  return Param<Name<"">, Name<"">>{};
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
}  // namespace detail

}  // namespace rulegrad::dsl
