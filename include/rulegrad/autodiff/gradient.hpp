#pragma once

#include <span>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/ops/operators.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// The vector-Jacobian products seed * dy/dx for each x, closed by the derivatives of the operators. `seed`
/// has the shape of y. Where y does not depend on an x, its gradient is zeros.
[[nodiscard]] std::vector<Expr> gradient(Expr y, std::span<const Expr> xs, Expr seed,
                                         const Operators& operators = Operators::builtin());

}  // namespace rulegrad
