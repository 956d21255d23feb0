#include <algorithm>
#include <cmath>
#include <numbers>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/checks.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/saying.hpp"
#include "ops/with_derivatives.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::CastAttributes, dtype);

namespace rulegrad {

template <>
const AttrType& attr_type<CastAttributes>() {
  static const AttrType type = derive_attr_type<CastAttributes>("cast");
  return type;
}

namespace {

using infer::Numbers;

struct Domain {
  double low = -4, high = 4, gap = 0.04;
};

OpSchema function(std::string name, std::string doc, IntervalOf interval,
                  std::vector<Domain> domains = {Domain{}}, Numbers numbers = Numbers::floating) {
  OpSchema s;
  s.infer = [name, numbers](std::span<const Type> operands, const Attributes&) {
    infer::require(name, "x", operands[0], numbers);
    return operands[0];
  };
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"x"}};
  s.classes = {OpClass::elementwise};
  s.interval = std::move(interval);
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.linear_in = LinearIn::nothing;
  s.without = {"fold"};
  s.examples = [domains = std::move(domains), numbers](RandomEngine& random) {
    std::vector<OpExample> examples;
    for (const Domain& d : domains) {
      examples.push_back({{{.dims = {2, 3}, .low = d.low, .high = d.high, .gap = d.gap}}, {}});
      examples.push_back(
          {{{.dims = {2, 2, random_extent(random, 1, 4)}, .low = d.low, .high = d.high, .gap = d.gap}}, {}});
    }
    if (numbers == Numbers::arithmetic)
      examples.push_back({{{.dims = {2, 4}, .low = -5, .high = 5, .dtype = DType::int64}}, {}});
    return examples;
  };
  return s;
}

/// With a value for a number in place of the operand.
OpSchema folding(OpSchema s, double (*f)(double)) {
  s.fold = [f](std::span<const double> x) { return f(x[0]); };
  return s;
}

/// A function that has a pole at 0.
OpSchema dividing(OpSchema s) {
  s.decides = decisions::each({Asks::divisor});
  s.finite = finite::each({FiniteFor::not_zero});
  return s;
}

Interval magnitude(Expr, std::span<const Interval> x) {
  const double a = std::abs(x[0].low), b = std::abs(x[0].high);
  return {x[0].contains(0) ? 0 : std::min(a, b), std::max(a, b)};
}

/// A function that jumps.
OpSchema jumping(OpSchema s) {
  s.decides = decisions::each({Asks::zero});
  return s;
}

OpSchema negation() {
  OpSchema s = function(
      "neg", "-x", [](Expr, std::span<const Interval> x) { return intervals::negated(x[0]); }, {Domain{}},
      Numbers::arithmetic);
  s.classes = {OpClass::elementwise, OpClass::linear};
  s.linear_in = LinearIn::all;
  s.passes = [](Expr, passing::Given x, passing::Bounds) { return passing::negated(x[0]); };
  s.simpler = [](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    if (operands[0].is("neg")) return operands[0].operand(0);
    return std::nullopt;
  };
  return s;
}

OpSchema logical_inverse() {
  OpSchema s = jumping(function(
      "logical_not", "not x",
      [](Expr, std::span<const Interval> x) {
        return Interval{1 - x[0].high, 1 - x[0].low};
      },
      {}, Numbers::boolean));
  s.examples = fixed_examples({{{{.dims = {2, 3}, .low = 0, .high = 1, .dtype = DType::boolean}}, {}},
                               {{{.dims = {5}, .low = 0, .high = 1, .dtype = DType::boolean}}, {}}});
  return s;
}

OpSchema conversion() {
  OpSchema s;
  s.name = "cast";
  s.doc =
      "x as elements of another dtype, converted as C++ does (towards 0 for integers, not 0 for booleans)";
  s.operands = {{"x"}};
  s.attributes = &attr_type<CastAttributes>();
  s.classes = {OpClass::routing, OpClass::elementwise};
  s.belongs = [](OpClass op_class, const Attributes& attributes) {
    // Numbers that lose their fraction are not those that came in.
    return op_class != OpClass::routing || is_floating(attributes.as<CastAttributes>().dtype);
  };
  s.interval = [](Expr value, std::span<const Interval> x) {
    if (value.operand(0).dtype() == DType::boolean) return intervals::unit;
    return is_floating(value.dtype()) ? intervals::rounded(x[0]) : Interval{};
  };
  s.batch = batches::aligned;
  // What becomes a whole number or a truth jumps on the way.
  s.decides = [](Expr value, std::size_t) {
    return is_floating(value.operand(0).dtype()) && !is_floating(value.dtype()) ? Asks::zero : Asks::nothing;
  };
  s.finite = finite::always;
  s.passes = passing::moved;
  s.linear_in = LinearIn::nothing;  // whole numbers are not
  s.without = {"fold"};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    return Type{attributes.as<CastAttributes>().dtype, operands[0].shape};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes& attributes) -> std::optional<Expr> {
    if (operands[0].dtype() == attributes.as<CastAttributes>().dtype) return operands[0];
    return std::nullopt;
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}}}, CastAttributes{DType::float64}},
       {{{.dims = {2, 3}, .low = -9, .high = 9, .gap = 0.1}}, CastAttributes{DType::int64}},
       {{{.dims = {4}, .low = -9, .high = 9, .dtype = DType::int32}}, CastAttributes{DType::float64}},
       {{{.dims = {4}, .low = 0, .high = 1, .dtype = DType::boolean}}, CastAttributes{DType::float32}}});
  return s;
}

OpSchema identity_operator() {
  OpSchema s;
  s.name = "identity";
  s.doc = "x";
  s.operands = {{"x"}};
  s.classes = {OpClass::routing, OpClass::elementwise, OpClass::linear};
  s.interval = intervals::same;
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  s.linear_in = LinearIn::all;
  s.without = {"fold"};
  s.infer = infer::same_as_first("identity");
  s.simpler = [](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    return operands[0];
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}}}, {}}, {{{.dims = {2}, .low = -3, .high = 3, .dtype = DType::int64}}, {}}});
  return s;
}

OpSchema stopped_gradient() {
  OpSchema s;
  s.name = "const";
  s.doc = "x, through which no derivative and no attribution flows";
  s.operands = {{"x"}};
  s.interval = intervals::same;
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  s.linear_in = LinearIn::all;
  s.infer = infer::same_as_first("const");
  s.simpler = [](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    if (operands[0].is("const") || is_given(operands[0])) return operands[0];
    return std::nullopt;
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}}}, {}}, {{{.dims = {2}, .low = -3, .high = 3, .dtype = DType::int64}}, {}}});
  return s;
}

}  // namespace

std::vector<OpSchema> elementwise_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  const Domain positive{0.2, 3, 0.02};
  // Whole and half numbers lie midway between the grid's points.
  const Domain between{-2.05, 2.05, 0.05};
  const IntervalOf turning = intervals::within({-1, 1}),
                   not_negative = intervals::within(intervals::not_negative);
  const IntervalOf roots = [](Expr, std::span<const Interval> v) {
    const Interval root =
        intervals::rounded({std::sqrt(std::max(v[0].low, 0.0)), std::sqrt(std::max(v[0].high, 0.0))});
    return Interval{root.low, root.high, v[0].is_positive()};
  };
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(
      passing_on(
          function("erf", "the error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x",
                   turning),
          passing::bounded),
      rewrite(vjp(erf(x), g), 2 * std::numbers::inv_sqrtpi * g * exp(-(x * x)))));
  all.push_back(with_derivatives(
      passing_on(
          finite_for(folding(function("exp", "e to the power of x", intervals::within(intervals::positive)),
                             std::exp),
                     finite::each({FiniteFor::not_large})),
          passing::from_below),
      rewrite(vjp(y = exp(), g), g * y)));
  all.push_back(with_derivatives(
      finite_for(folding(function("log", "natural logarithm", intervals::anything, {positive}), std::log),
                 finite::each({FiniteFor::positive})),
      rewrite(vjp(log(x), g), g / x)));
  // A root that is 0 stands at the least value of what is below it (it is real around there), whose
  // derivative is 0: the product counts as 0, the subgradient that norms and deviations have there.
  all.push_back(with_derivatives(
      finite_for(
          folding(function("sqrt", "square root; the derivative at 0 is 0", roots, {positive}), std::sqrt),
          finite::each({FiniteFor::not_negative})),
      rewrite(vjp(y = sqrt(), g), over(0.5 * g, y))));
  all.push_back(with_derivatives(
      passing_on(folding(function("abs", "|x|; the derivative at 0 is 0", magnitude, {Domain{}},
                                  Numbers::arithmetic),
                         std::abs),
                 [](Expr, passing::Given v, passing::Bounds) {
                   return static_cast<NonFinite>(
                       (v[0] & non_finite::nan) |
                       ((v[0] & (non_finite::low | non_finite::high)) != 0 ? non_finite::high : 0));
                 }),
      rewrite(vjp(abs(x), g), g * sign(x))));
  all.push_back(
      with_derivatives(folding(negation(), [](double x) { return -x; }), rewrite(vjp(neg(), g), -g)));
  all.push_back(with_derivatives(
      folding(jumping(function("sign", "-1, 0 or 1", turning, {Domain{}}, Numbers::arithmetic)),
              [](double x) { return (x > 0 ? 1.0 : 0.0) - (x < 0 ? 1.0 : 0.0); }),
      rewrite(vjp(sign(), _), 0)));
  all.push_back(with_derivatives(
      dividing(function("reciprocal", "1 / x", intervals::anything, {{0.3, 3, 0.02}, {-3, -0.3, 0.02}})),
      rewrite(vjp(y = reciprocal(), g), -(g * y * y))));
  all.push_back(with_derivatives(folding(jumping(function("floor", "the largest whole number not above x",
                                                          intervals::anything, {between})),
                                         std::floor),
                                 rewrite(vjp(floor(), _), 0)));
  all.push_back(with_derivatives(folding(jumping(function("ceil", "the smallest whole number not below x",
                                                          intervals::anything, {between})),
                                         std::ceil),
                                 rewrite(vjp(ceil(), _), 0)));
  all.push_back(
      with_derivatives(folding(jumping(function("round", "the nearest whole number, halves to the even one",
                                                intervals::anything, {between})),
                               std::nearbyint),
                       rewrite(vjp(round(), _), 0)));
  OpSchema through =
      folding(jumping(function("round_through",
                               "the nearest whole number, halves to the even one, with the derivative "
                               "1: rounding as quantised networks do it",
                               intervals::anything, {between})),
              std::nearbyint);
  through.classes.insert(through.classes.begin(), OpClass::activation);
  all.push_back(with_derivatives(std::move(through), rewrite(vjp(op<"round_through">(), g), g)));
  all.push_back(
      with_derivatives(function("sin", "sine of radians", turning), rewrite(vjp(sin(x), g), g * cos(x))));
  all.push_back(with_derivatives(function("cos", "cosine of radians", turning),
                                 rewrite(vjp(cos(x), g), -(g * sin(x)))));
  const Domain unit{-0.9, 0.9, 0.01}, above_one{1.2, 4, 0.02};
  all.push_back(
      with_derivatives(function("tan", "tangent of radians", intervals::anything, {{-1.2, 1.2, 0.02}}),
                       rewrite(vjp(y = op<"tan">(), g), g * (1 + y * y))));
  all.push_back(with_derivatives(
      finite_for(function("asin", "the angle in radians whose sine is x", intervals::anything, {unit}),
                 finite::each({FiniteFor::within_one})),
      rewrite(vjp(op<"asin">(x), g), g / sqrt(1 - x * x))));
  all.push_back(with_derivatives(
      finite_for(function("acos", "the angle in radians whose cosine is x", not_negative, {unit}),
                 finite::each({FiniteFor::within_one})),
      rewrite(vjp(op<"acos">(x), g), -(g / sqrt(1 - x * x)))));
  all.push_back(with_derivatives(
      passing_on(function("atan", "the angle in radians whose tangent is x", intervals::sums_of_first),
                 passing::bounded),
      rewrite(vjp(op<"atan">(x), g), g / (1 + x * x))));
  all.push_back(
      with_derivatives(finite_for(function("sinh", "(exp(x) - exp(-x)) / 2", intervals::sums_of_first),
                                  finite::each({FiniteFor::none})),
                       rewrite(vjp(op<"sinh">(x), g), g * op<"cosh">(x))));
  all.push_back(with_derivatives(
      finite_for(function("cosh", "(exp(x) + exp(-x)) / 2", not_negative), finite::each({FiniteFor::none})),
      rewrite(vjp(op<"cosh">(x), g), g * op<"sinh">(x))));
  all.push_back(with_derivatives(function("asinh", "log(x + sqrt(x * x + 1))", intervals::sums_of_first),
                                 rewrite(vjp(op<"asinh">(x), g), g / sqrt(x * x + 1))));
  all.push_back(
      with_derivatives(finite_for(function("acosh", "log(x + sqrt(x * x - 1))", not_negative, {above_one}),
                                  finite::each({FiniteFor::from_one})),
                       rewrite(vjp(op<"acosh">(x), g), g / sqrt(x * x - 1))));
  all.push_back(with_derivatives(
      finite_for(function("atanh", "log((1 + x) / (1 - x)) / 2", intervals::sums_of_first, {unit}),
                 finite::each({FiniteFor::inside_one})),
      rewrite(vjp(op<"atanh">(x), g), g / (1 - x * x))));
  all.push_back(without_derivative(folding(logical_inverse(), [](double x) { return x == 0 ? 1.0 : 0.0; })));
  all.push_back(with_derivatives(conversion(), rewrite(vjp(cast(x), g), cast(g, "dtype"_a = dtype(x)))));
  all.push_back(with_derivatives(identity_operator(), rewrite(vjp(identity(), g), g)));
  all.push_back(with_derivatives(stopped_gradient(), rewrite(vjp(op<"const">(), _), 0)));
  return all;
}

}  // namespace rulegrad
