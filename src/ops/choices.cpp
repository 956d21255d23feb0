#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/support/error.hpp"

#include "ops/broadcasting.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/with_derivatives.hpp"

namespace rulegrad {
namespace {

using infer::Numbers;
using Bounds = std::span<const Interval>;

/// A truth that is known to hold, or not to hold.
Interval truth(bool always, bool never) {
  return {always ? 1.0 : 0.0, never ? 0.0 : 1.0};
}

OpSchema comparison(std::string name, std::string doc, bool ordered, IntervalOf interval) {
  OpSchema s;
  s.interval = std::move(interval);
  s.batch = batches::aligned;
  s.decides = decisions::each({Asks::order});
  s.finite = finite::always;
  s.passes = passing::anything;
  s.linear_in = LinearIn::nothing;
  s.without = {"derivative", "fold"};
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
  s.finite = finite::always;
  s.passes = passing::anything;
  s.linear_in = LinearIn::nothing;
  s.without = {"derivative", "fold"};
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
  s.finite = finite::always;
  s.passes = [](Expr, passing::Given x, Bounds known) {
    if (known[0].low >= 1) return x[1];
    if (known[0].high <= 0) return x[2];
    return static_cast<NonFinite>(x[1] | x[2]);
  };
  s.couples = [](Expr) -> std::optional<std::vector<std::int64_t>> { return std::nullopt; };
  s.linear_in = LinearIn::nothing;
  s.without = {"fold"};
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
  s.finite = finite::always;
  s.passes = passing::summed;
  s.linear_in = LinearIn::all;
  s.without = {"fold"};
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

}  // namespace

std::vector<OpSchema> choice_operators() {
  using namespace dsl;
  using namespace dsl::letters;
  constexpr auto to_a = "shape"_a = shape(a);
  constexpr auto to_b = "shape"_a = shape(b);
  std::vector<OpSchema> all;
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
