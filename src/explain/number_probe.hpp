#pragma once

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// Single numbers about expressions, computed in float64 as part of a program: what an explanation with an
/// input asks. Of what depends on the samples of a loop, sums and shares are means over the samples, extremes
/// are over all.
namespace rulegrad::probe {

/// Over everything the expression holds.
[[nodiscard]] Expr sum(Expr expr);
[[nodiscard]] Expr sum_of_sizes(Expr expr);
[[nodiscard]] Expr amax_of_sizes(Expr expr);
[[nodiscard]] Expr amin(Expr expr);
[[nodiscard]] Expr amax(Expr expr);
[[nodiscard]] Expr share_below_zero(Expr expr);

/// The number that a probe gave.
[[nodiscard]] double value(const Tensor& result);

}  // namespace rulegrad::probe
