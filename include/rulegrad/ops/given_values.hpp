#pragma once

#include <optional>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"

/// Values whose elements the graph itself gives: arrays, and `fill`, one number of some extents.
namespace [[gnu::visibility("default")]] rulegrad {

/// The number of a `fill` and its extents; null for any other node.
[[nodiscard]] inline const FillAttributes* fill_of(Expr expr) {
  return expr.attributes_if<FillAttributes>();
}
/// The array of a constant; null for any other node.
[[nodiscard]] inline const Tensor* array_of(Expr expr) {
  const auto* constant = expr.attributes_if<ConstantAttributes>();
  return constant == nullptr ? nullptr : &constant->value;
}
/// Is it one of the two?
[[nodiscard]] inline bool is_given(Expr expr) {
  return is_constant(expr) || fill_of(expr) != nullptr;
}
/// The number that every element of a given value is.
[[nodiscard]] inline std::optional<double> number_everywhere(Expr expr) {
  if (const auto* fill = fill_of(expr)) return fill->value;
  return constant_value(expr);
}

}  // namespace rulegrad
