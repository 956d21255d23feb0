#pragma once

#include <vector>

#include "rulegrad/expr/schema.hpp"

/// One function a family of operators; the registry calls each of them once.
namespace rulegrad {

[[nodiscard]] std::vector<OpSchema> affine_operators();
[[nodiscard]] std::vector<OpSchema> conv_operators();
[[nodiscard]] std::vector<OpSchema> pool_operators();
[[nodiscard]] std::vector<OpSchema> norm_operators();
[[nodiscard]] std::vector<OpSchema> row_norm_operators();
[[nodiscard]] std::vector<OpSchema> activation_operators();
[[nodiscard]] std::vector<OpSchema> elementwise_operators();
[[nodiscard]] std::vector<OpSchema> arithmetic_operators();
[[nodiscard]] std::vector<OpSchema> choice_operators();
[[nodiscard]] std::vector<OpSchema> reduction_operators();
[[nodiscard]] std::vector<OpSchema> movement_operators();
[[nodiscard]] std::vector<OpSchema> slicing_operators();
[[nodiscard]] std::vector<OpSchema> indexing_operators();
[[nodiscard]] std::vector<OpSchema> gathering_operators();
[[nodiscard]] std::vector<OpSchema> tree_operators();
[[nodiscard]] std::vector<OpSchema> random_operators();

/// grad(y, g): the analyzer's reverse value for one operand of y. vjp(y, g): the vector-Jacobian product.
[[nodiscard]] const OpSchema& grad_schema();
[[nodiscard]] const OpSchema& vjp_schema();

}  // namespace rulegrad
