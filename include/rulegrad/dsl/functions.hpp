#pragma once

#include "rulegrad/dsl/operators.hpp"

/// What rules may say beside operators: gradients, static facts of shapes, questions of guards, and
/// conditions.
namespace rulegrad::dsl {

// A row is (C++ name, "name in rules", number of arguments).
#define RULEGRAD_DSL_FUNCTION(NAME, TEXT, COUNT, KIND)                                   \
  namespace rows {                                                                       \
  struct NAME {                                                                          \
    static constexpr std::string_view name = TEXT;                                       \
    static constexpr CallKind kind = CallKind::KIND;                                     \
    static constexpr int min_operands = COUNT;                                           \
    static constexpr int max_operands = COUNT;                                           \
    template <bool, bool>                                                                \
    static constexpr void check_operands() {}                                            \
  };                                                                                     \
  }                                                                                      \
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

// Guards.
RULEGRAD_DSL_FUNCTION(depends, "depends", 1, function)
RULEGRAD_DSL_FUNCTION(only_use, "only_use", 1, function)
RULEGRAD_DSL_FUNCTION(first, "first", 1, function)
RULEGRAD_DSL_FUNCTION(last, "last", 1, function)
RULEGRAD_DSL_FUNCTION(named, "name", 2, function)

#undef RULEGRAD_DSL_FUNCTION

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

template <class A, class B>
requires Arguments<A, B>
constexpr auto operator&&(A a, B b) {
  return make_call<rows::both>(AsTerm<A>(a), AsTerm<B>(b));
}
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator||(A a, B b) {
  return make_call<rows::either>(AsTerm<A>(a), AsTerm<B>(b));
}
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
