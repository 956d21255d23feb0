#pragma once

#include "rulegrad/passes/simplify.hpp"

#include "passes/intervals.hpp"

namespace rulegrad {

/// As `simplify`, with the intervals that are known already, and whatever else is found out of the graph's
/// values: it holds for whoever compiles them.
[[nodiscard]] Simplified simplify(std::span<const Expr> outputs, bool rounding, Intervals& intervals);

}  // namespace rulegrad
