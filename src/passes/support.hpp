#pragma once

#include "rulegrad/expr.hpp"

namespace rulegrad {

/// Is every element of v known to be 0 where z is negative? True where v is a product with a factor that is: relu(z), max(z, 0),
/// or the same moved along by pooling and reshapes. Relevance behind a ReLU has this form, x s with x = relu(z); it holds as long
/// as s is finite (design: every divisor is stabilised, or 0 gives 0).
[[nodiscard]] bool vanishes_below(Expr v, Expr z);

}  // namespace rulegrad
