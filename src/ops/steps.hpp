#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "rulegrad/expr/expr.hpp"

// Series as the values of their steps, and back.
namespace rulegrad {

/// How an operator is applied: importers fold and count on the way.
using Application = std::function<Expr(std::string_view op_name, std::vector<Expr> operands, Attributes)>;

/// The entries of x along an axis of known extent, each without it.
[[nodiscard]] std::vector<Expr> cut_steps(const Application& apply, Expr x, std::size_t axis);
/// Expressions of one type, at least one, along a new axis.
[[nodiscard]] Expr join_steps(const Application& apply, std::span<const Expr> steps, std::size_t axis);

}  // namespace rulegrad
