#pragma once

#include "rulegrad/dsl/term.hpp"

/// The operators, as functions that make terms. A macro keeps one row per operator: the row makes the
/// function (functions, unlike objects, live in peace with ::tanh and std::max), its entry in
/// `operator_rows`, and the sentences that the compiler shows when operands are missing or too many.
///
/// Every operator that kernels compute has a row, but for `const`, which C++ keeps for itself: `op<"const">(x)`.
/// A row is (name, fewest operands, most operands); `dsl::any` operands for variadic ones. Patterns may omit
/// operands at the end, or all: `conv()` matches every conv.
namespace rulegrad::dsl {

/// No upper bound on the number of operands.
inline constexpr int any = 1000;

// clang-format off
#define RULEGRAD_DSL_OPERATORS(ROW)                                                                          \
  ROW(dense, 2, 3) ROW(matmul, 2, 2)                                                                         \
  ROW(dense_weight_grad, 2, 2) ROW(conv, 2, 3) ROW(conv_weight_grad, 2, 2) ROW(conv_transpose, 2, 3)         \
  ROW(max_pool, 1, 1) ROW(max_pool_vjp, 2, 2) ROW(max_pool_jvp, 2, 2) ROW(avg_pool, 1, 1)                    \
  ROW(avg_pool_vjp, 1, 1) ROW(channel_window_sum, 1, 1)                                                      \
  ROW(batch_norm, 5, 5) ROW(layer_norm, 2, 3) ROW(rms_norm, 2, 2) ROW(lp_normalize, 1, 1) ROW(lrn, 1, 1)     \
  ROW(relu, 1, 1) ROW(leaky_relu, 1, 1) ROW(elu, 1, 1) ROW(selu, 1, 1) ROW(gelu, 1, 1) ROW(silu, 1, 1)       \
  ROW(sigmoid, 1, 1) ROW(tanh, 1, 1) ROW(softplus, 1, 1) ROW(hardswish, 1, 1) ROW(hardsigmoid, 1, 1)         \
  ROW(clip, 1, 1) ROW(prelu, 2, 2) ROW(round_through, 1, 1) ROW(mish, 1, 1) ROW(softsign, 1, 1)              \
  ROW(quick_gelu, 1, 1)                                                                                      \
  ROW(tan, 1, 1) ROW(asin, 1, 1) ROW(acos, 1, 1) ROW(atan, 1, 1) ROW(sinh, 1, 1) ROW(cosh, 1, 1)             \
  ROW(asinh, 1, 1) ROW(acosh, 1, 1) ROW(atanh, 1, 1)                                                         \
  ROW(erf, 1, 1) ROW(exp, 1, 1) ROW(log, 1, 1) ROW(sqrt, 1, 1) ROW(abs, 1, 1) ROW(neg, 1, 1)                 \
  ROW(sign, 1, 1) ROW(reciprocal, 1, 1)                                                                      \
  ROW(floor, 1, 1) ROW(ceil, 1, 1) ROW(round, 1, 1) ROW(sin, 1, 1) ROW(cos, 1, 1)                            \
  ROW(add, 2, 2) ROW(sub, 2, 2) ROW(mul, 2, 2) ROW(div, 2, 2) ROW(pow, 2, 2) ROW(mod, 2, 2)                  \
  ROW(max, 2, 2) ROW(min, 2, 2)                                                                              \
  ROW(less, 2, 2) ROW(less_equal, 2, 2) ROW(greater, 2, 2) ROW(greater_equal, 2, 2) ROW(equal, 2, 2)         \
  ROW(not_equal, 2, 2)                                                                                       \
  ROW(logical_and, 2, 2) ROW(logical_or, 2, 2) ROW(logical_not, 1, 1) ROW(where, 3, 3)                       \
  ROW(sum, 1, 1) ROW(mean, 1, 1) ROW(prod, 1, 1) ROW(amax, 1, 1) ROW(amin, 1, 1) ROW(argmax, 1, 1)           \
  ROW(argmin, 1, 1) ROW(first_max, 1, 1) ROW(top_index, 1, 1) ROW(cumsum, 1, 1)                              \
  ROW(softmax, 1, 1) ROW(log_softmax, 1, 1) ROW(quantile, 1, 1)                                              \
  ROW(reshape, 1, 1) ROW(transpose, 1, 1) ROW(expand, 1, 1) ROW(sum_to, 1, 1)                                \
  ROW(cast, 1, 1) ROW(identity, 1, 1)                                                                        \
  ROW(slice, 1, 1) ROW(slice_vjp, 1, 1) ROW(pad, 1, 1) ROW(pad_vjp, 1, 1) ROW(resize, 1, 1)                  \
  ROW(resize_vjp, 1, 1) ROW(concat, 1, any)                                                                  \
  ROW(gather, 2, 2) ROW(scatter_add, 2, 2) ROW(gather_rows, 2, 2) ROW(scatter_rows, 2, 2) ROW(one_hot, 1, 1) \
  ROW(random_normal, 2, 2) ROW(random_uniform, 2, 2) ROW(random_index, 2, 2) ROW(window_mask, 1, 1)          \
  ROW(tree_ensemble, 5, 5)                                                                                   \
  ROW(stabilize, 2, 2) ROW(over, 2, 2) ROW(accum, 1, any) ROW(fill, 0, 0)

/// Families of operators; they may stand in patterns only. `affine()` matches every affine operation.
#define RULEGRAD_DSL_CLASSES(ROW)                                                                            \
  ROW(affine, 0, 3) ROW(activation, 0, 1) ROW(pool, 0, 1) ROW(routing, 0, any) ROW(elementwise, 0, any)      \
  ROW(linear, 0, any)
// clang-format on

/// What the program knows of an operator's operands.
struct OperatorRow {
  std::string_view name;
  int min_operands = 0;
  int max_operands = 0;
};

/// All operators that the DSL has functions for.
inline constexpr OperatorRow operator_rows[] = {
#define RULEGRAD_DSL_ROW(NAME, MIN, MAX) {#NAME, MIN, MAX},
    RULEGRAD_DSL_OPERATORS(RULEGRAD_DSL_ROW)
#undef RULEGRAD_DSL_ROW
};

constexpr bool detail::is_operator_name(std::string_view name) {
  for (const OperatorRow& row : operator_rows)
    if (row.name == name) return true;
  return false;
}

// The sentences are in the row because only it can spell them. Too many operands are wrong wherever a call
// stands; too few only outside of patterns, so that is asked when the rule is.
#define RULEGRAD_DSL_CALLABLE(NAME, MIN, MAX, KIND)                                       \
  namespace rows {                                                                        \
  struct NAME {                                                                           \
    static constexpr std::string_view name = #NAME;                                       \
    static constexpr CallKind kind = CallKind::KIND;                                      \
    static constexpr int min_operands = MIN;                                              \
    static constexpr int max_operands = MAX;                                              \
    template <bool enough, bool fits>                                                     \
    static constexpr void check_operands() {                                              \
      static_assert(enough, "'" #NAME "' has too few operands: it takes at least " #MIN); \
      static_assert(fits, "'" #NAME "' has too many operands: it takes at most " #MAX);   \
    }                                                                                     \
  };                                                                                      \
  }                                                                                       \
  template <class... A>                                                                   \
  requires(Arguments<A...> || sizeof...(A) == 0) constexpr auto NAME(A... a) {            \
    rows::NAME::check_operands<true, operand_count<Side::value, AsTerm<A>...> <= MAX>();  \
    return make_call<rows::NAME>(AsTerm<A>(a)...);                                        \
  }
#define RULEGRAD_DSL_OPERATOR(NAME, MIN, MAX) RULEGRAD_DSL_CALLABLE(NAME, MIN, MAX, op)
#define RULEGRAD_DSL_CLASS(NAME, MIN, MAX) RULEGRAD_DSL_CALLABLE(NAME, MIN, MAX, op_class)

RULEGRAD_DSL_OPERATORS(RULEGRAD_DSL_OPERATOR)
RULEGRAD_DSL_CLASSES(RULEGRAD_DSL_CLASS)

#undef RULEGRAD_DSL_OPERATORS
#undef RULEGRAD_DSL_CLASSES
#undef RULEGRAD_DSL_OPERATOR
#undef RULEGRAD_DSL_CLASS
#undef RULEGRAD_DSL_CALLABLE

namespace rows {
/// An operator that only the registry knows; its operands are checked when the rule is.
template <FixedString Text>
struct custom {
  static constexpr std::string_view name = Name<Text>::view;
  static constexpr CallKind kind = CallKind::op;
  static constexpr int min_operands = 0;
  static constexpr int max_operands = any;
  template <bool, bool>
  static constexpr void check_operands() {}
};
}  // namespace rows

/// An operator or text-defined function by name: `op<"my_norm">(x, axis = 1)`.
template <FixedString Text, class... A>
requires(Arguments<A...> || sizeof...(A) == 0) constexpr auto op(A... a) {
  return make_call<rows::custom<Text>>(AsTerm<A>(a)...);
}

/// a + b, element by element, broadcast; in a pattern the operator `add`.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator+(A a, B b) {
  return make_call<rows::add>(AsTerm<A>(a), AsTerm<B>(b));
}
/// a - b.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator-(A a, B b) {
  return make_call<rows::sub>(AsTerm<A>(a), AsTerm<B>(b));
}
/// a b, element by element.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator*(A a, B b) {
  return make_call<rows::mul>(AsTerm<A>(a), AsTerm<B>(b));
}
/// a / b. Rules that share out relevance divide by `stabilize(b, epsilon)` or say `over(a, b)`.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator/(A a, B b) {
  return make_call<rows::div>(AsTerm<A>(a), AsTerm<B>(b));
}
/// -a.
template <class A>
requires Arguments<A>
constexpr auto operator-(A a) {
  return make_call<rows::neg>(a);
}
/// 1 where a < b, else 0; between numbers, a condition.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator<(A a, B b) {
  return make_call<rows::less>(AsTerm<A>(a), AsTerm<B>(b));
}
/// 1 where a <= b, else 0.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator<=(A a, B b) {
  return make_call<rows::less_equal>(AsTerm<A>(a), AsTerm<B>(b));
}
/// 1 where a > b, else 0.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator>(A a, B b) {
  return make_call<rows::greater>(AsTerm<A>(a), AsTerm<B>(b));
}
/// 1 where a >= b, else 0.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator>=(A a, B b) {
  return make_call<rows::greater_equal>(AsTerm<A>(a), AsTerm<B>(b));
}
namespace rows {
/// `a == b`: in a pattern more likely a slip for `a = b`, so that one who means the operator writes `equal(a,
/// b)`.
struct equal_sign : equal {
  static constexpr bool is_sign = true;
};
}  // namespace rows
/// 1 where a equals b, else 0. In a pattern, write `equal(a, b)`.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator==(A a, B b) {
  return make_call<rows::equal_sign>(AsTerm<A>(a), AsTerm<B>(b));
}
/// 1 where a differs from b, else 0.
template <class A, class B>
requires Arguments<A, B>
constexpr auto operator!=(A a, B b) {
  return make_call<rows::not_equal>(AsTerm<A>(a), AsTerm<B>(b));
}

}  // namespace rulegrad::dsl
