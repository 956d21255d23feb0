#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/expr/schema.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// Makes values and graphs from the examples that operators carry.
namespace rulegrad::testing {

/// Values of an example operand; with a gap, each at least that far from the others, from 0 and from the
/// range's ends.
inline Tensor draw(const ExampleOperand& operand, DType real, RandomEngine& random) {
  const std::int64_t count = element_count(operand.dims);
  std::vector<double> values(static_cast<std::size_t>(count));
  if (!is_floating(operand.dtype)) {
    std::uniform_int_distribution<std::int64_t> pick(static_cast<std::int64_t>(operand.low),
                                                     static_cast<std::int64_t>(operand.high));
    for (double& value : values) value = static_cast<double>(pick(random));
    Tensor result({count}, std::span<const double>(values));
    return result.cast(operand.dtype).reshaped(operand.dims);
  }
  if (operand.gap > 0) {
    // Distinct steps of 2 gap, moved by less than half a gap, in random order.
    const auto steps = static_cast<std::int64_t>((operand.high - operand.low) / (2 * operand.gap)) - 1;
    std::vector<double> grid;
    for (std::int64_t i = 1; i <= steps; ++i) {
      const double value = operand.low + static_cast<double>(i) * 2 * operand.gap;
      if (std::abs(value) > operand.gap) grid.push_back(value);
    }
    std::shuffle(grid.begin(), grid.end(), random);
    std::uniform_real_distribution<double> jitter(-0.25 * operand.gap, 0.25 * operand.gap);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = grid.at(i % grid.size()) + jitter(random);
  } else {
    std::uniform_real_distribution<double> pick(operand.low, operand.high);
    for (double& value : values) value = pick(random);
  }
  return Tensor({count}, std::span<const double>(values)).cast(real).reshaped(operand.dims);
}

/// A example as a graph: one input an operand, with static shapes.
struct Instance {
  std::vector<Expr> inputs;
  std::vector<Tensor> values;
  Expr result;
};

inline Instance instantiate(Graph& graph, const OpSchema& op, const OpExample& example,
                            RandomEngine& random) {
  Instance instance;
  for (std::size_t i = 0; i < example.operands.size(); ++i) {
    const ExampleOperand& operand = example.operands[i];
    Tensor value = draw(operand, graph.real(), random);
    instance.inputs.push_back(
        graph.input("operand" + std::to_string(i), {value.dtype(), Shape::of(operand.dims)}));
    instance.values.push_back(std::move(value));
  }
  instance.result = graph.make(op, instance.inputs, example.attributes);
  return instance;
}

}  // namespace rulegrad::testing
