#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// The expressions with their sample loops written out, one piece of graph a sample (samples.hpp), for those
/// who have no loops. Loops of more samples than `most`, nested ones counted together, stay as they are, and
/// so do those around them.
[[nodiscard]] std::vector<Expr> unrolled(std::span<const Expr> outputs, std::int64_t most);

}  // namespace rulegrad
