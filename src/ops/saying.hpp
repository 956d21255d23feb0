#pragma once

#include <utility>

#include "rulegrad/expr/operator_facts.hpp"

/// An operator with other answers than its family gives.
namespace rulegrad {

[[nodiscard]] inline OpSchema passing_on(OpSchema schema, PassesOf passes) {
  schema.passes = std::move(passes);
  return schema;
}
[[nodiscard]] inline OpSchema finite_for(OpSchema schema, FiniteOf finite) {
  schema.finite = std::move(finite);
  return schema;
}
[[nodiscard]] inline OpSchema linear_in(OpSchema schema, LinearIn operands) {
  schema.linear_in = operands;
  return schema;
}
/// No derivative: what it gives is no number that follows its operands.
[[nodiscard]] inline OpSchema without_derivative(OpSchema schema) {
  schema.without.emplace_back("derivative");
  return schema;
}

}  // namespace rulegrad
