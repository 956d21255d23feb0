#pragma once

#include <string>
#include <vector>

#include "rulegrad/expr/operator_facts.hpp"

#include "ops/checks.hpp"

/// What operators of two operands that broadcast share.
namespace rulegrad {

/// Values of a that are distinct from those of b: their grids are shifted by half a step.
inline const ExampleOperand grid_a{.dims = {}, .low = -2, .high = 2, .gap = 0.05};
inline const ExampleOperand grid_b{.dims = {}, .low = -1.95, .high = 2.05, .gap = 0.05};

/// The ways two operands broadcast, with values from two ranges.
[[nodiscard]] std::vector<OpExample> broadcasting_examples(const ExampleOperand& a, const ExampleOperand& b,
                                                           RandomEngine& random);

/// A function of a and b, element by element.
[[nodiscard]] OpSchema binary(std::string name, std::string doc, IntervalOf interval, ExampleOperand a,
                              ExampleOperand b, infer::Numbers numbers = infer::Numbers::arithmetic);

/// With a value for two numbers in place of the operands.
[[nodiscard]] OpSchema folding(OpSchema s, double (*f)(double, double));

[[nodiscard]] Interval larger(Expr, std::span<const Interval> x);   ///< of max(a, b)
[[nodiscard]] Interval smaller(Expr, std::span<const Interval> x);  ///< of min(a, b)

}  // namespace rulegrad
