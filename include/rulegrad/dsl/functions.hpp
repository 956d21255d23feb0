#pragma once

#include "rulegrad/dsl/operator_terms.hpp"

/// What rules may say beside operators: gradients, static facts of shapes, questions of guards, and
/// conditions.
namespace rulegrad::dsl {

// A row is (C++ name, "name in rules", number of arguments).
#define RULEGRAD_DSL_ROW(NAME, TEXT, LEAST, MOST, KIND) \
  namespace rows {                                      \
  struct NAME {                                         \
    static constexpr std::string_view name = TEXT;      \
    static constexpr CallKind kind = CallKind::KIND;    \
    static constexpr int min_operands = LEAST;          \
    static constexpr int max_operands = MOST;           \
    template <bool, bool>                               \
    static constexpr void check_operands() {}           \
  };                                                    \
  }
#define RULEGRAD_DSL_FUNCTION(NAME, TEXT, COUNT, KIND)                                   \
  RULEGRAD_DSL_ROW(NAME, TEXT, COUNT, COUNT, KIND)                                       \
  template <class... A>                                                                  \
  requires Arguments<A...>                                                               \
  constexpr auto NAME(A... a) {                                                          \
    constexpr bool fits = sizeof...(A) == COUNT;                                         \
    static_assert(fits, "'" TEXT "' has a wrong number of arguments: it takes " #COUNT); \
    return make_call<rows::NAME>(AsTerm<A>(a)...);                                       \
  }

// Gradients. On the left side `grad(pattern, g)` and `vjp(pattern, g)` say what a rule rewrites.
RULEGRAD_DSL_FUNCTION(grad, "grad", 2, grad)
RULEGRAD_DSL_FUNCTION(vjp, "vjp", 2, vjp)
RULEGRAD_DSL_FUNCTION(next, "next", 1, next)
RULEGRAD_DSL_FUNCTION(diff, "diff", 3, diff)
RULEGRAD_DSL_FUNCTION(constant, "const", 1, function)

// Shapes, known while a rule is applied.
RULEGRAD_DSL_FUNCTION(shape, "shape", 1, function)
RULEGRAD_DSL_FUNCTION(rank, "rank", 1, function)
RULEGRAD_DSL_FUNCTION(dtype, "dtype", 1, function)
RULEGRAD_DSL_FUNCTION(dim, "dim", 2, function)
RULEGRAD_DSL_FUNCTION(extent, "extent", 2, function)
RULEGRAD_DSL_FUNCTION(spatial, "spatial", 1, function)
RULEGRAD_DSL_FUNCTION(kernel, "kernel", 1, function)
RULEGRAD_DSL_FUNCTION(inverse, "inverse", 1, function)
RULEGRAD_DSL_FUNCTION(offset, "offset", 1, function)
RULEGRAD_DSL_FUNCTION(along, "along", 3, function)
RULEGRAD_DSL_FUNCTION(in_channels, "in_channels", 2, function)
RULEGRAD_DSL_FUNCTION(out_channels, "out_channels", 2, function)

// Guards. Classes stand as they do in patterns: `producer(s)` is made by `is(producer(s), sigmoid())`.
RULEGRAD_DSL_FUNCTION(depends, "depends", 1, function)
RULEGRAD_DSL_FUNCTION(only_use, "only_use", 1, function)
RULEGRAD_DSL_FUNCTION(named, "name", 2, function)
RULEGRAD_DSL_FUNCTION(skip, "skip", 2, function)
RULEGRAD_DSL_FUNCTION(ancestor, "ancestor", 2, function)
RULEGRAD_DSL_FUNCTION(producer, "producer", 1, function)
RULEGRAD_DSL_FUNCTION(is, "is", 2, function)

// Some arguments may be left out.
#define RULEGRAD_DSL_WORD(NAME, TEXT, LEAST, MOST)                                                    \
  RULEGRAD_DSL_ROW(NAME, TEXT, LEAST, MOST, function)                                                 \
  template <class... A>                                                                               \
  requires(Arguments<A...> || sizeof...(A) == 0) constexpr auto NAME(A... a) {                        \
    constexpr bool fits = sizeof...(A) >= LEAST && sizeof...(A) <= MOST;                              \
    static_assert(fits, "'" TEXT "' has a wrong number of arguments: it takes " #LEAST " to " #MOST); \
    return make_call<rows::NAME>(AsTerm<A>(a)...);                                                    \
  }

// `first(conv() || dense(), "through"_a = routing())`, `index(conv(), range(0, 3))`, `depth() < 3`
RULEGRAD_DSL_WORD(first, "first", 1, 2)
RULEGRAD_DSL_WORD(last, "last", 1, 2)
RULEGRAD_DSL_WORD(index, "index", 1, 2)
RULEGRAD_DSL_WORD(depth, "depth", 0, 1)
// An array that belongs to a node: `aux(y, "pattern")`.
RULEGRAD_DSL_WORD(aux, "aux", 2, 3)

#undef RULEGRAD_DSL_WORD
#undef RULEGRAD_DSL_FUNCTION

RULEGRAD_DSL_ROW(range, "range", 2, 2, function)
#undef RULEGRAD_DSL_ROW

/// Positions from `first` to `last`, both included; negative ones count from the end.
constexpr auto range(double first, double last) {
  return make_call<rows::range>(Number(first), Number(last));
}

/// A word that stands for itself.
template <class Name>
struct Bare {
  static constexpr Part part = Part::term;
  static constexpr int terms = 1, links = 0;
  Literals<0> literals;
  /// Adds the term to the flat form.
  static constexpr int emit(Builder& b) { return b.add({.kind = TermKind::variable, .name = Name::view}); }
};

/// Sets of axes: `mean(x, "axes"_a = spatial())`, `along(s, channels, x)`. What is reduced over a set keeps
/// its axes.
inline constexpr Bare<Name<"channels">> channels{};
/// Each sample by itself: all axes but the first.
inline constexpr Bare<Name<"per_sample">> per_sample{};
/// The axes behind batch and channels.
constexpr auto spatial() {
  return Bare<Name<"spatial">>{};
}

namespace rows {
struct both {
  static constexpr std::string_view name = "and";
  static constexpr CallKind kind = CallKind::function;
  static constexpr int min_operands = 2;
  static constexpr int max_operands = 2;
  template <bool, bool>
  static constexpr void check_operands() {}
};
struct either : both {
  static constexpr std::string_view name = "or";
};
struct inverted : both {
  static constexpr std::string_view name = "not";
  static constexpr int min_operands = 1;
  static constexpr int max_operands = 1;
};
}  // namespace rows

/// Of conditions in guards: both hold.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator&&(A a, B b) {
  return make_call<rows::both>(AsTerm<A>(a), AsTerm<B>(b));
}
/// Of conditions in guards, or classes in patterns: one of both.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator||(A a, B b) {
  return make_call<rows::either>(AsTerm<A>(a), AsTerm<B>(b));
}
/// Of a condition in a guard: it does not hold.
template <class A>
requires Arguments<A>
constexpr auto operator!(A a) {
  return make_call<rows::inverted>(a);
}

/// The positive part. Functions of rules are C++ functions: yours look like these two.
template <class V>
requires Arguments<V>
constexpr auto clip_pos(V v) {
  return max(v, 0);
}
/// The negative part: its values are negative or zero.
template <class V>
requires Arguments<V>
constexpr auto clip_neg(V v) {
  return min(v, 0);
}

}  // namespace rulegrad::dsl
