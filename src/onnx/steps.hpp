#pragma once

#include <vector>

#include "onnx/node_context.hpp"

namespace rulegrad::io {

/// The entries of x along an axis of known extent, each without it.
[[nodiscard]] std::vector<Expr> cut_steps(const NodeContext& context, Expr x, std::size_t axis);
/// The same expressions along a new axis.
[[nodiscard]] Expr join_steps(const NodeContext& context, const std::vector<Expr>& steps, std::size_t axis);

}  // namespace rulegrad::io
