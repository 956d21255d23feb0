#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"

#include "ops/broadcasting.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/saying.hpp"
#include "ops/with_derivatives.hpp"

namespace rulegrad {
namespace {

using infer::Numbers;
using Bounds = std::span<const Interval>;

const FiniteOf by_divisor = finite::each({FiniteFor::all, FiniteFor::not_zero});

ExampleOperand with_dims(ExampleOperand operand, Dims dims) {
  operand.dims = std::move(dims);
  return operand;
}

Type numeric_binary(const std::string& op, std::span<const Type> operands, Numbers numbers) {
  const DType dtype = infer::common_dtype(op, operands);
  infer::require(op, "a", operands[0], numbers);
  return {dtype, infer::broadcast_all(op, operands)};
}

/// `kept` if the other operand is the constant `neutral` and the result has the type of `kept`.
std::optional<Expr> unless_changed(Expr kept, Expr other, double neutral) {
  if (kept.dtype() != other.dtype() || constant_value(other) != neutral) return std::nullopt;
  const auto wide = broadcast(kept.shape(), other.shape());
  return wide && same_dims(*wide, kept.shape()) ? std::optional(kept) : std::nullopt;
}

using Simpler = std::function<std::optional<Expr>(std::span<const Expr>, const Attributes&)>;

Simpler without_neutral(double neutral, bool either_side) {
  return [neutral, either_side](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    if (const auto kept = unless_changed(operands[0], operands[1], neutral)) return kept;
    return either_side ? unless_changed(operands[1], operands[0], neutral) : std::nullopt;
  };
}

/// What is no number, times `by`: only a number other than 0 keeps infinities what they are.
std::optional<NonFinite> scaled(NonFinite x, Interval by) {
  if (by.low != by.high || by.low == 0 || !std::isfinite(by.low)) return std::nullopt;
  return by.low > 0 ? x : passing::negated(x);
}
/// Bounds are those of the numbers among the elements: what stands beside them counts for itself.
NonFinite of_product(Expr value, passing::Given x, Bounds known) {
  if (const auto bits = scaled(x[0], known[1]); bits && x[1] == 0) return *bits;
  if (const auto bits = scaled(x[1], known[0]); bits && x[0] == 0) return *bits;
  return passing::anything(value, x, known);
}
NonFinite of_quotient(Expr value, passing::Given x, Bounds known) {
  if (const auto bits = scaled(x[0], known[1]); bits && x[1] == 0) return *bits;
  return passing::anything(value, x, known);
}
NonFinite of_larger(Expr, passing::Given x, Bounds) {
  using namespace non_finite;
  return static_cast<NonFinite>(((x[0] | x[1]) & (high | nan)) | (x[0] & x[1] & low));
}
NonFinite of_smaller(Expr, passing::Given x, Bounds) {
  using namespace non_finite;
  return static_cast<NonFinite>(((x[0] | x[1]) & (low | nan)) | (x[0] & x[1] & high));
}

/// Which numbers a may be hangs on b, where that is known.
FiniteFor base_of_power(Expr value, std::size_t position) {
  const auto exponent = constant_value(value.operand(1));
  if (position != 0 || (exponent && *exponent >= 0 && *exponent == std::floor(*exponent)))
    return FiniteFor::all;
  return exponent && *exponent >= 0 ? FiniteFor::not_negative : FiniteFor::positive;
}
Interval powers(Expr, Bounds x) {
  const bool even = x[1].low == x[1].high && std::fmod(x[1].low, 2.0) == 0;
  return even || x[0].low >= 0 ? intervals::not_negative : Interval{};
}

Interval quotients(Expr, Bounds x) {
  return intervals::quotient(x[0], x[1]);
}

OpSchema modulus() {
  // Quotients stay clear of whole numbers: 2.01 to 2.8, and -0.8 to -0.1.
  OpSchema s =
      binary("mod", "a - floor(a / b) * b, which has the sign of b; broadcast", intervals::anything, {}, {});
  // It jumps where the quotient is a whole number.
  s.decides = decisions::each({Asks::zero});
  s.finite = by_divisor;
  s.examples = [](RandomEngine& random) {
    auto examples = broadcasting_examples({.dims = {}, .low = 2.2, .high = 2.8},
                                          {.dims = {}, .low = 1.01, .high = 1.09}, random);
    const auto negative = broadcasting_examples({.dims = {}, .low = -0.8, .high = -0.2},
                                                {.dims = {}, .low = 1, .high = 2}, random);
    examples.insert(examples.end(), negative.begin(), negative.begin() + 2);
    return examples;
  };
  return s;
}

OpSchema commuting(OpSchema s) {
  s.commutative = true;
  return s;
}

OpSchema asking(OpSchema s, std::vector<Asks> operands) {
  s.decides = decisions::each(std::move(operands));
  return s;
}

OpSchema simplified(OpSchema s, Simpler simpler) {
  s.simpler = std::move(simpler);
  return s;
}

}  // namespace

/// The ways two operands broadcast, with values from two ranges.
std::vector<OpExample> broadcasting_examples(const ExampleOperand& a, const ExampleOperand& b,
                                             RandomEngine& random) {
  const std::int64_t n = random_extent(random, 2, 5);
  return {{{with_dims(a, {2, 3}), with_dims(b, {2, 3})}, {}},
          {{with_dims(a, {2, 3, n}), with_dims(b, {3, 1})}, {}},
          {{with_dims(a, {}), with_dims(b, {2, n})}, {}},
          {{with_dims(a, {2, 1, 3}), with_dims(b, {4, 1})}, {}}};
}

OpSchema binary(std::string name, std::string doc, IntervalOf interval, ExampleOperand a, ExampleOperand b,
                Numbers numbers) {
  OpSchema s;
  s.infer = [name, numbers](std::span<const Type> operands, const Attributes&) {
    return numeric_binary(name, operands, numbers);
  };
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"a"}, {"b"}};
  s.classes = {OpClass::elementwise};
  s.interval = std::move(interval);
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.linear_in = LinearIn::nothing;
  s.without = {"fold"};
  s.examples = [a = std::move(a), b = std::move(b)](RandomEngine& random) {
    return broadcasting_examples(a, b, random);
  };
  return s;
}

OpSchema folding(OpSchema s, double (*f)(double, double)) {
  s.fold = [f](std::span<const double> x) { return f(x[0], x[1]); };
  return s;
}

Interval larger(Expr, Bounds x) {
  const Interval &a = x[0], &b = x[1];
  const bool above = (a.low >= b.low && a.above_low) || (b.low >= a.low && b.above_low);
  return {std::max(a.low, b.low), std::max(a.high, b.high), above};
}
Interval smaller(Expr, Bounds x) {
  return {std::min(x[0].low, x[1].low), std::min(x[0].high, x[1].high),
          intervals::either(x[0], x[1]).above_low};
}

std::vector<OpSchema> arithmetic_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  constexpr auto to_a = "shape"_a = shape(a);
  constexpr auto to_b = "shape"_a = shape(b);
  constexpr double half = 0.5;
  const ExampleOperand real{.dims = {}, .low = -2, .high = 2};
  const ExampleOperand away{.dims = {}, .low = 0.5, .high = 2};
  const IntervalOf sum = [](Expr, Bounds v) { return intervals::added(v[0], v[1]); };
  const IntervalOf difference = [](Expr value, Bounds v) {
    const Interval any = intervals::added(v[0], intervals::negated(v[1]));
    // What is largest is not exceeded: x - amax(x).
    const Expr less = value.operand(1);
    const bool most = less.is("amax") && less.operand(0) == value.operand(0);
    return most ? Interval{any.low, std::min(any.high, 0.0)} : any;
  };
  const IntervalOf product = [](Expr value, Bounds v) {
    const Interval any = intervals::product(v[0], v[1]);
    // A square.
    return value.operand(0) == value.operand(1) ? Interval{std::max(any.low, 0.0), any.high} : any;
  };
  std::vector<OpSchema> all;
  all.push_back(with_derivatives(
      simplified(folding(linear_in(passing_on(commuting(binary("add", "a + b, broadcast", sum, real, real)),
                                              [](Expr, passing::Given v, Bounds) {
                                                return passing::added(v[0], v[1]);
                                              }),
                                   LinearIn::all),
                         [](double p, double q) { return p + q; }),
                 without_neutral(0, true)),
      rewrite(vjp(add(a), g), wrt(a), sum_to(g, to_a))));
  all.push_back(with_derivatives(
      simplified(folding(linear_in(passing_on(binary("sub", "a - b, broadcast", difference, real, real),
                                              [](Expr, passing::Given v, Bounds) {
                                                return passing::added(v[0], passing::negated(v[1]));
                                              }),
                                   LinearIn::all),
                         [](double p, double q) { return p - q; }),
                 without_neutral(0, false)),
      rewrite(vjp(sub(a), g), wrt(a), sum_to(g, to_a)),
      rewrite(vjp(sub(_, b), g), wrt(b), -sum_to(g, to_b))));
  all.push_back(with_derivatives(
      simplified(
          folding(linear_in(passing_on(commuting(binary("mul", "a * b, broadcast", product, real, real)),
                                       of_product),
                            LinearIn::each),
                  [](double p, double q) { return p * q; }),
          without_neutral(1, true)),
      rewrite(vjp(mul(a, b), g), wrt(a), sum_to(g * b, to_a))));
  all.push_back(with_derivatives(
      simplified(
          folding(asking(finite_for(linear_in(passing_on(binary("div", "a / b, broadcast; integers towards 0",
                                                                quotients, real, away),
                                                         of_quotient),
                                              LinearIn::first),
                                    by_divisor),
                         {Asks::nothing, Asks::divisor}),
                  [](double p, double q) { return p / q; }),
          without_neutral(1, false)),
      rewrite(vjp(div(a, b), g), wrt(a), sum_to(g / b, to_a)),
      rewrite(vjp(y = div(_, b), g), wrt(b), -sum_to(g * y / b, to_b))));
  // Where b is 0 the factor b is: the power beside it must only be finite. Where a <= 0 there is no log: 0.
  all.push_back(with_derivatives(
      simplified(folding(finite_for(binary("pow", "a to the power of b, broadcast", powers,
                                           {.dims = {}, .low = 0.3, .high = 2}, real),
                                    base_of_power),
                         [](double p, double q) { return std::pow(p, q); }),
                 without_neutral(1, false)),
      rewrite(vjp(pow(a, b), g), wrt(a), sum_to(g * (b * pow(a, where(b == 0, 1, b - 1))), to_a)),
      rewrite(vjp(y = pow(a, b), g), wrt(b), sum_to(g * y * log(where(a > 0, a, 1)), to_b))));
  // The rules name slots by role, not by a pattern's operands, which would match in either order.
  all.push_back(with_derivatives(
      folding(
          passing_on(commuting(binary(
                         "max", "the larger of a and b, broadcast; at ties each has half of the derivative",
                         larger, grid_a, grid_b)),
                     of_larger),
          [](double p, double q) { return std::max(p, q); }),
      rewrite(vjp(y = max(), g), wrt(a), sum_to(where(a > y["b"], g, where(a == y["b"], half * g, 0)), to_a)),
      rewrite(vjp(y = max(), g), wrt(b),
              sum_to(where(b > y["a"], g, where(b == y["a"], half * g, 0)), to_b))));
  all.push_back(with_derivatives(
      folding(
          passing_on(commuting(binary(
                         "min", "the smaller of a and b, broadcast; at ties each has half of the derivative",
                         smaller, grid_a, grid_b)),
                     of_smaller),
          [](double p, double q) { return std::min(p, q); }),
      rewrite(vjp(y = min(), g), wrt(a), sum_to(where(a < y["b"], g, where(a == y["b"], half * g, 0)), to_a)),
      rewrite(vjp(y = min(), g), wrt(b),
              sum_to(where(b < y["a"], g, where(b == y["a"], half * g, 0)), to_b))));
  all.push_back(with_derivatives(modulus(), rewrite(vjp(mod(a), g), wrt(a), sum_to(g, to_a)),
                                 rewrite(vjp(mod(a, b), g), wrt(b), -sum_to(g * floor(a / b), to_b))));
  all.push_back(with_derivatives(
      simplified(asking(linear_in(binary("over", "a / b, and 0 where b is exactly 0; broadcast", quotients,
                                         real, away, Numbers::floating),
                                  LinearIn::first),
                        {Asks::dividend, Asks::zero}),
                 without_neutral(1, false)),
      rewrite(vjp(over(a, b), g), wrt(a), sum_to(over(g, b), to_a)),
      rewrite(vjp(y = over(_, b), g), wrt(b), -sum_to(g * over(y, b), to_b))));
  return all;
}

}  // namespace rulegrad
