#pragma once

#include <functional>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// Is every element of v known to be 0 where z is negative? True where v is a product with a factor that is:
/// relu(z), max(z, 0), or the same moved along by pooling and reshapes. Relevance behind a ReLU has this
/// form, x s with x = relu(z); it holds as long as s is finite (design: every divisor is stabilised, or 0
/// gives 0).
[[nodiscard]] bool vanishes_below(Expr v, Expr z);

/// Is v a product with a factor of this kind, element by element, or with one that pooling and reshapes moved
/// along?
[[nodiscard]] bool has_factor(Expr v, const std::function<bool(Expr)>& wanted);

/// Is the factor relu(z) or max(z, 0), or one of those of such, with a z of this kind?
[[nodiscard]] bool is_cut(Expr factor, const std::function<bool(Expr)>& of);

}  // namespace rulegrad
