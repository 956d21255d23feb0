#pragma once

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/expr/schema.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad {

/// Values of an operand of an example, from its range; with a gap, each at least that far from the others and
/// from 0.
[[nodiscard]] Tensor draw_example(const ExampleOperand& operand, RandomEngine& random);
/// Those of all its operands.
[[nodiscard]] std::vector<Tensor> draw_example(const OpExample& example, RandomEngine& random);

/// `squash(x [2, 3]) slope=0.5`
[[nodiscard]] std::string text_of_example(const OpSchema& op, const OpExample& example);

}  // namespace rulegrad
