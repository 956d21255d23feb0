#include "prove/draw_example.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rulegrad {
namespace {

/// Points of a grid of twice the gap, in random order, each moved by less than a quarter of it.
std::vector<double> spread_out(const ExampleOperand& operand, RandomEngine& random) {
  std::vector<double> grid;
  for (double value = operand.low + 2 * operand.gap; value < operand.high - operand.gap;
       value += 2 * operand.gap)
    if (std::abs(value) > operand.gap) grid.push_back(value);
  std::shuffle(grid.begin(), grid.end(), random);
  std::uniform_real_distribution<double> moved(-0.25 * operand.gap, 0.25 * operand.gap);
  for (double& value : grid) value += moved(random);
  return grid;
}

}  // namespace

Tensor draw_example(const ExampleOperand& operand, RandomEngine& random) {
  std::vector<double> values(static_cast<std::size_t>(element_count(operand.dims)));
  const std::vector<double> grid = operand.gap > 0 ? spread_out(operand, random) : std::vector<double>();
  std::uniform_real_distribution<double> real(operand.low, operand.high);
  std::uniform_int_distribution<std::int64_t> whole(static_cast<std::int64_t>(std::ceil(operand.low)),
                                                    static_cast<std::int64_t>(std::floor(operand.high)));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = !is_floating(operand.dtype) ? static_cast<double>(whole(random))
                : grid.empty()              ? real(random)
                                            : grid[i % grid.size()];
  return Tensor(operand.dims, std::span<const double>(values)).cast(operand.dtype);
}

std::vector<Tensor> draw_example(const OpExample& example, RandomEngine& random) {
  std::vector<Tensor> result;
  for (const ExampleOperand& operand : example.operands) result.push_back(draw_example(operand, random));
  return result;
}

std::string text_of_example(const OpSchema& op, const OpExample& example) {
  std::string text;
  for (std::size_t i = 0; i < example.operands.size(); ++i)
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", op.operand(i).name,
                        to_string(std::span(example.operands[i].dims)));
  const std::string attributes = to_string(example.attributes);
  return fmt::format("{}({}){}{}", op.name, text, attributes.empty() ? "" : " ", attributes);
}

}  // namespace rulegrad
