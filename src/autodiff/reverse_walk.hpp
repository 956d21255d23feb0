#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "rulegrad/ops/operators.hpp"

#include "expr/node_map.hpp"
#include "rewrite/forward_facts.hpp"

namespace rulegrad {

/// What one slot of one node sends to its operand; nothing: zero.
using CloseGradient = std::function<std::optional<Expr>(Expr node, std::size_t slot, Expr cotangent)>;

/// The one reverse walk: visits the nodes above the seeds that depend on the explained values, users before
/// operands, sums what reached each node (`accum`, in the topological order of the users, so that bits do not
/// depend on what else is in the graph) and lets `close` say what goes on to each operand. A zero cotangent
/// ends there. Returns the total that reached each node.
[[nodiscard]] NodeMap<Expr> reverse_walk(const ForwardFacts& facts, const Operators& operators,
                                         std::span<const std::pair<Expr, Expr>> seeds,
                                         const CloseGradient& close);

}  // namespace rulegrad
