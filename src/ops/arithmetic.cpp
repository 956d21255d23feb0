#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/support/error.hpp"

#include "ops/checks.hpp"
#include "ops/derivatives.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

namespace rulegrad {
namespace {

using infer::Numbers;
using Bounds = std::span<const Interval>;

/// Values of a that are distinct from those of b: their grids are shifted by half a step.
const ExampleOperand grid_a{.dims = {}, .low = -2, .high = 2, .gap = 0.05};
const ExampleOperand grid_b{.dims = {}, .low = -1.95, .high = 2.05, .gap = 0.05};

ExampleOperand with_dims(ExampleOperand operand, Dims dims) {
  operand.dims = std::move(dims);
  return operand;
}

/// The ways two operands broadcast, with values from two ranges.
std::vector<OpExample> broadcasting_examples(const ExampleOperand& a, const ExampleOperand& b,
                                             RandomEngine& random) {
  const std::int64_t n = random_extent(random, 2, 5);
  return {{{with_dims(a, {2, 3}), with_dims(b, {2, 3})}, {}},
          {{with_dims(a, {2, 3, n}), with_dims(b, {3, 1})}, {}},
          {{with_dims(a, {}), with_dims(b, {2, n})}, {}},
          {{with_dims(a, {2, 1, 3}), with_dims(b, {4, 1})}, {}}};
}

Type numeric_binary(const std::string& op, std::span<const Type> operands, Numbers numbers) {
  const DType dtype = infer::common_dtype(op, operands);
  infer::require(op, "a", operands[0], numbers);
  return {dtype, infer::broadcast_all(op, operands)};
}

OpSchema binary(std::string name, std::string doc, IntervalOf interval, ExampleOperand a, ExampleOperand b,
                Numbers numbers = Numbers::arithmetic) {
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
  s.examples = [a = std::move(a), b = std::move(b)](RandomEngine& random) {
    return broadcasting_examples(a, b, random);
  };
  return s;
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

Interval larger(Expr, Bounds x) {
  return {std::max(x[0].low, x[1].low), std::max(x[0].high, x[1].high)};
}
Interval smaller(Expr, Bounds x) {
  return {std::min(x[0].low, x[1].low), std::min(x[0].high, x[1].high)};
}
Interval quotients(Expr, Bounds x) {
  return intervals::quotient(x[0], x[1]);
}

/// A truth that is known to hold, or not to hold.
Interval truth(bool always, bool never) {
  return {always ? 1.0 : 0.0, never ? 0.0 : 1.0};
}

OpSchema comparison(std::string name, std::string doc, bool ordered, IntervalOf interval) {
  OpSchema s;
  s.interval = std::move(interval);
  s.batch = batches::aligned;
  s.decides = decisions::each({Asks::order});
  s.infer = [name, ordered](std::span<const Type> operands, const Attributes&) {
    if (infer::common_dtype(name, operands) == DType::boolean && ordered)
      throw Error(ErrorCode::dtype, fmt::format("[{}] booleans such as a {} have no order; cast them", name,
                                                to_string(operands[0])));
    return Type{DType::boolean, infer::broadcast_all(name, operands)};
  };
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"a"}, {"b"}};
  s.classes = {OpClass::elementwise};
  s.commutative = !ordered;
  s.examples = [](RandomEngine& random) {
    std::vector<OpExample> examples = broadcasting_examples(grid_a, grid_b, random);
    examples.push_back({{{.dims = {3, 4}, .low = -1, .high = 1, .dtype = DType::int64},
                         {.dims = {4}, .low = -1, .high = 1, .dtype = DType::int64}},
                        {}});
    return examples;
  };
  return s;
}

OpSchema logical(std::string name, std::string doc, IntervalOf interval) {
  OpSchema s;
  s.interval = std::move(interval);
  s.batch = batches::aligned;
  s.decides = decisions::each({Asks::zero});
  s.infer = [name](std::span<const Type> operands, const Attributes&) {
    infer::require(name, "a", operands[0], Numbers::boolean);
    infer::require(name, "b", operands[1], Numbers::boolean);
    return Type{DType::boolean, infer::broadcast_all(name, operands)};
  };
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"a"}, {"b"}};
  s.classes = {OpClass::elementwise};
  s.commutative = true;
  s.examples = [](RandomEngine& random) {
    const ExampleOperand flag{.dims = {}, .low = 0, .high = 1, .dtype = DType::boolean};
    return broadcasting_examples(flag, flag, random);
  };
  return s;
}

OpSchema choice() {
  OpSchema s;
  s.name = "where";
  s.doc = "a where c holds, b elsewhere; all three broadcast";
  s.operands = {{"c", Role::parameter}, {"a"}, {"b"}};
  s.classes = {OpClass::elementwise};
  s.interval = [](Expr, Bounds x) {
    return x[0].low >= 1 ? x[1] : x[0].high <= 0 ? x[2] : intervals::either(x[1], x[2]);
  };
  s.batch = batches::aligned;
  s.decides = decisions::each({Asks::zero, Asks::nothing});
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    infer::require("where", "c", operands[0], Numbers::boolean);
    return Type{infer::common_dtype("where", operands, 1), infer::broadcast_all("where", operands)};
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    if (operands[1] != operands[2]) return std::nullopt;
    const auto wide = broadcast(operands[0].shape(), operands[1].shape());
    return wide && *wide == operands[1].shape() ? std::optional(operands[1]) : std::nullopt;
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}, .low = 0, .high = 1, .dtype = DType::boolean}, {.dims = {2, 3}}, {.dims = {2, 3}}},
        {}},
       {{{.dims = {2, 1}, .low = 0, .high = 1, .dtype = DType::boolean}, {.dims = {3, 1, 4}}, {.dims = {}}},
        {}},
       {{{.dims = {4}, .low = 0, .high = 1, .dtype = DType::boolean}, {.dims = {2, 1}}, {.dims = {2, 4}}},
        {}}});
  return s;
}

OpSchema stabilizer() {
  OpSchema s = binary(
      "stabilize", "z + eps * sgn(z) with sgn(0) = +1: moves z away from 0 by eps > 0; broadcast",
      [](Expr, Bounds x) {
        const Interval z = x[0], eps = x[1];
        if (eps.low < 0) return Interval{};
        return intervals::rounded({z.low >= 0 ? z.low + eps.low : z.low - eps.high,
                                   z.high < 0 ? z.high - eps.low : z.high + eps.high});
      },
      {.dims = {}, .low = -2, .high = 2, .gap = 0.05}, {.dims = {}, .low = 0.1, .high = 1},
      Numbers::floating);
  s.operands = {{"z"}, {"eps", Role::parameter}};
  s.decides = decisions::each({Asks::sign, Asks::zero});
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    infer::require("stabilize", "z", operands[0], Numbers::floating);
    return Type{infer::common_dtype("stabilize", operands), infer::broadcast_all("stabilize", operands)};
  };
  return s;
}

OpSchema accumulation() {
  OpSchema s;
  s.name = "accum";
  s.doc = "the sum of cotangents of one type, in the order of the operands";
  s.operands = {{.name = "x", .variadic = true}};
  s.classes = {OpClass::elementwise, OpClass::linear};
  s.interval = [](Expr, Bounds x) { return intervals::sums(intervals::either(x)); };
  s.batch = batches::aligned;
  s.decides = decisions::none;
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    infer::require("accum", "x", operands[0], Numbers::floating);
    for (std::size_t i = 1; i < operands.size(); ++i)
      if (operands[i] != operands[0])
        infer::fail(
            "accum",
            fmt::format("operands must have one dtype and shape but operand 0 is {} and operand {} is {}",
                        to_string(operands[0]), i, to_string(operands[i])));
    return operands[0];
  };
  s.simpler = [](std::span<const Expr> operands, const Attributes&) -> std::optional<Expr> {
    return operands.size() == 1 ? std::optional(operands[0]) : std::nullopt;
  };
  s.examples = fixed_examples(
      {{{{.dims = {2, 3}}}, {}},
       {{{.dims = {2, 3}}, {.dims = {2, 3}}}, {}},
       {{{.dims = {2, 1, 4}}, {.dims = {2, 1, 4}}, {.dims = {2, 1, 4}}, {.dims = {2, 1, 4}}}, {}}});
  return s;
}

OpSchema modulus() {
  // Quotients stay clear of whole numbers: 2.01 to 2.8, and -0.8 to -0.1.
  OpSchema s =
      binary("mod", "a - floor(a / b) * b, which has the sign of b; broadcast", intervals::anything, {}, {});
  // It jumps where the quotient is a whole number.
  s.decides = decisions::each({Asks::zero});
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

/// With a value for two numbers in place of the operands.
OpSchema folding(OpSchema s, double (*f)(double, double)) {
  s.fold = [f](std::span<const double> x) { return f(x[0], x[1]); };
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

std::vector<OpSchema> arithmetic_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  constexpr auto to_a = "shape"_a = shape(a);
  constexpr auto to_b = "shape"_a = shape(b);
  constexpr double half = 0.5;
  const ExampleOperand real{.dims = {}, .low = -2, .high = 2};
  const ExampleOperand away{.dims = {}, .low = 0.5, .high = 2};
  const IntervalOf sum = [](Expr, Bounds v) { return intervals::added(v[0], v[1]); };
  const IntervalOf difference = [](Expr, Bounds v) {
    return intervals::added(v[0], intervals::negated(v[1]));
  };
  const IntervalOf product = [](Expr value, Bounds v) {
    const Interval any = intervals::product(v[0], v[1]);
    // A square.
    return value.operand(0) == value.operand(1) ? Interval{std::max(any.low, 0.0), any.high} : any;
  };
  std::vector<OpSchema> all;
  all.push_back(
      with_derivatives(simplified(folding(commuting(binary("add", "a + b, broadcast", sum, real, real)),
                                          [](double p, double q) { return p + q; }),
                                  without_neutral(0, true)),
                       rewrite(vjp(add(a), g), wrt(a), sum_to(g, to_a))));
  all.push_back(with_derivatives(simplified(folding(binary("sub", "a - b, broadcast", difference, real, real),
                                                    [](double p, double q) { return p - q; }),
                                            without_neutral(0, false)),
                                 rewrite(vjp(sub(a), g), wrt(a), sum_to(g, to_a)),
                                 rewrite(vjp(sub(_, b), g), wrt(b), -sum_to(g, to_b))));
  all.push_back(
      with_derivatives(simplified(folding(commuting(binary("mul", "a * b, broadcast", product, real, real)),
                                          [](double p, double q) { return p * q; }),
                                  without_neutral(1, true)),
                       rewrite(vjp(mul(a, b), g), wrt(a), sum_to(g * b, to_a))));
  all.push_back(with_derivatives(
      simplified(folding(asking(binary("div", "a / b, broadcast; integers towards 0", quotients, real, away),
                                {Asks::nothing, Asks::divisor}),
                         [](double p, double q) { return p / q; }),
                 without_neutral(1, false)),
      rewrite(vjp(div(a, b), g), wrt(a), sum_to(g / b, to_a)),
      rewrite(vjp(y = div(_, b), g), wrt(b), -sum_to(g * y / b, to_b))));
  // Where b is 0 the factor b is: the power beside it must only be finite. Where a <= 0 there is no log: 0.
  all.push_back(with_derivatives(
      simplified(folding(binary("pow", "a to the power of b, broadcast", intervals::anything,
                                {.dims = {}, .low = 0.3, .high = 2}, real),
                         [](double p, double q) { return std::pow(p, q); }),
                 without_neutral(1, false)),
      rewrite(vjp(pow(a, b), g), wrt(a), sum_to(g * (b * pow(a, where(b == 0, 1, b - 1))), to_a)),
      rewrite(vjp(y = pow(a, b), g), wrt(b), sum_to(g * y * log(where(a > 0, a, 1)), to_b))));
  // The rules name slots by role, not by a pattern's operands, which would match in either order.
  all.push_back(with_derivatives(
      folding(
          commuting(binary("max", "the larger of a and b, broadcast; at ties each has half of the derivative",
                           larger, grid_a, grid_b)),
          [](double p, double q) { return std::max(p, q); }),
      rewrite(vjp(y = max(), g), wrt(a), sum_to(where(a > y["b"], g, where(a == y["b"], half * g, 0)), to_a)),
      rewrite(vjp(y = max(), g), wrt(b),
              sum_to(where(b > y["a"], g, where(b == y["a"], half * g, 0)), to_b))));
  all.push_back(with_derivatives(
      folding(commuting(binary("min",
                               "the smaller of a and b, broadcast; at ties each has half of the derivative",
                               smaller, grid_a, grid_b)),
              [](double p, double q) { return std::min(p, q); }),
      rewrite(vjp(y = min(), g), wrt(a), sum_to(where(a < y["b"], g, where(a == y["b"], half * g, 0)), to_a)),
      rewrite(vjp(y = min(), g), wrt(b),
              sum_to(where(b < y["a"], g, where(b == y["a"], half * g, 0)), to_b))));
  all.push_back(with_derivatives(modulus(), rewrite(vjp(mod(a), g), wrt(a), sum_to(g, to_a)),
                                 rewrite(vjp(mod(a, b), g), wrt(b), -sum_to(g * floor(a / b), to_b))));
  all.push_back(
      with_derivatives(simplified(asking(binary("over", "a / b, and 0 where b is exactly 0; broadcast",
                                                quotients, real, away, Numbers::floating),
                                         {Asks::dividend, Asks::zero}),
                                  without_neutral(1, false)),
                       rewrite(vjp(over(a, b), g), wrt(a), sum_to(over(g, b), to_a)),
                       rewrite(vjp(y = over(_, b), g), wrt(b), -sum_to(g * over(y, b), to_b))));
  all.push_back(folding(comparison("less", "a < b, broadcast", true,
                                   [](Expr, Bounds x) { return truth(false, x[0].low >= x[1].high); }),
                        [](double p, double q) { return p < q ? 1.0 : 0.0; }));
  all.push_back(folding(comparison("less_equal", "a <= b, broadcast", true,
                                   [](Expr, Bounds x) { return truth(x[1].low >= x[0].high, false); }),
                        [](double p, double q) { return p <= q ? 1.0 : 0.0; }));
  all.push_back(folding(comparison("greater", "a > b, broadcast", true,
                                   [](Expr, Bounds x) { return truth(false, x[1].low >= x[0].high); }),
                        [](double p, double q) { return p > q ? 1.0 : 0.0; }));
  all.push_back(folding(comparison("greater_equal", "a >= b, broadcast", true,
                                   [](Expr, Bounds x) { return truth(x[0].low >= x[1].high, false); }),
                        [](double p, double q) { return p >= q ? 1.0 : 0.0; }));
  all.push_back(folding(comparison("equal", "a = b, broadcast", false, intervals::anything),
                        [](double p, double q) { return p == q ? 1.0 : 0.0; }));
  all.push_back(folding(comparison("not_equal", "a unlike b, broadcast", false, intervals::anything),
                        [](double p, double q) { return p != q ? 1.0 : 0.0; }));
  all.push_back(logical("logical_and", "a and b, broadcast", smaller));
  all.push_back(logical("logical_or", "a or b, broadcast", larger));
  all.push_back(with_derivatives(choice(), rewrite(vjp(where(c, a), g), wrt(a), sum_to(where(c, g, 0), to_a)),
                                 rewrite(vjp(where(c, _, b), g), wrt(b), sum_to(where(c, 0, g), to_b))));
  all.push_back(with_derivatives(
      stabilizer(), rewrite(vjp(stabilize(z), g), wrt(z), sum_to(g, "shape"_a = shape(z))),
      rewrite(vjp(stabilize(z, e), g), wrt(e), sum_to(where(z < 0, -g, g), "shape"_a = shape(e)))));
  all.push_back(with_derivatives(accumulation(), rewrite(vjp(accum(), g), g)));
  return all;
}

}  // namespace rulegrad
