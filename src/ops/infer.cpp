#include "ops/infer.hpp"

#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad::infer {

void fail(const std::string& op, const std::string& what) {
  throw Error(ErrorCode::shape, fmt::format("[{}] {}", op, what));
}

DType common_dtype(const std::string& op, std::span<const Type> operands, std::size_t first) {
  for (std::size_t i = first + 1; i < operands.size(); ++i)
    if (operands[i].dtype != operands[first].dtype)
      throw Error(ErrorCode::dtype,
                  fmt::format("[{}] operands must have one dtype but are {} and {}; cast one of them", op,
                              to_string(operands[first]), to_string(operands[i])));
  return operands[first].dtype;
}

Shape broadcast_all(const std::string& op, std::span<const Type> operands) {
  Shape result = operands[0].shape;
  for (std::size_t i = 1; i < operands.size(); ++i) {
    const auto wider = broadcast(result, operands[i].shape);
    if (!wider)
      fail(op, fmt::format("shapes {} and {} do not broadcast: aligned at the last axis, two extents must be "
                           "equal or one of them 1",
                           to_string(result), to_string(operands[i].shape)));
    result = *wider;
  }
  return result;
}

std::size_t checked_axis(const std::string& op, std::int64_t axis, std::size_t rank) {
  const auto extent = static_cast<std::int64_t>(rank);
  if (axis < -extent || axis >= extent)
    fail(op, fmt::format("axis {} does not exist in an operand of {} axes", axis, rank));
  return static_cast<std::size_t>(axis < 0 ? axis + extent : axis);
}

Inference same_as_first(std::string) {
  return [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
}

Inference floating_same_as_first(std::string op) {
  return [op = std::move(op)](std::span<const Type> operands, const Attributes&) {
    if (!is_floating(operands[0].dtype))
      throw Error(ErrorCode::dtype, fmt::format("[{}] x must be float32 or float64 but is {}; cast it", op,
                                                to_string(operands[0])));
    return operands[0];
  };
}

Inference broadcasting(std::string op) {
  return [op = std::move(op)](std::span<const Type> operands, const Attributes&) {
    return Type{common_dtype(op, operands), broadcast_all(op, operands)};
  };
}

Inference comparing(std::string op) {
  return [op = std::move(op)](std::span<const Type> operands, const Attributes&) {
    (void)common_dtype(op, operands);
    return Type{DType::boolean, broadcast_all(op, operands)};
  };
}

}  // namespace rulegrad::infer
